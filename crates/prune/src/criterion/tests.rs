//! Scores by hand, and what must not change them.

use proptest::prelude::*;
use taper_graph::{Bias, Conv, Graph, GraphBuilder, PoolKind};
use taper_model::{Preprocess, Tensor};

use super::*;
use crate::testing::{groups, inverted_residuals, model, plain};

/// One prunable group of 3 channels: filters of a 1x1 convolution on one channel, norm, classifier of two classes.
fn three(norm: bool) -> Graph {
    let mut b = GraphBuilder::new(1).unwrap();
    let mut xs = b.conv("conv", b.input(), Conv::pointwise(3), Bias::With).unwrap();
    if norm {
        xs = b.batch_norm("bn", xs, 1e-5, 0.1).unwrap();
    }
    let xs = b.global_pool("pool", xs, PoolKind::Avg, true).unwrap();
    let xs = b.linear("classifier", xs, 2, Bias::With).unwrap();
    b.output("logits", xs).unwrap();
    b.build().unwrap()
}

/// Values by the names of parameters; zeros for the others.
fn with(graph: &Graph, values: &[(&str, &[f32])]) -> Vec<Vec<f32>> {
    let value = |spec: &taper_graph::ParamSpec| {
        let found = values.iter().find(|(name, _)| *name == spec.name);
        found.map_or_else(|| vec![0.0; spec.len()], |(_, data)| data.to_vec())
    };
    graph.params().iter().map(value).collect()
}

fn weighted(graph: Graph, values: &[(&str, &[f32])]) -> Model {
    let data = with(&graph, values).into_iter().zip(graph.params());
    let tensors = data.map(|(data, spec)| Tensor { shape: spec.shape.clone(), data }).collect();
    let model = Model::random(graph, 0, Preprocess::imagenet(), vec![]).unwrap();
    model.with_tensors(tensors).unwrap()
}

const WEIGHTS: [(&str, &[f32]); 3] = [
    ("conv.weight", &[1.0, -2.0, 3.0]),
    ("bn.weight", &[0.5, -0.25, 1.0]),
    ("classifier.weight", &[1.0, 2.0, 0.0, -1.0, 0.0, 2.0]),
];

/// Of the three channels, not normalized, members summed.
fn of(model: &Model, criterion: Criterion, evidence: &Evidence<'_>) -> Vec<f64> {
    let (reduction, normalizer) = (Reduction::Sum, Normalizer::None);
    let scoring = Scoring { reduction, normalizer, ..Scoring::of(criterion) };
    let scores = scores(model, &groups(model.graph()), &scoring, evidence).unwrap();
    scores.into_iter().filter(|score| score.is_finite()).collect()
}

#[test]
fn magnitudes_are_those_of_all_members() {
    let model = weighted(three(true), &WEIGHTS);
    let none = Evidence::default();
    assert_eq!(
        of(&model, Criterion::L1, &none),
        [1.0 + 0.5 + 2.0, 2.0 + 0.25 + 2.0, 3.0 + 1.0 + 2.0]
    );
    assert_eq!(
        of(&model, Criterion::L2, &none),
        [1.0 + 0.25 + 2.0, 4.0 + 0.0625 + 4.0, 9.0 + 1.0 + 4.0]
    );
    assert_eq!(of(&model, Criterion::BatchNormScale, &none), [0.5, 0.25, 1.0]);
}

#[test]
fn readers_count_unless_they_are_left_out() {
    let model = weighted(three(true), &WEIGHTS);
    let (reduction, normalizer) = (Reduction::Sum, Normalizer::None);
    let readers = Readers::Ignored;
    let scoring = Scoring { reduction, normalizer, readers, criterion: Criterion::L1 };
    let scores = scores(&model, &groups(model.graph()), &scoring, &Evidence::default()).unwrap();
    assert_eq!(scores[1..4], [1.5, 2.25, 4.0]);
}

