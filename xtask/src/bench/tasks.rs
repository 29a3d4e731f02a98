//! `bench tasks` and `bench scratch`: targets that are not one class a picture, and networks from random weights, ours and PyTorch's by the
//! same recipe.
//!
//! Above: `bench`. Below: `job`, the `taper` binary, `tests/generators/tasks.py` and `finetune.py`. Not here: ways to fine-tune (`transfer`).
//! The pictures are drawn by the peer's script, with the seed of the run, so that without a peer there is nothing to train on.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::job::{self, Done};
use super::machine::{self, COMMIT};
use super::peers::Peers;
use super::table::{Table, number};
use super::{Bench, Measured};
use crate::shell;

/// Seeds when no number of rounds is given.
const SEEDS: usize = 3;

/// What both are told when pretrained weights learn a drawn set: the new layer is trained with the others from the start, at their rate, and so are norms.
const TUNED: &[&str] = &[
    "--image-size=96",
    "--batch-size=16",
    "--head-epochs=0",
    "--head-lr-scale=1",
    "--norms=train",
];

/// What both are told when random weights learn Fashion-MNIST. In five epochs random crops cost more than they give: a run of ours ends at a top-1 of
/// 0.848 without and of 0.778 with them (0.814 of at least seven tenths of the picture).
/// The first epoch, 313 steps, is warm-up: at five times the rate the losses of both go to 3 to 5 before they fall.
const SCRATCH: &[&str] = &[
    "--image-size=64",
    "--batch-size=32",
    "--epochs=5",
    "--lr=0.01",
    "--warmup=313",
    "--augment=none",
    "--head-epochs=0",
    "--head-lr-scale=1",
];

/// The networks that learn Fashion-MNIST: MobileNetV2 a third as wide, and its teacher.
const STUDENT: Width = Width { name: "mobilenetv2_035", width: "0.35" };
const TEACHER: Width = Width { name: "mobilenetv2_050", width: "0.5" };

/// What the numbers of a row are.
const MEANS: &str = "Means over so many seeds, from 0 on, of scores and of the seconds of whole processes; behind the difference is its standard error.";

/// What is said below the table of drawn sets, and of Fashion-MNIST.
const DRAWN: &str = "Of tables the best epoch of pretrained MobileNetV2 at 96x96 counts: 600 drawn pictures (of class weights 210, 10 of them of the \
                     rare class), 400 others judge.";
const FASHION: &str = "The last of 5 epochs of MobileNetV2 at width 0.35 and 64x64, without augmentation, counts: 10,000 pictures of Fashion-MNIST, its 10,000 test pictures judge. \
                       The teacher is as wide as 0.5, and ours in both programs.";

/// A width of MobileNetV2 under both programs' names.
#[derive(Debug, Clone, Copy)]
struct Width {
    name: &'static str,
    width: &'static str,
}

/// Something to learn.
#[derive(Debug, Clone, Copy)]
struct Task {
    name: &'static str,
    /// What judges, by its name in both programs' reports.
    metric: &'static str,
    learns: Learns,
}

