//! What is known of a classifier: the loss it is trained with and the metrics it is judged by.
//!
//! Above: `tune`, `evaluate`, `warm_head`. Below: `taper_layers::loss`, `taper_train`. Not here: names of classes and pictures (`data`).

use taper_layers::loss::CrossEntropy;
use taper_train::{Accuracy, LogLoss, Metric, Review, Scores};

use crate::error::{Error, Result};
use crate::options::FineTuneOptions;

/// The output that a classifier is trained and judged by.
pub(crate) const LOGITS: &str = "logits";

/// Mean cross-entropy, the shares of right answers among the first and the first five, and the review.
pub(crate) struct Metrics {
    /// Confusion and mistakes of the last evaluation.
    pub(crate) review: Review,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self { review: Review::new() }
    }

    /// All of them; the first but the loss picks the best model.
    pub(crate) fn all(&mut self) -> Vec<Box<dyn Metric + '_>> {
        vec![
            Box::new(LogLoss::new()),
            Box::new(Accuracy::top(1)),
            Box::new(Accuracy::top(5)),
            Box::new(&mut self.review),
        ]
    }
}

/// What the metrics came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClassificationScores {
    /// Nats.
    pub(crate) loss: f64,
    pub(crate) top1: f64,
    pub(crate) top5: f64,
}

impl From<&Scores> for ClassificationScores {
    /// Of scores of [`Metrics`]; what is missing is no number.
    fn from(scores: &Scores) -> Self {
        let value = |name| scores.get(name).unwrap_or(f64::NAN);
        Self { loss: value("loss"), top1: value("top1"), top5: value("top5") }
    }
}

/// Cross-entropy, smoothed as asked.
pub(crate) fn loss(options: &FineTuneOptions) -> Result<CrossEntropy> {
    let loss = CrossEntropy::new().with_label_smoothing(options.label_smoothing);
    loss.map_err(|source| Error::Train { source: source.into() })
}
