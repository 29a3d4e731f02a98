//! Which parameters training leaves as they are, and in which order they may be let go.
//!
//! Above: `recipes`. Below: `graph`'s scopes, `layers::Network`. Not here: learning rates by layer.
//! A frozen norm keeps its running statistics too and is evaluated with them.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use taper_graph::{Graph, NodeId, Op, Scope, ScopeKind};
use taper_layers::Network;

use crate::error::{Error, Result};

/// How much of a network is frozen, written `none`, `backbone`, or the name of a stage such as `blocks.3`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Freeze {
    /// Nothing: everything is trained.
    #[default]
    None,
    /// Everything up to the output `pre_logits`: the classifier is trained.
    Backbone,
    /// Everything from the image to the end of this stem, stage, block or head.
    Stage(String),
    /// Everything but these stems, stages, blocks and heads, and the classifier: surgical fine-tuning (Lee et al. 2023,
    /// <https://arxiv.org/abs/2210.11466>). Written `all but blocks.3,head`.
    AllBut(Vec<String>),
}

/// What the word of [`Freeze::AllBut`] begins with.
const ALL_BUT: &str = "all but ";

impl FromStr for Freeze {
    type Err = Infallible;

    /// Whether a stage exists is only known with the network: [`Freeze::apply`] says so.
    fn from_str(text: &str) -> std::result::Result<Self, Infallible> {
        Ok(match text {
            "none" => Self::None,
            "backbone" => Self::Backbone,
            other => match other.strip_prefix(ALL_BUT) {
                Some(names) => Self::all_but(names),
                None => Self::Stage(other.to_owned()),
            },
        })
    }
}

impl fmt::Display for Freeze {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Backbone => "backbone",
            Self::Stage(name) => name,
            Self::AllBut(names) => return write!(f, "{ALL_BUT}{}", names.join(",")),
        })
    }
}

impl Freeze {
    /// Everything but what is named, between commas, and the classifier.
    #[must_use]
    pub fn all_but(names: &str) -> Self {
        Self::AllBut(names.split(',').map(|name| name.trim().to_owned()).collect())
    }

    /// Freezes this part of a network and thaws the rest.
    ///
    /// # Errors
    /// [`Error::UnknownStage`], which lists the stages; [`Error::Graph`] if `Backbone` is asked of a graph without `pre_logits`.
    pub fn apply(&self, network: &mut Network) -> Result<()> {
        let frozen = self.frozen_params(network.graph())?;
        let params = network.graph().params().iter().zip(frozen).filter(|(_, frozen)| *frozen);
        let frozen: BTreeSet<String> = params.map(|(param, _)| param.name.clone()).collect();
        network.set_frozen(|name| frozen.contains(name));
        Ok(())
    }

    /// For every parameter of a graph, in order, whether it is frozen. One that a frozen and a trained node share is trained.
    ///
    /// # Errors
    /// As [`Freeze::apply`].
    pub fn frozen_params(&self, graph: &Graph) -> Result<Vec<bool>> {
        let frozen_nodes = match self {
            Self::None => vec![false; graph.nodes().len()],
            Self::Backbone => ancestors(graph, graph.output("pre_logits")?),
            Self::Stage(name) => {
                let last = stage_end(graph, name)?;
                graph.node_ids().map(|node| node <= last).collect()
            }
            Self::AllBut(names) => {
                let mut frozen = ancestors(graph, graph.output("pre_logits")?);
                for name in names {
                    let stage = stage(graph, name)?;
                    let trained = graph.node_ids().filter(|node| stage.contains(*node));
                    trained.for_each(|node| frozen[node.index()] = false);
                }
                frozen
            }
        };
        let mut frozen = vec![true; graph.params().len()];
        for (node, is_frozen) in graph.nodes().iter().zip(frozen_nodes) {
            for param in node.params() {
                frozen[param.index()] &= is_frozen;
            }
        }
        Ok(frozen)
    }
}

