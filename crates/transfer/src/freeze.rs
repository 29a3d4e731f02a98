//! Which parameters training leaves as they are.
//!
//! Above: `recipes`. Below: `graph`'s scopes, `layers::Network`. Not here: learning rates by layer.
//! A frozen norm keeps its running statistics too and is evaluated with them.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use taper_graph::{Graph, NodeId, ScopeKind};
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
}

impl FromStr for Freeze {
    type Err = Infallible;

    /// Whether a stage exists is only known with the network: [`Freeze::apply`] says so.
    fn from_str(text: &str) -> std::result::Result<Self, Infallible> {
        Ok(match text {
            "none" => Self::None,
            "backbone" => Self::Backbone,
            stage => Self::Stage(stage.to_owned()),
        })
    }
}

impl fmt::Display for Freeze {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Backbone => "backbone",
            Self::Stage(name) => name,
        })
    }
}

impl Freeze {
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

fn stage_end(graph: &Graph, name: &str) -> Result<NodeId> {
    let is_stage = |kind| !matches!(kind, ScopeKind::Classifier | ScopeKind::Branch);
    match graph.find_scope(name) {
        Some(scope) if is_stage(scope.kind()) => Ok(scope.last()),
        _ => Err(Error::UnknownStage { name: name.to_owned(), known: stages(graph) }),
    }
}

/// Stem, stages and head, from the image on; blocks are accepted too, but there are many.
fn stages(graph: &Graph) -> Vec<String> {
    let is_listed = |kind| matches!(kind, ScopeKind::Stem | ScopeKind::Stage | ScopeKind::Head);
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
    fn an_unknown_stage_lists_those_there_are() {
        let message = frozen("blocks.9").unwrap_err().to_string();
        assert!(message.contains("stem, blocks.0, blocks.1, head"), "{message}");
        assert!(frozen("classifier").is_err());
    }
}
