//! Every set of weights: what its record says, and that torchvision's are for the networks we have.
//!
//! Above: `cargo test`. Below: `record`, `peers`. Not here: real weights (`tests/golden`).
//! `records.txt` is written by `tests/generators/records.py` from torchvision's modules.

use std::collections::{BTreeMap, BTreeSet};

use taper_graph::{Graph, Op, ParamSpec};
use taper_model::Error::{Norms, Paddings, StateDictMismatch};
use taper_model::{Model, Preprocess, Provenance, Tensor};

use super::peers::{self, Peer};
use crate::architecture::squashed;
use crate::{Architecture, Check, Keys, Options, Place, Record, architecture, architectures};
use crate::{create, record, records};

const PEERS: &str = include_str!("records.txt");
/// Licences with an SPDX name, and one that only its publisher has.
const LICENCES: [&str; 4] = ["Apache-2.0", "BSD-3-Clause", "MIT", "mobileone-license"];

#[test]
fn there_are_weights_for_every_family_but_lenet() {
    assert!(records().len() >= 60, "{}", records().len());
    let with: BTreeSet<&str> = records().iter().map(Record::architecture_name).collect();
    for name in ["mobilenetv1_100", "mobilenetv4_conv_small", "lcnet_100", "semnasnet_100"] {
        assert!(with.contains(name), "{name}");
    }
    for name in ["efficientnet_b7", "tf_efficientnet_lite4", "efficientnet_es", "resnet50", "vgg16"]
    {
        assert!(with.contains(name), "{name}");
    }
    for name in ["tf_efficientnetv2_b0", "mobileone_s0", "repvit_m0_9", "test_efficientnet"] {
        assert!(with.contains(name), "{name}");
    }
}

#[test]
fn records_are_well_formed() {
    for Record { name, preprocess, top1, licence, sources, .. } in records() {
        assert!(preprocess.validate().is_ok() && (0.4..0.9).contains(top1), "{name}");
        assert!(preprocess.crop_pct > 0.85 && preprocess.input_size[0] >= 160, "{name}");
        assert!(preprocess.mean.iter().all(|mean| (0.0..=0.5).contains(mean)), "{name}");
        assert!(preprocess.std.iter().all(|std| (0.2..=1.0).contains(std)), "{name}");
        assert!(LICENCES.contains(licence), "{name}: {licence}");
        assert!(!sources.is_empty() && architecture(name).is_ok(), "{name}");
        for source in *sources {
            let (sha256, file) = (source.sha256, source.file_name());
            let is_hash = (8..=64).contains(&sha256.len()) && sha256.chars().all(is_hex);
            assert!(is_hash || sha256.is_empty(), "{name}: {sha256}");
            match source.place {
                Place::Hub { repo, file } => {
                    assert_eq!((repo, file), (&*format!("timm/{name}"), "model.safetensors"));
                }
                // Names of released files carry the beginning of their hash.
                _ => assert!(is_hash && file.contains(&sha256[..8]), "{name}: {file}"),
            }
        }
    }
}

#[test]
fn every_file_says_what_it_is_checked_against() {
    let mut counts: BTreeMap<Check, usize> = BTreeMap::new();
    for source in records().iter().flat_map(|record| record.sources) {
        let expected = match (source.sha256, source.place) {
            ("", Place::Hub { .. }) => Check::Server,
            ("", _) => Check::Length,
            (whole, _) if whole.len() == 64 => Check::Sha256,
            (part, _) => Check::Prefix { digits: part.len() },
        };
        assert_eq!(source.check(), expected, "{source}");
        *counts.entry(source.check()).or_default() += 1;
    }
    let told: Vec<_> = counts.iter().map(|(check, n)| format!("{n}: {check}")).collect();
    let expected =
        ["6: sha256", "65: 8 digits of sha256", "2: 10 digits of sha256", "74: the hub's word"];
    assert_eq!(told, expected);
}

fn is_hex(char: char) -> bool {
    matches!(char, '0'..='9' | 'a'..='f')
}

#[test]
fn records_and_architectures_name_each_thing_once() {
    let mut names: Vec<&str> = architectures().map(|a| a.name).collect();
    names.extend(architectures().flat_map(|a| a.aliases));
    names.extend(records().iter().flat_map(|record| record.aliases.iter().chain([&record.name])));
    let spelled: BTreeSet<String> = names.iter().map(|name| squashed(name)).collect();
    assert_eq!(spelled.len(), names.len());
}

