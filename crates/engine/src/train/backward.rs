//! The backward pass of a training step.
//!
//! Above: `train`. Below: `train::backward::others`, `taper-kernels`, `train::norm`. Not here: where tensors lie and gradients go
//! (`taper-plan`).

mod others;

use taper_graph::ParamId;
use taper_kernels::{Activation, ConvGradient, ConvShape, Device, Mask, Real, Sink, Source, Tally};
use taper_plan::training::Route;

use super::Trainer;
use super::forward::{Pass, source};
use super::norm::NormState;
use super::prepared::Prepared;
use crate::Result;
use crate::arena::{Others, around};
use crate::kernel::Kernel;

/// A value as its readers see it.
pub(super) type Read<'a, T> = dyn Fn(usize) -> Source<'a, T> + 'a;

/// Is told the units by index when they have been gone through backward, with all gradients of parameters as they are then.
pub(super) type Done<'a, T> = dyn FnMut(usize, &mut [Vec<T>]) + 'a;

/// The sums of a norm, out of its state while a kernel fills them.
type Sums = (Vec<f64>, Vec<f64>);

impl<T: Real, D: Device<T>> Trainer<T, D> {
    pub(super) fn run_backward(
        &mut self,
        prepared: &Prepared,
        params: &[&[T]],
        grad_outputs: &[&[T]],
        gradients: &mut [Vec<T>],
        done: &mut Done<'_, T>,
    ) -> Result<()> {
        self.backward_outputs(prepared, grad_outputs);
        for unit in (0..self.fused.units.len()).rev() {
            if self.routes.needs[self.fused.units[unit].output] {
                self.backward_adding(prepared, unit, params, gradients)?;
                done(unit, gradients);
            }
        }
        Ok(())
    }

    /// Writes the gradients of the outputs to where they are added up.
    pub(super) fn backward_outputs(&mut self, prepared: &Prepared, grad_outputs: &[&[T]]) {
        for (i, gradient) in grad_outputs.iter().enumerate() {
            if let Route::Write { accumulate, finish } = self.routes.seeds[i] {
                let v = self.fused.outputs[i];
                self.write(prepared, v, None, [accumulate, finish], |device, c, _, sink, _| {
                    device.pass(c, gradient, sink);
                });
            }
        }
    }

    /// Computes what the unit needs and was dropped again, and goes through it backward.
    ///
    /// Kernels write a parameter's gradient: what units behind this one wrote, which have the same parameter, is added.
    pub(super) fn backward_adding(
        &mut self,
        prepared: &Prepared,
        unit: usize,
        params: &[&[T]],
        gradients: &mut [Vec<T>],
    ) -> Result<()> {
        for &again in &prepared.memory.again[unit] {
            self.forward_unit(prepared, again, params, Pass::Back)?;
        }
        if self.order.added[unit].is_empty() {
            return self.backward_unit(prepared, unit, params, gradients);
        }
        let shared = self.order.added[unit].clone();
        let before: Vec<Vec<T>> = shared.iter().map(|id| gradients[id.index()].clone()).collect();
        self.backward_unit(prepared, unit, params, gradients)?;
        for (id, before) in shared.into_iter().zip(before) {
            for (gradient, before) in gradients[id.index()].iter_mut().zip(before) {
                *gradient += before;
            }
        }
        Ok(())
    }

    fn backward_unit(
        &mut self,
        prepared: &Prepared,
        unit: usize,
        params: &[&[T]],
        gradients: &mut [Vec<T>],
    ) -> Result<()> {
        match &prepared.kernels[unit] {
            Kernel::Conv(shape) | Kernel::BatchNorm(shape) => {
                self.backward_conv(prepared, unit, shape, params, gradients);
            }
            Kernel::Drop { p, run } => self.backward_drop(prepared, unit, *p, *run),
            Kernel::Add | Kernel::Copy => self.backward_copy(prepared, unit),
            Kernel::Mul => self.backward_mul(prepared, unit),
            Kernel::ConvTranspose(_) | Kernel::GroupNorm { .. } | Kernel::PRelu => {
                return self.backward_own(prepared, unit, params, gradients);
            }
            Kernel::Attention(shape) => self.backward_attention(prepared, unit, shape),
            Kernel::MoveChannels(maps) => self.backward_channels(prepared, unit, maps),
            Kernel::Pool(shape, pooling) => {
                let input = self.fused.units[unit].inputs[0];
                self.backward_input(prepared, unit, 0, |device, _, gradient, sink, read| {
                    device.windows_backward(shape, *pooling, gradient, read(input), sink);
                });
            }
            Kernel::Resample(map) => {
                self.backward_input(prepared, unit, 0, |device, _, gradient, sink, _| {
                    device.resample_backward(map, gradient, sink);
                });
            }
            Kernel::Flatten => {
                let (n, positions) = self.positions(prepared, unit);
                self.backward_input(prepared, unit, 0, |device, c, gradient, sink, _| {
                    device.flatten_backward(n, positions, c, gradient, sink);
                });
            }
            Kernel::GlobalMean => {
                let (n, positions) = self.positions(prepared, unit);
                self.backward_input(prepared, unit, 0, |device, c, gradient, sink, _| {
                    device.pool_backward(n, positions, c, gradient, sink);
                });
            }
        }
        Ok(())
    }

    /// Images of the batch, and positions of a unit's first input.
    fn positions(&self, prepared: &Prepared, unit: usize) -> (usize, usize) {
        let input = self.fused.units[unit].inputs[0];
        let positions = prepared.memory.extents[input].size().iter().product();
        (prepared.memory.shape[0], positions)
    }

