//! The features of a frozen backbone, computed once, of one view of each picture or of several.
//!
//! Above: `tune`. Below: `taper_transfer::Features`, `taper_train::Vectors`. Not here: training on them (`tune`, `warm_head`).

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use taper_data::{Sample, Targets};
use taper_train::Vectors;
use taper_transfer::Features;

use super::Tune;
use crate::error::{Error, Result};
use crate::relay::Relay;
use crate::setup;

/// What of each picture is computed once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// What evaluation shows.
    Whole,
    /// What so many epochs of training would show, one view or more.
    Augmented(usize),
}

/// The vectors of the pictures that could be read in one view.
#[derive(Default)]
struct View {
    indices: Vec<usize>,
    values: Vec<f32>,
}

impl Tune<'_> {
    /// The training pictures' vectors, in the views that epochs take by turns, or nothing if stopped.
    pub(super) fn train_features(
        &self,
        stop: &AtomicBool,
        relay: &mut Relay<'_>,
    ) -> Result<Option<Vectors>> {
        let seen = match self.options.feature_views {
            0 => Seen::Whole,
            _ => Seen::Augmented(self.options.looks()),
        };
        self.features(("training", seen), &self.prepared.dataset.train, stop, relay)
    }

    /// The `pre_logits` vectors of those `samples` that can be read, or nothing if stopped.
    pub(super) fn features(
        &self,
        (set, seen): (&'static str, Seen),
        samples: &[Sample],
        stop: &AtomicBool,
        relay: &mut Relay<'_>,
    ) -> Result<Option<Vectors>> {
        let transfer = |source| Error::Transfer { source };
        let train = |source| Error::Train { source };
        let model = &self.prepared.model;
        let (transform, count) = match seen {
            Seen::Whole => (setup::eval_transform(model.preprocess())?, 1),
            Seen::Augmented(views) => {
                (setup::train_transform(model.preprocess(), self.options)?, views)
            }
        };
        let loader = setup::loader(samples, transform, self.options)?;
        let mut features = Features::new(model, self.options.threads).map_err(transfer)?;
        let (mut targets, mut views) = (Targets::default(), Vec::new());
        let (mut skipped, mut is_stopped) = (Vec::new(), false);
        for epoch in 0..count {
            let (mut view, mut looked_at) = (View::default(), 0);
            for batch in loader.epoch(epoch, 0) {
                let batch = batch.map_err(setup::data)?;
                relay.skip(&batch.skipped);
                looked_at += batch.indices.len() + batch.skipped.len();
                if !batch.targets.is_empty() {
                    features.extend(&batch.xs, batch.shape).map_err(transfer)?;
                }
                if epoch == 0 {
                    targets.append(&batch.targets).map_err(setup::data)?;
                    skipped.extend(batch.skipped);
                }
                view.indices.extend(batch.indices);
                let done = epoch.saturating_mul(samples.len()).saturating_add(looked_at);
                relay.cached(done, count.saturating_mul(samples.len()));
                is_stopped = stop.load(Ordering::Relaxed);
                if is_stopped {
                    break;
                }
            }
            view.values = features.take();
            views.push(view);
            if is_stopped {
                break;
            }
        }
        if self.parallel.any(is_stopped).map_err(train)? {
            return Ok(None);
        }
        let (indices, targets) = in_all(&mut views, &targets);
        if targets.is_empty() {
            return Err(train(taper_train::Error::nothing_left(set, skipped)));
        }
        let batch_size = self.options.batch_size;
        let mut views = views.into_iter().map(|view| view.values);
        let first = Vectors::new(views.next().unwrap_or_default(), targets, batch_size);
        let vectors = first.and_then(|first| views.try_fold(first, Vectors::with_view));
        let vectors = vectors.and_then(|vectors| vectors.with_indices(indices)).map_err(train)?;
        Ok(Some(vectors.with_min_batch(self.min_batch)))
    }
}

/// Keeps of all views, and of the targets that the first has, the samples that every view has: a file can go while it is read again and
/// again. Which those are, and their targets.
fn in_all(views: &mut [View], targets: &Targets) -> (Vec<usize>, Targets) {
    let Some((first, others)) = views.split_first() else {
        return (Vec::new(), Targets::default());
    };
    if others.iter().all(|view| view.indices == first.indices) {
        return (first.indices.clone(), targets.clone());
    }
    let of_others = others.iter().map(|view| view.indices.iter().copied().collect::<BTreeSet<_>>());
    let of_others: Vec<BTreeSet<usize>> = of_others.collect();
    let is_kept = |index: &usize| of_others.iter().all(|indices| indices.contains(index));
    let places = (0..first.indices.len()).filter(|&place| is_kept(&first.indices[place]));
    let targets = targets.select(&places.collect::<Vec<_>>());
    let kept: Vec<usize> = first.indices.iter().copied().filter(is_kept).collect();
    for view in views {
        view.keep(&kept);
    }
    (kept, targets)
}

impl View {
    /// Leaves the vectors of `kept`, which are in its own order, alone.
    fn keep(&mut self, kept: &[usize]) {
        let width = self.values.len() / self.indices.len().max(1);
        let kept: BTreeSet<usize> = kept.iter().copied().collect();
        let rows = self.indices.iter().zip(self.values.chunks_exact(width.max(1)));
        let rows = rows.filter(|(index, _)| kept.contains(index));
        self.values = rows.flat_map(|(_, row)| row).copied().collect();
        self.indices.retain(|index| kept.contains(index));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_that_one_view_lacks_is_in_none() {
        let view = |indices: &[usize], by: f32| View {
            indices: indices.to_vec(),
            values: indices.iter().flat_map(|&i| [i as f32 + by, -(i as f32) - by]).collect(),
        };
        let targets: Targets = vec![10, 11, 12, 14].into();
        let mut views = [view(&[0, 1, 2, 4], 0.5), view(&[0, 2, 4], 0.25), view(&[0, 1, 4], 0.75)];
        let (indices, kept) = in_all(&mut views, &targets);
        assert_eq!(indices, [0, 4]);
        assert_eq!(kept.classes().unwrap(), [10, 14]);
        for (view, by) in views.iter().zip([0.5, 0.25, 0.75]) {
            assert_eq!(view.indices, [0, 4]);
            assert_eq!(view.values, [by, -by, 4.0 + by, -4.0 - by]);
        }
        let mut same = [view(&[1, 3], 0.0), view(&[1, 3], 1.0)];
        let (indices, kept) = in_all(&mut same, &vec![5, 6].into());
        assert_eq!((indices, kept.classes().unwrap()), (vec![1, 3], &[5, 6][..]));
        assert!(in_all(&mut [], &targets).0.is_empty());
    }
}
