//! `bench conv`: milliseconds of single convolutions, ours and PyTorch's.
//!
//! Above: `bench`, `serve`. Below: `cases`, `passes`, `race`. Not here: networks (`infer`, `train`), the share of the roof (`layers`).
//! Both begin with the same values, and a peer whose results are not ours is refused.

mod cases;
mod passes;

use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};

use super::contestant::Contestant;
use super::race::{Outcome, Rules, race};
use super::serve::serve;
use super::table::{self, Table};
use super::{Bench, Measured};
use cases::Case;
use passes::{Pass, Passes};

/// Layouts of PyTorch's tensors; the last must be asked for.
pub(super) const PEERS: [&str; 2] = ["channels_last", "nchw"];

/// How far the results of two contestants may be from each other, as a share of the largest: a gradient of weights is a sum of
/// up to 400,000 products in single precision, and they add in different orders.
const SAME: f64 = 1e-4;

/// One configuration.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConvSetup {
    #[arg(long)]
    case: String,
    #[arg(long, value_enum)]
    pass: Pass,
    #[arg(long)]
    batch: usize,
    #[arg(long)]
    threads: usize,
}

/// One configuration and what it showed.
type MeasuredCase = (Case, ConvSetup, Vec<Outcome>);

/// Our contestant.
pub(super) fn contestant(setup: &ConvSetup) -> Result<()> {
    let ConvSetup { case, pass, batch, threads } = setup;
    let cases = Case::named(std::slice::from_ref(case))?;
    let case = cases.iter().find(|found| found.name == case).context("half a name")?;
    let shape = case.shape(*batch).with_context(|| format!("{case} of {batch} images"))?;
    let mut passes = Passes::new(shape, *threads);
    passes.run(*pass);
    let ready = json!({ "ready": true, "probes": passes.probes(*pass) });
    serve(&ready, || {
        passes.run(*pass);
        Ok(())
    })
}

/// Measures every convolution forward, one image and a batch of them, and backward, a batch.
pub(super) fn measure(bench: &Bench) -> Result<Measured> {
    let mut rows = Vec::new();
    for case in Case::named(&bench.only)? {
        for &threads in bench.threads(&[bench.cores.count()]) {
            for &(pass, batch) in &passes(&bench.batches) {
                let case_name = case.name.to_owned();
                let setup = ConvSetup { case: case_name, pass, batch, threads };
                let outcomes = one(bench, &case, &setup)?;
                let (name, spoken) = (case.name, table::spoken(&outcomes));
                eprintln!("{name}, {}, batch {batch}, threads {threads}: {spoken}", pass.name());
                rows.push((case, setup, outcomes));
            }
        }
    }
    Ok(report(&rows))
}

/// Passes and batches: both passes of the batches that were asked for, or what a session and a trainer do most.
fn passes(batches: &[usize]) -> Vec<(Pass, usize)> {
    if batches.is_empty() {
        return vec![(Pass::Forward, 1), (Pass::Forward, 32), (Pass::Backward, 32)];
    }
    let both = |&batch| [(Pass::Forward, batch), (Pass::Backward, batch)];
    batches.iter().flat_map(both).collect()
}

fn one(bench: &Bench, case: &Case, setup: &ConvSetup) -> Result<Vec<Outcome>> {
    let mut contestants = vec![Contestant::start("taper", setup.ours(bench)?, &bench.folder)?];
    for name in bench.against(&PEERS, 1) {
        let peer = Contestant::start(name, setup.peer(bench, case, name)?, &bench.folder)?;
        same(&contestants[0].ready()["probes"], &peer.ready()["probes"])
            .with_context(|| format!("{name} does not compute {case}, {}", setup.pass.name()))?;
        contestants.push(peer);
    }
    race(&mut contestants, Rules { rounds: bench.rounds.unwrap_or(9), turn_ms: 200.0 })
}

