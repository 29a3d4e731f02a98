//! How much memory a network's training takes.
//!
//! Above: users of `Network`. Below: `network`. Not here: what it will take (`cost`), where it lies (`plan`).

use super::Network;

impl Network {
    /// Bytes that are kept between training passes: activations and their gradients in one block, as large as the largest batch so far needs; 0
    /// before the first pass, and when other parameters are frozen or another way to train is chosen, until the next.
    ///
    /// # Examples
    /// ```
    /// use candle_core::{DType, Device, Tensor};
    /// use taper_graph::{Activation, Bias, Conv, GraphBuilder};
    /// use taper_layers::{Network, Recompute};
    /// # use taper_model::{Model, Preprocess};
    /// let mut b = GraphBuilder::new(3)?;
    /// let mut xs = b.input();
    /// for i in 0..16 {
    ///     xs = b.conv(&format!("conv{i}"), xs, Conv::dense(3, 3, 1), Bias::Without)?;
    ///     xs = b.activation(&format!("act{i}"), xs, Activation::Silu)?;
    /// }
    /// b.output("xs", xs)?;
    /// let model = Model::random(b.build()?, 0, Preprocess::imagenet(), vec![])?;
    /// let images = Tensor::ones((2, 3, 8, 8), DType::F32, &Device::Cpu)?;
    /// let bytes = |recompute| -> taper_layers::Result<usize> {
    ///     let network = Network::new(&model, &Device::Cpu)?.recomputing(recompute);
    ///     network.value_and_grad(&images, 0, |xs| xs.sqr()?.mean_all())?;
    ///     Ok(network.training_bytes())
    /// };
    /// assert!(bytes(Recompute::Segments)? < bytes(Recompute::Nothing)? * 2 / 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn training_bytes(&self) -> usize {
        self.runner.arena_bytes()
    }
}
