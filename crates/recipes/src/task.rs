//! What is learned: the loss it is trained with, the metrics it is judged by, and what the model says of its outputs.
//!
//! Above: `tune`, `evaluate`, `warm_head`, `recalibrate`. Below: `task::{loss, scores, units}`, `taper_layers::loss`, `taper_train`. Not here: names of classes
//! and pictures (`data`).
//! All of it follows from what the pictures' targets are.

mod loss;
mod scores;
mod units;

use taper_data::{Dataset, TargetKind};
use taper_layers::loss::Loss;
use taper_model::{Model, Task, rescale_classifier};
use taper_train::{
    Accuracy, CalibrationError, ClassMean, LogLoss, MeanAbsoluteError, MeanLoss, Metric,
    MultiLabelAccuracy, MultiLabelF1, RankingArea, Review, SquaredError,
};

use crate::confidence::Tempered;
use crate::error::{Error, Result};
use crate::options::FineTuneOptions;
use units::{InUnits, Units};

pub use scores::NamedScore;
pub(crate) use scores::{ClassificationScores, named, top};

/// The output that a classifier is trained and judged by.
pub(crate) const LOGITS: &str = "logits";

/// The metric that is no number.
const REVIEW: &str = "review";

/// What a model of such targets does.
pub(crate) fn task_of(kind: TargetKind) -> Task {
    match kind {
        TargetKind::Class | TargetKind::Probabilities => Task::Classification,
        TargetKind::Labels => Task::MultiLabel,
        TargetKind::Numbers => Task::Regression,
    }
}

/// What is made small, and what the network's outputs are in units of the targets.
pub(crate) struct Objective {
    kind: TargetKind,
    loss: Box<dyn Loss>,
    /// The loss without smoothing and weights, for evaluating.
    plain: Box<dyn Loss>,
    /// Numbers are learned in units of their spread.
    units: Option<Units>,
}

impl Objective {
    /// What the options ask of a data set.
    ///
    /// # Errors
    /// [`Error::Option`] for a loss of other targets.
    pub(crate) fn new(dataset: &Dataset, options: &FineTuneOptions) -> Result<Self> {
        let kind = dataset.kind();
        let units = match kind {
            TargetKind::Numbers => Some(Units::of(&dataset.train)),
            TargetKind::Class | TargetKind::Labels | TargetKind::Probabilities => None,
        };
        let (loss, plain) = loss::of(dataset, options)?;
        let in_units = |loss| match &units {
            Some(units) => units.loss(loss),
            None => loss,
        };
        Ok(Self { kind, loss: in_units(loss), plain: in_units(plain), units: units.clone() })
    }

    pub(crate) fn kind(&self) -> TargetKind {
        self.kind
    }

    pub(crate) fn loss(&self) -> &dyn Loss {
        &*self.loss
    }

    /// What evaluating while training looks at: a few numbers, and all it takes to choose by one that was named.
    pub(crate) fn metrics<'m>(
        &'m self,
        review: &'m mut Review,
        best_by: Option<&str>,
    ) -> Result<Vec<Box<dyn Metric + 'm>>> {
        let mut metrics = metrics(self.kind, &*self.plain, self.units.as_ref(), review);
        let known = || {
            let names = metrics.iter().map(|metric| metric.name());
            names.filter(|name| name != REVIEW).collect::<Vec<_>>().join(", ")
        };
        if let Some(name) = best_by
            && (name == REVIEW || !metrics.iter().any(|metric| metric.name() == name))
        {
            let expected = format!("one of {}", known());
            return Err(Error::option("best_by", &name, expected));
        }
        metrics.retain(|metric| !is_slow(&metric.name()) || best_by == Some(&*metric.name()));
        Ok(metrics)
    }

    /// The trained network as it is used: it gives numbers in their own units, and knows what its outputs are.
    pub(crate) fn finish(&self, model: Model) -> taper_model::Result<Model> {
        let model = match &self.units {
            Some(Units { mean, std }) => rescale_classifier(&model, std, mean)?,
            None => model,
        };
        Ok(model.with_task(task_of(self.kind)))
    }
}

/// The precision of networks.
#[expect(clippy::cast_possible_truncation, reason = "rounded to the precision of networks")]
fn single(value: f64) -> f32 {
    value as f32
}

/// Metrics that keep all scores.
fn is_slow(name: &str) -> bool {
    matches!(name, "auroc" | "average_precision")
}

/// All metrics of targets of this kind; the first but the loss picks the best model unless another is named.
fn metrics<'m>(
    kind: TargetKind,
    loss: &'m dyn Loss,
    units: Option<&Units>,
    review: &'m mut Review,
) -> Vec<Box<dyn Metric + 'm>> {
    match kind {
        TargetKind::Class | TargetKind::Probabilities => vec![
            match kind {
                TargetKind::Class => Box::new(LogLoss::new()) as Box<dyn Metric + 'm>,
                _ => Box::new(MeanLoss::new(loss)),
            },
            Box::new(Accuracy::top(1)),
            Box::new(Accuracy::top(5)),
            Box::new(ClassMean::balanced_accuracy()),
            Box::new(ClassMean::precision()),
            Box::new(ClassMean::recall()),
            Box::new(ClassMean::f1()),
            Box::new(CalibrationError::new()),
            Box::new(RankingArea::roc()),
            Box::new(RankingArea::average_precision()),
            Box::new(review),
        ],
        TargetKind::Labels => vec![
            Box::new(MeanLoss::new(loss)),
            Box::new(MultiLabelF1::new()),
            Box::new(MultiLabelAccuracy::new()),
            Box::new(RankingArea::roc()),
            Box::new(RankingArea::average_precision()),
        ],
        TargetKind::Numbers => {
            let in_units = |metric: Box<dyn Metric>| InUnits::new(metric, units.cloned());
            vec![
                Box::new(MeanLoss::new(loss)),
                Box::new(in_units(Box::new(MeanAbsoluteError::new()))),
                Box::new(in_units(Box::new(SquaredError::root_mean()))),
                Box::new(in_units(Box::new(SquaredError::r2()))),
            ]
        }
    }
}

/// What a finished model is judged by on targets of this kind.
pub(crate) struct Judge {
    kind: TargetKind,
    plain: Box<dyn Loss>,
    /// What the model divides logits by, if it was calibrated.
    temperature: Option<f64>,
    /// Confusion and mistakes of classes.
    pub(crate) review: Review,
}

impl Judge {
    pub(crate) fn new(kind: TargetKind, temperature: Option<f64>) -> Self {
        Self { kind, plain: loss::plain(kind), temperature, review: Review::new() }
    }

    /// All metrics, of probabilities as the model gives them; of a calibrated one also the calibration error that it would have without.
    pub(crate) fn all(&mut self) -> Vec<Box<dyn Metric + '_>> {
        let all = metrics(self.kind, &*self.plain, None, &mut self.review);
        let Some(temperature) = self.temperature else { return all };
        let tempered = |metric| Box::new(Tempered::new(metric, temperature)) as Box<dyn Metric>;
        let before = Tempered::new(Box::new(CalibrationError::new()), 1.0).called("ece_before");
        all.into_iter().map(tempered).chain([Box::new(before) as Box<dyn Metric>]).collect()
    }
}
