//! How much memory a network's training takes.
//!
//! Above: users of `Network`. Below: `network`. Not here: what it will take (`cost`), where it lies (`plan`).

use super::{Network, lock};

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

    /// Frees what [`Network::training_bytes`] counts, and the session of evaluation; the next pass lays out memory again. The weights stay.
    ///
    /// # Examples
    /// ```
    /// use candle_core::{DType, Device, Tensor};
    /// use taper_graph::{Bias, Conv, GraphBuilder};
    /// use taper_layers::Network;
    /// # use taper_model::{Model, Preprocess};
    /// let mut b = GraphBuilder::new(3)?;
    /// let xs = b.input();
    /// let xs = b.conv("conv", xs, Conv::dense(2, 1, 1), Bias::With)?;
    /// b.output("xs", xs)?;
    /// let network = Network::new(&Model::random(b.build()?, 0, Preprocess::imagenet(), vec![])?, &Device::Cpu)?;
    /// let images = Tensor::ones((2, 3, 1, 1), DType::F32, &Device::Cpu)?;
    /// let step = || network.value_and_grad(&images, 0, |xs| xs.sqr()?.mean_all());
    /// let loss = step()?.loss.to_scalar::<f32>()?;
    /// assert!(network.training_bytes() > 0);
    /// network.free_training_bytes();
    /// assert_eq!(network.training_bytes(), 0);
    /// assert_eq!(step()?.loss.to_scalar::<f32>()?, loss);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn free_training_bytes(&self) {
        self.runner.free_arena();
        *lock(&self.compiled) = None;
    }
}
