//! `cargo xtask bench`: how fast we are, and how fast the peers are in the same run.
//!
//! Above: `main`. Below: one module a section (`infer`, `train`, `layers`, `conv`, `cost`, `data`, `optim`, `end_to_end`, `transfer`, `tasks`; `transfer` has `rates` and `distill` too, and `tasks` has `scratch`), `race` (who runs when), `document` (docs/benchmarks.md).
//! Not here: what a user measures (`taper bench`), the peers' side (`xtask/bench/*.py`).
//! Every contestant, ours too, is a process of its own that stays alive, and they take turns, so that a slow minute of the
//! machine is everybody's. Numbers are measured by the optimized build: the development build starts it and steps aside.

mod contestant;
mod conv;
mod cores;
mod cost;
mod data;
mod document;
mod end_to_end;
mod infer;
mod job;
mod layers;
mod machine;
mod networks;
mod optim;
mod peers;
mod photos;
mod race;
mod roof;
mod roofline;
mod serve;
mod setup;
mod sgd;
mod steady;
mod table;
mod tasks;
mod train;
mod transfer;

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::shell;
use cores::Cores;
use machine::Machine;
use peers::Peers;
use roofline::Roofline;
use table::Table;

pub(crate) use contestant::Contestant;
pub(crate) use serve::{ContestantCommand, run as contend};

/// Networks that are measured when none is named.
const MODELS: [&str; 3] = ["mobilenetv2_100", "mobilenetv3_small_100", "efficientnet_lite0"];

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Section {
    /// Milliseconds a batch of a session
    Infer,
    /// Milliseconds and memory of a training step
    Train,
    /// Unit by unit: shape, kernel, time, share of what the machine can do
    Layers,
    /// Milliseconds of single convolutions, forward and backward
    Conv,
    /// Images a second, from files to batches
    Data,
    /// Milliseconds of an optimizer's step, against a copy of as many bytes
    Optim,
    /// What `taper cost` predicts against what is measured
    Cost,
    /// Five epochs of fine-tuning, from the start of the process to its end
    EndToEnd,
    /// Accuracy of ways of fine-tuning, on few pictures a class and on all; not part of all, for it takes hours
    Transfer,
    /// Learning rates and the one that is found, on few pictures and on all; not part of all, for it trains many networks
    Rates,
    /// Classes of very different sizes; not part of all, for it trains many networks
    Unequal,
    /// A stronger network's answers where few pictures have labels; not part of all, for it trains many networks
    Distill,
    /// Other targets than a class, beside PyTorch; not part of all, for it takes half an hour
    Tasks,
    /// Training from random weights, beside PyTorch; not part of all, for it takes over half an hour
    Scratch,
    /// Every section but transfer, rates, unequal, distill, tasks and scratch
    All,
}

impl Section {
    /// What measures this section, or each.
    fn measures(self) -> Vec<fn(&Bench) -> Result<Measured>> {
        match self {
            Section::Infer => vec![infer::measure],
            Section::Train => vec![train::measure],
            Section::Layers => vec![layers::measure],
            Section::Conv => vec![conv::measure],
            Section::Data => vec![data::measure],
            Section::Optim => vec![optim::measure],
            Section::Cost => vec![cost::measure],
            Section::EndToEnd => vec![end_to_end::measure],
            Section::Transfer => vec![transfer::measure],
            Section::Rates => vec![transfer::rates::measure],
            Section::Unequal => vec![transfer::unequal::measure],
            Section::Distill => vec![transfer::distill::measure],
            Section::Tasks => vec![tasks::measure],
            Section::Scratch => vec![tasks::measure_scratch],
            Section::All => vec![
                infer::measure,
                train::measure,
                layers::measure,
                conv::measure,
                data::measure,
                optim::measure,
                cost::measure,
                end_to_end::measure,
            ],
        }
    }
}

