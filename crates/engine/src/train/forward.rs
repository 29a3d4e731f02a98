//! The forward pass of a training step.
//!
//! Above: `train`. Below: `kernels::Device`, `train::norm`. Not here: where tensors lie (`train::layout`).

use taper_kernels::{AlignedBuf, Device, Epilogue, Moments, Real, Source};

use super::Trainer;
use super::layout::Layout;
use super::norm::NormState;
use crate::arena::{Others, around};
use crate::error::check_len;
use crate::plan::{Plan, Unit, Work};
use crate::{Error, Result, random};

/// Value `v` as its readers see it.
pub(super) fn source<'a, T: Real>(
    plan: &Plan,
    layout: &Layout,
    norms: &'a [NormState<T>],
    others: &Others<'a, T>,
    v: usize,
) -> Source<'a, T> {
    let data = others.get(&layout.stored[v]);
    Source { data, affine: norms[v].affine(), activation: plan.values[v].activation }
}

/// Rows of the gate of a multiplication, and rows of the other factor for each.
pub(super) fn gated(layout: &Layout, unit: &Unit) -> (usize, usize) {
    let [xs, gate] =
        [0, 1].map(|i| layout.extents[unit.inputs[i]].size().iter().product::<usize>());
    (layout.shape[0] * gate, xs / gate)
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

/// How likely what drops, and how many of `len` elements of `n` pictures at once.
pub(super) fn drop_run(work: &Work, len: usize, n: usize) -> Option<(f64, usize)> {
    match *work {
        Work::Dropout { p } if p > 0.0 => Some((p, 1)),
        Work::DropPath { p } if p > 0.0 => Some((p, len / n)),
        _ => None,
    }
}

impl<T: Real, D: Device<T>> Trainer<T, D> {
    pub(super) fn run_forward(&mut self, params: &[&[T]], given: &[&[T]]) -> Result<()> {
        let Some(layout) = &self.layout else { return Err(Error::NoForward) };
        check_len("the list of given values", given.len(), self.plan.given)?;
        for (range, values) in layout.stored.iter().zip(given) {
            check_len("the batch of images", values.len(), range.len())?;
            self.arena[range.clone()].copy_from_slice(values);
        }
        for (v, value) in self.plan.values.iter().enumerate() {
            let Some(norm) = &value.norm else { continue };
            let state = &mut self.norms[v];
            state.count = layout.shape[0] * layout.extents[v].size().iter().product::<usize>();
            if !self.routes.batch_norms[v] {
                state.mean.copy_from_slice(params[norm.params[2].index()]);
                state.var.copy_from_slice(params[norm.params[3].index()]);
                state.prepare(norm, params);
            } else if state.count < 2 {
                let [h, w] = layout.extents[v].size();
                let node = self.graph.node(norm.node).name().to_owned();
                return Err(Error::SingleValue { node, batch: layout.shape[0], h, w });
            }
        }
        for unit in 0..self.plan.units.len() {
            self.forward_unit(unit, params);
        }
        self.read_outputs();
        Ok(())
    }

    fn forward_unit(&mut self, unit_idx: usize, params: &[&[T]]) {
        let Self { plan, layout: Some(layout), arena, norms, device, routes, seed, ones, .. } =
            self
        else {
            return;
        };
        let unit = &plan.units[unit_idx];
        let out = unit.output;
        let (y, others) = around(arena, &layout.stored[out]);
        // The state of the written value is taken out, so that those of the read ones can be borrowed.
        let mut state = std::mem::take(&mut norms[out]);
        let xs = source(plan, layout, norms, &others, unit.inputs[0]);
        let extent = layout.extents[unit.inputs[0]];
        let ([h, w], c, n) = (extent.size(), extent.channels(), layout.shape[0]);
        match unit.work {
            work if work.is_conv() => {
                let [weight, bias] = unit.work.params();
                let weight = weight.map_or_else(|| &ones[..c], |weight| params[weight.index()]);
                let bias = bias.map(|b| params[b.index()]);
                let epilogue = Epilogue { bias, ..Epilogue::default() };
                let moments = routes.batch_norms[out]
                    .then_some(Moments { mean: &mut state.mean, var: &mut state.var });
                if let Some(shape) = layout.forms[unit_idx].conv() {
                    device.conv_forward(shape, xs, weight, epilogue, y, moments);
                }
                if let Some(norm) = plan.values[out].norm.filter(|_| routes.batch_norms[out]) {
                    state.prepare(&norm, params);
                }
            }
            Work::Add => {
                let other = source(plan, layout, norms, &others, unit.inputs[1]);
                device.add(c, xs, other, taper_kernels::Activation::Identity, y);
            }
            Work::Mul => {
                let gate = source(plan, layout, norms, &others, unit.inputs[1]);
                let (n, positions) = gated(layout, unit);
                device.mul(n, positions, c, xs, gate, y);
            }
            work => {
                let source = |i: usize| source(plan, layout, norms, &others, unit.inputs[i]);
                let own: Vec<&[T]> =
                    work.params().into_iter().flatten().map(|id| params[id.index()]).collect();
                layout.forms[unit_idx].run(device, &work, [n, h * w, c], &source, &own, y);
                let run = drop_run(&work, y.len(), n);
                if let Some((p, run)) = run.filter(|_| routes.any(plan)) {
                    drop_runs(y, run, p, *seed, unit.node.index());
                }
            }
        }
        norms[out] = state;
    }

    /// Copies the outputs out of the arena, with what is pending on them applied.
    fn read_outputs(&mut self) {
        let Self { plan, layout: Some(layout), arena, norms, device, outputs, .. } = self else {
            return;
        };
        let arena: &mut AlignedBuf<T> = arena;
        let (_, others) = around(arena, &(0..0));
        outputs.resize_with(plan.outputs.len(), Vec::new);
        for (output, &v) in outputs.iter_mut().zip(&plan.outputs) {
            let c = layout.extents[v].channels();
            let xs = source(plan, layout, norms, &others, v);
            output.resize(xs.data.len(), T::default());
            // The mean over one position is the position.
            device.pool_forward(output.len() / c, 1, c, xs, output);
        }
    }
}
