//! Samples to batches, ahead of the consumer, on threads of its own.
//!
//! Above: `recipes`, `train`. Below: `transform`, `mix`, `dataset`, `parallel`. Not here: which samples there are (`folder`).
//! Order and pixels are a function of (samples, transform, options, epoch, index) alone, so a run may be continued at
//! any batch and on any number of threads with the same bits.
//! One thread makes the batches in order, `prefetch` ahead; the pictures of a batch are shared out over `threads`, each
//! written straight to its place. Few and short-lived threads, because training uses all cores too.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crate::batch::{Batch, Piece, batch_ranges};
use crate::dataset::{Sample, Skipped};
use crate::error::{Error, Result};
use crate::mix::Mix;
use crate::parallel::{check_threads, for_each, resolve_threads};
use crate::random::Rng;
use crate::targets::Targets;
use crate::transform::{Resampler, Transform, output_len};

/// Mark the streams of random numbers, so that order, augmentation and mixing are independent.
const SHUFFLE: u64 = 1;
const AUGMENT: u64 = 2;
const MIX: u64 = 3;

/// The order of samples in an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// As in the list: to evaluate.
    Sequential,
    /// Uniformly random, another in every epoch: to train.
    Shuffled,
}

/// How a [`Loader`] works.
#[derive(Debug, Clone)]
pub struct LoaderOptions {
    /// Samples in a batch, the last of an epoch may have fewer. Default 32; at least 1.
    pub batch_size: usize,
    /// Samples that the last batch of an epoch has at least: fewer of them join the batch before, so that none is left out and
    /// none is alone, as batch norms may need it. Default 1; at most `batch_size`.
    pub min_batch: usize,
    /// The order of samples. Default: sequential.
    pub order: Order,
    /// How likely each sample is, where a shuffled epoch draws as many samples as there are with replacement; when empty, an epoch has each
    /// sample once. Default: empty.
    pub weights: Vec<f64>,
    /// Decides the order and the augmentation. Default 0.
    pub seed: u64,
    /// Threads that decode and transform, 0 for all cores, at most [`MAX_THREADS`](crate::MAX_THREADS). Changes no pixel.
    /// Default 0.
    pub threads: usize,
    /// Batches made ahead of the consumer. Changes no pixel. Default 2; at least 1.
    pub prefetch: usize,
    /// How often a sample that an epoch takes comes in it, each time drawn anew and one after the other; an epoch has as many pictures as ever and
    /// takes fewer samples (repeated augmentation, Hoffer et al. 2020, <https://arxiv.org/abs/1901.09335>, as timm's `RepeatAugSampler`). More
    /// than 1 only in a shuffled order. Default 1.
    pub repeats: usize,
    /// How the pictures of a batch, or of a [`Piece`] of one, are mixed with each other. Default: not.
    pub mix: Option<Mix>,
}

impl Default for LoaderOptions {
    fn default() -> Self {
        Self {
            batch_size: 32,
            min_batch: 1,
            order: Order::Sequential,
            weights: Vec::new(),
            seed: 0,
            threads: 0,
            prefetch: 2,
            repeats: 1,
            mix: None,
        }
    }
}

/// Makes the batches of any epoch.
///
/// # Examples
/// ```
/// use taper_data::{EvalTransform, Interpolation, Loader, LoaderOptions, sample_set};
/// # fn main() -> taper_data::Result<()> {
/// let dataset = sample_set::emoji6()?;
/// let transform = EvalTransform::imagenet([64, 64], 1.0, Interpolation::Bilinear)?;
/// let loader = Loader::new(&dataset.val, transform.into(), &LoaderOptions::default())?;
/// assert_eq!(loader.batches(), 4); // 105 pictures
/// let sizes: Vec<usize> =
///     loader.epoch(0, 0).map(|batch| Ok(batch?.targets.len())).collect::<taper_data::Result<_>>()?;
/// assert_eq!(sizes, [32, 32, 32, 9]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Loader {
    job: Arc<Job>,
}

/// All that the thread needs to know.
#[derive(Debug)]
struct Job {
    samples: Vec<Sample>,
    transform: Arc<dyn Transform>,
    /// Elements of a picture of its output.
    each: usize,
    options: LoaderOptions,
    threads: usize,
}