/// Flags of `cargo xtask bench`.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// What to measure
    #[arg(value_enum, default_value = "all")]
    section: Section,
    /// Networks [default: MobileNetV2, MobileNetV3-Small and EfficientNet-Lite0; for infer also ResNet-18, VGG-11 and MobileOne-S1]
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    model: Vec<String>,
    /// Convolutions of conv, methods of transfer and rates or rows of tasks and scratch, by their names or parts of them [default: all]
    #[arg(long, value_name = "NAME,..", value_delimiter = ',', allow_hyphen_values = true)]
    only: Vec<String>,
    /// Images a batch [default: 1 and 32; 32 to train]
    #[arg(long, value_name = "N,..", value_delimiter = ',')]
    batch: Vec<usize>,
    /// Threads, of us and of the peers alike, on as many cores [default: all, and for infer also 1]
    #[arg(long, value_name = "N,..", value_delimiter = ',')]
    threads: Vec<usize>,
    /// Turns that everybody has [default: what suits the section]
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// A Python with PyTorch, torchvision, timm, ONNX Runtime and OpenVINO; without it our numbers stand alone
    #[arg(long, value_name = "PYTHON")]
    peers: Option<PathBuf>,
    /// Which peers, of those that the section knows [default: all but compile for infer]
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    against: Vec<String>,
    /// Folder of pictures, `DIR/<class>/*` or `DIR/train/<class>/*`; for scratch of Fashion-MNIST's files [default: the sample set that data comes with]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The peers' weights of MobileNetV2, for transfer and tasks, and for end-to-end [default there: random ones, which take as long and learn less];
    /// for distill those of --model, the teacher
    #[arg(long, value_name = "PTH")]
    weights: Option<PathBuf>,
    /// How many of its photographs are enlarged to 12 megapixels, for data; 0 for none
    #[arg(long, value_name = "N", default_value_t = 100)]
    photos: usize,
    /// Height and width of the images
    #[arg(long, value_name = "N", default_value_t = 224)]
    image_size: usize,
    /// Write the tables into docs/benchmarks.md, those of transfer, rates and distill into docs/transfer.md, and the rooflines of layers into docs/images;
    /// with --only, rows of transfer, rates, tasks and scratch that were not measured stay as they are there
    #[arg(long)]
    write: bool,
    /// End standard output with one line of JSON
    #[arg(long)]
    json: bool,
}

/// One measured section.
#[derive(Debug)]
struct Measured {
    name: &'static str,
    /// With captions; one that is empty is left out.
    tables: Vec<(String, Table)>,
    /// Sentences below the tables.
    notes: Vec<String>,
    /// Drawn when the document is written.
    pictures: Vec<Roofline>,
    json: Value,
}

impl Measured {
    /// A section that is one table.
    fn of(name: &'static str, table: Table, notes: Vec<String>, json: Value) -> Self {
        let tables = vec![(String::new(), table)];
        Self { name, tables, notes, pictures: Vec::new(), json }
    }

    /// Where the tables stand.
    fn document(&self) -> &'static str {
        match self.name {
            "transfer" | "rates" | "unequal" | "distill" => "docs/transfer.md",
            _ => "docs/benchmarks.md",
        }
    }

    /// What is shown.
    fn text(&self) -> String {
        text_of(&self.tables, &self.notes)
    }
}

/// Tables under their captions, and notes: what stands in the document.
fn text_of(tables: &[(String, Table)], notes: &[String]) -> String {
    let mut parts = Vec::new();
    for (caption, table) in tables {
        parts.extend((!caption.is_empty()).then(|| format!("{caption}:\n")));
        parts.push(table.to_string());
    }
    parts.extend(notes.iter().map(|note| format!("{note}\n")));
    parts.join("\n")
}

/// The flags, made ready.
#[derive(Debug)]
struct Bench {
    /// Names of the zoo; none: the section's.
    models: Vec<String>,
    /// Parts of names of convolutions, or of methods.
    only: Vec<String>,
    batches: Vec<usize>,
    threads: Vec<usize>,
    rounds: Option<usize>,
    peers: Option<Peers>,
    against: Vec<String>,
    image_size: usize,
    data: Option<PathBuf>,
    photos: usize,
    weights: Option<PathBuf>,
    cores: Cores,
    /// Folder for logs and exported networks.
    folder: PathBuf,
}

