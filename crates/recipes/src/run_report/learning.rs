//! Curves of a run: losses, scores and the learning rate over epochs, and the same as a table.
//!
//! Above: `run_report`, `compare`. Below: `run_report::{log, words}`, `taper_report`. Not here: reading the log (`run_report::log`).

use taper_report::{Block, Cell, Chart, Curve, Curves, Dimension, Look, Mark, Scale, Table, Unit};

use super::log::{EpochRecord, RunLog};
use super::words::{score_name, score_unit, shown};
use crate::cost::page::charts;

/// Values of which the largest is so many times the smallest are drawn by powers of ten.
const WIDE: f64 = 50.0;

/// Epochs of the table, about; of more, every second or third is there, the best, and the last.
const MOST_ROWS: usize = 300;

/// Scores that are drawn, as far as there are any; the others are in the table.
const DRAWN: [&str; 8] =
    ["top1", "balanced_accuracy", "f1", "label_accuracy", "auroc", "mae", "rmse", "r2"];

/// The charts, and the table of epochs.
pub(crate) fn blocks(log: &RunLog) -> Vec<Block> {
    let mut all = vec![charts("", drawn(log), None)];
    if !log.epochs.is_empty() {
        all.push(Block::Folded { summary: "Epochs as a table".to_owned(), table: table(log) });
    }
    all
}

fn drawn(log: &RunLog) -> Vec<Chart> {
    let mut all = vec![losses(log)];
    for (names, title) in scores(log) {
        all.push(score(log, &names, &title));
    }
    all.push(rates(log));
    all
}

/// Scores that are drawn together, with their title: shares in one chart, others alone.
fn scores(log: &RunLog) -> Vec<(Vec<&str>, String)> {
    let known = log.score_names();
    let drawn = || DRAWN.into_iter().filter(|name| known.contains(name));
    let shares: Vec<&str> = drawn().filter(|name| score_unit(name) == Unit::Percent).collect();
    let mut all = Vec::new();
    if !shares.is_empty() {
        all.push((shares, "Accuracy".to_owned()));
    }
    let others = drawn().filter(|name| score_unit(name) != Unit::Percent);
    all.extend(others.map(|name| {
        let is_trained = log.epochs.iter().any(|epoch| epoch.train.contains_key(name));
        (vec![name], title(score_name(name), if is_trained { "" } else { ", held out" }))
    }));
    all
}

/// A name as a title.
fn title(name: &str, end: &str) -> String {
    let mut letters = name.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    format!("{}{}{end}", first.unwrap_or_default(), letters.as_str())
}

/// The level axis: epochs, or steps before the end of the first one.
pub(crate) fn across(log: &RunLog) -> Dimension {
    let name = if log.steps_per_epoch().is_some() { "epoch" } else { "step" };
    Dimension { name: name.to_owned(), unit: Unit::Integer, scale: Scale::Linear }
}

/// Where a step that is done is on it.
fn place(log: &RunLog, steps: u64) -> f64 {
    steps as f64 / log.steps_per_epoch().unwrap_or(1.0)
}

fn at(log: &RunLog, epoch: &EpochRecord) -> f64 {
    place(log, epoch.steps)
}

/// The held-out scores of one name over epochs.
pub(crate) fn over_epochs(log: &RunLog, name: &str) -> Vec<[f64; 2]> {
    let value = |epoch: &EpochRecord| epoch.val.get(name).copied().unwrap_or(f64::NAN);
    let scale = if score_unit(name) == Unit::Percent { 100.0 } else { 1.0 };
    log.epochs.iter().map(|epoch| [at(log, epoch), scale * value(epoch)]).collect()
}

fn best(log: &RunLog) -> Vec<Mark> {
    let mark = |epoch: &EpochRecord| Mark { name: "best".to_owned(), at: at(log, epoch) };
    log.best().map(mark).into_iter().collect()
}

fn curve(name: &str, look: Look, points: Vec<[f64; 2]>) -> Curve {
    Curve { name: name.to_owned(), points, look }
}

/// An axis of losses: by powers of ten where they are far apart.
pub(crate) fn loss_scale(values: impl Iterator<Item = f64>) -> Scale {
    let (mut low, mut high) = (f64::INFINITY, 0.0f64);
    values.filter(|value| value.is_finite()).for_each(|value| {
        low = low.min(value);
        high = high.max(value);
    });
    if low > 0.0 && high > WIDE * low { Scale::Log10 } else { Scale::Linear }
}

fn losses(log: &RunLog) -> Chart {
    let train = |epoch: &EpochRecord| epoch.train.get("loss").copied().unwrap_or(f64::NAN);
    let steps: Vec<[f64; 2]> =
        log.steps.iter().map(|step| [place(log, step.step + 1), step.loss]).collect();
    let means: Vec<[f64; 2]> = log.epochs.iter().map(|it| [at(log, it), train(it)]).collect();
    let val = over_epochs(log, "loss");
    let values = [&steps, &means, &val].into_iter().flatten().map(|point| point[1]);
    let scale = loss_scale(values);
    let upward = Dimension { name: String::new(), unit: Unit::Number, scale };
    let curves = vec![
        curve("training", Look::Faint, steps),
        curve("training", Look::Line, means),
        curve("held out", Look::Line, val),
    ];
    let (title, across, marks) = ("Loss".to_owned(), across(log), best(log));
    Curves { title, across, upward, curves, marks }.into()
}

