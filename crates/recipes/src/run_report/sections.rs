//! What else stands on the page of a run: the headline, what the network costs and the run took, the options and how to repeat it.
//!
//! Above: `run_report`. Below: `cost`, `run_report::{calls, log, words}`, `taper_report`. Not here: curves (`run_report::learning`), answers
//! (`run_report::judged`).

use taper_data::Dataset;
use taper_model::Model;
use taper_report::{Block, Cell, Fact, Section, Table, Unit};
use taper_train::confidence_interval;

use super::calls::{self, Call, Ended};
use super::log::RunLog;
use super::{Evidence, words};
use crate::cost::page::{section, treemaps};
use crate::cost::{CostNetwork, CostOptions, CostReport, cost_of};
use crate::error::Result;
use crate::evaluate::listed;
use crate::options::{FineTuneOptions, OptionValue};
use crate::shell::shell_quoted;

fn fact(label: &str, value: String, note: impl Into<String>) -> Fact {
    Fact { label: label.to_owned(), value, note: note.into() }
}

/// The score that picked the best epoch, by name; that of the first usual one in the log of a run that does not say.
pub(crate) fn best_score(options: &FineTuneOptions, log: &RunLog) -> Option<(String, f64)> {
    let best = log.best()?;
    let usual = ["top1", "f1", "mae", "loss"].map(str::to_owned);
    let named = options.best_by.iter().chain(&usual);
    named.into_iter().find_map(|name| Some((name.clone(), *best.val.get(name)?)))
}

/// The numbers that count.
pub(crate) fn headline(options: &FineTuneOptions, log: &RunLog, calls: &[Call]) -> Block {
    let mut facts = Vec::new();
    if let (Some(best), Some((name, value))) = (log.best(), best_score(options, log)) {
        let images = best.val_images();
        let note = if name == "top1" {
            let [low, high] = confidence_interval(value, images).map(|end| 100.0 * end);
            format!("95 % interval {low:.1} to {high:.1}, of {images} held-out pictures")
        } else {
            format!("of {images} held-out pictures")
        };
        let label = format!("best {}", words::score_name(&name));
        facts.push(fact(&label, words::score(&name, value), note));
        if let Some(loss) = best.val.get("loss").filter(|_| name != "loss") {
            facts.push(fact("held-out loss", Unit::Number.format(*loss), "in the best epoch"));
        }
    }
    let done = log.epochs.last().map_or(0, |epoch| epoch.epoch);
    let note = log.best().map_or_else(String::new, |best| format!("best in epoch {}", best.epoch));
    facts.push(fact("epochs", format!("{done} of {}", options.epochs), note));
    if !calls.is_empty() {
        let seconds: f64 = calls.iter().map(|call| call.seconds).sum();
        let note = match calls.len() {
            1 => String::new(),
            n => format!("in {n} calls"),
        };
        facts.push(fact("time", words::time(seconds), note));
    }
    Block::Facts { facts }
}

/// What should be read first: how the run ended if not as it should, and what is missing on the page.
pub(crate) fn remarks(
    options: &FineTuneOptions,
    log: &RunLog,
    calls: &[Call],
    evidence: &Evidence,
    dataset: Option<&Dataset>,
) -> Vec<String> {
    let mut lines = Vec::new();
    let done = log.epochs.last().map_or(0, |epoch| epoch.epoch);
    let ended = calls::ended(calls, done);
    let of = options.epochs;
    match ended {
        Some(Ended::Finished) if done == 0 => lines.push(
            "Nothing was trained: classes that the model did not know were made of the mean features of their pictures, and all others stay."
                .to_owned(),
        ),
        Some(Ended::Finished) => {}
        Some(Ended::Patience) => lines.push(format!(
            "The run ended in epoch {done} of {of}, as no epoch was better for {}.",
            options.patience.unwrap_or_default()
        )),
        Some(Ended::TimeUp) => lines.push(format!(
            "Time was up after {done} of {of} epochs; the run can be gone on with."
        )),
        Some(Ended::Stopped) => lines.push(format!(
            "The run was stopped after {done} of {of} epochs; it can be gone on with."
        )),
        // A run of before calls were written down, or one whose last call only had to say that it is done.
        None if done >= of => {}
        None => lines.push(format!(
            "The run was cut after {done} of {of} epochs: it came to no end of its own. This is what it has left; it can be gone on with."
        )),
    }
    if log.recoveries > 0 {
        let times = if log.recoveries == 1 { "once" } else { "several times" };
        lines.push(format!(
            "Numbers were none any more {times}: the run went back to its last checkpoint and on at a smaller rate."
        ));
    }
    if log.unreadable > 0 {
        lines.push(format!("{} lines of metrics.jsonl cannot be read.", log.unreadable));
    }
    if let Some(skipped) = dataset.map(|it| &it.skipped).filter(|it| !it.is_empty()) {
        let named: Vec<String> =
            skipped.iter().map(|it| format!("{} ({})", it.name, it.reason)).collect();
        lines.push(format!("Passed over: {}.", listed(named.iter())));
    }
    lines.extend(evidence.missing.iter().cloned());
    lines
}