#[test]
fn data_decides_by_gradients_and_their_squares() {
    let graph = three(true);
    let model = weighted(graph.clone(), &WEIGHTS);
    let gradients = with(
        &graph,
        &[
            ("conv.weight", &[1.0, 1.0, -1.0]),
            ("bn.weight", &[2.0, 4.0, 0.0]),
            ("bn.bias", &[5.0, 5.0, 5.0]),
            ("classifier.weight", &[-1.0, 0.0, 1.0, 1.0, 1.0, 1.0]),
        ],
    );
    let evidence = Evidence { gradients: &gradients, ..Evidence::default() };
    assert_eq!(of(&model, Criterion::Taylor, &evidence), [1.0 + 1.0 + 2.0, 2.0 + 1.0, 3.0 + 2.0]);
    // (γ g)², since the shifts are 0.
    assert_eq!(of(&model, Criterion::TaylorJoint, &evidence), [1.0, 1.0, 0.0]);
    let squared_gradients: Vec<Vec<f32>> =
        gradients.iter().map(|it| it.iter().map(|g| g * g).collect()).collect();
    let evidence = Evidence { squared_gradients: &squared_gradients, ..Evidence::default() };
    assert_eq!(of(&model, Criterion::Fisher, &evidence), [1.0 + 1.0 + 2.0, 4.0 + 1.0, 9.0 + 4.0]);
}

#[test]
fn without_a_norm_a_filter_and_its_bias_change_the_loss_together() {
    let graph = three(false);
    let weights: [(&str, &[f32]); 2] =
        [("conv.weight", &[1.0, -2.0, 3.0]), ("conv.bias", &[1.0, 1.0, 0.0])];
    let model = weighted(graph.clone(), &weights);
    let gradients =
        with(&graph, &[("conv.weight", &[2.0, 1.0, 1.0]), ("conv.bias", &[-1.0, 2.0, 9.0])]);
    let evidence = Evidence { gradients: &gradients, ..Evidence::default() };
    assert_eq!(of(&model, Criterion::TaylorJoint, &evidence), [1.0, 0.0, 9.0]);
}

#[test]
fn activations_count_where_they_are_read() {
    let graph = three(true);
    let model = weighted(graph.clone(), &WEIGHTS);
    // Of the nodes, the pool is what the classifier reads.
    let at = |node: &str, means: &[f32]| {
        let mut activations = vec![Vec::new(); graph.nodes().len()];
        activations[graph.find_node(node).unwrap().index()] = means.to_vec();
        activations
    };
    let pooled = at("pool", &[0.5, 0.25, 2.0]);
    let evidence = Evidence { activations: &pooled, ..Evidence::default() };
    assert_eq!(of(&model, Criterion::Activation, &evidence), [0.5, 0.25, 2.0]);
    let elsewhere = at("conv", &[0.5, 0.25, 2.0]);
    let evidence = Evidence { activations: &elsewhere, ..Evidence::default() };
    let scoring = Scoring::of(Criterion::Activation);
    let error = scores(&model, &groups(&graph), &scoring, &evidence).unwrap_err();
    assert!(matches!(error, Error::NotWatched { name } if name == "conv"));
}

#[test]
fn the_filter_in_the_middle_of_the_others_goes_first() {
    let model = weighted(three(true), &[("conv.weight", &[-4.0, 0.5, 3.0])]);
    assert_eq!(
        of(&model, Criterion::Fpgm, &Evidence::default()),
        [4.5 + 7.0, 4.5 + 2.5, 7.0 + 2.5]
    );
}

#[test]
fn lamp_divides_by_what_would_be_left() {
    let model = weighted(three(true), &[("conv.weight", &[1.0, -2.0, 3.0])]);
    assert_eq!(of(&model, Criterion::Lamp, &Evidence::default()), [1.0 / 14.0, 4.0 / 13.0, 1.0]);
}

