//! What pruning reports.
//!
//! Above: `prune`, the binary. Below: `prune::latency`. Not here: how it is computed (`prune`).

use std::path::PathBuf;

use serde::Serialize;

use super::LatencyPair;

/// The result of pruning.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PruneReport {
    /// Trained parameters before.
    pub params_before: u64,
    /// And after.
    pub params: u64,
    /// Multiply-accumulates of an image before.
    pub macs_before: u64,
    /// And after.
    pub macs: u64,
    /// Share of the held-out pictures that the network named rightly before the cut; absent without pictures.
    pub top1_before: Option<f64>,
    /// Right after the last cut, with the statistics of its norms averaged again.
    pub top1_cut: Option<f64>,
    /// Of the model file, after recovery.
    pub top1_after: Option<f64>,
    /// After the last epoch of recovery, which need not be the best.
    pub top1_last: Option<f64>,
    /// Milliseconds of a batch of one before, measured in turns with `latency_after_ms`; absent when stopped.
    pub latency_before_ms: Option<f64>,
    /// And after.
    pub latency_after_ms: Option<f64>,
    /// The same by batch.
    pub latencies: Vec<LatencyPair>,
    /// Whether every batch became faster; absent when stopped.
    pub is_faster: Option<bool>,
    /// Height and width of the images that it is for.
    pub image_size: [usize; 2],
    /// How the channels were chosen, in words.
    pub chosen_by: String,
    /// What became of each target.
    pub targets: Vec<TargetRow>,
    /// Every group that could be cut.
    pub layers: Vec<LayerRow>,
    /// Held-out pictures behind the shares.
    pub images: Option<usize>,
    /// Seconds of this call.
    pub seconds: f64,
    /// The model file; absent when stopped.
    pub model: Option<PathBuf>,
    /// The run's folder.
    #[serde(skip)]
    pub out: PathBuf,
    /// Whether it was asked to stop.
    pub stopped: bool,
}

/// A target.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TargetRow {
    /// What was counted.
    pub metric: String,
    /// Of the network as it was.
    pub before: f64,
    /// What was asked for.
    pub target: f64,
    /// Of the network as it is.
    pub after: f64,
}

/// The width of a group of layers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerRow {
    /// The first layer with these channels.
    pub name: String,
    /// Channels before.
    pub before: usize,
    /// Channels after.
    pub after: usize,
}
