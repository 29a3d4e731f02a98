//! The model file.
//!
//! Above: `cargo test`. Below: `file`, `model`, `init`, `card`. Not here: other projects' files (`pth`).

use std::collections::BTreeMap;
use std::fs;

use taper_graph::{Bias, GraphBuilder, PoolKind};

use super::{chain, classes, graph, model};
use crate::tensors::{self, Archive};
use crate::{
    Confidence, Error, Familiarity, KeyMap, Model, ModelParts, Precision, Preprocess, Provenance,
    Task, Tensor,
};

/// The model file with one metadata entry changed, or without it.
fn with_metadata(key: &str, value: Option<&str>) -> crate::Result<Model> {
    let Archive { tensors, metadata } =
        Archive::from_safetensors(&model().to_bytes(Precision::F32).unwrap()).unwrap();
    let others = metadata.iter().filter(|(other, _)| *other != key);
    let mut metadata: BTreeMap<&str, String> =
        others.map(|(key, text)| (key.as_str(), text.clone())).collect();
    metadata.extend(value.map(|value| (key, value.to_owned())));
    let entries = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor, Precision::F32));
    Model::from_bytes(&tensors::to_safetensors(entries, &metadata))
}

#[test]
fn a_model_survives_its_file_and_equal_models_give_equal_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    model().save(&path).unwrap();
    assert_eq!(Model::load(&path).unwrap(), model());
    assert_eq!(fs::read(&path).unwrap(), model().to_bytes(Precision::F32).unwrap());
    let names: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
    assert_eq!(names.len(), 1); // nothing left aside
}

/// A model whose features are an output.
fn with_features() -> Model {
    let mut b = GraphBuilder::new(3).unwrap();
    let xs = b.global_pool("pool", b.input(), PoolKind::Avg, true).unwrap();
    b.output("pre_logits", xs).unwrap();
    let xs = b.linear("classifier", xs, 2, Bias::With).unwrap();
    b.output("logits", xs).unwrap();
    Model::random(b.build().unwrap(), 1, Preprocess::imagenet(), classes()).unwrap()
}

#[test]
fn confidence_survives_the_file_in_any_precision_and_no_change_of_weights() {
    let means: Vec<f32> = (0..9_u8).map(|i| (f32::from(i) * 0.7).sin() / 2.0).collect();
    let familiarity = Familiarity::new(&means, 3)
        .unwrap()
        .with_directions(&[0.6, 0.0, 0.8])
        .unwrap()
        .with_threshold(0.75, 0.95)
        .unwrap();
    let confidence = Confidence::new(1.25, 40).unwrap().with_familiarity(familiarity);
    let plain = Confidence::new(0.5, 8).unwrap();
    for confidence in [confidence.clone(), plain] {
        let model = with_features().with_confidence(Some(confidence)).unwrap();
        for precision in [Precision::F32, Precision::F16] {
            let read = Model::from_bytes(&model.to_bytes(precision).unwrap()).unwrap();
            assert_eq!(read.confidence(), model.confidence());
        }
        let softened = model.probabilities(&[1.0, 0.0]);
        let temperature = model.confidence().unwrap().temperature();
        assert_eq!(softened, Task::Classification.probabilities_at(&[1.0, 0.0], temperature));
        let tensors = model.tensors().to_vec();
        assert_eq!(model.clone().with_tensors(tensors).unwrap().confidence(), None);
        let names = model.classes().to_vec();
        assert!(model.with_classes(names).unwrap().confidence().is_some());
    }
    let other = Familiarity::new(&[0.6, 0.8], 2).unwrap();
    let other = Confidence::new(1.0, 1).unwrap().with_familiarity(other);
    for model in [model(), with_features()] {
        let refused = model.with_confidence(Some(other.clone()));
        assert!(matches!(refused, Err(Error::Confidence { .. })));
    }
}

#[test]
fn a_file_whose_confidence_cannot_be_is_refused_and_one_without_is_read() {
    assert_eq!(
        with_metadata("taper.provenance", Some("{\"source\":\"x\"}")).unwrap().confidence(),
        None
    );
    for text in [
        "{}",
        "{\"temperature\":0,\"images\":1}",
        "{\"temperature\":1e999,\"images\":1}",
        "{\"temperature\":1,\"images\":1,\"known_from\":0.5,\"kept\":0.95}",
        "{\"temperature\":1,\"images\":-1}",
    ] {
        let error = with_metadata("taper.confidence", Some(text)).unwrap_err();
        let expected = matches!(error, Error::Confidence { .. } | Error::Metadata { .. });
        assert!(expected, "{text}: {error}");
    }
    let good = with_metadata("taper.confidence", Some("{\"temperature\":2,\"images\":9}")).unwrap();
    assert_eq!(good.confidence().map(|it| it.images()), Some(9));
}

