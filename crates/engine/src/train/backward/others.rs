//! The backward pass of what is neither a convolution nor a rearrangement of positions.
//!
//! Above: `train::backward`. Below: `taper-kernels`, `kernel`. Not here: sinks and sums (`train::backward`).

use taper_graph::ParamId;
use taper_kernels::{AttentionShape, ChannelMap, Device, Real, Sink, Source};
use taper_plan::training::Route;

use crate::Result;
use crate::kernel::Kernel;
use crate::train::Trainer;
use crate::train::forward::drop_runs;
use crate::train::prepared::Prepared;

/// The gradients of a unit's own two parameters, out of the list while a kernel writes them; `None` where none is wanted.
type Own<T> = [Option<Vec<T>>; 2];

impl<T: Real, D: Device<T>> Trainer<T, D> {
    /// The output's gradient, dropped as the output was.
    pub(super) fn backward_drop(&mut self, prepared: &Prepared, unit: usize, p: f64, run: usize) {
        let (seed, node) = (self.seed, self.fused.units[unit].node.index());
        self.backward_input(prepared, unit, 0, |device, c, gradient, sink, _| {
            let mut kept = gradient.to_vec();
            drop_runs(&mut kept, run, p, seed, node);
            device.pass(c, &kept, sink);
        });
    }

    pub(super) fn backward_channels(
        &mut self,
        prepared: &Prepared,
        unit: usize,
        maps: &[ChannelMap],
    ) {
        for (i, map) in maps.iter().enumerate() {
            self.backward_input(prepared, unit, i, |device, c, gradient, sink, _| {
                device.move_channels_backward(sink.out.len() / c, map, gradient, sink);
            });
        }
    }

    /// All three gradients at once, then each to its place: queries, keys and values may be the same value.
    pub(super) fn backward_attention(
        &mut self,
        prepared: &Prepared,
        unit_idx: usize,
        shape: &AttentionShape,
    ) {
        let unit = &self.fused.units[unit_idx];
        let (inputs, out) = ([unit.inputs[0], unit.inputs[1], unit.inputs[2]], unit.output);
        let mut gradients: [Vec<T>; 3] = Default::default();
        self.look(prepared, out, |device, gradient, read| {
            let qkv = inputs.map(read);
            gradients = qkv.map(|source| vec![T::default(); source.data.len()]);
            let sinks = gradients.each_mut().map(|out| Some(plain_sink(out)));
            device.attention_backward(shape, gradient, qkv, sinks);
        });
        for (i, g) in gradients.iter().enumerate() {
            self.backward_input(prepared, unit_idx, i, |device, c, _, sink, _| {
                device.pass(c, g, sink);
            });
        }
    }

    /// Units with parameters of their own.
    pub(super) fn backward_own(
        &mut self,
        prepared: &Prepared,
        unit_idx: usize,
        params: &[&[T]],
        gradients: &mut [Vec<T>],
    ) -> Result<()> {
        let kernel = &prepared.kernels[unit_idx];
        let (unit, route) = (&self.fused.units[unit_idx], self.routes.inputs[unit_idx][0]);
        let (input, out) = (unit.inputs[0], unit.output);
        let trained = |id: &ParamId| self.trained[id.index()];
        // Neither a convolution's bias nor a norm's shift is needed on the way back.
        let [Some(weight), _] = unit.op.params() else {
            return Err(self.internal(unit_idx, "lacks a parameter"));
        };
        let ids = unit.op.params().map(|id| id.filter(trained));
        let mut own: Own<T> = ids.map(|id| id.map(|id| std::mem::take(&mut gradients[id.index()])));
        let weight = params[weight.index()];
        let c = prepared.memory.extents[input].channels();
        let mut is_run = false;
        if matches!(route, Route::Write { .. }) {
            self.backward_input(prepared, unit_idx, 0, |device, c, g, sink, read| {
                is_run = run(device, kernel, c, g, read(input), weight, &mut own, Some(sink));
            });
        } else {
            self.look(prepared, out, |device, g, read| {
                is_run = run(device, kernel, c, g, read(input), weight, &mut own, None);
            });
        }
        for (id, gradient) in ids.into_iter().zip(own) {
            if let (Some(id), Some(gradient)) = (id, gradient) {
                gradients[id.index()] = gradient;
            }
        }
        if is_run { Ok(()) } else { Err(self.internal(unit_idx, "has no parameters of its own")) }
    }
}

/// Returns whether the kernel has parameters of its own.
#[expect(clippy::too_many_arguments, reason = "what a kernel needs, passed on")]
fn run<T: Real, D: Device<T>>(
    device: &mut D,
    kernel: &Kernel,
    c: usize,
    gradient: &[T],
    xs: Source<'_, T>,
    weight: &[T],
    own: &mut Own<T>,
    sink: Option<Sink<'_, T>>,
) -> bool {
    let [first, second] = own.each_mut().map(Option::as_deref_mut);
    match kernel {
        Kernel::ConvTranspose(shape) => {
            device.conv_transpose_backward(shape, gradient, xs.data, weight, first, second, sink);
        }
        Kernel::GroupNorm { shape, eps } => {
            device.group_norm_backward(shape, *eps, gradient, xs, weight, [first, second], sink);
        }
        Kernel::PRelu => device.prelu_backward(c, gradient, xs, weight, first, sink),
        Kernel::Conv(_)
        | Kernel::BatchNorm(_)
        | Kernel::Add
        | Kernel::Mul
        | Kernel::GlobalMean
        | Kernel::Pool(..)
        | Kernel::Resample(_)
        | Kernel::MoveChannels(_)
        | Kernel::Attention(_)
        | Kernel::Flatten
        | Kernel::Copy
        | Kernel::Drop { .. } => return false,
    }
    true
}

fn plain_sink<T>(out: &mut [T]) -> Sink<'_, T> {
    Sink { out, accumulate: false, mask: None, tally: None }
}
