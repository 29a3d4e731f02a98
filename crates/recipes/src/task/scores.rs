//! Scores by name, as reports and events have them.
//!
//! Above: `task`, `report`, `relay`. Below: `taper_train::Scores`. Not here: how they are computed.

use std::collections::BTreeMap;

use taper_train::Scores;

/// A metric and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedScore {
    /// The metric's name: `top1`, `f1`, `mae`, …
    pub name: String,
    /// Its value; shares from 0 to 1.
    pub value: f64,
}

/// All scores but the loss, in the order of their metrics.
pub(crate) fn named(scores: &Scores) -> Vec<NamedScore> {
    let others = scores.values.iter().filter(|(name, _)| name != "loss");
    others.map(|(name, value)| NamedScore { name: name.clone(), value: *value }).collect()
}

/// All scores by name; what is no number is left out.
pub(crate) fn top(scores: &Scores) -> BTreeMap<String, f64> {
    let finite = scores.values.iter().filter(|(_, value)| value.is_finite());
    finite.cloned().collect()
}

/// What the metrics of classes came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClassificationScores {
    /// Nats.
    pub(crate) loss: f64,
    pub(crate) top1: Option<f64>,
    pub(crate) top5: Option<f64>,
}

impl From<&Scores> for ClassificationScores {
    /// A loss that is missing is no number.
    fn from(scores: &Scores) -> Self {
        let loss = scores.get("loss").unwrap_or(f64::NAN);
        Self { loss, top1: scores.get("top1"), top5: scores.get("top5") }
    }
}
