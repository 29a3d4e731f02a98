//! One pass of a compiled network over a set.
//!
//! Above: `fit`, `recipes`. Below: the engine's `Session`, `metrics`. Not here: the transform of the images (`data`).

use taper_layers::Session;

use crate::Batches;
use crate::error::{Error, Result};
use crate::metrics::{Evaluation, Metric, Output, Predictions, Scores};

/// Evaluates a session on epoch 0 of `batches`: all metrics begin anew, and hold what they saw. Samples that cannot be read are left
/// out of every number and named in [`Evaluation::skipped`].
///
/// # Errors
/// [`Error::Empty`] if there are no samples, [`Error::Unreadable`] if none can be read, [`Error::Data`] or [`Error::Network`] if a
/// batch cannot be made or run, and what the metrics refuse.
///
/// # Examples
/// ```
/// use taper_layers::Network;
/// # use taper_graph::{Bias, GraphBuilder, PoolKind};
/// # use taper_model::{Model, Preprocess};
/// use taper_train::{Accuracy, Review, Vectors, evaluate};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut b = GraphBuilder::new(2)?;
/// # let xs = b.global_pool("pool", b.input(), PoolKind::Avg, true)?;
/// # let xs = b.linear("classifier", xs, 2, Bias::With)?;
/// # b.output("logits", xs)?;
/// # let mut preprocess = Preprocess::imagenet();
/// # preprocess.input_size = [1, 1];
/// # let model = Model::random(b.build()?, 0, preprocess, vec!["a".into(), "b".into()])?;
/// let mut session = Network::new(&model, &candle_core::Device::Cpu)?.session()?;
/// let set = Vectors::new(vec![0.0, 1.0, 1.0, 0.0], vec![0, 1].into(), 2)?; // two vectors of two
/// let mut review = Review::new();
/// let evaluation = evaluate(&mut session, &set, &mut [Box::new(Accuracy::top(1)), Box::new(&mut review)])?;
/// assert_eq!(evaluation.scores.samples, 2);
/// assert_eq!(evaluation.scores.get("top1"), Some(1.0 - review.mistakes().len() as f64 / 2.0));
/// # Ok(()) }
/// ```
pub fn evaluate<'m>(
    session: &mut Session,
    batches: &dyn Batches,
    metrics: &mut [Box<dyn Metric + 'm>],
) -> Result<Evaluation> {
    evaluate_views(session, batches, 1, &|values, _| values.to_vec(), metrics)
}

/// [`evaluate`] with several views of each sample, which the batches have one above the other: `(n, views · h, w, c)`. `together` makes one
/// row of each `views` rows of an output, of which it is told the numbers in a row.
///
/// # Errors
/// As [`evaluate`]; [`Error::Setting`] if the height of a batch cannot be cut into so many views.
pub fn evaluate_views<'m>(
    session: &mut Session,
    batches: &dyn Batches,
    views: usize,
    together: &dyn Fn(&[f32], usize) -> Vec<f32>,
    metrics: &mut [Box<dyn Metric + 'm>],
) -> Result<Evaluation> {
    metrics.iter_mut().for_each(|metric| metric.reset());
    let names = session.output_names().to_vec();
    let (mut samples, mut skipped) = (0, Vec::new());
    for batch in batches.epoch(0, 0) {
        let batch = batch?;
        skipped.extend(batch.skipped);
        if batch.indices.is_empty() {
            continue;
        }
        let [n, h, w] = batch.shape;
        if views == 0 || h % views != 0 {
            let (name, got) = ("views", views.to_string());
            return Err(Error::Setting { name, got, expected: "a divisor of the batch's height" });
        }
        let viewed = [n * views, h / views, w];
        let shapes = session.output_shapes(viewed).map_err(taper_layers::Error::from)?;
        let values = session.run_all(&batch.xs, viewed).map_err(taper_layers::Error::from)?;
        let kept: Vec<(Vec<f32>, Vec<usize>)> = values
            .iter()
            .zip(shapes)
            .map(|(values, mut shape)| {
                let row = shape.iter().skip(1).product();
                shape[0] = n;
                (together(values, row), shape)
            })
            .collect();
        let outputs = names.iter().zip(&kept);
        let outputs = outputs.map(|(name, (values, shape))| Output { name, values, shape });
        let predictions = Predictions::new(outputs.collect(), &batch.targets, &batch.indices)?;
        for metric in &mut *metrics {
            metric.update(&predictions)?;
        }
        samples += batch.indices.len();
    }
    if samples == 0 {
        return Err(Error::nothing_left("validation", skipped));
    }
    Ok(Evaluation { scores: Scores::of(metrics, samples), skipped })
}
