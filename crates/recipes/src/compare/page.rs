//! Runs side by side as one HTML page: their scores, what they differ in, their curves over each other.
//!
//! Above: `compare`. Below: `run_report::{learning, words}`, `cost::page`, `taper_report`. Not here: reading the runs (`compare`).

use std::path::Path;

use taper_report::{
    Block, Cell, Chart, Curve, Curves, Dimension, Look, Page, Point, Scale, Scatter, Table, Unit,
};

use super::{CompareReport, ComparedRun, Read};
use crate::cost::page::{charts, section};
use crate::error::Result;
use crate::run_report::learning::{loss_scale, over_epochs};
use crate::run_report::words::{score_name, score_unit, shown, time};

/// Epochs of the table.
const MOST_EPOCHS: usize = 500;

/// Scores whose curves are drawn, as far as there are any.
const DRAWN: [&str; 6] = ["top1", "balanced_accuracy", "f1", "auroc", "mae", "r2"];

pub(super) fn write(path: &Path, read: &[Read], report: &CompareReport) -> Result<()> {
    let mut first = Vec::new();
    if !report.remarks.is_empty() {
        first.push(Block::Remarks { lines: report.remarks.clone() });
    }
    let (title, note) = (String::new(), String::new());
    first.push(Block::Table { title, note, table: scores(&report.runs) });
    let mut sections = vec![section("Side by side", "of the best epoch", first)];
    let (title, note) = (String::new(), String::new());
    let table = differences(report);
    sections.push(match report.differences.is_empty() {
        true => {
            let lines = vec!["The runs were asked for the same.".to_owned()];
            section("What differs", "", vec![Block::Remarks { lines }])
        }
        false => section("What differs", "", vec![Block::Table { title, note, table }]),
    });
    let mut learned = vec![charts("", curves(read), None)];
    learned.extend(epochs(read));
    sections.push(section("How they were learned", "", learned));
    if let Some(chart) = over_time(&report.runs) {
        let note = "up and to the left is better";
        sections.push(section("Score and time", note, vec![charts("", vec![chart], None)]));
    }
    let names: Vec<&str> = report.runs.iter().map(|run| run.name.as_str()).collect();
    let page = Page {
        title: format!("{} runs side by side", report.runs.len()),
        note: names.join(", "),
        sections,
    };
    crate::cost::page::write(path, &page)
}

