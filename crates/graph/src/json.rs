//! The description of a network as JSON, both ways.
//!
//! Above: the model file. Below: `builder`, which checks what is read as if it had been built. Not here: weights (`taper-model`).
//! Reading trusts nothing: unknown fields, wrong shapes, forward references and bad numbers are refused with the node's name.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::graph::FORMAT;
use crate::{
    Error, Graph, GraphBuilder, Node, NodeId, Op, ParamId, ParamSpec, Result, Scope, ScopeKind,
};

/// What the text says, before anything is believed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGraph {
    format: u32,
    nodes: Vec<RawNode>,
    params: Vec<ParamSpec>,
    #[serde(default)]
    scopes: Vec<RawScope>,
    outputs: BTreeMap<String, NodeId>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNode {
    name: String,
    op: Op,
    #[serde(default)]
    inputs: Vec<NodeId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    params: Vec<ParamId>,
}

/// The total stride is not written: it follows from the nodes.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawScope {
    name: String,
    kind: ScopeKind,
    nodes: [usize; 2],
}

impl Graph {
    /// The description as one line of JSON. Equal graphs give equal text.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Writing to memory cannot fail, every key is a string, and every number was checked to be finite.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads a description, checking it as the builder does.
    ///
    /// # Errors
    /// [`Error::Json`] for text of another form, [`Error::Format`] for another version, and every error of the builder.
    ///
    /// # Examples
    /// ```
    /// use taper_graph::Graph;
    /// let text = r#"{"format": 1, "nodes": [{"name": "input", "op": {"input": {"channels": 3}}}, {"name": "fc",
    ///     "op": {"linear": {"out": 2}}, "inputs": [0]}], "params": [], "outputs": {"logits": 1}}"#;
    /// let error = Graph::from_json(text).unwrap_err();
    /// assert_eq!(error.to_string(), "linear `fc` takes a vector, its input is a map");
    /// ```
    pub fn from_json(text: &str) -> Result<Self> {
        let raw: RawGraph = serde_json::from_str(text).map_err(|source| Error::Json { source })?;
        Self::try_from(raw)
    }
}

impl Serialize for Graph {
    fn serialize<S: serde::Serializer>(
        &self,
        serializer: S,
    ) -> std::result::Result<S::Ok, S::Error> {
        RawGraph::from(self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Graph {
    fn deserialize<D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> std::result::Result<Self, D::Error> {
        Self::try_from(RawGraph::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl From<&Graph> for RawGraph {
    fn from(graph: &Graph) -> Self {
        let nodes = graph.nodes.iter().cloned();
        let scopes = graph.scopes.iter().cloned();
        Self {
            format: FORMAT,
            nodes: nodes
                .map(|Node { name, op, inputs, params }| RawNode { name, op, inputs, params })
                .collect(),
            params: graph.params.clone(),
            scopes: scopes
                .map(|Scope { name, kind, nodes, .. }| RawScope {
                    name,
                    kind,
                    nodes: [nodes.start, nodes.end],
                })
                .collect(),
            outputs: graph.outputs.clone(),
        }
    }
}

impl TryFrom<RawGraph> for Graph {
    type Error = Error;

    fn try_from(raw: RawGraph) -> Result<Self> {
        if raw.format != FORMAT {
            return Err(Error::Format { got: raw.format, expected: FORMAT });
        }
        let mut builder = GraphBuilder::empty();
        for RawNode { name, op, inputs, params } in raw.nodes {
            builder.adopt(Node { name, op, inputs, params }, &raw.params)?;
        }
        if let Some(unused) = raw.params.get(builder.n_params()) {
            return Err(Error::ParamUnused { param: unused.name.clone() });
        }
        let scopes = raw.scopes.into_iter().map(|RawScope { name, kind, nodes: [start, end] }| {
            Scope { name, kind, nodes: start..end, reduction: 1 }
        });
        builder.finish(scopes.collect(), raw.outputs)
    }
}
