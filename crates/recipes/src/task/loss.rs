//! Options to a loss.
//!
//! Above: `task`. Below: `taper_layers::loss`. Not here: units of numbers (`task::units`).

use candle_core::{Device, Tensor};
use taper_data::{Dataset, Target, TargetKind};
use taper_layers::loss::{
    BceWithLogits, CrossEntropy, Huber, Loss, Mse, SigmoidFocal, SmoothL1, SoftmaxFocal,
};

use super::single;
use crate::error::{Error, Result};
use crate::options::{ClassWeights, FineTuneOptions, LossKind, Sampling};

type Boxed = Box<dyn Loss>;

/// The loss that a data set is trained with, and the same without smoothing and weights.
pub(super) fn of(dataset: &Dataset, options: &FineTuneOptions) -> Result<(Boxed, Boxed)> {
    let kind = dataset.kind();
    let plain = plain(kind);
    let smoothing = options.label_smoothing;
    if smoothing > 0.0 && !matches!(kind, TargetKind::Class | TargetKind::Probabilities) {
        let expected = "0 where pictures have no classes";
        return Err(Error::option("label_smoothing", &smoothing, expected));
    }
    if options.sampling == Sampling::Balanced
        && !matches!(kind, TargetKind::Class | TargetKind::Labels)
    {
        let expected = "shuffle where pictures have neither classes nor labels";
        return Err(Error::option("sampling", &options.sampling, expected));
    }
    let is_soft = matches!(kind, TargetKind::Class) && options.mixes();
    if is_soft && options.loss == LossKind::Focal {
        let expected =
            "one for probabilities of classes, which `mixup` and `cutmix` make: cross-entropy";
        return Err(Error::option("loss", &options.loss, expected));
    }
    let weights = weights(dataset, options.class_weights)?;
    let failed = |source: taper_layers::Error| Error::Train { source: source.into() };
    let loss: Boxed = match (options.loss.of(kind), kind) {
        (LossKind::CrossEntropy, TargetKind::Class | TargetKind::Probabilities) => {
            let loss = CrossEntropy::new().with_label_smoothing(smoothing).map_err(failed)?;
            match &weights {
                Some(weights) => Box::new(loss.with_weight(weights).map_err(failed)?),
                None => Box::new(loss),
            }
        }
        (LossKind::Focal, TargetKind::Class) if smoothing == 0.0 => {
            let loss = SoftmaxFocal::new().with_gamma(options.focal_gamma).map_err(failed)?;
            match &weights {
                Some(weights) => Box::new(loss.with_weight(weights).map_err(failed)?),
                None => Box::new(loss),
            }
        }
        (LossKind::Focal, TargetKind::Class) => {
            return Err(Error::option("label_smoothing", &smoothing, "0 with the loss `focal`"));
        }
        (LossKind::Bce, TargetKind::Labels) => match &weights {
            Some(weights) => Box::new(bce().with_pos_weight(weights).map_err(failed)?),
            None => Box::new(bce()),
        },
        (LossKind::Focal, TargetKind::Labels) if weights.is_none() => {
            let loss = SigmoidFocal::new().with_alpha(None).map_err(failed)?;
            let loss = loss.with_gamma(options.focal_gamma).map_err(failed)?;
            Box::new(loss.with_ignore_nan())
        }
        (LossKind::Focal, TargetKind::Labels) => {
            let expected = "none with the loss `focal` of labels";
            return Err(Error::option("class_weights", &options.class_weights, expected));
        }
        (LossKind::Mse, TargetKind::Numbers) => Box::new(mse()),
        (LossKind::Huber, TargetKind::Numbers) => {
            Box::new(Huber::new(1.0).map_err(failed)?.with_ignore_nan())
        }
        (LossKind::SmoothL1, TargetKind::Numbers) => {
            Box::new(SmoothL1::new(1.0).map_err(failed)?.with_ignore_nan())
        }
        (loss, _) => {
            let expected = format!("one for {}: {}", described(kind), losses(kind));
            return Err(Error::option("loss", &loss, expected));
        }
    };
    Ok((loss, plain))
}

