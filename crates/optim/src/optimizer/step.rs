//! A step of all parameters together: cut into parts of equal length, which the threads take as they come.
//!
//! Above: `optimizer`. Below: `optimizer::lend`, `rule`, `taper_kernels::Team`. Not here: formulas (`rules`), state (`optimizer::state`).
//! Where parts begin does not depend on threads, and sums over parts are made in their order: a step has the same bits on any number.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use candle_core::Tensor;
use taper_kernels::Team;

use super::lend::{self, Lent};
use super::{Param, Values};
use crate::error::{Result, at};
use crate::rule::{Cells, NO_SUMS, Passes, Slices, Step};
use crate::{Role, Rule, Sums};

/// Values of a part: parameter, gradient and two slots are 256 KiB of `f32`.
const PART: usize = 1 << 14;

/// A parameter in a step.
pub(super) struct Job<'a> {
    pub(super) param: &'a mut Param,
    /// Contiguous, and of no variable's memory.
    pub(super) grad: Tensor,
    pub(super) lr: f64,
    pub(super) weight_decay: f64,
    pub(super) role: Role,
    pub(super) grad_norm: f64,
}

/// A part of a parameter.
struct Part<'a> {
    /// By index, the parameter.
    of: usize,
    piece: Piece<'a>,
    /// What the last pass gave.
    sums: Sums,
}

