//! Weights of strangers in networks of the zoo.
//!
//! Above: `cargo test`. Below: `trained`. Not here: published weights (`records`).

use std::collections::BTreeMap;

use taper_graph::{Graph, Op};
use taper_model::{Model, Preprocess, Tensor};

use crate::{Error, Keys, architecture, record};

/// A network's random tensors under the names of a project, in a module.
fn tensors(graph: &Graph, keys: Keys, prefix: &str) -> BTreeMap<String, Tensor> {
    let keymap = keys.keymap(graph);
    let model = Model::random(graph.clone(), 0, Preprocess::imagenet(), vec![]).unwrap();
    let names =
        graph.params().iter().map(|it| format!("{prefix}{}", keymap.name_in_file(&it.name)));
    names.zip(model.tensors().iter().cloned()).collect()
}

#[test]
fn names_of_every_project_are_known_and_classes_counted() {
    for (name, keys) in [
        ("mobilenetv2_035", Keys::Timm),
        ("mobilenetv2_035", Keys::TorchvisionMobileNetV2),
        ("mobilenetv3_small_100", Keys::Timm),
        ("mobilenetv3_small_100", Keys::TorchvisionMobileNetV3),
        ("efficientnet_b0", Keys::TorchvisionEfficientNet),
        ("mnasnet_050", Keys::TorchvisionMnasNet),
        ("tf_efficientnet_lite0", Keys::EfficientNetLitePytorch),
        ("repvit_m0_9", Keys::Timm),
        ("resnet18", Keys::Timm),
    ] {
        let architecture = architecture(name).unwrap();
        for (classes, prefix) in [(3, ""), (1, "model."), (1000, "model.net.")] {
            let graph = architecture.graph(classes).unwrap();
            let mut file = tensors(&graph, keys, prefix);
            file.insert(
                format!("{prefix}bn1.num_batches_tracked"),
                Tensor { shape: vec![], data: vec![1.0] },
            );
            let model = architecture.model_of(file, "mine.pth").unwrap();
            let expected = Model::random(graph, 0, Preprocess::imagenet(), vec![]).unwrap();
            assert_eq!(model.tensors(), expected.tensors(), "{name} {keys:?} {prefix}");
            let named = if classes == 1000 { 1000 } else { 0 };
            assert_eq!((model.classes().len(), &*model.provenance().source), (named, "mine.pth"));
        }
    }
}

#[test]
fn torchvisions_names_bring_torchvisions_norms_and_preprocessing() {
    let small = architecture("mobilenetv3_small_100").unwrap();
    let eps = |keys: Keys| {
        let graph = small.graph(4).unwrap();
        let model = small.model_of(tensors(&graph, keys, ""), "x").unwrap();
        let norms = model.graph().nodes().iter().filter_map(|node| match node.op() {
            Op::BatchNorm { eps, .. } => Some(*eps),
            _ => None,
        });
        let mut norms: Vec<f64> = norms.collect();
        norms.dedup();
        (norms, *model.preprocess())
    };
    let of = |name: &str| record(name).unwrap().preprocess;
    assert_eq!(eps(Keys::Timm), (vec![1e-5], of("mobilenetv3_small_100")));
    let torchvision = eps(Keys::TorchvisionMobileNetV3);
    assert_eq!(torchvision, (vec![1e-3], of("mobilenetv3_small_100.tv_in1k")));
}

#[test]
fn weights_of_another_network_are_refused_with_what_does_not_fit() {
    let file = tensors(&architecture("mobilenetv2_035").unwrap().graph(4).unwrap(), Keys::Timm, "");
    let refused = architecture("resnet18").unwrap().model_of(file, "x").unwrap_err();
    assert!(matches!(refused, Error::Model { .. }), "{refused}");
    assert!(architecture("resnet18").unwrap().model_of(BTreeMap::new(), "x").is_err());
}
