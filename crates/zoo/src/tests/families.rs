//! What holds for every network of every family.
//!
//! Above: `cargo test`. Below: the families. Not here: what peers say of them (`peers`).

use taper_graph::{Extent, Graph, Op, ScopeKind};

use taper_model::{Model, Preprocess, adapt_channels, reset_classifier};

use crate::mobilenet_v2::Scaling;
use crate::{Architecture, Error, Options, architecture, architectures};

fn params(graph: &Graph) -> u64 {
    taper_cost::params(graph).0
}

fn graph(name: &str, options: &Options) -> Graph {
    architecture(name).unwrap().graph_with(options).unwrap()
}

/// One network of each family, the smallest.
fn smallest() -> [&'static Architecture; 14] {
    let names = [
        "mobilenetv1_100",
        "mobilenetv2_035",
        "mobilenetv3_small_050",
        "mobilenetv4_conv_small_035",
        "mnasnet_small",
        "test_efficientnet",
        "efficientnet_lite0",
        "efficientnet_es",
        "tf_efficientnetv2_b0",
        "mobileone_s0",
        "repvit_m0_9",
        "test_resnet",
        "vgg11",
        "lenet5",
    ];
    names.map(|name| architecture(name).unwrap())
}

#[test]
fn outputs_are_a_map_a_vector_and_the_logits() {
    for architecture in architectures() {
        let graph = architecture.graph(7).unwrap();
        let extents = graph.extents(architecture.input_size, architecture.input_size).unwrap();
        let at = |name: &str| extents[graph.output(name).unwrap().index()];
        let (Extent::Map { h, w, c }, name) = (at("features"), architecture.name) else {
            panic!("features of {}", architecture.name)
        };
        assert!(h == w && h > 1 && c > 1, "{name}: features of {h}x{w}x{c}");
        assert!(matches!(at("pre_logits"), Extent::Vector { .. }), "{name}");
        assert_eq!(at("logits"), Extent::Vector { c: 7 }, "{name}");
    }
}

#[test]
fn scopes_cover_every_node_but_the_image() {
    for architecture in architectures() {
        let graph = architecture.graph(10).unwrap();
        let top = [ScopeKind::Stem, ScopeKind::Stage, ScopeKind::Head, ScopeKind::Classifier];
        let tops = graph.scopes().iter().filter(|scope| top.contains(&scope.kind()));
        let covered: usize = tops.map(|scope| scope.nodes().len()).sum();
        assert_eq!(covered + 1, graph.nodes().len(), "{}", architecture.name);
        let classifier = graph.find_scope("classifier").unwrap();
        assert_eq!(classifier.kind(), ScopeKind::Classifier, "{}", architecture.name);
        assert_eq!(classifier.last(), graph.output("logits").unwrap(), "{}", architecture.name);
    }
}

#[test]
fn every_family_takes_any_number_of_channels_and_classes() {
    for architecture in smallest() {
        let options = Options { in_channels: 5, ..Options::classes(3) };
        let graph = architecture.graph_with(&options).unwrap();
        let first = &graph.params()[0];
        assert_eq!(first.shape[1], 5, "{} of {}", first.name, architecture.name);
        assert!(architecture.graph(0).is_err(), "{}", architecture.name);
        let none = Options { in_channels: 0, ..options };
        let error = architecture.graph_with(&none).unwrap_err();
        assert!(matches!(error, Error::Graph { .. }), "{}", architecture.name);
    }
}

#[test]
fn weights_of_every_family_are_adapted_to_other_channels_and_classes() {
    // VGG's 133 million random numbers would prove no more.
    for architecture in smallest().into_iter().filter(|it| it.params < 10_000_000) {
        let input_size = [architecture.input_size; 2];
        let preprocess = Preprocess { input_size, ..Preprocess::imagenet() };
        let graph = architecture.graph(10).unwrap();
        let model = Model::random(graph, 1, preprocess, Vec::new()).unwrap();
        let classes = ["a", "b"].map(str::to_owned);
        let adapted = adapt_channels(&model, 2).unwrap();
        let adapted = reset_classifier(&adapted, &classes, 1).unwrap();
        let options = Options { in_channels: 2, ..Options::classes(2) };
        let expected = architecture.graph_with(&options).unwrap();
        // How weights would begin depends on the first layer's fan, and stays: these are trained.
        let shapes = |graph: &Graph| -> Vec<_> {
            graph.params().iter().map(|spec| (spec.name.clone(), spec.shape.clone())).collect()
        };
        assert_eq!(shapes(adapted.graph()), shapes(&expected), "{}", architecture.name);
        assert_eq!(adapted.graph().nodes(), expected.nodes(), "{}", architecture.name);
    }
}

