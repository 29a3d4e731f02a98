//! Budgets: what a network may cost.
//!
//! Above: `cost`, `ranks`, the binary's `--assert`. Below: `report`. Not here: the costs.

use std::fmt;
use std::str::FromStr;

use super::CostReport;
use crate::error::Error;

/// Something that can be asserted of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// Trained parameters.
    Params,
    /// Multiply-accumulates of an image.
    Macs,
    /// Floating-point operations of an image.
    Flops,
    /// Elements of all outputs of layers.
    Activations,
    /// Bytes of the parameters.
    Weights,
    /// Bytes of what lives between layers at once.
    Peak,
    /// Bytes of inference in all.
    Memory,
    /// Bytes of training in all.
    TrainingMemory,
    /// Time of a batch.
    Latency,
    /// Time of a training step.
    TrainingLatency,
}

const METRICS: [(&str, Metric); 10] = [
    ("params", Metric::Params),
    ("macs", Metric::Macs),
    ("flops", Metric::Flops),
    ("activations", Metric::Activations),
    ("weights", Metric::Weights),
    ("peak", Metric::Peak),
    ("memory", Metric::Memory),
    ("training-memory", Metric::TrainingMemory),
    ("latency", Metric::Latency),
    ("training-latency", Metric::TrainingLatency),
];

/// Suffixes of numbers: counts and bytes in thousands, bytes in 1024, seconds.
const COUNTS: [(&str, f64); 4] = [("k", 1e3), ("M", 1e6), ("G", 1e9), ("", 1.0)];
const BYTES: [(&str, f64); 10] = [
    ("KiB", 1024.0),
    ("MiB", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
    ("TiB", 1_099_511_627_776.0),
    ("kB", 1e3),
    ("KB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("TB", 1e12),
    ("B", 1.0),
];
/// Of a network, in bytes a second; networks are spoken of in bits.
const BITS: [(&str, f64); 3] = [("Mb", 1e6 / 8.0), ("Gb", 1e9 / 8.0), ("Tb", 1e12 / 8.0)];
const TIMES: [(&str, f64); 4] = [("ms", 1e-3), ("us", 1e-6), ("µs", 1e-6), ("s", 1.0)];

const EXPECTED: &str = "a metric (params, macs, flops, activations, weights, peak, memory, training-memory, latency, \
    training-latency), <= or <, and a number with its unit, as in macs<=300M, memory<=64MiB or latency<=4ms";

/// A bound on a metric, such as `macs<=300M`.
#[derive(Debug, Clone, PartialEq)]
pub struct Assertion {
    /// Of what.
    pub metric: Metric,
    /// The most that is allowed, in counts, bytes or seconds.
    pub limit: f64,
    /// Whether the limit itself is allowed.
    pub inclusive: bool,
    /// As it was written.
    pub text: String,
}

impl FromStr for Assertion {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refused = || Error::Malformed {
            what: "assertion",
            got: text.chars().take(100).collect(),
            expected: EXPECTED,
        };
        let (name, rest) = text.split_once('<').ok_or_else(refused)?;
        let (inclusive, number) = match rest.strip_prefix('=') {
            Some(number) => (true, number),
            None => (false, rest),
        };
        let name = name.trim().replace('_', "-");
        let metric = METRICS.iter().find(|(known, _)| *known == name).ok_or_else(refused)?.1;
        let limit = quantity(number.trim(), metric.units()).ok_or_else(refused)?;
        Ok(Self { metric, limit, inclusive, text: text.to_owned() })
    }
}

impl fmt::Display for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Bytes as people write them: `4GiB`, `512MB`, `1000`.
///
/// # Errors
/// [`Error::Malformed`].
///
/// # Examples
/// ```
/// assert_eq!(taper_recipes::parse_bytes("64MiB")?, 64 << 20);
/// assert!(taper_recipes::parse_bytes("64 apples").is_err());
/// # Ok::<(), taper_recipes::Error>(())
/// ```
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a positive number, cut to whole bytes; more than there are addresses is as much as there are"
)]
pub fn parse_bytes(text: &str) -> Result<u64, Error> {
    let got = || text.chars().take(100).collect();
    let expected = "a number with its unit, such as 512MiB or 4GB";
    let bytes = quantity(text.trim(), Unit::Bytes);
    bytes.map(|bytes| bytes as u64).ok_or_else(|| Error::Malformed {
        what: "amount of memory",
        got: got(),
        expected,
    })
}

/// In what a metric is counted.
#[derive(Clone, Copy)]
pub(super) enum Unit {
    Count,
    Bytes,
    Bits,
    Time,
}

impl Metric {
    fn units(self) -> Unit {
        match self {
            Self::Params | Self::Macs | Self::Flops | Self::Activations => Unit::Count,
            Self::Weights | Self::Peak | Self::Memory | Self::TrainingMemory => Unit::Bytes,
            Self::Latency | Self::TrainingLatency => Unit::Time,
        }
    }

