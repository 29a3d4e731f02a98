//! `taper prune --sparsity` and `--n-of-m`: flags to options, the run, and what was won.
//!
//! Above: `prune`. Below: `taper_recipes::sparsify`, `progress`. Not here: any default but those of [`SparsifyOptions`].

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use clap::Args;
use taper_recipes::Bytes;
use taper_recipes::prune::PruneOptions;
use taper_recipes::sparsify::{
    NOfM, SparseRanking, SparsifyOptions, SparsifyReport, Zeros, sparsify,
};

use crate::output::Output;
use crate::progress::Progress;
use crate::signals;

/// What is about whole channels, and has no meaning for single weights.
const OF_CHANNELS: [&str; 17] = [
    "target_macs",
    "target_params",
    "target_size",
    "target_memory",
    "target_latency_ms",
    "criterion",
    "ranking",
    "reduction",
    "normalizer",
    "least_channels",
    "most_cut",
    "multiple",
    "cost_exponent",
    "image_size",
    "rounds",
    "on",
    "explain",
];

#[derive(Debug, Clone, Args)]
#[group(skip)]
pub(crate) struct SparseFlags {
    /// Instead of cutting channels, make this share of the weights zero: smaller when compressed, not faster
    #[arg(long, value_name = "F", conflicts_with_all = OF_CHANNELS, conflicts_with = "n_of_m")]
    sparsity: Option<f64>,
    /// Which weights are compared: all by magnitude, each layer's, or all by magnitude over that of the larger ones of their layer
    #[arg(long, value_name = "global|local|lamp", default_value_t, requires = "sparsity")]
    sparse_ranking: SparseRanking,
    /// Instead of cutting channels, leave N of every M weights along the input, such as 2:4
    #[arg(long, value_name = "N:M", conflicts_with_all = OF_CHANNELS)]
    n_of_m: Option<NOfM>,
    /// Epochs of recovery that zeros grow over, little by little; 0 for all at once [default: half of them]
    #[arg(long, value_name = "N", conflicts_with_all = OF_CHANNELS)]
    gradual_epochs: Option<usize>,
    /// Steps from one growth of zeros to the next
    #[arg(long, value_name = "N", default_value_t = SparsifyOptions::MASK_EVERY, conflicts_with_all = OF_CHANNELS)]
    mask_every: u64,
}

impl SparseFlags {
    /// Whether single weights are meant.
    pub(super) fn zeros(&self) -> Option<Zeros> {
        let ranking = self.sparse_ranking;
        let share = self.sparsity.map(|sparsity| Zeros::Share { sparsity, ranking });
        share.or(self.n_of_m.map(Zeros::NOfM))
    }

    /// The options of a request that also has those of `prune`.
    fn options(&self, zeros: Zeros, prune: PruneOptions) -> SparsifyOptions {
        SparsifyOptions {
            zeros,
            protect: prune.protect,
            recovery_epochs: prune.recovery_epochs,
            gradual_epochs: self.gradual_epochs,
            mask_every: self.mask_every,
            distill: prune.distill,
            statistics_batches: prune.statistics_batches,
            latency_batch: prune.latency_batch,
            file: prune.file,
            resume: prune.resume,
            tune: prune.tune,
        }
    }

    /// Makes weights zero.
    pub(super) fn run(
        &self,
        zeros: Zeros,
        prune: PruneOptions,
        stop: &Arc<AtomicBool>,
        output: &Output,
    ) -> Result<ExitCode> {
        let mut progress = Progress::new(output.clone());
        let report = sparsify(None, &self.options(zeros, prune), stop, &mut progress);
        progress.end();
        let report = report.map_err(super::taken)?;
        say(&report, output);
        output.json(&report)?;
        Ok(if report.stopped { ExitCode::from(signals::STOPPED) } else { ExitCode::SUCCESS })
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

fn say(report: &SparsifyReport, output: &Output) {
    output.say(&report.chosen_by);
    let width = report.params.iter().map(|param| param.name.len()).max().unwrap_or(0);
    let rows = report.params.iter().chain([&report.weights, &report.all]);
    for row in rows {
        let (name, zeros, elements) = (&row.name, row.zeros, row.elements);
        let share = percent(row.sparsity());
        output.say(format!("  {name:width$} {zeros:9} of {elements:9} zero ({share:>7})"));
    }
    output.say(format!(
        "zeros among the weights that are not protected: {}",
        percent(report.sparsity)
    ));
    let [file, before, after] =
        [report.file_bytes, report.compressed_bytes_before, report.compressed_bytes].map(Bytes);
    let ratio = report.compressed_bytes as f64 / report.compressed_bytes_before.max(1) as f64;
    output.say(format!("file {file}; compressed {before} -> {after} ({ratio:.2}x)"));
    output.say(report.note);
    for pair in &report.latencies {
        let (before, after) = (pair.before_ms, pair.after_ms);
        let (batch, ratio) = (pair.batch, after / before);
        output.say(format!("batch {batch}: {before:.2} ms -> {after:.2} ms ({ratio:.2}x)"));
    }
    let told = |share: Option<f64>| share.map_or_else(|| "not measured".to_owned(), percent);
    if let Some(images) = report.images {
        output.say(format!(
            "top-1 of {images} held-out pictures: {} before, {} with all zeros at once, {} recovered",
            told(report.top1_before),
            told(report.top1_masked),
            told(report.top1_after)
        ));
    }
    if report.stopped {
        output.say("stopped; everything is saved. To go on: the same command with --resume");
    } else if let Some(model) = &report.model {
        output.say(format!("model: {}", model.display()));
    }
}
