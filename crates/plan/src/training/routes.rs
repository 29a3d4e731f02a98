//! Where gradients go: which values need one, in whose buffer it lies, and who writes it first and last.
//!
//! Above: `training`, `taper-engine`'s backward pass. Below: `fused`. Not here: sizes and addresses (`training::memory`).
//! A value's first contributor in the backward pass overwrites, the others add, and the last one *finishes*: it multiplies by
//! the activation's derivative and gathers the sums for the norm below. An addition hands its gradient to its operands without
//! copying where nobody is hurt: they share a *buffer*.

use crate::fused::{FusedGraph, UnitOp, Value};

/// How a unit's gradient reaches one of its inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Nobody below is trained.
    None,
    /// The input's buffer is the output's: nothing to do.
    Aliased,
    /// Write to the input's buffer.
    Write {
        /// Add to what is there.
        accumulate: bool,
        /// Nobody writes after.
        finish: bool,
    },
}

/// Which statistics a batch norm with a trained scale or shift uses. All others use their running ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Statistics {
    /// The batch's.
    Batch,
    /// The running ones.
    Running,
}

/// Where every gradient of a step goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GradientRoutes {
    /// By value: whether a trained parameter, or the watched value, lies at or below it.
    pub needs: Vec<bool>,
    /// By unit, by input.
    pub inputs: Vec<Vec<Route>>,
    /// By value: its gradient's buffer.
    pub buffers: Vec<Option<usize>>,
    /// How many buffers there are.
    pub n_buffers: usize,
    /// By value: the value whose norm's sums are gathered when this one is finished.
    pub tallies: Vec<Option<usize>>,
    /// By output: how the caller's gradient arrives, if it is needed.
    pub seeds: Vec<Route>,
    /// By value: whether its norm uses the batch's statistics.
    pub batch_norms: Vec<bool>,
}

impl GradientRoutes {
    pub(super) fn new(fused: &FusedGraph, trained: &[bool], statistics: Statistics) -> Self {
        let is_trained = |v: &Value| v.norm.is_some_and(|norm| norm.is_trained(trained));
        let trained_norms: Vec<bool> = fused.values.iter().map(is_trained).collect();
        let batch_norms = match statistics {
            Statistics::Batch => trained_norms.clone(),
            Statistics::Running => vec![false; trained_norms.len()],
        };
        let mut needs = trained_norms.clone();
        fused.watched.iter().for_each(|&v| needs[v] = true);
        for unit in &fused.units {
            let own = unit.op.params().iter().flatten().any(|param| trained[param.index()]);
            needs[unit.output] |= own || unit.inputs.iter().any(|&v| needs[v]);
        }
        let count = fused.values.len();
        let own = |v: usize| trained_norms[v].then_some(v);
        let routes = Self {
            inputs: fused.units.iter().map(|u| vec![Route::None; u.inputs.len()]).collect(),
            buffers: vec![None; count],
            n_buffers: 0,
            tallies: (0..count).map(own).collect(),
            seeds: Vec::new(),
            needs,
            batch_norms,
        };
        routes.walk(fused)
    }

    fn walk(mut self, fused: &FusedGraph) -> Self {
        // Contributions of units still to come, by value: one a reader's input.
        let mut left: Vec<usize> = vec![0; fused.values.len()];
        for unit in fused.units.iter().filter(|u| self.needs[u.output]) {
            for &v in &unit.inputs {
                left[v] += 1;
            }
        }
        for (i, &v) in fused.outputs.iter().enumerate() {
            let seed = if self.needs[v] {
                // The same value may be several outputs.
                let accumulate = self.buffers[v].is_some();
                let finish = left[v] == 0 && !fused.outputs[i + 1..].contains(&v);
                if !accumulate {
                    self.buffers[v] = Some(self.fresh());
                }
                Route::Write { accumulate, finish }
            } else {
                Route::None
            };
            self.seeds.push(seed);
        }
        for (u, unit) in fused.units.iter().enumerate().rev() {
            if !self.needs[unit.output] {
                continue;
            }
            // Inputs nobody else reads first: whether they share decides whether the others may.
            let mut order: Vec<usize> = (0..unit.inputs.len()).collect();
            if matches!(unit.op, UnitOp::Mul) {
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
                let (first, last) = (self.buffers[v].is_none(), left[v] == 0);
                self.inputs[u][i] = if first && self.may_alias(fused, u, v, last) {
                    self.buffers[v] = self.buffers[unit.output];
                    if last && let Some(norm) = self.tallies[v] {
                        self.tallies[unit.output] = Some(norm);
                    }
                    Route::Aliased
                } else {
                    if first {
                        self.buffers[v] = Some(self.fresh());
                    }
                    Route::Write { accumulate: !first, finish: last }
                };
            }
        }
        self
    }

    /// Whether there is anything to go backward for.
    #[must_use]
    pub fn any(&self, fused: &FusedGraph) -> bool {
        fused.outputs.iter().any(|&v| self.needs[v])
    }

    fn fresh(&mut self) -> usize {
        self.n_buffers += 1;
        self.n_buffers - 1
    }

    /// Whether value `v`, first reached from unit `u`, may take the output's gradient as its own.
    fn may_alias(&self, fused: &FusedGraph, u: usize, v: usize, last: bool) -> bool {
        let unit = &fused.units[u];
        if !matches!(unit.op, UnitOp::Add | UnitOp::Copy) {
            return false;
        }
        let twice = unit.inputs.iter().filter(|&&other| other == v).count() > 1;
        let masked = fused.values[v].activation.is_some();
        if twice || (last && masked) {
            return false;
        }
        let buffer = self.buffers[unit.output];
        let sharers = || {
            (0..fused.values.len())
                .filter(|&w| w != v && w != unit.output && self.buffers[w] == buffer)
        };
        // Who will still add to the buffer for the sake of a value: they run backward later, so they stand earlier in the graph.
        let adders = |w: usize| fused.values[w].readers.iter().filter(|&&reader| reader < u);
        // Whether the value has been used when the others' adders come.
        let is_read_before = |w: usize, others: usize| {
            fused.values[w].writer.is_none_or(|reader| adders(others).all(|&adder| adder < reader))
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
