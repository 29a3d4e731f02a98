//! Options become transforms, a network, parameter groups and a schedule.
//!
//! Above: `fine_tune`, `tune`, `evaluate`, `predict`. Below: `taper_data`, `taper_layers`, `taper_optim`. Not here: the loop
//! (`taper_train`).

use taper_data::{
    EvalTransform, Loader, LoaderOptions, Normalize, Order, Sample, TrainTransform, Transform,
};
use taper_layers::Network;
use taper_model::{Interpolation, Preprocess};
use taper_optim::{Group, Schedule, split_by_decay};

use crate::error::{Error, Result};
use crate::options::{Augment, FineTuneOptions, ScheduleKind};

/// What a network sees of a picture when it is not trained.
pub(crate) fn eval_transform(preprocess: &Preprocess) -> Result<Transform> {
    let Preprocess { input_size, crop_pct, .. } = *preprocess;
    let interpolation = interpolation(preprocess);
    let transform = EvalTransform::imagenet(input_size, crop_pct, interpolation).map_err(data)?;
    Ok(EvalTransform { normalize: normalize(preprocess)?, ..transform }.into())
}

/// What it sees in training.
pub(crate) fn train_transform(preprocess: &Preprocess, augment: Augment) -> Result<Transform> {
    if augment == Augment::None {
        return eval_transform(preprocess);
    }
    let interpolation = interpolation(preprocess);
    let transform = TrainTransform::imagenet(preprocess.input_size, interpolation).map_err(data)?;
    Ok(TrainTransform { normalize: normalize(preprocess)?, ..transform }.into())
}

fn normalize(preprocess: &Preprocess) -> Result<Normalize> {
    Normalize::new(preprocess.mean, preprocess.std).map_err(data)
}

fn interpolation(preprocess: &Preprocess) -> taper_data::Interpolation {
    match preprocess.interpolation {
        Interpolation::Bicubic => taper_data::Interpolation::Bicubic,
        _ => taper_data::Interpolation::Bilinear,
    }
}

/// Batches in a shuffled or the given order.
pub(crate) fn loader(
    samples: &[Sample],
    transform: Transform,
    order: Order,
    options: &FineTuneOptions,
) -> Result<Loader> {
    let FineTuneOptions { batch_size, seed, threads, .. } = *options;
    let options = LoaderOptions { batch_size, order, seed, threads, ..LoaderOptions::default() };
    Loader::new(samples, transform, &options).map_err(data)
}

/// Trained parameters in two groups: weights, which decay, and the rest, which does not.
pub(crate) fn groups(network: &Network, weight_decay: f64) -> Vec<Group> {
    let trained = network.params().iter().filter(|param| param.is_trained());
    let decaying =
        trained.map(|param| (param.name.clone(), param.var.clone(), param.role.is_decayed()));
    split_by_decay(decaying, weight_decay)
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

pub(crate) fn data(source: taper_data::Error) -> Error {
    Error::Data { source }
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