/// Of labels, which a table may leave open.
fn bce() -> BceWithLogits {
    BceWithLogits::new().with_ignore_nan()
}

/// Of numbers, which a table may leave open.
fn mse() -> Mse {
    Mse::new().with_ignore_nan()
}

/// The usual loss of such targets.
pub(super) fn plain(kind: TargetKind) -> Boxed {
    match kind {
        TargetKind::Class | TargetKind::Probabilities => Box::new(CrossEntropy::new()),
        TargetKind::Labels => Box::new(bce()),
        TargetKind::Numbers => Box::new(mse()),
    }
}

fn described(kind: TargetKind) -> &'static str {
    match kind {
        TargetKind::Class => "classes",
        TargetKind::Labels => "labels of which any number holds",
        TargetKind::Probabilities => "probabilities of classes",
        TargetKind::Numbers => "numbers",
    }
}

fn losses(kind: TargetKind) -> &'static str {
    match kind {
        TargetKind::Class => "cross-entropy, focal",
        TargetKind::Labels => "bce, focal",
        TargetKind::Probabilities => "cross-entropy",
        TargetKind::Numbers => "mse, huber, smooth-l1",
    }
}

impl LossKind {
    /// The loss that `auto` stands for.
    fn of(self, kind: TargetKind) -> Self {
        match (self, kind) {
            (Self::Auto, TargetKind::Class | TargetKind::Probabilities) => Self::CrossEntropy,
            (Self::Auto, TargetKind::Labels) => Self::Bce,
            (Self::Auto, TargetKind::Numbers) => Self::Mse,
            (chosen, _) => chosen,
        }
    }
}

/// Weights of classes, `n / (k · n_c)` as scikit-learn's `balanced`; of labels, how many pictures a label does not hold for, for each
/// that it holds for (`pos_weight`).
fn weights(dataset: &Dataset, chosen: ClassWeights) -> Result<Option<Tensor>> {
    if chosen == ClassWeights::None {
        return Ok(None);
    }
    let n = dataset.train.len() as f64;
    let weights: Vec<f32> = match dataset.kind() {
        TargetKind::Class => {
            let counts = dataset.count_by_class(&dataset.train);
            let k = counts.len() as f64;
            counts.iter().map(|&count| single(n / (k * count.max(1) as f64))).collect()
        }
        TargetKind::Labels => {
            holding(dataset).into_iter().map(|[known, count]| weight(known, count)).collect()
        }
        TargetKind::Probabilities | TargetKind::Numbers => {
            let expected = "none where pictures have neither classes nor labels";
            return Err(Error::option("class_weights", &chosen, expected));
        }
    };
    let failed = |source| Error::Train {
        source: taper_train::Error::Tensor { what: "the class weights", source },
    };
    let k = weights.len();
    Tensor::from_vec(weights, k, &Device::Cpu).map(Some).map_err(failed)
}

/// Of how many training pictures each label is known, and for how many of these it holds.
fn holding(dataset: &Dataset) -> Vec<[f64; 2]> {
    let mut counts = vec![[0.0; 2]; dataset.classes.len()];
    for sample in &dataset.train {
        if let Target::Labels(array) = sample.target() {
            let known = counts.iter_mut().zip(array.values()).filter(|(_, holds)| !holds.is_nan());
            known.for_each(|([known, count], &holds)| {
                *known += 1.0;
                *count += f64::from(holds);
            });
        }
    }
    counts
}

/// What a picture for which a label holds counts, of `n` pictures of which `count` are such; one that always holds has nothing to be weighed
/// against.
fn weight(n: f64, count: f64) -> f32 {
    if count < n { single((n - count) / count.max(1.0)) } else { 1.0 }
}
