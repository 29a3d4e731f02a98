//! A new classifier for other classes, in graph and weights.
//!
//! Above: `taper-transfer`, `taper-zoo`. Below: `init`, `taper_graph`. Not here: heads that are trained apart from their backbone
//! (`taper-transfer`).

use taper_graph::{Graph, Node, NodeId, Op};

use crate::{Error, Model, Result, init};

/// A model whose classifier is new and has one logit for each class; every other weight is the old one.
///
/// The new weights begin as the graph says and `seed` decides; the provenance says that the classifier is new.
///
/// # Errors
/// [`Error::NoClasses`] if `classes` is empty, [`Error::NoClassifier`] if the logits are no linear layer and no sum of some.
///
/// # Examples
/// ```
/// use taper_graph::{Bias, GraphBuilder, PoolKind};
/// use taper_model::{Model, Preprocess, reset_classifier};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut b = GraphBuilder::new(3)?;
/// let xs = b.global_pool("pool", b.input(), PoolKind::Avg, true)?;
/// let xs = b.linear("classifier", xs, 1000, Bias::With)?;
/// b.output("logits", xs)?;
/// let model = Model::random(b.build()?, 0, Preprocess::imagenet(), Vec::new())?;
/// let model = reset_classifier(&model, &["ants".to_owned(), "bees".to_owned()], 0)?;
/// assert_eq!(model.tensor("classifier.weight").map(|t| t.shape.clone()), Some(vec![2, 3]));
/// # Ok(()) }
/// ```
pub fn reset_classifier(model: &Model, classes: &[String], seed: u64) -> Result<Model> {
    if classes.is_empty() {
        return Err(Error::NoClasses);
    }
    let old = model.graph();
    let classifiers = classifiers(old)?;
    let is_one = |node: &Node| classifiers.iter().any(|id| old.node(*id).name() == node.name());
    let graph = old.map_ops(|node| match is_one(node) {
        true => Op::Linear { out: classes.len() },
        false => node.op().clone(),
    })?;
    let mut tensors = model.tensors().to_vec();
    for id in classifiers.iter().flat_map(|id| old.node(*id).params()) {
        tensors[id.index()] = init::sample(graph.param(*id), seed);
    }
    let what = format!("new classifier for {} classes, seed {seed}", classes.len());
    let provenance = model.provenance().clone().and(what);
    Model::new(graph, tensors, *model.preprocess(), classes.to_vec(), provenance)
}

/// The linear layers whose outputs make the logits: one, or several that are added and scaled (RepViT averages two).
fn classifiers(graph: &Graph) -> Result<Vec<NodeId>> {
    let mut found = Vec::new();
    let mut open = vec![graph.output("logits")?];
    while let Some(id) = open.pop() {
        let node = graph.node(id);
        match node.op() {
            Op::Linear { .. } => found.push(id),
            Op::Add | Op::Scale { .. } => open.extend(node.inputs()),
            op => {
                let (node, op) = (node.name().to_owned(), op.label());
                return Err(Error::NoClassifier { node, op });
            }
        }
    }
    Ok(found)
}
