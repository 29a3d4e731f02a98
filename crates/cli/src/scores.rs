//! Metrics as words.
//!
//! Above: `finetune`, `eval`, `progress`. Below: nothing. Not here: which metrics there are (`taper_recipes`).

use std::collections::BTreeMap;

/// `top-1 95.4 %`, `f1 0.873`, `mae 3.21`.
pub(crate) fn words(name: &str, value: f64) -> String {
    let share = |name: &str| format!("{name} {:.1} %", 100.0 * value);
    match name {
        "top1" => share("top-1"),
        "top5" => share("top-5"),
        "balanced_accuracy" => share("balanced accuracy"),
        "label_accuracy" => share("label accuracy"),
        "average_precision" => format!("average precision {value:.3}"),
        name if value.abs() < 1000.0 => format!("{name} {value:.3}"),
        name => format!("{name} {value:.1}"),
    }
}

/// All of them in one line, without the loss.
pub(crate) fn line(scores: &BTreeMap<String, f64>) -> String {
    let others = scores.iter().filter(|(name, _)| *name != "loss");
    others.map(|(name, value)| words(name, *value)).collect::<Vec<_>>().join(", ")
}
