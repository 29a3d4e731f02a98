//! Fine-tuning: a folder of pictures and a pretrained network become a model file.
//!
//! Above: the binary, Rust users, `tune_from`. Below: `fine_tune::{fitting, network}`, `inputs`, `data`, `extend`, `find_lr`, `ranks`, `tune`, `run`. Not here: the steps (`taper_train`).
//! The same options give the same model file, also when the run was stopped or killed and gone on with.

mod fitting;
mod network;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use taper_data::{Cache, Dataset};
use taper_distributed::Group;
use taper_model::Model;
use taper_train::{DataParallel, Start, StepHook};

use crate::data::{self, SkippedFiles};
use crate::error::{Error, Result};
use crate::extend;
use crate::find_lr;
use crate::inputs::{inputs, teacher};
use crate::observer::{Observer, Silent};
use crate::options::{CacheKind, FineTuneOptions};
use crate::ranks;
use crate::report::FineTuneReport;
use crate::run::{self, Kept, Run, RunConfig, fingerprint};
use crate::tune::{Tune, same_classes};
use crate::unlabelled::{self, Unlabelled};
pub(crate) use fitting::{Begun, decided};
use network::{Head, old_head, prepare, saying};

/// What to go on with, and what may differ from the run as it was begun.
#[derive(Debug, Clone, PartialEq)]
pub struct ResumeOptions {
    /// The run's folder.
    pub run: PathBuf,
    /// Where the pictures are now, if they were moved; they must be the same.
    pub data: Option<PathBuf>,
    /// Where the model is now, if it was moved; it must be the same.
    pub model: Option<String>,
    /// A file for what all ranks computed and sent, and when.
    pub trace: Option<PathBuf>,
    /// How long this call may take, in minutes.
    pub max_minutes: Option<f64>,
    /// Where decoded pictures are kept from now on, with size and folder; as before when absent.
    pub cache: Option<CacheKind>,
    /// Bytes of them at most, as [`FineTuneOptions::cache_size`].
    pub cache_size: Option<u64>,
    /// The folder that they are kept in on disk.
    pub cache_dir: Option<PathBuf>,
    /// Whether gradients are checkpointed from now on; the result has the same bits.
    pub grad_checkpointing: Option<bool>,
    /// Bytes that the process may take from now on; shards stay what they are.
    pub memory: Option<u64>,
    /// Another number of threads; sums are rounded otherwise then, and the result differs in its last bits.
    pub threads: Option<usize>,
}

impl ResumeOptions {
    /// Goes on with the run in `run`, with everything where it was.
    pub fn new(run: impl Into<PathBuf>) -> Self {
        ResumeOptions {
            run: run.into(),
            data: None,
            model: None,
            trace: None,
            max_minutes: None,
            cache: None,
            cache_size: None,
            cache_dir: None,
            grad_checkpointing: None,
            memory: None,
            threads: None,
        }
    }
}

/// Fine-tunes a network on a folder of pictures.
///
/// The run's folder gets `config.json`, `metrics.jsonl`, `checkpoint/` and `model.safetensors`, the best epoch's model; at the end `calls.jsonl` and, unless
/// [`FineTuneOptions::report`] says otherwise, `report.html` and `predictions.jsonl`.
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
    begin(&Group::alone().into(), None, options, stop, observer)
}

/// [`fine_tune`] on a data set of your own, in memory or in files, instead of a folder: `options.data` must be absent. Pictures are
/// decoded when they are needed, and kept as `options.cache` says unless they have a [`Cache`] of their own.
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
    begin(&Group::alone().into(), Some(dataset), options, stop, observer)
}

/// [`fine_tune`] on several ranks, each of which calls it with its end of them: steps and evaluations are shared out, the first rank
/// writes the run's folder and tells its observer, and all have the same report but for times. With [`Group::alone`] it is
/// [`fine_tune`].
///
/// What is learned depends on [`FineTuneOptions::shards`] and not on the number of ranks. A rank that fails ends all of them. Who keeps a
/// share of its group can say why before the rank leaves: [`RanksError::spokesman`](crate::RanksError::spokesman), [`Group::leave`].
///
/// # Errors
/// As [`fine_tune`]; [`Error::Ranks`] if ranks were asked for different things or cannot share the shards, or one of them ends the job.
///
/// # Examples
/// ```
/// use std::sync::atomic::AtomicBool;
/// use taper_recipes::{Augment, FineTuneOptions, Freeze, GroupOptions, Silent, fine_tune_on_ranks};
///
/// # let dir = tempfile::tempdir()?;
/// # let out = Some(dir.path().join("run"));
/// let options = FineTuneOptions {
///     freeze: Freeze::Backbone,
///     augment: Augment::None,
///     image_size: Some(32),
///     epochs: 1,
///     shards: 2,
///     out,
///     ..FineTuneOptions::default()
/// };
/// let ranks = GroupOptions::default();
/// let group = taper_recipes::group(&|name| std::env::var(name).ok(), ranks)?; // of `mpirun`, or one rank
/// let report = fine_tune_on_ranks(group, &options, &AtomicBool::new(false), &mut Silent)?;
/// assert_eq!(report.distributed.map(|it| (it.ranks, it.shards)), Some((1, 2)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn fine_tune_on_ranks(
    group: impl Into<Arc<Group>>,
    options: &FineTuneOptions,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<FineTuneReport> {
    begin(&group.into(), None, options, stop, observer)
}

