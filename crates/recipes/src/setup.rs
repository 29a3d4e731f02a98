//! Options become transforms, a network, parameter groups and a schedule.
//!
//! Above: `fine_tune`, `tune`, `evaluate`, `predict`. Below: `taper_classifier`, `taper_data`, `taper_layers`,
//! `taper_optim`, `taper_train::WeightAverage`. Not here: the loop (`taper_train`).

use std::collections::BTreeSet;
use std::sync::Arc;

use taper_data::augment::RandomErasing;
use taper_data::{Dataset, Loader, LoaderOptions, Mix, Order, Sample, Transform};
use taper_graph::{Scope, ScopeKind};
use taper_layers::Network;
use taper_model::Preprocess;
use taper_optim::{AdamW, Group, ParamInfo, Role, Rule, Schedule, Sgd, split_by_decay};
use taper_train::WeightAverage;

use crate::error::{Error, Result};
use crate::options::{Augment, FineTuneOptions, OptimizerKind, Sampling, ScheduleKind};

/// What a network sees of a picture when it is not trained.
pub(crate) fn eval_transform(preprocess: &Preprocess) -> Result<Arc<dyn Transform>> {
    taper_classifier::eval_transform(preprocess).map(Into::into).map_err(classifier)
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
        Sampling::Shuffle => Vec::new(),
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

/// Trained parameters in groups: weights, which decay, and the rest, which does not; the head's apart, at its own rate.
pub(crate) fn groups(network: &Network, options: &FineTuneOptions) -> Vec<Group> {
    let graph = network.graph();
    let heads = graph.scopes().iter().filter(|scope| scope.kind() == ScopeKind::Classifier);
    let head: BTreeSet<&str> = heads
        .flat_map(Scope::nodes)
        .flat_map(|node| graph.node(node).params())
        .map(|&param| graph.param(param).name.as_str())
        .collect();
    let split = |in_head: bool| {
        let trained = network.params().iter().filter(|param| param.is_trained());
        let chosen = trained.filter(|param| head.contains(param.name.as_str()) == in_head);
        let decaying =
            chosen.map(|param| (param.name.clone(), param.var.clone(), param.role.is_decayed()));
        split_by_decay(decaying, options.weight_decay)
    };
    let at_its_own_rate = |group: Group| {
        let name = format!("head {}", group.name);
        Group { name, ..group }.with_lr_scale(options.head_scale())
    };
    split(false).into_iter().chain(split(true).into_iter().map(at_its_own_rate)).collect()
}

/// The optimizer's rule.
pub(crate) fn rule(options: &FineTuneOptions) -> Box<dyn Rule> {
    match options.optimizer {
        OptimizerKind::Sgd => Box::new(Sgd { momentum: options.momentum, ..Sgd::default() }),
        OptimizerKind::AdamW => Box::new(AdamW::default()),
    }
}

/// Vectors that the optimizer keeps for a weight.
pub(crate) fn slots(options: &FineTuneOptions) -> usize {
    let weight = ParamInfo { name: "weight", shape: &[64, 64, 1, 1], role: Role::Weight };
    rule(options).slots(&weight).len()
}

/// The learning rate over all `steps`.
pub(crate) fn schedule(options: &FineTuneOptions, steps: u64) -> Schedule {
    let lr = options.peak_lr();
    let schedule = match options.schedule {
        ScheduleKind::Cosine => Schedule::cosine(lr, steps),
        ScheduleKind::Step => Schedule::step(lr, steps.div_ceil(3).max(1), 0.1),
        ScheduleKind::Constant => Schedule::constant(lr),
    };
    schedule.with_warmup(options.warmup)
}

/// The average of weights that is evaluated and saved.
pub(crate) fn average(options: &FineTuneOptions) -> Result<Option<WeightAverage>> {
    let average = options.ema.map(WeightAverage::ema).transpose();
    average.map_err(|source| Error::Train { source })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schedule_begins_with_the_warm_up() {
        for kind in [ScheduleKind::Cosine, ScheduleKind::Step, ScheduleKind::Constant] {
            let options = FineTuneOptions {
                schedule: kind,
                lr: Some(0.5),
                warmup: 10,
                ..FineTuneOptions::default()
            };
            let schedule = schedule(&options, 100);
            assert!(schedule.lr_at(0) < 0.5);
            assert!((schedule.lr_at(10) - 0.5).abs() < 1e-12);
        }
    }

    #[test]
    fn stairs_go_down_twice() {
        let options = FineTuneOptions {
            schedule: ScheduleKind::Step,
            lr: Some(1.0),
            warmup: 0,
            ..FineTuneOptions::default()
        };
        let schedule = schedule(&options, 90);
        let close = |step, lr: f64| (schedule.lr_at(step) - lr).abs() < 1e-12;
        assert!(close(29, 1.0) && close(30, 0.1) && close(60, 0.01) && close(89, 0.01));
    }
}
