//! Logits to the likeliest classes with their probabilities.
//!
//! Above: `classifier`, `recipes`. Below: `model::Task`. Not here: comparing with the truth (`train::metrics`).

use serde::Serialize;
use taper_model::Task;

/// A class and how likely it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassProbability {
    /// The class's name; its index where the model names none.
    pub class: String,
    /// Its index in the model.
    pub index: usize,
    /// From 0 to 1; all classes together have 1, unless they are labels of which any number holds.
    pub probability: f64,
}

/// The `k` largest logits as [probabilities](Task::probabilities_at) at a temperature, 1 for those of the logits as they are, the largest first; of equal ones, the lower index first.
///
/// # Examples
/// ```
/// use taper_model::Task;
/// let classes = ["ants", "bees"].map(str::to_owned);
/// let found = taper_classifier::likeliest(Task::Classification, 1.0, &[0.0, 3.0_f32.ln()], &classes, 1);
/// assert_eq!((found[0].class.as_str(), found[0].index), ("bees", 1));
/// assert!((found[0].probability - 0.75).abs() < 1e-6);
/// ```
#[must_use]
pub fn likeliest(
    task: Task,
    temperature: f64,
    logits: &[f32],
    classes: &[String],
    k: usize,
) -> Vec<ClassProbability> {
    let probabilities = task.probabilities_at(logits, temperature);
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    let name = |index: usize| classes.get(index).cloned().unwrap_or_else(|| index.to_string());
    let best = order.into_iter().take(k);
    best.map(|index| ClassProbability {
        class: name(index),
        index,
        probability: probabilities[index],
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::{Task, likeliest};

    #[test]
    fn probabilities_are_a_softmax_in_falling_order() {
        let classes = ["a", "b", "c"].map(str::to_owned);
        let found = likeliest(Task::Classification, 1.0, &[0.0, 2.0_f32.ln(), 0.0], &classes, 2);
        assert_eq!((found[0].class.as_str(), found[0].index), ("b", 1));
        assert!((found[0].probability - 0.5).abs() < 1e-6);
        assert_eq!((found[1].class.as_str(), found.len()), ("a", 2));
    }

    #[test]
    fn more_classes_than_there_are_gives_all() {
        assert_eq!(likeliest(Task::Classification, 1.0, &[1.0, 2.0], &[], 5).len(), 2);
    }
}
