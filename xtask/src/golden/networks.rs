//! Every network of the zoo at its own image size, with weights that PyTorch wrote, against what PyTorch computes in f64; torchvision's
//! through the names of its published files.
//!
//! Above: `golden`. Below: `zoo`, `model`, `engine::Session`, `xtask/golden/networks.py`. Not here: small ones as fixtures
//! (`tests/golden/zoo.rs`).
//! One network at a time, whose files replace those of the last.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use taper_engine::Session;
use taper_graph::{Graph, NodeId};
use taper_model::{KeyMap, Model, Preprocess, Provenance, Tensor, reparameterize, tensors};
use taper_zoo::{Architecture, Place, Record, WeightsSource, architecture, architectures, records};

use super::{GoldenArgs, distance, peer};
use crate::bench::Contestant;

const TAPS: [&str; 3] = ["features", "pre_logits", "logits"];

/// How far an output may be off, of its largest magnitude.
const LIMIT: f64 = 1e-4;

const CLASSES: usize = 1000;

/// Where torchvision publishes.
const TORCHVISION: &str = "https://download.pytorch.org/";

/// A form of a network, its image size, and how far its three outputs are off.
type ComparedNetwork = (String, usize, [f64; 3]);

/// A network to compare.
#[derive(Debug, Clone, Copy)]
enum Network {
    /// timm's of that architecture, under our names.
    Timm(&'static Architecture),
    /// torchvision's that these weights are for, under its names.
    Torchvision(&'static Record, &'static WeightsSource),
}

/// Prints a line for each network, and fails at the end if one was off.
pub(super) fn check(args: &GoldenArgs, threads: usize) -> Result<()> {
    let networks = wanted(&args.names)?;
    let folder = tempfile::tempdir().context("making a folder for weights")?;
    let mut peer = peer(&args.peers, "networks", &[folder.path()])?;
    let version = peer.ready()["version"].as_str().unwrap_or_default();
    println!("{version}, in f64; ours in f32, threads: {threads}");
    println!("how far outputs are apart, as a share of the largest magnitude; at most {LIMIT:e}\n");
    println!("{:48} size  {:>8} {:>10} {:>8}", "network", TAPS[0], TAPS[1], TAPS[2]);
    let (mut off, mut worst) = (Vec::new(), 0.0);
    for network in &networks {
        let start = Instant::now();
        let rows = network.compare(&mut peer, folder.path(), threads)?;
        let seconds = start.elapsed().as_secs_f64();
        for (name, size, [features, pre_logits, logits]) in rows {
            println!("{name:48} {size:>4}  {features:8.1e} {pre_logits:10.1e} {logits:8.1e}");
            let most = features.max(pre_logits).max(logits);
            worst = f64::max(worst, most);
            off.extend((most > LIMIT).then_some(name));
        }
        eprintln!("{seconds:.1} s");
    }
    println!("\n{} networks, the largest difference is {worst:.1e}", networks.len());
    if !off.is_empty() {
        bail!("off by more than {LIMIT:e}: {}", off.join("; "));
    }
    Ok(())
}

/// Those of some architectures, or all: first timm's, then torchvision's, one of those for every architecture that has its weights.
fn wanted(names: &[String]) -> Result<Vec<Network>> {
    let named = names.iter().map(|name| architecture(name)).collect::<Result<Vec<_>, _>>()?;
    let is_wanted = |name: &str| named.is_empty() || named.iter().any(|it| it.name == name);
    let timm = architectures().filter(|it| is_wanted(it.name)).map(Network::Timm);
    let mut networks: Vec<Network> = timm.collect();
    let mut seen = BTreeSet::new();
    for record in records().iter().filter(|record| is_wanted(record.architecture_name())) {
        let is_torchvisions = |source: &&WeightsSource| matches!(source.place, Place::Url(url) if url.starts_with(TORCHVISION));
        if let Some(source) = record.sources.iter().find(is_torchvisions)
            && seen.insert(record.architecture_name())
        {
            networks.push(Network::Torchvision(record, source));
        }
    }
    Ok(networks)
}

impl Network {
    fn compare(
        self,
        peer: &mut Contestant,
        folder: &Path,
        threads: usize,
    ) -> Result<Vec<ComparedNetwork>> {
        match self {
            Self::Timm(architecture) => of_timm(architecture, peer, folder, threads),
            Self::Torchvision(record, source) => {
                let size = record.preprocess.input_size[0];
                peer.ask(&format!("torchvision {} {size}", record.architecture_name()))?;
                let model = record.model(source, tensors::read(folder.join("weights.pth"))?)?;
                let distances = Expected::read(folder, size)?.distances(&model, threads)?;
                Ok(vec![(format!("{}, by torchvision", record.name), size, distances)])
            }
        }
    }
}

/// The network; and where it has branches to fold, what our pass makes of it.
fn of_timm(
    architecture: &Architecture,
    peer: &mut Contestant,
    folder: &Path,
    threads: usize,
) -> Result<Vec<ComparedNetwork>> {
    let (name, size) = (architecture.name, architecture.input_size);
    peer.ask(&format!("timm {name} {size}"))?;
    let expected = Expected::read(folder, size)?;
    let model = expected.model(architecture.graph(CLASSES)?, &folder.join("weights.safetensors"));
    let model = model.with_context(|| format!("the weights of {name}"))?;
    let mut rows = vec![(name.to_owned(), size, expected.distances(&model, threads)?)];
    let fused = reparameterize(&model)?;
    if fused.graph() != model.graph() {
        let distances = expected.distances(&fused, threads)?;
        rows.push((format!("{name}, reparameterized"), size, distances));
    }
    Ok(rows)
}

/// What PyTorch computed, maps channels last.
struct Expected {
    size: usize,
    images: Vec<f32>,
    outputs: [Vec<f32>; 3],
}

impl Expected {
    fn read(folder: &Path, size: usize) -> Result<Self> {
        let mut read = tensors::read(folder.join("outputs.safetensors"))?;
        let mut take = |name: &str| {
            let tensor = read.remove(name).with_context(|| format!("no {name} in the outputs"));
            Ok::<_, anyhow::Error>(channels_last(&tensor?))
        };
        let [features, pre_logits, logits] = TAPS.map(&mut take);
        Ok(Self { size, images: take("images")?, outputs: [features?, pre_logits?, logits?] })
    }

