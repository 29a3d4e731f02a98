//! Tables against published numbers, names against each other.
//!
//! Above: `cargo test`. Below: everything in this crate. Not here: logits against PyTorch (`tests/golden`).

mod families;
mod peers;
mod published;
mod records;
mod trained;

use taper_graph::{Extent, Graph, Op, ParamRole, ScopeKind};
use taper_model::{Model, Preprocess};

use crate::mobilenet_v2::{Scaling, mobilenet_v2};
use crate::{Error, architecture, architectures, create, imagenet, record};

#[test]
fn every_architecture_survives_json() {
    for architecture in architectures() {
        let graph = architecture.graph(10).unwrap();
        assert_eq!(Graph::from_json(&graph.to_json()).unwrap(), graph, "{}", architecture.name);
    }
}

#[test]
fn mobilenet_v2_has_158_parameters_and_104_statistics() {
    let graph = create("mobilenetv2_100", 1000).unwrap();
    let trained = graph.params().iter().filter(|spec| spec.role.is_trained()).count();
    assert_eq!((trained, graph.params().len()), (158, 262));
    let of = |role| graph.params().iter().filter(|spec| spec.role == role).count();
    assert_eq!(of(ParamRole::Weight), 53);
    assert_eq!([of(ParamRole::NormScale), of(ParamRole::RunningVar)], [52, 52]);
    assert_eq!(of(ParamRole::Bias), 1);
}

#[test]
fn names_are_those_of_timm() {
    let graph = create("mobilenetv2_100", 1000).unwrap();
    let names: Vec<&str> = graph.params().iter().map(|spec| spec.name.as_str()).collect();
    let first =
        ["conv_stem.weight", "bn1.weight", "bn1.bias", "bn1.running_mean", "bn1.running_var"];
    assert_eq!(names[..5], first);
    assert_eq!(names[5], "blocks.0.0.conv_dw.weight");
    assert_eq!(names[15], "blocks.1.0.conv_pw.weight");
    assert_eq!(
        names[258..],
        ["bn2.running_mean", "bn2.running_var", "classifier.weight", "classifier.bias"]
    );
}

#[test]
fn extents_are_those_of_the_papers_table() {
    let graph = create("mobilenetv2_100", 1000).unwrap();
    let extents = graph.extents(224, 224).unwrap();
    let stages = graph.scopes().iter().filter(|scope| scope.kind() == ScopeKind::Stage);
    let shapes: Vec<_> = stages
        .map(|scope| {
            let extent = extents[scope.last().index()];
            (scope.name(), extent.size()[0], extent.channels(), scope.reduction())
        })
        .collect();
    assert_eq!(
        shapes,
        [
            ("blocks.0", 112, 16, 2),
            ("blocks.1", 56, 24, 4),
            ("blocks.2", 28, 32, 8),
            ("blocks.3", 14, 64, 16),
            ("blocks.4", 14, 96, 16),
            ("blocks.5", 7, 160, 32),
            ("blocks.6", 7, 320, 32),
        ]
    );
    let of = |name| extents[graph.output(name).unwrap().index()];
    assert_eq!(of("features"), Extent::Map { h: 7, w: 7, c: 1280 });
    assert_eq!(of("pre_logits"), Extent::Vector { c: 1280 });
    assert_eq!(of("logits"), Extent::Vector { c: 1000 });
}

#[test]
fn there_are_ten_residuals_as_in_torchvision() {
    let graph = create("mobilenetv2_100", 1000).unwrap();
    let sums = graph.nodes().iter().filter(|node| *node.op() == Op::Add).count();
    assert_eq!(sums, 10);
}

#[test]
fn torchvisions_widths_have_its_parameters() {
    // sum(p.numel() for p in torchvision.models.mobilenet_v2(width_mult=w).parameters()), torchvision 0.26
    for (width_mult, params) in [(0.25, 1_519_112), (1.4, 6_108_776)] {
        let graph = mobilenet_v2(Scaling::width(width_mult), 1000).unwrap();
        assert_eq!(taper_cost::params(&graph).0, params, "width {width_mult}");
    }
}

#[test]
fn no_classes_and_absurd_widths_are_refused() {
    assert!(matches!(create("mobilenetv2_100", 0), Err(Error::Graph { .. })));
    for width_mult in [1e9, f64::INFINITY] {
        assert!(mobilenet_v2(Scaling::width(width_mult), 10).is_err(), "{width_mult}");
    }
    for width_mult in [0.0, -1.0, f64::NAN] {
        let narrowest = mobilenet_v2(Scaling::width(width_mult), 10).unwrap();
        assert_eq!(narrowest.params()[0].shape[0], 8, "{width_mult}");
    }
}

#[test]
fn aliases_and_bare_names_mean_the_default_weights() {
    for name in ["mobilenet_v2", "mobilenetv2_100", "mobilenetv2_100.tv_in1k"] {
        assert_eq!(record(name).unwrap().name, "mobilenetv2_100.tv_in1k");
    }
    assert_eq!(record("mobilenetv2_050").unwrap().name, "mobilenetv2_050.lamb_in1k");
    assert!(matches!(record("mobilenetv2_035"), Err(Error::NoWeights { .. })));
}

