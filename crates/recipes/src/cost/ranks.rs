//! What a training step costs on several ranks over a network, before there are any.
//!
//! Above: `cost`, `cost::page`, the binary. Below: `ranks::{link, page}`, `taper_cost`, which says when gradients are final, `taper_distributed`, which
//! says what summing them takes. Not here: measuring (`ranks` of a run, in its report).
//! Ranks are as fast as the machine of the calibration, have a shard each, and share their links with nobody.

mod link;
mod page;

use std::path::Path;

use serde::Serialize;
use taper_cost::{Bytes, Calibration, Prediction, Seconds};
use taper_distributed::{BUCKET_BYTES, Buckets, Link};
use taper_graph::Graph;

use super::{CostNetwork, CostOptions, Predictor, csv};
use crate::error::{Error, Result};
use crate::options::{Reduce, ReduceDtype, Scaling, at_least};
use crate::ranks::reduce_options;

pub use link::{NetworkLink, parse_link, parse_ranks};
pub(super) use page::section;

/// Bytes for the place and the class of a picture, which travel with what the network says of it.
const PLACE_BYTES: usize = 16;

/// Bytes that move for adding a value to another: two are read and one is written.
const SUM_BYTES: f64 = 12.0;

/// What is asked about ranks.
#[derive(Debug, Clone, PartialEq)]
pub struct RanksCostOptions {
    /// Numbers of ranks.
    pub ranks: Vec<usize>,
    /// Networks between them.
    pub networks: Vec<NetworkLink>,
    /// Whether [`CostOptions::batch`] is that of a rank or of all of them.
    pub scaling: Scaling,
    /// How gradients are summed.
    pub reduce: Reduce,
    /// What travels.
    pub reduce_dtype: ReduceDtype,
    /// Steps that ranks take alone before they share what their weights have become, 1 or more; 1 shares every step's gradients.
    pub sync_every: usize,
}

/// What a step costs on ranks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RanksCost {
    /// Whether the batch grows with the ranks.
    pub scaling: Scaling,
    /// How gradients are summed.
    pub reduce: Reduce,
    /// What travels.
    pub reduce_dtype: ReduceDtype,
    /// Steps between two meetings.
    pub sync_every: usize,
    /// Milliseconds of a step of one process, with the batch that was asked for.
    pub alone_ms: f64,
    /// Network by network, and number by number.
    pub rows: Vec<RanksRow>,
}

/// A number of ranks on a network.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RanksRow {
    /// The network, as it was asked for.
    pub network: String,
    /// Ranks.
    pub ranks: usize,
    /// Pictures of each of them.
    pub batch: usize,
    /// Milliseconds of a step.
    pub step_ms: f64,
    /// Of that, what a rank computes.
    pub compute_ms: f64,
    /// Of that, what it waits for sums after its reverse pass; of ranks that meet every so many steps, a step's share.
    pub stall_ms: f64,
    /// Of that, what ranks tell each other about samples and answers.
    pub exchange_ms: f64,
    /// Bytes that a rank sends for sums, likewise.
    pub sent_bytes: usize,
    /// Share of the bytes of gradients and statistics that are summed when the reverse pass ends.
    pub hidden_share: f64,
    /// Pictures a second, of all ranks.
    pub images_per_second: f64,
    /// Pictures a second over those of as many processes that need not wait for each other: 1 is the most.
    pub efficiency: f64,
}

/// Predicts steps on several ranks.
///
/// # Errors
/// [`Error::NotPredicted`] without a calibration; [`Error::Ranks`] for a number of ranks that cannot sum like that, [`Error::Option`] for fewer
/// pictures than ranks; as [`cost_of`](super::cost_of).
pub fn ranks_cost(
    network: &CostNetwork,
    options: &CostOptions,
    calibration: Option<&Calibration>,
    asked: &RanksCostOptions,
) -> Result<RanksCost> {
    options.check()?;
    at_least("sync_every", asked.sync_every, 1)?;
    let predictor = Predictor::new(options, calibration)?;
    let step = |batch| Step::new(&predictor, network, &CostOptions { batch, ..options.clone() });
    let alone = step(options.batch)?;
    let mut rows = Vec::new();
    for (at, network) in asked.networks.iter().enumerate() {
        if asked.networks[..at].contains(network) {
            continue; // said twice
        }
        for &ranks in &asked.ranks {
            let batch = match asked.scaling {
                Scaling::Weak => options.batch,
                Scaling::Strong if options.batch < ranks => {
                    let expected =
                        format!("{ranks} or more, so that each of {ranks} ranks has one");
                    return Err(Error::option("batch", &options.batch, expected));
                }
                // The rank that has the most is waited for.
                Scaling::Strong => options.batch.div_ceil(ranks),
            };
            let images = match asked.scaling {
                Scaling::Weak => options.batch * ranks,
                Scaling::Strong => options.batch,
            };
            let row = step(batch)?.on(network, ranks, asked)?;
            let images_per_second = 1e3 * images as f64 / row.step_ms;
            let each_alone = 1e3 * options.batch as f64 / alone.seconds.ms();
            let efficiency = images_per_second / (ranks as f64 * each_alone);
            rows.push(RanksRow { images_per_second, efficiency, ..row });
        }
    }
    let RanksCostOptions { scaling, reduce, reduce_dtype, sync_every, .. } = *asked;
    Ok(RanksCost { scaling, reduce, reduce_dtype, sync_every, alone_ms: alone.seconds.ms(), rows })
}

