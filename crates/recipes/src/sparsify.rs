//! Single weights made zero: a model becomes smaller when compressed, not faster.
//!
//! Above: the binary, Rust users. Below: `sparsify::{compressed, gradual}`, `taper_prune::Masks`, `fine_tune_from`, `prune::{latency, state}`.
//! Not here: whole channels (`prune`), which weights (`taper_prune`), keeping zeros in training (`taper_train`).

mod compressed;
mod gradual;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use serde::Serialize;
use taper_data::Dataset;
use taper_data::batch::batch_ranges;
use taper_model::{Model, Precision};
use taper_prune::{Masks, Protect, SparsityReport};
use taper_train::StepHook;

use crate::error::{Error, Result};
use crate::fine_tune::ResumeOptions;
use crate::observer::Observer;
use crate::options::FineTuneOptions;
use crate::prune::pictures::{judged, model_and_pictures};
use crate::prune::state::{self, Place, RunState};
use crate::prune::{LatencyPair, latency};
use crate::recalibrate::recalibrate;
use crate::report::FineTuneReport;
use crate::setup;
use crate::tune::new_network;
use crate::tune_from::{TuneFrom, fine_tune_from, resume_from};
use gradual::{Gradual, masks};

pub use crate::options::{NOfM, SparsifyOptions, Zeros};
pub use taper_prune::{ParamSparsity, SparseRanking};

/// What zeros are good for, in words that every report has.
pub const SMALLER_NOT_FASTER: &str = "smaller when compressed, not faster";

/// The result of making weights zero.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SparsifyReport {
    /// Share of zeros of the weights that are not protected.
    pub sparsity: f64,
    /// Zeros of the weights of every convolution and linear layer, in order.
    pub params: Vec<ParamSparsity>,
    /// Of all of them together.
    pub weights: ParamSparsity,
    /// Of all numbers of the model, norms, biases and statistics too.
    pub all: ParamSparsity,
    /// Which weights are zero, in words.
    pub chosen_by: String,
    /// Share of the held-out pictures that the dense network names rightly; absent without pictures.
    pub top1_before: Option<f64>,
    /// With all zeros at once and the statistics of its norms averaged again, before any training.
    pub top1_masked: Option<f64>,
    /// Of the model file, after recovery; absent when stopped.
    pub top1_after: Option<f64>,
    /// After the last epoch of recovery, which need not be the best.
    pub top1_last: Option<f64>,
    /// Bytes of the model file; zeros are stored as any number.
    pub file_bytes: u64,
    /// Bytes of the dense model's file when compressed (DEFLATE).
    pub compressed_bytes_before: u64,
    /// And of the sparse one's.
    pub compressed_bytes: u64,
    /// [`SMALLER_NOT_FASTER`].
    pub note: &'static str,
    /// Milliseconds of a batch of one before, measured in turns with `latency_after_ms`; absent when stopped.
    pub latency_before_ms: Option<f64>,
    /// And after.
    pub latency_after_ms: Option<f64>,
    /// The same by batch.
    pub latencies: Vec<LatencyPair>,
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

/// Makes weights of a model zero, at once or little by little, and trains it with the zeros kept.
///
/// Pictures are those of `options.tune.data`, or of `dataset`; with neither, weights become zero and nothing is trained. The best epoch is
/// one of those that have all zeros. The same options give the same bits, also when the run was stopped and gone on with.
///
/// # Errors
/// [`Error::is_request`] tells a wrong request from work that failed.
///
/// # Examples
/// ```
/// use std::sync::atomic::AtomicBool;
/// use taper_model::{Model, Preprocess};
/// use taper_recipes::Silent;
/// use taper_recipes::sparsify::{NOfM, SparsifyOptions, Zeros, sparsify};
///
/// # let dir = tempfile::tempdir()?;
/// # let (file, out) = (dir.path().join("dense.safetensors"), dir.path().join("run"));
/// let preprocess = Preprocess { input_size: [32, 32], ..Preprocess::imagenet() };
/// let graph = taper_zoo::architecture("mobilenetv2_035")?.graph(2)?;
/// Model::random(graph, 0, preprocess, vec!["dark".into(), "bright".into()])?.save(&file)?;
///
/// let two_of_four = Zeros::NOfM(NOfM { n: 2, m: 4 });
/// let mut options = SparsifyOptions::new(file.display().to_string(), two_of_four);
/// options.tune.out = Some(out);
/// let report = sparsify(None, &options, &AtomicBool::new(false), &mut Silent)?;
/// assert!(report.sparsity > 0.45 && report.compressed_bytes < report.compressed_bytes_before);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn sparsify(
    dataset: Option<&Dataset>,
    options: &SparsifyOptions,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<SparsifyReport> {
    let started = Instant::now();
    options.check()?;
    let (dense, dataset) = model_and_pictures(dataset, &options.tune, stop, observer)?;
    let protect = Protect::names(&options.protect);
    let masks = masks(&options.zeros, &dense, &protect, 1.0)?;
    if let (0, weights) = masks.zeros() {
        return Err(nothing_becomes_zero(options, weights));
    }
    let SparsifyOptions { file, resume, tune, .. } = options;
    let place = Place { out: tune.out.as_deref(), file: file.as_deref(), resume: *resume };
    let others =
        SparsifyOptions { resume: false, tune: FineTuneOptions::default(), ..options.clone() };
    let mut state = RunState::vacant(place, state::words(&others, tune))?;
    let sparsifying = Sparsifying { options, dense, dataset, masks, started };
    let made = sparsifying.make(&mut state, stop, observer)?;
    sparsifying.report(&made, &state, observer)
}

