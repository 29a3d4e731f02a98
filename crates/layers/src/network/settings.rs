//! How a network runs: on how many threads, through which outputs, with how much memory, in which precision.
//!
//! Above: `network`. Below: `network`. Not here: what it computes.

use std::sync::{Arc, Mutex};

use taper_engine::{MatmulPrecision, Recompute};

use super::Network;
use crate::error::{Error, Result};

impl Network {
    /// Runs on so many threads; 0, the default, means all cores. The number changes the last bits of results.
    #[must_use]
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.runner = Arc::new(self.runner.changed(|runner| runner.threads = threads));
        self.compiled = Mutex::default();
        self
    }

    /// Keeps all that the way back needs, which is the default, or computes a part of it again (gradient checkpointing): the same bits, in
    /// less memory and more time.
    #[must_use]
    pub fn recomputing(mut self, recompute: Recompute) -> Self {
        self.runner = Arc::new(self.runner.changed(|runner| runner.recompute = recompute));
        self
    }

    /// Multiplies in this precision while it is trained; evaluation stays in `f32`. Like `torch.set_float32_matmul_precision`: weights,
    /// activations, gradients and sums are `f32` in any case.
    ///
    /// # Errors
    /// [`Error::MatmulPrecision`] if this machine has no means for it.
    ///
    /// # Examples
    /// ```
    /// use candle_core::Device;
    /// use taper_graph::{Bias, Conv, GraphBuilder};
    /// use taper_layers::{MatmulPrecision, Network};
    /// use taper_model::{Model, Preprocess};
    ///
    /// let mut b = GraphBuilder::new(3)?;
    /// let xs = b.conv("conv", b.input(), Conv::dense(8, 3, 1), Bias::With)?;
    /// b.output("mask", xs)?;
    /// let model = Model::random(b.build()?, 0, Preprocess::imagenet(), vec![])?;
    /// let network = Network::new(&model, &Device::Cpu)?.with_matmul_precision(MatmulPrecision::Bf16);
    /// assert_eq!(network.is_ok(), MatmulPrecision::Bf16.is_here());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_matmul_precision(mut self, precision: MatmulPrecision) -> Result<Self> {
        if !precision.is_here() {
            return Err(Error::MatmulPrecision { precision });
        }
        self.runner = Arc::new(self.runner.changed(|runner| runner.precision = precision));
        Ok(self)
    }

    /// Gives, and trains through, these outputs of the graph, in this order.
    ///
    /// # Errors
    /// [`Error::Graph`] if the graph has no output of that name, [`Error::NoOutputs`] if none is named.
    pub fn with_outputs(mut self, names: &[&str]) -> Result<Self> {
        if names.is_empty() {
            return Err(Error::NoOutputs);
        }
        for name in names {
            self.graph().output(name)?;
        }
        let outputs = names.iter().map(|&name| name.to_owned()).collect();
        self.runner = Arc::new(self.runner.changed(|runner| runner.outputs = outputs));
        self.compiled = Mutex::default();
        Ok(self)
    }
}
