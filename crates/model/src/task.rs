//! What a network's outputs mean.
//!
//! Above: `model`, `file`. Below: nothing. Not here: the names of the outputs (`model`), losses and metrics (`taper-layers`, `taper-train`).

use std::fmt;

use serde::{Deserialize, Serialize};

/// How the logits of a model are read.
///
/// # Examples
/// ```
/// use taper_model::Task;
/// assert_eq!(Task::default().probabilities(&[0.0, 0.0]), [0.5, 0.5]);
/// assert_eq!(Task::MultiLabel.probabilities(&[0.0, 0.0, 0.0]), [0.5, 0.5, 0.5]);
/// assert_eq!(Task::Regression.to_string(), "regression");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// One class out of many: a softmax makes them probabilities.
    #[default]
    Classification,
    /// Any number of labels: a sigmoid makes each a probability.
    MultiLabel,
    /// Numbers as they are.
    Regression,
}

impl Task {
    /// One number for each logit of a picture: probabilities, or the numbers themselves.
    #[must_use]
    pub fn probabilities(self, logits: &[f32]) -> Vec<f64> {
        self.probabilities_at(logits, 1.0)
    }

    /// The same where the logits of classes are divided by a temperature first: above 1 the likeliest class is less likely, below 1
    /// more, and it stays the likeliest.
    ///
    /// # Examples
    /// ```
    /// use taper_model::Task;
    /// let sure = [2.0, 0.0];
    /// assert_eq!(Task::Classification.probabilities_at(&sure, 2.0), Task::Classification.probabilities(&[1.0, 0.0]));
    /// ```
    #[must_use]
    pub fn probabilities_at(self, logits: &[f32], temperature: f64) -> Vec<f64> {
        let logits = logits.iter().map(|&logit| f64::from(logit));
        match self {
            Self::Classification => {
                let largest = logits.clone().fold(f64::NEG_INFINITY, f64::max);
                let exps: Vec<f64> =
                    logits.map(|logit| ((logit - largest) / temperature).exp()).collect();
                let total: f64 = exps.iter().sum();
                exps.into_iter().map(|exp| exp / total).collect()
            }
            Self::MultiLabel => logits.map(|logit| 1.0 / (1.0 + (-logit).exp())).collect(),
            Self::Regression => logits.collect(),
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Classification => "classification",
            Self::MultiLabel => "multi-label",
            Self::Regression => "regression",
        })
    }
}
