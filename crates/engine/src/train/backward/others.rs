//! The backward pass of what is neither a convolution nor a rearrangement of positions.
//!
//! Above: `train::backward`. Below: `kernels::Device`, `plan::Form`. Not here: sinks and sums (`Trainer::write`).

use taper_graph::ParamId;
use taper_kernels::{Device, Real, Sink, Source};

use crate::plan::{Form, Work};
use crate::train::Trainer;
use crate::train::forward::{drop_run, drop_runs};
use crate::train::routes::Route;

/// The gradients of a unit's own two parameters, out of the list while a kernel writes them; `None` where none is wanted.
type Own<T> = [Option<Vec<T>>; 2];

impl<T: Real, D: Device<T>> Trainer<T, D> {
    /// The output's gradient, dropped as the output was.
    pub(super) fn backward_drop(&mut self, unit_idx: usize) {
        let (unit, route) = (&self.plan.units[unit_idx], self.routes.inputs[unit_idx][0]);
        let Route::Write { accumulate, finish } = route else { return };
        let (input, out, work, node) = (unit.inputs[0], unit.output, unit.work, unit.node.index());
        let n = self.layout.as_ref().map_or(1, |layout| layout.shape[0]);
        let seed = self.seed;
        self.write(input, Some(out), [accumulate, finish], |device, c, gradient, sink, _| {
            let mut kept = gradient.to_vec();
            if let Some((p, run)) = drop_run(&work, kept.len(), n) {
                drop_runs(&mut kept, run, p, seed, node);
            }
            device.pass(c, &kept, sink);
        });
    }

    pub(super) fn backward_channels(&mut self, unit_idx: usize) {
        let Some(layout) = &self.layout else { return };
        let Form::Channels(maps) = layout.forms[unit_idx].clone() else { return };
        for (i, map) in maps.iter().enumerate() {
            let (unit, route) = (&self.plan.units[unit_idx], self.routes.inputs[unit_idx][i]);
            let Route::Write { accumulate, finish } = route else { continue };
            let (input, out) = (unit.inputs[i], unit.output);
            self.write(input, Some(out), [accumulate, finish], |device, c, gradient, sink, _| {
                device.move_channels_backward(sink.out.len() / c, map, gradient, sink);
            });
        }
    }

    /// All three gradients at once, then each to its place: queries, keys and values may be the same value.
    pub(super) fn backward_attention(&mut self, unit_idx: usize) {
        let Some(layout) = &self.layout else { return };
        let Form::Attention(shape) = layout.forms[unit_idx].clone() else { return };
        let unit = &self.plan.units[unit_idx];
        let (inputs, out) = ([unit.inputs[0], unit.inputs[1], unit.inputs[2]], unit.output);
        let mut gradients: [Vec<T>; 3] = Default::default();
        self.look(out, |device, gradient, read| {
            let qkv = inputs.map(read);
            gradients = qkv.map(|source| vec![T::default(); source.data.len()]);
            let sinks = gradients.each_mut().map(|out| Some(plain_sink(out)));
            device.attention_backward(&shape, gradient, qkv, sinks);
        });
        for (i, g) in gradients.iter().enumerate() {
            let route = self.routes.inputs[unit_idx][i];
            let Route::Write { accumulate, finish } = route else { continue };
            self.write(inputs[i], None, [accumulate, finish], |device, c, _, sink, _| {
                device.pass(c, g, sink);
            });
        }
    }

    /// Units with parameters of their own.
    pub(super) fn backward_own(
        &mut self,
        unit_idx: usize,
        params: &[&[T]],
        gradients: &mut [Vec<T>],
    ) {
        let Some(layout) = &self.layout else { return };
        let form = layout.forms[unit_idx].clone();
        let (unit, route) = (&self.plan.units[unit_idx], self.routes.inputs[unit_idx][0]);
        let (input, out, work) = (unit.inputs[0], unit.output, unit.work);
        let trained = |id: &ParamId| self.trained[id.index()];
        let ids = work.params().map(|id| id.filter(trained));
        let mut own: Own<T> = ids.map(|id| id.map(|id| std::mem::take(&mut gradients[id.index()])));
        // Neither a convolution's bias nor a norm's shift is needed on the way back.
        let weight = work.params()[0].map_or(&[][..], |id| params[id.index()]);
        let c = layout.extents[input].channels();
        if let Route::Write { accumulate, finish } = route {
            self.write(input, Some(out), [accumulate, finish], |device, c, g, sink, read| {
                run(device, (&form, &work), c, g, read(input), weight, &mut own, Some(sink));
            });
        } else {
            self.look(out, |device, g, read| {
                run(device, (&form, &work), c, g, read(input), weight, &mut own, None);
            });
        }
        for (id, gradient) in ids.into_iter().zip(own) {
            if let (Some(id), Some(gradient)) = (id, gradient) {
                gradients[id.index()] = gradient;
            }
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "what a kernel needs, passed on")]
fn run<T: Real, D: Device<T>>(
    device: &mut D,
    (form, work): (&Form, &Work),
    c: usize,
    gradient: &[T],
    xs: Source<'_, T>,
    weight: &[T],
    own: &mut Own<T>,
    sink: Option<Sink<'_, T>>,
) {
    let [first, second] = own.each_mut().map(Option::as_deref_mut);
    match (form, work) {
        (Form::Conv(shape), _) => {
            device.conv_transpose_backward(shape, gradient, xs.data, weight, first, second, sink);
        }
        (Form::Norm(shape), &Work::GroupNorm { eps, .. }) => {
            device.group_norm_backward(shape, eps, gradient, xs, weight, [first, second], sink);
        }
        _ => device.prelu_backward(c, gradient, xs, weight, first, sink),
    }
}

fn plain_sink<T>(out: &mut [T]) -> Sink<'_, T> {
    Sink { out, accumulate: false, mask: None, tally: None }
}
