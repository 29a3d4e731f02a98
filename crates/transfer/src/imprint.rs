//! New classes beside old ones: a class's weights from the features of its pictures, without training.
//!
//! Above: `recipes`. Below: `head`, `model`, `engine::Session`. Not here: where features come from (`features`).
//! Source: Qi et al. 2018, <https://arxiv.org/abs/1712.07136>. There, features are of unit length and weights their mean; here features are as
//! they are, so that what all pictures have in common is taken off first, and the bias puts the border on the way between both.

use std::collections::HashMap;

use taper_engine::{Session, SessionOptions};
use taper_graph::{Graph, GraphBuilder, NodeId, Op};
use taper_model::{Model, Preprocess, Tensor, class_norm, set_class};

use crate::error::{Error, Result};
use crate::head::{copy_node, detach_head, nodes_between};

/// Rows and columns of the map that stands for what a norm gives: each position is one of equally likely values.
const SIDE: usize = 8;

/// How far the border between others and a new class is on the way from their mean to its: beyond the middle, for the others are several classes and of those that
/// are kept there are no pictures to see how far they spread. Of 0.5, 0.55, 0.6 and 0.65 (docs/transfer.md's models and classes) the first costs the old classes up
/// to 0.065 and the last the new ones up to 0.2.
const BORDER: f64 = 0.6;

/// The mean features of the pictures that a network was trained with, as its own statistics tell: those of its last batch norm are of a
/// normal distribution, and what lies behind it is run on that. None of a network whose features are not all made of its last batch norm.
///
/// # Errors
/// [`Error::Graph`] without the output `pre_logits`, and what the engine says.
pub fn usual_features(model: &Model) -> Result<Option<Vec<f32>>> {
    let graph = model.graph();
    let pre_logits = graph.output("pre_logits")?;
    let norms = graph.node_ids().rev().filter(|id| *id < pre_logits);
    let mut norms = norms.filter(|id| matches!(graph.node(*id).op(), Op::BatchNorm { .. }));
    let Some(norm) = norms.next() else { return Ok(None) };
    let &[scale, shift, ..] = graph.node(norm).params() else { return Ok(None) };
    let [scale, shift] = [scale, shift].map(|id| &model.tensors()[id.index()].data);
    let Some(behind) = behind(model, norm, pre_logits, scale.len())? else { return Ok(None) };
    let values = normal_values();
    let xs: Vec<f32> = values
        .iter()
        .flat_map(|z| scale.iter().zip(shift).map(move |(scale, shift)| shift + scale.abs() * z))
        .collect();
    let options = SessionOptions { threads: 1, outputs: vec!["pre_logits".to_owned()] };
    let mut session = Session::new(&behind, &options)?;
    Ok(Some(session.run(&xs, [1, SIDE, SIDE])?.to_vec()))
}

