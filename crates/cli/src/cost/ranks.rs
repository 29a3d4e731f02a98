//! `taper cost --ranks`: flags to options, and what comes of them as a table.
//!
//! Above: `cost`. Below: `taper_recipes::ranks_cost`. Not here: what sums take (`taper_recipes`).

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;
use clap::Args;
use taper_recipes::{
    Bytes, CostNetwork, CostOptions, NetworkLink, RanksCost, RanksCostOptions, Reduce, ReduceDtype,
    Scaling, parse_link, parse_ranks,
};

#[derive(Debug, Clone, Args)]
pub(super) struct RanksFlags {
    /// Predict a training step on so many ranks, each with --threads: 8, or 2,4,8, or 2..64 by doubling
    #[arg(long, value_name = "N,N|A..B", conflicts_with = "compare")]
    ranks: Option<String>,
    /// Network between them: bits a second, with 50 us of latency or one of its own. 10Gb, 100Mb, 20us:25Gb; several, or again
    #[arg(
        long = "network", value_name = "[LATENCY:]BANDWIDTH", requires = "ranks", value_delimiter = ',',
        default_values = ["1Gb", "10Gb", "25Gb"]
    )]
    networks: Vec<String>,
    /// Whether --batch is that of each rank, so that steps grow with ranks, or that of all of them together
    #[arg(long, value_name = "weak|strong", requires = "ranks", default_value_t = Scaling::Weak)]
    scaling: Scaling,
    /// How gradients are summed (see `taper finetune`)
    #[arg(long, value_name = "exact|fast", requires = "ranks", default_value_t = Reduce::Exact)]
    reduce: Reduce,
    /// What travels when they are
    #[arg(long, value_name = "f32|bf16", requires = "ranks", default_value_t = ReduceDtype::F32)]
    reduce_dtype: ReduceDtype,
    /// Ranks share their weights every so many steps instead of every step's gradients (see `taper finetune`)
    #[arg(long, value_name = "H", requires = "ranks", default_value_t = 1)]
    sync_every: usize,
}

impl RanksFlags {
    /// What is asked, if anything is.
    pub(super) fn options(&self) -> Result<Option<RanksCostOptions>> {
        let Some(ranks) = &self.ranks else { return Ok(None) };
        let mut networks: Vec<NetworkLink> = Vec::new();
        for network in &self.networks {
            networks.push(parse_link(network)?);
        }
        Ok(Some(RanksCostOptions {
            ranks: parse_ranks(ranks)?,
            networks,
            scaling: self.scaling,
            reduce: self.reduce,
            reduce_dtype: self.reduce_dtype,
            sync_every: self.sync_every,
        }))
    }
}

/// Predicts what is asked.
pub(super) fn predict(
    network: &CostNetwork,
    options: &CostOptions,
    asked: &RanksCostOptions,
    csv: Option<&Path>,
) -> Result<RanksCost> {
    let calibration = taper_recipes::calibration_for(options)?;
    let cost = taper_recipes::ranks_cost(network, options, calibration.as_ref(), asked)?;
    if let Some(path) = csv {
        taper_recipes::write_ranks_csv(path, &cost)?;
    }
    Ok(cost)
}

/// A line for each network and number of ranks.
pub(super) fn table(cost: &RanksCost) -> String {
    let batch = match cost.scaling {
        Scaling::Weak => "the batch is that of each rank",
        Scaling::Strong => "the batch is that of all ranks together",
    };
    let when = match cost.sync_every {
        1 => String::new(),
        steps => format!(" every {steps} steps"),
    };
    let mut text = format!(
        "ranks, sums {} in {}{when}; {batch}; one process takes {:.1} ms a step\n{:>12}  {:>5}  {:>5}  {:>9}  {:>9}  {:>9}  {:>9}  {:>6}  {:>9}  {:>10}",
        cost.reduce,
        cost.reduce_dtype,
        cost.alone_ms,
        "network",
        "ranks",
        "batch",
        "step ms",
        "compute",
        "stall",
        "sent",
        "hidden",
        "images/s",
        "efficiency"
    );
    for row in &cost.rows {
        let _ = write!(
            text,
            "\n{:>12}  {:>5}  {:>5}  {:>9.1}  {:>9.1}  {:>9.1}  {:>9}  {:>4.0} %  {:>9.0}  {:>8.1} %",
            row.network,
            row.ranks,
            row.batch,
            row.step_ms,
            row.compute_ms,
            row.stall_ms,
            Bytes(row.sent_bytes as u64).to_string(),
            100.0 * row.hidden_share,
            row.images_per_second,
            100.0 * row.efficiency,
        );
    }
    text
}