    /// The network with the weights of a file, whose names are timm's.
    fn model(&self, graph: Graph, weights: &Path) -> Result<Model> {
        let preprocess = Preprocess { input_size: [self.size; 2], ..Preprocess::imagenet() };
        let (names, provenance) = (KeyMap::identity(), Provenance::default());
        let tensors = tensors::read(weights)?;
        Ok(Model::from_tensors(graph, tensors, &names, preprocess, Vec::new(), provenance)?)
    }

    fn distances(&self, model: &Model, threads: usize) -> Result<[f64; 3]> {
        let nodes = TAPS.iter().map(|tap| model.graph().output(tap));
        let nodes = nodes.collect::<Result<Vec<NodeId>, _>>()?;
        let params: Vec<&[f32]> = model.tensors().iter().map(|t| t.data.as_slice()).collect();
        let size = self.size;
        let mut session = Session::of_nodes(model.graph(), &params, &nodes, [size; 2], threads)?;
        let outputs = session.run_all(&self.images, [1, size, size])?;
        let mut distances = [f64::INFINITY; 3];
        for ((apart, ours), theirs) in distances.iter_mut().zip(outputs).zip(&self.outputs) {
            *apart = distance(ours, theirs);
        }
        Ok(distances)
    }
}

/// `(1, c, h, w)` as `(1, h, w, c)`; anything else as it is.
fn channels_last(tensor: &Tensor) -> Vec<f32> {
    let [1, c, h, w] = tensor.shape[..] else { return tensor.data.clone() };
    let plane = h * w;
    (0..plane).flat_map(|at| (0..c).map(move |channel| tensor.data[channel * plane + at])).collect()
}
