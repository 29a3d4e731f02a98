//! What would be gained: one factor of a network changed step by step, and parts of it left out.
//!
//! Above: `cost`, the binary. Below: `cost`, `taper_cost::what_if`. Not here: how a graph is changed (`taper_cost`).

use serde::Serialize;
use taper_cost::Calibration;
use taper_cost::what_if::{Change, Removable, RemovablePart, Sweep, apply, removable};
use taper_engine::Cpu;

use super::{CostNetwork, CostOptions, CostReport, Predictor, cost_of};
use crate::error::{Error, Result};

/// A factor at all its values.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SweepReport {
    /// What is changed, as it was asked for: `image-size`, `filters:conv_stem`.
    pub factor: String,
    /// In the order of the values.
    pub rows: Vec<SweepRow>,
}

/// A network with one factor changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SweepRow {
    /// The value.
    pub value: String,
    /// Its costs.
    #[serde(flatten)]
    pub cost: CostSummary,
}

/// The costs of a network in one line.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CostSummary {
    /// Trained parameters.
    pub params: u64,
    /// Multiply-accumulates of an image.
    pub macs: u64,
    /// Elements of the outputs of all layers.
    pub activations: u64,
    /// Bytes of the weights.
    pub weights_bytes: u64,
    /// Bytes of the tensors that live at once in inference, at most.
    pub peak_activation_bytes: u64,
    /// Bytes of a training step.
    pub training_bytes: u64,
    /// Predicted milliseconds of a batch.
    pub ms: Option<f64>,
    /// Predicted milliseconds of a training step.
    pub training_ms: Option<f64>,
}

impl CostSummary {
    /// Of a whole report.
    #[must_use]
    pub fn of(report: &CostReport) -> Self {
        Self {
            params: report.params,
            macs: report.macs,
            activations: report.activations,
            weights_bytes: report.memory.weights_bytes,
            peak_activation_bytes: report.peak_activation_bytes,
            training_bytes: report.training_memory.total_bytes,
            ms: report.time.as_ref().map(|time| time.ms),
            training_ms: report.time.as_ref().map(|time| time.training_ms),
        }
    }
}

impl CostSummary {
    /// How much less `other` costs; nothing where it costs more.
    fn less(&self, other: &Self) -> Self {
        let time = |own: Option<f64>, other: Option<f64>| Some(own? - other?);
        Self {
            params: self.params.saturating_sub(other.params),
            macs: self.macs.saturating_sub(other.macs),
            activations: self.activations.saturating_sub(other.activations),
            weights_bytes: self.weights_bytes.saturating_sub(other.weights_bytes),
            peak_activation_bytes: self
                .peak_activation_bytes
                .saturating_sub(other.peak_activation_bytes),
            training_bytes: self.training_bytes.saturating_sub(other.training_bytes),
            ms: time(self.ms, other.ms),
            training_ms: time(self.training_ms, other.training_ms),
        }
    }
}

/// What leaving a part out would save.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Saving {
    /// The scope or the layer.
    pub name: String,
    /// `block` or `layer`.
    pub part: &'static str,
    /// How much less the network costs without it.
    #[serde(flatten)]
    pub saved: CostSummary,
}

/// A factor and its values as they are written: `image-size=96..256:32`, `filters:conv_stem=8,16`.
///
/// # Errors
/// [`Error::Cost`], which says what was expected where.
pub fn parse_sweep(text: &str) -> Result<Sweep> {
    text.parse().map_err(|source| Error::Cost { source })
}

/// Costs of a network at every value of a factor.
///
/// # Errors
/// [`Error::Cost`], which names the layer, for a value that the network cannot take; as [`cost_of`](super::cost_of).
pub fn sweep_costs(
    network: &CostNetwork,
    options: &CostOptions,
    calibration: Option<&Calibration>,
    sweep: &Sweep,
) -> Result<SweepReport> {
    let row = |change: &Change| {
        let graph = apply(&network.graph, change).map_err(|source| Error::Cost { source })?;
        let network = CostNetwork { graph, ..network.clone() };
        let mut options = CostOptions { memory: None, ..options.clone() };
        match change {
            Change::ImageSize(size) => options.image_size = Some(*size),
            Change::Batch(batch) => options.batch = *batch,
            Change::Threads(threads) => options.threads = *threads,
            Change::Width(_)
            | Change::Depth(_)
            | Change::Filters { .. }
            | Change::Stride { .. }
            | Change::Pool { .. }
            | Change::Head(_) => {}
        }
        let cost = CostSummary::of(&cost_of(&network, &options, calibration)?);
        Ok(SweepRow { value: change.value(), cost })
    };
    let rows: Result<Vec<SweepRow>> = sweep.values().iter().map(row).collect();
    Ok(SweepReport { factor: sweep.factor().to_string(), rows: rows? })
}

/// What leaving each block and each layer out would save, where the network is still one without it.
///
/// # Errors
/// As [`cost_of`](super::cost_of).
pub fn savings(
    network: &CostNetwork,
    options: &CostOptions,
    calibration: Option<&Calibration>,
) -> Result<Vec<Saving>> {
    let options = CostOptions { memory: None, ..options.clone() };
    let predictor = Predictor::new(&options, calibration)?;
    let whole = CostSummary::of(&predictor.cost_of(network, &options)?);
    let size = options.image_size.unwrap_or(network.size);
    let parts = removable(&network.graph, size).map_err(|source| Error::Cost { source })?;
    let parts: Vec<Removable> = parts.collect();
    let saving = |part: &Removable| {
        let network = CostNetwork { graph: part.graph.clone(), ..network.clone() };
        let left = CostSummary::of(&predictor.cost_of(&network, &options)?);
        let part_kind = match part.part {
            RemovablePart::Block => "block",
            RemovablePart::Layer => "layer",
        };
        Ok(Saving { name: part.name.clone(), part: part_kind, saved: whole.less(&left) })
    };
    // Shared out among the cores; in their order all the same.
    let share = parts.len().div_ceil(Cpu::new(0).threads()).max(1);
    let some = |parts: &[Removable]| parts.iter().map(saving).collect::<Vec<_>>();
    let some = &some;
    std::thread::scope(|scope| {
        let shares: Vec<_> =
            parts.chunks(share).map(|parts| scope.spawn(move || some(parts))).collect();
        let done = shares.into_iter().flat_map(|share| match share.join() {
            Ok(savings) => savings,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        done.collect()
    })
}
