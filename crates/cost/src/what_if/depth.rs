//! More or fewer blocks in each stage.
//!
//! Above: `what_if`. Below: `taper_graph::scaling`. Not here: leaving a block out and repeating it (`taper_graph`).
//! A block can go or come again if it reads one node and makes what it reads: the first of a stage, which halves the map or changes its
//! channels, stays one.
//! Source of the rounding: timm 1.0.31 `_scale_stage_depth`, `depth_trunc="round"`.

use taper_graph::scaling::round_half_even;
use taper_graph::{Extent, Graph, NodeId, Scope, ScopeKind};

use super::{known_extents, mismatch};
use crate::{Error, Result};

/// A block by name.
struct Block<'g> {
    name: &'g str,
    keeps: bool,
}

/// Blocks per stage times a factor, rounded, at least one.
pub(super) fn scaled(graph: &Graph, factor: f64) -> Result<Graph> {
    let (_, extents) = known_extents(graph)?;
    let stages = stages(graph, &extents);
    if !stages.iter().flatten().any(|block| block.keeps) {
        return Err(Error::NoBlocks);
    }
    let mut deep = graph.clone();
    for stage in stages {
        let n = round_half_even(stage.len() as f64 * factor).max(1);
        let last = stage.iter().rfind(|block| block.keeps);
        if let Some(block) = last.filter(|_| n > stage.len()) {
            deep = deep.repeat(block.name, n - stage.len()).map_err(mismatch)?;
        }
        let mut surplus = stage.len().saturating_sub(n);
        for block in stage.iter().rev().filter(|block| block.keeps) {
            let Some(scope) = deep.find_scope(block.name).filter(|_| surplus > 0) else { break };
            // A block whose inner values are outputs stays.
            if let Ok(shorter) = deep.bypass(&scope.nodes().collect::<Vec<_>>()) {
                deep = shorter;
                surplus -= 1;
            }
        }
    }
    Ok(deep)
}

/// What a part of the network reads, if it is one node and the part makes the same extent of it.
pub(super) fn kept(graph: &Graph, part: &[NodeId], extents: &[Extent]) -> Option<NodeId> {
    let last = part.iter().max()?;
    let &[from] = graph.read_by(part).as_slice() else { return None };
    (extents[from.index()] == extents[last.index()]).then_some(from)
}

/// The outermost blocks, in order.
pub(super) fn blocks(graph: &Graph) -> impl Iterator<Item = &Scope> {
    let mut end = 0;
    let blocks = graph.scopes().iter().filter(|scope| scope.kind() == ScopeKind::Block);
    blocks.filter(move |scope| {
        let is_outermost = scope.last().index() >= end;
        if is_outermost {
            end = scope.last().index() + 1;
        }
        is_outermost
    })
}

/// The blocks of each stage. Blocks outside of stages are stages from one that changes something to the next.
fn stages<'g>(graph: &'g Graph, extents: &[Extent]) -> Vec<Vec<Block<'g>>> {
    let mut stages: Vec<Vec<Block<'_>>> = Vec::new();
    let mut before: Option<&str> = None;
    for scope in blocks(graph) {
        let nodes: Vec<NodeId> = scope.nodes().collect();
        let block = Block { name: scope.name(), keeps: kept(graph, &nodes, extents).is_some() };
        let stage = graph.scopes().iter().filter(|it| it.kind() == ScopeKind::Stage);
        let stage = stage.filter(|it| it.contains(scope.last())).map(Scope::name).next_back();
        let goes_on = stage == before && (stage.is_some() || block.keeps);
        before = stage;
        match stages.last_mut() {
            Some(last) if goes_on => last.push(block),
            _ => stages.push(vec![block]),
        }
    }
    stages
}
