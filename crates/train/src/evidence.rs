//! What data says of a network's parameters and channels: gradients, squared gradients and activations, summed over batches.
//!
//! Above: `recipes`, whose pruning ranks by it. Below: `layers::Network` in evaluation mode, the engine's `Session`. Not here: criteria
//! made of it (`taper-prune`), which batches there are (`data`).
//! The network is as it is evaluated: running statistics, no dropout. Sums are in `f64` in the order of the batches.

use candle_core::{Device, Tensor};
use taper_data::Batch;
use taper_layers::{Network, Session, loss::Loss};

use crate::error::{Error, Result, at};
use crate::metrics::target_tensors;

/// Images whose activations are held at once: all nodes of MobileNetV2 take 27 MB an image.
const IMAGES_AT_ONCE: usize = 4;

/// What batches say of a network.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Evidence {
    /// By parameter, in the order of [`Network::params`]: the sum over batches of the gradient of the batch's loss. Empty for buffers,
    /// which have none.
    pub gradients: Vec<Vec<f64>>,
    /// By parameter: the sum over batches of the square of that gradient. A square of a batch's mean, not a mean over pictures of
    /// squares: with batches of one it is the diagonal of the empirical Fisher information.
    pub squared_gradients: Vec<Vec<f64>>,
    /// By watched node, in the order asked for.
    pub activations: Vec<ChannelMeans>,
    /// Batches that were summed.
    pub batches: usize,
    /// Samples that the means are over.
    pub samples: usize,
}

/// Means over samples and positions of what a node gives, by channel.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ChannelMeans {
    /// Of `|a|`.
    pub absolute: Vec<f64>,
    /// Of `a²`.
    pub square: Vec<f64>,
}

/// Runs a network, which it thaws and puts into evaluation mode, over `batches`.
///
/// `loss` is that of a batch, the mean over its samples as in training. `watched` are nodes by name, whose outputs are looked at as they
/// are where others read them; none of them changes the gradients.
///
/// # Cost
/// A training step without its end for each batch, and where nodes are watched an inference.
///
/// # Errors
/// [`Error::Network`] for a node the network does not have, or a batch it cannot take; [`Error::Empty`] if there is no sample;
/// [`Error::NotFinite`] if a gradient or an activation is no number, with the parameter or node.
///
/// # Examples
/// ```
/// use candle_core::Device;
/// use taper_graph::{Bias, GraphBuilder, PoolKind};
/// use taper_layers::{Network, loss::CrossEntropy};
/// use taper_model::{Model, Preprocess};
/// use taper_train::{Batches, Vectors, evidence};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut b = GraphBuilder::new(2)?;
/// let xs = b.global_pool("pool", b.input(), PoolKind::Avg, true)?;
/// let xs = b.linear("classifier", xs, 2, Bias::With)?;
/// b.output("logits", xs)?;
/// # let preprocess = Preprocess { input_size: [1, 1], ..Preprocess::imagenet() };
/// let model = Model::random(b.build()?, 0, preprocess, vec![])?;
/// let set = Vectors::new(vec![1.0, -3.0, 2.0, 0.0], vec![0, 1].into(), 1)?; // two batches of one
///
/// let network = Network::new(&model, &Device::Cpu)?;
/// let seen = evidence(network, set.epoch(0, 0), &CrossEntropy::new(), &["pool"])?;
/// assert_eq!((seen.batches, seen.gradients[0].len()), (2, 4)); // classifier.weight
/// assert_eq!(seen.activations[0].absolute, [1.5, 1.5]);
/// assert_eq!(seen.activations[0].square, [2.5, 4.5]);
/// # Ok(()) }
/// ```
pub fn evidence(
    network: Network,
    batches: impl IntoIterator<Item = Result<Batch>>,
    loss: &dyn Loss,
    watched: &[&str],
) -> Result<Evidence> {
    let mut network = network.in_evaluation_mode();
    network.set_frozen(|_| false);
    let mut session = (!watched.is_empty()).then(|| network.session_of(watched)).transpose()?;
    let mut evidence = Evidence::default();
    let (mut counts, mut skipped) = (vec![0; watched.len()], Vec::new());
    for batch in batches {
        let mut batch = batch?;
        skipped.append(&mut batch.skipped);
        if batch.indices.is_empty() {
            continue;
        }
        if let Some(session) = &mut session {
            evidence.add_activations(session, &batch, &mut counts)?;
        }
        evidence.batches += 1;
        evidence.samples += batch.indices.len();
        evidence.add_gradients(&network, batch, loss)?;
    }
    if evidence.samples == 0 {
        return Err(Error::nothing_left("training", skipped));
    }
    evidence.divide(&counts);
    evidence.must_be_finite(&network, watched)?;
    Ok(evidence)
}

