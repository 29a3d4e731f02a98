//! `bench transfer`: ways of fine-tuning on few pictures a class and on all, ours, PyTorch's by the same recipe, and fastai's `fine_tune`.
//!
//! Above: `bench`. Below: `job`, `transfer::folders`, the `taper` binary; `transfer::distill` for teachers (`bench distill`). Not here: how long the
//! whole job takes on large folders (`end_to_end`), learning rates (`transfer::rates`), classes of
//! different sizes (`transfer::unequal`).
//! Accuracy is that of the last epoch: the best one is picked with the pictures that judge it. A seed decides pictures, weights and order.

pub(super) mod distill;
mod folders;
pub(super) mod rates;
pub(super) mod unequal;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use taper_data::sample_set;

use super::job::{self, Done};
use super::machine::{Machine, ORIGIN};
use super::table::{self, PROGRAM, Table};
use super::{Bench, Measured};
use crate::shell;
use folders::Draw;

/// Seeds when no number of rounds is given.
const SEEDS: usize = 5;
/// Training pictures.
const DRAWS: [Draw; 4] = [Draw::Few(5), Draw::Few(10), Draw::Few(20), Draw::All];
/// Epochs of everybody whose method says no other number.
const EPOCHS: usize = 6;
const BATCH: usize = 32;

/// A way of fine-tuning.
#[derive(Debug, Clone, Copy)]
struct Method {
    name: &'static str,
    ours: &'static [&'static str],
    /// What does the same, if anything does.
    peer: Peer,
}

/// Whom a method is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peer {
    None,
    /// The reference script, with these flags.
    PyTorch(&'static [&'static str]),
    /// fastai's `fine_tune`, and the reference script with our recipe.
    FastaiToo,
}

