//! Weights of layers that lost inputs, fitted to what the layers computed with all of them.
//!
//! Above: `prune`. Below: `prune::reconstruct::sums`, `taper_engine::Session`. Not here: which channels go (`select`), statistics of
//! norms (`recalibrate`), training.
//! A layer that reads fewer channels can make up for those that are gone as far as those that stay tell of them. Its new weights are the least
//! squares over training images, with a penalty on how far they move. Layers are fitted to the network as it was, each on its own, so that one
//! pass over the images is enough; what all of them together still miss is left to training.
//! Source: He, Zhang and Sun 2017, "Channel pruning for accelerating very deep neural networks", section 3.1, <https://arxiv.org/abs/1707.06168>.

mod sums;

use taper_engine::Session;
use taper_graph::{Conv, Graph, NodeId, Op, PadMode, Padding, ParamId, ParamRole, Window};
use taper_model::{Model, Tensor};
use taper_prune::{Cut, Groups};

use crate::error::{Error, Result};
use crate::recalibrate::Images;
use crate::setup;
use sums::{Fitted, Sums};

/// Images that run at once: all that layers compute of them is kept.
const AT_ONCE: usize = 4;

/// Positions that are looked at for each weight of an output: enough to tell them apart.
const ROWS_A_TAP: usize = 4;

/// Positions of a layer that are looked at, at least and at most.
const ROWS: [usize; 2] = [1024, 8192];

/// Weights of an output beyond which a layer is left as it is: the sums are as many squared.
const MOST_TAPS: usize = 4608;

/// The model that was cut from `before`, its weights fitted to `before` over `batches`, of about `images` images.
///
/// Dense convolutions and linear layers are fitted if they have weights of their own; convolutions in groups, whose channels go with their inputs,
/// stay as they are. A layer without a bias before a batch norm moves the norm's mean in the place of one.
pub(super) fn reconstruct(
    [before, after]: [&Model; 2],
    (groups, cut): (&Groups, &Cut),
    (batches, images): (impl Iterator<Item = Result<Images>>, usize),
    threads: usize,
) -> Result<Model> {
    let layers = layers(before.graph(), groups, cut);
    let sums =
        layers.iter().map(|layer| Sums::new(layer.taps(), layer.outputs.len(), layer.has_offset()));
    let mut sums: Vec<Sums> = sums.collect::<candle_core::Result<_>>().map_err(failed)?;
    let params: Vec<&[f32]> = before.tensors().iter().map(|it| it.data.as_slice()).collect();
    let nodes: Vec<NodeId> = layers.iter().flat_map(|it| [it.source, it.node]).collect();
    let size = before.preprocess().input_size;
    let session = Session::of_nodes(before.graph(), &params, &nodes, size, threads);
    let mut session = session.map_err(|source| Error::Engine { source })?;
    let mut first = 0;
    for batch in batches {
        let (xs, shape) = batch?;
        let rows = rows(&mut session, &layers, (&xs, shape), [first, images])?;
        for (sums, [xs, ys]) in sums.iter_mut().zip(rows) {
            sums.add(&xs, &ys).map_err(failed)?;
        }
        first += shape[0];
    }
    let mut tensors = after.tensors().to_vec();
    for (layer, sums) in layers.iter().zip(sums) {
        layer.refit(sums, &mut tensors)?;
    }
    after.clone().with_tensors(tensors).map_err(setup::model)
}

fn failed(source: candle_core::Error) -> Error {
    Error::Train { source: taper_train::Error::Tensor { what: "weights that are fitted", source } }
}

/// A layer that lost inputs. Cutting leaves the ids of nodes and parameters as they are.
struct Layer {
    node: NodeId,
    source: NodeId,
    weight: ParamId,
    bias: Option<ParamId>,
    /// The mean of the norm behind it, if nobody else reads the layer.
    mean: Option<ParamId>,
    /// Channels that it reads, and makes, after the cut.
    inputs: Vec<usize>,
    outputs: Vec<usize>,
    window: Window,
}

/// The layers that can be fitted, in order.
fn layers(graph: &Graph, groups: &Groups, cut: &Cut) -> Vec<Layer> {
    let kept = |id: NodeId| -> Vec<usize> {
        let units = groups.of_node(id).iter().enumerate();
        units.filter(|(_, unit)| !cut.removes(**unit)).map(|(channel, _)| channel).collect()
    };
    let mut layers = Vec::new();
    for id in graph.node_ids() {
        let node = graph.node(id);
        let window = match node.op() {
            Op::Conv(Conv { groups: 1, window, .. }) => *window,
            Op::Linear { .. } => Window::point(),
            _ => continue,
        };
        let (&[source], Some(weight)) = (node.inputs(), of_role(graph, id, ParamRole::Weight))
        else {
            continue;
        };
        let (inputs, outputs) = (kept(source), kept(id));
        let layer = Layer {
            node: id,
            source,
            weight,
            bias: of_role(graph, id, ParamRole::Bias),
            mean: norm_behind(graph, id),
            inputs,
            outputs,
            window,
        };
        let has_lost = layer.inputs.len() < groups.of_node(source).len();
        // What lies over the border is zeros to it.
        let is_plain = window.mode == PadMode::Zeros || window.padding == Padding::Valid;
        let is_own = graph.nodes().iter().filter(|it| it.params().contains(&weight)).count() == 1;
        if has_lost && is_plain && is_own && layer.taps() <= MOST_TAPS {
            layers.push(layer);
        }
    }
    layers
}