impl Evidence {
    fn add_gradients(&mut self, network: &Network, batch: Batch, loss: &dyn Loss) -> Result<()> {
        let Batch { xs, shape: [n, h, w], targets, .. } = batch;
        let xs = Tensor::from_vec(xs, (n, h, w, ()), &Device::Cpu)
            .and_then(|xs| xs.permute((0, 3, 1, 2)))
            .map_err(at("batch"))?;
        let targets = target_tensors(&targets)?;
        let value = network.value_and_grad_all(&xs, 0, |outputs| loss.loss(outputs, &targets))?;
        let params = network.params();
        self.gradients.resize_with(params.len(), Vec::new);
        self.squared_gradients.resize_with(params.len(), Vec::new);
        let sums = self.gradients.iter_mut().zip(&mut self.squared_gradients);
        for (param, (sum, square)) in params.iter().zip(sums) {
            let Some(gradient) = value.grads.get(&param.var) else { continue };
            let gradient: Vec<f32> =
                gradient.flatten_all().and_then(|it| it.to_vec1()).map_err(at("gradients"))?;
            sum.resize(gradient.len(), 0.0);
            square.resize(gradient.len(), 0.0);
            for ((sum, square), gradient) in sum.iter_mut().zip(square).zip(gradient) {
                *sum += f64::from(gradient);
                *square += f64::from(gradient).powi(2);
            }
        }
        Ok(())
    }

    /// A picture's activations do not depend on the others: a few at once do.
    fn add_activations(
        &mut self,
        session: &mut Session,
        batch: &Batch,
        counts: &mut [usize],
    ) -> Result<()> {
        let [n, h, w] = batch.shape;
        let image = (batch.xs.len() / n).max(1);
        self.activations.resize_with(counts.len(), ChannelMeans::default);
        for images in batch.xs.chunks(IMAGES_AT_ONCE * image) {
            let shape = [images.len() / image, h, w];
            let shapes = session.output_shapes(shape).map_err(taper_layers::Error::from)?;
            let values = session.run_all(images, shape).map_err(taper_layers::Error::from)?;
            let nodes = self.activations.iter_mut().zip(&mut *counts);
            for ((means, count), (values, shape)) in nodes.zip(values.iter().zip(&shapes)) {
                let channels = shape.last().copied().unwrap_or(1).max(1);
                means.add(values, channels);
                *count += values.len() / channels;
            }
        }
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "positions stay far below 2^53")]
    fn divide(&mut self, counts: &[usize]) {
        for (means, &count) in self.activations.iter_mut().zip(counts) {
            let all = means.absolute.iter_mut().chain(&mut means.square);
            all.for_each(|sum| *sum /= count.max(1) as f64);
        }
    }

    fn must_be_finite(&self, network: &Network, watched: &[&str]) -> Result<()> {
        let gradients = network.params().iter().zip(&self.squared_gradients);
        let gradients = gradients
            .map(|(param, sums)| (format!("the gradient of `{}`", param.name), sums.as_slice()));
        let activations = watched.iter().zip(&self.activations);
        let activations = activations
            .map(|(node, means)| (format!("an activation of `{node}`"), means.square.as_slice()));
        for (what, sums) in gradients.chain(activations) {
            if let Some(&value) = sums.iter().find(|sum| !sum.is_finite()) {
                return Err(Error::NotFinite { what, value });
            }
        }
        Ok(())
    }
}

impl ChannelMeans {
    fn add(&mut self, values: &[f32], channels: usize) {
        self.absolute.resize(channels, 0.0);
        self.square.resize(channels, 0.0);
        for position in values.chunks_exact(channels) {
            let sums = self.absolute.iter_mut().zip(&mut self.square);
            for ((absolute, square), &value) in sums.zip(position) {
                let value = f64::from(value);
                *absolute += value.abs();
                *square += value * value;
            }
        }
    }
}

#[cfg(test)]
mod tests;
