//! Sensitivity: what each group of channels costs in accuracy when some of it alone is cut.
//!
//! Above: `prune`, the binary. Below: `prune::select`, `taper_prune::cut_of_group`, `recalibrate`, `taper_cost`. Not here: recovery, targets.
//! Source: Li et al. 2017, section 3.2, <https://arxiv.org/abs/1608.08710>, with the statistics of norms averaged again.

use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use taper_data::Dataset;
use taper_model::Model;
use taper_prune::{Amount, Cut, Groups, Metric, Protect, Target, cut, cut_of_group};

use super::{Pruning, select};
use crate::error::{Error, Result};
use crate::observer::{Event, Observer};
use crate::options::PruneOptions;
use crate::recalibrate::recalibrate;
use crate::setup;

/// How much a network minds to lose channels, group by group.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SensitivityReport {
    /// The network.
    pub model: String,
    /// What said which channels of a group go first.
    pub criterion: String,
    /// Shares of a group that were cut.
    pub shares: Vec<f64>,
    /// Share of the held-out pictures that the whole network names rightly.
    pub top1: f64,
    /// Its mean cross-entropy on them, in nats.
    pub loss: f64,
    /// Held-out pictures behind these numbers.
    pub images: usize,
    /// Multiply-accumulates of an image.
    pub macs: u64,
    /// The groups that can be cut, from the picture to the classes.
    pub groups: Vec<GroupSensitivity>,
    /// Seconds that it took.
    pub seconds: f64,
    /// Whether it was asked to stop; the groups that were not seen are missing.
    pub stopped: bool,
}

/// A group of channels that can only be cut together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupSensitivity {
    /// Its place among all groups, as `--explain` has it.
    pub id: usize,
    /// The first layer with these channels.
    pub name: String,
    /// Channels.
    pub units: usize,
    /// One for each share.
    pub cuts: Vec<GroupCut>,
}

/// The network without some channels of one group.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct GroupCut {
    /// Share of the group that was to go.
    pub share: f64,
    /// Channels that are left of it.
    pub kept: usize,
    /// Share of the held-out pictures that are named rightly, statistics averaged again and nothing trained.
    pub top1: f64,
    /// Mean cross-entropy on them, in nats.
    pub loss: f64,
    /// Multiply-accumulates of an image less than the whole network's.
    pub macs_saved: u64,
}

/// Cuts `shares` of each group that can be cut, alone, by the criterion of the options, and judges what is left.
///
/// Pictures are those of `options.tune.data`, or of `dataset`. Targets, ranking, recovery and the run's folder say nothing here: nothing is
/// trained and nothing written.
///
/// # Errors
/// [`Error::is_request`] tells a wrong request, such as no pictures or a share that is not above 0 and below 1, from work that failed.
///
/// # Examples
/// ```
/// use std::sync::atomic::AtomicBool;
/// use taper_data::sample_set;
/// use taper_graph::{Bias, Conv, GraphBuilder, PoolKind};
/// use taper_model::{Model, Preprocess};
/// use taper_recipes::{Silent, prune::{PruneOptions, sensitivity}};
///
/// let mut dataset = sample_set::emoji6()?;
/// dataset.train.truncate(8);
/// let preprocess = Preprocess { input_size: [32, 32], ..Preprocess::imagenet() };
/// let mut b = GraphBuilder::new(3)?;
/// let xs = b.conv("stem", b.input(), Conv::dense(4, 3, 2), Bias::Without)?;
/// let xs = b.batch_norm("bn", xs, 1e-5, 0.1)?;
/// let xs = b.global_pool("pool", xs, PoolKind::Avg, true)?;
/// let xs = b.linear("classifier", xs, 6, Bias::With)?;
/// b.output("logits", xs)?;
/// let model = Model::random(b.build()?, 0, preprocess, dataset.classes.clone())?;
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("model.safetensors");
/// model.save(&path)?;
/// let options = PruneOptions { statistics_batches: 1, ..PruneOptions::new(path.to_str().unwrap()) };
/// let report = sensitivity(Some(&dataset), &options, &[0.5], &AtomicBool::new(false), &mut Silent)?;
/// assert_eq!((report.groups[0].units, report.groups[0].cuts[0].kept), (4, 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn sensitivity(
    dataset: Option<&Dataset>,
    options: &PruneOptions,
    shares: &[f64],
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<SensitivityReport> {
    super::shares::check("shares", shares)?;
    let any = Target { metric: Metric::Macs, amount: Amount::Share(0.5) };
    PruneOptions { targets: vec![any], ..options.clone() }.check()?;
    let pruning = Pruning::new(dataset, options, stop, observer)?;
    let Some(dataset) = &pruning.dataset else {
        return Err(super::shares::no_pictures());
    };
    let model = &pruning.model;
    let groups = Groups::of(model.graph(), &Protect::names(&options.protect));
    let groups = groups.map_err(setup::prune)?;
    let scores = select::scored(&pruning, model, &groups)?;
    let whole = pruning.judge(dataset, model, observer)?;
    let probe = Probe { pruning: &pruning, dataset, groups: &groups, scores: &scores, shares };
    let (rows, stopped) = probe.rows(stop, observer)?;
    Ok(SensitivityReport {
        model: options.tune.model.clone(),
        criterion: pruning.options.criterion().to_string(),
        shares: shares.to_vec(),
        top1: whole.top1,
        loss: whole.loss,
        images: whole.images,
        macs: macs(model)?,
        groups: rows,
        seconds: pruning.started.elapsed().as_secs_f64(),
        stopped,
    })
}

