//! `bench train`: milliseconds and memory of one training step, ours and PyTorch's.
//!
//! Above: `bench`, `serve`. Below: `race`, `sgd`. Not here: reading pictures (`data`), whole runs (`end_to_end`).

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::contestant::Contestant;
use super::race::{Outcome, Rules, race};
use super::serve::serve;
use super::setup::Setup;
use super::sgd::{Trained, Training};
use super::table::{self, Table};
use super::{Bench, Measured, networks};

/// Peers of a step that trains everything.
pub(super) const PEERS: [&str; 3] = ["channels_last", "compile", "nchw"];

/// The peer of a step that trains the last layer.
pub(super) const HEAD: [&str; 1] = ["head_only"];

/// As in the main job, ants and bees.
const CLASSES: usize = 2;

/// One configuration.
#[derive(Debug, Clone, Args)]
pub(crate) struct TrainSetup {
    #[command(flatten)]
    setup: Setup,
    /// Train the last layer alone.
    #[arg(long)]
    head: bool,
}

/// Our contestant.
pub(super) fn contestant(TrainSetup { setup, head }: &TrainSetup) -> Result<()> {
    let model = networks::random(&setup.model, CLASSES)?;
    let ready = json!({ "ready": true, "parameters": networks::parameters(&model) });
    let trained = if *head { Trained::Head } else { Trained::Everything };
    let (xs, shape) = (setup.images(), setup.shape());
    let mut training = Training::new(model, trained, xs, shape, setup.threads)?;
    serve(&ready, || training.step().map(|_loss| ()))
}

/// Measures every model, all of it and its head alone.
pub(super) fn measure(bench: &Bench) -> Result<Measured> {
    let mut rows = Vec::new();
    for setup in Setup::all(bench, &[], &[32], &[bench.cores.count()]) {
        for head in [false, true] {
            let setup = TrainSetup { setup: setup.clone(), head };
            let outcomes = one(bench, &setup)?;
            let Setup { model, threads, .. } = &setup.setup;
            let (trained, spoken) = (setup.trained(), table::spoken(&outcomes));
            eprintln!("{model}, {trained}, threads {threads}: {spoken}");
            rows.push((setup, outcomes));
        }
    }
    Ok(report(&rows))
}

fn one(bench: &Bench, TrainSetup { setup, head }: &TrainSetup) -> Result<Vec<Outcome>> {
    let mut ours = setup.ours(bench, "train")?;
    ours.args(head.then_some("--head"));
    let mut contestants = vec![Contestant::start("taper", ours, &bench.folder)?];
    let parameters = contestants[0].ready()["parameters"].clone();
    let peers = if *head { bench.against(&HEAD, 1) } else { bench.against(&PEERS, 2) };
    for name in peers {
        contestants.push(setup.peer(bench, ("train.py", name), &parameters, None)?);
    }
    race(&mut contestants, Rules { rounds: bench.rounds.unwrap_or(9), turn_ms: 1000.0 })
}

impl TrainSetup {
    fn trained(&self) -> &'static str {
        if self.head { "head" } else { "everything" }
    }
}

fn report(rows: &[(TrainSetup, Vec<Outcome>)]) -> Measured {
    let head = [
        "model",
        "batch",
        "threads",
        "trained",
        "taper, ms",
        "taper, MiB",
        "PyTorch",
        "ms",
        "taper / it",
        "MiB",
        "taper / it",
    ];
    let mut table = Table { head: head.map(str::to_owned).to_vec(), rows: Vec::new() };
    for (setup, outcomes) in rows {
        let Some((ours, peers)) = outcomes.split_first() else { continue };
        let Setup { model, batch, threads, .. } = &setup.setup;
        let mut begin = vec![model.clone(), batch.to_string(), threads.to_string()];
        begin.push(setup.trained().to_owned());
        begin.extend([table::spread(ours.ms), table::mebibytes(ours.peak_bytes)]);
        if peers.is_empty() {
            table.rows.push([begin, vec!["–".to_owned(); 5]].concat());
            continue;
        }
        for peer in peers {
            let memory = ours.peak_bytes as f64 / peer.peak_bytes as f64;
            let mut row = begin.clone();
            row.extend([peer.name.clone(), table::spread(peer.ms)]);
            row.extend(peer.ratio.map(table::spread));
            row.extend([table::mebibytes(peer.peak_bytes), table::number(memory)]);
            table.rows.push(row);
        }
    }
    let mut notes = vec![
        "One step of SGD with momentum on a batch in memory, float32. Median, and in parentheses the 10th and 90th percentile. \
         MiB is the most memory the process ever held, its libraries included. Our frozen norms use their running statistics, \
         PyTorch's `head_only` those of the batch."
            .to_owned(),
    ];
    notes.extend(table::versions(rows.iter().flat_map(|(_, outcomes)| outcomes)));
    let json = rows.iter().map(|(setup, outcomes)| {
        let mut value = setup.setup.json();
        value["trained"] = setup.trained().into();
        value["outcomes"] = outcomes.iter().map(Outcome::json).collect();
        value
    });
    Measured {
        name: "train",
        tables: vec![(String::new(), table)],
        notes,
        pictures: Vec::new(),
        json: json.collect(),
    }
}
