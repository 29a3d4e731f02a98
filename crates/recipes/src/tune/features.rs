//! The features of a frozen backbone, computed once.
//!
//! Above: `tune`. Below: `taper_transfer::Features`, `taper_train::Vectors`. Not here: training on them (`tune`, `warm_head`).

use std::sync::atomic::{AtomicBool, Ordering};

use taper_data::{Sample, Targets};
use taper_train::Vectors;
use taper_transfer::Features;

use super::Tune;
use crate::error::{Error, Result};
use crate::relay::Relay;
use crate::setup;

impl Tune<'_> {
    /// The `pre_logits` vectors of those `samples` that can be read, or nothing if stopped.
    pub(super) fn features(
        &self,
        set: &'static str,
        samples: &[Sample],
        stop: &AtomicBool,
        relay: &mut Relay<'_>,
    ) -> Result<Option<Vectors>> {
        let transfer = |source| Error::Transfer { source };
        let train = |source| Error::Train { source };
        let model = &self.prepared.model;
        let transform = setup::eval_transform(model.preprocess())?;
        let loader = setup::loader(samples, transform, self.options)?;
        let mut features = Features::new(model, self.options.threads).map_err(transfer)?;
        let mut targets = Targets::default();
        let (mut indices, mut skipped, mut is_stopped) = (Vec::new(), Vec::new(), false);
        for batch in loader.epoch(0, 0) {
            let batch = batch.map_err(setup::data)?;
            relay.skip(&batch.skipped);
            skipped.extend(batch.skipped);
            if !batch.targets.is_empty() {
                features.extend(&batch.xs, batch.shape).map_err(transfer)?;
            }
            targets.append(&batch.targets).map_err(setup::data)?;
            indices.extend(batch.indices);
            relay.cached(targets.len() + skipped.len(), samples.len());
            is_stopped = stop.load(Ordering::Relaxed);
            if is_stopped {
                break;
            }
        }
        if self.parallel.any(is_stopped).map_err(train)? {
            return Ok(None);
        }
        if targets.is_empty() {
            return Err(train(taper_train::Error::nothing_left(set, skipped)));
        }
        let vectors = Vectors::new(features.finish(), targets, self.options.batch_size);
        let vectors = vectors.and_then(|vectors| vectors.with_indices(indices)).map_err(train)?;
        Ok(Some(vectors.with_min_batch(self.min_batch)))
    }
}