/// A step of one rank, as far as the others are concerned.
struct Step {
    batch: usize,
    seconds: Seconds,
    buckets: Buckets,
    /// By parameter, in the order of the buckets.
    final_at: Vec<f64>,
    /// Numbers that are summed behind the gradients.
    statistics: usize,
    seconds_per_sum: f64,
    /// Bytes that the network says of a picture.
    answer_bytes: usize,
}

impl Step {
    fn new(
        predictor: &Predictor<'_>,
        network: &CostNetwork,
        options: &CostOptions,
    ) -> Result<Step> {
        let graph = &network.graph;
        let unknown = || Error::NotPredicted { assertion: "a step on several ranks".to_owned() };
        let (step, roof) = predictor.training_step(network, options)?.ok_or_else(unknown)?;
        let Prediction { total, gradients, .. } = step;
        let gradients = gradients.ok_or_else(unknown)?;
        let lengths = gradients.final_at.iter().map(|&(id, _)| graph.param(id).len());
        let bucket = Bytes(BUCKET_BYTES as u64);
        Ok(Step {
            batch: options.batch,
            seconds: total,
            buckets: Buckets::new(&lengths.collect::<Vec<_>>(), BUCKET_BYTES),
            final_at: gradients.final_at.iter().map(|(_, at)| at.0).collect(),
            statistics: gradients.statistics,
            seconds_per_sum: SUM_BYTES / roof.bandwidth(bucket),
            answer_bytes: answer_bytes(graph, options.image_size.unwrap_or(network.size))?,
        })
    }

    fn on(
        &self,
        network: &NetworkLink,
        ranks: usize,
        asked: &RanksCostOptions,
    ) -> Result<RanksRow> {
        let NetworkLink { name, latency, bandwidth } = network;
        let link = Link {
            latency: *latency,
            bandwidth: *bandwidth,
            seconds_per_sum: self.seconds_per_sum,
        };
        let how = (ranks, reduce_options(asked.reduce, asked.reduce_dtype));
        let after: &[usize] = if self.statistics > 0 { &[self.statistics] } else { &[] };
        let steps = asked.sync_every;
        let sums = match steps {
            1 => self.buckets.forecast(&self.final_at, after, how, link)?,
            // Where ranks meet, all weights are there at once, and nothing is computed beside their sums.
            _ => self.buckets.forecast(&vec![0.0; self.final_at.len()], after, how, link)?,
        };
        let stalled = sums.stalled / steps as f64;
        // How many samples there are before a step, and what is said of them after it.
        let exchange = link.all_gather(ranks, PLACE_BYTES)
            + link.all_gather(ranks, self.batch * (self.answer_bytes + PLACE_BYTES));
        let step = self.seconds.0 + stalled + exchange;
        Ok(RanksRow {
            network: name.clone(),
            ranks,
            batch: self.batch,
            step_ms: 1e3 * step,
            compute_ms: self.seconds.ms(),
            stall_ms: 1e3 * stalled,
            exchange_ms: 1e3 * exchange,
            sent_bytes: sums.sent_bytes.div_ceil(steps),
            hidden_share: sums.hidden_bytes as f64 / sums.reduced_bytes.max(1) as f64,
            images_per_second: 0.0,
            efficiency: 0.0,
        })
    }
}

fn answer_bytes(graph: &Graph, size: [usize; 2]) -> Result<usize> {
    let costs = taper_cost::of(graph, size).map_err(|source| Error::Cost { source })?;
    let outputs = graph.main_outputs().filter_map(|name| graph.output(name).ok());
    Ok(outputs.map(|id| 4 * costs.extents[id.index()].len()).sum())
}

const HEADER: &str = "network,ranks,batch,step_ms,compute_ms,stall_ms,exchange_ms,sent_bytes,hidden_share,images_per_second,efficiency";

/// Writes a line for each network and number of ranks.
///
/// # Errors
/// [`Error::File`] if the file cannot be written.
pub fn write_ranks_csv(path: &Path, cost: &RanksCost) -> Result<()> {
    let mut text = format!("{HEADER}\n");
    for row in &cost.rows {
        let fields = [
            csv::quoted(&row.network),
            row.ranks.to_string(),
            row.batch.to_string(),
            row.step_ms.to_string(),
            row.compute_ms.to_string(),
            row.stall_ms.to_string(),
            row.exchange_ms.to_string(),
            row.sent_bytes.to_string(),
            row.hidden_share.to_string(),
            row.images_per_second.to_string(),
            row.efficiency.to_string(),
        ];
        text.push_str(&fields.join(","));
        text.push('\n');
    }
    csv::replace(path, &text)
}

#[cfg(test)]
mod tests;