/// The same flags for us and for the reference.
const fn same(name: &'static str, flags: &'static [&'static str]) -> Method {
    Method { name, ours: flags, peer: Peer::PyTorch(flags) }
}

/// Flags of ours that nobody else has.
const fn alone(name: &'static str, ours: &'static [&'static str]) -> Method {
    Method { name, ours, peer: Peer::None }
}

const METHODS: [Method; 14] = [
    Method { name: "default", ours: &[], peer: Peer::FastaiToo },
    Method {
        name: "--preset quick",
        ours: &["--preset=quick"],
        peer: Peer::PyTorch(&[
            "--freeze=backbone",
            "--augment=none",
            "--optimizer=adamw",
            "--lr=1e-3",
            "--epochs=20",
        ]),
    },
    Method {
        name: "--preset best",
        ours: &["--preset=best"],
        peer: Peer::PyTorch(&["--lr=6e-3", "--epochs=20", "--ema=0.98", "--no-ema-warmup"]),
    },
    Method {
        name: "--freeze backbone",
        ours: &["--freeze=backbone"],
        peer: Peer::PyTorch(&["--freeze=backbone", "--lr=0.01", "--augment=crop"]),
    },
    same("--freeze blocks.3", &["--freeze=blocks.3"]),
    same("--train blocks.6,head", &["--train=blocks.6,head"]),
    same("--unfreeze-every 1", &["--unfreeze-every=1"]),
    same("--layer-decay 0.75", &["--layer-decay=0.75"]),
    same("--norms train", &["--norms=train"]),
    same("--norms recalibrate", &["--norms=recalibrate"]),
    same("--head-epochs 0", &["--head-epochs=0", "--head-lr-scale=10"]),
    same("--head-init random", &["--head-init=random"]),
    same("--label-smoothing 0.1", &["--label-smoothing=0.1"]),
    AUTO,
];

const AUTO: Method = alone("--lr auto", &["--lr=auto"]);

/// All runs of one method on as many pictures of a set.
#[derive(Debug, Clone, Default)]
struct Runs {
    ours: Vec<Done>,
    pytorch: Vec<Done>,
    fastai: Vec<Done>,
}

/// The runs of one of the programs.
type Program = fn(&Runs) -> &Vec<Done>;

/// Every method on one set: by method, by number of pictures.
struct Set {
    name: String,
    /// Pictures that judge.
    val: usize,
    /// Training pictures: of a class, and in all.
    sizes: Vec<String>,
    runs: Vec<Vec<Runs>>,
}

/// Ways of fine-tuning, on few pictures and on all.
pub(super) fn measure(bench: &Bench) -> Result<Measured> {
    // Hours would be lost if it were seen later.
    if bench.peers.is_some() && bench.weights.is_none() {
        bail!("--peers wants --weights here: the .pth of MobileNetV2 that the peers begin with");
    }
    let mut methods = wanted(bench, &METHODS)?;
    without_what_is_missing(bench, &mut methods)?;
    let sets = sets(bench, &methods, &DRAWS)?;
    let mut measured = report("transfer", bench, &sets, &methods)?;
    // Rows of PyTorch may stay that this run has not measured.
    measured.notes.push("PyTorch's runs are validated once, after the last epoch.".to_owned());
    Ok(measured)
}

/// Leaves fastai out, and says so, where the Python does not have it with all that it needs.
fn without_what_is_missing(bench: &Bench, methods: &mut [Method]) -> Result<()> {
    let Some(python) = &bench.peers else { return Ok(()) };
    let mut methods = methods.iter_mut().filter(|it| it.peer == Peer::FastaiToo).peekable();
    if methods.peek().is_none() {
        return Ok(());
    }
    if let Some(why) = python.lacks("fastai.vision.all")? {
        eprintln!("fastai is left out, for the Python cannot import it: {why}");
        methods.for_each(|method| method.peer = Peer::PyTorch(&[]));
    }
    Ok(())
}

/// The methods that are asked for: by a whole name one, by a part of names all that have it.
fn wanted(bench: &Bench, methods: &[Method]) -> Result<Vec<Method>> {
    let is_wanted =
        |name| bench.only.is_empty() || bench.only.iter().any(|it| is_of(it, name, methods));
    let wanted: Vec<Method> =
        methods.iter().filter(|method| is_wanted(method.name)).copied().collect();
    if wanted.is_empty() {
        let known: Vec<&str> = methods.iter().map(|method| method.name).collect();
        bail!("--only: no method has this in its name; they are {}", known.join(", "));
    }
    Ok(wanted)
}

/// Whether what is asked for is of a method of this name.
fn is_of(part: &str, name: &str, methods: &[Method]) -> bool {
    let is_whole = methods.iter().any(|method| method.name == part);
    if is_whole { name == part } else { name.contains(part) }
}

/// Runs every method on every set and number of pictures, all programs by turns.
fn sets(bench: &Bench, methods: &[Method], draws: &[Draw]) -> Result<Vec<Set>> {
    let temp = tempfile::tempdir().context("making a folder for pictures")?;
    let taper = built()?;
    let set = |folder: &PathBuf| set(bench, &taper, folder, methods, draws, temp.path());
    folders(bench, temp.path())?.iter().map(set).collect()
}

/// The optimized binary.
fn built() -> Result<PathBuf> {
    shell::cargo(&["build", "--quiet", "--release", "--package", "taper-cli"], &[])?;
    Ok(std::env::current_exe()?.with_file_name("taper"))
}

/// The folders that are learned: emoji6, and the one that is given.
fn folders(bench: &Bench, temp: &Path) -> Result<Vec<PathBuf>> {
    if let Some(folder) = &bench.data {
        folders::check(folder)?;
    }
    let emoji6 = temp.join("emoji6");
    sample_set::export(&emoji6)?;
    Ok([Some(emoji6), bench.data.clone()].into_iter().flatten().collect())
}

/// What a folder is called.
fn set_name(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn set(
    bench: &Bench,
    taper: &Path,
    folder: &Path,
    methods: &[Method],
    draws: &[Draw],
    temp: &Path,
) -> Result<Set> {
    let name = set_name(folder);
    let (mut sizes, mut val) = (Vec::new(), 0);
    let mut runs: Vec<Vec<Runs>> = methods.iter().map(|_| Vec::new()).collect();
    for &draw in draws {
        let mut column: Vec<Runs> = methods.iter().map(|_| Runs::default()).collect();
        for seed in 0..bench.rounds.unwrap_or(SEEDS) {
            let few = temp.join("few");
            let count = folders::few(folder, draw, seed as u64, &few)?;
            if seed == 0 {
                sizes.push(format!("{draw} ({})", count.train));
                val = count.val;
            }
            for (method, runs) in methods.iter().zip(&mut column) {
                let job = Job { bench, taper, folder: &few, seed, method };
                let told = format!("{name}, {draw}, seed {seed}, {}", method.name);
                job.run(&told, runs)?;
            }
            std::fs::remove_dir_all(&few).with_context(|| format!("removing {}", few.display()))?;
        }
        for (row, runs) in runs.iter_mut().zip(column) {
            row.push(runs);
        }
    }
    Ok(Set { name, val, sizes, runs })
}

/// One method on one folder with one seed.
struct Job<'a> {
    bench: &'a Bench,
    taper: &'a Path,
    folder: &'a Path,
    seed: usize,
    method: &'a Method,
}

impl Job<'_> {
    fn run(&self, told: &str, runs: &mut Runs) -> Result<()> {
        let mut ours = finetune(self.bench, self.taper, self.folder, self.seed);
        ours.args(self.method.ours).arg(format!("--image-size={}", self.bench.image_size));
        let done = self.one(told, "taper", ours)?;
        runs.ours.push(done);
        let Some(python) = &self.bench.peers else { return Ok(()) };
        let threads = threads(self.bench);
        let weights = self.bench.weights.as_deref().context("a peer without weights")?;
        let numbers = |numbers: &[usize]| Vec::from_iter(numbers.iter().map(ToString::to_string));
        if let Some(flags) = self.method.peer.flags() {
            let mut command = python.generator(&self.bench.cores, threads, "finetune.py");
            command.arg(self.folder).arg("--weights").arg(weights).arg("--validate=last");
            command.arg(format!("--seed={}", self.seed)).arg(format!("--threads={threads}"));
            command.arg(format!("--image-size={}", self.bench.image_size));
            command.arg(format!("--batch-size={BATCH}")).arg(format!("--epochs={EPOCHS}"));
            command.args(flags);
            runs.pytorch.push(self.one(told, "PyTorch", command)?);
        }
        if self.method.peer == Peer::FastaiToo {
            let mut command = python.script(&self.bench.cores, threads, "fastai_tune.py");
            let size = self.bench.image_size;
            command.arg(self.folder).args(numbers(&[EPOCHS, BATCH, size, self.seed, threads]));
            command.arg(weights);
            runs.fastai.push(self.one(told, "fastai", command)?);
        }
        Ok(())
    }

    /// Runs one program; its folder of a run is removed again.
    fn one(&self, told: &str, program: &str, command: Command) -> Result<Done> {
        let done = one(self.bench, told, program, command);
        let out = run_folder(self.folder);
        if out.exists() {
            std::fs::remove_dir_all(&out).with_context(|| format!("removing {}", out.display()))?;
        }
        done
    }
}

/// Where our run on a folder of pictures writes.
fn run_folder(folder: &Path) -> PathBuf {
    folder.join("run")
}

fn threads(bench: &Bench) -> usize {
    bench.threads(&[bench.cores.count()]).last().copied().unwrap_or(1)
}

/// Our command on a folder of pictures.
fn finetune(bench: &Bench, taper: &Path, folder: &Path, seed: usize) -> Command {
    let threads = threads(bench);
    let mut command = bench.cores.pinned(threads, taper);
    command.args(["finetune", "--json", "--no-report"]).arg("--data").arg(folder);
    command.arg("--out").arg(run_folder(folder)).arg(format!("--batch-size={BATCH}"));
    command.arg(format!("--seed={seed}")).arg(format!("--threads={threads}"));
    command
}

/// Runs one program and tells its accuracy.
fn one(bench: &Bench, told: &str, program: &str, command: Command) -> Result<Done> {
    let done = job::run("transfer", command, &bench.folder).context(told.to_owned())?;
    eprintln!("{told}, {program}: {:.1} s, top-1 {}", done.seconds, done.output["val_top1"]);
    Ok(done)
}

impl Peer {
    fn flags(self) -> Option<&'static [&'static str]> {
        match self {
            Self::None => None,
            Self::PyTorch(flags) => Some(flags),
            Self::FastaiToo => Some(&[]),
        }
    }
}

