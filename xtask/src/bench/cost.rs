//! `bench cost`: what `taper cost` predicts against what sessions and training steps take, for networks that no calibration has seen.
//!
//! Above: `bench`. Below: `job`, `steady`, the `taper` binary, `taper_cost`, `taper_engine`, the zoo. Not here: the model (`taper_cost`), its samples
//! (`taper_engine`).
//! A round is a calibration, as a user makes it, and a run of every network, in another order each time: a machine's pace changes within seconds, and the
//! medians over rounds count, of what was predicted as of what was measured. As a calibration does, it measures again what was measured in slow seconds.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::json;
use taper_cost::{Calibration, LatencyModel, Prediction};
use taper_engine::{Session, SessionOptions, Spread};
use taper_model::Model;

use super::steady::{Steady, Turn};
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

/// Rounds of a run of every network and a step of those that are trained; how long a network runs in each.
const ROUNDS: usize = 7;
const TURN: Duration = Duration::from_millis(80);

/// The output that sessions answer with.
const LOGITS: &str = "logits";

/// One network in so many is trained.
const OF_TRAINED: usize = 3;

/// A network that is measured.
struct Case {
    name: &'static str,
    size: [usize; 2],
    model: Model,
    session: Session,
    /// Inference, by batch.
    runs: Vec<Rounds>,
    is_trained: bool,
    /// Training steps; of the networks that are trained.
    steps: Rounds,
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

    /// The same measurement and another prediction.
    fn with(&self, prediction: &Prediction) -> Self {
        Self { predicted: prediction.total.ms(), bound: prediction.bound.ms(), ..*self }
    }
}

impl Case {
    fn predicted_run(&self, model: &LatencyModel<'_>, batch: usize) -> Result<Prediction> {
        let [h, w] = self.size;
        Ok(model.inference(self.model.graph(), &[LOGITS], [batch, h, w])?)
    }

    fn predicted_step(&self, model: &LatencyModel<'_>) -> Result<Prediction> {
        let (graph, [h, w]) = (self.model.graph(), self.size);
        let trained = vec![true; graph.params().len()];
        Ok(model.training_step(graph, &[LOGITS], &trained, [TRAINED, h, w], SLOTS)?)
    }
}

fn models(calibrations: &[Calibration], threads: usize) -> Result<Vec<LatencyModel<'_>>> {
    let models = calibrations.iter().map(|calibration| LatencyModel::new(calibration, threads));
    Ok(models.collect::<Result<_, _>>()?)
}

/// What a network took and what was predicted of it, in milliseconds: one of each a round.
#[derive(Default)]
struct Rounds {
    measured: Vec<Turn<f64>>,
    predicted: Vec<f64>,
    bound: Vec<f64>,
}

impl Rounds {
    fn predict(&mut self, prediction: &Prediction) {
        self.predicted.push(prediction.total.ms());
        self.bound.push(prediction.bound.ms());
    }

    fn pair(&self, name: &'static str, batch: usize, steady: &Steady) -> Pair {
        let [predicted, bound] = [&self.predicted, &self.bound].map(|it| median(it));
        // Of slow seconds where there were no others.
        let has_usual = self.measured.iter().any(|turn| steady.is_usual(turn));
        let counts = self.measured.iter().filter(|turn| !has_usual || steady.is_usual(turn));
        let measured = median(&counts.map(|turn| turn.measured).collect::<Vec<_>>());
        Pair { name, batch, predicted, measured, bound }
    }
}