/// What is asked of every group.
struct Probe<'a> {
    pruning: &'a Pruning,
    dataset: &'a Dataset,
    groups: &'a Groups,
    scores: &'a [f64],
    shares: &'a [f64],
}

impl Probe<'_> {
    /// All groups, or those before it was asked to stop.
    fn rows(
        &self,
        stop: &AtomicBool,
        observer: &mut dyn Observer,
    ) -> Result<(Vec<GroupSensitivity>, bool)> {
        let mut asked = Vec::new();
        for group in 0..self.groups.groups().len() {
            if let Some(cuts) = self.cuts(group)? {
                asked.push((group, cuts));
            }
        }
        let (mut rows, of) = (Vec::new(), asked.len());
        for (number, (id, cuts)) in (1..).zip(asked) {
            let group = &self.groups.groups()[id];
            let name = self.groups.label(group).to_owned();
            observer.on_event(&Event::Part { name: &name, number, of });
            let mut row = GroupSensitivity { id, name, units: group.n_units(), cuts: Vec::new() };
            for (share, cut) in self.shares.iter().zip(cuts) {
                if stop.load(Ordering::Relaxed) {
                    return Ok((rows, true));
                }
                let kept = row.units - cut.n_removed();
                // Two shares of a few channels may be one cut.
                let same = row.cuts.iter().find(|other| other.kept == kept).copied();
                let judged = match same {
                    Some(other) => other,
                    None => self.judged(&cut, kept, observer)?,
                };
                row.cuts.push(GroupCut { share: *share, ..judged });
            }
            rows.push(row);
        }
        Ok((rows, false))
    }

    /// The cut of every share; none for a group that stays.
    fn cuts(&self, group: usize) -> Result<Option<Vec<Cut>>> {
        let cut = |share: &f64| {
            cut_of_group(self.groups, self.scores, group, *share).map_err(setup::prune)
        };
        self.shares.iter().map(cut).collect()
    }

    fn judged(&self, units: &Cut, kept: usize, observer: &mut dyn Observer) -> Result<GroupCut> {
        let Pruning { options, model: whole, .. } = self.pruning;
        let mut model = cut(whole, self.groups, units).map_err(setup::prune)?;
        let macs_saved = macs(whole)?.saturating_sub(macs(&model)?);
        if options.statistics_batches > 0 {
            let recovery = options.recovery(1);
            model = recalibrate(&model, self.dataset, options.statistics_batches, &recovery)?;
        }
        let report = self.pruning.judge(self.dataset, &model, observer)?;
        Ok(GroupCut { share: 0.0, kept, top1: report.top1, loss: report.loss, macs_saved })
    }
}

/// Multiply-accumulates of an image.
pub(super) fn macs(model: &Model) -> Result<u64> {
    let [h, w] = model.preprocess().input_size;
    let macs = taper_cost::macs(model.graph(), h, w);
    macs.map(|macs| macs.0).map_err(|source| Error::Cost { source })
}
