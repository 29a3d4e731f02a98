//! `bench infer`: milliseconds a batch of a session, and of the peers.
//!
//! Above: `bench`, `serve`. Below: `race`, `taper_engine::Session`. Not here: where the time goes (`layers`).

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Value, json};
use taper_engine::{Session, SessionOptions};

use super::contestant::Contestant;
use super::race::{Outcome, Rules, race};
use super::serve::serve;
use super::setup::Setup;
use super::table::{self, Table};
use super::{Bench, Measured, networks};

/// The peers; the last must be asked for, because it takes minutes to compile.
pub(super) const PEERS: [&str; 4] = ["openvino", "onnxruntime", "torch", "compile"];

/// Networks of dense convolutions, and one of branches that become one convolution, beside those of every section.
pub(super) const MODELS: &[&str] = &["resnet18", "vgg11", "mobileone_s1"];

/// ImageNet's.
const CLASSES: usize = 1000;

/// Our contestant.
pub(super) fn contestant(setup: &Setup) -> Result<()> {
    let model = networks::random(&setup.model, CLASSES)?;
    let options = SessionOptions { threads: setup.threads, ..SessionOptions::default() };
    let mut session = Session::new(&model, &options)?;
    let ready = json!({ "ready": true, "parameters": networks::parameters(&model) });
    drop(model);
    let (xs, shape) = (setup.images(), setup.shape());
    serve(&ready, || {
        session.run(&xs, shape)?;
        Ok(())
    })
}

/// Measures every model at every batch size and number of threads.
pub(super) fn measure(bench: &Bench) -> Result<Measured> {
    let mut one_and_all = vec![1, bench.cores.count()];
    one_and_all.dedup();
    let mut exported = HashSet::new();
    let mut rows = Vec::new();
    for setup in Setup::all(bench, MODELS, &[1, 32], &one_and_all) {
        let outcomes = one(bench, &setup, &mut exported)?;
        let Setup { model, batch, threads, .. } = &setup;
        eprintln!("{model}, batch {batch}, threads {threads}: {}", table::spoken(&outcomes));
        rows.push((setup, outcomes));
    }
    Ok(report(&rows))
}

/// One configuration: ours and the peers, in turns.
fn one(bench: &Bench, setup: &Setup, exported: &mut HashSet<PathBuf>) -> Result<Vec<Outcome>> {
    let ours = setup.ours(bench, "infer")?;
    let mut contestants = vec![Contestant::start("taper", ours, &bench.folder)?];
    let parameters = contestants[0].ready()["parameters"].clone();
    for name in bench.against(&PEERS, 3) {
        let rest = if ["openvino", "onnxruntime"].contains(&name) {
            let file = format!("{}-{}x{}.onnx", setup.model, setup.batch, setup.image_size);
            let path = bench.folder.join(file);
            if exported.insert(path.clone()) {
                export(bench, setup, &parameters, &path)?;
            }
            Some(path.to_string_lossy().into_owned())
        } else {
            None
        };
        let peer = setup.peer(bench, ("infer.py", name), &parameters, rest.as_deref())?;
        contestants.push(peer);
    }
    race(&mut contestants, Rules { rounds: bench.rounds.unwrap_or(15), turn_ms: 200.0 })
}

/// Writes the network for those who read ONNX.
fn export(bench: &Bench, setup: &Setup, parameters: &Value, path: &Path) -> Result<()> {
    let path = path.to_string_lossy();
    setup.peer(bench, ("infer.py", "export"), parameters, Some(&path)).map(|_done| ())
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
        let mut value = setup.json();
        value["outcomes"] = outcomes.iter().map(Outcome::json).collect();
        value
    });
    Measured {
        name: "infer",
        tables: vec![(String::new(), table)],
        notes,
        pictures: Vec::new(),
        json: json.collect(),
    }
}
