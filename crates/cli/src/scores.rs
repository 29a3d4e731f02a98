//! Metrics as words.
//!
//! Above: `finetune`, `eval`, `progress`. Below: nothing. Not here: which metrics there are (`taper_recipes`).

use std::collections::BTreeMap;

/// `top-1 95.4 %`, `f1 0.873`, `mae 3.21`.
pub(crate) fn words(name: &str, score: f64) -> String {
    let said = match name {
        "top1" => "top-1",
        "top5" => "top-5",
        "balanced_accuracy" => "balanced accuracy",
        "label_accuracy" => "label accuracy",
        "average_precision" => "average precision",
        name => name,
    };
    format!("{said} {}", value(name, score))
}

/// The same without its name.
pub(crate) fn value(name: &str, score: f64) -> String {
    match name {
        "top1" | "top5" | "balanced_accuracy" | "label_accuracy" => {
            format!("{:.1} %", 100.0 * score)
        }
        _ if score.abs() < 1000.0 => format!("{score:.3}"),
        _ => format!("{score:.1}"),
    }
}

/// All of them in one line, without the loss.
pub(crate) fn line(scores: &BTreeMap<String, f64>) -> String {
    let others = scores.iter().filter(|(name, _)| *name != "loss");
    others.map(|(name, value)| words(name, *value)).collect::<Vec<_>>().join(", ")
}
