//! What was measured on a machine, as a file holds it.
//!
//! Above: `latency`, `taper-engine`, which measures it. Below: `roof`, `units`. Not here: where such files lie (`taper-recipes`).

use serde::{Deserialize, Serialize};

use super::Roof;
use crate::{Error, Result, UnitShape};

/// The version of the file that this crate writes and reads.
pub const FORMAT: u32 = 3;

/// Samples and threads that a file may hold: many times what a calibration measures.
const MOST_SAMPLES: usize = 200_000;

/// A machine's times.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// [`FORMAT`].
    pub format: u32,
    /// Where it was measured.
    pub machine: Machine,
    /// What was measured, mode by mode.
    pub modes: Vec<ModeSamples>,
    /// What a training step takes beside its units.
    pub steps: Vec<StepSample>,
}

/// Where a calibration was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// The instruction set of the kernels.
    pub isa: String,
    /// Logical cores.
    pub cores: usize,
    /// The program's version.
    pub version: String,
    /// The day, `2026-11-26`.
    pub date: String,
}

impl Machine {
    /// Whether times measured on one hold on the other: the same processor, instruction set and number of cores.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        (&self.processor, &self.isa, self.cores) == (&other.processor, &other.isa, other.cores)
    }
}

/// How units were run when they were timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Inference: all threads on one image.
    Together,
    /// Inference: an image a thread, all threads at once.
    ImageAThread,
    /// The forward pass of a training step.
    Forward,
    /// The backward pass of a training step.
    Backward,
}

/// The times of one mode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModeSamples {
    /// How units were run.
    pub mode: Mode,
    /// On so many threads.
    pub threads: usize,
    /// What these threads can do at best.
    pub roof: Roof,
    /// Units.
    pub units: Vec<UnitSample>,
    /// Convolutions in bands.
    pub bands: Vec<BandSample>,
    /// Seconds of a run that belong to no unit.
    pub overhead: f64,
    /// What a run takes that goes on and on, over the sum of its units timed one by one.
    pub scale: f64,
}

/// A unit and how long it took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitSample {
    /// Its sizes, for one image.
    pub shape: UnitShape,
    /// Images.
    pub batch: usize,
    /// Multiply-accumulates of all images, those of gradients on the way back.
    pub macs: u64,
    /// Operations element by element of all images.
    pub elementwise: u64,
    /// Whether the gradient of its weight and of its input were computed.
    pub gradients: [bool; 2],
    /// Bytes of the network around it: what is large finds its weights in memory, not in a cache.
    pub around: u64,
    /// Seconds.
    pub seconds: f64,
}

/// Convolutions that ran in bands, and how long they took together.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BandSample {
    /// Of the depthwise one.
    pub shape: UnitShape,
    /// Time in bands over the time of one after the other.
    pub ratio: f64,
}

/// A training step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepSample {
    /// On so many threads.
    pub threads: usize,
    /// Numbers kept by the optimizer for each parameter.
    pub slots: usize,
    /// Trained parameters.
    pub params: u64,
    /// Trained tensors.
    pub tensors: usize,
    /// Elements of the batch of images.
    pub images: u64,
    /// Seconds beside its units: loss, optimizer, copies.
    pub seconds: f64,
}

impl Calibration {
    /// Reads a file's text, which a stranger may have written.
    ///
    /// # Errors
    /// [`Error::Calibration`] for other text, another version, or numbers that are none.
    pub fn from_json(text: &str) -> Result<Self> {
        let refused = |what: String| Error::Calibration { what };
        let format: Format = serde_json::from_str(text)
            .map_err(|source| refused(format!("is not a calibration: {source}")))?;
        if format.format != FORMAT {
            let found = format.format;
            return Err(refused(format!(
                "has format {found}, this version reads {FORMAT}; calibrate again with it"
            )));
        }
        let read: Self = serde_json::from_str(text)
            .map_err(|source| refused(format!("is not a calibration: {source}")))?;
        read.check().map_err(refused)?;
        Ok(read)
    }

    /// The text of a file.
    ///
    /// # Errors
    /// [`Error::Calibration`] for numbers that JSON cannot hold.
    pub fn to_json(&self) -> Result<String> {
        self.check().map_err(|what| Error::Calibration { what })?;
        serde_json::to_string(self)
            .map_err(|source| Error::Calibration { what: source.to_string() })
    }

    /// The samples of a mode on so many threads.
    ///
    /// # Errors
    /// [`Error::NotCalibrated`], which lists the threads there are.
    pub fn mode(&self, mode: Mode, threads: usize) -> Result<&ModeSamples> {
        let of_mode = || self.modes.iter().filter(|samples| samples.mode == mode);
        of_mode().find(|samples| samples.threads == threads).ok_or_else(|| Error::NotCalibrated {
            threads,
            known: of_mode().map(|samples| samples.threads).collect(),
        })
    }

    fn check(&self) -> std::result::Result<(), String> {
        let is_time = |seconds: f64| seconds.is_finite() && seconds >= 0.0;
        let count: usize = self.modes.iter().map(|mode| mode.units.len() + mode.bands.len()).sum();
        if count + self.steps.len() + self.modes.len() > MOST_SAMPLES {
            return Err(format!("holds {count} samples, at most {MOST_SAMPLES} are read"));
        }
        for mode in &self.modes {
            let roof = &mode.roof;
            let mut rates = roof.copies.iter().map(|copy| copy.1).chain([roof.flops_per_second]);
            if !rates.all(|rate| rate.is_finite() && rate > 0.0) {
                return Err("says that the machine does nothing in a second".to_owned());
            }
            let mut times =
                mode.units.iter().map(|unit| unit.seconds).chain([mode.overhead, mode.scale]);
            let mut ratios = mode.bands.iter().map(|band| band.ratio);
            if !times.all(is_time) || !ratios.all(|ratio| ratio.is_finite() && ratio > 0.0) {
                return Err("has times that are not positive numbers".to_owned());
            }
        }
        let mut others = self.steps.iter().map(|step| step.seconds);
        if others.all(is_time) {
            Ok(())
        } else {
            Err("has times that are not positive numbers".to_owned())
        }
    }
}

/// The part that is read before the rest, which another version may have changed.
#[derive(Deserialize)]
struct Format {
    format: u32,
}
