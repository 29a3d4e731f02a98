//! Options become transforms, a network, parameter groups and a schedule.
//!
//! Above: `fine_tune`, `tune`, `evaluate`, `predict`. Below: `taper_classifier`, `taper_data`,
//! `taper_optim`. Not here: the loop (`taper_train`).

use std::sync::Arc;

use taper_data::augment::RandomErasing;
use taper_data::{Dataset, Loader, LoaderOptions, Mix, Order, Sample, Transform};
use taper_engine::Recompute;
use taper_model::{Confidence, Model, Preprocess};
use taper_optim::{
    Adam, AdamW, Adan, Clip, Lamb, Lion, Lookahead, Muon, NAdam, ParamInfo, RmsProp, RmsPropTf,
    Role, Rule, Sgd,
};

use crate::error::{Error, Result};
use crate::observer::{Event, Observer};
use crate::options::{Augment, FineTuneOptions, OptimizerKind, Sampling};

/// What a network sees of a picture when it is not trained.
pub(crate) fn eval_transform(preprocess: &Preprocess) -> Result<Arc<dyn Transform>> {
    taper_classifier::eval_transform(preprocess).map(Into::into).map_err(classifier)
}

/// The model for pictures of another size, if one is asked for.
pub(crate) fn at_size(model: Model, size: Option<usize>) -> Result<Model> {
    let Some(size) = size.filter(|&size| model.preprocess().input_size != [size, size]) else {
        return Ok(model); // and what is known of it
    };
    let preprocess = Preprocess { input_size: [size, size], ..*model.preprocess() };
    let source = |source| Error::Model { source };
    model.with_preprocess(preprocess).map_err(source)
}

/// The same, which says that probabilities are not calibrated any more, if they were.
pub(crate) fn told_at_size(
    model: Model,
    size: Option<usize>,
    observer: &mut dyn Observer,
) -> Result<Model> {
    let ([h, w], was_measured) = (model.preprocess().input_size, model.confidence().is_some());
    let model = at_size(model, size)?;
    if was_measured && model.confidence().is_none() {
        let text = format!(
            "probabilities are as the network gives them, for its temperature was measured at {h}x{w} pixels"
        );
        observer.on_event(&Event::Warning(&text));
    }
    Ok(model)
}

/// Refuses to tell what is known at another size than it was measured at. `field` asks for it.
///
/// # Errors
/// [`Error::Option`].
pub(crate) fn must_be_measured(
    model: &Model,
    field: &'static str,
    size: Option<usize>,
) -> Result<()> {
    let [h, w] = model.preprocess().input_size;
    let Some(size) = size.filter(|&size| [size, size] != [h, w]) else { return Ok(()) };
    let expected = format!(
        "absent together with `{field}`: which pictures are known was measured at {h}x{w} pixels"
    );
    match model.confidence().and_then(Confidence::familiarity) {
        Some(_) => Err(Error::option("image_size", &size, expected)),
        None => Ok(()),
    }
}

/// What it sees in training: crop, flip, what is asked for besides, and erasing.
pub(crate) fn train_transform(
    preprocess: &Preprocess,
    options: &FineTuneOptions,
) -> Result<Arc<dyn Transform>> {
    if options.augment == Augment::None {
        return eval_transform(preprocess);
    }
    let transform = taper_classifier::train_transform(preprocess).map_err(classifier)?;
    let mut transform = transform.with_scale([options.min_crop, 1.0]).map_err(data)?;
    for step in options.augment.steps() {
        transform = transform.with_augmentation(step.make()?);
    }
    if options.erase > 0.0 {
        transform = transform.with_erasing(RandomErasing::new(options.erase).map_err(data)?);
    }
    Ok(transform.into())
}

/// Shuffled batches to train on, of which the last has `min_batch` samples or more, mixed and repeated as asked.
pub(crate) fn train_loader(
    dataset: &Dataset,
    preprocess: &Preprocess,
    min_batch: usize,
    options: &FineTuneOptions,
) -> Result<Loader> {
    let FineTuneOptions { mixup, cutmix, repeats, .. } = *options;
    let classes = dataset.classes.len();
    let mix = options.mixes().then(|| Mix::new(mixup, cutmix, classes)).transpose();
    let weights = match options.sampling {
        Sampling::Auto | Sampling::Shuffle => Vec::new(),
        Sampling::Balanced => dataset.balanced_weights(&dataset.train),
    };
    let with = LoaderOptions {
        min_batch,
        order: Order::Shuffled,
        weights,
        repeats,
        mix: mix.map_err(data)?,
        ..loader_options(options)
    };
    let transform = train_transform(preprocess, options)?;
    Loader::new(&dataset.train, transform, &with).map_err(data)
}

