//! The backward pass of a training step.
//!
//! Above: `train`. Below: `train::backward::others`, `kernels::Device`, `train::{norm, routes}`. Not here: where tensors lie (`train::layout`).

mod others;

use taper_graph::ParamId;
use taper_kernels::{ConvGradient, Device, Mask, Real, Sink, Source, Tally};

use super::Trainer;
use super::forward::{gated, source};
use super::norm::NormState;
use super::routes::Route;
use crate::arena::{Others, around};
use crate::plan::{Form, Work};

/// A value as its readers see it.
pub(super) type Read<'a, T> = dyn Fn(usize) -> Source<'a, T> + 'a;

/// The sums of a norm, out of its state while a kernel fills them.
type Sums = (Vec<f64>, Vec<f64>);

impl<T: Real, D: Device<T>> Trainer<T, D> {
    pub(super) fn run_backward(
        &mut self,
        params: &[&[T]],
        grad_outputs: &[&[T]],
        gradients: &mut [Vec<T>],
    ) {
        for (i, gradient) in grad_outputs.iter().enumerate() {
            if let Route::Write { accumulate, finish } = self.routes.seeds[i] {
                let v = self.plan.outputs[i];
                self.write(v, None, [accumulate, finish], |device, c, _, sink, _| {
                    device.pass(c, gradient, sink);
                });
            }
        }
        for unit in (0..self.plan.units.len()).rev() {
            if self.routes.needs[self.plan.units[unit].output] {
                self.backward_unit(unit, params, gradients);
            }
        }
    }

    fn backward_unit(&mut self, unit_idx: usize, params: &[&[T]], gradients: &mut [Vec<T>]) {
        match self.plan.units[unit_idx].work {
            Work::Conv { .. } | Work::Linear { .. } | Work::Norm => {
                self.backward_conv(unit_idx, params, gradients);
            }
            Work::Dropout { p } | Work::DropPath { p } if p > 0.0 => self.backward_drop(unit_idx),
            Work::Add | Work::Dropout { .. } | Work::DropPath { .. } => self.hand_down(unit_idx),
            Work::Mul => self.backward_mul(unit_idx),
            Work::ConvTranspose { .. } | Work::GroupNorm { .. } | Work::Prelu { .. } => {
                self.backward_own(unit_idx, params, gradients);
            }
            Work::Attention => self.backward_attention(unit_idx),
            Work::Channels => self.backward_channels(unit_idx),
            Work::Pool | Work::Windows | Work::Flatten | Work::Border { .. } | Work::Spatial => {
                self.backward_positions(unit_idx);
            }
        }
    }

    /// Copies the output's gradient to every input that does not share it.
    fn hand_down(&mut self, unit_idx: usize) {
        for i in 0..self.plan.units[unit_idx].inputs.len() {
            let (unit, route) = (&self.plan.units[unit_idx], self.routes.inputs[unit_idx][i]);
            if let Route::Write { accumulate, finish } = route {
                let (input, out) = (unit.inputs[i], unit.output);
                self.write(
                    input,
                    Some(out),
                    [accumulate, finish],
                    |device, c, gradient, sink, _| {
                        device.pass(c, gradient, sink);
                    },
                );
            }
        }
    }

    /// The gate first: its gradient is needed further down before that of the other factor is finished.
    fn backward_mul(&mut self, unit_idx: usize) {
        for i in [1, 0] {
            let (unit, route) = (&self.plan.units[unit_idx], self.routes.inputs[unit_idx][i]);
            let Route::Write { accumulate, finish } = route else { continue };
            let Some(layout) = &self.layout else { return };
            let (out, inputs) = (unit.output, [unit.inputs[0], unit.inputs[1]]);
            let (n, positions) = gated(layout, unit);
            let finish = [accumulate, finish];
            self.write(inputs[i], Some(out), finish, |device, c, gradient, sink, read| {
                let mut sinks = [None, None];
                sinks[i] = Some(sink);
                device.mul_backward(n, positions, c, gradient, inputs.map(read), sinks);
            });
        }
    }

    /// Poolings, and the rearrangement of positions.
    fn backward_positions(&mut self, unit_idx: usize) {
        let (unit, route) = (&self.plan.units[unit_idx], self.routes.inputs[unit_idx][0]);
        let Route::Write { accumulate, finish } = route else { return };
        let (input, out, work) = (unit.inputs[0], unit.output, unit.work);
        let Some(layout) = &self.layout else { return };
        let (n, [h, w]) = (layout.shape[0], layout.extents[input].size());
        let form = layout.forms[unit_idx].clone();
        let finish = [accumulate, finish];
        self.write(input, Some(out), finish, |device, c, gradient, sink, read| {
            match (work, &form) {
                (_, Form::Pool(shape, pooling)) => {
                    device.windows_backward(shape, *pooling, gradient, read(input), sink);
                }
                (_, Form::Spatial(map)) => device.resample_backward(map, gradient, sink),
                (Work::Flatten, _) => device.flatten_backward(n, h * w, c, gradient, sink),
                _ => device.pool_backward(n, h * w, c, gradient, sink),
            }
        });
    }

