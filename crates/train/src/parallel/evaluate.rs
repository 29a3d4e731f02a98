//! An evaluation shared out over ranks: each runs every so-manieth batch, and all see the answers to all of them, in order.
//!
//! Above: `fit`. Below: `evaluate`, `parallel::{answers, wire}`. Not here: metrics.
//! Sums run over samples in their order on every rank, so that scores have the bits of one process.

use taper_data::batch::Piece;
use taper_layers::Session;

use super::DataParallel;
use super::answers::{Answers, Rows};
use super::wire::{Reader, Writer};
use crate::error::{Error, Result};
use crate::metrics::{Evaluation, Metric, Scores};
use crate::{Batch, Batches, evaluate};

/// As [`evaluate`], on all ranks together; each has the whole result.
pub(crate) fn evaluate_shared<'m>(
    session: &mut Session,
    batches: &dyn Batches,
    metrics: &mut [Box<dyn Metric + 'm>],
    parallel: Option<&DataParallel>,
) -> Result<Evaluation> {
    let Some(group) = parallel.map(DataParallel::group).filter(|group| !group.is_alone()) else {
        return evaluate(session, batches, metrics);
    };
    let _span = group.span("evaluation");
    metrics.iter_mut().for_each(|metric| metric.reset());
    let (rank, ranks, n_batches) = (group.rank(), group.size(), batches.n_batches());
    let mine = (rank..n_batches).step_by(ranks).map(Piece::whole).collect();
    let mut mine = batches.pieces(0, mine);
    let (mut samples, mut skipped) = (0, Vec::new());
    for _ in 0..n_batches.div_ceil(ranks) {
        let mut writer = Writer::default();
        if let Some(batch) = mine.next() {
            let batch = batch?;
            writer.skipped(&batch.skipped);
            answers(session, batch)?.write(&mut writer);
        }
        for (rank, bytes) in group.all_gather(writer.bytes)?.iter().enumerate() {
            if bytes.is_empty() {
                continue; // there are not as many batches
            }
            let mut reader = Reader::new(bytes, rank);
            skipped.extend(reader.skipped()?);
            let answers = Answers::read(&mut reader)?;
            if !answers.indices.is_empty() {
                answers
                    .show(|seen| metrics.iter_mut().try_for_each(|metric| metric.update(seen)))?;
                samples += answers.indices.len();
            }
        }
    }
    if samples == 0 {
        return Err(Error::nothing_left("validation", skipped));
    }
    Ok(Evaluation { scores: Scores::of(metrics, samples), skipped })
}

/// What the network says of a batch; nothing of an empty one.
fn answers(session: &mut Session, batch: Batch) -> Result<Answers> {
    let Batch { xs, shape, targets, indices, .. } = batch;
    if indices.is_empty() {
        return Ok(Answers::default());
    }
    let names = session.output_names().to_vec();
    let shapes = session.output_shapes(shape).map_err(taper_layers::Error::from)?;
    let values = session.run_all(&xs, shape).map_err(taper_layers::Error::from)?;
    let outputs = names.into_iter().zip(values).zip(shapes);
    let outputs =
        outputs.map(|((name, values), shape)| Rows { name, values: values.clone(), shape });
    Ok(Answers { outputs: outputs.collect(), targets, indices })
}
