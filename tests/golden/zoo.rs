//! Networks of the zoo against their peers in PyTorch: the last map, the vector before the classifier and the logits.
//!
//! Above: `main`. Below: `zoo`, `engine::{Session, Trainer}`, `model::reparameterize`, `taper_tests::formula`. Not here: names, shapes and
//! operations of every variant (the zoo's own tests), every variant at its own size (`cargo xtask golden`), gradients (`step`).
//! Both sides make the parameters from their names; PyTorch computed in f64, we compute in f32.

use std::collections::BTreeMap;

use taper_engine::{Cpu, Real, Session, Trainer};
use taper_graph::{Graph, NodeId, Op, ParamId};
use taper_model::{Model, Preprocess, Provenance, Tensor, reparameterize};
use taper_tests::close::{Tolerance, assert_close, largest};
use taper_tests::fixture::Fixture;
use taper_tests::formula;

use crate::networks::to_f64;

/// Of the largest magnitude of an output, which is 0.3 to 20.
const LIMIT: f64 = 1e-4;

const TAPS: [&str; 3] = ["features", "pre_logits", "logits"];

/// The fixtures there are, and how many networks each has: `tests/fixtures/networks_<family>.safetensors`.
const FAMILIES: [(&str, usize); 15] = [
    ("mobilenet_v1", 1),
    ("mobilenet_v2", 2),
    ("mobilenet_v3", 6),
    ("mobilenet_v4", 4),
    ("lcnet", 1),
    ("mnasnet", 3),
    ("efficientnet", 3),
    ("efficientnet_lite", 2),
    ("efficientnet_edge", 2),
    ("efficientnet_v2", 3),
    ("mobileone", 2),
    ("repvit", 2),
    ("resnet", 3),
    ("vgg", 1),
    ("lenet", 1),
];

#[test]
fn sessions_agree() {
    for_every_network(|network| {
        for threads in [1, 2] {
            network.check_session(&network.model, &format!("a session on {threads}"), threads);
        }
    });
}

#[test]
fn trainers_of_nothing_agree() {
    for_every_network(|network| network.check_trainer());
}

#[test]
fn reparameterized_networks_agree() {
    let mut fused = 0;
    for_every_network(|network| {
        let model = reparameterize(&network.model).unwrap();
        if model.graph() != network.model.graph() {
            network.check_session(&model, "the reparameterized session", 1);
            fused += 1;
        }
    });
    // Those of MobileOne and RepViT.
    assert_eq!(fused, 4);
}

fn for_every_network(mut check: impl FnMut(&Network<'_>)) {
    for (family, count) in FAMILIES {
        let fixture = Fixture::open(&format!("networks_{family}"));
        let names: Vec<String> = serde_json::from_str(fixture.metadata("networks")).unwrap();
        assert_eq!(names.len(), count, "{family}");
        for name in names {
            check(&Network::new(&fixture, &name));
        }
    }
}

/// A network of a fixture, with its images.
struct Network<'a> {
    name: String,
    fixture: &'a Fixture,
    model: Model,
    /// Channels last.
    images: Vec<f32>,
    shape: [usize; 3],
}

impl<'a> Network<'a> {
    fn new(fixture: &'a Fixture, name: &str) -> Self {
        let input_size: [usize; 2] = serde_json::from_str(fixture.metadata("size")).unwrap();
        let classes: usize = fixture.metadata("classes").parse().unwrap();
        let graph = taper_zoo::create(name, classes).unwrap();
        let mut statistics = statistics(&graph, fixture, name);
        let value = |id: usize| {
            let spec = &graph.params()[id];
            let data = formula::parameter(spec).or_else(|| statistics.remove(&id)).unwrap();
            Tensor { shape: spec.shape.clone(), data }
        };
        let tensors = (0..graph.params().len()).map(value).collect();
        let preprocess = Preprocess { input_size, ..Preprocess::imagenet() };
        let provenance = Provenance::default();
        let model = Model::new(graph, tensors, preprocess, Vec::new(), provenance).unwrap();
        let [h, w] = input_size;
        let (images, shape) = formula::images("images", [2, h, w]).channels_last();
        let images = images.into_iter().map(f32::from_f64).collect();
        Self { name: name.to_owned(), fixture, model, images, shape }
    }

    fn check_session(&self, model: &Model, door: &str, threads: usize) {
        let nodes: [NodeId; 3] = TAPS.map(|tap| model.graph().output(tap).unwrap());
        let [_, h, w] = self.shape;
        let params = params(model);
        let mut session =
            Session::of_nodes(model.graph(), &params, &nodes, [h, w], threads).unwrap();
        let outputs = session.run_all(&self.images, self.shape).unwrap();
        for (tap, output) in TAPS.into_iter().zip(outputs) {
            self.check(door, tap, output);
        }
    }

    fn check_trainer(&self) {
        let params = params(&self.model);
        let nothing = vec![false; params.len()];
        for tap in TAPS {
            let mut trainer = Trainer::new(self.model.graph(), tap, &nothing, Cpu::new(2)).unwrap();
            let output = trainer.forward(&params, &self.images, self.shape, 0).unwrap();
            self.check("a trainer", tap, output);
        }
    }

    /// Holds an output to the golden, which of features has the first image alone.
    fn check(&self, door: &str, tap: &str, output: &[f32]) {
        let golden = self.fixture.get(&format!("{}/{tap}", self.name)).in_kernel_order();
        let output = if tap == "features" { &output[..output.len() / 2] } else { output };
        let tolerance = Tolerance { rtol: 0.0, atol: LIMIT * largest(&golden) };
        let what = format!("{tap} of {} through {door}", self.name);
        assert_close(&what, &to_f64(output), &golden, tolerance);
    }
}

fn params(model: &Model) -> Vec<&[f32]> {
    model.tensors().iter().map(|tensor| tensor.data.as_slice()).collect()
}

/// Running means and variances by parameter, decoded as `tests/generators/peer.py` says; norms go by name.
fn statistics(graph: &Graph, fixture: &Fixture, name: &str) -> BTreeMap<usize, Vec<f32>> {
    let is_norm = |op: &Op| matches!(op, Op::BatchNorm { .. });
    let norms = graph.nodes().iter().filter(|node| is_norm(node.op()));
    let named = |params: &'_ [ParamId]| {
        graph.param(params[0]).name.strip_suffix(".weight").unwrap().to_owned()
    };
    let norms: BTreeMap<String, &[ParamId]> =
        norms.map(|node| (named(node.params()), node.params())).collect();
    let mut decoded = BTreeMap::new();
    if norms.is_empty() {
        return decoded;
    }
    let mut bytes = &fixture.get(&format!("{name}/statistics")).data[..];
    let scales = fixture.get(&format!("{name}/scales")).data.as_chunks::<2>().0;
    assert_eq!(scales.len(), norms.len(), "norms of {name}");
    for (params, [a, b]) in norms.values().zip(scales) {
        let mut codes = [&bytes[..0]; 3];
        for codes in &mut codes {
            (*codes, bytes) = bytes.split_at(graph.param(params[2]).len());
        }
        let [high, low, spread] = codes;
        let mean = |(m, l): (&f64, &f64)| f32::from_f64(a * (256.0 * m + l - 32768.0) / 32767.0);
        let var = |v: &f64| f32::from_f64((b * (v + 1.0) / 256.0) * (b * (v + 1.0) / 256.0));
        decoded.insert(params[2].index(), high.iter().zip(low).map(mean).collect());
        decoded.insert(params[3].index(), spread.iter().map(var).collect());
    }
    assert!(bytes.is_empty(), "statistics of {name}");
    decoded
}