/// The names of all scores of all runs, that which picks the best first.
fn score_names(runs: &[ComparedRun]) -> Vec<&str> {
    let picked = runs.iter().filter_map(|run| run.best_by.as_deref());
    let drawn = DRAWN
        .into_iter()
        .filter(|name| runs.iter().any(|run| run.best_val_scores.contains_key(*name)));
    let mut names: Vec<&str> = Vec::new();
    for name in picked.chain(drawn).chain(["loss"]) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn scores(runs: &[ComparedRun]) -> Table {
    let names = score_names(runs);
    let mut head = vec!["run".to_owned()];
    head.extend(names.iter().map(|name| score_name(name).to_owned()));
    let others = ["95 % of top-1", "epochs", "time", "images/s", "memory", "parameters", "MACs"];
    head.extend(others.map(str::to_owned));
    let row = |run: &ComparedRun| {
        let mut row = vec![Cell::Words(run.name.clone())];
        row.extend(names.iter().map(|name| match run.best_val_scores.get(*name) {
            Some(value) => {
                let (value, unit) = shown(name, *value);
                Cell::Number(value, unit)
            }
            None => Cell::Empty,
        }));
        let number = |value: Option<f64>, unit: Unit| {
            value.map_or(Cell::Empty, |value| Cell::Number(value, unit))
        };
        let interval = run.top1_interval.map_or(Cell::Empty, |interval| {
            let [low, high] = interval.map(|end| 100.0 * end);
            Cell::Words(format!("{low:.1} to {high:.1}"))
        });
        let epochs = match run.best_epoch {
            Some(best) => format!("{} of {}, best {best}", run.epochs, run.of_epochs),
            None => format!("{} of {}", run.epochs, run.of_epochs),
        };
        row.extend([
            interval,
            Cell::Words(epochs),
            run.seconds.map_or(Cell::Empty, |seconds| Cell::Words(time(seconds))),
            number(run.images_per_second, Unit::Count),
            number(run.peak_bytes.map(|bytes| bytes as f64), Unit::Bytes),
            number(run.params.map(|params| params as f64), Unit::Count),
            number(run.macs.map(|macs| macs as f64), Unit::Count),
        ]);
        row
    };
    Table { head, rows: runs.iter().map(row).collect() }
}

fn differences(report: &CompareReport) -> Table {
    let mut head = vec!["option".to_owned()];
    head.extend(report.runs.iter().map(|run| run.name.clone()));
    let rows = report.differences.iter().map(|difference| {
        let name = difference.option.replace('_', " ");
        std::iter::once(name).chain(difference.values.iter().cloned()).map(Cell::Words).collect()
    });
    Table { head, rows: rows.collect() }
}

fn curves(read: &[Read]) -> Vec<Chart> {
    let chart = |title: String, unit: Unit, of: &dyn Fn(&Read) -> Vec<[f64; 2]>| {
        let curves: Vec<Curve> = read
            .iter()
            .map(|it| Curve { name: it.run.name.clone(), points: of(it), look: Look::Line })
            .filter(|curve| !curve.points.is_empty())
            .collect();
        let values = curves.iter().flat_map(|curve| &curve.points).map(|point| point[1]);
        let scale = if unit == Unit::Number { loss_scale(values) } else { Scale::Linear };
        let across =
            Dimension { name: "epoch".to_owned(), unit: Unit::Integer, scale: Scale::Linear };
        let upward = Dimension { name: String::new(), unit, scale };
        Chart::from(Curves { title, across, upward, curves, marks: Vec::new() })
    };
    let numbered = |points: Vec<[f64; 2]>, read: &Read| -> Vec<[f64; 2]> {
        let epochs = read.log.epochs.iter().map(|epoch| epoch.epoch as f64);
        points.into_iter().zip(epochs).map(|(point, epoch)| [epoch, point[1]]).collect()
    };
    let is_known = |name: &&str| read.iter().any(|it| it.run.best_val_scores.contains_key(*name));
    let mut all: Vec<Chart> = DRAWN
        .into_iter()
        .filter(is_known)
        .map(|name| {
            let title = format!("{}, held out", score_name(name));
            chart(title, score_unit(name), &|it| numbered(over_epochs(&it.log, name), it))
        })
        .collect();
    all.push(chart("Held-out loss".to_owned(), Unit::Number, &|it| {
        numbered(over_epochs(&it.log, "loss"), it)
    }));
    all.push(chart("Training loss".to_owned(), Unit::Number, &|it| {
        let loss = |epoch: &crate::run_report::log::EpochRecord| {
            [epoch.epoch as f64, epoch.train.get("loss").copied().unwrap_or(f64::NAN)]
        };
        it.log.epochs.iter().map(loss).collect()
    }));
    all
}

/// The score that picks the best, a row an epoch and a column a run.
fn epochs(read: &[Read]) -> Option<Block> {
    let name = read.iter().find_map(|it| it.run.best_by.as_deref())?;
    let most = read.iter().map(|it| it.log.epochs.len()).max().unwrap_or(0);
    let cell = |it: &Read, at: usize| {
        let value = it.log.epochs.get(at).and_then(|epoch| epoch.val.get(name));
        value.map_or(Cell::Empty, |value| {
            let (value, unit) = shown(name, *value);
            Cell::Number(value, unit)
        })
    };
    let row = |at: usize| {
        let epoch = Cell::Number((at + 1) as f64, Unit::Integer);
        std::iter::once(epoch).chain(read.iter().map(|it| cell(it, at))).collect()
    };
    let mut head = vec!["epoch".to_owned()];
    head.extend(read.iter().map(|it| it.run.name.clone()));
    let table = Table { head, rows: (0..most.min(MOST_EPOCHS)).map(row).collect() };
    let summary = format!("Epochs as a table: {} of held-out pictures", score_name(name));
    Some(Block::Folded { summary, table })
}

/// The score that picks the best over the time that it took, if all have both and the same.
fn over_time(runs: &[ComparedRun]) -> Option<Chart> {
    let (name, _) = runs.first()?.best()?;
    // Up is better there.
    if matches!(name, "loss" | "mae" | "rmse" | "ece") {
        return None;
    }
    let point = |run: &ComparedRun| {
        let (of, value) = run.best()?;
        let (y, _) = shown(name, value);
        let x = 1000.0 * run.seconds?;
        (of == name).then(|| Point { name: run.name.clone(), class: run.name.clone(), x, y })
    };
    let points: Option<Vec<Point>> = runs.iter().map(point).collect();
    let dimension =
        |name: &str, unit| Dimension { name: name.to_owned(), unit, scale: Scale::Linear };
    let scatter = Scatter {
        title: format!("{} over time", score_name(name)),
        across: dimension("time", Unit::Milliseconds),
        upward: dimension(score_name(name), score_unit(name)),
        classes: runs.iter().map(|run| run.name.clone()).collect(),
        points: points?,
    };
    Some(scatter.into())
}