fn of_role(graph: &Graph, id: NodeId, role: ParamRole) -> Option<ParamId> {
    graph.node(id).params().iter().copied().find(|param| graph.param(*param).role == role)
}

/// The running mean of the norm that alone reads a node.
fn norm_behind(graph: &Graph, id: NodeId) -> Option<ParamId> {
    let mut readers = graph.node_ids().filter(|it| graph.node(*it).inputs().contains(&id));
    let (Some(reader), None) = (readers.next(), readers.next()) else { return None };
    let is_output = graph.outputs().values().any(|output| *output == id);
    let is_norm = matches!(graph.node(reader).op(), Op::BatchNorm { .. });
    (is_norm && !is_output).then(|| of_role(graph, reader, ParamRole::RunningMean)).flatten()
}

impl Layer {
    /// Weights of an output.
    fn taps(&self) -> usize {
        self.inputs.len() * self.window.kernel.iter().product::<usize>()
    }

    /// The positions of an image that are looked at, the `image`th of `images`; each begins elsewhere.
    fn positions(&self, [image, images]: [usize; 2], all: usize) -> impl Iterator<Item = usize> {
        let [least, most] = ROWS;
        let rows = (ROWS_A_TAP * self.taps()).clamp(least, most);
        let count = rows.div_ceil(images.max(1)).clamp(1, all.max(1));
        (0..count.min(all)).map(move |k| (k * all / count + image) % all)
    }

    /// What the layer reads at an output's position: for each channel its taps, zeros over the border.
    fn patch(&self, map: &Map<'_>, at: usize, width: usize, patch: &mut Vec<f32>) {
        let Window { kernel, stride, dilation, .. } = self.window;
        let [top, left, ..] = self.window.pads(map.size);
        let ([h, w], [y, x]) = (map.size, [at / width, at % width]);
        for &channel in &self.inputs {
            for tap in 0..kernel[0] * kernel[1] {
                let row = (y * stride[0] + tap / kernel[1] * dilation[0]).wrapping_sub(top);
                let column = (x * stride[1] + tap % kernel[1] * dilation[1]).wrapping_sub(left);
                let is_inside = row < h && column < w;
                let value =
                    is_inside.then(|| map.values[(row * w + column) * map.channels + channel]);
                patch.push(value.unwrap_or(0.0));
            }
        }
    }

    /// Adds a row for each position of an image: what is read, and what is made of it.
    fn take(&self, [read, made]: [Map<'_>; 2], image: [usize; 2], [xs, ys]: &mut [Vec<f32>; 2]) {
        for at in self.positions(image, made.size[0] * made.size[1]) {
            self.patch(&read, at, made.size[1], xs);
            let row = &made.values[at * made.channels..][..made.channels];
            ys.extend(self.outputs.iter().map(|&channel| row[channel]));
        }
    }

    fn has_offset(&self) -> bool {
        self.bias.is_some() || self.mean.is_some()
    }

    /// Puts the weights that the sums give into the tensors of the network after the cut.
    fn refit(&self, sums: Sums, tensors: &mut [Tensor]) -> Result<()> {
        let fitted = sums.fit(&tensors[self.weight.index()].data).map_err(failed)?;
        let Some(Fitted { weight, offset }) = fitted else { return Ok(()) };
        tensors[self.weight.index()].data = weight;
        match (self.bias, self.mean) {
            (Some(bias), _) => tensors[bias.index()].data = offset,
            (None, Some(mean)) => {
                let means = &mut tensors[mean.index()].data;
                means.iter_mut().zip(offset).for_each(|(mean, offset)| *mean -= offset);
            }
            (None, None) => {}
        }
        Ok(())
    }
}

/// What a node makes of one image.
struct Map<'a> {
    values: &'a [f32],
    size: [usize; 2],
    channels: usize,
}

impl<'a> Map<'a> {
    /// Of the `image`th of several, of `(n, c)`, `(n, t, c)` or `(n, h, w, c)`.
    fn of(values: &'a [f32], shape: &[usize], image: usize) -> Self {
        let (size, channels) = match *shape {
            [_, h, w, c] => ([h, w], c),
            [_, t, c] => ([t, 1], c),
            [_, c] => ([1, 1], c),
            _ => ([0, 0], 0),
        };
        let len = size[0] * size[1] * channels;
        Self {
            values: values.get(image * len..(image + 1) * len).unwrap_or_default(),
            size,
            channels,
        }
    }
}

/// For each layer what it read and what it made of it, a row for each position; `first` is the first image's number.
fn rows(
    session: &mut Session,
    layers: &[Layer],
    (xs, [n, h, w]): (&[f32], [usize; 3]),
    [first, images]: [usize; 2],
) -> Result<Vec<[Vec<f32>; 2]>> {
    let engine = |source| Error::Engine { source };
    let mut rows = vec![[Vec::new(), Vec::new()]; layers.len()];
    let len = (xs.len() / n.max(1)).max(1);
    let mut number = first;
    for part in xs.chunks(AT_ONCE * len) {
        let shape = [part.len() / len, h, w];
        let shapes = session.output_shapes(shape).map_err(engine)?;
        let outputs = session.run_all(part, shape).map_err(engine)?;
        let pairs = outputs.chunks_exact(2).zip(shapes.chunks_exact(2));
        for ((layer, rows), (values, shapes)) in layers.iter().zip(&mut rows).zip(pairs) {
            for image in 0..shape[0] {
                let maps = [0, 1].map(|i| Map::of(&values[i], &shapes[i], image));
                layer.take(maps, [number + image, images], rows);
            }
        }
        number += shape[0];
    }
    Ok(rows)
}

#[cfg(test)]
mod tests;
