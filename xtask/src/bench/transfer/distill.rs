//! `bench distill`: what a stronger network's answers are worth where few pictures have labels (Hinton et al. 2015, <https://arxiv.org/abs/1503.02531>).
//!
//! Above: `bench`. Below: `transfer`, whose folders, command and accuracy these are. Not here: random weights with a teacher (`bench scratch`).
//! The teacher learns the same few labels as the student; nobody sees the labels of the others, but for the last row.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::super::job::Done;
use super::super::table::{self, Table};
use super::super::{Bench, Measured};
use super::folders::Draw;
use super::{SEEDS, accuracy, folders, one, run_folder, seconds};

/// Pictures of a class that have labels.
const SHOTS: usize = 10;

/// How the teacher learns: of ten pictures a class, EfficientNet-Lite2 makes more when its classifier alone is trained (hymenoptera 0.97, emoji6 0.73,
/// seed 0) than when everything is, for 20 epochs (0.90 and 0.67).
const TAUGHT: [&str; 1] = ["--preset=quick"];

/// Who learns, from what.
const ROWS: [&str; 5] = [
    "teacher, the labels",
    "student, the labels",
    "student, the labels and the teacher",
    "student, the labels, the teacher and all pictures",
    "student, all labels",
];

/// Runs every row on every set with every seed.
pub(in super::super) fn measure(bench: &Bench) -> Result<Measured> {
    let temp = tempfile::tempdir().context("making a folder for pictures")?;
    let taper = super::built()?;
    let teacher = teacher(bench)?;
    let folders = folders(bench, temp.path())?;
    let mut runs: Vec<Vec<Vec<Done>>> = Vec::new();
    for folder in &folders {
        let mut of_rows: Vec<Vec<Done>> = ROWS.iter().map(|_| Vec::new()).collect();
        for seed in 0..bench.rounds.unwrap_or(SEEDS) {
            let job =
                Job { bench, taper: &taper, teacher: &teacher, temp: temp.path(), folder, seed };
            for (row, done) in of_rows.iter_mut().zip(job.rows()?) {
                row.push(done);
            }
        }
        runs.push(of_rows);
    }
    report(bench, &folders, &runs)
}

/// The flags of the teacher's own training: a network at the size it was made for, larger than the student or at more pixels.
fn teacher(bench: &Bench) -> Result<Vec<String>> {
    match (bench.models.as_slice(), &bench.weights) {
        ([], None) => Ok(vec!["--image-size=224".to_owned()]),
        ([name], None) => Ok(vec![format!("--model={name}")]),
        ([name], Some(weights)) => {
            Ok(vec![format!("--arch={name}"), format!("--model={}", weights.display())])
        }
        _ => {
            bail!("distill wants one --model, the teacher, and with --weights its file; or neither")
        }
    }
}

/// One set with one seed.
struct Job<'a> {
    bench: &'a Bench,
    taper: &'a Path,
    teacher: &'a [String],
    temp: &'a Path,
    folder: &'a Path,
    seed: usize,
}

impl Job<'_> {
    /// Every row, in order.
    fn rows(&self) -> Result<[Done; ROWS.len()]> {
        let (few, rest) = (self.temp.join("few"), self.temp.join("rest"));
        folders::few(self.folder, Draw::Few(SHOTS), self.seed as u64, &few)?;
        folders::rest(self.folder, &few, &rest)?;
        let model = self.temp.join("teacher.safetensors");
        let mut taught = self.command(&few);
        taught.args(TAUGHT).args(self.teacher);
        let teacher = self.one(0, &few, taught, Some(&model))?;
        let student = |folder: &Path| {
            let mut command = self.command(folder);
            command.arg(format!("--image-size={}", self.bench.image_size));
            command
        };
        let alone = self.one(1, &few, student(&few), None)?;
        let mut command = student(&few);
        command.arg("--teacher").arg(&model);
        let distilled = self.one(2, &few, command, None)?;
        let mut command = student(&few);
        command.arg("--teacher").arg(&model).arg("--unlabelled").arg(&rest);
        let unlabelled = self.one(3, &few, command, None)?;
        let all = self.temp.join("all");
        folders::few(self.folder, Draw::All, self.seed as u64, &all)?;
        let labelled = self.one(4, &all, student(&all), None)?;
        for folder in [few, rest, all] {
            std::fs::remove_dir_all(&folder)
                .with_context(|| format!("removing {}", folder.display()))?;
        }
        Ok([teacher, alone, distilled, unlabelled, labelled])
    }

    /// `taper finetune` on a folder of pictures.
    fn command(&self, folder: &Path) -> Command {
        super::finetune(self.bench, self.taper, folder, self.seed)
    }

    /// Runs one row, keeps its model where that is wanted, and removes its folder.
    fn one(
        &self,
        row: usize,
        folder: &Path,
        command: Command,
        keep: Option<&Path>,
    ) -> Result<Done> {
        let told = format!("{}, seed {}, {}", super::set_name(self.folder), self.seed, ROWS[row]);
        let done = one(self.bench, &told, "taper", command)?;
        if let Some(kept) = keep {
            let model = done.output["model"].as_str().context("a run without a model")?;
            std::fs::copy(model, kept).with_context(|| format!("keeping {model}"))?;
        }
        let out = run_folder(folder);
        std::fs::remove_dir_all(&out).with_context(|| format!("removing {}", out.display()))?;
        Ok(done)
    }
}

