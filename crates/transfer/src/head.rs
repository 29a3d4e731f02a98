//! New classifiers for new classes, and heads that are trained apart from their backbone.
//!
//! Above: `recipes`. Below: `graph`, `model`. Not here: what is trained (`freeze`), the features (`features`).
//! The head is what lies between the outputs `pre_logits` and `logits`.

use std::collections::HashMap;

use taper_graph::{Extent, Graph, GraphBuilder, Node, NodeId, PoolKind};
use taper_model::{Model, Preprocess, Tensor, reset_classifier};

use crate::error::{Error, Result};

/// A model whose classifier is new and has one logit for each class, as [`reset_classifier`] makes it.
///
/// # Errors
/// [`Error::Model`] if `classes` is empty, or if the logits are no linear layer and no sum of some.
pub fn replace_head(model: &Model, classes: &[String], seed: u64) -> Result<Model> {
    Ok(reset_classifier(model, classes, seed)?)
}

/// The head of a model as a model of its own: its images are `pre_logits` vectors, `(n, c, 1, 1)`.
///
/// # Errors
/// [`Error::FeaturesAreMaps`] or [`Error::HeadReadsBackbone`] if the head cannot stand alone, [`Error::Graph`] if an output
/// is missing.
pub fn detach_head(model: &Model) -> Result<Model> {
    let old = model.graph();
    let graph = head_graph(old, model.preprocess().input_size)?;
    let weights = |name: &str| -> Result<Tensor> {
        model.tensor(name).cloned().ok_or_else(|| Error::ForeignHead { name: name.to_owned() })
    };
    let tensors: Result<Vec<_>> = graph.params().iter().map(|param| weights(&param.name)).collect();
    let preprocess = Preprocess { input_size: [1, 1], ..*model.preprocess() };
    Ok(Model::new(
        graph,
        tensors?,
        preprocess,
        model.classes().to_vec(),
        model.provenance().clone(),
    )?
    .with_task(model.task()))
}

/// A model with the weights of a head that was detached from it and trained.
///
/// # Errors
/// [`Error::ForeignHead`] if a parameter of the head is not one of the model's or has another shape.
pub fn attach_head(model: &Model, head: &Model) -> Result<Model> {
    let mut tensors = model.tensors().to_vec();
    for (param, tensor) in head.graph().params().iter().zip(head.tensors()) {
        let place = model.graph().param_id(&param.name).and_then(|id| tensors.get_mut(id.index()));
        match place.filter(|place| place.shape == tensor.shape) {
            Some(place) => *place = tensor.clone(),
            None => return Err(Error::ForeignHead { name: param.name.clone() }),
        }
    }
    Ok(model.clone().with_tensors(tensors)?)
}

fn head_graph(old: &Graph, [h, w]: [usize; 2]) -> Result<Graph> {
    let (pre_logits, logits) = (old.output("pre_logits")?, old.output("logits")?);
    let Extent::Vector { c } = old.extents(h, w)?[pre_logits.index()] else {
        return Err(Error::FeaturesAreMaps);
    };
    let mut builder = GraphBuilder::new(c)?;
    let pooled = builder.global_pool("vector", builder.input(), PoolKind::Avg, true)?;
    let mut copies = HashMap::from([(pre_logits, pooled)]);
    for id in nodes_between(old, pre_logits, logits) {
        let copy = copy_node(&mut builder, old.node(id), &copies)?;
        copies.insert(id, copy);
    }
    builder.output("pre_logits", pooled)?;
    builder.output("logits", copies.get(&logits).copied().unwrap_or(pooled))?;
    Ok(builder.build()?)
}

/// The nodes that `end` needs besides `start` and what `start` needs, in order.
pub(crate) fn nodes_between(graph: &Graph, start: NodeId, end: NodeId) -> Vec<NodeId> {
    let mut needed = vec![false; graph.nodes().len()];
    needed[end.index()] = true;
    let mut between = Vec::new();
    for id in graph.node_ids().rev().filter(|id| *id > start) {
        if needed[id.index()] {
            between.push(id);
            graph.node(id).inputs().iter().for_each(|input| needed[input.index()] = true);
        }
    }
    between.reverse();
    between
}