#[test]
fn the_safetensors_crate_reads_our_files() {
    let bytes = model().to_bytes(Precision::F16).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let dtype = |name: &str| file.tensor(name).unwrap().dtype();
    assert_eq!(dtype("conv.weight"), safetensors::Dtype::F16);
    assert_eq!(dtype("bn.running_var"), safetensors::Dtype::F32);
    assert_eq!(dtype("classifier.bias"), safetensors::Dtype::F32);
    let header_len = u64::from_le_bytes(*bytes.first_chunk().unwrap());
    assert_eq!(header_len % 8, 0); // so that mapped tensors are aligned
}

#[test]
fn half_precision_rounds_weights_and_keeps_the_rest() {
    let model = model();
    let weight = model.graph().param_id("conv.weight").unwrap().index();
    let var = model.graph().param_id("bn.running_var").unwrap().index();
    let mut tensors = model.tensors().to_vec();
    tensors[weight].data[0] = 1.0 / 3.0;
    tensors[var].data[0] = 5.6e-45; // a dead channel of torchvision's own weights
    let model = model.with_tensors(tensors).unwrap();
    let read = Model::from_bytes(&model.to_bytes(Precision::F16).unwrap()).unwrap();
    let third = half::f16::from_f32(1.0 / 3.0).to_f32();
    assert_eq!(read.tensors()[weight].data[0].to_bits(), third.to_bits());
    assert_eq!(read.tensors()[var], model.tensors()[var]);
}

#[test]
fn weights_that_half_precision_cannot_hold_stay() {
    let model = model();
    let weight = model.graph().param_id("conv.weight").unwrap().index();
    let mut tensors = model.tensors().to_vec();
    tensors[weight].data[0] = 1e5;
    let model = model.with_tensors(tensors).unwrap();
    let read = Model::from_bytes(&model.to_bytes(Precision::F16).unwrap()).unwrap();
    assert_eq!(read.tensors()[weight], model.tensors()[weight]);
}