impl ConvSetup {
    fn ours(&self, bench: &Bench) -> Result<Command> {
        let Self { case, pass, batch, threads } = self;
        let mut command = bench.cores.pinned(*threads, std::env::current_exe()?);
        command.args(["contestant", "conv"]).arg(format!("--case={case}"));
        command.arg(format!("--pass={}", pass.name())).arg(format!("--batch={batch}"));
        command.arg(format!("--threads={threads}"));
        Ok(command)
    }

    fn peer(&self, bench: &Bench, case: &Case, name: &str) -> Result<Command> {
        let Some(python) = &bench.peers else { bail!("{name} was asked for without --peers") };
        let Self { pass, batch, threads, .. } = self;
        let mut command = python.script(&bench.cores, *threads, "conv.py");
        command.args([name, pass.name()]).arg(batch.to_string());
        command.args(case.numbers().map(|number| number.to_string())).arg(threads.to_string());
        Ok(command)
    }

    /// Billions of operations a second, two a multiply-accumulate, if a run takes `ms`.
    fn speed(&self, case: &Case, ms: f64) -> f64 {
        2.0 * (case.macs() * self.runs()) as f64 / ms / 1e6
    }

    /// How often a forward pass of one image is done, or its like.
    fn runs(&self) -> u64 {
        (self.batch * self.pass.forwards()) as u64
    }

    fn json(&self, case: &Case, outcomes: &[Outcome]) -> Value {
        let Self { case: name, pass, batch, threads } = self;
        json!({
            "case": name, "shape": case.to_string(), "pass": pass.name(), "batch": batch, "threads": threads,
            "macs": case.macs() * self.runs(),
            "outcomes": outcomes.iter().map(Outcome::json).collect::<Value>(),
        })
    }
}

/// Whether probes of as many results are as good as equal.
fn same(ours: &Value, theirs: &Value) -> Result<()> {
    let read = |probes: &Value| serde_json::from_value::<Vec<Vec<f64>>>(probes.clone());
    let (ours, theirs) = (read(ours)?, read(theirs)?);
    let lens = |probes: &[Vec<f64>]| probes.iter().map(Vec::len).collect::<Vec<_>>();
    if lens(&ours) != lens(&theirs) {
        bail!("{:?} values against our {:?}", lens(&theirs), lens(&ours));
    }
    for (result, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
        let largest = ours.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
        for (at, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
            // Of a NaN this is false.
            let near = (ours - theirs).abs() <= SAME * largest;
            if !near {
                bail!("value {at} of result {result} is {theirs}, and ours is {ours}");
            }
        }
    }
    Ok(())
}

fn report(rows: &[MeasuredCase]) -> Measured {
    let mut tables: Vec<(String, Table)> = Vec::new();
    for (case, setup, outcomes) in rows {
        if tables.last().is_none_or(|(family, _)| family != case.family) {
            tables.push((case.family.to_owned(), Table { head: head(outcomes), rows: Vec::new() }));
        }
        if let Some((_, table)) = tables.last_mut() {
            table.rows.push(cells(case, setup, outcomes));
        }
    }
    let mut notes = vec![
        "Float32, no bias. Forward is the output; backward is the gradients of input and weight, both. Weights are packed within each run. \
         Milliseconds and ratios are medians, in parentheses the 10th and 90th percentile. GFLOP/s counts two operations a \
         multiply-accumulate, those on padding too."
            .to_owned(),
    ];
    notes.extend(slowest(rows));
    notes.extend(table::versions(rows.iter().flat_map(|(_, _, outcomes)| outcomes)));
    let json = rows.iter().map(|(case, setup, outcomes)| setup.json(case, outcomes)).collect();
    Measured { name: "conv", tables, notes, pictures: Vec::new(), json }
}

