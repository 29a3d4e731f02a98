//! In which order gradients of parameters become final, and which of them are sums over several units.
//!
//! Above: `taper-engine`'s backward pass. Below: `fused`, `training::routes`. Not here: gradients of values (`training::routes`).

use taper_graph::{Graph, ParamId};

use super::TrainingPlan;

/// When the gradient of each trained parameter is final, in a backward pass that goes through the units from the last to the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GradientOrder {
    /// By unit: the parameters of which nobody writes the gradient after it.
    pub finished: Vec<Vec<ParamId>>,
    /// By unit: the parameters of which another unit wrote the gradient before it, because both have them: theirs is the sum.
    pub added: Vec<Vec<ParamId>>,
    /// The trained parameters that no unit has: gradient zero.
    pub unreached: Vec<ParamId>,
}

impl GradientOrder {
    /// The order of the gradients of a plan for `graph`.
    #[must_use]
    pub fn new(graph: &Graph, plan: &TrainingPlan) -> Self {
        let TrainingPlan { fused, routes, trained, .. } = plan;
        // By unit, without those that no gradient is computed for.
        let mut writes: Vec<Vec<ParamId>> = Vec::new();
        for unit in &fused.units {
            let norm = fused.values[unit.output].norm;
            let norm = norm.iter().flat_map(|norm| norm.params[..2].iter().copied());
            let mut ids: Vec<ParamId> =
                unit.op.params().into_iter().flatten().chain(norm).collect();
            ids.retain(|id| routes.needs[unit.output] && trained[id.index()]);
            ids.dedup();
            writes.push(ids);
        }
        let mut seen = vec![false; trained.len()];
        let mut fresh = |ids: &Vec<ParamId>| -> Vec<ParamId> {
            let is_new = |id: &&ParamId| !std::mem::replace(&mut seen[id.index()], true);
            ids.iter().filter(is_new).copied().collect()
        };
        // The backward pass comes to the first unit last.
        let finished = writes.iter().map(&mut fresh).collect();
        let unreached = graph.param_ids().filter(|id| trained[id.index()] && !seen[id.index()]);
        let unreached = unreached.collect();
        seen.fill(false);
        let mut added = vec![Vec::new(); writes.len()];
        for (added, ids) in added.iter_mut().zip(&writes).rev() {
            let again = |id: &&ParamId| std::mem::replace(&mut seen[id.index()], true);
            *added = ids.iter().filter(again).copied().collect();
        }
        Self { finished, added, unreached }
    }

    /// Every trained parameter once, in the order in which their gradients become final.
    pub fn sequence(&self) -> impl Iterator<Item = ParamId> {
        self.finished.iter().rev().flatten().chain(&self.unreached).copied()
    }
}
