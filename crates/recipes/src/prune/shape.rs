//! How deep a network is and how large its images are, as parts of a budget: chosen before channels are cut.
//!
//! Above: `prune`. Below: `taper_prune::{residual_blocks, remove_block}`, `select`, `recalibrate`. Not here: channels (`select`).
//! Each candidate is cut to the whole budget and mended as the pruned network will be, and training pictures say which is best: those held out say
//! nothing here, so that they can judge the result.

use taper_data::Dataset;
use taper_model::{Model, Preprocess};
use taper_prune::{Groups, Protect, ResidualBlock, remove_block, residual_blocks};

use super::{Pruning, select};
use crate::error::{Error, Result};
use crate::observer::Silent;
use crate::recalibrate::recalibrate;
use crate::setup;

/// Training pictures that judge a candidate at most.
const JUDGES: usize = 512;

/// Image sizes are multiples of so many pixels, as networks halve their maps five times.
const STEP: usize = 32;

/// The smallest share of the image's side that is tried.
const LEAST_SIDE: f64 = 0.5;

/// Blocks that are left out at most, by turns.
const BLOCKS: [usize; 4] = [1, 2, 3, 5];

/// The network that channels are cut from.
pub(super) fn start(pruning: &Pruning, model: Model, protect: &Protect) -> Result<Model> {
    let (Some(dataset), options) = (&pruning.dataset, &pruning.options) else { return Ok(model) };
    if !(options.allow_image_size || options.allow_depth) {
        return Ok(model);
    }
    let judge = Judge { pruning, protect, dataset: &judges(dataset) };
    let mut best = (judge.cut_loss(&model)?, model);
    if options.allow_image_size {
        for smaller in smaller(&best.1)? {
            best = better(best, smaller, &judge)?;
        }
    }
    if options.allow_depth {
        let whole = best.1.clone();
        let order = judge.least_missed(&whole)?;
        for count in BLOCKS.into_iter().filter(|count| *count <= order.len()) {
            let shallower = without(&whole, &order[..count])?;
            best = better(best, shallower, &judge)?;
        }
    }
    Ok(best.1)
}

fn better(best: (f64, Model), candidate: Model, judge: &Judge<'_>) -> Result<(f64, Model)> {
    let loss = judge.cut_loss(&candidate)?;
    Ok(if loss < best.0 { (loss, candidate) } else { best })
}

/// The same network for smaller images.
fn smaller(model: &Model) -> Result<Vec<Model>> {
    let [h, w] = model.preprocess().input_size;
    let least = (h.min(w) as f64 * LEAST_SIDE).ceil();
    let mut all = Vec::new();
    for less in (STEP..h.min(w)).step_by(STEP) {
        let input_size = [h - less, w - less];
        if (input_size[0].min(input_size[1]) as f64) < least {
            break;
        }
        let preprocess = Preprocess { input_size, ..*model.preprocess() };
        all.push(model.clone().with_preprocess(preprocess).map_err(setup::model)?);
    }
    Ok(all)
}

/// The network without these blocks, which are found again by their names as ids change.
fn without(model: &Model, names: &[String]) -> Result<Model> {
    let mut model = model.clone();
    for name in names {
        let blocks = residual_blocks(model.graph());
        if let Some(block) = blocks.iter().find(|block| block.name == *name) {
            model = remove_block(&model, block).map_err(setup::prune)?;
        }
    }
    Ok(model)
}

/// Training pictures in the place of those held out.
fn judges(dataset: &Dataset) -> Dataset {
    let every = dataset.train.len().div_ceil(JUDGES).max(1);
    let val = dataset.train.iter().step_by(every).cloned().collect();
    Dataset { val, ..dataset.clone() }
}

/// Keeps blocks apart that nobody misses, nats.
const LEAST_LOSS: f64 = 1e-3;

struct Judge<'a> {
    pruning: &'a Pruning,
    protect: &'a Protect,
    /// Whose held-out pictures are training pictures.
    dataset: &'a Dataset,
}

impl Judge<'_> {
    /// The loss of a candidate once it is cut to the budget.
    fn cut_loss(&self, model: &Model) -> Result<f64> {
        let groups = Groups::of(model.graph(), self.protect).map_err(setup::prune)?;
        let plan = match select::plan(self.pruning, [model, model], &groups, 1.0) {
            // A candidate that is no way to the budget is none.
            Err(Error::Prune { .. }) => return Ok(f64::INFINITY),
            plan => plan?,
        };
        let model = self.pruning.cut(model, (&groups, &plan.cut), Some(self.dataset))?;
        Ok(self.pruning.judge(self.dataset, &model, &mut Silent)?.loss)
    }

    /// The loss of a network, its statistics averaged again.
    fn loss(&self, model: &Model) -> Result<f64> {
        let options = &self.pruning.options;
        let recovery = options.recovery(1);
        let batches = options.statistics_batches.max(1);
        let model = recalibrate(model, self.dataset, batches, &recovery)?;
        Ok(self.pruning.judge(self.dataset, &model, &mut Silent)?.loss)
    }

    /// Names of the residual blocks that are not protected, those first that cost most for what their loss does.
    fn least_missed(&self, model: &Model) -> Result<Vec<String>> {
        let [h, w] = model.preprocess().input_size;
        let macs = |model: &Model| taper_cost::macs(model.graph(), h, w).map(|macs| macs.0 as f64);
        let cost = |source| Error::Cost { source };
        let whole = (self.loss(model)?, macs(model).map_err(cost)?);
        let kept = self.protect.nodes_of(model.graph()).map_err(setup::prune)?;
        let may_go = |block: &ResidualBlock| !block.nodes.iter().any(|node| kept.contains(node));
        let mut all = Vec::new();
        for ResidualBlock { name, .. } in residual_blocks(model.graph()).into_iter().filter(may_go)
        {
            let left = without(model, std::slice::from_ref(&name))?;
            let saved = whole.1 - macs(&left).map_err(cost)?;
            let missed = (self.loss(&left)? - whole.0).max(0.0);
            all.push(((missed + LEAST_LOSS) / saved.max(1.0), name));
        }
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        Ok(all.into_iter().map(|(_, name)| name).collect())
    }
}