#[test]
fn every_cut_of_a_file_is_refused() {
    let bytes = model().to_bytes(Precision::F32).unwrap();
    for len in (0..bytes.len()).step_by(7) {
        assert!(Model::from_bytes(&bytes[..len]).is_err(), "{len}");
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(Model::from_bytes(&longer).is_err());
}

#[test]
fn headers_that_lie_are_refused() {
    let file = |header: &str, data: &[u8]| {
        let len = (header.len() as u64).to_le_bytes();
        let bytes = [len.as_slice(), header.as_bytes(), data].concat();
        tensors::from_bytes(&bytes)
    };
    let entry = |shape: &str, offsets: &str| {
        format!(r#"{{"a":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}}}"#)
    };
    assert!(file(&entry("[2]", "[0,8]"), &[0; 8]).is_ok());
    assert!(file(&entry("[3]", "[0,8]"), &[0; 8]).is_err());
    assert!(file(&entry("[2]", "[0,800]"), &[0; 8]).is_err());
    assert!(file(&entry("[2]", "[8,0]"), &[0; 8]).is_err());
    assert!(file(&entry("[4611686018427387904,4]", "[0,8]"), &[0; 8]).is_err());
    assert!(file(&entry("[-1]", "[0,8]"), &[0; 8]).is_err());
    assert!(file("{", &[]).is_err());
    assert!(tensors::from_bytes(&u64::MAX.to_le_bytes()).is_err());
    assert!(tensors::from_bytes(b"").is_err());
    let complex = r#"{"a":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}}"#;
    assert!(matches!(file(complex, &[0; 2]), Err(Error::DType { .. })));
}

#[test]
fn metadata_that_is_missing_or_wrong_is_named() {
    let error =
        |key: &'static str, value: Option<&str>| chain(&with_metadata(key, value).unwrap_err());
    assert!(error("taper.version", None).contains("bare weights"));
    assert!(error("taper.version", Some("2")).contains("version 2"));
    assert!(error("taper.graph", Some("{}")).contains("no graph in JSON"));
    assert!(error("taper.preprocess", Some("null")).contains("`taper.preprocess`"));
    assert!(
        error("taper.classes", Some(r#"["a","b","c"]"#))
            .contains("3 class names, but the network tells 2")
    );
    assert!(error("taper.provenance", None).contains("`taper.provenance`"));
    let nan = r#"{"input_size":[224,224],"mean":[0,0,0],"std":[0,1,1],"crop_pct":1,"interpolation":"bicubic"}"#;
    assert!(error("taper.preprocess", Some(nan)).contains("std is [0.0, 1.0, 1.0]"));
    let huge = r#"{"input_size":[4000000000,1],"mean":[0,0,0],"std":[1,1,1],"crop_pct":1,"interpolation":"bicubic"}"#;
    assert!(error("taper.preprocess", Some(huge)).contains("input size"));
}

#[test]
fn everything_that_does_not_fit_is_told_at_once() {
    let tensor =
        |shape: &[usize]| Tensor { shape: shape.to_vec(), data: vec![0.0; shape.iter().product()] };
    let random = model();
    let names = random.graph().params().iter().map(|spec| spec.name.clone());
    let mut tensors: BTreeMap<String, Tensor> =
        names.zip(random.tensors().iter().cloned()).collect();
    tensors.insert("bn.num_batches_tracked".to_owned(), tensor(&[]));
    let fit = |tensors| {
        let (preprocess, provenance) = (Preprocess::imagenet(), Provenance::default());
        Model::from_tensors(
            graph(),
            tensors,
            &KeyMap::identity(),
            preprocess,
            classes(),
            provenance,
        )
    };
    assert_eq!(fit(tensors.clone()).unwrap().tensors(), random.tensors());
    tensors.remove("bn.bias");
    tensors.insert("extra.weight".to_owned(), tensor(&[1]));
    tensors.insert("classifier.weight".to_owned(), tensor(&[5, 4]));
    assert_eq!(
        fit(tensors).unwrap_err().to_string(),
        "the weights do not fit the network: missing: `bn.bias`; not in the network: `extra.weight`; \
         `classifier.weight` has shape [5, 4], the network says [2, 4]"
    );
}

#[test]
fn parts_that_were_changed_apart_do_not_make_a_model() {
    let ModelParts { graph, mut tensors, preprocess, classes, provenance } = model().into_parts();
    tensors[0].data.pop();
    tensors.pop();
    let text = model().with_tensors(tensors.clone()).unwrap_err().to_string();
    assert!(
        text.contains("missing: `classifier.bias`") && text.contains("`conv.weight`"),
        "{text}"
    );
    let again = Model::new(graph.clone(), tensors, preprocess, classes.clone(), provenance.clone());
    assert_eq!(again.unwrap_err().to_string(), text);
    let whole = model().tensors().to_vec();
    assert_eq!(Model::new(graph, whole, preprocess, classes, provenance).unwrap(), model());
}

#[test]
fn a_model_is_changed_only_to_one_that_fits() {
    let crooked = Preprocess { std: [0.0; 3], ..Preprocess::imagenet() };
    assert!(matches!(model().with_preprocess(crooked), Err(Error::Preprocess { .. })));
    let small = Preprocess { input_size: [64, 48], ..Preprocess::imagenet() };
    assert_eq!(model().with_preprocess(small).unwrap().preprocess(), &small);
    let three = vec!["a".to_owned(), "b".to_owned(), "c".to_owned()];
    let refused = model().with_classes(three);
    assert!(matches!(refused, Err(Error::Classes { got: 3, expected: 2 })));
    assert!(model().with_classes(Vec::new()).unwrap().classes().is_empty());
    let provenance = Provenance { source: "mine".to_owned(), ..Provenance::default() };
    assert_eq!(model().with_provenance(provenance.clone()).provenance(), &provenance);
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let text = |path: &std::path::Path| chain(&Model::load(path).unwrap_err());
    assert!(text(&dir.path().join("absent")).contains("absent`: reading failed"));
    assert!(text(dir.path()).contains("no regular file"));
    let path = dir.path().join("bare.safetensors");
    let bare = tensors::to_safetensors([], &BTreeMap::new());
    fs::write(&path, &bare).unwrap();
    assert!(text(&path).contains("no `taper.version` in its metadata"));
}

#[test]
fn a_write_that_fails_leaves_the_old_file_and_nothing_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("taken");
    fs::create_dir(&path).unwrap();
    let model = Model::random(graph(), 0, Preprocess::imagenet(), classes()).unwrap();
    assert!(matches!(model.save(&path), Err(Error::Write { path: named, .. }) if named == path));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    model.save(dir.path().join("made/on/the/way")).unwrap();
}

#[test]
fn random_weights_depend_on_seed_and_name_only() {
    let weights = |seed| Model::random(graph(), seed, Preprocess::imagenet(), classes()).unwrap();
    assert_eq!(weights(3), weights(3));
    assert_ne!(weights(3).tensor("conv.weight"), weights(4).tensor("conv.weight"));
    assert_eq!(weights(3).tensor("bn.weight").unwrap().data, [1.0; 4]);
    assert_eq!(weights(3).tensor("bn.running_mean").unwrap().data, [0.0; 4]);
}

#[test]
fn initial_values_have_the_spread_that_is_asked_for() {
    use taper_graph::{DType, Init, ParamRole, ParamSpec};
    let spread = |init| {
        let (name, shape) = ("w".to_owned(), vec![64, 4, 3, 3]);
        let spec = ParamSpec {
            name,
            shape,
            dtype: DType::F32,
            role: ParamRole::Weight,
            axes: vec![],
            init,
        };
        let data = crate::init::sample(&spec, 0).data;
        let n = data.len() as f32;
        let mean = data.iter().sum::<f32>() / n;
        let largest = data.iter().fold(0.0f32, |max, v| max.max(v.abs()));
        (mean, (data.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / n).sqrt(), largest)
    };
    let (mean, std, _) = spread(Init::KaimingFanOut); // fan out 64 · 9
    assert!(
        mean.abs() < 0.005 && (std / (2.0f32 / 576.0).sqrt() - 1.0).abs() < 0.05,
        "{mean} {std}"
    );
    let (_, std, largest) = spread(Init::Uniform { bound: 0.3 });
    assert!(largest < 0.3 && (std * 3f32.sqrt() / 0.3 - 1.0).abs() < 0.05, "{std} {largest}");
}

#[test]
fn a_file_says_what_its_logits_are_and_one_that_does_not_is_of_classes() {
    let model = model();
    assert_eq!(model.task(), Task::Classification);
    let plain = model.to_bytes(Precision::F32).unwrap();
    assert!(!String::from_utf8_lossy(&plain).contains("taper.task"), "older programs read it");
    for task in [Task::MultiLabel, Task::Regression] {
        let told = model.clone().with_task(task);
        let read = Model::from_bytes(&told.to_bytes(Precision::F32).unwrap()).unwrap();
        assert_eq!((read.task(), read == told), (task, true));
    }
}

#[test]
fn averaged_classifiers_are_rescaled_together() {
    use taper_graph::{Bias, GraphBuilder, PoolKind};
    let mut b = GraphBuilder::new(4).unwrap();
    let xs = b.global_pool("pool", b.input(), PoolKind::Avg, true).unwrap();
    let [first, second] = ["head", "dist"].map(|name| b.linear(name, xs, 2, Bias::With).unwrap());
    let sum = b.add("add", first, second).unwrap();
    let mean = b.scale("mean", sum, 0.5).unwrap();
    b.output("logits", mean).unwrap();
    let old = Model::random(b.build().unwrap(), 3, Preprocess::imagenet(), vec![]).unwrap();
    let new = crate::rescale_classifier(&old, &[2.0, 3.0], &[10.0, -20.0]).unwrap();
    // The logits of an image of ones, by hand.
    let logits = |model: &Model| {
        let of = |name: &str, i: usize| {
            let [weight, bias] =
                ["weight", "bias"].map(|it| &model.tensor(&format!("{name}.{it}")).unwrap().data);
            weight[4 * i..4 * i + 4].iter().sum::<f32>() + bias[i]
        };
        [0, 1].map(|i| 0.5 * (of("head", i) + of("dist", i)))
    };
    let [a, b] = logits(&old);
    for (got, expected) in logits(&new).into_iter().zip([2.0 * a + 10.0, 3.0 * b - 20.0]) {
        assert!((got - expected).abs() < 1e-4, "{got} {expected}");
    }
    assert!(crate::rescale_classifier(&old, &[2.0], &[1.0]).is_err());
}
