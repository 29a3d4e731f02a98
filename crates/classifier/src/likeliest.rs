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

/// What `views` views of each picture say together: logits `(n · views, k)` become `(n, k)`, whose probabilities are the means of those of
/// the views; numbers are averaged themselves.
///
/// # Examples
/// ```
/// use taper_model::Task;
/// let logits = [0.0, 0.0, 0.0, 3.0_f32.ln()]; // 0.5, 0.5 and 0.25, 0.75
/// let both = taper_classifier::mean_of_views(Task::Classification, &logits, 2, 2);
/// let probabilities = Task::Classification.probabilities(&both);
/// assert!((probabilities[1] - 0.625).abs() < 1e-6);
/// ```
#[must_use]
pub fn mean_of_views(task: Task, logits: &[f32], views: usize, k: usize) -> Vec<f32> {
    if views <= 1 {
        return logits.to_vec();
    }
    let (k, n) = (k.max(1), views as f64);
    let of_picture = logits.chunks_exact(views * k);
    let together = of_picture.flat_map(|rows| {
        let mut sums = vec![0.0; k];
        for row in rows.chunks_exact(k) {
            let values = match task {
                Task::Classification | Task::MultiLabel => task.probabilities(row),
                Task::Regression => row.iter().map(|&value| f64::from(value)).collect(),
            };
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value / n);
        }
        sums
    });
    together.map(|mean| as_logit(task, mean)).collect()
}

/// What has this probability.
#[expect(clippy::cast_possible_truncation, reason = "logits are of this precision")]
fn as_logit(task: Task, mean: f64) -> f32 {
    let least = f64::from(f32::MIN_POSITIVE);
    match task {
        Task::Classification => mean.max(least).ln() as f32,
        Task::MultiLabel => (mean.max(least).ln() - (1.0 - mean).max(least).ln()) as f32,
        Task::Regression => mean as f32,
    }
}

#[cfg(test)]
mod tests {
    use super::{Task, likeliest, mean_of_views};

    #[test]
    fn views_are_averaged_as_probabilities_and_numbers_as_they_are() {
        let logits = [1.0, -2.0, 0.5, 3.0, 40.0, -300.0, 200.0, 0.0];
        assert_eq!(mean_of_views(Task::Classification, &logits, 1, 2), logits);
        assert_eq!(mean_of_views(Task::Regression, &logits, 2, 2), [0.75, 0.5, 120.0, -150.0]);
        for task in [Task::Classification, Task::MultiLabel] {
            let both = mean_of_views(task, &logits, 2, 2);
            assert!(both.iter().all(|logit| logit.is_finite()), "{both:?}");
            let got = task.probabilities(&both[..2]);
            let [a, b] = [&logits[..2], &logits[2..4]].map(|row| task.probabilities(row));
            for (got, (a, b)) in got.iter().zip(a.iter().zip(&b)) {
                assert!((got - (a + b) / 2.0).abs() < 1e-6, "{task:?}: {got}");
            }
        }
    }

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