impl Loader {
    /// A loader of these samples; pixels that they keep are shared, not copied.
    ///
    /// # Errors
    /// [`Error::Setting`] for a batch size, prefetch or repeats of 0, repeats in the list's order, a least batch above the batch size, more than
    /// [`MAX_THREADS`](crate::MAX_THREADS), or a transform to pictures of no size; [`Error::MixedTargets`] if the samples' targets are
    /// not of one kind and shape; what [`Mix::check`] says of them.
    pub fn new(
        samples: &[Sample],
        transform: Arc<dyn Transform>,
        options: &LoaderOptions,
    ) -> Result<Self> {
        let each = output_len(&*transform)?;
        let positive = |setting, value: usize| match value {
            0 => Err(Error::Setting { setting, got: "0".to_owned(), expected: "at least 1" }),
            _ => Ok(()),
        };
        positive("batch size", options.batch_size)?;
        positive("prefetch", options.prefetch)?;
        positive("repeats", options.repeats)?;
        if options.repeats > 1 && options.order == Order::Sequential {
            let (setting, got) = ("repeats", options.repeats.to_string());
            return Err(Error::Setting {
                setting,
                got,
                expected: "1 where the order is that of the list",
            });
        }
        check_threads(options.threads)?;
        if options.min_batch > options.batch_size {
            let got = options.min_batch.to_string();
            return Err(Error::Setting {
                setting: "min_batch",
                got,
                expected: "at most the batch size",
            });
        }
        check_weights(&options.weights, samples.len())?;
        must_be_alike(samples)?;
        if let Some(mix) = &options.mix {
            samples.iter().try_for_each(|sample| mix.check(sample.target()))?;
        }
        Ok(Self {
            job: Arc::new(Job {
                samples: samples.to_vec(),
                transform,
                each,
                options: options.clone(),
                threads: resolve_threads(options.threads),
            }),
        })
    }

    /// Samples in an epoch.
    #[must_use]
    pub fn images(&self) -> usize {
        self.job.samples.len()
    }

    /// Batches in an epoch.
    #[must_use]
    pub fn batches(&self) -> usize {
        self.job.slots().len()
    }

    /// The samples, by the indices that batches name.
    #[must_use]
    pub fn samples(&self) -> &[Sample] {
        &self.job.samples
    }

    /// The batches of one epoch from number `start_batch` on. Work begins now, so call this early.
    ///
    /// A batch none of whose samples can be read is empty and says why in `skipped`.
    #[must_use]
    pub fn epoch(&self, epoch: usize, start_batch: usize) -> Epoch {
        self.pieces(epoch, (start_batch..self.batches()).map(Piece::whole).collect())
    }

    /// Only these parts of batches of an epoch, each as a batch of its own: the order and the pixels of every sample are those of the
    /// whole epoch, and no other sample is read. Parts are cut as if all samples could be read; those of a batch that there is not are
    /// empty.
    ///
    /// # Examples
    /// ```
    /// use taper_data::batch::Piece;
    /// use taper_data::{EvalTransform, Interpolation, Loader, LoaderOptions, sample_set};
    /// # fn main() -> taper_data::Result<()> {
    /// # let dataset = sample_set::emoji6()?;
    /// # let transform = EvalTransform::imagenet([8, 8], 1.0, Interpolation::Bilinear)?;
    /// # let loader = Loader::new(&dataset.val, transform.into(), &LoaderOptions::default())?;
    /// let halves = [0, 1].map(|part| Piece { position: 1, part, of: 2 }).to_vec();
    /// let halves: Vec<_> = loader.pieces(0, halves).collect::<Result<_, _>>()?;
    /// let whole = loader.epoch(0, 1).next().unwrap()?;
    /// assert_eq!([&halves[0].xs[..], &halves[1].xs[..]].concat(), whole.xs);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn pieces(&self, epoch: usize, pieces: Vec<Piece>) -> Epoch {
        // Ahead of the consumer by whole batches, however many pieces are taken of each.
        let first = pieces.first().map_or(0, |piece| piece.position);
        let of_batch = pieces.iter().take_while(|piece| piece.position == first).count().max(1);
        let ahead = self.job.options.prefetch.saturating_mul(of_batch);
        let (sender, receiver) = sync_channel(ahead - 1);
        let left = pieces.len();
        let stop = Arc::new(AtomicBool::new(false));
        let (job, stopped) = (Arc::clone(&self.job), Arc::clone(&stop));
        let worker = thread::Builder::new()
            .name("taper-loader".to_owned())
            .spawn(move || job.produce(epoch, pieces, &sender, &stopped));
        Epoch { receiver: Some(receiver), worker: worker.ok(), stop, epoch, left }
    }
}

