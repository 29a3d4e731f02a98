//! Metrics of one class out of many: how often it is among the likeliest, and how surprising it is.
//!
//! Above: `metrics`. Below: `data::Targets`. Not here: which answers were wrong (`metrics::review`), many labels at once (`metrics::labels`).
//! They take classes, class maps (then every position counts), and probabilities, of which the largest is the class.

use taper_data::Targets;

use super::{Goal, Mean, Metric, Output, Predictions};
use crate::error::{Error, Result};

/// The share of samples whose class is among the `k` largest logits: `top1`, `top5`. For maps, of positions: pixel accuracy.
///
/// Equal logits rank by class, the lower first; a row with a NaN counts as wrong. With fewer than `k` classes every row is right.
#[derive(Debug, Clone)]
pub struct Accuracy {
    k: usize,
    ignore_index: Option<u32>,
    hits: Mean,
}

impl Accuracy {
    /// Among the `k` likeliest.
    #[must_use]
    pub fn top(k: usize) -> Self {
        Self { k, ignore_index: None, hits: Mean::default() }
    }

    /// A class that stands for none: it is not counted.
    #[must_use]
    pub fn with_ignore_index(mut self, ignore_index: u32) -> Self {
        self.ignore_index = Some(ignore_index);
        self
    }
}

impl Metric for Accuracy {
    fn name(&self) -> String {
        format!("top{}", self.k)
    }

    fn goal(&self) -> Goal {
        Goal::Maximize
    }

    fn reset(&mut self) {
        self.hits = Mean::default();
    }

    fn update(&mut self, batch: &Predictions<'_>) -> Result<()> {
        for_each_row(&self.name(), batch, self.ignore_index, |_, row, class| {
            self.hits.add(if rank(row, class) < self.k { 1.0 } else { 0.0 });
        })
    }

    fn compute(&self) -> Option<f64> {
        Some(self.hits.value())
    }

    fn state(&self) -> Vec<f64> {
        self.hits.state()
    }

    fn load_state(&mut self, state: &[f64]) {
        self.hits = Mean::load(state);
    }
}

/// Mean cross-entropy in nats, without label smoothing and class weights: `loss`, in the place of that of the loss function.
#[derive(Debug, Clone, Default)]
pub struct LogLoss {
    loss: Mean,
}

impl LogLoss {
    /// Of no samples yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Metric for LogLoss {
    fn name(&self) -> String {
        super::scores::LOSS.to_owned()
    }

    fn goal(&self) -> Goal {
        Goal::Minimize
    }

    fn reset(&mut self) {
        self.loss = Mean::default();
    }

    fn update(&mut self, batch: &Predictions<'_>) -> Result<()> {
        for_each_row(&self.name(), batch, None, |_, row, class| {
            self.loss.add(Answer::of(row, class).loss);
        })
    }

    fn compute(&self) -> Option<f64> {
        Some(self.loss.value())
    }

    fn state(&self) -> Vec<f64> {
        self.loss.state()
    }

    fn load_state(&mut self, state: &[f64]) {
        self.loss = Mean::load(state);
    }
}

/// Calls `f` with the number of each row of logits, the row and its class, which is below its length; rows of the class `ignored` are left
/// out.
pub(super) fn for_each_row(
    metric: &str,
    batch: &Predictions<'_>,
    ignored: Option<u32>,
    mut f: impl FnMut(usize, &[f32], usize),
) -> Result<()> {
    let (output, targets) = (batch.single()?, batch.targets());
    let k = output.channels();
    let classes = classes_of(metric, &output, targets)?;
    let counts = |class: &u32| Some(*class) != ignored;
    if let Some(&target) = classes.iter().find(|class| counts(class) && **class as usize >= k) {
        return Err(Error::Target { target, classes: k });
    }
    for (i, (row, class)) in output.rows().zip(classes.iter()).enumerate() {
        if counts(class) {
            f(i, row, *class as usize);
        }
    }
    Ok(())
}

/// The class of each row of an output.
fn classes_of<'a>(
    metric: &str,
    output: &Output<'_>,
    targets: &'a Targets,
) -> Result<std::borrow::Cow<'a, [u32]>> {
    let (rows, k) = (output.values.len() / output.channels().max(1), output.channels());
    let likeliest = |row: &[f32]| u32::try_from(largest(row)).unwrap_or(u32::MAX);
    let classes: std::borrow::Cow<'a, [u32]> = match targets {
        Targets::Classes(_) | Targets::ClassMaps(_) => targets.classes().unwrap_or(&[]).into(),
        Targets::Probabilities(array) if array.shape().len() == 2 => {
            array.values().chunks_exact(k.max(1)).map(likeliest).collect::<Vec<_>>().into()
        }
        Targets::Probabilities(_)
        | Targets::Labels(_)
        | Targets::Numbers(_)
        | Targets::Named(_) => {
            let expected = "classes, class maps or probabilities (n, k)";
            return Err(Error::target_kind(metric, expected, targets));
        }
    };
    match classes.len() == rows {
        true => Ok(classes),
        false => {
            let what = format!("output `{}`", output.name);
            Err(Error::shape(&what, output.shape, format!("{} rows of logits", classes.len())))
        }
    }
}

/// The place of the largest value, of equal ones the first; a NaN is never the larger one.
pub(super) fn largest(row: &[f32]) -> usize {
    (1..row.len()).fold(0, |best, class| if before(row, class, best) { class } else { best })
}

fn before(row: &[f32], class: usize, other: usize) -> bool {
    row[class] > row[other] || (row[class] >= row[other] && class < other)
}

/// How many classes rank before the target; with a NaN in the row, more than there are.
pub(super) fn rank(row: &[f32], target: usize) -> usize {
    match row.iter().any(|logit| logit.is_nan()) {
        true => usize::MAX,
        false => (0..row.len()).filter(|&class| before(row, class, target)).count(),
    }
}

/// What one row of logits says about its target.
pub(super) struct Answer {
    pub(super) loss: f64,
    pub(super) predicted: usize,
    pub(super) probability: f64,
}

impl Answer {
    pub(super) fn of(row: &[f32], target: usize) -> Self {
        let predicted = largest(row);
        let largest = f64::from(row[predicted]);
        let total: f64 = row.iter().map(|&logit| (f64::from(logit) - largest).exp()).sum();
        Self {
            loss: largest + total.ln() - f64::from(row[target]),
            predicted,
            probability: total.recip(),
        }
    }
}