#[derive(Debug, Clone, Copy)]
enum Learns {
    /// A set of this name that the script draws: flags of ours, and flags of both.
    Drawn { set: &'static str, ours: &'static [&'static str], both: &'static [&'static str] },
    /// Fashion-MNIST, with these flags; `is_taught` by a wider network that learned the same.
    Fashion { both: &'static [&'static str], is_taught: bool },
}

const TASKS: [Task; 8] = [
    drawn(
        ["many labels", "f1", "labels"],
        &["--target-columns=tags", "--targets=labels"],
        &["--lr=0.02", "--epochs=8"],
    ),
    drawn(
        ["a number", "r2", "numbers"],
        &["--target-columns=size", "--targets=numbers"],
        &["--lr=0.002", "--epochs=10", "--augment=none"],
    ),
    drawn(
        ["soft labels", "top1", "probabilities"],
        &["--target-columns=disk,square", "--targets=probabilities"],
        &["--lr=0.002", "--epochs=10"],
    ),
    drawn(
        ["class weights", "balanced_accuracy", "classes"],
        &["--target-columns=label", "--class-weights=balanced"],
        &["--lr=0.002", "--epochs=20"],
    ),
    fashion("plain", &[], false),
    fashion("mixup", &["--mixup=0.2"], false),
    fashion("cutmix", &["--cutmix=1"], false),
    fashion("a teacher", &[], true),
];

/// A task by its name, its metric and its set.
const fn drawn(
    [name, metric, set]: [&'static str; 3],
    ours: &'static [&'static str],
    both: &'static [&'static str],
) -> Task {
    Task { name, metric, learns: Learns::Drawn { set, ours, both } }
}

const fn fashion(name: &'static str, both: &'static [&'static str], is_taught: bool) -> Task {
    Task { name, metric: "top1", learns: Learns::Fashion { both, is_taught } }
}

/// All runs of one task.
#[derive(Debug, Default)]
struct Runs {
    ours: Vec<Done>,
    theirs: Vec<Done>,
}

/// Targets of drawn sets.
pub(super) fn measure(bench: &Bench) -> Result<Measured> {
    let Some(python) = &bench.peers else {
        bail!("tasks wants --peers: the Python that draws the pictures and learns them, too");
    };
    if bench.weights.is_none() {
        bail!("tasks wants --weights: the .pth of MobileNetV2 that PyTorch begins with");
    }
    let tasks = wanted(bench, |it| matches!(it, Learns::Drawn { .. }))?;
    let seeds = bench.rounds.unwrap_or(SEEDS);
    let notes = vec![format!("{MEANS} A seed draws the pictures, too."), DRAWN.to_owned()];
    report("tasks", &all_runs(bench, python, tasks, seeds)?, notes)
}

/// Random weights.
pub(super) fn measure_scratch(bench: &Bench) -> Result<Measured> {
    let Some(python) = &bench.peers else {
        bail!("scratch wants --peers: the Python that unpacks the pictures and learns them, too");
    };
    if bench.data.is_none() {
        bail!("scratch wants --data: a folder with the four files of Fashion-MNIST");
    }
    let tasks = wanted(bench, |it| matches!(it, Learns::Fashion { .. }))?;
    let seeds = bench.rounds.unwrap_or(SEEDS);
    let notes = vec![MEANS.to_owned(), FASHION.to_owned()];
    report("scratch", &all_runs(bench, python, tasks, seeds)?, notes)
}

/// Runs every task with every seed, both programs by turns.
fn all_runs(
    bench: &Bench,
    python: &Peers,
    tasks: Vec<Task>,
    seeds: usize,
) -> Result<Vec<(Task, Runs)>> {
    shell::cargo(&["build", "--quiet", "--release", "--package", "taper-cli"], &[])?;
    let taper = std::env::current_exe()?.with_file_name("taper");
    let temp = tempfile::tempdir().context("making a folder for pictures")?;
    let pair = Pair { bench, python, taper: &taper, temp: temp.path() };
    let mut all: Vec<(Task, Runs)> =
        tasks.into_iter().map(|task| (task, Runs::default())).collect();
    for (task, runs) in &mut all {
        for seed in 0..seeds {
            pair.run(task, seed, runs)?;
        }
    }
    Ok(all)
}

/// The section's tasks whose names are asked for.
fn wanted(bench: &Bench, is_ours: fn(&Learns) -> bool) -> Result<Vec<Task>> {
    let known: Vec<Task> = TASKS.into_iter().filter(|task| is_ours(&task.learns)).collect();
    let is_wanted = |task: &&Task| {
        bench.only.is_empty() || bench.only.iter().any(|part| task.name.contains(part.as_str()))
    };
    let tasks: Vec<Task> = known.iter().filter(is_wanted).copied().collect();
    if tasks.is_empty() {
        let known: Vec<&str> = known.iter().map(|task| task.name).collect();
        bail!("--only: no task has this in its name; they are {}", known.join(", "));
    }
    Ok(tasks)
}

/// Both programs.
struct Pair<'a> {
    bench: &'a Bench,
    python: &'a Peers,
    taper: &'a Path,
    temp: &'a Path,
}

impl Pair<'_> {
    fn run(&self, task: &Task, seed: usize, runs: &mut Runs) -> Result<()> {
        let (ours, theirs) = match task.learns {
            Learns::Drawn { set, ours, both } => {
                let table = self.drawn(set, seed)?;
                let mut taper = self.taper(&table, seed);
                taper.args(TUNED).args(both).args(ours).arg(format!("--best-by={}", task.metric));
                let mut peer = self.peer("tasks.py", seed);
                let weights = self.bench.weights.as_deref().context("a peer without weights")?;
                peer.args(["train", set]).arg(table).arg("--weights").arg(weights);
                peer.args(TUNED).args(both);
                (taper, peer)
            }
            Learns::Fashion { both, is_taught } => {
                let folder = self.fashion()?;
                let (mut taper, mut peer) = self.scratch(&folder, STUDENT, seed);
                taper.args(both);
                peer.args(both);
                if is_taught {
                    let teacher = self.teacher(&folder, seed)?;
                    taper.arg("--teacher").arg(&teacher);
                    peer.arg("--teacher").arg(&teacher);
                    peer.args(["--teacher-width", TEACHER.width]);
                }
                (taper, peer)
            }
        };
        let told = format!("{}, seed {seed}", task.name);
        for (program, command, runs) in
            [("taper", ours, &mut runs.ours), ("PyTorch", theirs, &mut runs.theirs)]
        {
            runs.push(self.one(&format!("{told}, {program}"), task, command)?);
        }
        Ok(())
    }

