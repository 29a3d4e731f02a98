//! The average of weights that a run evaluates and saves, and the statistics of norms that go with it.
//!
//! Above: `tune`. Below: `taper_train::WeightAverage`, `taper_engine::Recalibration`. Not here: when it is taken (`taper_train`).

use taper_engine::Recalibration;
use taper_layers::Network;
use taper_train::{Batches, WeightAverage};

use crate::error::{Error, Result};
use crate::options::FineTuneOptions;

/// The average of a request, whose norms are shown training batches.
pub(super) fn average<'a>(
    options: &'a FineTuneOptions,
    batches: &'a dyn Batches,
) -> Result<Option<WeightAverage<'a>>> {
    let failed = |source| Error::Train { source };
    let recalibrate = |network: &Network| recalibrated(network, batches, options);
    let average = match (options.ema, options.swa, options.soup) {
        (Some(decay), ..) => {
            let average = WeightAverage::ema(decay).map_err(failed)?;
            if options.ema_warmup { average } else { average.without_warmup() }
        }
        (None, Some(epochs), _) => WeightAverage::swa(options.epochs.saturating_sub(epochs)),
        (None, None, Some(most)) => WeightAverage::soup(most).map_err(failed)?,
        (None, None, None) => {
            return Ok(options.precise_bn.map(|_| WeightAverage::precise_norms(recalibrate)));
        }
    };
    // A moving average has statistics of its own.
    let needs_none = options.ema.is_some() && options.precise_bn.is_none();
    Ok(Some(if needs_none { average } else { average.recalibrated_by(recalibrate) }))
}

/// Gives the norms that are trained the statistics of the first batches of an epoch, of the last one's pictures where these grow.
fn recalibrated(
    network: &Network,
    batches: &dyn Batches,
    options: &FineTuneOptions,
) -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let statistics = network.statistics_order()?;
    if statistics.is_empty() {
        return Ok(());
    }
    let model = network.to_model()?;
    let mut recalibration = Recalibration::new(&model, options.threads)?;
    let epoch = options.image_size_from.map_or(0, |_| options.epochs - 1);
    let most = options.precise_bn.unwrap_or(FineTuneOptions::STATISTICS_BATCHES);
    for batch in batches.epoch(epoch, 0).take(most) {
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