#[test]
fn every_family_becomes_wider_and_deeper() {
    for architecture in smallest() {
        let size = |width_mult, depth_mult| {
            let scaling = Scaling { width_mult, depth_mult };
            let options = Options { scaling, ..Options::classes(1000) };
            params(&architecture.graph_with(&options).unwrap())
        };
        let name = architecture.name;
        assert_eq!(size(1.0, 1.0), architecture.params, "{name}");
        assert!(size(2.0, 1.0) > size(1.0, 1.0), "{name} is not wider");
        assert!(size(0.5, 1.0) < size(1.0, 1.0), "{name} is not narrower");
        let has_one_depth = name == "lenet5";
        assert!(has_one_depth || size(1.0, 2.0) > size(1.0, 1.0), "{name} is not deeper");
        let endless = Options { scaling: Scaling::width(f64::INFINITY), ..Options::classes(10) };
        assert!(architecture.graph_with(&endless).is_err(), "{name}");
    }
}

#[test]
fn endless_depth_is_refused() {
    let scaling = Scaling { width_mult: 1.0, depth_mult: f64::INFINITY };
    let options = Options { scaling, ..Options::classes(10) };
    let error = architecture("mobilenetv1_100").unwrap().graph_with(&options).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("node count is too large"), "{cause}");
}

#[test]
fn scaling_an_architecture_gives_the_next_one() {
    let options = Options { scaling: Scaling::width(0.75), ..Options::classes(1000) };
    let [scaled, named] = [
        graph("mobilenetv3_small_100", &options),
        graph("mobilenetv3_small_075", &Options::classes(1000)),
    ];
    assert_eq!(scaled, named);
}

#[test]
fn lenet_has_the_parameters_that_every_textbook_counts() {
    let options = Options { in_channels: 1, ..Options::classes(10) };
    assert_eq!(params(&graph("lenet5", &options)), 61_706);
}

#[test]
fn torchvisions_networks_have_as_many_parameters_as_it_says() {
    // torchvision 0.26, `weights.meta["num_params"]`.
    let published = [
        ("mobilenet_v2", 3_504_872),
        ("mobilenet_v3_small", 2_542_856),
        ("mobilenet_v3_large", 5_483_032),
        ("efficientnet_b0", 5_288_548),
        ("efficientnet_b1", 7_794_184),
        ("efficientnet_b2", 9_109_994),
        ("efficientnet_b3", 12_233_232),
        ("efficientnet_b4", 19_341_616),
        ("efficientnet_b5", 30_389_784),
        ("efficientnet_b6", 43_040_704),
        ("efficientnet_b7", 66_347_960),
        ("efficientnet_v2_s", 21_458_488),
        ("efficientnet_v2_m", 54_139_356),
        ("efficientnet_v2_l", 118_515_272),
        ("mnasnet0_5", 2_218_512),
        ("mnasnet1_0", 4_383_312),
        ("resnet18", 11_689_512),
        ("resnet34", 21_797_672),
        ("resnet50", 25_557_032),
        ("vgg11", 132_863_336),
        ("vgg16", 138_357_544),
    ];
    for (name, n) in published {
        assert_eq!(params(&graph(name, &Options::classes(1000))), n, "{name}");
    }
}

#[test]
fn dropout_stands_before_the_classifier_where_the_reference_trains_with_it() {
    let rate = |name: &str| {
        let graph = graph(name, &Options::classes(10));
        graph.nodes().iter().rev().find_map(|node| match node.op() {
            Op::Dropout { p } => Some(*p),
            _ => None,
        })
    };
    assert_eq!(rate("mobilenetv3_large_100"), Some(0.2));
    assert_eq!(rate("efficientnet_b7"), Some(0.5));
    assert_eq!(rate("vgg16"), Some(0.5));
    assert_eq!(rate("resnet50"), None);
}
