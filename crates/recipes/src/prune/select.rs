//! Which channels go: evidence, scores, ranks, a plan within the budget.
//!
//! Above: `prune`. Below: `taper_prune`, `taper_cost`, `recalibrate`, `prune::latency`. Not here: cutting (`taper_prune::cut`).

use taper_cost::Bytes;
use taper_graph::{Graph, NodeId};
use taper_model::{Model, Precision};
use taper_prune::{
    Amount, Criterion, Evidence, Groups, Limits, Metric, Plan, Problem, Protect, Scoring, Target,
    scores, solve,
};

use super::{LayerRow, Pruning, TargetRow, latency};
use crate::error::{Error, Result};
use crate::options::PruneOptions;
use crate::recalibrate::gather_evidence;
use crate::setup;

/// The plan for a model that has come `share` of the way from the network that channels are cut from to the targets.
pub(super) fn plan(
    pruning: &Pruning,
    [start, model]: [&Model; 2],
    groups: &Groups,
    share: f64,
) -> Result<Plan> {
    let options = &pruning.options;
    let scored = scored(pruning, model, groups)?;
    let ranking = options.ranking(model.graph());
    let ranked = ranking.rank(groups, &scored).map_err(setup::prune)?;
    let size = model.preprocess().input_size;
    let hard = &options.limits;
    let most_cut = hard.most_cut.min(PruneOptions::GENTLE_CUT);
    let gentle = Limits { most_cut, ..hard.clone() };
    let problem = |limits| Problem {
        groups,
        scores: &ranked,
        size,
        limits,
        cost_exponent: options.cost_exponent,
    };
    let mut clock = latency::Clock::new(options, &pruning.model)?;
    let (mut targets, mut is_needed) = (Vec::new(), options.targets.is_empty());
    for target in &options.targets {
        let dense = value(target.metric, &pruning.model, &mut clock)?;
        let asked = target.amount.of(dense);
        is_needed |= asked < dense;
        let first = value(target.metric, start, &mut clock)?;
        let amount = Amount::Absolute(first + (asked - first).min(0.0) * share);
        if value(target.metric, model, &mut clock)? > amount.of(dense) {
            targets.push(Target { metric: target.metric, amount });
        }
    }
    if targets.is_empty() && is_needed {
        return Ok(nothing(groups));
    }
    if !is_needed {
        // The crate's own refusal says that nothing need be cut.
        targets.clone_from(&options.targets);
    }
    let mut price = |graph: &Graph| clock.of_graph(graph, model);
    let plan = match solve(&problem(&gentle), &targets, Some(&mut price)) {
        // Scores of single channels do not say what a layer without most of them is worth: only where there is no other way.
        Err(taper_prune::Error::Unreachable { .. }) if gentle != *hard => {
            solve(&problem(hard), &targets, Some(&mut price))
        }
        plan => plan,
    };
    plan.map_err(setup::prune)
}

/// A plan that leaves all: smaller pictures alone meet the targets.
fn nothing(groups: &Groups) -> Plan {
    let cut = taper_prune::Cut::nothing(groups);
    Plan { cut, widths: Vec::new(), reached: Vec::new(), lost: 0.0 }
}

