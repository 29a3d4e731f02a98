//! `bench end-to-end`: the main job, from the start of a process to its end: `taper finetune` and a PyTorch script.
//!
//! Above: `bench`. Below: `job`, the `taper` binary. Not here: where the time goes (`train`, `data`).
//! Our defaults and the script's recipe are each what their users get, but for norms, which both train; both train as many epochs on the same files.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use taper_engine::Spread;

use super::job::{self, Done};
use super::table::{self, Table};
use super::{Bench, Measured, data};
use crate::shell;

const EPOCHS: usize = 5;
const BATCH: usize = 32;

/// A way to do the main job, ours and PyTorch's.
struct Job {
    name: &'static str,
    ours: &'static [&'static str],
    /// Mode of the script.
    theirs: &'static str,
}

const JOBS: [Job; 3] = [
    Job {
        name: "everything trained",
        ours: &["--freeze", "none", "--norms", "train"],
        theirs: "full",
    },
    Job { name: "frozen backbone", ours: &["--freeze", "backbone"], theirs: "head" },
    Job {
        name: "frozen backbone, no augmentation",
        ours: &["--freeze", "backbone", "--augment", "none"],
        theirs: "head",
    },
];

/// Runs of one job: ours, and PyTorch's by loader workers.
struct Runs {
    job: &'static Job,
    ours: Vec<Done>,
    theirs: Vec<(usize, Vec<Done>)>,
}

/// Runs every job, ours and theirs by turns.
pub(super) fn measure(bench: &Bench) -> Result<Measured> {
    shell::cargo(&["build", "--quiet", "--release", "--package", "taper-cli"], &[])?;
    let taper = std::env::current_exe()?.with_file_name("taper");
    let temp = tempfile::tempdir().context("making a folder for runs")?;
    let folder = data::pictures(bench, temp.path())?;
    if bench.peers.is_some() && !(folder.join("train").is_dir() && folder.join("val").is_dir()) {
        bail!("{} has no train and val, which the peer reads", folder.display());
    }
    let threads = bench.threads(&[bench.cores.count()]).last().copied().unwrap_or(1);
    let workers = if bench.peers.is_some() { vec![0, threads] } else { Vec::new() };
    let empty = |job| Runs {
        job,
        ours: Vec::new(),
        theirs: workers.iter().map(|&workers| (workers, Vec::new())).collect(),
    };
    let mut all: Vec<Runs> = JOBS.iter().map(empty).collect();
    for round in 0..bench.rounds.unwrap_or(1) {
        for (idx, runs) in all.iter_mut().enumerate() {
            let out = temp.path().join(format!("run-{round}-{idx}"));
            let mut command = bench.cores.pinned(threads, &taper);
            command.arg("finetune").args(runs.job.ours).arg("--data").arg(&folder);
            command.arg("--out").arg(out).arg("--json").arg(format!("--epochs={EPOCHS}"));
            command.arg(format!("--batch-size={BATCH}")).arg(format!("--threads={threads}"));
            command.arg(format!("--image-size={}", bench.image_size));
            runs.ours.push(one(bench, &format!("taper, {}", runs.job.name), command)?);
            for (workers, done) in &mut runs.theirs {
                let name = format!("PyTorch {}, {workers} workers", runs.job.theirs);
                let command = script(bench, &folder, runs.job.theirs, threads, *workers)?;
                done.push(one(bench, &name, command)?);
            }
        }
    }
    report(&all, threads)
}

fn one(bench: &Bench, name: &str, command: Command) -> Result<Done> {
    let done = job::run(name, command, &bench.folder)?;
    eprintln!("{name}: {:.1} s, val top-1 {}", done.seconds, done.output["val_top1"]);
    Ok(done)
}

fn script(
    bench: &Bench,
    folder: &Path,
    mode: &str,
    threads: usize,
    workers: usize,
) -> Result<Command> {
    let python = bench.peers.as_ref().context("a peer without a Python")?;
    let mut command = python.script(&bench.cores, threads, "finetune.py");
    command.arg(folder).arg(mode);
    command.args([EPOCHS, BATCH, bench.image_size, threads, workers].map(|n| n.to_string()));
    command.arg(bench.weights.as_deref().unwrap_or(Path::new("-")));
    Ok(command)
}

/// Medians of several runs of one program.
struct Summary {
    seconds: f64,
    own_seconds: f64,
    top1: f64,
    peak_bytes: f64,
}