/// A row each; a column each set.
fn report(bench: &Bench, folders: &[PathBuf], runs: &[Vec<Vec<Done>>]) -> Result<Measured> {
    let names: Vec<String> = folders.iter().map(|folder| super::set_name(folder)).collect();
    let mut head = vec!["who learns, and what".to_owned()];
    head.extend(names.iter().cloned());
    head.push("s, all runs".to_owned());
    let mut table = Table { head, rows: Vec::new() };
    let mut values = Vec::new();
    for (place, name) in ROWS.into_iter().enumerate() {
        let of_sets: Vec<&Vec<Done>> = runs.iter().map(|rows| &rows[place]).collect();
        let cells: Option<Vec<String>> = of_sets.iter().map(|runs| accuracy(runs)).collect();
        let mut row = vec![name.to_owned()];
        row.extend(cells.with_context(|| format!("a run of `{name}` did not say its accuracy"))?);
        row.push(table::number(of_sets.iter().map(|runs| seconds(runs)).sum()));
        table.rows.push(row);
        for (set, runs) in names.iter().zip(of_sets) {
            let top1 = Vec::from_iter(runs.iter().map(|done| done.output["val_top1"].clone()));
            values.push(json!({ "set": set, "row": name, "val_top1": top1 }));
        }
    }
    let teacher = match bench.models.first() {
        Some(name) => format!("{name}, at its own size"),
        None => "the same network at 224x224".to_owned(),
    };
    let notes = vec![format!(
        "{SHOTS} pictures of a class have labels. The teacher is {teacher}, and its classifier alone is trained. {}",
        super::what_counts(bench, &super::seeds_of(bench))
    )];
    Ok(Measured::of("distill", table, notes, values.into()))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_row_has_a_cell_for_each_set() {
        let done =
            |top1: f64| Done { seconds: 1.0, peak_bytes: 0, output: json!({ "val_top1": top1 }) };
        let set = |top1: f64| Vec::from_iter(ROWS.iter().map(|_| vec![done(top1), done(top1)]));
        let bench = Bench::example();
        let folders = ["ants", "emoji6"].map(PathBuf::from);
        let measured = report(&bench, &folders, &[set(0.25), set(0.5)]).unwrap();
        let table = &measured.tables[0].1;
        assert_eq!(table.head[1..3], ["ants", "emoji6"]);
        assert_eq!(table.rows.len(), ROWS.len());
        assert_eq!(table.rows[3][1..], ["0.250 ± 0.000", "0.500 ± 0.000", "4.00"]);
        let silent = vec![vec![Done { output: Value::Null, ..done(0.0) }]; ROWS.len()];
        assert!(report(&bench, &folders[..1], &[silent]).is_err());
    }

    #[test]
    fn the_teacher_is_a_network_with_a_file_of_its_own_or_the_same_network_at_more_pixels() {
        let bench = Bench::example();
        assert_eq!(teacher(&bench).unwrap(), ["--image-size=224"]);
        let named = Bench { models: vec!["efficientnet_lite2".to_owned()], ..bench };
        assert_eq!(teacher(&named).unwrap(), ["--model=efficientnet_lite2"]);
        let own = Bench { weights: Some("lite2.pth".into()), ..named };
        assert_eq!(teacher(&own).unwrap(), ["--arch=efficientnet_lite2", "--model=lite2.pth"]);
        assert!(teacher(&Bench { models: Vec::new(), ..own }).is_err());
    }
}