/// What the network costs, by part, and how fast it was trained.
pub(crate) fn cost(model: &Model, options: &FineTuneOptions, calls: &[Call]) -> Result<Section> {
    let network = CostNetwork {
        name: options.model.clone(),
        graph: model.graph().clone(),
        size: model.preprocess().input_size,
        top1: None,
    };
    let asked = CostOptions {
        batch: options.batch_size,
        threads: options.threads,
        freeze: options.freeze.clone(),
        optimizer: options.optimizer,
        ..CostOptions::new(options.model.clone())
    };
    let report = cost_of(&network, &asked, None)?;
    let [h, w] = report.image_size;
    let mut facts = vec![
        fact("parameters", Unit::Count.format(report.params as f64), ""),
        fact(
            "multiply-accumulates",
            Unit::Count.format(report.macs as f64),
            format!("an image of {h}x{w}"),
        ),
        fact("weights", Unit::Bytes.format(report.memory.weights_bytes as f64), ""),
    ];
    if let Some(call) = calls::trained(calls) {
        let cores = if call.threads == 0 { call.cores } else { call.threads };
        let ranks =
            if call.ranks > 1 { format!(" on {} ranks", call.ranks) } else { String::new() };
        let speed = format!("{:.0} images/s", call.images_per_second);
        facts.push(fact("training", speed, format!("{cores} threads{ranks}")));
        if let Some(bytes) = call.peak_bytes {
            facts.push(fact("memory", Unit::Bytes.format(bytes as f64), "the most of the process"));
        }
    }
    let planned = report.training_memory.process_bytes;
    let note = format!("batch {}, before it runs", options.batch_size);
    facts.push(fact("memory as planned", Unit::Bytes.format(planned as f64), note));
    let blocks = vec![
        Block::Facts { facts },
        treemaps(&report),
        Block::Folded { summary: "Parts as a table".to_owned(), table: parts(&report) },
    ];
    Ok(section("Cost, speed and memory", "", blocks))
}

fn parts(report: &CostReport) -> Table {
    let row = |name: &str, it: &crate::cost::ScopeRow| {
        vec![
            Cell::Words(name.to_owned()),
            Cell::Number(it.params as f64, Unit::Integer),
            Cell::Number(it.macs as f64, Unit::Count),
            Cell::Share(it.macs as f64 / report.macs.max(1) as f64),
            Cell::Number(it.activations as f64, Unit::Count),
        ]
    };
    let head = ["part", "parameters", "MACs", "of MACs", "activations"];
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for part in &report.tree.parts {
        rows.push(row(&part.name, part));
        // The blocks of a stage.
        rows.extend(part.parts.iter().filter(|_| part.parts.len() > 1).map(|it| row(&it.name, it)));
    }
    Table { head: head.map(str::to_owned).to_vec(), rows }
}

/// Every option, and the commands to use the model and to do it again.
pub(crate) fn repeat(
    options: &FineTuneOptions,
    command: String,
    model: Option<&str>,
    prints: [&str; 2],
    calls: &[Call],
) -> Section {
    let mut blocks = Vec::new();
    let version = calls.last().map_or(env!("CARGO_PKG_VERSION"), |call| &call.version);
    let printed = format!(
        "taper {version}; fingerprint of the pictures {}, of the network before {}",
        prints[0], prints[1]
    );
    blocks.push(Block::Code { title: "Again".to_owned(), note: printed, text: command });
    if let Some(model) = model {
        let text = format!("taper predict --model {} PICTURE.jpg", shell_quoted(model));
        blocks.push(Block::Code { title: "Use it".to_owned(), note: String::new(), text });
    }
    let table = |options: Vec<OptionValue>| {
        let row = |OptionValue { name, value, .. }: OptionValue| {
            vec![Cell::Words(name.replace('_', " ")), Cell::Words(value)]
        };
        let head = ["option", "value"].map(str::to_owned).to_vec();
        Table { head, rows: options.into_iter().map(row).collect() }
    };
    let changed = words::changed(options);
    if !changed.is_empty() {
        let (title, note) = ("What was asked for".to_owned(), String::new());
        blocks.push(Block::Table { title, note, table: table(changed) });
    }
    let all = table(options.resolved().list());
    blocks.push(Block::Folded { summary: "All options, as they were used".to_owned(), table: all });
    section("Configuration, and how to repeat it", "", blocks)
}