impl Summary {
    fn of(runs: &[Done]) -> Option<Self> {
        let median = |of: &dyn Fn(&Done) -> Option<f64>| {
            let values: Option<Vec<f64>> = runs.iter().map(of).collect();
            Some(Spread::of(&values?)?.median)
        };
        Some(Self {
            seconds: median(&|done| Some(done.seconds))?,
            own_seconds: median(&|done| done.output["seconds"].as_f64())?,
            top1: median(&|done| done.output["val_top1"].as_f64())?,
            peak_bytes: median(&|done| Some(done.peak_bytes as f64))?,
        })
    }

    fn cells(&self) -> [String; 4] {
        let mebibytes = self.peak_bytes / f64::from(1 << 20);
        let [seconds, own] = [self.seconds, self.own_seconds].map(table::number);
        [seconds, own, format!("{:.3}", self.top1), table::number(mebibytes)]
    }

    fn json(&self) -> Value {
        let Self { seconds, own_seconds, top1, peak_bytes } = self;
        json!({ "seconds": seconds, "own_seconds": own_seconds, "val_top1": top1, "peak_bytes": peak_bytes })
    }
}

fn report(all: &[Runs], threads: usize) -> Result<Measured> {
    let head = [
        "job",
        "program",
        "s",
        "s by its own clock",
        "val top-1",
        "MiB",
        "taper / it",
        "by own clocks",
    ];
    let mut table = Table { head: head.map(str::to_owned).to_vec(), rows: Vec::new() };
    let mut values = Vec::new();
    for runs in all {
        let silent = || format!("a run of `{}` did not say its time and accuracy", runs.job.name);
        let ours = Summary::of(&runs.ours).with_context(silent)?;
        let mut value = json!({ "job": runs.job.name, "threads": threads, "taper": ours.json() });
        let mut row = vec![runs.job.name.to_owned(), "taper".to_owned()];
        row.extend(ours.cells());
        row.extend([String::new(), String::new()]);
        table.rows.push(row);
        for (workers, done) in &runs.theirs {
            let theirs = Summary::of(done).with_context(silent)?;
            let mut row = vec![runs.job.name.to_owned(), format!("PyTorch, {workers} workers")];
            row.extend(theirs.cells());
            row.push(table::number(ours.seconds / theirs.seconds));
            row.push(table::number(ours.own_seconds / theirs.own_seconds));
            table.rows.push(row);
            value[format!("pytorch_{workers}_workers")] = theirs.json();
        }
        values.push(value);
    }
    let rounds = all.first().map_or(0, |runs| runs.ours.len());
    let mut notes = vec![format!(
        "{EPOCHS} epochs, batch {BATCH}, threads {threads}; median of {rounds} run(s). *s* is the whole life of the process; its own \
         clock begins after libraries are loaded. MiB is the most memory of the process without its loader workers."
    )];
    let version = all.iter().flat_map(|runs| &runs.theirs).find_map(|(_, done)| {
        done.first()?.output["version"].as_str().map(|version| format!("Peer: PyTorch {version}."))
    });
    notes.extend(version);
    Ok(Measured::of("end-to-end", table, notes, values.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(seconds: f64, own: f64) -> Done {
        let output = json!({ "seconds": own, "val_top1": 0.95, "version": "2" });
        Done { seconds, peak_bytes: 1 << 20, output }
    }

    #[test]
    fn a_job_is_a_row_for_each_program() {
        let theirs = vec![(0, vec![done(40.0, 36.0)]), (2, vec![done(50.0, 45.0)])];
        let ours = vec![done(9.0, 8.0), done(10.0, 9.0), done(30.0, 29.0)];
        let measured = report(&[Runs { job: &JOBS[0], ours, theirs }], 2).unwrap();
        let rows: Vec<String> =
            measured.tables[0].1.rows.iter().map(|row| row[1..].join(" ")).collect();
        assert_eq!(rows[0].trim_end(), "taper 10.0 9.00 0.950 1.00");
        assert_eq!(rows[1], "PyTorch, 0 workers 40.0 36.0 0.950 1.00 0.250 0.250");
        assert_eq!(rows[2], "PyTorch, 2 workers 50.0 45.0 0.950 1.00 0.200 0.200");
        assert_eq!(measured.notes[1], "Peer: PyTorch 2.");
    }

    #[test]
    fn a_run_without_numbers_is_refused() {
        let silent = Done { output: json!({}), ..done(1.0, 1.0) };
        assert!(
            report(&[Runs { job: &JOBS[0], ours: vec![silent], theirs: Vec::new() }], 2).is_err()
        );
    }
}