fn head(outcomes: &[Outcome]) -> Vec<String> {
    let mut head = ["name", "shape", "pass", "batch", "threads"].map(str::to_owned).to_vec();
    for outcome in outcomes {
        head.extend([format!("{}, ms", outcome.name), "GFLOP/s".to_owned()]);
        head.extend(outcome.ratio.map(|_| format!("taper / {}", outcome.name)));
    }
    head
}

fn cells(case: &Case, setup: &ConvSetup, outcomes: &[Outcome]) -> Vec<String> {
    let mut cells = vec![case.name.to_owned(), case.to_string(), setup.pass.name().to_owned()];
    cells.extend([setup.batch, setup.threads].map(|n| n.to_string()));
    for outcome in outcomes {
        let speed = setup.speed(case, outcome.ms.median);
        cells.extend([table::spread(outcome.ms), table::number(speed)]);
        cells.extend(outcome.ratio.map(table::spread));
    }
    cells
}

/// A sentence on where we stand worst, if there were peers.
fn slowest(rows: &[MeasuredCase]) -> Option<String> {
    let ratios = rows.iter().flat_map(|(case, setup, outcomes)| {
        let ratio = |outcome: &Outcome| Some((outcome.ratio?.median, outcome.name.clone()));
        outcomes.iter().filter_map(ratio).map(move |(ratio, peer)| (ratio, peer, case, setup))
    });
    let (ratio, peer, case, setup) = ratios.max_by(|a, b| a.0.total_cmp(&b.0))?;
    let (ratio, pass, batch) = (table::number(ratio), setup.pass.name(), setup.batch);
    Some(format!("The largest ratio is {ratio}: {}, {pass}, batch {batch}, {peer}.", case.name))
}

#[cfg(test)]
mod tests {
    use taper_engine::Spread;

    use super::*;

    #[test]
    fn results_are_the_same_or_refused() {
        let ours = json!([[1.0, -4.0], [0.5]]);
        assert!(same(&ours, &json!([[1.0003, -4.0], [0.5]])).is_ok());
        let error = same(&ours, &json!([[1.001, -4.0], [0.5]])).unwrap_err().to_string();
        assert!(error.contains("value 0 of result 0"), "{error}");
        assert!(same(&ours, &json!([[1.0, -4.0]])).is_err());
        assert!(same(&ours, &Value::Null).is_err());
    }

    #[test]
    fn asked_batches_go_both_ways() {
        assert_eq!(passes(&[8]), [(Pass::Forward, 8), (Pass::Backward, 8)]);
        assert!(!passes(&[]).contains(&(Pass::Backward, 1)));
    }

    #[test]
    fn a_table_a_family_with_speed_and_the_worst_ratio_below() {
        let spread = |median| Spread { median, p10: median, p90: median };
        let outcome = |name: &str, ms, ratio: Option<f64>| Outcome {
            name: name.to_owned(),
            version: String::new(),
            ms: spread(ms),
            ratio: ratio.map(spread),
            peak_bytes: 0,
        };
        let row = |name: &str, ratio| {
            let case = Case::named(&[name.to_owned()]).unwrap()[0];
            let (case_name, pass) = (name.to_owned(), Pass::Backward);
            let setup = ConvSetup { case: case_name, pass, batch: 2, threads: 1 };
            let outcomes =
                vec![outcome("taper", 2.0, None), outcome("peer", 2.0 / ratio, Some(ratio))];
            (case, setup, outcomes)
        };
        let rows = [row("layer1.0.conv1", 0.5), row("layer4.0.conv2", 1.25), row("groups8", 1.0)];
        let measured = report(&rows);
        let families: Vec<&str> = measured.tables.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(families, ["ResNet-18", "Grouped"]);
        // 115,605,504 multiply-accumulates an image, two images, two gradients, in 2 ms.
        let (_, table) = &measured.tables[0];
        assert_eq!(table.rows[0][6], "462");
        assert_eq!(table.head.len(), table.rows[0].len());
        assert!(measured.notes[1].contains("1.25: layer4.0.conv2, backward, batch 2, peer"));
    }
}
