//! The forward pass of a training step.
//!
//! Above: `train`. Below: `taper-kernels`, `kernel`, `train::norm`. Not here: where tensors lie (`taper-plan`).

use std::ops::Range;

use taper_kernels::{Activation, Device, Epilogue, Moments, Real, Source};

use super::Trainer;
use super::norm::NormState;
use super::prepared::Prepared;
use crate::arena::{Others, around};
use crate::error::check_len;
use crate::kernel::Kernel;
use crate::{Error, Result, random};

/// The first time that a unit runs, or again on the way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    Forward,
    Back,
}

impl Pass {
    /// Where value `v` lies.
    pub(super) fn place(self, prepared: &Prepared, v: usize) -> &Range<usize> {
        match self {
            Self::Forward => &prepared.memory.stored[v],
            Self::Back => &prepared.memory.restored[v],
        }
    }
}

/// Value `v` as its readers see it.
pub(super) fn source<'a, T: Real>(
    prepared: &Prepared,
    norms: &'a [NormState<T>],
    others: &Others<'a, T>,
    (v, pass): (usize, Pass),
) -> Source<'a, T> {
    let data = others.get(pass.place(prepared, v));
    Source { data, affine: norms[v].affine(), activation: prepared.activations[v] }
}

/// Zeroes runs of `run` elements with probability `p`, and divides the others by `1 − p`; the same ones for the same seed and node.
pub(super) fn drop_runs<T: Real>(values: &mut [T], run: usize, p: f64, seed: u64, node: usize) {
    let keep = T::from_f64(1.0 / (1.0 - p));
    for (i, values) in values.chunks_mut(run.max(1)).enumerate() {
        let dropped = random::uniform(seed, node as u64, i as u64) < p;
        let factor = if dropped { T::default() } else { keep };
        values.iter_mut().for_each(|value| *value = if dropped { factor } else { *value * factor });
    }
}

impl<T: Real, D: Device<T>> Trainer<T, D> {
    pub(super) fn run_forward(
        &mut self,
        prepared: &Prepared,
        params: &[&[T]],
        given: &[&[T]],
        done: &mut dyn FnMut(usize),
    ) -> Result<()> {
        self.begin(prepared, params, given)?;
        let uses_batch = |v: &usize| self.routes.batch_norms[*v] && self.norms[*v].count < 2;
        if let Some(v) = (0..self.norms.len()).find(uses_batch)
            && let Some(norm) = self.fused.values[v].norm
        {
            let [h, w] = prepared.memory.extents[v].size();
            let node = self.graph.node(norm.node).name().to_owned();
            return Err(Error::SingleValue { node, batch: prepared.memory.shape[0], h, w });
        }
        for unit in 0..self.fused.units.len() {
            self.forward_unit(prepared, unit, params, Pass::Forward)?;
            done(unit);
        }
        self.read_outputs(prepared);
        Ok(())
    }

    /// Takes given values up, and running statistics where norms use them.
    pub(super) fn begin(
        &mut self,
        prepared: &Prepared,
        params: &[&[T]],
        given: &[&[T]],
    ) -> Result<()> {
        let memory = &prepared.memory;
        check_len("the list of given values", given.len(), self.fused.given)?;
        for (range, values) in memory.stored.iter().zip(given) {
            check_len("the batch of images", values.len(), range.len())?;
            self.arena[range.clone()].copy_from_slice(values);
        }
        for (v, value) in self.fused.values.iter().enumerate() {
            let Some(norm) = &value.norm else { continue };
            let state = &mut self.norms[v];
            state.count = memory.shape[0] * memory.extents[v].size().iter().product::<usize>();
            if !self.routes.batch_norms[v] {
                state.mean.copy_from_slice(params[norm.params[2].index()]);
                state.var.copy_from_slice(params[norm.params[3].index()]);
                state.prepare(norm, params);
            }
        }
        Ok(())
    }

    /// Runs a unit. One that runs again writes the same numbers to another place, and knows its norm's statistics.
    pub(super) fn forward_unit(
        &mut self,
        prepared: &Prepared,
        unit_idx: usize,
        params: &[&[T]],
        pass: Pass,
    ) -> Result<()> {
        let Self { fused, arena, norms, device, routes, seed, ones, .. } = self;
        let memory = &prepared.memory;
        let unit = &fused.units[unit_idx];
        let out = unit.output;
        let (y, others) = around(arena, pass.place(prepared, out));
        // The state of the written value is taken out, so that those of the read ones can be borrowed.
        let mut state = std::mem::take(&mut norms[out]);
        let source = |i: usize| source(prepared, norms, &others, (unit.inputs[i], pass));
        let xs = source(0);
        let extent = memory.extents[unit.inputs[0]];
        let ([h, w], c, n) = (extent.size(), extent.channels(), memory.shape[0]);
        let mut is_run = true;
        match &prepared.kernels[unit_idx] {
            Kernel::Conv(shape) | Kernel::BatchNorm(shape) => {
                let [weight, bias] = unit.op.params();
                let weight = weight.map_or_else(|| &ones[..c], |weight| params[weight.index()]);
                let bias = bias.map(|b| params[b.index()]);
                let epilogue = Epilogue { bias, ..Epilogue::default() };
                let is_new = routes.batch_norms[out] && pass == Pass::Forward;
                let moments =
                    is_new.then_some(Moments { mean: &mut state.mean, var: &mut state.var });
                device.conv_forward(shape, xs, weight, epilogue, y, moments);
                if let Some(norm) = fused.values[out].norm.filter(|_| is_new) {
                    state.prepare(&norm, params);
                }
            }
            Kernel::Add => device.add(c, xs, source(1), Activation::Identity, y),
            Kernel::Mul => {
                let (n, positions) = prepared.gated([unit.inputs[0], unit.inputs[1]]);
                device.mul(n, positions, c, xs, source(1), y);
            }
            kernel => {
                let own: Vec<&[T]> =
                    unit.op.params().into_iter().flatten().map(|id| params[id.index()]).collect();
                is_run = kernel.try_run(device, [n, h * w, c], &source, &own, y);
                if let Kernel::Drop { p, run } = *kernel
                    && routes.any(fused)
                {
                    drop_runs(y, run, p, *seed, unit.node.index());
                }
            }
        }
        norms[out] = state;
        if is_run { Ok(()) } else { Err(self.internal(unit_idx, "lacks a parameter")) }
    }

    /// Copies the outputs out of the arena, with what is pending on them applied.
    pub(super) fn read_outputs(&mut self, prepared: &Prepared) {
        let Self { fused, arena, norms, device, outputs, .. } = self;
        let (_, others) = around(arena, &(0..0));
        outputs.resize_with(fused.outputs.len(), Vec::new);
        for (output, &v) in outputs.iter_mut().zip(&fused.outputs) {
            let c = prepared.memory.extents[v].channels();
            let xs = source(prepared, norms, &others, (v, Pass::Forward));
            output.resize(xs.data.len(), T::default());
            device.copy(c, xs, output);
        }
    }
}
