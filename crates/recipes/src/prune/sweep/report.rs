//! What a sweep reports: its points.
//!
//! Above: `sweep`, `sweep::folder`, the binary. Below: nothing. Not here: how points are made (`sweep`).

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The result of a sweep.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SweepReport {
    /// The network that was pruned.
    pub model: String,
    /// The network as it was first, then the points that are done.
    pub points: Vec<SweepPoint>,
    /// Held-out pictures behind the accuracies.
    pub images: usize,
    /// Seconds of this call.
    pub seconds: f64,
    /// The sweep's folder.
    #[serde(skip)]
    pub out: PathBuf,
    /// Whether it was asked to stop before its last point.
    pub stopped: bool,
}

/// What a point of a sweep is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PointKind {
    /// The network as it was.
    Unpruned,
    /// Its channels cut by the criterion.
    Pruned,
    /// Its channels cut at random.
    Random,
    /// Another network.
    Network,
}

impl PointKind {
    /// The word of JSON and CSV.
    pub(in crate::prune) fn word(self) -> &'static str {
        match self {
            Self::Unpruned => "unpruned",
            Self::Pruned => "pruned",
            Self::Random => "random",
            Self::Network => "network",
        }
    }
}

/// A network of a sweep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepPoint {
    /// Criterion and share, or the network's name.
    pub name: String,
    /// What it is.
    pub kind: PointKind,
    /// Share of multiply-accumulates that was asked for.
    pub share: Option<f64>,
    /// Multiply-accumulates of an image.
    pub macs: u64,
    /// Trained parameters.
    pub params: u64,
    /// Share of the held-out pictures that it names rightly right after the cut.
    pub top1_cut: Option<f64>,
    /// The same of the model file, after recovery.
    pub top1: f64,
    /// Milliseconds by batch, all networks measured in turns when the others are done; empty when stopped before that.
    #[serde(skip_deserializing)]
    pub latencies: Vec<PointLatency>,
    /// The model file; absent for the network as it was.
    pub model: Option<PathBuf>,
}

/// How long a batch takes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PointLatency {
    /// Images.
    pub batch: usize,
    /// Milliseconds, median.
    pub ms: f64,
}