    /// Calls `work(device, gradient of value from, how to read values)`.
    fn look(&mut self, from: usize, work: impl FnOnce(&mut D, &[T], &Read<'_, T>)) {
        let Self { plan, layout: Some(layout), arena, norms, device, .. } = self else { return };
        let (_, others) = around(arena, &(0..0));
        let read = |value: usize| source(plan, layout, norms, &others, value);
        work(device, others.get(&layout.gradients[from]), &read);
    }

    /// Calls `work(device, channels, gradient of value from, sink of value v, how to read values)`.
    fn write(
        &mut self,
        v: usize,
        from: Option<usize>,
        [accumulate, finish]: [bool; 2],
        work: impl FnOnce(&mut D, usize, &[T], Sink<'_, T>, &Read<'_, T>),
    ) {
        let tally = self.routes.tallies[v].filter(|_| finish);
        let mut sums = take_sums(&mut self.norms, tally);
        let Self { plan, layout: Some(layout), arena, norms, device, .. } = self else { return };
        let (out, others) = around(arena, &layout.gradients[v]);
        let mask = finish.then(|| Mask { source: source(plan, layout, norms, &others, v) });
        let mask = mask.filter(|m| m.source.activation != taper_kernels::Activation::Identity);
        let tally = tally.map(|t| tally_of(norms, others.get(&layout.stored[t]), t, &mut sums));
        let gradient = from.map_or(&[][..], |value| others.get(&layout.gradients[value]));
        let c = layout.extents[v].channels();
        let read = |value: usize| source(plan, layout, norms, &others, value);
        work(device, c, gradient, Sink { out, accumulate, mask, tally }, &read);
        put_sums(norms, self.routes.tallies[v].filter(|_| finish), sums);
    }

    fn backward_conv(&mut self, unit_idx: usize, params: &[&[T]], gradients: &mut [Vec<T>]) {
        let Self {
            plan, layout: Some(layout), arena, norms, device, routes, trained, ones, ..
        } = self
        else {
            return;
        };
        let unit = &plan.units[unit_idx];
        let (input, out) = (unit.inputs[0], unit.output);
        let [weight, bias] = unit.work.params();
        let Some(shape) = layout.forms[unit_idx].conv() else { return };
        let batch = routes.batch_norms[out];
        if let Some(norm) = &plan.values[out].norm {
            norms[out].differentiate(norm, params, batch, gradients);
        }
        let (range, accumulate, finish) = match routes.inputs[unit_idx][0] {
            Route::Write { accumulate, finish } => (&layout.gradients[input], accumulate, finish),
            Route::None | Route::Shared => (&(0..0), false, false),
        };
        let tally = routes.tallies[input].filter(|_| finish);
        let mut sums = take_sums(norms, tally);
        let (dx, others): (_, Others<'_, T>) = around(arena, range);
        let xs = source(plan, layout, norms, &others, input);
        let masked = finish && xs.activation != taper_kernels::Activation::Identity;
        let sink = routes.needs[input].then(|| Sink {
            out: dx,
            accumulate,
            mask: masked.then_some(Mask { source: xs }),
            tally: tally.map(|t| tally_of(norms, others.get(&layout.stored[t]), t, &mut sums)),
        });
        let dz = others.get(&layout.gradients[out]);
        // With running statistics the factor of `y` is zero: read `dz` in its place, which is in cache.
        let y = if batch { others.get(&layout.stored[out]) } else { dz };
        let gradient = ConvGradient { dz, norm: norms[out].gradient(y) };
        let [weight_id, bias_id] = [weight, bias].map(|id| id.filter(|id| trained[id.index()]));
        let mut take =
            |id: Option<ParamId>| id.map(|id| std::mem::take(&mut gradients[id.index()]));
        let (mut d_weight, mut d_bias) = (take(weight_id), take(bias_id));
        let weight = weight.map_or_else(
            || &ones[..layout.extents[input].channels()],
            |weight| params[weight.index()],
        );
        device.conv_backward(
            shape,
            gradient,
            xs,
            weight,
            d_weight.as_deref_mut(),
            d_bias.as_deref_mut(),
            sink,
        );
        for (id, gradient) in [(weight_id, d_weight), (bias_id, d_bias)] {
            if let (Some(id), Some(gradient)) = (id, gradient) {
                gradients[id.index()] = gradient;
            }
        }
        put_sums(norms, tally, sums);
    }
}

fn take_sums<T: Real>(norms: &mut [NormState<T>], value: Option<usize>) -> Sums {
    value.map_or_else(Sums::default, |v| {
        (std::mem::take(&mut norms[v].sum), std::mem::take(&mut norms[v].dot))
    })
}

fn put_sums<T: Real>(norms: &mut [NormState<T>], value: Option<usize>, sums: Sums) {
    if let Some(v) = value {
        (norms[v].sum, norms[v].dot) = sums;
    }
}

fn tally_of<'a, T: Real>(
    norms: &'a [NormState<T>],
    y: &'a [T],
    value: usize,
    sums: &'a mut Sums,
) -> Tally<'a, T> {
    Tally { y, mean: &norms[value].mean, sum: &mut sums.0, dot: &mut sums.1 }
}
