//! What a network costs: counts, memory and time, before it runs.
//!
//! Above: the binary, Rust users. Below: `taper_cost`, `cost::{assertion, budget, csv, network, page, ranks, report, run, sweep}`, `calibration`, `source`. Not here: the counting
//! (`taper_cost`), measuring a machine (`calibration`).

mod assertion;
pub(crate) mod budget;
pub(crate) mod csv;
mod network;
pub(crate) mod page;
mod ranks;
mod report;
mod run;
mod sweep;

use std::path::PathBuf;

use taper_cost::{Calibration, LatencyModel, Prediction, Roof};
use taper_engine::Cpu;
use taper_graph::Graph;
use taper_transfer::Freeze;

use crate::bench::measure;
use crate::calibration;
use crate::error::{Error, Result};
use crate::options::{BenchMode, BenchOptions, FineTuneOptions, OptimizerKind};
use crate::setup;

pub use assertion::{Assertion, Metric, parse_bytes};
pub use budget::largest_batch;
pub use csv::write_costs_csv;
pub use network::Network as CostNetwork;
pub use page::{comparison_page, cost_page};
pub use ranks::{
    NetworkLink, RanksCost, RanksCostOptions, RanksRow, parse_link, parse_ranks, ranks_cost,
    write_ranks_csv,
};
pub use report::{
    CostReport, LayerCost, LiveTensorCost, MemoryCost, MomentCost, ScopeRow, TimeCost,
    TrainingMemoryCost, UnitRow,
};
pub use run::{RunCost, run_cost};
pub use sweep::{CostSummary, Saving, SweepReport, SweepRow, parse_sweep, savings, sweep_costs};

/// What is counted, and how it would run.
#[derive(Debug, Clone, PartialEq)]
pub struct CostOptions {
    /// A name, a model file, or a graph in JSON.
    pub model: String,
    /// Height and width of the image; the model's own if not said.
    pub image_size: Option<[usize; 2]>,
    /// Images a batch.
    pub batch: usize,
    /// Threads; 0 for all cores of this machine.
    pub threads: usize,
    /// What is not trained.
    pub freeze: Freeze,
    /// The optimizer, which keeps numbers for each parameter.
    pub optimizer: OptimizerKind,
    /// The calibration to predict by; this machine's own if not said.
    pub on: Option<PathBuf>,
    /// Runs it too.
    pub measure: Measure,
    /// Bytes that training may take: the largest batch that fits is found.
    pub memory: Option<u64>,
}

/// Whether a network is run beside being counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Measure {
    /// It is counted.
    #[default]
    No,
    /// It is run too.
    Yes,
}

impl CostOptions {
    /// The defaults for a model: a batch of one on all cores, everything trained.
    pub fn new(model: impl Into<String>) -> Self {
        CostOptions {
            model: model.into(),
            image_size: None,
            batch: 1,
            threads: 0,
            freeze: Freeze::None,
            optimizer: FineTuneOptions::default().optimizer,
            on: None,
            measure: Measure::No,
            memory: None,
        }
    }

    /// Refuses what cannot be meant.
    ///
    /// # Errors
    /// [`Error::Option`], which names the field.
    pub fn check(&self) -> Result<()> {
        crate::options::check_threads(self.threads)?;
        crate::options::at_least("batch", self.batch, 1)?;
        let sides = self.image_size.into_iter().flatten();
        sides.into_iter().try_for_each(|side| crate::options::at_least("image_size", side, 1))
    }

    /// The recipe that training would follow.
    fn recipe(&self) -> FineTuneOptions {
        let (freeze, optimizer) = (self.freeze.clone(), self.optimizer);
        FineTuneOptions { freeze, optimizer, ..FineTuneOptions::default() }
    }
}

/// Counts a network at a size, with its memory, and its time if the machine is calibrated.
///
/// No weight is read: a name is counted from its tables.
///
/// # Errors
/// [`Error::is_request`] tells a wrong request from work that failed.
///
/// # Examples
/// ```
/// use taper_recipes::{CostOptions, cost};
///
/// let report = cost(&CostOptions::new("mobilenetv2_100"))?;
/// assert_eq!((report.params, report.macs), (3_504_872, 300_774_272));
/// # Ok::<(), taper_recipes::Error>(())
/// ```
pub fn cost(options: &CostOptions) -> Result<CostReport> {
    options.check()?;
    let network = CostNetwork::open(&options.model)?;
    let calibration = calibration_for(options)?;
    let mut report = cost_of(&network, options, calibration.as_ref())?;
    if options.measure == Measure::Yes {
        let (model, recipe) = (network.model()?, options.recipe());
        let mode = |mode| {
            let options = BenchOptions {
                mode,
                batch: options.batch,
                threads: options.threads,
                seconds: 1.0,
                ..BenchOptions::new(&options.model)
            };
            measure(&model, report.image_size, &options, &recipe)
        };
        report.measured_ms = Some(mode(BenchMode::Infer)?.0.median);
        if network.is_classifier() {
            report.measured_training_ms = Some(mode(BenchMode::Train)?.0.median);
        }
    }
    Ok(report)
}

