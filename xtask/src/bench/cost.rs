//! `bench cost`: what `taper cost` predicts against what sessions and training steps take, for networks that no calibration has seen.
//!
//! Above: `bench`. Below: `job`, the `taper` binary, `taper_cost`, the zoo. Not here: the model (`taper_cost`), its samples (`taper_engine`).
//! Networks take turns; in a turn each runs until its caches are as in use, and the median over turns counts.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::json;
use taper_cost::{Calibration, LatencyModel};
use taper_engine::{Session, SessionOptions, Spread};
use taper_model::Model;

use super::table::{Table, number};
use super::{Bench, Measured, job, networks};
use crate::shell;

/// Networks of the zoo that multiply no more than this are run: the others take as long as all of these together.
const MOST_MACS: u64 = 2_000_000_000;

/// Batches of inference, and of training steps.
const BATCHES: [usize; 2] = [1, 32];
const TRAINED: usize = 16;

/// Numbers kept for each parameter by SGD with momentum, which `taper bench --mode train` runs.
const SLOTS: usize = 1;

/// Turns that every network has, and how long it runs in each.
const TURNS: usize = 2;
const TURN: Duration = Duration::from_millis(40);

/// One network in so many is trained.
const OF_TRAINED: usize = 3;

/// A network that is measured.
struct Case {
    name: &'static str,
    size: [usize; 2],
    model: Model,
    session: Session,
    /// By batch: milliseconds of every turn.
    ms: Vec<Vec<f64>>,
}

/// A prediction and what was measured, in milliseconds.
struct Pair {
    name: &'static str,
    batch: usize,
    predicted: f64,
    measured: f64,
    bound: f64,
}

impl Pair {
    fn ratio(&self) -> f64 {
        self.predicted / self.measured
    }
}

/// Calibrates, predicts and measures.
pub(super) fn measure(bench: &Bench) -> Result<Measured> {
    shell::cargo(&["build", "--quiet", "--release", "--package", "taper-cli"], &[])?;
    let taper = std::env::current_exe()?.with_file_name("taper");
    let threads = bench.threads(&[bench.cores.count()]).last().copied().unwrap_or(1);
    let file = bench.folder.join("calibration.json");
    let mut command = bench.cores.pinned(threads, &taper);
    command.args(["cost", "--calibrate", "--json", "--out"]).arg(&file);
    command.arg(format!("--threads={threads}"));
    let calibrated = job::run("calibration", command, &bench.folder)?;
    let text = std::fs::read_to_string(&file).context("reading the calibration")?;
    let calibration = Calibration::from_json(&text)?;
    let latency = LatencyModel::new(&calibration, threads)?;
    let mut cases = cases(bench, threads)?;
    let inference = inference(&mut cases, bench.batches(&BATCHES), &latency, bench.rounds)?;
    let training = training(bench, &cases, &latency, (&taper, threads))?;
    let mut notes = vec![format!(
        "Calibrated in {:.1} s: {} units.",
        calibrated.seconds,
        calibration.modes.iter().map(|mode| mode.units.len()).sum::<usize>()
    )];
    notes.push(summary("Inference", &inference, 10));
    notes.push(summary("Training steps", &training, 15));
    let rows = |pairs: &[Pair]| {
        let row =
            |pair: &Pair| json!([pair.name, pair.batch, pair.predicted, pair.measured, pair.bound]);
        pairs.iter().map(row).collect::<Vec<_>>()
    };
    Ok(Measured {
        name: "cost",
        tables: vec![
            (format!("Inference, threads {threads}"), table(&inference)),
            (format!("Training steps, threads {threads}"), table(&training)),
        ],
        json: json!({ "inference": rows(&inference), "training": rows(&training) }),
        notes,
        pictures: Vec::new(),
    })
}

fn cases(bench: &Bench, threads: usize) -> Result<Vec<Case>> {
    let all = taper_zoo::architectures().filter(|it| it.macs <= MOST_MACS);
    let is_asked = |name: &str| bench.models.is_empty() || bench.models.iter().any(|it| it == name);
    let mut cases = Vec::new();
    for architecture in all.filter(|it| is_asked(it.name)) {
        let model = networks::normalized(architecture.name, threads)?;
        let options = SessionOptions { threads, ..SessionOptions::default() };
        let session = Session::new(&model, &options)?;
        let size = [architecture.input_size; 2];
        cases.push(Case { name: architecture.name, size, model, session, ms: Vec::new() });
    }
    Ok(cases)
}