#[test]
fn the_control_depends_on_seed_and_unit_alone() {
    let graph = plain(&[64, 64]);
    let none = Evidence::default();
    let drawn =
        |seed, weights| of(&model(graph.clone(), weights), Criterion::Random { seed }, &none);
    assert_eq!(drawn(1, 0), drawn(1, 9));
    assert_ne!(drawn(1, 0), drawn(2, 0));
    let scores = drawn(0, 0);
    let mean = scores.iter().sum::<f64>() / scores.len() as f64;
    assert!((0.4..0.6).contains(&mean), "{mean}");
    assert!(scores.iter().all(|score| (0.0..1.0).contains(score)));
}

fn message(model: &Model, criterion: Criterion, evidence: &Evidence<'_>) -> String {
    let groups = groups(model.graph());
    scores(model, &groups, &Scoring::of(criterion), evidence).unwrap_err().to_string()
}

#[test]
fn a_criterion_without_its_data_says_how_to_give_it() {
    let model = model(plain(&[8, 8]), 0);
    for criterion in Criterion::all().filter(|criterion| criterion.needs_data()) {
        let message = message(&model, criterion, &Evidence::default());
        assert!(message.contains(&format!("`{criterion}` needs")), "{message}");
        assert!(message.contains("give a folder of pictures"), "{message}");
    }
}

#[test]
fn evidence_of_another_network_is_refused() {
    let model = model(plain(&[8, 8]), 0);
    let few = vec![vec![1.0f32; 3]];
    let evidence = Evidence { gradients: &few, ..Evidence::default() };
    assert!(message(&model, Criterion::Taylor, &evidence).contains("another network"));
    let params = model.graph().params();
    let mut gradients: Vec<Vec<f32>> = params.iter().map(|it| vec![1.0; it.len()]).collect();
    gradients[0].pop();
    let evidence = Evidence { gradients: &gradients, ..Evidence::default() };
    assert!(message(&model, Criterion::Taylor, &evidence).contains("conv0.weight are 215"));
    gradients[0].clear();
    let evidence = Evidence { gradients: &gradients, ..Evidence::default() };
    assert!(message(&model, Criterion::Taylor, &evidence).contains("gradient of `conv0.weight`"));
    gradients[0] = vec![f32::NAN; 216];
    let evidence = Evidence { gradients: &gradients, ..Evidence::default() };
    assert!(message(&model, Criterion::Taylor, &evidence).contains("gradients of `conv0.weight`"));
}

#[test]
fn weights_that_are_no_numbers_are_named() {
    let mut parts = model(plain(&[8, 8]), 0).into_parts();
    parts.tensors[2].data[7] = f32::NAN;
    let graph = parts.graph.clone();
    let model = Model::random(graph, 0, parts.preprocess, vec![]).unwrap();
    let model = model.with_tensors(parts.tensors).unwrap();
    for criterion in [Criterion::L1, Criterion::L2, Criterion::Fpgm, Criterion::Lamp] {
        let message = message(&model, criterion, &Evidence::default());
        assert!(message.contains("weights of `conv1.weight`"), "{criterion}: {message}");
    }
}

#[test]
fn a_criterion_that_selects_nothing_says_so() {
    let plain = model(plain(&[8, 8]), 0);
    let none = Evidence::default();
    let without_norms = message(&plain, Criterion::BatchNormScale, &none);
    assert!(without_norms.starts_with("`bn` scores no channel"), "{without_norms}");
    let fresh = Model::random(three(true), 0, Preprocess::imagenet(), vec![]).unwrap();
    let all_ones = message(&fresh, Criterion::BatchNormScale, &none);
    assert!(all_ones.starts_with("`bn` gives all channels of a layer the same"), "{all_ones}");
    assert!(all_ones.contains("penalty"), "{all_ones}");
}

#[test]
fn words_are_read_as_they_are_written() {
    for criterion in Criterion::all().chain([Criterion::Random { seed: 7 }]) {
        assert_eq!(criterion.to_string().parse::<Criterion>().unwrap(), criterion);
    }
    let unknown = "magnitude".parse::<Criterion>().unwrap_err().to_string();
    assert!(unknown.contains("one is l1, l2, bn"), "{unknown}");
}

