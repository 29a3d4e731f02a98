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

/// [`reset_classifier`], with the old weights of classes that the model knows by the same name, wherever they stand.
///
/// # Errors
/// As [`reset_classifier`].
///
/// # Examples
/// ```
/// use taper_graph::{Bias, GraphBuilder, PoolKind};
/// use taper_model::{Model, Preprocess, carry_classifier};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut b = GraphBuilder::new(2)?;
/// let xs = b.global_pool("pool", b.input(), PoolKind::Avg, true)?;
/// let xs = b.linear("classifier", xs, 2, Bias::With)?;
/// b.output("logits", xs)?;
/// let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
/// let model = Model::random(b.build()?, 0, Preprocess::imagenet(), names(&["ants", "bees"]))?;
/// let more = carry_classifier(&model, &names(&["bees", "wasps", "ants"]), 0)?;
/// let weights = |model: &Model| model.tensor("classifier.weight").map(|it| it.data.clone()).unwrap_or_default();
/// let (old, new) = (weights(&model), weights(&more));
/// assert_eq!((&new[..2], &new[4..]), (&old[2..], &old[..2]));
/// # Ok(()) }
/// ```
pub fn carry_classifier(model: &Model, classes: &[String], seed: u64) -> Result<Model> {
    let new = reset_classifier(model, classes, seed)?;
    let known = |name: &String| model.classes().iter().position(|old| old == name);
    let carried: Vec<(usize, usize)> =
        (0..).zip(classes).filter_map(|(to, name)| known(name).map(|from| (from, to))).collect();
    let mut tensors = new.tensors().to_vec();
    for param in params_of_classifiers(new.graph())? {
        let old = &model.tensors()[param];
        let place = &mut tensors[param];
        let row = place.data.len() / classes.len();
        for &(from, to) in &carried {
            let values = old.data.get(from * row..(from + 1) * row);
            if let Some(values) = values {
                place.data[to * row..(to + 1) * row].copy_from_slice(values);
            }
        }
    }
    let what = format!("{} of its classes kept", carried.len());
    let provenance = new.provenance().clone().and(what);
    Ok(new.with_tensors(tensors)?.with_provenance(provenance))
}

/// [`reset_classifier`], with the weights of each class mixed of the old ones: its logit is the sum of the old logits, each times its share. `shares` are
/// `(classes, old classes)`, row by row.
///
/// # Errors
/// As [`reset_classifier`]; [`Error::Classes`] if `shares` are not as many for each class as there are old ones.
///
/// # Examples
/// ```
/// use taper_graph::{Bias, GraphBuilder, PoolKind};
/// use taper_model::{Model, Preprocess, mix_classifier};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut b = GraphBuilder::new(2)?;
/// let xs = b.global_pool("pool", b.input(), PoolKind::Avg, true)?;
/// let xs = b.linear("classifier", xs, 3, Bias::With)?;
/// b.output("logits", xs)?;
/// let model = Model::random(b.build()?, 0, Preprocess::imagenet(), Vec::new())?;
/// let mixed = mix_classifier(&model, &["last".into(), "mean".into()], &[0.0, 0.0, 1.0, 0.5, 0.5, 0.0])?;
/// let weights = |model: &Model| model.tensor("classifier.weight").map(|it| it.data.clone()).unwrap_or_default();
/// let (old, new) = (weights(&model), weights(&mixed));
/// assert_eq!((&new[..2], new[2]), (&old[4..], 0.5 * old[0] + 0.5 * old[2]));
/// # Ok(()) }
/// ```
pub fn mix_classifier(model: &Model, classes: &[String], shares: &[f32]) -> Result<Model> {
    let new = reset_classifier(model, classes, 0)?;
    let mut tensors = new.tensors().to_vec();
    for param in params_of_classifiers(new.graph())? {
        let old = &model.tensors()[param];
        let known = old.shape.first().copied().unwrap_or(1).max(1);
        if shares.len() != known * classes.len() {
            return Err(Error::Classes { got: shares.len() / classes.len(), expected: known });
        }
        let width = (old.data.len() / known).max(1);
        let rows = tensors[param].data.chunks_mut(width).zip(shares.chunks(known));
        for (row, shares) in rows {
            row.fill(0.0);
            for (old, share) in old.data.chunks(width).zip(shares) {
                row.iter_mut().zip(old).for_each(|(to, from)| *to += share * from);
            }
        }
    }
    let what = "its weights mixed of those of the old classes".to_owned();
    let provenance = new.provenance().clone().and(what);
    Ok(new.with_tensors(tensors)?.with_provenance(provenance))
}

/// A model whose logit of one class is `weight · pre_logits + bias`: all else stays.
///
/// # Errors
/// [`Error::NoClassifier`] if the logits are no linear layer with a bias and no sum of some, or their input has another length than
/// `weight`; [`Error::Classes`] if there is no such class.
pub fn set_class(model: &Model, class: usize, weight: &[f32], bias: f32) -> Result<Model> {
    let graph = model.graph();
    let classifiers = gains(graph)?;
    let total: f64 = classifiers.iter().map(|(_, gain)| gain).sum();
    #[expect(clippy::cast_possible_truncation, reason = "parameters are of this precision")]
    let gain = total as f32;
    let mut tensors = model.tensors().to_vec();
    for (id, _) in classifiers {
        let node = graph.node(id);
        let refused = |op| Err(Error::NoClassifier { node: node.name().to_owned(), op });
        let &[weights, biases] = node.params() else {
            return refused("a linear layer without a bias");
        };
        let outputs = tensors[biases.index()].data.len();
        if class >= outputs {
            return Err(Error::Classes { got: class + 1, expected: outputs });
        }
        let row = tensors[weights.index()].data.chunks_mut(weight.len().max(1)).nth(class);
        match row {
            Some(row)
                if row.len() == weight.len() && graph.param(weights).shape[1..] == [row.len()] =>
            {
                row.iter_mut().zip(weight).for_each(|(to, from)| *to = from / gain);
            }
            _ => return refused("a linear layer of other inputs"),
        }
        tensors[biases.index()].data[class] = bias / gain;
    }
    model.clone().with_tensors(tensors)
}