/// Calibrates, predicts and measures, round by round.
pub(super) fn measure(bench: &Bench) -> Result<Measured> {
    shell::cargo(&["build", "--quiet", "--release", "--package", "taper-cli"], &[])?;
    let taper = std::env::current_exe()?.with_file_name("taper");
    let threads = bench.threads(&[bench.cores.count()]).last().copied().unwrap_or(1);
    let program = (&*taper, threads);
    let batches = bench.batches(&BATCHES);
    let mut cases = cases(bench, threads, batches.len())?;
    let mut steady = Steady::new(threads)?;
    let (mut calibrations, mut seconds) = (Vec::new(), Vec::new());
    for round in 0..bench.rounds.unwrap_or(ROUNDS) {
        steady.begin()?;
        let (calibration, took) = calibrate(bench, program)?;
        let model = LatencyModel::new(&calibration, threads)?;
        let mut rng = ChaCha8Rng::seed_from_u64(round as u64);
        let mut order: Vec<usize> = (0..cases.len()).collect();
        // A slow minute is not the same networks' every time.
        order.sort_by_cached_key(|_| rng.next_u64());
        for index in order {
            let case = &mut cases[index];
            inference(case, batches, &mut steady)?;
            training(bench, case, program, &mut steady)?;
            for (place, &batch) in batches.iter().enumerate() {
                let prediction = case.predicted_run(&model, batch)?;
                case.runs[place].predict(&prediction);
            }
            if case.is_trained {
                let prediction = case.predicted_step(&model)?;
                case.steps.predict(&prediction);
            }
        }
        calibrations.push(calibration);
        seconds.push(took);
    }
    let trained = || cases.iter().filter(|case| case.is_trained);
    let of_case = |case: &Case| {
        let pairs = case
            .runs
            .iter()
            .zip(batches)
            .map(|(runs, &batch)| runs.pair(case.name, batch, &steady));
        pairs.collect::<Vec<_>>()
    };
    let inference: Vec<Pair> = cases.iter().flat_map(of_case).collect();
    let training: Vec<Pair> =
        trained().map(|case| case.steps.pair(case.name, TRAINED, &steady)).collect();
    let [runs, steps] = alone(&cases, (batches, &steady), &models(&calibrations, threads)?)?;
    let units: usize =
        calibrations.first().map_or(0, |it| it.modes.iter().map(|mode| mode.units.len()).sum());
    let notes = vec![
        format!(
            "{} rounds, in each a calibration and a run of everything; medians over them. Of what was measured, {:.0} % was so in seconds in which the \
             machine was as fast as at its best, which a small network told beside each; only these count where there are any. A calibration takes {:.1} s (median), times {units} \
             units, and is alone, at whatever pace the machine had then, within 10 % of {runs} of inference and within 15 % of {steps} of \
             training steps.",
            calibrations.len(),
            share_of_usual(&cases, &steady),
            median(&seconds),
        ),
        summary("Inference", &inference, 10),
        summary("Training steps", &training, 15),
    ];
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

/// The percentage of what was measured that was so as the machine usually is.
fn share_of_usual(cases: &[Case], steady: &Steady) -> f64 {
    let turns = cases.iter().flat_map(|case| case.runs.iter().chain([&case.steps]));
    let usual: Vec<bool> =
        turns.flat_map(|rounds| rounds.measured.iter().map(|turn| steady.is_usual(turn))).collect();
    100.0 * usual.iter().filter(|&&it| it).count() as f64 / usual.len().max(1) as f64
}

/// What a user sees who calibrates once, of inference and of steps: one calibration against all that was measured.
fn alone(
    cases: &[Case],
    (batches, steady): (&[usize], &Steady),
    models: &[LatencyModel<'_>],
) -> Result<[String; 2]> {
    let mut shares: [Vec<f64>; 2] = Default::default();
    for model in models {
        let (mut runs, mut steps) = (Vec::new(), Vec::new());
        for case in cases {
            for (rounds, &batch) in case.runs.iter().zip(batches) {
                let of = rounds.pair(case.name, batch, steady);
                runs.push(of.with(&case.predicted_run(model, batch)?));
            }
            if case.is_trained {
                let of = case.steps.pair(case.name, TRAINED, steady);
                steps.push(of.with(&case.predicted_step(model)?));
            }
        }
        shares[0].push(share_within(&runs, 10.0));
        shares[1].push(share_within(&steps, 15.0));
    }
    Ok(shares.map(|shares| {
        let least = shares.iter().copied().fold(100.0, f64::min);
        format!("{:.0} % (median; {least:.0} % at worst)", median(&shares))
    }))
}

/// A new calibration of this machine, as a user's would be, and the seconds it took.
fn calibrate(bench: &Bench, (taper, threads): (&Path, usize)) -> Result<(Calibration, f64)> {
    let file = bench.folder.join("calibration.json");
    let mut command = bench.cores.pinned(threads, taper);
    command.args(["cost", "--calibrate", "--json", "--out"]).arg(&file);
    command.arg(format!("--threads={threads}"));
    let done = job::run("calibration", command, &bench.folder)?;
    let text = std::fs::read_to_string(&file).context("reading the calibration")?;
    Ok((Calibration::from_json(&text)?, done.seconds))
}

fn cases(bench: &Bench, threads: usize, batches: usize) -> Result<Vec<Case>> {
    let all = taper_zoo::architectures().filter(|it| it.macs <= MOST_MACS);
    let is_asked = |name: &str| bench.models.is_empty() || bench.models.iter().any(|it| it == name);
    let mut cases = Vec::new();
    for architecture in all.filter(|it| is_asked(it.name)) {
        let model = networks::normalized(architecture.name, threads)?;
        let options = SessionOptions { threads, ..SessionOptions::default() };
        let session = Session::new(&model, &options)?;
        let mut runs = Vec::new();
        runs.resize_with(batches, Rounds::default);
        cases.push(Case {
            name: architecture.name,
            size: [architecture.input_size; 2],
            model,
            session,
            runs,
            is_trained: cases.len().is_multiple_of(OF_TRAINED),
            steps: Rounds::default(),
        });
    }
    Ok(cases)
}

/// Runs a network until its caches are as in use.
fn inference(case: &mut Case, batches: &[usize], steady: &mut Steady) -> Result<()> {
    let Case { model, session, runs, size: [h, w], .. } = case;
    let [h, w] = [*h, *w];
    for (runs, &batch) in runs.iter_mut().zip(batches) {
        let xs = networks::images(batch * h * w * model.graph().input_channels());
        let turn = steady.measure(|| {
            session.run(&xs, [batch, h, w])?;
            let (began, mut ms) = (Instant::now(), Vec::new());
            while ms.len() < 2 || began.elapsed() < TURN {
                let start = Instant::now();
                session.run(&xs, [batch, h, w])?;
                ms.push(start.elapsed().as_secs_f64() * 1e3);
            }
            Ok(median(&ms))
        });
        runs.measured.push(turn?);
    }
    Ok(())
}

/// Training steps of a network, if it is one that is trained.
fn training(
    bench: &Bench,
    case: &mut Case,
    (taper, threads): (&Path, usize),
    steady: &mut Steady,
) -> Result<()> {
    let Case { name, steps, size: [h, _], is_trained, .. } = case;
    if !*is_trained {
        return Ok(());
    }
    let turn = steady.measure(|| {
        let mut command = bench.cores.pinned(threads, taper);
        command.args(["bench", "--mode", "train", "--json", "--seconds", "0.5", "--model", name]);
        command.arg(format!("--batch={TRAINED}")).arg(format!("--threads={threads}"));
        command.arg(format!("--image-size={h}"));
        let done = job::run(&format!("step of {name}"), command, &bench.folder)?;
        done.output["median_ms"].as_f64().context("a median")
    });
    steps.measured.push(turn?);
    Ok(())
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

/// The percentage of predictions that are within `percent` of what was measured.
fn share_within(pairs: &[Pair], percent: f64) -> f64 {
    let near = pairs.iter().filter(|pair| (pair.ratio() - 1.0).abs() <= percent / 100.0);
    100.0 * near.count() as f64 / pairs.len().max(1) as f64
}

fn median(values: &[f64]) -> f64 {
    Spread::of(values).map_or(0.0, |spread| spread.median)
}

/// How many predictions are how near.
fn summary(what: &str, pairs: &[Pair], percent: usize) -> String {
    let errors: Vec<f64> = pairs.iter().map(|pair| (pair.ratio() - 1.0).abs() * 100.0).collect();
    let bounds: Vec<f64> =
        pairs.iter().map(|pair| (pair.bound / pair.measured - 1.0).abs() * 100.0).collect();
    format!(
        "{what}: {} predictions, {:.0} % within {percent} % and {:.0} % within {} %; the median is off by {:.1} %, \
         the largest by {:.1} %. The roofline alone is off by {:.0} % (median).",
        pairs.len(),
        share_within(pairs, percent as f64),
        share_within(pairs, 2.0 * percent as f64),
        2 * percent,
        median(&errors),
        errors.iter().copied().fold(0.0, f64::max),
        median(&bounds),
    )
}