    /// The model file of a wider network that has learned Fashion-MNIST before: one for both, since students follow it.
    fn teacher(&self, folder: &Path, seed: usize) -> Result<PathBuf> {
        let (taper, _) = self.scratch(folder, TEACHER, seed);
        let task = fashion("the teacher", &[], false);
        let done = self.one(&format!("the teacher of seed {seed}, taper"), &task, taper)?;
        let model = done.output["model"].as_str().context("a run without a model")?;
        let kept = self.temp.join("teacher.safetensors");
        std::fs::copy(model, &kept).with_context(|| format!("keeping {model}"))?;
        Ok(kept)
    }

    /// Both programs' training of random weights.
    fn scratch(&self, folder: &Path, width: Width, seed: usize) -> (Command, Command) {
        let mut taper = self.taper(folder, seed);
        taper.args(["--pretrained=none", "--freeze=none", "--model", width.name]).args(SCRATCH);
        let mut peer = self.peer("finetune.py", seed);
        peer.arg(folder).args(["--weights=none", "--width", width.width]).args(SCRATCH);
        (taper, peer)
    }

    fn taper(&self, data: &Path, seed: usize) -> Command {
        let threads = self.threads();
        let mut command = self.bench.cores.pinned(threads, self.taper);
        command.args(["finetune", "--json", "--no-report"]).arg("--data").arg(data);
        command.arg("--out").arg(self.out());
        command.arg(format!("--seed={seed}")).arg(format!("--threads={threads}"));
        command
    }

    fn peer(&self, script: &str, seed: usize) -> Command {
        let threads = self.threads();
        let mut command = self.python.generator(&self.bench.cores, threads, script);
        command.arg(format!("--seed={seed}")).arg(format!("--threads={threads}"));
        command
    }

    fn threads(&self) -> usize {
        self.bench.threads(&[self.bench.cores.count()]).last().copied().unwrap_or(1)
    }

    fn out(&self) -> PathBuf {
        self.temp.join("run")
    }

    /// The table of a set, drawn with this seed.
    fn drawn(&self, set: &str, seed: usize) -> Result<PathBuf> {
        let folder = self.temp.join(format!("{set}-{seed}"));
        let table = folder.join(format!("{set}.csv"));
        std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let mut command = self.peer("tasks.py", seed);
        draws(command.args(["draw", set]).arg(&table))?;
        Ok(table)
    }

    /// The image folder of Fashion-MNIST, drawn once.
    fn fashion(&self) -> Result<PathBuf> {
        let folder = self.temp.join("fashion");
        if !folder.exists() {
            let idx = self.bench.data.as_deref().context("no folder of Fashion-MNIST")?;
            let mut command = self.peer("tasks.py", 0);
            draws(command.args(["draw", "fashion"]).arg(&folder).arg("--idx").arg(idx))?;
        }
        Ok(folder)
    }

    /// Runs one program and tells its score. The folder of its run stays until the next one.
    fn one(&self, told: &str, task: &Task, command: Command) -> Result<Done> {
        let out = self.out();
        if out.exists() {
            std::fs::remove_dir_all(&out).with_context(|| format!("removing {}", out.display()))?;
        }
        let done = job::run("tasks", command, &self.bench.folder).context(told.to_owned())?;
        let score = task.score(&done.output);
        let score =
            score.with_context(|| format!("{told}: no {} in {}", task.metric, done.output))?;
        eprintln!("{told}: {:.1} s, {} {score:.4}", done.seconds, task.metric);
        Ok(done)
    }
}

/// Runs a script that draws and says nothing.
fn draws(command: &mut Command) -> Result<()> {
    let status = command.status().context("drawing pictures")?;
    if !status.success() {
        bail!("tests/generators/tasks.py could not draw pictures ({status})");
    }
    Ok(())
}

