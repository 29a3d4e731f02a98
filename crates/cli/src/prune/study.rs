//! `taper prune --sensitivity` and `--sweep`: how much each layer matters, and accuracy against cost.
//!
//! Above: `prune`. Below: `taper_recipes::prune::{sensitivity, sweep}`, `progress`. Not here: a single cut (`prune`), tables of costs
//! (`cost::table`).

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use clap::{ArgGroup, Args};
use serde_json::{Value, json};
use taper_recipes::prune::{
    PointKind, PruneOptions, PruneReport, RandomControl, SensitivityReport, SweepOptions,
    SweepPoint, SweepReport, parse_shares,
};

use crate::output::Output;
use crate::progress::Progress;
use crate::signals;

#[derive(Debug, Clone, Args)]
#[command(group(ArgGroup::new("study").args(["sensitivity", "sweep"]).multiple(true)))]
pub(super) struct Study {
    /// Cut a part of each group of channels alone, and print what is left of the accuracy: which layers matter
    #[arg(long, conflicts_with_all = ["explain", "sparsity", "n_of_m"])]
    sensitivity: bool,
    /// Shares of a group that --sensitivity cuts
    #[arg(long, value_name = "SHARES", requires = "sensitivity", default_value = "0.25,0.5,0.75")]
    shares: String,
    /// Prune to several shares of the multiply-accumulates, each in a folder of --out, beside channels cut at random: 0.3,0.5 or
    /// 0.3..0.9:0.2
    #[arg(long, value_name = "SHARES", conflicts_with_all = ["explain", "sparsity", "n_of_m", "target_macs"])]
    sweep: Option<String>,
    /// A smaller network that is fine-tuned the same way, beside the pruned ones of --sweep; can be given again
    #[arg(long = "control", value_name = "NAME|FILE", requires = "sweep")]
    controls: Vec<String>,
    /// Leave the channels cut at random out of --sweep
    #[arg(long, requires = "sweep")]
    no_random: bool,
    /// Write the points of --sweep, or else the groups of --sensitivity, as comma-separated values
    #[arg(long, value_name = "FILE", requires = "study")]
    csv: Option<PathBuf>,
    /// Write one page with pictures: accuracy against cost, how much each layer matters, what was cut where
    #[arg(long, value_name = "FILE", conflicts_with_all = ["explain", "sparsity", "n_of_m"])]
    html: Option<PathBuf>,
}

impl Study {
    /// Whether there is more to do than a cut.
    pub(super) fn is_asked(&self) -> bool {
        self.sensitivity || self.sweep.is_some()
    }

    /// Writes the page of a single cut.
    pub(super) fn page(&self, options: &PruneOptions, report: &PruneReport) -> Result<()> {
        match &self.html {
            Some(path) => Ok(taper_recipes::prune::prune_page(path, options, report)?),
            None => Ok(()),
        }
    }

    /// Does what was asked.
    pub(super) fn run(
        &self,
        options: &PruneOptions,
        (output, progress): (&Output, &mut Progress),
        stop: &AtomicBool,
    ) -> Result<ExitCode> {
        let shares = parse_shares(&self.shares)?;
        let swept = self.sweep.as_deref().map(parse_shares).transpose()?;
        let random = if self.no_random { RandomControl::LeftOut } else { RandomControl::Beside };
        let (mut value, mut stopped, mut seen) = (json!({}), false, None);
        if self.sensitivity {
            let report = taper_recipes::prune::sensitivity(None, options, &shares, stop, progress);
            progress.end();
            let report = report?;
            say_sensitivity(&report, output);
            stopped = report.stopped;
            value = serde_json::to_value(&report)?;
            seen = Some(report);
        }
        let mut points = None;
        if let Some(shares) = swept.filter(|_| !stopped) {
            let asked = SweepOptions { shares, controls: self.controls.clone(), random };
            let report = taper_recipes::prune::sweep(None, options, &asked, stop, progress);
            progress.end();
            let report = report.map_err(super::taken)?;
            say_sweep(&report, output);
            stopped = report.stopped;
            value = with_sensitivity(serde_json::to_value(&report)?, seen.is_some(), value);
            points = Some(report);
        }
        if let Some(path) = &self.csv {
            match (&points, &seen) {
                (Some(points), _) => taper_recipes::prune::write_sweep_csv(path, points)?,
                (None, Some(seen)) => taper_recipes::prune::write_sensitivity_csv(path, seen)?,
                (None, None) => {}
            }
        }
        if let Some(path) = &self.html {
            let (points, seen) = (points.as_ref(), seen.as_ref());
            taper_recipes::prune::sweep_page(path, options, points, seen)?;
        }
        output.json(&value)?;
        Ok(if stopped { ExitCode::from(signals::STOPPED) } else { ExitCode::SUCCESS })
    }
}

