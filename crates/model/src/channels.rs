//! Images of another number of channels, in graph and weights.
//!
//! Above: `taper-zoo`. Below: `taper_graph`. Not here: preparing such images (`Preprocess` is about RGB).
//! Source: timm 1.0.31 `models/_manipulate.py` `adapt_input_conv`, compared in `tests/channels.rs`.

use taper_graph::{Graph, NodeId, Op};

use crate::{Error, Model, Result, Tensor};

/// A model for images of `channels` channels, with the weights of the first convolutions adapted: for one channel they are
/// summed, so that a gray image gives what the same image in RGB does; for any other number they are repeated in order and
/// scaled by old over new, so that a convolution's sum stays as large as it was.
///
/// # Errors
/// [`Error::Graph`] for no channels; [`Error::FirstLayer`] if something other than a dense convolution reads the image.
///
/// # Examples
/// ```
/// use taper_graph::{Bias, Conv, GraphBuilder};
/// use taper_model::{Model, Preprocess, adapt_channels};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut b = GraphBuilder::new(3)?;
/// let xs = b.conv("stem", b.input(), Conv::dense(8, 3, 2), Bias::Without)?;
/// b.output("features", xs)?;
/// let rgb = Model::random(b.build()?, 0, Preprocess::imagenet(), Vec::new())?;
/// let gray = adapt_channels(&rgb, 1)?;
/// assert_eq!(gray.tensors()[0].shape, [8, 1, 3, 3]);
/// # Ok(()) }
/// ```
pub fn adapt_channels(model: &Model, channels: usize) -> Result<Model> {
    let old = model.graph().input_channels();
    if channels == old {
        return Ok(model.clone());
    }
    let graph = model.graph().map_ops(|node| match node.op() {
        Op::Input { .. } => Op::Input { channels },
        op => op.clone(),
    })?;
    let mut tensors = model.tensors().to_vec();
    for id in first_layers(model.graph())? {
        if let Some(weight) = model.graph().node(id).params().first() {
            tensors[weight.index()] = adapted(&model.tensors()[weight.index()], old, channels);
        }
    }
    let provenance = model.provenance().clone().and(format!("first layer for {channels} channels"));
    Model::new(graph, tensors, *model.preprocess(), model.classes().to_vec(), provenance)
        .map(|adapted| adapted.with_task(model.task()))
}

/// The convolutions that read the image.
fn first_layers(graph: &Graph) -> Result<Vec<NodeId>> {
    let image = graph.node_ids().find(|id| matches!(graph.node(*id).op(), Op::Input { .. }));
    let reads = |id: &NodeId| graph.node(*id).inputs().iter().any(|input| Some(*input) == image);
    let layers = graph.node_ids().filter(reads);
    let checked = layers.map(|id| match graph.node(id).op() {
        Op::Conv(conv) if conv.groups == 1 => Ok(id),
        op => {
            let (node, op) = (graph.node(id).name().to_owned(), op.label());
            Err(Error::FirstLayer { node, op })
        }
    });
    checked.collect()
}

/// A weight `(out, old, k_h, k_w)` as `(out, new, k_h, k_w)`.
#[expect(clippy::cast_possible_truncation, reason = "f32 is what weights are")]
fn adapted(weight: &Tensor, old: usize, new: usize) -> Tensor {
    let taps = weight.shape.iter().skip(2).product::<usize>();
    let scale = if new == 1 { 1.0 } else { (old as f64 / new as f64) as f32 };
    let mut data = Vec::with_capacity(weight.data.len() / old.max(1) * new);
    for filter in weight.data.chunks_exact(old * taps) {
        for channel in 0..new {
            let at = |channel: usize, tap: usize| filter[channel * taps + tap];
            data.extend((0..taps).map(|tap| match new {
                1 => (0..old).map(|channel| at(channel, tap)).sum(),
                _ => scale * at(channel % old, tap),
            }));
        }
    }
    let mut shape = weight.shape.clone();
    shape[1] = new;
    Tensor { shape, data }
}
