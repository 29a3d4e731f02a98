//! The weights of a branch: convolutions, norms and the input itself, scaled and added.
//!
//! Above: `reparameterize`. Below: `Branch`. Not here: whether they may be added (`branches`).
//! Weights are `(out, in / groups, k_h, k_w)` and f64; a linear layer is a convolution with kernel 1.

use taper_graph::{Conv, Node, Op, Window};

use super::branches::{Branch, Layer};
use crate::{Model, Tensor};

/// One convolution or linear layer with bias.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Kernel {
    /// Its window has the size of `weight`.
    conv: Conv,
    is_linear: bool,
    /// Input channels of one group.
    depth: usize,
    weight: Vec<f64>,
    bias: Vec<f64>,
}

impl Kernel {
    /// The sum of a branch that has at least one layer.
    pub(super) fn of(branch: &Branch, model: &Model) -> Self {
        let layer =
            branch.layer().map(|(id, layer)| Self::layer(model.graph().node(id), layer, model));
        let like = layer.unwrap_or(Self::identity(&Conv::pointwise(1), 1, true));
        like.along(branch, model)
    }

    /// The weights of a branch, its sources having the groups of `self`.
    fn along(&self, branch: &Branch, model: &Model) -> Self {
        match branch {
            Branch::Source(_) => {
                let conv = Conv { window: Window::point(), ..self.conv };
                Self::identity(&conv, self.depth, self.is_linear)
            }
            Branch::Layer(id, layer, before) => {
                let mut kernel = Self::layer(model.graph().node(*id), *layer, model);
                if let Branch::Norm(norm, eps, _) = **before {
                    kernel.follow(&affine(model.graph().node(norm), eps, model));
                }
                kernel
            }
            Branch::Norm(id, eps, before) => {
                let mut kernel = self.along(before, model);
                kernel.scale(&affine(model.graph().node(*id), *eps, model));
                kernel
            }
            Branch::Scale(_, factor, before) => {
                let mut kernel = self.along(before, model);
                kernel.scale(&vec![(*factor, 0.0); kernel.conv.out]);
                kernel
            }
            Branch::Sum(_, [a, b]) => self.along(a, model).plus(self.along(b, model)),
        }
    }

    fn layer(node: &Node, layer: Layer, model: &Model) -> Self {
        let (conv, is_linear) = match layer {
            Layer::Conv(conv) => (conv, false),
            Layer::Linear(out) => (Conv::pointwise(out), true),
        };
        let tensors: Vec<&Tensor> =
            node.params().iter().map(|id| &model.tensors()[id.index()]).collect();
        let values = |tensor: &&Tensor| tensor.data.iter().map(|v| f64::from(*v)).collect();
        Self {
            conv,
            is_linear,
            depth: tensors.first().map_or(1, |weight| weight.shape[1]),
            weight: tensors.first().map_or(Vec::new(), values),
            bias: tensors.get(1).map_or(vec![0.0; conv.out], values),
        }
    }

    /// Ones where input and output channel are the same.
    fn identity(conv: &Conv, depth: usize, is_linear: bool) -> Self {
        let mut weight = vec![0.0; conv.out * depth];
        for out in 0..conv.out {
            weight[out * depth + out % depth] = 1.0;
        }
        Self { conv: *conv, is_linear, depth, weight, bias: vec![0.0; conv.out] }
    }

    /// Puts a factor and a summand for each channel behind it.
    fn scale(&mut self, channels: &[(f64, f64)]) {
        let filter = self.weight.len() / self.conv.out.max(1);
        let filters = self.weight.chunks_mut(filter.max(1)).zip(&mut self.bias);
        for ((weights, bias), (factor, summand)) in filters.zip(channels) {
            weights.iter_mut().for_each(|w| *w *= factor);
            *bias = *bias * factor + summand;
        }
    }

    /// Puts a factor and a summand for each channel before a linear layer.
    fn follow(&mut self, channels: &[(f64, f64)]) {
        for (weights, bias) in self.weight.chunks_mut(self.depth.max(1)).zip(&mut self.bias) {
            for (weight, (factor, summand)) in weights.iter_mut().zip(channels) {
                *bias += *weight * summand;
                *weight *= factor;
            }
        }
    }

    fn plus(self, other: Self) -> Self {
        let size =
            [0, 1].map(|axis| self.conv.window.kernel[axis].max(other.conv.window.kernel[axis]));
        let (mut sum, other) = (self.padded(size), other.padded(size));
        sum.weight.iter_mut().zip(&other.weight).for_each(|(a, b)| *a += b);
        sum.bias.iter_mut().zip(&other.bias).for_each(|(a, b)| *a += b);
        sum
    }

    /// With zeros around the kernel, up to `size`; both are odd.
    fn padded(self, size: [usize; 2]) -> Self {
        let [k_h, k_w] = self.conv.window.kernel;
        let [top, left] = [(size[0] - k_h) / 2, (size[1] - k_w) / 2];
        let mut weight = vec![0.0; self.weight.len() / (k_h * k_w) * size[0] * size[1]];
        let planes = weight.chunks_mut(size[0] * size[1]).zip(self.weight.chunks(k_h * k_w));
        for (new, old) in planes {
            for (row_idx, row) in old.chunks(k_w).enumerate() {
                let begin = (top + row_idx) * size[1] + left;
                new[begin..begin + k_w].copy_from_slice(row);
            }
        }
        let [h, w] = [size[0] / 2, size[1] / 2];
        let padding = taper_graph::Padding::Explicit { top: h, left: w, bottom: h, right: w };
        let window = Window { kernel: size, padding, ..self.conv.window };
        Self { conv: Conv { window, ..self.conv }, weight, ..self }
    }

    pub(super) fn op(&self) -> Op {
        if self.is_linear { Op::Linear { out: self.conv.out } } else { Op::Conv(self.conv) }
    }

    /// Weight and bias in f32.
    pub(super) fn tensors(&self) -> (Tensor, Tensor) {
        let [k_h, k_w] = self.conv.window.kernel;
        let mut shape = vec![self.conv.out, self.depth];
        if !self.is_linear {
            shape.extend([k_h, k_w]);
        }
        let weight = Tensor { shape, data: narrow(&self.weight) };
        (weight, Tensor { shape: vec![self.conv.out], data: narrow(&self.bias) })
    }
}

/// What a norm does to each channel: `y = x · factor + summand`.
fn affine(node: &Node, eps: f64, model: &Model) -> Vec<(f64, f64)> {
    let [scale, shift, mean, var] = [0, 1, 2, 3].map(|slot| {
        let tensor = node.params().get(slot).map(|id| &model.tensors()[id.index()]);
        tensor.map_or(&[][..], |tensor| &tensor.data)
    });
    let channels = scale.iter().zip(shift).zip(mean.iter().zip(var));
    let affine = channels.map(|((scale, shift), (mean, var))| {
        let factor = f64::from(*scale) / (f64::from(*var) + eps).sqrt();
        (factor, f64::from(*shift) - f64::from(*mean) * factor)
    });
    affine.collect()
}

#[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|v| *v as f32).collect()
}
