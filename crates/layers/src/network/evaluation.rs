//! A network as it is evaluated: differentiated without batch statistics, and looked into.
//!
//! Above: `train::evidence`, users of candle. Below: `network::executor`, the engine's `Session`. Not here: outputs (`network`).

use std::sync::Arc;

use taper_engine::Session;

use super::Network;
use super::executor::Mode;
use crate::error::{Error, Result};
use crate::parameter::with_values;

impl Network {
    /// Differentiates the network as it is evaluated: norms use their running statistics, also where they are trained, and keep
    /// them, and nothing is dropped. As in PyTorch after `module.eval()`; what [`Network::value_and_grad`] gives for a picture does
    /// not depend on the others of its batch then.
    ///
    /// # Examples
    /// ```
    /// use candle_core::{DType, Device, Tensor};
    /// use taper_graph::{Bias, GraphBuilder, PoolKind};
    /// use taper_layers::Network;
    /// # use taper_model::{Model, Preprocess};
    /// let mut b = GraphBuilder::new(3)?;
    /// let xs = b.batch_norm("bn", b.input(), 1e-5, 0.1)?;
    /// let xs = b.global_pool("pool", xs, PoolKind::Avg, true)?;
    /// b.output("logits", xs)?;
    /// # let model = Model::random(b.build()?, 0, Preprocess::imagenet(), vec![])?;
    /// let network = Network::new(&model, &Device::Cpu)?.in_evaluation_mode();
    /// let xs = Tensor::full(3f32, (1, 3, 4, 4), &Device::Cpu)?; // a batch of these has no variance
    /// let value = network.value_and_grad(&xs, 0, |logits| logits.sum_all())?;
    /// assert_eq!(value.outputs.get("logits")?.to_vec2::<f32>()?, network.forward(&xs)?.to_vec2::<f32>()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn in_evaluation_mode(mut self) -> Self {
        self.runner = Arc::new(self.runner.changed(|runner| runner.mode = Mode::Evaluation));
        self
    }

    /// A compiled copy, for evaluation, that gives what these nodes give, by name and in this order, in place of the outputs.
    ///
    /// # Errors
    /// [`Error::UnknownNode`] with a name that the graph does not have, [`Error::Engine`] if the engine cannot compile the graph.
    pub fn session_of(&self, nodes: &[&str]) -> Result<Session> {
        let find = |&name: &&str| {
            let unknown = || Error::UnknownNode { name: name.to_owned() };
            self.graph().find_node(name).ok_or_else(unknown)
        };
        let nodes = nodes.iter().map(find).collect::<Result<Vec<_>>>()?;
        let (size, threads) = (self.preprocess.input_size, self.runner.threads);
        with_values(&self.params, |values| {
            Ok(Session::of_nodes(self.graph(), values, &nodes, size, threads)?)
        })
    }
}