    /// Copies the output's gradient to every input that does not share it.
    fn backward_copy(&mut self, prepared: &Prepared, unit: usize) {
        for i in 0..self.fused.units[unit].inputs.len() {
            self.backward_input(prepared, unit, i, |device, c, gradient, sink, _| {
                device.pass(c, gradient, sink);
            });
        }
    }

    /// The gate first: its gradient is needed further down before that of the other factor is finished.
    fn backward_mul(&mut self, prepared: &Prepared, unit: usize) {
        let inputs = &self.fused.units[unit].inputs;
        let inputs = [inputs[0], inputs[1]];
        let (n, positions) = prepared.gated(inputs);
        for i in [1, 0] {
            self.backward_input(prepared, unit, i, |device, c, gradient, sink, read| {
                let mut sinks = [None, None];
                sinks[i] = Some(sink);
                device.mul_backward(n, positions, c, gradient, inputs.map(read), sinks);
            });
        }
    }

    /// Writes the gradient of a unit's input number `i`, if one is wanted and it is not the output's own: calls
    /// `work(device, channels, gradient of the output, sink, how to read values)`.
    fn backward_input(
        &mut self,
        prepared: &Prepared,
        unit: usize,
        i: usize,
        work: impl FnOnce(&mut D, usize, &[T], Sink<'_, T>, &Read<'_, T>),
    ) {
        if let Route::Write { accumulate, finish } = self.routes.inputs[unit][i] {
            let unit = &self.fused.units[unit];
            let (input, output) = (unit.inputs[i], unit.output);
            self.write(prepared, input, Some(output), [accumulate, finish], work);
        }
    }

    /// Calls `work(device, gradient of value from, how to read values)`.
    fn look(
        &mut self,
        prepared: &Prepared,
        from: usize,
        work: impl FnOnce(&mut D, &[T], &Read<'_, T>),
    ) {
        let Self { arena, norms, device, .. } = self;
        let (_, others) = around(arena, &(0..0));
        let read = |value: usize| source(prepared, norms, &others, (value, Pass::Back));
        work(device, others.get(&prepared.memory.gradients[from]), &read);
    }

    /// Calls `work(device, channels, gradient of value from, sink of value v, how to read values)`.
    fn write(
        &mut self,
        prepared: &Prepared,
        v: usize,
        from: Option<usize>,
        [accumulate, finish]: [bool; 2],
        work: impl FnOnce(&mut D, usize, &[T], Sink<'_, T>, &Read<'_, T>),
    ) {
        let memory = &prepared.memory;
        let tallied = self.routes.tallies[v].filter(|_| finish);
        let mut sums = take_sums(&mut self.norms, tallied);
        let Self { arena, norms, device, .. } = self;
        let (out, others) = around(arena, &memory.gradients[v]);
        let mask =
            finish.then(|| Mask { source: source(prepared, norms, &others, (v, Pass::Back)) });
        let mask = mask.filter(|m| m.source.activation != Activation::Identity);
        let tally = tallied.map(|t| tally_of(norms, others.get(&memory.restored[t]), t, &mut sums));
        let gradient = from.map_or(&[][..], |value| others.get(&memory.gradients[value]));
        let c = memory.extents[v].channels();
        let read = |value: usize| source(prepared, norms, &others, (value, Pass::Back));
        work(device, c, gradient, Sink { out, accumulate, mask, tally }, &read);
        put_sums(norms, tallied, sums);
    }

    fn backward_conv(
        &mut self,
        prepared: &Prepared,
        unit_idx: usize,
        shape: &ConvShape,
        params: &[&[T]],
        gradients: &mut [Vec<T>],
    ) {
        let Self { fused, arena, norms, device, routes, trained, ones, .. } = self;
        let memory = &prepared.memory;
        let unit = &fused.units[unit_idx];
        let (input, out) = (unit.inputs[0], unit.output);
        let [weight, bias] = unit.op.params();
        let batch = routes.batch_norms[out];
        if let Some(norm) = &fused.values[out].norm {
            norms[out].differentiate(norm, params, batch, gradients);
        }
        let (range, accumulate, finish) = match routes.inputs[unit_idx][0] {
            Route::Write { accumulate, finish } => (&memory.gradients[input], accumulate, finish),
            Route::None | Route::Aliased => (&(0..0), false, false),
        };
        let tally = routes.tallies[input].filter(|_| finish);
        let mut sums = take_sums(norms, tally);
        let (dx, others): (_, Others<'_, T>) = around(arena, range);
        let xs = source(prepared, norms, &others, (input, Pass::Back));
        let masked = finish && xs.activation != Activation::Identity;
        let sink = routes.needs[input].then(|| Sink {
            out: dx,
            accumulate,
            mask: masked.then_some(Mask { source: xs }),
            tally: tally.map(|t| tally_of(norms, others.get(&memory.restored[t]), t, &mut sums)),
        });
        let dz = others.get(&memory.gradients[out]);
        // With running statistics the factor of `y` is zero: read `dz` in its place, which is in cache.
        let y = if batch { others.get(&memory.restored[out]) } else { dz };
        let gradient = ConvGradient { dz, norm: norms[out].gradient(y) };
        let [weight_id, bias_id] = [weight, bias].map(|id| id.filter(|id| trained[id.index()]));
        let mut take =
            |id: Option<ParamId>| id.map(|id| std::mem::take(&mut gradients[id.index()]));
        let (mut d_weight, mut d_bias) = (take(weight_id), take(bias_id));
        let weight = weight.map_or_else(
            || &ones[..memory.extents[input].channels()],
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
