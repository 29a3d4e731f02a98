//! Scores, times and command lines in words, as pages have them.
//!
//! Above: `run_report` and its parts, `compare`. Below: `options`, `taper_report::Unit`. Not here: what the terminal says (`cli`).

use taper_report::Unit;
use taper_transfer::Freeze;

use crate::options::{FineTuneOptions, OptionValue};
use crate::shell::shell_quoted;

/// What a score is called.
pub(crate) fn score_name(name: &str) -> &str {
    match name {
        "top1" => "top-1",
        "top5" => "top-5",
        "balanced_accuracy" => "balanced accuracy",
        "label_accuracy" => "label accuracy",
        "average_precision" => "average precision",
        "ece" => "calibration error",
        "f1" => "F1",
        "auroc" => "AUROC",
        "mae" => "mean absolute error",
        "rmse" => "root mean squared error",
        "r2" => "R²",
        name => name,
    }
}

/// How its value is written.
pub(crate) fn score_unit(name: &str) -> Unit {
    match name {
        "top1" | "top5" | "balanced_accuracy" | "label_accuracy" | "precision" | "recall" => {
            Unit::Percent
        }
        _ => Unit::Number,
    }
}

/// Whether it lies between 0 and 1.
pub(crate) fn is_share(name: &str) -> bool {
    score_unit(name) == Unit::Percent
        || matches!(name, "f1" | "auroc" | "average_precision" | "ece")
}

/// A value with its unit: shares as percent.
pub(crate) fn shown(name: &str, value: f64) -> (f64, Unit) {
    let unit = score_unit(name);
    (if unit == Unit::Percent { 100.0 * value } else { value }, unit)
}

/// The same in words.
pub(crate) fn score(name: &str, value: f64) -> String {
    let (value, unit) = shown(name, value);
    if unit == Unit::Number && value.abs() < 10.0 {
        return format!("{value:.3}");
    }
    unit.format(value)
}

/// `36 s`, `12 min 5 s`, `2 h 3 min`.
pub(crate) fn time(seconds: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative after rounding; a cast saturates"
    )]
    let whole = seconds.max(0.0).round() as u64;
    match whole {
        0..60 if seconds < 9.95 => format!("{seconds:.1} s"),
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole / 60 % 60),
    }
}

/// Options that are not what they are when nothing is said.
pub(crate) fn changed(options: &FineTuneOptions) -> Vec<OptionValue> {
    let both = options.list().into_iter().zip(FineTuneOptions::default().list());
    both.filter(|(given, usual)| given != usual).map(|(given, _)| given).collect()
}

impl FineTuneOptions {
    /// The binary's command for this request, into another folder: a field is a flag with hyphens, and one that is on or off stands alone.
    ///
    /// # Examples
    /// ```
    /// use taper_recipes::FineTuneOptions;
    /// let options = FineTuneOptions { epochs: 2, data: Some("my photos".into()), ..FineTuneOptions::default() };
    /// assert_eq!(options.command(), "taper finetune --data 'my photos' --epochs 2");
    /// ```
    pub fn command(&self) -> String {
        command(self)
    }
}

fn command(options: &FineTuneOptions) -> String {
    let mut words = vec!["taper finetune".to_owned()];
    for OptionValue { name, value, .. } in changed(options) {
        let flag = name.replace('_', "-");
        match (name, value.as_str()) {
            // All that a preset sets is among what is not usual.
            ("out" | "trace" | "max_minutes" | "preset", _) | ("shards", "1") => {}
            ("lr_auto", _) if options.lr.is_some() => {}
            ("lr_auto", _) => words.push("--lr auto".to_owned()),
            ("freeze", value) => match &options.freeze {
                Freeze::AllBut(names) => {
                    words.push(format!("--train {}", shell_quoted(&names.join(","))));
                }
                Freeze::None | Freeze::Backbone | Freeze::Stage(_) => {
                    words.push(format!("--freeze {}", shell_quoted(value)));
                }
            },
            ("report", _) => words.push("--no-report".to_owned()),
            (_, "true") => words.push(format!("--{flag}")),
            (_, value) => words.push(format!("--{flag} {}", shell_quoted(value))),
        }
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_scores_are_short() {
        let words = [0.44, 36.2, 59.9, 725.0, 7384.0].map(time);
        assert_eq!(words, ["0.4 s", "36 s", "1 min 0 s", "12 min 5 s", "2 h 3 min"]);
        assert_eq!(score("top1", 0.9477), "94.8 %");
        assert_eq!(score("f1", 0.5), "0.500");
        assert_eq!(score("mae", 12.996), "13.0");
        assert_eq!(score("mae", 1234.5), "1234");
    }

    #[test]
    fn a_command_says_what_is_not_usual_and_is_one_for_a_shell() {
        let options = FineTuneOptions {
            data: Some("my photos/it's".into()),
            epochs: 2,
            nesterov: true,
            out: Some("runs/a".into()),
            ..FineTuneOptions::default()
        };
        assert_eq!(
            command(&options),
            r"taper finetune --data 'my photos/it'\''s' --epochs 2 --nesterov"
        );
        assert_eq!(command(&FineTuneOptions::default()), "taper finetune");
    }
}