/// The sweep, and in it what came before it.
fn with_sensitivity(mut sweep: Value, has: bool, sensitivity: Value) -> Value {
    if has {
        sweep["sensitivity"] = sensitivity;
    }
    sweep
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

fn million(count: u64) -> f64 {
    count as f64 / 1e6
}

fn say_sensitivity(report: &SensitivityReport, output: &Output) {
    let whole = format!(
        "top-1 of {} held-out pictures: {}, {:.1} M multiply-accumulates; by {}, statistics averaged again, nothing trained",
        report.images,
        percent(report.top1),
        million(report.macs),
        report.criterion
    );
    output.say(whole);
    let width = report.groups.iter().map(|group| group.name.len()).max().unwrap_or(0).max(5);
    let shares =
        report.shares.iter().map(|share| format!("{:>22}", format!("-{}", percent(*share))));
    output.say(format!("  {:width$} channels{}", "group", shares.collect::<String>()));
    for group in &report.groups {
        let cuts = group.cuts.iter().map(|cut| {
            let saved = 100.0 * cut.macs_saved as f64 / report.macs.max(1) as f64;
            format!("{:>22}", format!("{} (-{saved:.1} % MACs)", percent(cut.top1)))
        });
        let cuts: String = cuts.collect();
        output.say(format!("  {:width$} {:8}{cuts}", group.name, group.units));
    }
    if report.stopped {
        output.say("stopped: the groups that were not seen are missing");
    }
}

fn say_sweep(report: &SweepReport, output: &Output) {
    output.say(format!("accuracy of {} held-out pictures against cost", report.images));
    let width = report.points.iter().map(|point| point.name.len()).max().unwrap_or(0);
    let batches: Vec<usize> = report
        .points
        .first()
        .map(|point| point.latencies.iter().map(|latency| latency.batch).collect())
        .unwrap_or_default();
    let heads = batches.iter().map(|batch| format!("{:>16}", format!("batch {batch}, ms")));
    output.say(format!(
        "  {:width$} {:>10} {:>10} {:>10} {:>10} {:>10}{}",
        "",
        "MACs, M",
        "params, M",
        "of MACs",
        "cut",
        "top-1",
        heads.collect::<String>()
    ));
    let dense = report.points.iter().find(|point| point.kind == PointKind::Unpruned);
    let whole = dense.map_or(1, |point| point.macs.max(1));
    for point in &report.points {
        output.say(row(point, whole, width));
    }
    if report.stopped {
        output.say("stopped; everything is saved. To go on: the same command with --resume");
    } else {
        output.say(format!("models: {}", report.out.display()));
    }
}

fn row(point: &SweepPoint, whole: u64, width: usize) -> String {
    let times = point.latencies.iter().map(|latency| format!("{:>16.2}", latency.ms));
    format!(
        "  {:width$} {:>10.1} {:>10.2} {:>10} {:>10} {:>10}{}",
        point.name,
        million(point.macs),
        million(point.params),
        percent(point.macs as f64 / whole as f64),
        point.top1_cut.map_or_else(String::new, percent),
        percent(point.top1),
        times.collect::<String>()
    )
}