impl Task {
    /// A run's score: of the best epoch on a table, of the last one on Fashion-MNIST.
    fn score(&self, output: &Value) -> Option<f64> {
        match self.learns {
            Learns::Drawn { .. } => output["best_val_scores"][self.metric].as_f64(),
            Learns::Fashion { .. } => output["val_top1"].as_f64(),
        }
    }
}

fn report(name: &'static str, all: &[(Task, Runs)], notes: Vec<String>) -> Result<Measured> {
    let head = ["task", "judged by", "taper", "PyTorch", "difference", "taper, s", "PyTorch, s"];
    let mut head = head.map(str::to_owned).to_vec();
    head.extend(["taper / PyTorch", "seeds", COMMIT].map(str::to_owned));
    let commit = machine::commit()?;
    let mut table = Table { head, rows: Vec::new() };
    let mut values = Vec::new();
    for (task, runs) in all {
        let scores = |runs: &[Done]| {
            let scores: Option<Vec<f64>> =
                runs.iter().map(|done| task.score(&done.output)).collect();
            scores.with_context(|| format!("a run of `{}` has no {}", task.name, task.metric))
        };
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
        let seconds = |runs: &[Done]| mean(&Vec::from_iter(runs.iter().map(|done| done.seconds)));
        let (ours, theirs) = (scores(&runs.ours)?, scores(&runs.theirs)?);
        let (took, peer_took) = (seconds(&runs.ours), seconds(&runs.theirs));
        table.rows.push(vec![
            task.name.to_owned(),
            task.metric.to_owned(),
            format!("{:.3}", mean(&ours)),
            format!("{:.3}", mean(&theirs)),
            format!("{:+.3}{}", mean(&ours) - mean(&theirs), give_or_take(&ours, &theirs)),
            number(took),
            number(peer_took),
            number(took / peer_took),
            runs.ours.len().to_string(),
            commit.clone(),
        ]);
        values.push(json!({
            "task": task.name, "metric": task.metric, "taper": ours, "pytorch": theirs,
            "taper_seconds": took, "pytorch_seconds": peer_took,
        }));
    }
    Ok(Measured::of(name, table, notes, values.into()))
}

/// The standard error of the difference of both means, where there are several seeds.
fn give_or_take(ours: &[f64], theirs: &[f64]) -> String {
    let variance_of_mean = |values: &[f64]| {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0) / n
    };
    let error = (variance_of_mean(ours) + variance_of_mean(theirs)).sqrt();
    if error.is_finite() { format!(" ± {error:.3}") } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(seconds: f64, output: Value) -> Done {
        Done { seconds, peak_bytes: 0, output }
    }

    #[test]
    fn a_row_says_both_means_their_difference_and_the_ratio_of_times() {
        let runs = Runs {
            ours: vec![
                done(1.0, json!({ "best_val_scores": { "f1": 0.9 } })),
                done(3.0, json!({ "best_val_scores": { "f1": 0.8 } })),
            ],
            theirs: vec![
                done(8.0, json!({ "best_val_scores": { "f1": 0.75 } })),
                done(8.0, json!({ "best_val_scores": { "f1": 0.85 } })),
            ],
        };
        let measured = report("tasks", &[(TASKS[0], runs)], vec![]).unwrap();
        let row = &measured.tables[0].1.rows[0];
        // Both variances are 0.005, and of means of two half of that.
        assert_eq!(row[2..9], ["0.850", "0.800", "+0.050 ± 0.071", "2.00", "8.00", "0.250", "2"]);
        assert_eq!(give_or_take(&[0.5], &[0.25]), "");
        let silent = Runs { ours: vec![done(1.0, json!({}))], theirs: vec![] };
        assert!(report("tasks", &[(TASKS[0], silent)], vec![]).is_err());
    }

    #[test]
    fn of_a_table_the_best_epoch_counts_and_of_fashion_mnist_the_last() {
        let said = json!({ "val_top1": 0.7, "best_val_scores": { "top1": 0.8 } });
        let drawn = TASKS.iter().find(|task| task.name == "soft labels").unwrap();
        let scratch = TASKS.iter().find(|task| task.name == "plain").unwrap();
        assert_eq!((drawn.score(&said), scratch.score(&said)), (Some(0.8), Some(0.7)));
        assert_eq!(drawn.score(&json!({ "val_top1": 0.7 })), None);
    }
}