/// A score for each unit.
pub(super) fn scored(pruning: &Pruning, model: &Model, groups: &Groups) -> Result<Vec<f64>> {
    let options = &pruning.options;
    let scoring = Scoring {
        reduction: options.reduction(),
        normalizer: options.normalizer(),
        ..Scoring::of(options.criterion())
    };
    let none = Evidence::default();
    if !options.criterion().needs_data() {
        return scores(model, groups, &scoring, &none).map_err(setup::prune);
    }
    let Some(dataset) = &pruning.dataset else {
        // The crate's own refusal says what is missing.
        return scores(model, groups, &scoring, &none).map_err(setup::prune);
    };
    let graph = model.graph();
    let watched: Vec<NodeId> = match options.criterion() {
        Criterion::Activation => graph.node_ids().filter(|id| *id != graph.input()).collect(),
        _ => Vec::new(),
    };
    let names: Vec<&str> = watched.iter().map(|id| graph.node(*id).name()).collect();
    let recovery = options.recovery(1);
    let found = gather_evidence(model, dataset, &names, options.evidence_batches, &recovery)?;
    let batches = found.batches.max(1) as f64;
    let narrow = |all: &[Vec<f64>]| -> Vec<Vec<f32>> {
        all.iter().map(|one| one.iter().map(|&value| single(value / batches)).collect()).collect()
    };
    let mut activations = vec![Vec::new(); graph.nodes().len()];
    for (id, means) in watched.iter().zip(&found.activations) {
        activations[id.index()] = means.absolute.iter().map(|&value| single(value)).collect();
    }
    let (gradients, squared) = (narrow(&found.gradients), narrow(&found.squared_gradients));
    let evidence =
        Evidence { gradients: &gradients, squared_gradients: &squared, activations: &activations };
    scores(model, groups, &scoring, &evidence).map_err(setup::prune)
}

#[expect(clippy::cast_possible_truncation, reason = "scores are compared, not computed with")]
fn single(value: f64) -> f32 {
    value as f32
}

/// How channels are chosen, in words.
pub(super) fn words(options: &PruneOptions, graph: &Graph) -> String {
    let Some(_) = options.targets.first() else { return "nothing".to_owned() };
    format!(
        "{} ({} over a group, {} over its units), {} ranking",
        options.criterion(),
        options.reduction(),
        options.normalizer(),
        options.ranking(graph)
    )
}

/// What a model has of a metric.
fn value(metric: Metric, model: &Model, clock: &mut latency::Clock<'_>) -> Result<f64> {
    let (graph, size) = (model.graph(), model.preprocess().input_size);
    let cost = |source| Error::Cost { source };
    Ok(match metric {
        Metric::Macs => taper_cost::macs(graph, size[0], size[1]).map_err(cost)?.0 as f64,
        Metric::Params => taper_cost::params(graph).0 as f64,
        Metric::Size(_) => model.to_bytes(Precision::F32).map_err(setup::model)?.len() as f64,
        Metric::Memory => {
            let outputs: Vec<&str> = graph.main_outputs().collect();
            let memory = taper_cost::inference_memory(graph, &outputs, [1, size[0], size[1]], 1);
            let Bytes(bytes) = memory.map_err(cost)?.arena;
            bytes as f64
        }
        Metric::Latency => clock.of_model(model, latency::MEASURED)?,
    })
}

/// What became of each target.
pub(super) fn targets(
    [before, after]: [&Model; 2],
    options: &PruneOptions,
) -> Result<Vec<TargetRow>> {
    let mut clock = latency::Clock::new(options, before)?;
    let row = |target: &Target| {
        let dense = value(target.metric, before, &mut clock)?;
        Ok(TargetRow {
            metric: target.metric.to_string(),
            before: dense,
            target: target.amount.of(dense),
            after: value(target.metric, after, &mut clock)?,
        })
    };
    options.targets.iter().map(row).collect()
}

/// The widths of the groups of a graph, and what is left of them in `pruned`, whose nodes have the same names.
pub(super) fn layers(groups: &Groups, pruned: &Graph) -> Result<Vec<LayerRow>> {
    let left = Groups::of(pruned, &Protect::default()).map_err(setup::prune)?;
    let mut rows = Vec::new();
    for group in groups.groups().iter().filter(|group| group.protected.is_none()) {
        let Some(node) = group.nodes.first() else { continue };
        let name = groups.graph().node(*node).name();
        let names = group.nodes.iter().map(|node| groups.graph().node(*node).name());
        // Of a block that went as a whole nothing is left.
        let unit =
            names.filter_map(|name| pruned.find_node(name)).find_map(|id| left.of_node(id).first());
        let unit = unit.and_then(|unit| left.group_of(*unit));
        let after = unit.map_or(0, |group| left.groups()[group].n_units());
        rows.push(LayerRow { name: name.to_owned(), before: group.n_units(), after });
    }
    Ok(rows)
}
