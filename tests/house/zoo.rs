//! Every variant of the zoo: its graph and its tensors say the same.

use taper_graph::{Conv, Extent, Graph, Init, Op, ParamRole};
use taper_model::{Model, Preprocess};

/// The shapes that the parameters of a node must have by the maps before and behind it, in order; none if it must have none.
fn shapes_by_maps(op: &Op, [from, to]: [Extent; 2]) -> Vec<Vec<usize>> {
    let (from, to) = (from.channels(), to.channels());
    match op {
        Op::Conv(Conv { window, groups, .. }) => {
            let [h, w] = window.kernel;
            vec![vec![to, from / groups, h, w], vec![to]]
        }
        Op::Linear { .. } => vec![vec![to, from], vec![to]],
        Op::BatchNorm { .. } => vec![vec![from]; 4],
        Op::LayerNorm { .. } | Op::GroupNorm { .. } => vec![vec![from]; 2],
        Op::ChannelScale => vec![vec![from]],
        _ => Vec::new(),
    }
}

#[test]
fn parameters_have_the_shapes_that_the_maps_around_them_ask_for() {
    let mut checked = 0;
    for architecture in taper_zoo::architectures() {
        let graph = architecture.graph(7).unwrap();
        let extents = graph.extents(architecture.input_size, architecture.input_size).unwrap();
        let mut owned = vec![0; graph.params().len()];
        for id in graph.node_ids() {
            let (node, name) = (graph.node(id), architecture.name);
            let from =
                node.inputs().first().map_or(extents[id.index()], |from| extents[from.index()]);
            let expected = shapes_by_maps(node.op(), [from, extents[id.index()]]);
            let got: Vec<_> =
                node.params().iter().map(|id| graph.param(*id).shape.clone()).collect();
            let without_bias = &expected[..expected.len().saturating_sub(1)];
            let is_layer = matches!(node.op(), Op::Conv(_) | Op::Linear { .. });
            assert!(
                got == expected || (is_layer && got == without_bias),
                "{} of {name}: {got:?}, not {expected:?}",
                node.name()
            );
            node.params().iter().for_each(|id| owned[id.index()] += 1);
            checked += got.len();
        }
        assert!(owned.iter().all(|owners| *owners == 1), "{}", architecture.name);
        let logits = extents[graph.output("logits").unwrap().index()];
        assert_eq!(logits, Extent::Vector { c: 7 }, "{}", architecture.name);
    }
    assert!(checked > 20_000, "{checked}");
}

#[test]
fn random_weights_are_those_of_their_role_in_every_small_network() {
    // Larger ones only repeat what these have.
    for architecture in taper_zoo::architectures().filter(|it| it.params < 4_000_000) {
        let graph = architecture.graph(10).unwrap();
        let model = Model::random(graph, 1, Preprocess::imagenet(), Vec::new()).unwrap();
        let mut seen = Vec::new();
        for (spec, tensor) in model.graph().params().iter().zip(model.tensors()) {
            let what = format!("{} of {}", spec.name, architecture.name);
            let all = |value: f32| tensor.data.iter().all(|v| v.to_bits() == value.to_bits());
            match spec.role {
                ParamRole::RunningVar => assert!(all(1.0), "{what}"),
                ParamRole::RunningMean | ParamRole::NormShift => assert!(all(0.0), "{what}"),
                ParamRole::NormScale => assert!(all(1.0) || all(0.0), "{what}"),
                ParamRole::Weight => {
                    let n = tensor.data.len() as f64;
                    let mean = tensor.data.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
                    let square = tensor.data.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / n;
                    // A mean of n numbers is within five of its standard deviations, always with a fixed seed.
                    assert!(
                        square > 0.0 && mean.abs() < 5.0 * (square / n).sqrt(),
                        "{what}: {mean}"
                    );
                    seen.push(tensor.data[..8.min(tensor.data.len())].to_vec());
                }
                _ => assert!(tensor.data.iter().all(|v| v.is_finite()), "{what}"),
            }
        }
        let all = seen.len();
        seen.sort_by(|a, b| a.partial_cmp(b).unwrap());
        seen.dedup();
        assert_eq!(seen.len(), all, "two weights of {} begin alike", architecture.name);
    }
}

#[test]
fn parameters_are_counted_as_published() {
    for architecture in taper_zoo::architectures() {
        let graph = architecture.graph(1000).unwrap();
        let is_buffer = |role| {
            matches!(
                role,
                ParamRole::RunningMean | ParamRole::RunningVar | ParamRole::BatchesTracked
            )
        };
        let params = graph.params().iter().filter(|spec| !is_buffer(spec.role));
        let count: usize = params.map(|spec| spec.shape.iter().product::<usize>()).sum();
        assert_eq!(count as u64, architecture.params, "{}", architecture.name);
    }
}

/// Scales of norms that the builders of the blocks set to 0.
fn zeroed(graph: &Graph) -> Vec<&str> {
    let is_zeroed = |role, init| role == ParamRole::NormScale && init == Init::Zeros;
    let specs = graph.params().iter().filter(|spec| is_zeroed(spec.role, spec.init));
    specs.map(|spec| spec.name.as_str()).collect()
}

#[test]
fn the_last_norms_of_residual_branches_are_those_that_blocks_set_to_zero() {
    let mut zeroing = 0;
    for architecture in taper_zoo::architectures() {
        let graph = architecture.graph(10).unwrap();
        let zeroed = zeroed(&graph);
        if zeroed.is_empty() {
            continue; // families that were published without
        }
        let last = taper_layers::init::last_norms(&graph);
        let last: Vec<_> = last.into_iter().map(|id| graph.param(id).name.as_str()).collect();
        assert_eq!(last, zeroed, "{}", architecture.name);
        zeroing += 1;
    }
    assert!(zeroing > 3, "{zeroing}"); // ResNet and RepViT
}

#[test]
fn every_addition_of_mobilenet_v2_has_a_branch_that_can_begin_at_zero() {
    let graph = taper_zoo::create("mobilenetv2_100", 10).unwrap();
    let sums = graph.nodes().iter().filter(|node| node.op().label() == "add").count();
    assert_eq!(taper_layers::init::last_norms(&graph).len(), sums);
    assert_eq!(sums, 10);
}

#[test]
fn every_embedded_model_has_weights_classes_and_a_license() {
    let embedded: Vec<_> = taper_zoo::records()
        .iter()
        .filter(|record| taper_zoo::embedded(record).is_some())
        .collect();
    assert!(!embedded.is_empty());
    for record in embedded {
        let model = taper_zoo::pretrained(record.name).unwrap();
        assert_eq!(model.classes().len(), 1000, "{}", record.name);
        assert_eq!(model.provenance().source, record.name);
        assert!(model.provenance().licence.is_some(), "{}", record.name);
        assert_eq!(model.preprocess(), &record.preprocess);
    }
}
