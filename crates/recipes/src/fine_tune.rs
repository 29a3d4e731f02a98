//! Fine-tuning: a folder of pictures and a pretrained network become a model file.
//!
//! Above: the binary, Rust users. Below: `source`, `data`, `tune`, `run`. Not here: the steps (`taper_train`).
//! The same options give the same model file, also when the run was stopped or killed and gone on with.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use taper_data::Dataset;
use taper_model::{Model, Preprocess};

use crate::data::{self, SkippedFiles};
use crate::error::{Error, Result};
use crate::observer::Observer;
use crate::options::{FineTuneOptions, Pretrained};
use crate::report::FineTuneReport;
use crate::run::{self, Run, RunConfig};
use crate::setup;
use crate::source::ModelSource;
use crate::tune::Tune;

/// What to go on with, and what may differ from the run as it was begun.
#[derive(Debug, Clone, PartialEq)]
pub struct ResumeOptions {
    /// The run's folder.
    pub run: PathBuf,
    /// Where the pictures are now, if they were moved; they must be the same.
    pub data: Option<PathBuf>,
    /// Where the model is now, if it was moved; it must be the same.
    pub model: Option<String>,
    /// Another number of threads; sums are rounded otherwise then, and the result differs in its last bits.
    pub threads: Option<usize>,
}

impl ResumeOptions {
    /// Goes on with the run in `run`, with everything where it was.
    pub fn new(run: impl Into<PathBuf>) -> Self {
        ResumeOptions { run: run.into(), data: None, model: None, threads: None }
    }
}

/// Fine-tunes a network on a folder of pictures.
///
/// The run's folder gets `config.json`, `metrics.jsonl`, `checkpoint/` and `model.safetensors`, the best epoch's model.
/// When `stop` is set, the step at hand is finished, everything is saved, and the report says `stopped`.
///
/// # Errors
/// [`Error::is_request`] tells a wrong request, before anything is written, from work that failed.
///
/// # Examples
/// ```
/// use std::sync::atomic::AtomicBool;
/// use taper_recipes::{FineTuneOptions, Freeze, Augment, Silent, fine_tune};
///
/// # let dir = tempfile::tempdir()?;
/// # let out = Some(dir.path().join("run"));
/// let options = FineTuneOptions {
///     freeze: Freeze::Backbone,
///     augment: Augment::None,
///     image_size: Some(32),
///     epochs: 2,
///     out,
///     ..FineTuneOptions::default()
/// };
/// let report = fine_tune(&options, &AtomicBool::new(false), &mut Silent)?;
/// assert_eq!(report.epochs, 2);
/// assert!(report.model.is_some_and(|model| model.is_file()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn fine_tune(
    options: &FineTuneOptions,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<FineTuneReport> {
    begin(None, options, stop, observer)
}

/// [`fine_tune`] on a data set of your own, in memory or in files, instead of a folder: `options.data` must be absent. Pictures are
/// decoded when they are needed, again in every epoch, unless [`Dataset::check`] has kept them.
///
/// # Errors
/// As [`fine_tune`], and [`Error::Data`] if its samples have no classes, or others than `dataset.classes`.
///
/// # Examples
/// ```
/// use std::sync::atomic::AtomicBool;
/// use taper_data::{Dataset, Image, Sample};
/// use taper_recipes::{Augment, FineTuneOptions, Freeze, Silent, fine_tune_on};
///
/// let drawn = |class: u32, level: u8| {
///     let image = Image::new(16, 16, vec![level; 16 * 16 * 3])?;
///     taper_data::Result::Ok(Sample::from_image(format!("{level}"), class, image))
/// };
/// let train = vec![drawn(0, 10)?, drawn(0, 30)?, drawn(1, 200)?, drawn(1, 220)?];
/// let dataset = Dataset::new(["dark", "bright"], train, vec![drawn(0, 20)?, drawn(1, 210)?])?;
/// # let dir = tempfile::tempdir()?;
/// # let out = Some(dir.path().join("run"));
/// let options = FineTuneOptions {
///     freeze: Freeze::Backbone,
///     augment: Augment::None,
///     image_size: Some(32),
///     epochs: 8,
///     out,
///     ..FineTuneOptions::default()
/// };
/// let report = fine_tune_on(&dataset, &options, &AtomicBool::new(false), &mut Silent)?;
/// assert_eq!(report.epochs, 8);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn fine_tune_on(
    dataset: &Dataset,
    options: &FineTuneOptions,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<FineTuneReport> {
    begin(Some(dataset), options, stop, observer)
}