/// A model whose first prunable group's units are in another order: unit `k` of the result is unit `order[k]` of the model.
fn permuted(model: &Model, groups: &Groups, order: &[usize]) -> Model {
    let group = groups.groups().iter().find(|group| group.protected.is_none()).unwrap();
    let mut tensors = model.tensors().to_vec();
    for member in &group.members {
        let spec = model.graph().param(member.param);
        let inner: usize = spec.shape[member.axis + 1..].iter().product();
        let len = spec.shape[member.axis];
        let tensor = &mut tensors[member.param.index()];
        let old = tensor.data.clone();
        for (unit, &from) in order.iter().enumerate() {
            for (to, from) in member.of_unit(unit).iter().zip(member.of_unit(from)) {
                let (to, from) = (*to as usize, *from as usize);
                for row in 0..old.len() / (len * inner) {
                    let at = |index: usize| (row * len + index) * inner;
                    let source = &old[at(from)..at(from) + inner];
                    tensor.data[at(to)..at(to) + inner].copy_from_slice(source);
                }
            }
        }
    }
    model.clone().with_tensors(tensors).unwrap()
}

/// Gradients, their squares and activations, which go by the weights alone.
fn made_up(model: &Model) -> [Vec<Vec<f32>>; 3] {
    let map = |f: fn(f32) -> f32| {
        model.tensors().iter().map(|it| it.data.iter().map(|&w| f(w)).collect()).collect()
    };
    let channels = model.graph().channels().unwrap();
    let activations = channels.into_iter().map(|c| (0..c).map(|i| 1.0 + i as f32).collect());
    [map(|w| (7.0 * w).sin()), map(|w| w.cos().abs()), activations.collect()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases / 4))]

    #[test]
    fn permuting_channels_permutes_scores(
        seed: u8,
        residual: bool,
        order in Just((0..12).collect::<Vec<usize>>()).prop_shuffle(),
    ) {
        let graph = if residual { inverted_residuals(&[12, 12, 8]) } else { plain(&[12, 8]) };
        let model = model(graph, seed.into());
        let groups = groups(model.graph());
        let permuted = permuted(&model, &groups, &order);
        let first = groups.groups().iter().find(|group| group.protected.is_none()).unwrap();
        for criterion in Criterion::all() {
            let by_place = matches!(criterion, Criterion::Random { .. } | Criterion::Activation);
            if by_place || (!residual && criterion == Criterion::BatchNormScale) {
                continue;
            }
            let of = |model: &Model| {
                let [gradients, squared_gradients, activations] = made_up(model);
                let evidence = Evidence {
                    gradients: &gradients,
                    squared_gradients: &squared_gradients,
                    activations: &activations,
                };
                scores(model, &groups, &Scoring::of(criterion), &evidence).unwrap()
            };
            let (before, after) = (of(&model), of(&permuted));
            for (unit, &from) in order.iter().enumerate() {
                let (a, b) = (before[first.units.start + from], after[first.units.start + unit]);
                prop_assert!((a - b).abs() <= 1e-9 * a.abs().max(1.0), "{}: {} {}", criterion, a, b);
            }
        }
    }

    #[test]
    fn scaling_a_network_leaves_normalized_scores_as_they_are(seed: u8, factor in 0.1f32..10.0) {
        let model = model(plain(&[12, 8, 16]), seed.into());
        let scaled = model.tensors().iter().map(|it| Tensor {
            shape: it.shape.clone(),
            data: it.data.iter().map(|w| w * factor).collect(),
        });
        let scaled = model.clone().with_tensors(scaled.collect()).unwrap();
        let groups = groups(model.graph());
        for criterion in [Criterion::L1, Criterion::L2, Criterion::Fpgm, Criterion::Lamp] {
            let of = |model| scores(model, &groups, &Scoring::of(criterion), &Evidence::default());
            for (a, b) in of(&model).unwrap().into_iter().zip(of(&scaled).unwrap()) {
                let is_same = a.total_cmp(&b).is_eq() || (a - b).abs() <= 1e-5 * a;
                prop_assert!(is_same, "{}: {} {}", criterion, a, b);
            }
        }
    }
}