fn inference(
    cases: &mut [Case],
    batches: &[usize],
    latency: &LatencyModel<'_>,
    rounds: Option<usize>,
) -> Result<Vec<Pair>> {
    for _turn in 0..rounds.unwrap_or(TURNS) {
        for Case { model, session, ms, size: [h, w], .. } in &mut *cases {
            let [h, w] = [*h, *w];
            ms.resize(batches.len(), Vec::new());
            for (ms, &batch) in ms.iter_mut().zip(batches) {
                let xs = networks::images(batch * h * w * model.graph().input_channels());
                session.run(&xs, [batch, h, w])?;
                let (began, mut runs) = (Instant::now(), Vec::new());
                while runs.len() < 2 || began.elapsed() < TURN {
                    let start = Instant::now();
                    session.run(&xs, [batch, h, w])?;
                    runs.push(start.elapsed().as_secs_f64() * 1e3);
                }
                ms.extend(Spread::of(&runs).map(|spread| spread.median));
            }
        }
    }
    let mut pairs = Vec::new();
    for case in cases.iter() {
        let [h, w] = case.size;
        for (ms, &batch) in case.ms.iter().zip(batches) {
            let prediction = latency.inference(case.model.graph(), &["logits"], [batch, h, w])?;
            pairs.push(Pair {
                name: case.name,
                batch,
                predicted: prediction.total.ms(),
                measured: Spread::of(ms).context("a turn at least")?.median,
                bound: prediction.bound.ms(),
            });
        }
    }
    Ok(pairs)
}

fn training(
    bench: &Bench,
    cases: &[Case],
    latency: &LatencyModel<'_>,
    (taper, threads): (&Path, usize),
) -> Result<Vec<Pair>> {
    let mut pairs = Vec::new();
    for Case { name, model, size: [h, w], .. } in cases.iter().step_by(OF_TRAINED) {
        let mut command = bench.cores.pinned(threads, taper);
        command.args(["bench", "--mode", "train", "--json", "--seconds", "0.5", "--model", name]);
        command.arg(format!("--batch={TRAINED}")).arg(format!("--threads={threads}"));
        command.arg(format!("--image-size={h}"));
        let done = job::run(&format!("step of {name}"), command, &bench.folder)?;
        let graph = model.graph();
        let trained = vec![true; graph.params().len()];
        let shape = [TRAINED, *h, *w];
        let prediction = latency.training_step(graph, &["logits"], &trained, shape, SLOTS)?;
        pairs.push(Pair {
            name,
            batch: TRAINED,
            predicted: prediction.total.ms(),
            measured: done.output["median_ms"].as_f64().context("a median")?,
            bound: prediction.bound.ms(),
        });
    }
    Ok(pairs)
}

fn table(pairs: &[Pair]) -> Table {
    let head =
        ["model", "batch", "measured, ms", "predicted, ms", "predicted / measured", "roofline, ms"];
    let row = |pair: &Pair| {
        vec![
            pair.name.to_owned(),
            pair.batch.to_string(),
            number(pair.measured),
            number(pair.predicted),
            number(pair.ratio()),
            number(pair.bound),
        ]
    };
    Table { head: head.map(str::to_owned).to_vec(), rows: pairs.iter().map(row).collect() }
}

/// How many predictions are how near.
fn summary(what: &str, pairs: &[Pair], percent: usize) -> String {
    let within = |percent: f64| {
        let near = pairs.iter().filter(|pair| (pair.ratio() - 1.0).abs() <= percent / 100.0);
        100.0 * near.count() as f64 / pairs.len().max(1) as f64
    };
    let errors: Vec<f64> = pairs.iter().map(|pair| (pair.ratio() - 1.0).abs() * 100.0).collect();
    let bounds: Vec<f64> =
        pairs.iter().map(|pair| (pair.bound / pair.measured - 1.0).abs() * 100.0).collect();
    let median = |values: &[f64]| Spread::of(values).map_or(0.0, |spread| spread.median);
    format!(
        "{what}: {} predictions, {:.0} % within {percent} % and {:.0} % within {} %; the median is off by {:.1} %, \
         the largest by {:.1} %. The roofline alone is off by {:.0} % (median).",
        pairs.len(),
        within(percent as f64),
        within(2.0 * percent as f64),
        2 * percent,
        median(&errors),
        errors.iter().copied().fold(0.0, f64::max),
        median(&bounds),
    )
}
