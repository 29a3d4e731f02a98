//! `bench infer`: milliseconds a batch of a session, and of the peers.
//!
//! Above: `bench`, `serve`. Below: `race`, `taper_engine::Session`. Not here: where the time goes (`layers`).

use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;
use taper_engine::{Session, SessionOptions};

use super::contestant::Contestant;
use super::race::{Outcome, Rules, race};
use super::serve::serve;
use super::table::{self, Table};
use super::{Bench, Measured, networks};

/// The peers; the last must be asked for, because it takes minutes to compile.
const PEERS: [&str; 4] = ["openvino", "onnxruntime", "torch", "compile"];

/// ImageNet's.
const CLASSES: usize = 1000;

/// One configuration.
#[derive(Debug, Clone, Args)]
pub(crate) struct Setup {
    #[arg(long)]
    model: String,
    #[arg(long)]
    batch: usize,
    #[arg(long)]
    image_size: usize,
    #[arg(long)]
    threads: usize,
}

impl Setup {
    fn args(&self) -> [String; 4] {
        let Self { model, batch, image_size, threads } = self;
        [
            format!("--model={model}"),
            format!("--batch={batch}"),
            format!("--image-size={image_size}"),
            format!("--threads={threads}"),
        ]
    }
}

/// Our contestant.
pub(super) fn contestant(setup: &Setup) -> Result<()> {
    let model = networks::random(&setup.model, CLASSES)?;
    let options = SessionOptions { threads: setup.threads, ..SessionOptions::default() };
    let mut session = Session::new(&model, &options)?;
    let ready = json!({ "ready": true, "parameters": networks::parameters(&model) });
    drop(model);
    let shape = [setup.batch, setup.image_size, setup.image_size];
    let xs = networks::images(shape.iter().product::<usize>() * 3);
    serve(&ready, || {
        session.run(&xs, shape)?;
        Ok(())
    })
}

/// Measures every model at every batch size and number of threads.
pub(super) fn measure(bench: &Bench) -> Result<Measured> {
    let peers = bench.against(&PEERS, 3);
    let mut one_and_all = vec![1, bench.cores.count()];
    one_and_all.dedup();
    let mut rows = Vec::new();
    for model in &bench.models {
        for &batch in bench.batches(&[1, 32]) {
            let exported = export(bench, model, batch, &peers)?;
            for &threads in bench.threads(&one_and_all) {
                let image_size = bench.image_size;
                let setup = Setup { model: model.clone(), batch, image_size, threads };
                let outcomes = one(bench, &setup, &peers, exported.as_deref())?;
                let spoken = table::spoken(&outcomes);
                eprintln!("{model}, batch {batch}, {threads} threads: {spoken}");
                rows.push((setup, outcomes));
            }
        }
    }
    Ok(report(&rows))
}

/// One configuration: ours and the peers, in turns.
fn one(
    bench: &Bench,
    setup: &Setup,
    peers: &[&'static str],
    exported: Option<&str>,
) -> Result<Vec<Outcome>> {
    let mut ours = bench.cores.pinned(setup.threads, std::env::current_exe()?);
    ours.args(["contestant", "infer"]).args(setup.args());
    let mut contestants = vec![Contestant::start("taper", ours, &bench.folder)?];
    let parameters = contestants[0].ready()["parameters"].clone();
    for (&name, python) in peers.iter().zip(bench.peers.iter().cycle()) {
        let mut command = python.script(&bench.cores, setup.threads, "infer.py");
        let Setup { model, batch, image_size, threads } = setup;
        command.args([name, model]).args([batch, image_size, threads].map(ToString::to_string));
        command.arg(exported.unwrap_or_default());
        let contestant = Contestant::start(name, command, &bench.folder)?;
        same_network(name, &parameters, &contestant.ready()["parameters"])?;
        contestants.push(contestant);
    }
    let rules = Rules { rounds: bench.rounds.unwrap_or(15), turn_ms: 200.0 };
    race(&mut contestants, rules)
}

/// Writes the network for those who read ONNX.
fn export(bench: &Bench, model: &str, batch: usize, peers: &[&str]) -> Result<Option<String>> {
    let Some(python) = &bench.peers else { return Ok(None) };
    if !peers.iter().any(|peer| ["openvino", "onnxruntime"].contains(peer)) {
        return Ok(None);
    }
    let size = bench.image_size;
    let path = bench.folder.join(format!("{model}-{batch}x{size}.onnx"));
    let path = path.to_string_lossy().into_owned();
    let cores = bench.cores.count();
    let mut command = python.script(&bench.cores, cores, "infer.py");
    command.args(["export", model]).args([batch, size, cores].map(|n| n.to_string())).arg(&path);
    let exporter = Contestant::start("export", command, &bench.folder)?;
    let parameters = networks::parameters(&networks::random(model, CLASSES)?);
    same_network("export", &json!(parameters), &exporter.ready()["parameters"])?;
    Ok(Some(path))
}

/// Refuses a peer that runs another network; one that cannot count says nothing.
pub(super) fn same_network(
    name: &str,
    ours: &serde_json::Value,
    theirs: &serde_json::Value,
) -> Result<()> {
    if !theirs.is_null() && ours != theirs {
        bail!("{name} has {theirs} parameters and we have {ours}: that is another network");
    }
    Ok(())
}

fn report(rows: &[(Setup, Vec<Outcome>)]) -> Measured {
    let mut table = Table::default();
    table.head.extend(["model", "batch", "threads"].map(str::to_owned));
    if let Some((_, outcomes)) = rows.first() {
        for outcome in outcomes {
            table.head.push(format!("{}, ms", outcome.name));
            if outcome.ratio.is_some() {
                table.head.push(format!("taper / {}", outcome.name));
            }
        }
    }
    for (setup, outcomes) in rows {
        let mut row = vec![setup.model.clone(), setup.batch.to_string(), setup.threads.to_string()];
        for outcome in outcomes {
            row.push(table::spread(outcome.ms));
            row.extend(outcome.ratio.map(table::spread));
        }
        table.rows.push(row);
    }
    let mut notes = vec![
        "Median, and in parentheses the 10th and 90th percentile. Float32, random weights."
            .to_owned(),
    ];
    notes.extend(table::versions(rows.iter().flat_map(|(_, outcomes)| outcomes)));
    let json = rows.iter().map(|(setup, outcomes)| {
        let Setup { model, batch, image_size, threads } = setup;
        let outcomes: Vec<_> = outcomes.iter().map(Outcome::json).collect();
        json!({ "model": model, "batch": batch, "image_size": image_size, "threads": threads, "outcomes": outcomes })
    });
    Measured { name: "infer", tables: vec![(String::new(), table)], notes, json: json.collect() }
}