fn score(log: &RunLog, names: &[&str], title: &str) -> Chart {
    let unit = names.first().map_or(Unit::Number, |name| score_unit(name));
    let scale = if unit == Unit::Percent { 100.0 } else { 1.0 };
    let train = |name: &str| -> Vec<[f64; 2]> {
        let value = |epoch: &EpochRecord| Some([at(log, epoch), scale * epoch.train.get(name)?]);
        log.epochs.iter().filter_map(value).collect()
    };
    let mut curves = Vec::new();
    for name in names {
        let points = train(name);
        if !points.is_empty() {
            curves.push(curve(&format!("{}, training", score_name(name)), Look::Line, points));
        }
        let name_of = format!("{}, held out", score_name(name));
        curves.push(curve(&name_of, Look::Line, over_epochs(log, name)));
    }
    let upward = Dimension { name: String::new(), unit, scale: Scale::Linear };
    let (title, across, marks) = (title.to_owned(), across(log), best(log));
    Curves { title, across, upward, curves, marks }.into()
}

fn rates(log: &RunLog) -> Chart {
    let points = log.steps.iter().map(|step| [place(log, step.step + 1), step.lr]).collect();
    let upward = Dimension { name: String::new(), unit: Unit::Number, scale: Scale::Linear };
    let curves = vec![curve("learning rate", Look::Line, points)];
    let (title, across) = ("Learning rate".to_owned(), across(log));
    Curves { title, across, upward, curves, marks: Vec::new() }.into()
}

/// A row an epoch.
pub(crate) fn table(log: &RunLog) -> Table {
    let names = log.score_names();
    let mut head = vec!["epoch".to_owned(), "training loss".to_owned(), "held-out loss".to_owned()];
    head.extend(names.iter().map(|name| score_name(name).to_owned()));
    head.push(String::new());
    let row = |epoch: &EpochRecord| {
        let number = |value: Option<&f64>| {
            value.map_or(Cell::Empty, |value| Cell::Number(*value, Unit::Number))
        };
        let mut row = vec![
            Cell::Number(epoch.epoch as f64, Unit::Integer),
            number(epoch.train.get("loss")),
            number(epoch.val.get("loss")),
        ];
        row.extend(names.iter().map(|name| {
            epoch.val.get(*name).map_or(Cell::Empty, |value| {
                let (value, unit) = shown(name, *value);
                Cell::Number(value, unit)
            })
        }));
        row.push(if epoch.is_best { Cell::Words("best so far".to_owned()) } else { Cell::Empty });
        row
    };
    let stride = log.epochs.len().div_ceil(MOST_ROWS).max(1);
    let last = log.epochs.len().saturating_sub(1);
    let is_shown = |at: usize, epoch: &EpochRecord| {
        at.is_multiple_of(stride) || at == last || log.best().is_some_and(|best| best == epoch)
    };
    let shown = log.epochs.iter().enumerate().filter(|(at, epoch)| is_shown(*at, epoch));
    Table { head, rows: shown.map(|(_, epoch)| row(epoch)).collect() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::run_report::log::StepRecord;

    fn log() -> RunLog {
        let steps = (0..4).map(|step| StepRecord { step, loss: 1.0, lr: 0.1 }).collect();
        let scores = |top1: f64| -> BTreeMap<String, f64> {
            [("loss", 0.5), ("top1", top1), ("f1", 0.1), ("samples", 8.0)]
                .map(|(name, value)| (name.to_owned(), value))
                .into()
        };
        let epoch = |epoch: usize, top1: f64, is_best: bool| {
            let mut val = scores(top1);
            val.insert("r2".to_owned(), 0.5); // held out alone
            let steps = 2 * epoch as u64;
            EpochRecord { epoch, steps, train: scores(0.25), val, is_best }
        };
        RunLog {
            steps,
            epochs: vec![epoch(1, 0.75, true), epoch(2, 0.5, false)],
            ..RunLog::default()
        }
    }

    #[test]
    fn scores_are_drawn_in_their_units_with_the_best_epoch_marked() {
        let svg = score(&log(), &["top1"], "Accuracy").to_svg().unwrap();
        for words in ["top-1, held out, epoch 1: 75.0 %", "top-1, training", ">best<"] {
            assert!(svg.contains(words), "{words}\n{svg}");
        }
        let titles: Vec<String> = drawn(&log()).iter().map(|it| it.title().to_owned()).collect();
        assert_eq!(titles, ["Loss", "Accuracy", "F1", "R², held out", "Learning rate"]);
    }

    #[test]
    fn the_table_has_a_row_an_epoch() {
        let table = table(&log());
        assert_eq!(table.head.len(), 7);
        assert_eq!(table.rows.len(), 2);
        assert!(table.rows[0].contains(&Cell::Number(75.0, Unit::Percent)), "{table:?}");
        assert!(table.rows[0].contains(&Cell::Words("best so far".to_owned())));
    }

    #[test]
    fn a_run_without_an_epoch_is_drawn_over_steps() {
        let log = RunLog { epochs: Vec::new(), ..log() };
        assert_eq!(across(&log).name, "step");
        assert!(losses(&log).to_svg().unwrap().contains(">step<"));
        assert_eq!(blocks(&RunLog::default()).len(), 1);
    }

    #[test]
    fn losses_that_are_far_apart_are_drawn_by_powers_of_ten() {
        assert_eq!(loss_scale([0.01, 2.0].into_iter()), Scale::Log10);
        assert_eq!(loss_scale([0.1, 2.0, f64::NAN].into_iter()), Scale::Linear);
        assert_eq!(loss_scale([0.0, 2.0].into_iter()), Scale::Linear);
    }
}
