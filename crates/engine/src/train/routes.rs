//! Where gradients go: which values need one, in whose buffer it lies, and who writes it first and last.
//!
//! Above: `train::{layout, backward}`. Below: `plan`. Not here: sizes and addresses (`train::layout`).
//! A value's first contributor in the backward pass overwrites, the others add, and the last one *finishes*: it multiplies by
//! the activation's derivative and gathers the sums for the norm below. An addition hands its gradient to its operands without
//! copying where nobody is hurt: they share a *slot*.

use crate::plan::{Plan, Value, Work};
use taper_kernels::Activation;

/// How a unit's gradient reaches one of its inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// Nobody below is trained.
    None,
    /// The input's slot is the output's: nothing to do.
    Shared,
    /// Write, adding to what is there or not; `finish` when nobody writes after.
    Write { accumulate: bool, finish: bool },
}

#[derive(Debug)]
pub(super) struct Routes {
    /// By value: whether a trained parameter, or the watched value, lies at or below it.
    pub(super) needs: Vec<bool>,
    /// By unit, by input.
    pub(super) inputs: Vec<Vec<Route>>,
    /// By value: its gradient's slot.
    pub(super) slots: Vec<Option<usize>>,
    pub(super) slot_count: usize,
    /// By value: the value whose norm's sums are gathered when this one is finished.
    pub(super) tallies: Vec<Option<usize>>,
    /// By output: how the caller's gradient arrives, if it is needed.
    pub(super) seeds: Vec<Route>,
    /// By value: whether its norm uses the batch's statistics.
    pub(super) batch_norms: Vec<bool>,
}

impl Routes {
    pub(super) fn new(plan: &Plan, trained: &[bool]) -> Self {
        let batch_norm =
            |v: &Value| v.norm.is_some_and(|norm| super::norm::uses_batch(&norm, trained));
        let batch_norms: Vec<bool> = plan.values.iter().map(batch_norm).collect();
        let mut needs = batch_norms.clone();
        plan.watched.iter().for_each(|&v| needs[v] = true);
        for unit in &plan.units {
            let own = unit.work.params().iter().flatten().any(|param| trained[param.index()]);
            needs[unit.output] |= own || unit.inputs.iter().any(|&v| needs[v]);
        }
        let count = plan.values.len();
        let own = |v: usize| batch_norms[v].then_some(v);
        let routes = Self {
            inputs: plan.units.iter().map(|u| vec![Route::None; u.inputs.len()]).collect(),
            slots: vec![None; count],
            slot_count: 0,
            tallies: (0..count).map(own).collect(),
            seeds: Vec::new(),
            needs,
            batch_norms,
        };
        routes.walk(plan)
    }

    fn walk(mut self, plan: &Plan) -> Self {
        // Contributions of units still to come, by value: one a reader's input.
        let mut left: Vec<usize> = vec![0; plan.values.len()];
        for unit in plan.units.iter().filter(|u| self.needs[u.output]) {
            for &v in &unit.inputs {
                left[v] += 1;
            }
        }
        for (i, &v) in plan.outputs.iter().enumerate() {
            let seed = if self.needs[v] {
                // The same value may be several outputs.
                let accumulate = self.slots[v].is_some();
                let finish = left[v] == 0 && !plan.outputs[i + 1..].contains(&v);
                if !accumulate {
                    self.slots[v] = Some(self.fresh());
                }
                Route::Write { accumulate, finish }
            } else {
                Route::None
            };
            self.seeds.push(seed);
        }
        for (u, unit) in plan.units.iter().enumerate().rev() {
            if !self.needs[unit.output] {
                continue;
            }
            // Inputs nobody else reads first: whether they share decides whether the others may.
            let mut order: Vec<usize> = (0..unit.inputs.len()).collect();
            if matches!(unit.work, Work::Mul) {
                // The order in which the backward pass writes them, should both be the same value.
                order.reverse();
            }
            order.sort_by_key(|&i| left[unit.inputs[i]]);
            for i in order {
                let v = unit.inputs[i];
                if !self.needs[v] {
                    continue;
                }
                left[v] -= 1;
                let (first, last) = (self.slots[v].is_none(), left[v] == 0);
                self.inputs[u][i] = if first && self.may_share(plan, u, v, last) {
                    self.slots[v] = self.slots[unit.output];
                    if last && let Some(norm) = self.tallies[v] {
                        self.tallies[unit.output] = Some(norm);
                    }
                    Route::Shared
                } else {
                    if first {
                        self.slots[v] = Some(self.fresh());
                    }
                    Route::Write { accumulate: !first, finish: last }
                };
            }
        }
        self
    }

    /// Whether there is anything to go backward for.
    pub(super) fn any(&self, plan: &Plan) -> bool {
        plan.outputs.iter().any(|&v| self.needs[v])
    }

    fn fresh(&mut self) -> usize {
        self.slot_count += 1;
        self.slot_count - 1
    }

    /// Whether value `v`, first reached from unit `u`, may take the output's gradient as its own.
    fn may_share(&self, plan: &Plan, u: usize, v: usize, last: bool) -> bool {
        let unit = &plan.units[u];
        if !matches!(unit.work, Work::Add | Work::Dropout { p: 0.0 }) {
            return false;
        }
        let twice = unit.inputs.iter().filter(|&&other| other == v).count() > 1;
        let masked = plan.values[v].activation != Activation::Identity;
        if twice || (last && masked) {
            return false;
        }
        let slot = self.slots[unit.output];
        let sharers = || {
            (0..plan.values.len()).filter(|&w| w != v && w != unit.output && self.slots[w] == slot)
        };
        // Who will still add to the slot for the sake of a value: they run backward later, so they stand earlier in the graph.
        let adders = |w: usize| plan.values[w].readers.iter().filter(|&&reader| reader < u);
        // Whether the value has been used when the others' adders come.
        let is_read_before = |w: usize, others: usize| {
            plan.values[w].writer.is_none_or(|reader| adders(others).all(|&adder| adder < reader))
        };
        if last {
            // Its sums must be gathered when the output is finished, which has room for one norm's.
            let has_room = self.tallies[v].is_none() || self.tallies[unit.output].is_none();
            return has_room && sharers().all(|w| is_read_before(v, w));
        }
        // What is added for one must not arrive at the other.
        sharers().all(|w| adders(w).next().is_none() && is_read_before(w, v))
    }
}