#[test]
fn every_name_and_alias_finds_its_record() {
    for it in records() {
        for name in it.aliases.iter().chain([&it.name]) {
            assert_eq!(record(name).unwrap().name, it.name, "{name}");
        }
    }
    assert_eq!(record("efficientnet_v2_s.tv_in1k").unwrap().name, "efficientnetv2_s.tv_in1k");
    assert_eq!(record("MobileNet-V3-Small.tv_in1k").unwrap().name, "mobilenetv3_small_100.tv_in1k");
    assert!(record("mobilenetv3_small_100.tv2_in1k").is_err());
}

#[test]
fn one_file_has_one_record() {
    let mut files = BTreeMap::new();
    for record in records() {
        for source in record.sources.iter().filter(|source| !source.sha256.is_empty()) {
            let of = files.insert(&source.sha256[..8], record.name).unwrap_or(record.name);
            assert_eq!(of, record.name, "{}", source.sha256);
        }
    }
}

#[test]
fn networks_cost_what_their_records_say_at_the_size_of_evaluation() {
    for record in records() {
        let Architecture { params, .. } = *record.architecture().unwrap();
        let graph = record.graph_with(&Options::classes(1000)).unwrap();
        assert_eq!(taper_cost::params(&graph).0, params, "{}", record.name);
        let [h, w] = record.preprocess.input_size;
        assert_eq!(taper_cost::macs(&graph, h, w).unwrap().0, record.macs, "{}", record.name);
    }
}

/// Lines of `records.txt`.
fn rows() -> impl Iterator<Item = [&'static str; 9]> {
    let lines = PEERS.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split(' ').collect::<Vec<_>>().try_into().unwrap())
}

/// What torchvision's module is, and the size of its pictures.
fn published() -> impl Iterator<Item = (&'static Record, Peer)> {
    rows().map(|row| {
        let [name, size, _resize, params, macs, _, _, tensors, operations] = row;
        let (tensors, operations) = (tensors.to_owned(), operations.to_owned());
        let input_size = size.parse().unwrap();
        let [params, macs] = [params, macs].map(|count| count.parse().unwrap());
        (record(name).unwrap(), Peer { input_size, params, macs, tensors, operations })
    })
}

#[test]
fn torchvisions_weights_are_for_our_networks_to_the_last_tensor_and_operation() {
    for (record, peer) in published() {
        let name = record.name;
        assert_eq!(record.preprocess.input_size, [peer.input_size; 2], "{name}");
        let graph = record.graph_with(&Options::classes(1000)).unwrap();
        let tensors = peers::digest(names_in_the_file(record.sources[0].keys, &graph));
        assert_eq!(peers::describe(&graph, peer.input_size, tensors), peer, "{name}");
    }
    let ours = records().iter().filter(|record| record.tag().starts_with("tv"));
    assert_eq!(published().count(), ours.count());
}

/// eps and momentum of all norms.
fn norms(graph: &Graph) -> BTreeSet<String> {
    let norms = graph.nodes().iter().filter_map(|node| match node.op() {
        Op::BatchNorm { eps, momentum } => Some(format!("{eps} {}", momentum.unwrap())),
        _ => None,
    });
    norms.collect()
}

/// Why no tensors, under the names of a project, do not make a model of a graph: they are missing, unless the graph is refused first.
fn refusal(keys: Keys, graph: &Graph) -> taper_model::Error {
    let (keymap, preprocess) = (keys.keymap(graph), Preprocess::imagenet());
    let (none, provenance) = (BTreeMap::new(), Provenance::default());
    Model::from_tensors(graph.clone(), none, &keymap, preprocess, vec![], provenance).unwrap_err()
}