/// Mean accuracy of runs.
fn mean(runs: &[Done]) -> Option<f64> {
    let values: Option<Vec<f64>> =
        runs.iter().map(|done| done.output["val_top1"].as_f64()).collect();
    let values = values.filter(|values| !values.is_empty())?;
    Some(values.iter().sum::<f64>() / values.len() as f64)
}

/// Standard deviation of the accuracy of runs.
fn deviation(runs: &[Done]) -> Option<f64> {
    let mean = mean(runs)?;
    let squares = runs.iter().filter_map(|done| done.output["val_top1"].as_f64());
    let squares: f64 = squares.map(|value| (value - mean).powi(2)).sum();
    (runs.len() > 1).then(|| (squares / (runs.len() - 1) as f64).sqrt())
}

fn seconds(runs: &[Done]) -> f64 {
    runs.iter().map(|done| done.seconds).sum()
}

/// `0.912 ± 0.008`.
fn accuracy(runs: &[Done]) -> Option<String> {
    let mean = mean(runs)?;
    Some(deviation(runs).map_or(format!("{mean:.3}"), |sd| format!("{mean:.3} ± {sd:.3}")))
}

/// The tables of a section, of which rows may stay when others are measured again: each has its machine and commit.
fn report(name: &'static str, bench: &Bench, sets: &[Set], methods: &[Method]) -> Result<Measured> {
    let origin = Machine::look(&bench.cores)?.origin();
    let mut tables = Vec::new();
    let mut values = Vec::new();
    for set in sets {
        let mut head = vec!["method".to_owned(), PROGRAM.to_owned()];
        head.extend(set.sizes.iter().cloned());
        head.extend(["s, all runs", "seeds"].into_iter().chain(ORIGIN).map(str::to_owned));
        let mut table = Table { head, rows: Vec::new() };
        for (method, runs) in methods.iter().zip(&set.runs) {
            let programs: [(&str, Program); 3] = [
                ("taper", |runs| &runs.ours),
                ("PyTorch", |runs| &runs.pytorch),
                ("fastai", |runs| &runs.fastai),
            ];
            for (program, of) in programs {
                let cells: Option<Vec<String>> =
                    runs.iter().map(|runs| accuracy(of(runs))).collect();
                let Some(cells) = cells else {
                    if program == "taper" {
                        bail!("a run of `{}` did not say its accuracy", method.name);
                    }
                    continue;
                };
                let of_all: f64 = runs.iter().map(|runs| seconds(of(runs))).sum();
                let seeds = runs.first().map_or(0, |runs| of(runs).len());
                let mut row = vec![method.name.to_owned(), named(program, runs, of)];
                row.extend(cells);
                row.extend([table::number(of_all), seeds.to_string()]);
                row.extend(origin.clone());
                table.rows.push(row);
                values.push(value(&set.name, method.name, program, runs, of));
            }
        }
        let size = bench.image_size;
        let caption = format!("{} at {size}x{size}, {} pictures held out", set.name, set.val);
        tables.push((caption, table));
    }
    let notes = vec![what_counts(bench, "so many seeds from 0 on")];
    Ok(Measured { name, tables, notes, pictures: Vec::new(), json: values.into() })
}