pub(crate) fn copy_node(
    builder: &mut GraphBuilder,
    node: &Node,
    copies: &HashMap<NodeId, NodeId>,
) -> Result<NodeId> {
    let copied = |input: &NodeId| {
        let copy = copies.get(input).copied();
        copy.ok_or_else(|| Error::HeadReadsBackbone { node: node.name().to_owned() })
    };
    let inputs: Vec<NodeId> = node.inputs().iter().map(copied).collect::<Result<_>>()?;
    Ok(builder.push(node.name(), node.op().clone(), &inputs, node.bias())?)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use taper_graph::blocks::{DepthwiseSeparable, InvertedResidual, Names, Style, conv_norm_act};
    use taper_graph::{Activation, Bias, Conv, ScopeKind};
    use taper_model::Preprocess;

    const STYLE: Style =
        Style { activation: Activation::Relu6, eps: 1e-5, momentum: 0.1, tf_padding: false };

    /// A stem, two stages of one block, a head and a classifier for three classes.
    pub(crate) fn test_net() -> Model {
        let build = || -> taper_graph::Result<Graph> {
            let mut b = GraphBuilder::new(3)?;
            let input = b.input();
            let xs = b.scope(ScopeKind::Stem, "stem", |b| {
                let names = Names { conv: "conv_stem", norm: "bn1", activation: Some("act1") };
                conv_norm_act(b, names, input, Conv::dense(8, 3, 2), &STYLE)
            })?;
            let xs = b.scope(ScopeKind::Stage, "blocks.0", |b| {
                DepthwiseSeparable { out: 8, kernel_size: 3, stride: 1 }.build(
                    b,
                    "blocks.0.0",
                    xs,
                    &STYLE,
                )
            })?;
            let xs = b.scope(ScopeKind::Stage, "blocks.1", |b| {
                let block = InvertedResidual { expanded: 16, out: 8, kernel_size: 3, stride: 2 };
                block.build(b, "blocks.1.0", xs, &STYLE)
            })?;
            let xs = b.scope(ScopeKind::Head, "head", |b| {
                let names = Names { conv: "conv_head", norm: "bn2", activation: Some("act2") };
                let xs = conv_norm_act(b, names, xs, Conv::pointwise(12), &STYLE)?;
                b.global_pool("global_pool", xs, PoolKind::Avg, true)
            })?;
            b.output("pre_logits", xs)?;
            let logits = b.scope(ScopeKind::Classifier, "classifier", |b| {
                let xs = b.dropout("drop", xs, 0.2)?;
                b.linear("classifier", xs, 3, Bias::With)
            })?;
            b.output("logits", logits)?;
            b.build()
        };
        let mut preprocess = Preprocess::imagenet();
        preprocess.input_size = [32, 32];
        let classes = ["a", "b", "c"].map(str::to_owned).to_vec();
        Model::random(build().unwrap(), 3, preprocess, classes).unwrap()
    }

    #[test]
    fn classifiers_that_are_averaged_are_replaced_together() {
        let mut b = GraphBuilder::new(4).unwrap();
        let xs = b.global_pool("pool", b.input(), PoolKind::Avg, true).unwrap();
        b.output("pre_logits", xs).unwrap();
        let [first, second] = ["head", "head_dist"].map(|name| b.linear(name, xs, 3, Bias::With));
        let sum = b.add("add", first.unwrap(), second.unwrap()).unwrap();
        let mean = b.scale("mean", sum, 0.5).unwrap();
        b.output("logits", mean).unwrap();
        let old = Model::random(b.build().unwrap(), 0, Preprocess::imagenet(), vec![]).unwrap();
        let new = replace_head(&old, &["x".to_owned(), "y".to_owned()], 1).unwrap();
        for name in ["head.weight", "head_dist.weight"] {
            assert_eq!(new.tensor(name).unwrap().shape, [2, 4], "{name}");
        }
        assert_eq!(detach_head(&new).unwrap().graph().params().len(), 4);
    }

    #[test]
    fn a_head_goes_off_and_comes_back() {
        let model = test_net();
        let head = detach_head(&model).unwrap();
        let names: Vec<&str> =
            head.graph().params().iter().map(|param| param.name.as_str()).collect();
        assert_eq!(names, ["classifier.weight", "classifier.bias"]);
        assert!(head.graph().find_node("drop").is_some());
        assert_eq!(attach_head(&model, &head).unwrap(), model);
        let mut tensors = head.tensors().to_vec();
        tensors[1].data = vec![1.0, 2.0, 3.0];
        let head = head.with_tensors(tensors).unwrap();
        let attached = attach_head(&model, &head).unwrap();
        assert_eq!(attached.tensor("classifier.bias").unwrap().data, [1.0, 2.0, 3.0]);
        let other = replace_head(&model, &["x".to_owned()], 0).unwrap();
        assert!(matches!(attach_head(&other, &head), Err(Error::ForeignHead { .. })));
    }
}
