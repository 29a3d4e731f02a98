//! A part of a batch differentiated: gradients are told as soon as they are final, and statistics given instead of kept.
//!
//! Above: `train`, which sums gradients over parts of a batch, here or elsewhere. Below: `network::executor`. Not here: sums over parts.

use candle_core::Tensor;

use super::executor::{ImageGradient, Statistics};
use super::{LossAndGrads, Network, once};
use crate::NamedTensors;
use crate::error::{Error, Result};

/// What [`Network::value_and_grad_part`] gives.
#[derive(Debug)]
pub struct PartValue {
    /// The loss and its gradients.
    pub value: LossAndGrads,
    /// What the running statistics would be after a step with this batch alone, by index in [`Network::params`].
    pub statistics: Vec<(usize, Vec<f32>)>,
}

impl Network {
    /// As [`Network::value_and_grad_all`] for a part of a batch: the running statistics stay as they are, and `observe` is called once with
    /// every trained parameter, by its index in [`Network::params`], as soon as its gradient is final, while the pass goes on below it.
    /// The order is that of [`Network::gradient_order`].
    ///
    /// # Errors
    /// As [`Network::value_and_grad`]; what has been told by then is not to be used.
    ///
    /// # Examples
    /// ```
    /// use candle_core::{DType, Device, Tensor};
    /// use taper_graph::{Bias, GraphBuilder, PoolKind};
    /// use taper_layers::Network;
    /// # use taper_model::{Model, Preprocess};
    /// # let mut b = GraphBuilder::new(3)?;
    /// # let xs = b.global_pool("pool", b.input(), PoolKind::Avg, true)?;
    /// # let xs = b.linear("hidden", xs, 4, Bias::Without)?;
    /// # let logits = b.linear("classifier", xs, 2, Bias::With)?;
    /// # b.output("logits", logits)?;
    /// # let model = Model::random(b.build()?, 0, Preprocess::imagenet(), vec!["cat".into(), "dog".into()])?;
    /// let network = Network::new(&model, &Device::Cpu)?; // two linear layers
    /// let xs = Tensor::ones((2, 3, 8, 8), DType::F32, &Device::Cpu)?;
    /// let mut told = Vec::new();
    /// network.value_and_grad_part(&xs, 0, |outputs| outputs.single()?.sqr()?.mean_all(), &mut |index, _| {
    ///     told.push(network.params()[index].name.as_str());
    /// })?;
    /// assert_eq!(told, ["classifier.weight", "classifier.bias", "hidden.weight"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn value_and_grad_part(
        &self,
        xs: &Tensor,
        seed: u64,
        loss: impl FnOnce(&NamedTensors) -> candle_core::Result<Tensor>,
        observe: &mut dyn FnMut(usize, &[f32]),
    ) -> Result<PartValue> {
        let (value, statistics) = self.differentiate(xs, seed, &mut once(loss), Some(observe))?;
        Ok(PartValue { value, statistics })
    }

    /// The trained parameters, by index in [`Network::params`], in the order in which a step makes their gradients final: the last layers
    /// first.
    ///
    /// # Errors
    /// [`Error::AllFrozen`], [`Error::Engine`] if the engine cannot train the graph.
    pub fn gradient_order(&self) -> Result<Vec<usize>> {
        let image = ImageGradient::Unwanted;
        self.runner.with_executor(&self.params, image, |executor| Ok(executor.gradient_order()))
    }

    /// The buffers that a step changes, by index in [`Network::params`]: the statistics of norms that are trained, in the order of
    /// [`PartValue::statistics`].
    ///
    /// # Errors
    /// As [`Network::gradient_order`].
    pub fn statistics_order(&self) -> Result<Vec<usize>> {
        let statistics: Statistics =
            self.runner.with_executor(&self.params, ImageGradient::Unwanted, |executor| {
                executor.statistics(&self.params)
            })?;
        Ok(statistics.into_iter().map(|(index, _)| index).collect())
    }

    /// Overwrites parameters or buffers by index in [`Network::params`], such as the statistics of a [`PartValue`].
    ///
    /// # Errors
    /// [`Error::Tensor`] for values of another number than the parameter has, [`Error::Tensors`] for an index that is none.
    pub fn set_values(&self, values: &[(usize, Vec<f32>)]) -> Result<()> {
        for (index, values) in values {
            let surplus = || Error::Tensors {
                missing: vec![],
                surplus: vec![format!("parameter {index}")],
                misshapen: vec![],
            };
            self.params.get(*index).ok_or_else(surplus)?.set(values)?;
        }
        Ok(())
    }
}
