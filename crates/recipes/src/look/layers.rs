//! Which places of a network are worth looking at: the stem's filters, the ends of stages, the last map before the pool.
//!
//! Above: `look`. Below: `taper_graph`. Not here: running the network (`look::inspector`).

use taper_graph::{Extent, Graph, NodeId, Op, ScopeKind, nearest};
use taper_model::Tensor;

use crate::error::{Error, Result};

/// A layer whose map is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layer {
    /// As it was asked for, or its scope's.
    pub(crate) name: String,
    pub(crate) node: NodeId,
    /// Height, width, channels.
    pub(crate) shape: [usize; 3],
}

impl Layer {
    /// The layer that a node ends, under the node's name.
    pub(crate) fn of(graph: &Graph, extents: &[Extent], node: NodeId) -> Result<Self> {
        Self::new(graph, extents, graph.node(node).name(), node)
    }

    fn new(graph: &Graph, extents: &[Extent], name: &str, node: NodeId) -> Result<Self> {
        match extents[node.index()] {
            Extent::Map { h, w, c } => Ok(Self { name: name.to_owned(), node, shape: [h, w, c] }),
            Extent::Vector { c } => Err(Error::NoMap {
                layer: graph.node(node).name().to_owned(),
                elements: c,
                last: graph.node(last_map(graph, extents)).name().to_owned(),
            }),
        }
    }
}

/// The layers of those names; the ends of the stem and of every stage for none, or the last map of a network without such parts.
/// Every node once.
pub(crate) fn choose(graph: &Graph, extents: &[Extent], names: &[String]) -> Result<Vec<Layer>> {
    let mut layers: Vec<Layer> = Vec::new();
    let mut add = |name: &str, node: NodeId| -> Result<()> {
        if layers.iter().all(|layer| layer.node != node) {
            layers.push(Layer::new(graph, extents, name, node)?);
        }
        Ok(())
    };
    for name in names {
        add(name, find(graph, name)?)?;
    }
    if names.is_empty() {
        let is_end = |kind| matches!(kind, ScopeKind::Stem | ScopeKind::Stage);
        let ends = graph.scopes().iter().filter(|scope| is_end(scope.kind()));
        for scope in ends.filter(|scope| is_map(extents, scope.last())) {
            add(scope.name(), scope.last())?;
        }
        if layers.is_empty() {
            layers.push(Layer::of(graph, extents, last_map(graph, extents))?);
        }
    }
    Ok(layers)
}

/// The node, the last node of the scope, or the output of that name.
fn find(graph: &Graph, name: &str) -> Result<NodeId> {
    let scope = || graph.find_scope(name).map(taper_graph::Scope::last);
    let output = || graph.outputs().get(name).copied();
    graph.find_node(name).or_else(scope).or_else(output).ok_or_else(|| {
        let scopes = graph.scopes().iter().map(taper_graph::Scope::name);
        let nodes = graph.nodes().iter().map(taper_graph::Node::name);
        let names = scopes.chain(graph.outputs().keys().map(String::as_str)).chain(nodes);
        Error::UnknownLayer {
            name: name.to_owned(),
            nearest: nearest(name, names).unwrap_or_default().to_owned(),
        }
    })
}

/// The map that class evidence is read from: the output `features` if it is a map, or else the last map of more than one position
/// that the logits depend on; the image at the worst.
pub(crate) fn last_map(graph: &Graph, extents: &[Extent]) -> NodeId {
    let features = graph.outputs().get("features").copied();
    features.filter(|&node| is_map(extents, node)).unwrap_or_else(|| {
        let mut wanted = vec![false; extents.len()];
        graph.outputs().get("logits").iter().for_each(|node| wanted[node.index()] = true);
        let mut nodes = graph.node_ids().rev().filter(|id| {
            if wanted[id.index()] {
                graph.node(*id).inputs().iter().for_each(|input| wanted[input.index()] = true);
            }
            let [h, w] = extents[id.index()].size();
            wanted[id.index()] && is_map(extents, *id) && h * w > 1
        });
        nodes.next().unwrap_or_else(|| graph.input())
    })
}

fn is_map(extents: &[Extent], node: NodeId) -> bool {
    matches!(extents[node.index()], Extent::Map { .. })
}

/// The filters of a convolution that reads the image in color.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Stem<'m> {
    /// The convolution's.
    pub(crate) name: &'m str,
    /// `(out, 3, k_h, k_w)`.
    pub(crate) weight: &'m [f32],
    /// `[out, k_h, k_w]`.
    pub(crate) shape: [usize; 3],
}