/// How long the weights of a class are in the logits, on average over some classes; zero of none.
///
/// # Errors
/// [`Error::NoClassifier`] if the logits are no linear layer and no sum of some.
pub fn class_norm(model: &Model, of: &[usize]) -> Result<f64> {
    let mut sum: Vec<f64> = Vec::new();
    let (mut classes, graph) = (1, model.graph());
    for (id, gain) in gains(graph)? {
        let Some(weights) = graph.node(id).params().first() else { continue };
        let tensor = &model.tensors()[weights.index()];
        classes = tensor.shape.first().copied().unwrap_or(1).max(1);
        sum.resize(tensor.data.len(), 0.0);
        sum.iter_mut().zip(&tensor.data).for_each(|(sum, x)| *sum += gain * f64::from(*x));
    }
    let rows: Vec<&[f64]> = sum.chunks(sum.len().div_ceil(classes).max(1)).collect();
    let norms = of.iter().filter_map(|&class| rows.get(class));
    let norms = norms.map(|row| row.iter().map(|x| x * x).sum::<f64>().sqrt());
    #[expect(clippy::cast_precision_loss, reason = "classes stay far below 2^53")]
    Ok(norms.sum::<f64>() / of.len().max(1) as f64)
}

fn params_of_classifiers(graph: &Graph) -> Result<Vec<usize>> {
    let ids = classifiers(graph)?;
    Ok(ids.iter().flat_map(|id| graph.node(*id).params()).map(|id| id.index()).collect())
}

/// A model whose logits are `scale · logit + shift`, one of each for each logit: its classifier's weights and biases are changed, and
/// nothing else. What was trained on standardized numbers gives the numbers themselves then.
///
/// # Errors
/// [`Error::NoClassifier`] if the logits are no linear layer with a bias and no sum of some, [`Error::Classes`] for another number of
/// scales or shifts than logits.
///
/// # Examples
/// ```
/// use taper_graph::{Bias, GraphBuilder, PoolKind};
/// use taper_model::{Model, Preprocess, rescale_classifier};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut b = GraphBuilder::new(3)?;
/// let xs = b.global_pool("pool", b.input(), PoolKind::Avg, true)?;
/// let xs = b.linear("classifier", xs, 1, Bias::With)?;
/// b.output("logits", xs)?;
/// let model = Model::random(b.build()?, 0, Preprocess::imagenet(), vec!["age".to_owned()])?;
/// let bias = |model: &Model| model.tensor("classifier.bias").map(|bias| bias.data[0]);
/// let years = rescale_classifier(&model, &[10.0], &[40.0])?;
/// assert_eq!(bias(&years), bias(&model).map(|bias| 10.0 * bias + 40.0));
/// # Ok(()) }
/// ```
pub fn rescale_classifier(model: &Model, scale: &[f32], shift: &[f32]) -> Result<Model> {
    let graph = model.graph();
    let classifiers = gains(graph)?;
    let total: f64 = classifiers.iter().map(|(_, gain)| gain).sum();
    let mut tensors = model.tensors().to_vec();
    for (id, _) in classifiers {
        let node = graph.node(id);
        let &[weight, bias] = node.params() else {
            let (node, op) = (node.name().to_owned(), "a linear layer without a bias");
            return Err(Error::NoClassifier { node, op });
        };
        let outputs = tensors[bias.index()].data.len();
        for numbers in [scale, shift] {
            if numbers.len() != outputs {
                return Err(Error::Classes { got: numbers.len(), expected: outputs });
            }
        }
        let inputs = tensors[weight.index()].data.len() / outputs.max(1);
        for (row, scale) in tensors[weight.index()].data.chunks_mut(inputs.max(1)).zip(scale) {
            row.iter_mut().for_each(|weight| *weight *= scale);
        }
        for ((bias, scale), shift) in tensors[bias.index()].data.iter_mut().zip(scale).zip(shift) {
            #[expect(clippy::cast_possible_truncation, reason = "parameters are of this precision")]
            let shift = (f64::from(*shift) / total) as f32;
            *bias = *bias * scale + shift;
        }
    }
    model.clone().with_tensors(tensors)
}

/// The linear layers whose outputs make the logits: one, or several that are added and scaled (RepViT averages two).
fn classifiers(graph: &Graph) -> Result<Vec<NodeId>> {
    Ok(gains(graph)?.into_iter().map(|(id, _)| id).collect())
}

/// Those layers, and what their outputs are multiplied by on the way.
fn gains(graph: &Graph) -> Result<Vec<(NodeId, f64)>> {
    let mut found = Vec::new();
    let mut open = vec![(graph.output("logits")?, 1.0)];
    while let Some((id, gain)) = open.pop() {
        let node = graph.node(id);
        let inputs = node.inputs().iter();
        match node.op() {
            Op::Linear { .. } => found.push((id, gain)),
            Op::Add => open.extend(inputs.map(|input| (*input, gain))),
            Op::Scale { factor } => open.extend(inputs.map(|input| (*input, gain * factor))),
            op => {
                let (node, op) = (node.name().to_owned(), op.label());
                return Err(Error::NoClassifier { node, op });
            }
        }
    }
    Ok(found)
}
