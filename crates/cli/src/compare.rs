//! `taper compare`: runs side by side, as tables.
//!
//! Above: `args`. Below: `taper_recipes::compare_runs`, `scores`. Not here: networks side by side (`cost`), the page (`taper_recipes`).

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use taper_recipes::{Bytes, CompareOptions, CompareReport, ComparedRun, Macs};

use crate::output::Output;
use crate::scores;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  taper compare runs/finetune-1 runs/finetune-2
  taper compare runs/* --out compare.html         a page with their curves over each other")]
pub(crate) struct Flags {
    /// Folders of runs, two or more
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<PathBuf>,
    /// A page with overlaid curves
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// End standard output with one JSON object; everything else goes to standard error
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(flags: Flags) -> Result<ExitCode> {
    let output = Output::new(flags.json);
    let report = taper_recipes::compare_runs(&CompareOptions { runs: flags.runs, out: flags.out })?;
    output.say(aligned(&summary(&report.runs)));
    if report.differences.is_empty() {
        output.say("\nthe runs were asked for the same");
    } else {
        output.say(format!("\n{}", aligned(&differences(&report))));
    }
    for remark in &report.remarks {
        output.warn(format!("note: {remark}"));
    }
    if let Some(page) = &report.page {
        output.say(format!("page: {}", page.display()));
    }
    output.json(&report)?;
    Ok(ExitCode::SUCCESS)
}

/// A row a run.
fn summary(runs: &[ComparedRun]) -> Vec<Vec<String>> {
    let head =
        ["run", "best", "95 %", "loss", "epochs", "time", "images/s", "memory", "params", "MACs"];
    let missing = || "–".to_owned();
    let row = |run: &ComparedRun| {
        let best = run.best().map_or_else(missing, |(name, value)| scores::words(name, value));
        let interval = run
            .top1_interval
            .map_or_else(missing, |[low, high]| format!("{:.1}-{:.1}", 100.0 * low, 100.0 * high));
        let loss = run.best_val_scores.get("loss");
        let of =
            |value: Option<u64>, said: &dyn Fn(u64) -> String| value.map_or_else(missing, said);
        vec![
            run.name.clone(),
            best,
            interval,
            loss.map_or_else(missing, |loss| format!("{loss:.3}")),
            format!("{}/{}", run.epochs, run.of_epochs),
            run.seconds.map_or_else(missing, |seconds| format!("{seconds:.0} s")),
            run.images_per_second.map_or_else(missing, |speed| format!("{speed:.0}")),
            of(run.peak_bytes, &|bytes| Bytes(bytes).to_string()),
            of(run.params, &|params| Macs(params).to_string()),
            of(run.macs, &|macs| Macs(macs).to_string()),
        ]
    };
    let head = head.map(str::to_owned).to_vec();
    std::iter::once(head).chain(runs.iter().map(row)).collect()
}

/// A row an option.
fn differences(report: &CompareReport) -> Vec<Vec<String>> {
    let mut head = vec!["differs".to_owned()];
    head.extend(report.runs.iter().map(|run| run.name.clone()));
    let row = |difference: &taper_recipes::Difference| {
        let name = difference.option.replace('_', " ");
        std::iter::once(name).chain(difference.values.iter().cloned()).collect()
    };
    std::iter::once(head).chain(report.differences.iter().map(row)).collect()
}

/// Rows of cells, each column as wide as its widest cell.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["run", "best"], ["größer", "1"], ["a", "–"]]
            .map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(aligned(&rows), "run     best\ngrößer  1\na       –");
    }
}