/// The parts of a network in the order in which gradual unfreezing trains them: what is not part of the backbone, then head, stages and
/// stem, the last one first, each as the names of its parameters and buffers. What lies between two belongs to the one before.
///
/// # Errors
/// [`Error::Graph`] if the graph has no output `pre_logits`.
///
/// # Examples
/// ```
/// use taper_graph::{Bias, Conv, GraphBuilder, PoolKind, ScopeKind};
/// let mut b = GraphBuilder::new(3)?;
/// let xs = b.input();
/// let xs = b.scope(ScopeKind::Stem, "stem", |b| b.conv("conv", xs, Conv::dense(8, 3, 2), Bias::Without))?;
/// let xs = b.global_pool("pool", xs, PoolKind::Avg, true)?;
/// b.output("pre_logits", xs)?;
/// let logits = b.linear("classifier", xs, 2, Bias::With)?;
/// b.output("logits", logits)?;
/// let parts = taper_transfer::parts_from_the_end(&b.build()?)?;
/// assert_eq!(parts[0], ["classifier.weight", "classifier.bias"]);
/// assert_eq!(parts[1..], [["conv.weight"]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn parts_from_the_end(graph: &Graph) -> Result<Vec<Vec<String>>> {
    let is_backbone = ancestors(graph, graph.output("pre_logits")?);
    let mut stages: Vec<_> =
        graph.scopes().iter().filter(|scope| is_listed(scope.kind())).collect();
    stages.sort_by_key(|scope| scope.last());
    let mut parts = vec![Vec::new(); stages.len().max(1) + 1];
    let (mut stage, mut seen) = (0, BTreeSet::new());
    for (node, id) in graph.nodes().iter().zip(graph.node_ids()) {
        stage =
            stages.iter().position(|scope| scope.contains(id)).map_or(stage, |it| it.max(stage));
        let part = if is_backbone[id.index()] { parts.len() - 1 - stage } else { 0 };
        // Of a parameter that several nodes share, the first one's.
        let names = node.params().iter().filter(|param| seen.insert(param.index()));
        parts[part].extend(names.map(|param| graph.param(*param).name.clone()));
    }
    parts.retain(|part| !part.is_empty());
    Ok(parts)
}

/// Freezes the batch norms of a network besides what is frozen: scales, shifts, and with them the statistics.
pub fn freeze_norms(network: &mut Network) {
    let graph = network.graph();
    let norms = graph.nodes().iter().filter(|node| matches!(node.op(), Op::BatchNorm { .. }));
    let norms = norms.flat_map(|node| node.params()).map(|param| graph.param(*param).name.clone());
    let frozen = network.params().iter().filter(|param| param.frozen).map(|it| it.name.clone());
    let frozen: BTreeSet<String> = norms.chain(frozen).collect();
    network.set_frozen(|name| frozen.contains(name));
}

fn stage_end(graph: &Graph, name: &str) -> Result<NodeId> {
    Ok(stage(graph, name)?.last())
}

fn stage<'g>(graph: &'g Graph, name: &str) -> Result<&'g Scope> {
    let is_stage = |kind| !matches!(kind, ScopeKind::Classifier | ScopeKind::Branch);
    match graph.find_scope(name) {
        Some(scope) if is_stage(scope.kind()) => Ok(scope),
        _ => Err(Error::UnknownStage { name: name.to_owned(), known: stages(graph) }),
    }
}

fn is_listed(kind: ScopeKind) -> bool {
    matches!(kind, ScopeKind::Stem | ScopeKind::Stage | ScopeKind::Head)
}

/// Stem, stages and head, from the image on; blocks are accepted too, but there are many.
fn stages(graph: &Graph) -> Vec<String> {
    let mut listed: Vec<_> =
        graph.scopes().iter().filter(|scope| is_listed(scope.kind())).collect();
    listed.sort_by_key(|scope| scope.last());
    listed.into_iter().map(|scope| scope.name().to_owned()).collect()
}