#[test]
fn underscores_hyphens_and_case_do_not_matter() {
    let name = |spelled: &str| architecture(spelled).unwrap().name;
    assert_eq!(name("mobilenet_v3_large_075"), "mobilenetv3_large_075");
    assert_eq!(name("MobileNetV3-Small"), "mobilenetv3_small_100");
    assert_eq!(name("efficientnet_v2_s"), "efficientnetv2_s");
    assert_eq!(name("mnasnet1_0.tv_in1k"), "mnasnet_100");
    assert!(architecture("mobilenetv3").is_err());
}

#[test]
fn unknown_names_are_told_the_nearest() {
    let nearest = |name: &str| match record(name) {
        Err(Error::UnknownName { nearest, .. }) => nearest,
        other => panic!("{other:?}"),
    };
    assert_eq!(nearest("mobilnet_v2"), "mobilenet_v2");
    assert_eq!(nearest("mobilenetv2_100.tv_in2k"), "mobilenetv2_100.tv_in1k");
    let endless = "x".repeat(100_000);
    assert!(!nearest(&endless).is_empty());
    assert!(!nearest("").is_empty());
}

#[test]
fn weights_under_the_names_of_their_file_make_a_model_and_others_do_not() {
    // The names of torchvision's file, from its own rule: features.N is the N-th block.
    let record = record("mobilenetv2_100.tv_in1k").unwrap();
    let graph = create("mobilenetv2_100", 1000).unwrap();
    let random = Model::random(graph, 0, Preprocess::imagenet(), imagenet::classes()).unwrap();
    let specs = random.graph().params().iter();
    let mut tensors: std::collections::BTreeMap<_, _> = specs
        .map(|spec| torchvision_name(&spec.name))
        .zip(random.tensors().iter().cloned())
        .collect();
    let file = &record.sources[0];
    assert_eq!(record.model(file, tensors.clone()).unwrap().tensors(), random.tensors());
    let norm = tensors.remove("features.18.1.weight").unwrap();
    let cause = |tensors| {
        let error = record.model(file, tensors).unwrap_err();
        std::error::Error::source(&error).unwrap().to_string()
    };
    let missing = cause(tensors.clone());
    assert!(missing.ends_with("missing: `bn2.weight`"), "{missing}");
    tensors.insert("features.18.1.gamma".to_owned(), norm);
    let renamed = cause(tensors);
    let expected = "missing: `bn2.weight` (nearest in the file: `features.18.1.gamma`)";
    assert!(renamed.contains(expected), "{renamed}");
}

/// torchvision's name for one of ours, written independently of the key map.
fn torchvision_name(name: &str) -> String {
    let blocks_before = [0, 1, 3, 6, 10, 13, 16]; // before each stage, after the stem
    let parts: Vec<&str> = name.split('.').collect();
    let top = |module: &str| format!("{module}.{}", parts[1]);
    match parts[0] {
        "conv_stem" => top("features.0.0"),
        "bn1" => top("features.0.1"),
        "conv_head" => top("features.18.0"),
        "bn2" => top("features.18.1"),
        "classifier" => top("classifier.1"),
        _ => {
            let (stage, block): (usize, usize) =
                (parts[1].parse().unwrap(), parts[2].parse().unwrap());
            let place = if stage == 0 {
                ["conv.0.0", "conv.0.1", "conv.1", "conv.2"][["conv_dw", "bn1", "conv_pw", "bn2"]
                    .iter()
                    .position(|m| *m == parts[3])
                    .unwrap()]
            } else {
                ["conv.0.0", "conv.0.1", "conv.1.0", "conv.1.1", "conv.2", "conv.3"][[
                    "conv_pw", "bn1", "conv_dw", "bn2", "conv_pwl", "bn3",
                ]
                .iter()
                .position(|m| *m == parts[3])
                .unwrap()]
            };
            format!("features.{}.{place}.{}", blocks_before[stage] + block + 1, parts[4])
        }
    }
}

#[cfg(feature = "embedded")]
#[test]
fn the_embedded_model_is_complete_and_says_where_it_is_from() {
    let model = crate::pretrained("mobilenet_v2").unwrap();
    let record = record("mobilenet_v2").unwrap();
    assert_eq!(model.graph(), &create("mobilenetv2_100", 1000).unwrap());
    assert_eq!(model.provenance().sha256.as_deref(), Some(record.sources[0].sha256));
    assert_eq!((model.preprocess(), model.classes().len()), (&record.preprocess, 1000));
    // First numbers of the published file: features.0.1.weight and classifier.1.bias, exact because norms and biases stay f32.
    let first = |name: &str| model.tensor(name).unwrap().data[0];
    assert_eq!(first("bn1.weight").to_bits(), 0x3d1c_248f);
    assert_eq!(first("classifier.bias").to_bits(), 0x3d41_483b);
    assert!(model.tensors().iter().all(|tensor| tensor.data.iter().all(|v| v.is_finite())));
}

#[cfg(feature = "embedded")]
#[test]
fn the_embedded_file_is_what_writing_it_again_gives() {
    let record = record("mobilenet_v2").unwrap();
    let bytes = crate::embedded(record).unwrap();
    let again = Model::from_bytes(bytes).unwrap().to_bytes(taper_model::Precision::F16).unwrap();
    assert!(again == bytes, "run `cargo xtask weights embed`");
}