/// A program, and the version that it says it has.
fn named(program: &str, runs: &[Runs], of: Program) -> String {
    let version = |runs| of(runs).first()?.output["version"].as_str();
    let version = runs.iter().find_map(version).filter(|_| program == "fastai");
    version.map_or(program.to_owned(), |version| format!("{program} {version}"))
}

/// Which seeds all rows have.
fn seeds_of(bench: &Bench) -> String {
    format!("seeds 0 to {}", bench.rounds.unwrap_or(SEEDS).saturating_sub(1))
}

/// What the numbers of a table are.
fn what_counts(bench: &Bench, seeds: &str) -> String {
    let size = bench.image_size;
    format!(
        "MobileNetV2 at {size}x{size} pixels, batch {BATCH}, {seeds}: top-1 on the held-out pictures after the last epoch, mean and standard \
         deviation. A seed decides the training pictures too. Seconds are of whole processes."
    )
}

fn value(set: &str, method: &str, program: &str, runs: &[Runs], of: Program) -> Value {
    let top1 =
        |runs: &Runs| Vec::from_iter(of(runs).iter().map(|done| done.output["val_top1"].clone()));
    let by_size: Vec<Value> = runs
        .iter()
        .map(|runs| json!({ "val_top1": top1(runs), "seconds": seconds(of(runs)) }))
        .collect();
    json!({ "set": set, "method": method, "program": program, "sizes": by_size })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(top1: f64) -> Done {
        Done { seconds: 2.0, peak_bytes: 0, output: json!({ "val_top1": top1 }) }
    }

    #[test]
    fn a_mean_has_its_deviation_where_there_are_several_runs() {
        assert_eq!(accuracy(&[done(0.5), done(0.7)]).unwrap(), "0.600 ± 0.141");
        assert_eq!(accuracy(&[done(0.5)]).unwrap(), "0.500");
        assert_eq!(accuracy(&[]), None);
        let silent = Done { output: json!({}), ..done(0.0) };
        assert_eq!(accuracy(&[done(0.5), silent]), None);
        assert!((seconds(&[done(0.1), done(0.2)]) - 4.0).abs() < 1e-12);
    }

    #[test]
    fn a_whole_name_asks_for_one_method_and_a_part_for_all_that_have_it() {
        let count =
            |part| rates::METHODS.iter().filter(|it| is_of(part, it.name, &rates::METHODS)).count();
        assert_eq!((count("--lr 0.001"), count("lr 0.001"), count("adamw")), (1, 3, 7));
    }

    #[test]
    fn every_method_has_a_name_of_its_own_which_is_its_flags() {
        for methods in [&METHODS[..], &rates::METHODS[..], &unequal::METHODS[..]] {
            let mut names: Vec<&str> = methods.iter().map(|method| method.name).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), methods.len());
            for method in methods.iter().filter(|method| method.name != "default") {
                let said: Vec<&str> = method.name.split_whitespace().collect();
                let flags: Vec<String> = said.chunks(2).map(|it| it.join("=")).collect();
                let are_all = flags.iter().zip(method.ours).all(|(said, is)| is.starts_with(said));
                assert!(are_all && flags.len() <= method.ours.len(), "{}", method.name);
            }
        }
    }
}