/// Runs the command.
pub(crate) fn run(args: &BenchArgs) -> Result<()> {
    if cfg!(debug_assertions) {
        return optimized();
    }
    let bench = Bench::new(args)?;
    let machine = Machine::look(&bench.cores)?;
    eprintln!("{machine}");
    if let Some(warning) = machine.warning() {
        eprintln!("warning: {warning}");
    }
    let mut measured = serde_json::Map::new();
    for measure in args.section.measures() {
        let section = measure(&bench)?;
        eprintln!("\n{}\n\n{}", section.name, section.text());
        if args.write {
            let path = shell::root().join(section.document());
            document::write(&path, &machine, &section, bench.only.is_empty())?;
        }
        measured.insert(section.name.to_owned(), section.json);
    }
    if args.json {
        println!("{}", json!({ "machine": machine.json(), "sections": measured }));
    }
    Ok(())
}

/// The same command line, of the release build.
fn optimized() -> Result<()> {
    let said: Vec<String> = std::env::args().skip(1).collect();
    let mut args = vec!["run", "--quiet", "--release", "--package", "xtask", "--"];
    args.extend(said.iter().map(String::as_str));
    shell::cargo(&args, &[])
}

impl Bench {
    fn new(args: &BenchArgs) -> Result<Self> {
        let cores = Cores::of_this_process()?;
        if let Some(n) = args.threads.iter().find(|&&n| n == 0 || n > cores.count()) {
            bail!("{n} threads were asked for, and this process may use {} cores", cores.count());
        }
        if args.batch.contains(&0) || args.image_size == 0 || args.rounds == Some(0) {
            bail!("a batch, an image size and a number of rounds are at least 1");
        }
        let known: [&[&str]; 5] =
            [&infer::PEERS, &train::PEERS, &train::HEAD, &conv::PEERS, &data::PEERS];
        let known: BTreeSet<&str> = known.concat().into_iter().collect();
        if let Some(name) = args.against.iter().find(|name| !known.contains(name.as_str())) {
            let known = Vec::from_iter(known).join(", ");
            bail!("--against {name}: no section knows this peer; they know {known}");
        }
        let folder = shell::root().join("target/bench");
        std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        Ok(Self {
            models: networks::names(&args.model)?,
            only: args.only.clone(),
            batches: args.batch.clone(),
            threads: args.threads.clone(),
            rounds: args.rounds,
            peers: args.peers.as_deref().map(Peers::new).transpose()?,
            against: args.against.clone(),
            image_size: args.image_size,
            data: args.data.clone(),
            photos: args.photos,
            weights: args.weights.clone(),
            cores,
            folder,
        })
    }

    /// Networks: those asked for, or [`MODELS`] and the section's own.
    fn models(&self, own: &[&str]) -> Vec<String> {
        if self.models.is_empty() {
            return MODELS.iter().chain(own).map(|&name| name.to_owned()).collect();
        }
        self.models.clone()
    }

    /// Batch sizes: those asked for, or the section's.
    fn batches<'a>(&'a self, default: &'a [usize]) -> &'a [usize] {
        if self.batches.is_empty() { default } else { &self.batches }
    }

    /// Numbers of threads: those asked for, or the section's.
    fn threads<'a>(&'a self, default: &'a [usize]) -> &'a [usize] {
        if self.threads.is_empty() { default } else { &self.threads }
    }

    /// The peers of a section that are wanted: `known`, or those named; none without a Python.
    fn against(&self, known: &[&'static str], by_default: usize) -> Vec<&'static str> {
        if self.peers.is_none() {
            return Vec::new();
        }
        if self.against.is_empty() {
            return known[..by_default].to_vec();
        }
        known.iter().copied().filter(|name| self.against.iter().any(|a| a == name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: BenchArgs,
    }

    impl Bench {
        /// What no flags give.
        pub(super) fn example() -> Self {
            Self::new(&Line::parse_from(["bench"]).args).unwrap()
        }
    }

    #[test]
    fn a_peer_that_no_section_knows_is_refused() {
        let bench =
            |peer| Bench::new(&Line::parse_from(["bench", "infer", "--against", peer]).args);
        let error = bench("eager").err().unwrap().to_string();
        assert!(error.contains("--against eager") && error.contains("openvino"), "{error}");
        assert!(bench("openvino").is_ok() && bench("head_only").is_ok());
    }
}