/// For every node, whether `end` depends on it or is it.
fn ancestors(graph: &Graph, end: NodeId) -> Vec<bool> {
    let mut reached = vec![false; graph.nodes().len()];
    reached[end.index()] = true;
    for node in graph.node_ids().rev() {
        if reached[node.index()] {
            for input in graph.node(node).inputs() {
                reached[input.index()] = true;
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::tests::test_net;

    fn frozen(text: &str) -> Result<Vec<String>> {
        let graph = test_net().into_parts().graph;
        let frozen = text.parse::<Freeze>().unwrap().frozen_params(&graph)?;
        let named = graph.params().iter().zip(frozen);
        Ok(named.filter(|(_, frozen)| *frozen).map(|(param, _)| param.name.clone()).collect())
    }

    #[test]
    fn none_freezes_nothing_and_backbone_all_but_the_classifier() {
        assert!(frozen("none").unwrap().is_empty());
        let backbone = frozen("backbone").unwrap();
        assert_eq!(backbone.len(), test_net().graph().params().len() - 2);
        assert!(!backbone.iter().any(|name| name.starts_with("classifier")));
    }

    #[test]
    fn a_stage_freezes_everything_up_to_its_end() {
        let names = frozen("blocks.0").unwrap();
        assert!(names.contains(&"conv_stem.weight".to_owned()));
        assert!(names.contains(&"blocks.0.0.bn2.running_var".to_owned()));
        assert!(
            !names
                .iter()
                .any(|name| name.starts_with("blocks.1") || name.starts_with("classifier"))
        );
        assert_eq!(frozen("stem").unwrap().len(), 5); // a weight and a norm
    }

    #[test]
    fn applying_another_choice_thaws_what_was_frozen() {
        let device = candle_core::Device::Cpu;
        let mut network = Network::new(&test_net(), &device).unwrap();
        let all = network.trainable().len();
        Freeze::Backbone.apply(&mut network).unwrap();
        assert_eq!(network.trainable().len(), 2);
        Freeze::None.apply(&mut network).unwrap();
        assert_eq!(network.trainable().len(), all);
    }

    #[test]
    fn all_but_some_stages_leaves_these_and_the_classifier() {
        let text = "all but blocks.0,head";
        let names = frozen(text).unwrap();
        assert_eq!(text.parse::<Freeze>().unwrap().to_string(), text);
        let trained = |name: &str| !names.contains(&name.to_owned());
        for name in ["blocks.0.0.bn2.running_var", "conv_head.weight", "classifier.bias"] {
            assert!(trained(name), "{name}");
        }
        for name in ["conv_stem.weight", "blocks.1.0.conv_pw.weight"] {
            assert!(!trained(name), "{name}");
        }
        let unknown = frozen("all but blocks.0,blocks.7").unwrap_err().to_string();
        assert!(unknown.contains("`blocks.7`"), "{unknown}");
    }

    #[test]
    fn parts_go_from_the_classifier_to_the_stem_and_hold_every_parameter_once() {
        let graph = test_net().into_parts().graph;
        let parts = parts_from_the_end(&graph).unwrap();
        let first: Vec<&str> = parts.iter().map(|part| part[0].as_str()).collect();
        let expected = [
            "classifier.weight",
            "conv_head.weight",
            "blocks.1.0.conv_pw.weight",
            "blocks.0.0.conv_dw.weight",
            "conv_stem.weight",
        ];
        assert_eq!(first, expected);
        let all: BTreeSet<&String> = parts.iter().flatten().collect();
        assert_eq!((all.len(), parts.concat().len()), (graph.params().len(), graph.params().len()));
    }

    #[test]
    fn frozen_norms_are_frozen_besides_what_is() {
        let mut network = Network::new(&test_net(), &candle_core::Device::Cpu).unwrap();
        Freeze::Stage("stem".to_owned()).apply(&mut network).unwrap();
        freeze_norms(&mut network);
        let trained: Vec<String> = network.trainable().into_iter().map(|(name, _)| name).collect();
        assert!(trained.contains(&"blocks.1.0.conv_pw.weight".to_owned()), "{trained:?}");
        assert!(!trained.iter().any(|name| name.contains("bn") || name == "conv_stem.weight"));
    }

    #[test]
    fn an_unknown_stage_lists_those_there_are() {
        let message = frozen("blocks.9").unwrap_err().to_string();
        assert!(message.contains("stem, blocks.0, blocks.1, head"), "{message}");
        assert!(frozen("classifier").is_err());
    }
}
