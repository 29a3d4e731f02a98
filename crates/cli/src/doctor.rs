//! `taper doctor`: faults in a folder or a table of pictures, and setting them aside.
//!
//! Above: `args`. Below: `taper_recipes::{doctor, apply_fixes}`. Not here: what is a fault (`taper_recipes`).

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use taper_recipes::{ApplyReport, Copies, DoctorOptions, DoctorReport};

use crate::args::{Arch, Shared, TableFlags};
use crate::output::Output;
use crate::progress::Progress;
use crate::signals;

/// Lines of a kind; the page has more.
const SHOWN: usize = 10;

fn defaults() -> DoctorOptions {
    DoctorOptions::new("", "doctor")
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example: taper doctor --data photos/
         taper doctor --apply doctor/fixes.json
         taper doctor --data photos.csv

Writes doctor.html, one page with small pictures of all that was found, and fixes.json, a list of files to set aside, to be read
and edited. --apply moves them into a folder beside the data (photos.set-aside), under the same names, if none of them has changed
since; nothing is deleted. Of a table, fixes.json names rows to leave out (\"leave-out\") or to label otherwise (\"relabel\"), and
--apply writes photos.fixed.csv beside photos.csv, if that has not changed since; every other byte is the same, and neither the table
nor a picture is touched.

Exit codes: 0 nothing grave was found; 1 something was (a picture to train on and to validate on, one in two classes, files that
cannot be read); 2 the request was wrong. Labels to look at are no fault until somebody has looked.

With --json: {\"data\",\"table\",\"images\",\"classes\",\"copies\",\"labels\",\"unlike\",\"shapes\",\"unreadable\",\"confused\",\"rare\",\"agreement\",\
\"remarks\",\"grave\",\"fixes\",\"page\",\"list\"}, with --apply {\"moved\",\"folder\"} or {\"table\",\"left_out\",\"relabelled\"}")]
pub(crate) struct Flags {
    /// Folder of pictures in classes, with train and val or without, or table of pictures with a class a row: .csv, .tsv, .jsonl; with
    /// --apply where it is now, if it was moved
    #[arg(long, value_name = "DIR|FILE", required_unless_present = "apply")]
    data: Option<PathBuf>,
    #[command(flatten)]
    table: TableFlags,
    /// Follow a list that this command wrote: set aside its files, or write the table without its rows
    #[arg(long, value_name = "FIXES.json", conflicts_with_all = ["out", "model", "batch_size", "table", "image_column", "target_columns", "targets"])]
    apply: Option<PathBuf>,
    /// Folder for the page and the list; files of the same names are replaced
    #[arg(long, value_name = "DIR", default_value_os_t = defaults().out)]
    out: PathBuf,
    /// Name (see `taper models`) or model file whose features are compared; not one that was trained on these pictures
    #[arg(long, value_name = "NAME|FILE", default_value_t = defaults().model)]
    model: String,
    #[command(flatten)]
    arch: Arch,
    /// Pictures a batch
    #[arg(long, value_name = "N", default_value_t = defaults().batch_size)]
    batch_size: usize,
    #[command(flatten)]
    shared: Shared,
}

/// Runs the command.
pub(crate) fn run(flags: Flags) -> Result<ExitCode> {
    let stop = signals::stop_flag()?;
    let output = Output::stopping(flags.shared.json, Arc::clone(&stop));
    if let Some(list) = &flags.apply {
        let report = taper_recipes::apply_fixes(list, flags.data.as_deref())?;
        output.say(applied(&report));
        output.json(&report)?;
        return Ok(ExitCode::SUCCESS);
    }
    let options = DoctorOptions {
        model: flags.arch.of(flags.model),
        table: flags.table.table.clone(),
        columns: flags.table.into_columns(),
        batch_size: flags.batch_size,
        threads: flags.shared.threads,
        ..DoctorOptions::new(flags.data.unwrap_or_default(), flags.out)
    };
    let mut progress = Progress::new(output.clone());
    let report = taper_recipes::doctor(&options, &stop, &mut progress);
    progress.end();
    let report = report?;
    output.say(words(&report));
    output.json(&report)?;
    Ok(if report.grave == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn applied(report: &ApplyReport) -> String {
    match report {
        ApplyReport::SetAside { moved, folder } => {
            format!("{moved} files set aside in {}", folder.display())
        }
        ApplyReport::Written { table, left_out, relabelled } => format!(
            "{left_out} rows left out and {relabelled} labelled otherwise in {}",
            table.display()
        ),
    }
}

fn words(report: &DoctorReport) -> String {
    let mut lines = report.remarks.clone();
    let unreadable =
        report.unreadable.iter().map(|it| format!("{}: {}", it.path.display(), it.reason));
    listed(&mut lines, "files that cannot be read", unreadable.collect());
    listed(
        &mut lines,
        "pictures more than once",
        report.copies.iter().map(|it| copies(it, report)).collect(),
    );
    let labels = report.labels.iter().map(|it| {
        let likely = if it.likely { "likely" } else { "perhaps" };
        format!("{}: {}, {likely} {} (by {:.2})", it.image, it.class, it.suggested, it.margin)
    });
    listed(&mut lines, "labels to look at", labels.collect());
    let unlike = report.unlike.iter();
    let unlike = unlike.map(|it| format!("{}: {:.1} deviations away", it.image, it.deviations));
    listed(&mut lines, "pictures unlike their class", unlike.collect());
    let shapes = report.shapes.iter();
    let shapes =
        shapes.map(|it| format!("{}: {}x{}, {:?}", it.image, it.width, it.height, it.shape));
    listed(&mut lines, "odd sizes and shapes", shapes.map(|it| it.to_lowercase()).collect());
    let confused = report.confused.iter();
    let confused =
        confused.map(|it| format!("{:.0} % of {} for {}", 100.0 * it.share, it.class, it.called));
    listed(&mut lines, "classes taken for others", confused.collect());
    listed(&mut lines, "with few pictures beside the others", report.rare.clone());
    let fixes = match report.table {
        Some(_) => {
            ["rows", ", without or with other labels in a table that `taper doctor --apply` writes"]
        }
        None => ["files", ", which `taper doctor --apply` sets aside"],
    };
    lines.push(format!(
        "{}; {} grave; {} {} in {}{}",
        report.subject(),
        report.grave,
        report.fixes,
        fixes[0],
        report.list.display(),
        fixes[1]
    ));
    lines.push(format!("everything: {}", report.page.display()));
    lines.join("\n")
}

fn copies(copies: &Copies, report: &DoctorReport) -> String {
    let mut kinds = vec![if copies.exact { "equal" } else { "alike" }];
    kinds.extend(copies.mirrored.then_some("mirrored"));
    kinds.extend(copies.across_parts.then_some("TRAIN AND VAL"));
    let several = report.several().to_uppercase();
    kinds.extend(copies.across_classes.then_some(several.as_str()));
    format!("{} ({})", copies.images.join(" = "), kinds.join(", "))
}

fn listed(lines: &mut Vec<String>, title: &str, found: Vec<String>) {
    if found.is_empty() {
        return;
    }
    lines.push(format!("{} {title}", found.len()));
    let more = found.len().saturating_sub(SHOWN);
    lines.extend(found.into_iter().take(SHOWN).map(|line| format!("  {line}")));
    if more > 0 {
        lines.push(format!("  and {more} more"));
    }
}
