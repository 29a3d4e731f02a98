//! The smallest batch a network can be trained with.
//!
//! Above: `train`, `recipes`. Below: `network`, `graph`. Not here: the norms themselves (`engine`), which batches there are (`data`).

use taper_graph::Op;

use super::Network;
use super::executor::Mode;
use crate::error::Result;

impl Network {
    /// The fewest images of `[h, w]` that a training step can do with: 2 if a batch norm that is trained sees maps of one position,
    /// because the variance of a single value is undefined, otherwise 1. A norm whose scale and shift are frozen uses its running
    /// statistics and needs none of the batch's, and no more does any [in evaluation mode](Network::in_evaluation_mode).
    ///
    /// # Errors
    /// [`Error::Graph`](crate::Error::Graph) for images that are too small for the network.
    ///
    /// # Examples
    /// ```
    /// use candle_core::Device;
    /// use taper_graph::{Bias, Conv, GraphBuilder, PoolKind};
    /// use taper_layers::Network;
    /// use taper_model::{Model, Preprocess};
    ///
    /// let mut b = GraphBuilder::new(3)?;
    /// let xs = b.conv("conv", b.input(), Conv::dense(8, 3, 2), Bias::Without)?;
    /// let xs = b.batch_norm("bn", xs, 1e-5, 0.1)?;
    /// let xs = b.global_pool("pool", xs, PoolKind::Avg, true)?;
    /// let logits = b.linear("classifier", xs, 2, Bias::With)?;
    /// b.output("logits", logits)?;
    /// let classes = vec!["cat".into(), "dog".into()];
    /// let mut network = Network::new(&Model::random(b.build()?, 0, Preprocess::imagenet(), classes)?, &Device::Cpu)?;
    /// assert_eq!((network.min_batch([4, 4])?, network.min_batch([2, 2])?), (1, 2));
    /// network.set_frozen(|name| name.starts_with("bn"));
    /// assert_eq!(network.min_batch([2, 2])?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn min_batch(&self, [h, w]: [usize; 2]) -> Result<usize> {
        let graph = self.graph();
        let uses_batch = |node: &taper_graph::Node| {
            self.runner.mode == Mode::Training
                && matches!(node.op(), Op::BatchNorm { .. })
                && node.params().iter().any(|param| self.params()[param.index()].is_trained())
        };
        let extents = graph.extents(h, w)?;
        let mut norms = graph.nodes().iter().zip(&extents).filter(|(node, _)| uses_batch(node));
        Ok(if norms.any(|(_, extent)| extent.size() == [1, 1]) { 2 } else { 1 })
    }
}
