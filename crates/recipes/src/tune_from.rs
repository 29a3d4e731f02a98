//! Fine-tuning a model that a program has in memory, with its head: how a network recovers from what was done to it.
//!
//! Above: Rust users. Below: `fine_tune`, `ranks`, `tune`, `run::kept`. Not here: what was done to it (`taper-prune`), the steps (`taper_train`).
//! Model, teacher and masks lie in the run's folder from before the first step on, so that it goes on without the program that made them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use taper_data::Dataset;
use taper_distributed::Group;
use taper_model::Model;
use taper_train::StepHook;

use crate::error::Result;
use crate::fine_tune::{Begun, PreparedRun, ResumeOptions, go_on};
use crate::observer::Observer;
use crate::options::{FineTuneOptions, Norms, Pretrained};
use crate::ranks;
use crate::report::FineTuneReport;
use crate::run::{self, Kept};
use crate::tune::Tune;

/// What [`FineTuneOptions::teacher`] says of a teacher that was handed over.
const TEACHER: &str = "teacher.safetensors";

/// What a run begins with, in memory.
pub struct TuneFrom<'h> {
    /// The network. Its classes must be those of the pictures, in the same order; its head stays.
    pub model: Model,
    /// A network of the same classes to learn from; options of the run say how it teaches.
    pub teacher: Option<Model>,
    /// By parameter, whether an entry is kept, row by row as its tensor is: the others are zero from before the first step to the end.
    pub masks: Option<BTreeMap<String, Vec<bool>>>,
    /// What else takes part in every step, after the penalty on norms and the masks.
    pub hooks: Vec<Box<dyn StepHook + 'h>>,
}

impl std::fmt::Debug for TuneFrom<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hooks: Vec<String> = self.hooks.iter().map(|hook| hook.describe()).collect();
        f.debug_struct("TuneFrom").field("hooks", &hooks).finish_non_exhaustive()
    }
}

impl<'h> TuneFrom<'h> {
    /// A model, and nothing else.
    pub fn new(model: Model) -> Self {
        Self { model, teacher: None, masks: None, hooks: Vec::new() }
    }
}

/// [`fine_tune`](crate::fine_tune) of a model in memory that keeps its head, on the pictures of the options or on `dataset`.
///
/// Of the options, `model`, `pretrained`, `head_epochs` and `report` say nothing here (the run is a part of other work, which has its own page), and the head learns as fast as the rest unless `head_lr_scale`
/// says otherwise. The run's folder gets `start.safetensors`, and `teacher.safetensors` and `masks.safetensors` where there are any;
/// [`resume`](crate::resume) goes on with it, or [`resume_from`] if there are hooks.
///
/// # Errors
/// As [`fine_tune`](crate::fine_tune); [`Error::OtherClasses`](crate::Error::OtherClasses) if model or teacher have other classes than the
/// pictures.
///
/// # Examples
/// ```
/// use std::sync::atomic::AtomicBool;
/// use taper_data::sample_set;
/// use taper_model::{Model, Preprocess};
/// use taper_recipes::{FineTuneOptions, Silent, TuneFrom, fine_tune_from};
///
/// let mut dataset = sample_set::emoji6()?;
/// dataset.train.truncate(8);
/// let preprocess = Preprocess { input_size: [32, 32], ..Preprocess::imagenet() };
/// let graph = taper_zoo::architecture("mobilenetv2_035")?.graph(6)?;
/// let model = Model::random(graph, 0, preprocess, dataset.classes.clone())?;
///
/// # let dir = tempfile::tempdir()?;
/// # let out = Some(dir.path().join("run"));
/// let options = FineTuneOptions { epochs: 1, batch_size: 4, distill_weight: Some(0.5), out, ..FineTuneOptions::default() };
/// let from = TuneFrom { teacher: Some(model.clone()), ..TuneFrom::new(model) };
/// let report = fine_tune_from(from, Some(&dataset), &options, &AtomicBool::new(false), &mut Silent)?;
/// assert_eq!(report.epochs, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn fine_tune_from(
    from: TuneFrom<'_>,
    dataset: Option<&Dataset>,
    options: &FineTuneOptions,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<FineTuneReport> {
    let started = Instant::now();
    let TuneFrom { model, teacher, masks, hooks } = from;
    let options = FineTuneOptions {
        teacher: teacher.as_ref().map(|_| TEACHER.to_owned()),
        pretrained: Pretrained::Yes,
        head_epochs: 0,
        report: false,
        // Nobody knows whose statistics these are: channels may have been cut, or all weights be random.
        norms: Some(options.norms.unwrap_or(Norms::Train)),
        head_lr_scale: Some(options.head_lr_scale.unwrap_or(1.0)),
        ..ranks::with_shards(options, &Group::alone())
    };
    options.check()?;
    let folder = run::vacant(options.out.as_deref())?;
    let kept = Kept { start: Some(model), teacher, masks };
    let cache = options.open_cache(1)?;
    let prepared = PreparedRun::read(dataset, kept, &cache, stop, &options, observer)?;
    let group = Arc::new(Group::alone());
    let (prepared, options) = prepared.fitted(&options, (&group, Begun::Now), observer)?;
    let parallel = ranks::share(group, &options)?;
    let tune = Tune::new(prepared, &options, &parallel)?.with_hooks(hooks);
    let run = tune.begin(folder)?;
    tune.run(&run, stop, observer, started)
}

/// [`resume`](crate::resume) of a run that [`fine_tune_from`] began with hooks or on a data set of the program's own: both are given again.
///
/// # Errors
/// As [`resume`](crate::resume); [`Error::Changed`](crate::Error::Changed) if a file of the run's folder is another one than when it began,
/// [`Error::Train`](crate::Error::Train) if it began with other hooks.
pub fn resume_from(
    hooks: Vec<Box<dyn StepHook + '_>>,
    dataset: Option<&Dataset>,
    options: &ResumeOptions,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<FineTuneReport> {
    go_on(Group::alone().into(), dataset, options, hooks, stop, observer)
}

#[cfg(test)]
mod tests;
