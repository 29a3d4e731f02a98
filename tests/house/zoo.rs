//! Every variant of the zoo: its graph and its tensors say the same.

use taper_graph::{Graph, Init, ParamRole};
use taper_model::{Model, Preprocess};

#[test]
fn tensors_are_what_the_graph_says_for_every_variant() {
    // Larger ones only repeat what these have.
    for architecture in taper_zoo::architectures().filter(|it| it.params < 10_000_000) {
        let graph = architecture.graph(10).unwrap();
        let model = Model::random(graph, 1, Preprocess::imagenet(), Vec::new()).unwrap();
        assert_eq!(model.graph().params().len(), model.tensors().len(), "{}", architecture.name);
        for (spec, tensor) in model.graph().params().iter().zip(model.tensors()) {
            assert_eq!(spec.shape, tensor.shape, "{} of {}", spec.name, architecture.name);
            assert_eq!(tensor.data.len(), tensor.shape.iter().product::<usize>(), "{}", spec.name);
        }
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
