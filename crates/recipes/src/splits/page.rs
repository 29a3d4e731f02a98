//! The page of several runs of one recipe: the mean of each metric with its interval, and the runs one by one.
//!
//! Above: `splits`. Below: `taper_report`, `run_report::words`. Not here: the page of one of them (`run_report`).

use taper_report::{Block, Cell, Fact, Page, Table, Unit};

use super::{Plan, Splits, SplitsReport};
use crate::cost::page::section;
use crate::run_report::{data_name, words};

/// Metrics in the order that they are asked for; others follow.
const FIRST: [&str; 5] = ["top1", "balanced_accuracy", "f1", "mae", "loss"];

/// The page of what is done so far.
pub(super) fn page(plan: &Plan, report: &SplitsReport) -> Page {
    let n = plan.splits.count();
    let several = match plan.splits {
        Splits::Folds(_) => format!("{n} folds"),
        Splits::Random(_) => format!("{n} random splits"),
    };
    let mut first = Vec::new();
    if report.runs.len() < n {
        let done = report.runs.len();
        let line = format!("{done} of {n} are done; the others can be gone on with.");
        first.push(Block::Remarks { lines: vec![line] });
    }
    let mut names: Vec<&String> = report.scores.keys().collect();
    // A page has room for those that say most; all are in the file beside it.
    names.retain(|name| !["top5", "precision", "recall"].contains(&name.as_str()));
    names.sort_by_key(|name| FIRST.iter().position(|it| it == name).unwrap_or(FIRST.len()));
    let fact = |name: &&String| {
        let score = report.scores[*name];
        let [low, high] = score.interval.map(|bound| words::score(name, bound));
        let note = match report.runs.len() {
            0 | 1 => String::new(),
            _ => format!(
                "95 % interval {low} to {high}, deviation {}",
                words::score(name, score.std)
            ),
        };
        let label = format!("mean {}", words::score_name(name));
        Fact { label, value: words::score(name, score.mean), note }
    };
    let mut facts: Vec<Fact> = names.iter().map(fact).collect();
    if let Some(of) = report.calibration {
        facts.push(Fact {
            label: "calibration error of all".to_owned(),
            value: format!("{:.3}", of.ece),
            note: format!(
                "cross-fitted; {:.3} by chance, of {} pictures",
                of.ece_by_chance, of.images
            ),
        });
    }
    first.push(Block::Facts { facts });
    let mut head = vec!["run".to_owned(), "to train on".to_owned(), "held out".to_owned()];
    head.extend(names.iter().map(|name| words::score_name(name).to_owned()));
    head.push("seconds".to_owned());
    let rows = report.runs.iter().map(|run| {
        let mut row = vec![Cell::Words(format!("{}{}", super::RUN, run.number))];
        row.extend(run.images.map(|images| Cell::Number(images as f64, Unit::Integer)));
        row.extend(names.iter().map(|name| match run.scores.get(*name) {
            Some(value) => Cell::Words(words::score(name, *value)),
            None => Cell::Empty,
        }));
        row.push(Cell::Number(run.seconds, Unit::Number));
        row
    });
    let table = Table { head, rows: rows.collect() };
    let note = "After the last epoch: a best one is picked with the very pictures that it is judged by. Each run has a page of its own in its folder.";
    let runs = Block::Table { title: String::new(), note: note.to_owned(), table };
    let again = Block::Code {
        title: "Again".to_owned(),
        note: format!("taper {}", env!("CARGO_PKG_VERSION")),
        text: plan.command(),
    };
    Page {
        title: format!(
            "{} on {}, {several}",
            plan.options.model,
            data_name(&plan.options, &plan.data)
        ),
        note: "One recipe on several splits of the same pictures: how good it is on average, and how sure that is.".to_owned(),
        sections: vec![
            section("In short", "", first),
            section("Run by run", "", vec![runs]),
            section("How to repeat it", "", vec![again]),
        ],
    }
}