fn begin(
    dataset: Option<&Dataset>,
    options: &FineTuneOptions,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<FineTuneReport> {
    let started = Instant::now();
    options.check()?;
    let folder = run::vacant(options.out.as_deref())?;
    let prepared = PreparedRun::read(dataset, stop, options, observer)?;
    let config =
        RunConfig::new(options.clone(), prepared.data_print(), prepared.model_print.clone());
    let tune = Tune::new(prepared, options)?;
    tune.run(&Run::begin(folder, config)?, stop, observer, started)
}

/// Goes on with a run that was stopped or killed, and ends with the model file it would have had. One that [`fine_tune_on`] began goes
/// on with [`resume_on`].
///
/// # Errors
/// [`Error::NoRun`] and [`Error::Config`] if there is no run or its checkpoint is gone, [`Error::Changed`] if the pictures or the model are others.
pub fn resume(
    options: &ResumeOptions,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<FineTuneReport> {
    go_on(None, options, stop, observer)
}

/// [`resume`] for a run that [`fine_tune_on`] began; `options.data` must be absent.
///
/// # Errors
/// As [`resume`]; [`Error::Changed`] if a sample's name, target, length or, in memory, content is another one than when the run began.
pub fn resume_on(
    dataset: &Dataset,
    options: &ResumeOptions,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<FineTuneReport> {
    go_on(Some(dataset), options, stop, observer)
}

fn go_on(
    dataset: Option<&Dataset>,
    options: &ResumeOptions,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<FineTuneReport> {
    let started = Instant::now();
    let run = Run::open(&options.run)?;
    let mut asked = run.config.options.clone();
    if options.data.is_some() {
        asked.data.clone_from(&options.data);
    }
    if let Some(model) = &options.model {
        asked.model.clone_from(model);
    }
    asked.threads = options.threads.unwrap_or(asked.threads);
    asked.check()?;
    let prepared = PreparedRun::read(dataset, stop, &asked, observer)?;
    prepared.must_be(&run)?;
    Tune::new(prepared, &asked)?.run(&run, stop, observer, started)
}

/// What a run begins with.
pub(crate) struct PreparedRun<'a> {
    pub(crate) dataset: Dataset,
    /// With a new head for the data set's classes.
    pub(crate) model: Model,
    /// Files that were skipped, which the observer knows.
    pub(crate) skipped: SkippedFiles<'a>,
    /// Fingerprint of the model before it got a new head.
    model_print: String,
}

impl<'a> PreparedRun<'a> {
    fn read(
        dataset: Option<&Dataset>,
        stop: &AtomicBool,
        options: &'a FineTuneOptions,
        observer: &mut dyn Observer,
    ) -> Result<Self> {
        let source = ModelSource::resolve(&options.model)?;
        let model = match options.pretrained {
            Pretrained::Yes => source.load(stop, observer)?,
            Pretrained::None => source.random(options.seed)?,
        };
        let dataset = match dataset {
            Some(dataset) => {
                dataset.validate_training().map_err(setup::data)?;
                data::of_ones_own(dataset, options.data.as_deref())?
            }
            None => data::to_train(options)?,
        };
        PreparedRun::with(model, dataset, options, observer)
    }

    /// The network with a new head, on these pictures.
    pub(crate) fn with(
        model: Model,
        dataset: Dataset,
        options: &'a FineTuneOptions,
        observer: &mut dyn Observer,
    ) -> Result<Self> {
        let model_print = fingerprint(&model);
        let mut skipped = SkippedFiles::new(options.data.as_deref());
        skipped.tell(&dataset.skipped, observer);
        let model = prepare(model, &dataset, options)?;
        Ok(PreparedRun { dataset, model, skipped, model_print })
    }

    fn data_print(&self) -> String {
        format!("{:016x}", self.dataset.fingerprint())
    }

    /// Refuses other pictures and another model than the run was begun with.
    fn must_be(&self, Run { folder, config, .. }: &Run) -> Result<()> {
        let changed = |what, was: &String, is: String| Error::Changed {
            run: folder.path().to_path_buf(),
            what,
            difference: match config.options.data {
                Some(_) => format!("its fingerprint was {was} and is {is}"),
                None => format!(
                    "its fingerprint was {was} and is {is} (a run on a data set of a program's own goes on with that data set: `resume_on`)"
                ),
            },
        };
        if self.data_print() != config.data {
            return Err(changed("data set", &config.data, self.data_print()));
        }
        if self.model_print != config.model {
            return Err(changed("model", &config.model, self.model_print.clone()));
        }
        Ok(())
    }
}

/// The network that training begins with: with the asked input size and a new head.
fn prepare(mut model: Model, dataset: &Dataset, options: &FineTuneOptions) -> Result<Model> {
    let transfer = |source| Error::Transfer { source };
    if let Some(size) = options.image_size {
        let preprocess = Preprocess { input_size: [size, size], ..*model.preprocess() };
        model = model.with_preprocess(preprocess).map_err(|source| transfer(source.into()))?;
    }
    let size = model.preprocess().input_size[0];
    let options = &FineTuneOptions { image_size: Some(size), ..options.clone() };
    let model =
        taper_transfer::replace_head(&model, &dataset.classes, options.seed).map_err(transfer)?;
    let mut provenance = model.provenance().clone();
    provenance.training = Some(training(provenance.training.take(), options));
    Ok(model.with_provenance(provenance))
}

/// How the model is trained, in one line, after what was said before.
fn training(before: Option<String>, options: &FineTuneOptions) -> String {
    let before = before.map_or_else(String::new, |before| format!("{before}; "));
    format!("{before}fine-tuned with {}", options.recipe())
}

/// The 64-bit FNV-1a hash of a model's weights and graph; it tells models apart and protects from nothing.
fn fingerprint(model: &Model) -> String {
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in model.graph().to_json().bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(PRIME);
    }
    for value in model.tensors().iter().flat_map(|tensor| &tensor.data) {
        hash = (hash ^ u64::from(value.to_bits())).wrapping_mul(PRIME);
    }
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests;