/// Targets of several kinds or shapes are no batch.
fn must_be_alike(samples: &[Sample]) -> Result<()> {
    let Some((first, others)) = samples.split_first() else { return Ok(()) };
    let Some(other) = others.iter().find(|other| !other.target().is_like(first.target())) else {
        return Ok(());
    };
    let [expected, got] =
        [first, other].map(|sample| Targets::from(sample.target().clone()).describe());
    Err(Error::MixedTargets { expected, got })
}

/// What a thread keeps from one picture to the next.
#[derive(Default)]
struct Workspace {
    resampler: Resampler,
    pixels: Vec<u8>,
}

/// A sample's place in an epoch.
#[derive(Debug, Clone, Copy)]
struct Draw {
    index: usize,
    /// How often the epoch has shown it before.
    view: u64,
}

impl Draw {
    /// The random numbers that change its pixels.
    fn augmentation(self, seed: u64, epoch: usize) -> Rng {
        let (epoch, index) = (epoch as u64, self.index as u64);
        match self.view {
            0 => Rng::keyed([seed, AUGMENT, epoch, index]),
            view => Rng::keyed([seed, AUGMENT, epoch, index, view]),
        }
    }
}

/// `n` indices with replacement, each as likely as its weight says.
fn drawn(weights: &[f64], n: usize, rng: &mut Rng) -> Vec<usize> {
    let mut total = 0.0;
    let below: Vec<f64> = weights
        .iter()
        .map(|weight| {
            total += weight;
            total
        })
        .collect();
    let draw = |_| {
        let at = rng.unit() * total;
        below.partition_point(|&end| end <= at).min(n - 1)
    };
    (0..n).map(draw).collect()
}

/// A weight for each sample, none of them negative, or none at all.
fn check_weights(weights: &[f64], n: usize) -> Result<()> {
    let refuse = |got: String, expected| Err(Error::Setting { setting: "weights", got, expected });
    if let Some(bad) = weights.iter().find(|weight| !(weight.is_finite() && **weight >= 0.0)) {
        return refuse(bad.to_string(), "numbers of 0 or more");
    }
    match weights {
        [] => Ok(()),
        weights if weights.len() != n => {
            refuse(format!("{} numbers", weights.len()), "one for each sample, or none")
        }
        weights if weights.iter().sum::<f64>() <= 0.0 => {
            refuse("all 0".to_owned(), "at least one above 0")
        }
        _ => Ok(()),
    }
}

impl Job {
    /// Sends pieces of the epoch's batches until they are all sent or nobody listens any more.
    fn produce(
        &self,
        epoch: usize,
        pieces: Vec<Piece>,
        sender: &SyncSender<Result<Batch>>,
        stop: &AtomicBool,
    ) {
        let order = self.order(epoch);
        let slots = self.slots();
        for piece in pieces {
            let position = piece.position;
            let draws = slots.get(position).map_or(&[][..], |slots| &order[slots.clone()]);
            let batch = self.batch(epoch, piece, &draws[piece.rows(draws.len())], stop);
            if stop.load(Ordering::Relaxed) || sender.send(batch).is_err() {
                return;
            }
        }
    }

    /// The batches as ranges of the epoch's order.
    fn slots(&self) -> Vec<Range<usize>> {
        let LoaderOptions { batch_size, min_batch, .. } = self.options;
        batch_ranges(self.samples.len(), batch_size, min_batch)
    }