/// The convolution with the largest window among those that read the image, if it reads three channels at once.
pub(crate) fn stem<'m>(graph: &'m Graph, tensors: &'m [Tensor]) -> Option<Stem<'m>> {
    let stems = graph.nodes().iter().filter_map(|node| {
        let (Op::Conv(conv), [input]) = (node.op(), node.inputs()) else { return None };
        let reads_color = *input == graph.input() && graph.input_channels() == 3;
        if !reads_color || conv.groups != 1 {
            return None;
        }
        let weight = &tensors.get(node.params().first()?.index())?.data;
        let [kh, kw] = conv.window.kernel;
        Some(Stem { name: node.name(), weight, shape: [conv.out, kh, kw] })
    });
    // `max_by_key` takes the last of equals.
    stems.rev().max_by_key(|stem| stem.shape[1] * stem.shape[2])
}

#[cfg(test)]
mod tests {
    use super::*;
    use taper_zoo::create;

    fn names(network: &str, asked: &[&str]) -> Result<Vec<(String, [usize; 3])>> {
        let graph = create(network, 10).unwrap();
        let size = taper_zoo::architecture(network).unwrap().input_size;
        let extents = graph.extents(size, size).unwrap();
        let asked: Vec<String> = asked.iter().map(|&name| name.to_owned()).collect();
        let layers = choose(&graph, &extents, &asked)?;
        Ok(layers.into_iter().map(|layer| (layer.name, layer.shape)).collect())
    }

    #[test]
    fn stem_and_stages_are_shown_when_nothing_is_asked() {
        let found = names("mobilenetv2_100", &[]).unwrap();
        assert_eq!(found.len(), 8);
        assert_eq!(found[0], ("stem".to_owned(), [112, 112, 32]));
        assert_eq!(found[1], ("blocks.0".to_owned(), [112, 112, 16]));
        assert_eq!(found[7], ("blocks.6".to_owned(), [7, 7, 320]));
        let found = names("lenet5", &[]).unwrap();
        assert_eq!(found, [("stage1".to_owned(), [14, 14, 6]), ("stage2".to_owned(), [5, 5, 16])]);
    }

    #[test]
    fn nodes_scopes_and_outputs_have_names_and_every_node_comes_once() {
        let asked = ["blocks.1", "conv_stem", "features", "blocks.1.1", "conv_stem"];
        let found = names("mobilenetv2_100", &asked).unwrap();
        let shapes: Vec<[usize; 3]> = found.iter().map(|(_, shape)| *shape).collect();
        assert_eq!(shapes, [[56, 56, 24], [112, 112, 32], [7, 7, 1280]]);
    }

    #[test]
    fn an_unknown_name_suggests_the_nearest() {
        let error = names("mobilenetv2_100", &["block.3"]).unwrap_err();
        assert!(error.is_request());
        assert!(error.to_string().contains("did you mean `blocks.3`?"), "{error}");
        let error = names("mobilenetv2_100", &["pre_logits"]).unwrap_err();
        assert!(error.to_string().contains("1280"), "{error}");
    }

    #[test]
    fn evidence_is_read_from_the_features_or_else_from_the_last_map() {
        let graph = create("mobilenetv2_100", 10).unwrap();
        let extents = graph.extents(224, 224).unwrap();
        assert_eq!(last_map(&graph, &extents), graph.output("features").unwrap());

        let mut b = taper_graph::GraphBuilder::new(3).unwrap();
        let conv = taper_graph::Conv::dense(4, 3, 2);
        let xs = b.conv("conv", b.input(), conv, taper_graph::Bias::With).unwrap();
        let pool = taper_graph::PoolKind::Avg;
        let pooled = b.global_pool("pool", xs, pool, false).unwrap();
        b.conv("aside", xs, conv, taper_graph::Bias::With).unwrap();
        let flat = b.flatten("flat", pooled).unwrap();
        b.output("logits", flat).unwrap();
        let graph = b.build().unwrap();
        assert_eq!(last_map(&graph, &graph.extents(8, 8).unwrap()), xs);
    }

    #[test]
    fn every_network_has_something_to_look_at() {
        for architecture in taper_zoo::architectures() {
            let (name, size) = (architecture.name, architecture.input_size);
            let graph = architecture.graph(10).unwrap();
            let extents = graph.extents(size, size).unwrap();
            let layers = choose(&graph, &extents, &[]).unwrap();
            assert!(layers.len() >= 2, "{name}: {layers:?}");
            let evidence = Layer::of(&graph, &extents, last_map(&graph, &extents)).unwrap();
            let [h, w, _] = evidence.shape;
            assert!(h > 1 && w > 1, "{name}: {evidence:?}");
        }
    }

    #[test]
    fn the_stem_is_the_first_convolution_over_colors() {
        let model = taper_model::Model::random(
            create("mobilenetv2_035", 10).unwrap(),
            0,
            taper_model::Preprocess::imagenet(),
            Vec::new(),
        )
        .unwrap();
        let found = stem(model.graph(), model.tensors()).unwrap();
        assert_eq!((found.name, found.shape), ("conv_stem", [16, 3, 3]));
        assert_eq!(found.weight.len(), 16 * 27);
    }
}