    /// Of a report, in counts, bytes or seconds; a time that is not known is none.
    fn of(self, report: &CostReport) -> Option<f64> {
        let ms = |predicted: Option<f64>, measured: Option<f64>| {
            measured.or(predicted).map(|ms| ms / 1e3)
        };
        let time = report.time.as_ref();
        Some(match self {
            Self::Params => report.params as f64,
            Self::Macs => report.macs as f64,
            Self::Flops => report.flops as f64,
            Self::Activations => report.activations as f64,
            Self::Weights => report.memory.weights_bytes as f64,
            Self::Peak => report.peak_activation_bytes as f64,
            Self::Memory => report.memory.total_bytes as f64,
            Self::TrainingMemory => report.training_memory.total_bytes as f64,
            Self::Latency => ms(time.map(|time| time.ms), report.measured_ms)?,
            Self::TrainingLatency => {
                ms(time.map(|time| time.training_ms), report.measured_training_ms)?
            }
        })
    }
}

/// A number with a unit; none if it is not that, or negative, or infinite.
pub(super) fn quantity(text: &str, unit: Unit) -> Option<f64> {
    let units: &[(&str, f64)] = match unit {
        Unit::Count => &COUNTS,
        Unit::Bytes => &BYTES,
        Unit::Bits => &BITS,
        Unit::Time => &TIMES,
    };
    let end = text.find(char::is_alphabetic).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (number, suffix) = (number.trim().replace('_', ""), suffix.trim());
    let bare = suffix.is_empty() && matches!(unit, Unit::Bytes);
    let factor = match units.iter().find(|(known, _)| *known == suffix) {
        Some((_, factor)) => *factor,
        None if bare => 1.0,
        None => return None,
    };
    let value = number.parse::<f64>().ok()? * factor;
    (value.is_finite() && value >= 0.0).then_some(value)
}

impl Assertion {
    /// What is over, and by how much; none if the bound holds.
    ///
    /// # Errors
    /// [`Error::NotPredicted`] for a time that is neither predicted nor measured.
    pub fn check(&self, report: &CostReport) -> Result<Option<String>, Error> {
        let found = self
            .metric
            .of(report)
            .ok_or_else(|| Error::NotPredicted { assertion: self.text.clone() })?;
        let holds = if self.inclusive { found <= self.limit } else { found < self.limit };
        if holds {
            return Ok(None);
        }
        let written = match self.metric.units() {
            Unit::Count => count(found),
            Unit::Bytes | Unit::Bits => format!("{}B", count(found)),
            Unit::Time => taper_cost::Seconds(found).to_string(),
        };
        let over = 100.0 * (found / self.limit - 1.0);
        let over = if over.is_finite() { format!(", {over:.1} % over") } else { String::new() };
        Ok(Some(format!("{} does not hold: it is {written}{over}", self.text)))
    }
}

/// With four digits, so that what is a little over is seen to be.
fn count(value: f64) -> String {
    let units = [(1e9, " G"), (1e6, " M"), (1e3, " k")];
    match units.iter().find(|(size, _)| value >= *size) {
        Some((size, unit)) => format!("{:.4}{unit}", value / size),
        None => format!("{value:.0} "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Assertion {
        text.parse().unwrap()
    }

    #[test]
    fn bounds_are_read_with_their_units() {
        let assertion = parsed("macs<=300M");
        assert_eq!((assertion.metric, assertion.inclusive), (Metric::Macs, true));
        assert!((assertion.limit - 3e8).abs() < 1e-3);
        assert!((parsed("latency < 4.5 ms").limit - 4.5e-3).abs() < 1e-12);
        assert!((parsed("memory<=64MiB").limit - f64::from(64 << 20)).abs() < 1e-3);
        assert!((parsed("training_memory<=1GB").limit - 1e9).abs() < 1e-3);
        assert!(!parsed("params<5_000_000").inclusive);
    }

    #[test]
    fn what_is_no_bound_is_refused_with_an_example() {
        let wrong = [
            "",
            "macs",
            "macs>=3",
            "macs<=",
            "macs<=300X",
            "macs<=-1",
            "apples<=3",
            "latency<=4",
            "latency<=4MB",
            "macs<=NaN",
            "macs<=inf",
            "<=3",
            "macs<=1e400",
            "macs<=3MM",
        ];
        for text in wrong {
            let error = text.parse::<Assertion>().unwrap_err();
            assert!(error.is_request());
            assert!(error.to_string().contains("macs<=300M"), "{error}");
        }
    }

    #[test]
    fn memory_is_read_as_people_write_it() {
        assert_eq!(parse_bytes("4GiB").unwrap(), 4 << 30);
        assert_eq!(parse_bytes("1.5 MB").unwrap(), 1_500_000);
        assert_eq!(parse_bytes("1000").unwrap(), 1000);
        assert!(parse_bytes("4 GiB of memory").is_err());
    }
}