/// [`cost`] of a network that is open, predicted by a calibration.
///
/// # Errors
/// As [`cost`].
pub fn cost_of(
    network: &CostNetwork,
    options: &CostOptions,
    calibration: Option<&Calibration>,
) -> Result<CostReport> {
    Predictor::new(options, calibration)?.cost_of(network, options)
}

/// A calibration that is fitted, or none: asked for several networks on the same threads.
struct Predictor<'a> {
    threads: usize,
    fitted: Option<(LatencyModel<'a>, String)>,
}

impl<'a> Predictor<'a> {
    fn new(options: &CostOptions, calibration: Option<&'a Calibration>) -> Result<Self> {
        let threads = threads(options, calibration);
        let fit = |calibration: &'a Calibration| {
            let model = LatencyModel::new(calibration, threads);
            let model = model.map_err(|source| Error::Cost { source })?;
            Ok::<_, Error>((model, calibration::told(&calibration.machine)))
        };
        Ok(Self { threads, fitted: calibration.map(fit).transpose()? })
    }

    fn cost_of(&self, network: &CostNetwork, options: &CostOptions) -> Result<CostReport> {
        let Self { threads, fitted } = self;
        let threads = *threads;
        let failed = |source| Error::Cost { source };
        let graph = &network.graph;
        let size = options.image_size.unwrap_or(network.size);
        let shape = [options.batch, size[0], size[1]];
        let trained = trained(graph, options)?;
        let costs =
            taper_cost::of_trained(graph, size, |id| trained[id.index()]).map_err(failed)?;
        let outputs: Vec<&str> = graph.main_outputs().collect();
        let plan = taper_cost::inference_units(graph, &outputs, size).map_err(failed)?;
        let slots = setup::slots(&options.recipe());
        let inference =
            taper_cost::inference_memory(graph, &outputs, shape, threads).map_err(failed)?;
        let training =
            taper_cost::training_memory(graph, &outputs, &trained, shape, slots).map_err(failed)?;
        let predict = |(model, machine): &(LatencyModel<'_>, String)| {
            let inference = model.inference(graph, &outputs, shape).map_err(failed)?;
            let training = model.training_step(graph, &outputs, &trained, shape, slots);
            Ok::<_, Error>((inference, training.map_err(failed)?, machine.clone()))
        };
        let time = fitted.as_ref().map(predict).transpose()?;
        let roof = fitted.as_ref().map(|(model, _)| model.roof());
        let largest = match options.memory {
            None => None,
            Some(bytes) => {
                let recipe = FineTuneOptions { threads, ..options.recipe() };
                Some(largest_batch(graph, &outputs, &trained, (size, &recipe), bytes)?)
            }
        };
        Ok(report::report(&report::Parts {
            network,
            options,
            threads,
            costs: &costs,
            plan: &plan,
            inference: &inference,
            training: &training,
            time: time.as_ref(),
            roof,
            largest,
        }))
    }
}

impl Predictor<'_> {
    /// A training step, if there is a calibration.
    fn training_step(
        &self,
        network: &CostNetwork,
        options: &CostOptions,
    ) -> Result<Option<(Prediction, &Roof)>> {
        let Some((model, _)) = &self.fitted else { return Ok(None) };
        let (graph, trained) = (&network.graph, trained(&network.graph, options)?);
        let [h, w] = options.image_size.unwrap_or(network.size);
        let outputs: Vec<&str> = graph.main_outputs().collect();
        let shape = [options.batch, h, w];
        let step =
            model.training_step(graph, &outputs, &trained, shape, setup::slots(&options.recipe()));
        Ok(Some((step.map_err(|source| Error::Cost { source })?, model.roof())))
    }
}

/// What is trained, by parameter.
fn trained(graph: &Graph, options: &CostOptions) -> Result<Vec<bool>> {
    let frozen = options.freeze.frozen_params(graph);
    let frozen = frozen.map_err(|source| Error::Transfer { source })?;
    Ok(frozen.iter().map(|frozen| !frozen).collect())
}

/// What several networks cost, side by side, each at its own size if none is said.
///
/// # Errors
/// As [`cost`].
pub fn compare_costs(options: &CostOptions, models: &[String]) -> Result<Vec<CostReport>> {
    options.check()?;
    let calibration = calibration_for(options)?;
    let one = |model: &String| {
        let network = CostNetwork::open(model)?;
        let options = CostOptions { model: model.clone(), ..options.clone() };
        cost_of(&network, &options, calibration.as_ref())
    };
    models.iter().map(one).collect()
}

/// The calibration that options name, or this machine's; none if there is none.
///
/// # Errors
/// [`Error::Calibration`] for one that cannot be used here.
pub fn calibration_for(options: &CostOptions) -> Result<Option<Calibration>> {
    match &options.on {
        Some(path) => calibration::read(path).map(Some),
        None => calibration::own(),
    }
}

/// Threads of the prediction: all cores of the machine that was calibrated, or of this one.
fn threads(options: &CostOptions, calibration: Option<&Calibration>) -> usize {
    match (options.threads, calibration) {
        (0, Some(calibration)) => {
            let modes = calibration.modes.iter().map(|mode| mode.threads);
            modes.max().unwrap_or(1)
        }
        (threads, _) => Cpu::new(threads).threads(),
    }
}

/// The prediction of inference and of a training step, and on what.
type Predicted = (Prediction, Prediction, String);
