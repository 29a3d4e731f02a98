//! What an evaluation comes to: a number for each metric.
//!
//! Above: `evaluate`, `fit`, `checkpoint`, `log`. Below: `metrics::Metric`. Not here: how numbers are collected.

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, SerializeMap, Serializer};
use taper_data::Skipped;

use super::{Goal, Metric};

/// The values of metrics over a number of samples, by name, in the order the metrics had.
///
/// As JSON: one object with the values and, last, `samples`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scores {
    /// Names and values; the mean loss is called `loss`.
    pub values: Vec<(String, f64)>,
    /// How many samples.
    pub samples: usize,
}

/// All that one pass over a set tells.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// The values of the metrics.
    pub scores: Scores,
    /// Samples of the set that could not be read and are not counted in the scores.
    pub skipped: Vec<Skipped>,
}

/// The name of the mean loss among scores.
pub(crate) const LOSS: &str = "loss";
const SAMPLES: &str = "samples";

impl Scores {
    /// The value of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<f64> {
        self.values.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    /// What metrics say about so many samples; those that are no number are left out.
    pub(crate) fn of<'m>(metrics: &[Box<dyn Metric + 'm>], samples: usize) -> Self {
        let values = metrics.iter().filter_map(|metric| Some((metric.name(), metric.compute()?)));
        Self { values: values.collect(), samples }
    }

    /// Whether these are better than others: by the value of `name`, of equal ones by the lower loss. What is no number is worse than
    /// any.
    pub(crate) fn beats(&self, others: &Self, name: &str, goal: Goal) -> bool {
        let value = |scores: &Self, name: &str| scores.get(name).filter(|value| value.is_finite());
        let (mine, theirs) = match (value(self, name), value(others, name)) {
            (Some(mine), Some(theirs)) => (mine, theirs),
            (mine, theirs) => return mine.is_some() && theirs.is_none(),
        };
        let (better, equal) = match goal {
            Goal::Maximize => (mine > theirs, mine >= theirs),
            Goal::Minimize => (mine < theirs, mine <= theirs),
        };
        let (loss, their_loss) = (value(self, LOSS), value(others, LOSS));
        better || (equal && loss.zip(their_loss).is_some_and(|(loss, theirs)| loss < theirs))
    }
}

/// Where a share of `samples` lies with 95 % confidence: Wilson's score interval (1927), which is right for few samples and near 0 and 1,
/// too.
///
/// # Examples
/// ```
/// let [low, high] = taper_train::confidence_interval(0.9, 100);
/// assert!((low - 0.8256).abs() < 1e-3 && (high - 0.9448).abs() < 1e-3);
/// ```
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "sample counts stay far below 2^53")]
pub fn confidence_interval(share: f64, samples: usize) -> [f64; 2] {
    /// The normal distribution's quantile of 0.975.
    const Z: f64 = 1.959_963_984_540_054;
    if samples == 0 {
        return [0.0, 1.0];
    }
    let n = samples as f64;
    let middle = share + Z * Z / (2.0 * n);
    let half = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    let whole = 1.0 + Z * Z / n;
    [((middle - half) / whole).max(0.0), ((middle + half) / whole).min(1.0)]
}

impl Serialize for Scores {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.values.len() + 1))?;
        for (name, value) in &self.values {
            map.serialize_entry(name, value)?;
        }
        map.serialize_entry(SAMPLES, &self.samples)?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Scores {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = serde_json::Map::deserialize(deserializer)?;
        let (mut values, mut samples) = (Vec::new(), None);
        for (name, value) in map {
            if name == SAMPLES {
                samples = value.as_u64().and_then(|samples| usize::try_from(samples).ok());
            } else if value.is_null() {
                values.push((name, f64::NAN)); // JSON has no other word for it
            } else {
                let number = value.as_f64();
                values.push((name, number.ok_or_else(|| D::Error::custom("a score is a number"))?));
            }
        }
        let samples = samples.ok_or_else(|| D::Error::missing_field(SAMPLES))?;
        Ok(Self { values, samples })
    }
}