#[test]
fn torchvisions_weights_go_into_networks_with_torchvisions_norms_only() {
    let (mut with_norms, mut apart) = (0, 0);
    for [name, _, _, _, _, eps, momentum, ..] in rows() {
        let record = record(name).unwrap();
        let graph = record.graph_with(&Options::classes(10)).unwrap();
        let (eps, momentum): (f64, f64) = (eps.parse().unwrap(), momentum.parse().unwrap());
        let expected = (eps > 0.0).then(|| format!("{eps} {momentum}"));
        assert_eq!(norms(&graph), expected.into_iter().collect(), "{name}");

        let Some(keys) = record.sources.iter().map(|it| it.keys).find(|keys| *keys != Keys::Timm)
        else {
            continue; // timm's own copies, of networks whose norms are torchvision's
        };
        assert!(matches!(refusal(keys, &graph), StateDictMismatch { .. }), "{name}");
        let plain = create(record.architecture_name(), 10).unwrap();
        match refusal(keys, &plain) {
            StateDictMismatch { .. } => {
                let is_same = |norm: &String| norm.starts_with(&format!("{eps} "));
                assert!(norms(&plain).iter().all(is_same), "{name}");
            }
            Norms { got, expected, .. } => {
                assert_eq!((got, expected), (1e-5, eps), "{name}");
                apart += 1;
            }
            error => panic!("{name}: {error}"),
        }
        // Any other eps is refused, for all families.
        let other = graph.map_ops(|node| match node.op() {
            Op::BatchNorm { eps, momentum } => {
                Op::BatchNorm { eps: 2.0 * eps, momentum: *momentum }
            }
            op => op.clone(),
        });
        if !norms(&graph).is_empty() {
            assert!(matches!(refusal(keys, &other.unwrap()), Norms { .. }), "{name}");
            with_norms += 1;
        }
    }
    // MobileNetV3, EfficientNet B5 to B7 and V2 differ from timm's.
    assert_eq!((apart, with_norms), (9, 20));
}

#[test]
fn torchvisions_weights_do_not_go_into_tensorflows_paddings() {
    for (record, twin) in [
        ("mobilenetv3_small_100.tv_in1k", "tf_mobilenetv3_small_100"),
        ("efficientnet_b0.tv_in1k", "tf_efficientnet_b0"),
        ("tf_efficientnet_lite0.ml_illustrated_in1k", "efficientnet_lite0"),
    ] {
        let Ok(graph) = create(twin, 10) else { panic!("{twin}") };
        let keys = self::record(record).unwrap().sources[0].keys;
        let graph = keys.naming().unwrap().with_norms(&graph).unwrap();
        assert!(matches!(refusal(keys, &graph), Paddings { .. }), "{twin}");
    }
}

/// The names and shapes that a file must have, by the key map read backward.
fn names_in_the_file(keys: Keys, graph: &Graph) -> Vec<String> {
    let keymap = keys.keymap(graph);
    let is_linear = |name: &str| match keys {
        Keys::TorchvisionMobileNetV3 => name == "conv_head.weight",
        Keys::TorchvisionVgg => name.starts_with("pre_logits.fc") && name.ends_with(".weight"),
        _ => false,
    };
    let line = |spec: &ParamSpec| {
        let shape = match is_linear(&spec.name) {
            true => vec![spec.shape[0], spec.shape[1..].iter().product()],
            false => spec.shape.clone(),
        };
        format!("{} {}", keymap.name_in_file(&spec.name), peers::joined(&shape))
    };
    graph.params().iter().map(line).collect()
}

#[test]
fn weights_under_the_names_of_their_file_make_a_model() {
    for name in ["mobilenetv3_small_100.tv_in1k", "mnasnet_050.tv_in1k", "efficientnet_b0.tv_in1k"]
    {
        let record = record(name).unwrap();
        let (source, graph) =
            (&record.sources[0], record.graph_with(&Options::classes(1000)).unwrap());
        let keymap = source.keys.keymap(&graph);
        let random = Model::random(graph, 0, record.preprocess, Vec::new()).unwrap();
        let specs = random.graph().params().iter();
        let tensors = specs.zip(random.tensors()).map(|(spec, tensor)| {
            let mut tensor: Tensor = tensor.clone();
            if name.starts_with("mobilenetv3") && spec.name == "conv_head.weight" {
                tensor.shape.truncate(2);
            }
            (keymap.name_in_file(&spec.name), tensor)
        });
        let model = record.model(source, tensors.collect()).unwrap();
        assert_eq!(model.tensors(), random.tensors(), "{name}");
    }
}
