//! One pass of a compiled network over a labeled set.
//!
//! Above: `fit`, `recipes`. Below: the engine's `Session`, `metrics`. Not here: the transform of the images (`data`).

use taper_layers::Session;

use crate::Batches;
use crate::error::{Error, Result};
use crate::metrics::{Evaluation, Metrics};
use taper_data::Targets;

/// Evaluates a session that returns logits on epoch 0 of `batches`.
///
/// # Errors
/// [`Error::Empty`] if there are no samples, [`Error::Data`] or [`Error::Network`] if a batch cannot be read or run.
pub fn evaluate(session: &mut Session, batches: &dyn Batches) -> Result<Evaluation> {
    let mut metrics: Option<Metrics> = None;
    for batch in batches.epoch(0, 0) {
        let batch = batch?;
        let logits = session.run(&batch.xs, batch.shape).map_err(taper_layers::Error::from)?;
        let targets = hard_targets(&batch.targets)?;
        let classes = logits.len() / targets.len().max(1);
        let metrics = metrics.get_or_insert_with(|| Metrics::new(classes));
        metrics.update(logits, targets, &batch.indices)?;
    }
    metrics.map(Metrics::finish).ok_or(Error::Empty { set: "validation" })
}

/// The classes of a batch.
fn hard_targets(targets: &Targets) -> Result<&[u32]> {
    targets.classes().ok_or_else(|| Error::TargetKind {
        what: "evaluation".to_owned(),
        expected: "classes",
        got: targets.describe(),
    })
}