    /// The samples in the epoch's order.
    fn order(&self, epoch: usize) -> Vec<Draw> {
        let n = self.samples.len();
        let mut rng = Rng::keyed([self.options.seed, SHUFFLE, epoch as u64]);
        let order = match (self.options.order, self.options.weights.as_slice()) {
            (Order::Sequential, _) => (0..n).collect(),
            (Order::Shuffled, []) => {
                let mut order: Vec<usize> = (0..n).collect();
                rng.shuffle(&mut order);
                order
            }
            (Order::Shuffled, weights) => drawn(weights, n, &mut rng),
        };
        let repeats = self.options.repeats;
        let order = order.into_iter().flat_map(|index| std::iter::repeat_n(index, repeats));
        let mut views = vec![0; n];
        let draw = |index: usize| {
            let view = views[index];
            views[index] += 1;
            Draw { index, view }
        };
        order.take(n).map(draw).collect()
    }

    fn batch(
        &self,
        epoch: usize,
        piece: Piece,
        draws: &[Draw],
        stop: &AtomicBool,
    ) -> Result<Batch> {
        let mut batch = self.unmixed(epoch, piece.position, draws, stop)?;
        let Some(mix) = &self.options.mix else { return Ok(batch) };
        // A part is mixed by itself, with a weight of its own: so it is the same whoever reads the others.
        let parts = [piece.part as u64, piece.of as u64];
        let place = [epoch as u64, batch.position as u64];
        let key = [self.options.seed, MIX, place[0], place[1], parts[0], parts[1]];
        let size = self.transform.size();
        let mixed = mix.draw(size, &mut Rng::keyed(key));
        batch.targets = mix.apply(mixed, &mut batch.xs, size, &batch.targets, self.threads)?;
        Ok(batch)
    }

    /// The batch before its pictures are mixed.
    fn unmixed(
        &self,
        epoch: usize,
        position: usize,
        draws: &[Draw],
        stop: &AtomicBool,
    ) -> Result<Batch> {
        let mut indices: Vec<usize> = draws.iter().map(|draw| draw.index).collect();
        let [h, w] = self.transform.size();
        let mut xs = vec![0.0; draws.len() * self.each];
        let broken = Mutex::new(Vec::new());
        for_each(
            self.threads.min(draws.len()),
            xs.chunks_exact_mut(self.each).enumerate(),
            Workspace::default,
            |Workspace { resampler, pixels }, (slot, out)| {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let draw = draws[slot];
                let mut rng = draw.augmentation(self.options.seed, epoch);
                let image = self.samples[draw.index].image_in(pixels);
                let prepared = image.and_then(|image| {
                    self.transform.apply(&image, &mut rng, resampler, out)?;
                    // Memory of this size is slow to get; one that is not kept leaves its own.
                    Arc::into_inner(image).into_iter().for_each(|image| *pixels = image.into_rgb());
                    Ok(())
                });
                if let Err(error) = prepared {
                    broken.lock().unwrap_or_else(PoisonError::into_inner).push((slot, error));
                }
            },
        );
        let mut broken = broken.into_inner().unwrap_or_else(PoisonError::into_inner);
        broken.sort_unstable_by_key(|&(slot, _)| slot);
        let skipped = broken.iter().map(|(slot, error)| {
            let name = self.samples[draws[*slot].index].name().to_owned();
            let reason = match error {
                Error::Sample { source, .. } => source.chain(),
                refused => refused.chain(),
            };
            Skipped { name, reason }
        });
        let skipped = skipped.collect();
        for (slot, _) in broken.iter().rev() {
            indices.remove(*slot);
            xs.drain(slot * self.each..(slot + 1) * self.each);
        }
        let targets = indices.iter().map(|&index| self.samples[index].target().clone());
        let targets = Targets::collate(targets)?;
        let shape = [indices.len(), h, w];
        Ok(Batch { position, xs, shape, targets, indices, skipped, for_teacher: None })
    }
}

/// The batches of one epoch, in order. Dropping it stops the work.
#[derive(Debug)]
pub struct Epoch {
    receiver: Option<Receiver<Result<Batch>>>,
    worker: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    epoch: usize,
    left: usize,
}

impl Iterator for Epoch {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        match self.receiver.as_ref()?.recv() {
            Ok(batch) => {
                self.left -= 1;
                Some(batch)
            }
            Err(_disconnected) => {
                self.left = 0;
                Some(Err(Error::Worker { epoch: self.epoch }))
            }
        }
    }
}

impl Drop for Epoch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.receiver = None; // a thread that waits to send wakes up
        if let Some(worker) = self.worker.take() {
            // A panic of the thread was reported by `next`, or nobody wanted its batches.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests;