/// What lies behind a node as a model of its own; none if it reads something else, too.
fn behind(model: &Model, start: NodeId, end: NodeId, channels: usize) -> Result<Option<Model>> {
    let old = model.graph();
    let mut builder = GraphBuilder::new(channels)?;
    let mut copies = HashMap::from([(start, builder.input())]);
    for id in nodes_between(old, start, end) {
        match copy_node(&mut builder, old.node(id), &copies) {
            Ok(copy) => copies.insert(id, copy),
            Err(Error::HeadReadsBackbone { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
    }
    let Some(&output) = copies.get(&end) else { return Ok(None) };
    builder.output("pre_logits", output)?;
    let graph: Graph = builder.build()?;
    let tensors: Option<Vec<Tensor>> =
        graph.params().iter().map(|param| model.tensor(&param.name).cloned()).collect();
    let Some(tensors) = tensors else { return Ok(None) };
    let preprocess = Preprocess { input_size: [SIDE, SIDE], ..Preprocess::imagenet() };
    Ok(Some(Model::new(graph, tensors, preprocess, Vec::new(), model.provenance().clone())?))
}

/// As many values of a normal distribution as the map has positions, each as likely: the middles of its parts of equal weight.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "small numbers")]
fn normal_values() -> Vec<f32> {
    const STEP: f64 = 1e-3;
    let n = (SIDE * SIDE) as f64;
    let (mut z, mut below) = (-6.0f64, 0.0);
    let middles = (0..SIDE * SIDE).map(|part| (part as f64 + 0.5) / n);
    middles
        .map(|share| {
            while below < share && z < 6.0 {
                below += STEP * (-0.5 * z * z).exp() / std::f64::consts::TAU.sqrt();
                z += STEP;
            }
            z as f32
        })
        .collect()
}

/// What is known of the features of all classes but the new one.
#[derive(Debug, Clone, Copy)]
pub struct OtherFeatures<'a> {
    /// Their mean, of length `c`.
    pub mean: &'a [f32],
    /// Directions in which pictures of one class vary, `(k, c)` row by row, orthogonal and of length 1; empty if they are not known.
    pub directions: &'a [f32],
}

/// The model with the weights of class `class` made of the features of its pictures, `(n, c)` row by row, against those of all others: the mean of its features
/// less theirs, without what lies along directions in which pictures of one class vary, as long as the weights of the classes `old` are, and a bias with which a
/// picture 0.6 of the way from their mean to its own is as likely of this class as of the likeliest of the classes `old`, on average over its pictures.
///
/// # Errors
/// [`Error::FewFeatures`] if there are no features or they are those of the others; as [`detach_head`] and [`set_class`].
pub fn imprint(
    model: &Model,
    class: usize,
    features: &[f32],
    OtherFeatures { mean: others, directions }: OtherFeatures<'_>,
    old: &[usize],
) -> Result<Model> {
    let c = others.len().max(1);
    let n = features.len() / c;
    let mean = mean_features(features, c);
    let mut direction: Vec<f64> =
        mean.iter().zip(others).map(|(mean, other)| f64::from(*mean) - f64::from(*other)).collect();
    for varied in directions.chunks_exact(c) {
        let along: f64 = varied.iter().zip(&direction).map(|(v, x)| f64::from(*v) * x).sum();
        direction.iter_mut().zip(varied).for_each(|(x, v)| *x -= along * f64::from(*v));
    }
    let length = direction.iter().map(|x| x * x).sum::<f64>().sqrt();
    if n == 0 || !length.is_finite() || length <= 0.0 {
        return Err(Error::FewFeatures { class });
    }
    let options = SessionOptions { threads: 1, outputs: vec!["logits".to_owned()] };
    let mut head = Session::new(&detach_head(model)?, &options)?;
    let logits = head.run(&features[..n * c], [n, 1, 1])?;
    let k = (logits.len() / n).max(1);
    let likeliest = |row: &[f32]| {
        let logits = old.iter().filter_map(|&class| row.get(class)).copied();
        f64::from(logits.fold(f32::NEG_INFINITY, f32::max))
    };
    #[expect(clippy::cast_precision_loss, reason = "pictures stay far below 2^53")]
    let level = logits.chunks_exact(k).map(likeliest).sum::<f64>() / n as f64;
    let level = if level.is_finite() { level } else { 0.0 };
    let factor = class_norm(model, old)? / length;
    #[expect(clippy::cast_possible_truncation, reason = "parameters are of this precision")]
    let weight: Vec<f32> = direction.iter().map(|x| (factor * x) as f32).collect();
    let between = |(new, other): (&f32, &f32)| {
        f64::from(*other) + BORDER * (f64::from(*new) - f64::from(*other))
    };
    let border = mean.iter().zip(others).map(between);
    let there: f64 = border.zip(&direction).map(|(x, w)| x * factor * w).sum();
    #[expect(clippy::cast_possible_truncation, reason = "parameters are of this precision")]
    let bias = (level - there) as f32;
    Ok(set_class(model, class, &weight, bias)?)
}

/// The mean of features `(n, c)`.
#[must_use]
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a mean")]
pub fn mean_features(features: &[f32], c: usize) -> Vec<f32> {
    let rows = features.chunks_exact(c.max(1));
    let n = rows.len().max(1) as f64;
    let mut sums = vec![0.0f64; c];
    for row in rows {
        sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
    }
    sums.into_iter().map(|sum| (sum / n) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::tests::test_net;

    fn of(mean: &[f32]) -> OtherFeatures<'_> {
        OtherFeatures { mean, directions: &[] }
    }

    #[test]
    fn the_values_of_a_norm_are_those_of_a_normal_distribution() {
        let values = normal_values();
        let (n, sum) = (values.len() as f32, values.iter().sum::<f32>());
        let squares = values.iter().map(|z| z * z).sum::<f32>();
        assert!((sum / n).abs() < 5e-3 && (squares / n - 1.0).abs() < 0.05, "{sum} {squares}");
    }

    #[test]
    fn usual_features_are_what_the_last_norm_lets_through() {
        let model = test_net();
        let scale = model.graph().param_id("bn2.weight").unwrap();
        let shift = model.graph().param_id("bn2.bias").unwrap();
        let mut tensors = model.tensors().to_vec();
        tensors[scale.index()].data = vec![1.0; 12];
        tensors[shift.index()].data = (0..12).map(|i| if i < 6 { 0.0 } else { 3.0 }).collect();
        let usual = usual_features(&model.with_tensors(tensors).unwrap()).unwrap().unwrap();
        // The mean of what is positive of a normal distribution, 1 / sqrt(2 pi), and 3 where next to nothing is cut.
        assert!((usual[0] - 0.3989).abs() < 0.01, "{usual:?}");
        assert!((usual[11] - 3.0).abs() < 0.01, "{usual:?}");
    }

    /// Rows that are still random, those of other new classes, have no say.
    #[test]
    fn an_imprinted_class_depends_on_old_ones_alone() {
        let model = test_net();
        let (near, far) = (vec![0.2f32; 12], vec![4.0f32; 12]);
        let other = set_class(&model, 1, &[100.0; 12], 7.0).unwrap();
        let row = |model: &Model| {
            let new = imprint(model, 2, &far, of(&near), &[0]).unwrap();
            new.tensor("classifier.weight").unwrap().data[24..36].to_vec()
        };
        assert_eq!(row(&model), row(&other));
        let length = |row: &[f32]| row.iter().map(|x| x * x).sum::<f32>().sqrt();
        let old = length(&model.tensor("classifier.weight").unwrap().data[..12]);
        assert!((length(&row(&model)) / old - 1.0).abs() < 1e-5);
    }

    #[test]
    fn an_imprinted_class_does_not_look_where_pictures_of_one_class_vary() {
        let model = test_net();
        let row = |directions: &[f32]| {
            let (far, near) = ([[3.0f32; 4], [2.0; 4], [1.0; 4]].concat(), [0.0; 12]);
            let others = OtherFeatures { mean: &near, directions };
            let new = imprint(&model, 2, &far, others, &[0, 1]).unwrap();
            new.tensor("classifier.weight").unwrap().data[24..36].to_vec()
        };
        let mut directions = [0.0; 24];
        directions[..4].fill(0.5); // the first four features, together
        directions[12 + 11] = 1.0;
        let (all, less) = (row(&[]), row(&directions));
        assert!(less[..4].iter().all(|x| x.abs() < 1e-6) && less[11].abs() < 1e-6, "{less:?}");
        // What is left keeps its shape, and the row its length.
        assert!((less[4] / less[8] - all[4] / all[8]).abs() < 1e-5 && less[4] > all[4]);
        let length = |row: &[f32]| row.iter().map(|x| x * x).sum::<f32>().sqrt();
        assert!((length(&less) / length(&all) - 1.0).abs() < 1e-5);
    }

    #[test]
    fn an_imprinted_class_is_told_on_its_side_of_the_border_and_old_ones_on_theirs() {
        let model = test_net();
        let (near, far) = (vec![0.2f32; 12], vec![4.0f32; 12]);
        let features: Vec<f32> = far.iter().chain(&far).copied().collect();
        let new = imprint(&model, 2, &features, of(&near), &[0, 1]).unwrap();
        let options = SessionOptions::default();
        let mut head = Session::new(&detach_head(&new).unwrap(), &options).unwrap();
        let logits = head.run(&far, [1, 1, 1]).unwrap().to_vec();
        let old = logits[0].max(logits[1]);
        assert!(logits[2] > old, "{logits:?}");
        let logits = head.run(&near, [1, 1, 1]).unwrap().to_vec();
        assert!(logits[2] < old, "{logits:?}");
        for name in ["conv_head.weight", "bn2.running_mean"] {
            assert_eq!(new.tensor(name), model.tensor(name));
        }
        let rows = |model: &Model| model.tensor("classifier.weight").unwrap().data.clone();
        assert_eq!(rows(&new)[..24], rows(&model)[..24]);
        let none = imprint(&model, 2, &near, of(&near), &[0, 1]);
        assert!(matches!(none, Err(Error::FewFeatures { class: 2 })), "{none:?}");
    }
}