/// One batch of these samples as training shows them, in their order, mixed as asked; the data set has so many `classes`.
pub(crate) fn sample_loader(
    samples: &[Sample],
    classes: usize,
    preprocess: &Preprocess,
    options: &FineTuneOptions,
) -> Result<Loader> {
    let mix = options.mixes().then(|| Mix::new(options.mixup, options.cutmix, classes));
    let with = LoaderOptions {
        batch_size: samples.len().max(1),
        mix: mix.transpose().map_err(data)?,
        ..loader_options(options)
    };
    Loader::new(samples, train_transform(preprocess, options)?, &with).map_err(data)
}

/// Batches in the order of the samples.
pub(crate) fn loader(
    samples: &[Sample],
    transform: Arc<dyn Transform>,
    options: &FineTuneOptions,
) -> Result<Loader> {
    Loader::new(samples, transform, &loader_options(options)).map_err(data)
}

fn loader_options(options: &FineTuneOptions) -> LoaderOptions {
    let FineTuneOptions { batch_size, seed, threads, .. } = *options;
    LoaderOptions { batch_size, seed, threads, ..LoaderOptions::default() }
}

/// What is computed again on the way back.
pub(crate) fn recompute(options: &FineTuneOptions) -> Recompute {
    match options.grad_checkpointing {
        true => Recompute::Segments,
        false => Recompute::Nothing,
    }
}

/// The optimizer's rule.
pub(crate) fn rule(options: &FineTuneOptions) -> Box<dyn Rule> {
    let momentum = options.resolved_momentum().unwrap_or_default();
    let eps = options.resolved_eps().unwrap_or_default();
    let alpha = options.resolved_alpha().unwrap_or_default();
    let betas = options.resolved_betas().map(|betas| betas.0).unwrap_or_default();
    let beta = |at: usize| betas.get(at).copied().unwrap_or_default();
    let (pair, three) = ((beta(0), beta(1)), (beta(0), beta(1), beta(2)));
    let rule: Box<dyn Rule> = match options.optimizer {
        OptimizerKind::Sgd => {
            Box::new(Sgd { momentum, nesterov: options.nesterov, dampening: 0.0 })
        }
        OptimizerKind::Adam => Box::new(Adam { betas: pair, eps }),
        OptimizerKind::AdamW => Box::new(AdamW { betas: pair, eps }),
        OptimizerKind::NAdam => Box::new(NAdam { betas: pair, eps, ..NAdam::default() }),
        OptimizerKind::RmsProp => Box::new(RmsProp { alpha, eps, momentum, ..RmsProp::default() }),
        OptimizerKind::RmsPropTf => Box::new(RmsPropTf { alpha, eps, momentum }),
        OptimizerKind::Lamb => Box::new(Lamb { betas: pair, eps, ..Lamb::default() }),
        OptimizerKind::Lion => Box::new(Lion { betas: pair }),
        OptimizerKind::Adan => Box::new(Adan { betas: three, eps }),
        OptimizerKind::Muon => {
            let rest = AdamW { betas: pair, eps };
            Box::new(Muon { momentum, rest, ..Muon::default() })
        }
    };
    match options.lookahead {
        Some(every) => Box::new(Lookahead { every, ..Lookahead::of(rule) }),
        None => rule,
    }
}

/// How gradients are clipped.
pub(crate) fn clip(options: &FineTuneOptions) -> Option<Clip> {
    let norm = options.clip_norm().map(Clip::Norm);
    norm.or(options.clip_value.map(Clip::Value)).or(options.agc.map(Clip::Adaptive))
}

/// Vectors that the optimizer keeps for a weight.
pub(crate) fn slots(options: &FineTuneOptions) -> usize {
    let weight = ParamInfo { name: "weight", shape: &[64, 64, 1, 1], role: Role::Weight };
    rule(options).slots(&weight).len()
}

pub(crate) fn data(source: taper_data::Error) -> Error {
    Error::Data { source }
}

pub(crate) fn prune(source: taper_prune::Error) -> Error {
    Error::Prune { source: Box::new(source) }
}

pub(crate) fn model(source: taper_model::Error) -> Error {
    Error::Model { source }
}

pub(crate) fn classifier(source: taper_classifier::Error) -> Error {
    match source {
        taper_classifier::Error::Engine { source } => Error::Engine { source },
        taper_classifier::Error::Preprocess { source } => Error::Data { source },
        source => Error::Classifier { source },
    }
}