fn nothing_becomes_zero(options: &SparsifyOptions, weights: usize) -> Error {
    let expected = |what: &str| {
        format!("{what}: of the {weights} weights that are not protected, none becomes zero")
    };
    match options.zeros {
        Zeros::Share { sparsity, .. } => Error::option("sparsity", &sparsity, expected("larger")),
        Zeros::NOfM(pattern) => Error::option("n_of_m", &pattern, expected("of fewer")),
    }
}

/// What a run works with.
struct Sparsifying<'a> {
    options: &'a SparsifyOptions,
    dense: Model,
    dataset: Option<Dataset>,
    /// Of all zeros at once.
    masks: Masks,
    started: Instant,
}

/// What came of it.
struct Made {
    /// With all zeros, but not trained where it was stopped before a best epoch.
    model: Model,
    top1_before: Option<f64>,
    top1_masked: Option<f64>,
    tuned: Option<FineTuneReport>,
}

impl Made {
    fn stopped(&self) -> bool {
        self.tuned.as_ref().is_some_and(|tuned| tuned.stopped)
    }
}

impl Sparsifying<'_> {
    /// Makes zeros, judges, trains.
    fn make(
        &self,
        state: &mut RunState,
        stop: &AtomicBool,
        observer: &mut dyn Observer,
    ) -> Result<Made> {
        let tune = &self.options.tune;
        let mut model = self.masks.apply(&self.dense).map_err(setup::prune)?;
        let Some(dataset) = &self.dataset else {
            return Ok(Made { model, top1_before: None, top1_masked: None, tuned: None });
        };
        let top1_before = judged(dataset, &self.dense, tune, observer)?.top1;
        if self.options.statistics_batches > 0 {
            let (batches, recovery) = (self.options.statistics_batches, self.options.recovery());
            model = recalibrate(&model, dataset, batches, &recovery)?;
        }
        let begun = state.begun(0)?;
        let top1_masked = match &begun {
            Some(_) => state.top1_cut(0),
            None => {
                let top1 = judged(dataset, &model, tune, observer)?.top1;
                state.cut(0, Some(top1))?;
                Some(top1)
            }
        };
        let mut made = Made { model, top1_before: Some(top1_before), top1_masked, tuned: None };
        if self.options.recovery_epochs > 0 {
            let tuned = self.tune(dataset, &made.model, state, begun, (stop, observer))?;
            if let Some(path) = &tuned.model {
                made.model = Model::load(path).map_err(setup::model)?;
            } else if !tuned.stopped {
                let expected = "less: so many pictures could not be read that the steps of recovery ended before all zeros had come";
                let growing = self.options.growing_epochs();
                return Err(Error::option("gradual_epochs", &growing, expected));
            }
            made.tuned = Some(tuned);
        }
        Ok(made)
    }

    /// Trains with the zeros kept, or goes on with that.
    fn tune(
        &self,
        dataset: &Dataset,
        masked: &Model,
        state: &RunState,
        begun: Option<PathBuf>,
        (stop, observer): (&AtomicBool, &mut dyn Observer),
    ) -> Result<FineTuneReport> {
        let growing = self.growing_steps(dataset)?;
        let gradual = Gradual::over(growing, self.options.mask_every);
        let hooks: Vec<Box<dyn StepHook>> = match gradual {
            Some(gradual) => vec![Box::new(gradual.hook(self.options))],
            None => Vec::new(),
        };
        let own = self.options.tune.data.is_none().then_some(dataset);
        if let Some(run) = begun {
            return resume_from(hooks, own, &ResumeOptions::new(run), stop, observer);
        }
        // Zeros that grow begin with the dense network.
        let (model, masks) = match gradual {
            Some(_) => (self.dense.clone(), None),
            None => (masked.clone(), Some(self.masks.by_name(self.dense.graph()))),
        };
        let teacher = self.options.distill.then(|| self.dense.clone());
        let out = Some(state.round_folder(0));
        let options = FineTuneOptions { out, ..self.options.recovery() };
        let from = TuneFrom { model, teacher, masks, hooks };
        fine_tune_from(from, own, &options, stop, observer)
    }

    /// Steps that zeros grow over.
    fn growing_steps(&self, dataset: &Dataset) -> Result<u64> {
        let options = self.options.recovery();
        let failed = |source: taper_layers::Error| Error::Train { source: source.into() };
        let network = new_network(&self.dense, &options)?;
        let size = options.image_size.map_or(self.dense.preprocess().input_size, |size| [size; 2]);
        let least = network.min_batch(size).map_err(failed)?;
        let steps = batch_ranges(dataset.train.len(), options.batch_size, least).len();
        Ok((self.options.growing_epochs() * steps) as u64)
    }

    fn report(
        &self,
        made: &Made,
        state: &RunState,
        observer: &mut dyn Observer,
    ) -> Result<SparsifyReport> {
        let (options, model) = (self.options, &made.model);
        let (mut path, mut after, mut latencies) = (None, None, Vec::new());
        // Whoever stopped it waits for no measurement, and a file appears when it is done.
        if !made.stopped() {
            path = Some(state.write(model, options.file.as_deref())?);
            if let Some(dataset) = &self.dataset {
                after = Some(judged(dataset, model, &options.tune, observer)?);
            }
            let (batch, threads) = (options.latency_batch, options.tune.threads);
            latencies = latency::measure([&self.dense, model], batch, threads)?;
        }
        let SparsityReport { params, weights, all } = SparsityReport::of(model);
        let ([file_bytes, compressed_bytes], [_, compressed_bytes_before]) =
            (sizes(model)?, sizes(&self.dense)?);
        let one = latencies.first();
        Ok(SparsifyReport {
            sparsity: self.sparsity(&params),
            params,
            weights,
            all,
            chosen_by: options.zeros.to_string(),
            top1_before: made.top1_before,
            top1_masked: made.top1_masked,
            top1_after: after.as_ref().map(|after| after.top1),
            top1_last: made.tuned.as_ref().and_then(|tuned| tuned.val_top1),
            file_bytes,
            compressed_bytes_before,
            compressed_bytes,
            note: SMALLER_NOT_FASTER,
            latency_before_ms: one.map(|pair| pair.before_ms),
            latency_after_ms: one.map(|pair| pair.after_ms),
            latencies,
            images: after.map(|after| after.images),
            seconds: self.started.elapsed().as_secs_f64(),
            model: path,
            out: state.folder().to_path_buf(),
            stopped: made.stopped(),
        })
    }

    /// Share of zeros of the weights that have a mask.
    fn sparsity(&self, params: &[ParamSparsity]) -> f64 {
        let masked = self.masks.by_name(self.dense.graph());
        let masked = || params.iter().filter(|param| masked.contains_key(&param.name));
        let zeros: usize = masked().map(|param| param.zeros).sum();
        let elements: usize = masked().map(|param| param.elements).sum();
        zeros as f64 / elements.max(1) as f64
    }
}

/// Bytes of a model's file, and of that file compressed.
fn sizes(model: &Model) -> Result<[u64; 2]> {
    let bytes = model.to_bytes(Precision::F32).map_err(setup::model)?;
    let deflated = compressed::deflated(&bytes).map_err(|source| Error::File {
        action: "compress",
        path: PathBuf::from("model.safetensors"),
        source,
    })?;
    Ok([bytes.len() as u64, deflated])
}

#[cfg(test)]
mod tests;