pub(crate) fn begin(
    group: &Arc<Group>,
    dataset: Option<&Dataset>,
    options: &FineTuneOptions,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<FineTuneReport> {
    let started = Instant::now();
    let options = &ranks::with_shards(options, group);
    let mut silent = Silent;
    let observer = if group.is_first() { observer } else { &mut silent };
    ranks::ending_all(group, options.check())?;
    let parallel = &ranks::share(group.clone(), options)?;
    let mut tuned = || {
        let folder = ranks::vacant(parallel, options.out.as_deref())?;
        run::must_be_no_class(folder.path(), options.data.as_deref(), options.table.as_deref())?;
        let kept = Kept { teacher: teacher(options, stop, observer)?, ..Kept::default() };
        let cache = options.open_cache(parallel.group().size())?;
        let (model, dataset) = inputs(dataset, &kept, &cache, stop, options, observer)?;
        let (model, kept) = match extend::extend(&model, &dataset, options, stop, observer)? {
            Some(extended) if !extended.is_whole => {
                let parts = (extended, &dataset, folder);
                return extend::finish(parts, parallel, options, observer, started);
            }
            Some(extended) => extended.begin(kept),
            None => (model, kept),
        };
        let prepared = PreparedRun::with(model, dataset, kept, options, stop, observer)?;
        let prepared = prepared.keeping(&cache);
        prepared.agree(parallel)?;
        let (prepared, options) = prepared.fitted(options, (group, Begun::Now), observer)?;
        let parallel = &ranks::share(group.clone(), &options)?;
        let begins = options.tries_rates().then(|| prepared.clone());
        let found = find_lr::found(parallel, begins, &options, stop, observer)?;
        let lr = found.as_ref().map_or(options.lr, |found| Some(found.lr));
        let (options, prepared) = prepared.at_rate(lr, options);
        let tune = Tune::new(prepared, &options, parallel)?;
        let run = tune.begin(folder)?;
        if let Some(found) = found.filter(|_| parallel.group().is_first()) {
            found.write(run.folder.path())?;
        }
        let report = tune.run(&run, stop, observer, started)?;
        ranks::write_trace(parallel, options.trace.as_deref())?;
        Ok(report)
    };
    ranks::ending_all(parallel.group(), tuned())
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
    go_on(Group::alone().into(), None, options, Vec::new(), stop, observer)
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
    go_on(Group::alone().into(), Some(dataset), options, Vec::new(), stop, observer)
}

/// [`resume`] on several ranks, as [`fine_tune_on_ranks`] begins: with any number that can share the run's shards, and with the same
/// result.
///
/// # Errors
/// As [`resume`] and [`fine_tune_on_ranks`].
pub fn resume_on_ranks(
    group: impl Into<Arc<Group>>,
    options: &ResumeOptions,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<FineTuneReport> {
    go_on(group.into(), None, options, Vec::new(), stop, observer)
}

pub(crate) fn go_on(
    group: Arc<Group>,
    dataset: Option<&Dataset>,
    options: &ResumeOptions,
    hooks: Vec<Box<dyn StepHook + '_>>,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<FineTuneReport> {
    let started = Instant::now();
    let mut silent = Silent;
    let observer = if group.is_first() { observer } else { &mut silent };
    let (run, asked) = ranks::ending_all(&group, reopened(options))?;
    let parallel = &ranks::share(group, &asked)?;
    let tuned = || {
        ranks::see_one_folder(parallel, &run.folder)?;
        let (kept, cache) = (Kept::load(&run)?, asked.open_cache(parallel.group().size())?);
        let prepared = PreparedRun::read(dataset, kept, &cache, stop, &asked, observer)?;
        prepared.must_be(&run)?;
        let began = (parallel.group(), Begun::Before);
        let (prepared, asked) = prepared.fitted(&asked, began, observer)?;
        let tune = Tune::new(prepared, &asked, parallel)?.with_hooks(hooks);
        let report = tune.run(&run, stop, observer, started)?;
        ranks::write_trace(parallel, asked.trace.as_deref())?;
        Ok(report)
    };
    ranks::ending_all(parallel.group(), tuned())
}

/// The run to go on with, and its options with what is asked otherwise now.
fn reopened(options: &ResumeOptions) -> Result<(Run, FineTuneOptions)> {
    let run = Run::open(&options.run)?;
    let mut asked = run.config.options.clone();
    if asked.keep && run.start == Start::Fresh && run.folder.model().is_file() {
        let reason =
            "it has made a model of classes without training: there is nothing to go on with"
                .to_owned();
        return Err(Error::NoRun { path: options.run.clone(), reason });
    }
    if options.data.is_some() {
        asked.data.clone_from(&options.data);
    }
    if let Some(model) = &options.model {
        if run.config.kept.has_start() {
            let expected = "absent: the run's folder keeps the model that it began with";
            return Err(Error::option("model", model, expected));
        }
        asked.model.clone_from(model);
    }
    if let Some(cache) = options.cache {
        (asked.cache, asked.cache_size, asked.cache_dir) = (cache, None, None);
    }
    asked.cache_size = options.cache_size.or(asked.cache_size);
    asked.cache_dir = options.cache_dir.clone().or(asked.cache_dir);
    asked.max_minutes = options.max_minutes;
    asked.trace.clone_from(&options.trace);
    asked.threads = options.threads.unwrap_or(asked.threads);
    asked.memory = options.memory.or(asked.memory);
    asked.grad_checkpointing = options.grad_checkpointing.unwrap_or(asked.grad_checkpointing);
    asked.check()?;
    Ok((run, asked))
}

/// What a run begins with.
#[derive(Clone)]
pub(crate) struct PreparedRun<'a> {
    pub(crate) dataset: Dataset,
    /// With a new head for the data set's classes, unless it was handed over with its own.
    pub(crate) model: Model,
    /// The head that it had before, if the new one is to begin with that.
    pub(crate) old_head: Option<Model>,
    /// What the run's folder holds of it.
    pub(crate) kept: Kept,
    /// Files that were skipped, which the observer knows.
    pub(crate) skipped: SkippedFiles<'a>,
    /// What keeps its pictures.
    pub(crate) cache: Cache,
    /// Fingerprint of the pictures, those without labels too, before the teacher said anything of them.
    data_print: String,
    /// Fingerprint of the model before it got a new head.
    model_print: String,
    /// How the model was trained before.
    before: Option<String>,
}

impl<'a> PreparedRun<'a> {
    pub(crate) fn read(
        dataset: Option<&Dataset>,
        kept: Kept,
        cache: &Cache,
        stop: &AtomicBool,
        options: &'a FineTuneOptions,
        observer: &mut dyn Observer,
    ) -> Result<Self> {
        let (model, dataset) = inputs(dataset, &kept, cache, stop, options, observer)?;
        let prepared = PreparedRun::with(model, dataset, kept, options, stop, observer)?;
        Ok(prepared.keeping(cache))
    }

    /// The same with what keeps its pictures.
    pub(crate) fn keeping(self, cache: &Cache) -> Self {
        Self { dataset: self.dataset.with_cache(cache), cache: cache.clone(), ..self }
    }

    /// The network, with a new head unless it was kept, on these pictures.
    pub(crate) fn with(
        model: Model,
        dataset: Dataset,
        kept: Kept,
        options: &'a FineTuneOptions,
        stop: &AtomicBool,
        observer: &mut dyn Observer,
    ) -> Result<Self> {
        let unlabelled = Unlabelled::find(&dataset, options, observer)?;
        let data_print = unlabelled::printed(unlabelled.as_ref(), &dataset);
        let model_print = fingerprint(&model);
        let mut skipped =
            SkippedFiles::new(data::root(options.data.as_deref(), options.table.as_deref()));
        skipped.tell(&dataset.skipped, observer);
        let head = match kept.start {
            Some(_) => Head::Kept,
            None => Head::New,
        };
        if let Some(teacher) = &kept.teacher {
            same_classes("teacher", teacher, &dataset)?;
        }
        let old_head = old_head(&model, head, &dataset, options, observer)?;
        let model = prepare(model, head, &dataset, options)?;
        let dataset = match (unlabelled, &kept.teacher) {
            (Some(unlabelled), Some(teacher)) => {
                unlabelled::taught(dataset, unlabelled, teacher, options, stop, observer)?
            }
            _ => dataset,
        };
        skipped.tell(&dataset.skipped, observer);
        let before = model.provenance().training.clone();
        let model = saying(model, before.clone(), kept.teacher.as_ref(), options);
        let cache = Cache::none();
        Ok(PreparedRun {
            dataset,
            model,
            old_head,
            kept,
            skipped,
            cache,
            data_print,
            model_print,
            before,
        })
    }

    /// The configuration of a run that begins with this.
    pub(crate) fn config(&self, options: &FineTuneOptions) -> RunConfig {
        let config =
            RunConfig::new(options.clone(), self.data_print.clone(), self.model_print.clone());
        config.keeping(self.kept.prints())
    }

    /// Refuses ranks that see other pictures or another model.
    fn agree(&self, parallel: &DataParallel) -> Result<()> {
        let kept = serde_json::to_string(&self.kept.prints()).unwrap_or_default();
        let facts = [
            ("data", self.data_print.clone()),
            ("model", self.model_print.clone()),
            ("teacher", kept),
        ];
        let facts = facts.map(|(key, value)| (format!("fingerprint of the {key}"), value));
        Ok(parallel.group().agree(&facts)?)
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
        if self.data_print != config.data {
            return Err(changed("data set", &config.data, self.data_print.clone()));
        }
        if self.model_print != config.model {
            return Err(changed("model", &config.model, self.model_print.clone()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