enum Piece<'a> {
    F32(&'a mut [f32], &'a [f32], Vec<&'a mut [f32]>),
    F64(&'a mut [f64], &'a [f64], Vec<&'a mut [f64]>),
}

/// Makes the passes of a rule over all parameters.
pub(super) fn run<R: Rule>(rule: &R, jobs: &mut [Job<'_>], team: &mut Team) -> Result<()> {
    for jobs in jobs.chunks_mut(lend::MOST) {
        let vars: Vec<_> =
            jobs.iter().map(|job| (job.param.var.clone(), job.grad.clone())).collect();
        let pairs: Vec<_> = vars.iter().map(|(var, grad)| (var, grad)).collect();
        let first = jobs.first().map(|job| job.param.name.clone()).unwrap_or_default();
        let mut work = |lent: Vec<Lent<'_>>| step(rule, jobs, lent, team);
        lend::lend(&pairs, &mut work).map_err(at(&first))?;
    }
    Ok(())
}

fn step<R: Rule>(rule: &R, jobs: &mut [Job<'_>], lent: Vec<Lent<'_>>, team: &mut Team) {
    let numbers: Vec<Vec<f64>> = jobs.iter().map(|job| job.param.numbers.clone()).collect();
    let names: Vec<(String, Vec<usize>)> =
        jobs.iter().map(|job| (job.param.name.clone(), job.param.var.dims().to_vec())).collect();
    let steps: Vec<Step<'_>> = (0..jobs.len())
        .map(|i| {
            let Job { param, lr, weight_decay, role, grad_norm, .. } = &jobs[i];
            let mut step = Step::new(&names[i].0, &names[i].1);
            step.param.role = *role;
            Step { numbers: &numbers[i], grad_norm: *grad_norm, ..step }.at(
                *lr,
                *weight_decay,
                param.steps,
            )
        })
        .collect();
    let passes: Vec<Passes> =
        steps.iter().map(|step| rule.passes(&step.param, step.weight_decay)).collect();
    let mut parts = Vec::new();
    for (of, ((job, lent), passes)) in jobs.iter_mut().zip(lent).zip(&passes).enumerate() {
        let pieces = cut(lent, &mut job.param.values, passes.whole);
        parts.extend(pieces.into_iter().map(|piece| Part { of, piece, sums: NO_SUMS }));
    }
    let parts: Vec<Mutex<Part<'_>>> = parts.into_iter().map(Mutex::new).collect();
    let mut sums = vec![NO_SUMS; steps.len()];
    for pass in 0..passes.iter().map(|passes| passes.count).max().unwrap_or(0) {
        in_parallel(&parts, team, |part| {
            if pass < passes[part.of].count {
                let step = Step { pass, sums: sums[part.of], ..steps[part.of] };
                part.sums = part.piece.update(rule, &step);
            }
        });
        sums = vec![NO_SUMS; steps.len()];
        for part in &parts {
            let part = lock(part);
            sums[part.of].iter_mut().zip(part.sums).for_each(|(sum, of_part)| *sum += of_part);
        }
    }
}

/// Calls `work` for every part, on all threads if there is enough to do: the longest parts first.
fn in_parallel<'a>(
    parts: &[Mutex<Part<'a>>],
    team: &mut Team,
    work: impl Fn(&mut Part<'a>) + Sync,
) {
    let mut order: Vec<(usize, usize)> =
        parts.iter().enumerate().map(|(index, part)| (lock(part).piece.len(), index)).collect();
    if team.threads() == 1 || order.iter().map(|(len, _)| len).sum::<usize>() <= PART {
        return parts.iter().for_each(|part| work(&mut lock(part)));
    }
    order.sort_by_key(|&(len, index)| (std::cmp::Reverse(len), index));
    let next = AtomicUsize::new(0);
    team.run(|_| {
        while let Some(&(_, index)) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            work(&mut lock(&parts[index]));
        }
    });
}

/// A part is one thread's at a time: the lock is never waited for.
fn lock<'p, 'a>(part: &'p Mutex<Part<'a>>) -> MutexGuard<'p, Part<'a>> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Piece<'_> {
    fn len(&self) -> usize {
        match self {
            Piece::F32(param, ..) => param.len(),
            Piece::F64(param, ..) => param.len(),
        }
    }

    fn update<R: Rule>(&mut self, rule: &R, step: &Step<'_>) -> Sums {
        match self {
            Piece::F32(param, grad, slots) => {
                let mut slots: Vec<&mut [f32]> = slots.iter_mut().map(|slot| &mut **slot).collect();
                let slices = Slices { param, grad, slots: &mut slots };
                rule.update(step, Cells::F32(slices))
            }
            Piece::F64(param, grad, slots) => {
                let mut slots: Vec<&mut [f64]> = slots.iter_mut().map(|slot| &mut **slot).collect();
                let slices = Slices { param, grad, slots: &mut slots };
                rule.update(step, Cells::F64(slices))
            }
        }
    }
}

/// A parameter's parts; one if it is gone over as a whole.
fn cut<'a>(lent: Lent<'a>, values: &'a mut Values, whole: bool) -> Vec<Piece<'a>> {
    match (lent, values) {
        (Lent::F32(param, grad), Values::F32(slots)) => {
            let parts = parts_of((param, grad), slots, whole);
            parts.into_iter().map(|(p, g, slots)| Piece::F32(p, g, slots)).collect()
        }
        (Lent::F64(param, grad), Values::F64(slots)) => {
            let parts = parts_of((param, grad), slots, whole);
            parts.into_iter().map(|(p, g, slots)| Piece::F64(p, g, slots)).collect()
        }
        // Slots have the precision of their parameter from the beginning.
        (Lent::F32(..), Values::F64(_)) | (Lent::F64(..), Values::F32(_)) => Vec::new(),
    }
}

type SlicesOf<'a, T> = (&'a mut [T], &'a [T], Vec<&'a mut [T]>);

fn parts_of<'a, T>(
    (param, grad): (&'a mut [T], &'a [T]),
    slots: &'a mut [Vec<T>],
    whole: bool,
) -> Vec<SlicesOf<'a, T>> {
    let len = if whole { param.len().max(1) } else { PART };
    let mut slots: Vec<_> = slots.iter_mut().map(|slot| slot.chunks_mut(len)).collect();
    let pieces = param.chunks_mut(len).zip(grad.chunks(len));
    pieces.map(|(p, g)| (p, g, slots.iter_mut().filter_map(Iterator::next).collect())).collect()
}
