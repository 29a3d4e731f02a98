//! Every variant of the zoo: its graph and its tensors say the same.

use taper_graph::ParamRole;
use taper_model::{Model, Preprocess};

#[test]
fn tensors_are_what_the_graph_says_for_every_variant() {
    // Larger ones only repeat what these have.
    for architecture in taper_zoo::architectures().filter(|it| it.params < 10_000_000) {
        let graph = architecture.graph(10).unwrap();
        let model = Model::random(graph, 1, Preprocess::imagenet(), Vec::new()).unwrap();
        assert_eq!(model.graph.params().len(), model.tensors.len(), "{}", architecture.name);
        for (spec, tensor) in model.graph.params().iter().zip(&model.tensors) {
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

#[test]
fn every_embedded_model_has_weights_classes_and_a_license() {
    let embedded: Vec<_> = taper_zoo::records()
        .iter()
        .filter(|record| taper_zoo::embedded(record).is_some())
        .collect();
    assert!(!embedded.is_empty());
    for record in embedded {
        let model = taper_zoo::pretrained(record.name).unwrap();
        assert_eq!(model.classes.len(), 1000, "{}", record.name);
        assert_eq!(model.provenance.source, record.name);
        assert!(model.provenance.licence.is_some(), "{}", record.name);
        assert_eq!(model.preprocess, record.preprocess);
    }
}
