//! The average of weights that a run evaluates and saves, and the statistics of norms that go with it.
//!
//! Above: `tune`. Below: `taper_train::WeightAverage`, `taper_engine::Recalibration`. Not here: when it is taken (`taper_train`).

use taper_engine::Recalibration;
use taper_layers::Network;
use taper_train::{Batches, WeightAverage};

use crate::error::{Error, Result};
use crate::options::FineTuneOptions;

/// Batches of training pictures, at most, that the norms of averaged weights see: as many as norms see after a cut (`prune`).
const STATISTICS_BATCHES: usize = 16;

/// The average of a request, whose norms are shown training batches.
pub(super) fn average<'a>(
    options: &'a FineTuneOptions,
    batches: &'a dyn Batches,
) -> Result<Option<WeightAverage<'a>>> {
    let failed = |source| Error::Train { source };
    let average = match (options.ema, options.swa, options.soup) {
        (Some(decay), ..) => WeightAverage::ema(decay).map_err(failed)?,
        (None, Some(epochs), _) => WeightAverage::swa(options.epochs.saturating_sub(epochs)),
        (None, None, Some(most)) => WeightAverage::soup(most).map_err(failed)?,
        (None, None, None) => return Ok(None),
    };
    let recalibrate = |network: &Network| recalibrated(network, batches, options.threads);
    Ok(Some(average.recalibrated_by(recalibrate)))
}

/// Gives the norms that are trained the statistics of the first batches of an epoch.
fn recalibrated(
    network: &Network,
    batches: &dyn Batches,
    threads: usize,
) -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let statistics = network.statistics_order()?;
    if statistics.is_empty() {
        return Ok(());
    }
    let model = network.to_model()?;
    let mut recalibration = Recalibration::new(&model, threads)?;
    for batch in batches.epoch(0, 0).take(STATISTICS_BATCHES) {
        let batch = batch?;
        let [n, h, w] = batch.shape;
        if n >= network.min_batch([h, w])? {
            recalibration.add(&batch.xs, batch.shape)?;
        }
    }
    if recalibration.batches() == 0 {
        return Ok(());
    }
    let model = recalibration.finish()?;
    let values = statistics.into_iter().map(|index| (index, model.tensors()[index].data.clone()));
    let values: Vec<(usize, Vec<f32>)> = values.collect();
    Ok(network.set_values(&values)?)
}
