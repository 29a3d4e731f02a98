//! The same bits whatever the threads, the start and the cache.

mod mixing;
mod pieces;

use std::fs;
use std::sync::Arc;

use super::{Loader, LoaderOptions, Order};
use crate::batch::Batch;
use crate::cache::Cache;
use crate::dataset::Sample;
use crate::folder::{ImageFolder, Options};
use crate::image::Image;
use crate::random::Rng;
use crate::sample_set;
use crate::transform::{EvalTransform, Interpolation, Resampler, TrainTransform, Transform};
use crate::{Error, Result, Target, Targets, dataset::Check};

fn train_transform() -> Arc<dyn Transform> {
    TrainTransform::imagenet([24, 20], Interpolation::Bilinear).unwrap().into()
}

fn samples() -> Vec<Sample> {
    sample_set::emoji6().unwrap().train.into_iter().step_by(8).collect()
}

fn shuffled() -> LoaderOptions {
    LoaderOptions {
        batch_size: 10,
        order: Order::Shuffled,
        seed: 4,
        threads: 1,
        ..LoaderOptions::default()
    }
}

fn batches(options: &LoaderOptions, epoch: usize, start: usize) -> Vec<Batch> {
    let loader = Loader::new(&samples(), train_transform(), options).unwrap();
    loader.epoch(epoch, start).collect::<Result<_>>().unwrap()
}

#[test]
fn an_epoch_holds_every_sample_once() {
    let all = batches(&shuffled(), 3, 0);
    let mut seen: Vec<usize> = all.iter().flat_map(|batch| batch.indices.clone()).collect();
    assert_ne!(seen, (0..54).collect::<Vec<_>>());
    seen.sort_unstable();
    assert_eq!(seen, (0..54).collect::<Vec<_>>());
    assert_eq!(all.iter().map(|b| b.position).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
    assert_eq!(all[5].shape, [4, 24, 20]);
    let samples = samples();
    for batch in &all {
        assert_eq!(batch.xs.len(), batch.shape.iter().product::<usize>() * 3);
        for (&index, &target) in batch.indices.iter().zip(batch.targets.classes().unwrap()) {
            assert_eq!(samples[index].class(), Some(target));
        }
    }
}

#[test]
fn threads_and_prefetch_change_no_bit() {
    let one = batches(&shuffled(), 1, 0);
    for (threads, prefetch) in [(2, 1), (3, 5), (0, 2)] {
        assert_eq!(batches(&LoaderOptions { threads, prefetch, ..shuffled() }, 1, 0), one);
    }
}

#[test]
fn an_epoch_continues_where_it_was_left() {
    let whole = batches(&shuffled(), 2, 0);
    for start in 0..=6 {
        assert_eq!(batches(&shuffled(), 2, start), whole[start..]);
    }
    assert!(batches(&shuffled(), 2, 100).is_empty());
}

#[test]
fn seed_and_epoch_change_order_and_pixels() {
    let first = batches(&shuffled(), 0, 0);
    assert_ne!(batches(&shuffled(), 1, 0)[0].indices, first[0].indices);
    assert_ne!(
        batches(&LoaderOptions { seed: 5, ..shuffled() }, 0, 0)[0].indices,
        first[0].indices
    );
    let in_order = LoaderOptions { order: Order::Sequential, ..shuffled() };
    let (a, b) = (batches(&in_order, 0, 0), batches(&in_order, 1, 0));
    assert_eq!(a[0].indices, b[0].indices);
    assert_ne!(a[0].xs, b[0].xs); // augmented anew
    assert_eq!(a[0].xs.len(), b[0].xs.len());
}

#[test]
fn a_picture_depends_on_its_index_and_not_on_its_batch() {
    let small = batches(&LoaderOptions { batch_size: 1, ..shuffled() }, 0, 0);
    let large = batches(&LoaderOptions { batch_size: 54, ..shuffled() }, 0, 0);
    assert_eq!(large.len(), 1);
    for (slot, batch) in small.iter().enumerate() {
        assert_eq!(batch.indices[0], large[0].indices[slot]);
        assert_eq!(batch.xs, large[0].xs[slot * 24 * 20 * 3..(slot + 1) * 24 * 20 * 3]);
    }
}

#[test]
fn a_file_that_vanishes_leaves_the_others_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    sample_set::export(dir.path()).unwrap();
    let options = Options { check: Check::Headers, cache: Cache::none(), ..Options::default() };
    let samples = ImageFolder::open(dir.path(), &options).unwrap().val;
    let transform = EvalTransform::imagenet([16, 16], 1.0, Interpolation::Bilinear).unwrap();
    let options = LoaderOptions { batch_size: 5, threads: 2, ..LoaderOptions::default() };
    let loader = Loader::new(&samples, transform.into(), &options).unwrap();
    let before: Vec<Batch> = loader.epoch(0, 0).collect::<Result<_>>().unwrap();

    // One of the first batch, all of the second.
    for index in [3, 5, 6, 7, 8, 9] {
        fs::remove_file(samples[index].path().unwrap()).unwrap();
    }
    let after: Vec<Batch> = loader.epoch(0, 0).collect::<Result<_>>().unwrap();
    assert_eq!(after.len(), before.len());
    assert_eq!(after[0].indices, [0, 1, 2, 4]);
    assert_eq!(after[0].shape, [4, 16, 16]);
    assert_eq!(after[0].skipped[0].name, samples[3].name());
    let n = 16 * 16 * 3;
    assert_eq!(after[0].xs[..3 * n], before[0].xs[..3 * n]);
    assert_eq!(after[0].xs[3 * n..], before[0].xs[4 * n..]);
    assert_eq!((after[1].shape, after[1].skipped.len()), ([0, 16, 16], 5));
    assert!(after[1].xs.is_empty() && after[1].targets.is_empty() && after[1].indices.is_empty());
    assert_eq!(after[1].skipped[4].name, samples[9].name());
    assert_eq!(after[2], before[2]);
}

#[test]
fn a_small_rest_joins_the_batch_before_it_and_every_sample_is_there_once() {
    let sizes = |batch_size, min_batch| -> Vec<usize> {
        let options = LoaderOptions { batch_size, min_batch, ..shuffled() };
        let all = batches(&options, 1, 0);
        let mut seen: Vec<usize> = all.iter().flat_map(|batch| batch.indices.clone()).collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..54).collect::<Vec<_>>());
        for start in 0..=all.len() {
            assert_eq!(batches(&options, 1, start), all[start..]);
        }
        let loader = Loader::new(&samples(), train_transform(), &options).unwrap();
        assert_eq!(loader.batches(), all.len());
        all.iter().map(|batch| batch.targets.len()).collect()
    };
    assert_eq!(sizes(53, 1), [53, 1]);
    assert_eq!(sizes(53, 2), [54]);
    assert_eq!(sizes(25, 4), [25, 25, 4]);
    assert_eq!(sizes(25, 5), [25, 29]);
}

#[test]
fn dropping_an_epoch_ends_its_threads() {
    let loader = Loader::new(&samples(), train_transform(), &shuffled()).unwrap();
    for _ in 0..5 {
        let mut epoch = loader.epoch(0, 0);
        assert!(epoch.next().is_some());
        drop(epoch); // joins; would hang here if the thread did not listen
    }
    drop(loader.epoch(1, 0));
}

#[test]
fn empty_lists_and_wrong_options() {
    let none = Loader::new(&[], train_transform(), &shuffled()).unwrap();
    assert_eq!((none.images(), none.batches()), (0, 0));
    assert!(none.epoch(0, 0).next().is_none());
    let many = LoaderOptions { threads: 100_000, ..shuffled() };
    let error = Loader::new(&samples(), train_transform(), &many).unwrap_err();
    assert!(error.to_string().contains("threads is 100000, expected from 0 to 1024"), "{error}");
    let odd = LoaderOptions { min_batch: 11, ..shuffled() };
    let error = Loader::new(&samples(), train_transform(), &odd).unwrap_err();
    assert!(error.to_string().contains("is 11, expected at most the batch size"), "{error}");
    for options in
        [LoaderOptions { batch_size: 0, ..shuffled() }, LoaderOptions { prefetch: 0, ..shuffled() }]
    {
        let error = Loader::new(&samples(), train_transform(), &options).unwrap_err();
        assert!(error.to_string().contains("is 0, expected at least 1"), "{error}");
    }
}

/// Two channels: which picture it was given, and what it draws. Refuses every third sample.
#[derive(Debug)]
struct Recording;

impl Transform for Recording {
    fn size(&self) -> [usize; 2] {
        [1, 1]
    }

    fn channels(&self) -> usize {
        2
    }

    fn apply(
        &self,
        image: &Image,
        rng: &mut Rng,
        _: &mut Resampler,
        out: &mut [f32],
    ) -> Result<()> {
        if image.height().is_multiple_of(3) {
            return Err(Error::other("a third is refused"));
        }
        out[0] = image.height() as f32;
        out[1] = rng.below(1 << 24) as f32;
        Ok(())
    }
}

#[test]
fn a_transform_of_ones_own_depends_on_seed_epoch_and_index_alone() {
    let image = |height: usize| Arc::new(Image::new(height, 1, vec![0; height * 3]).unwrap());
    let samples: Vec<Sample> = (1_u32..=10)
        .map(|at| Sample::from_image(format!("{at}"), at, image(at as usize)))
        .collect();
    let by_index = |threads, batch_size, seed, epoch| {
        let options = LoaderOptions { threads, batch_size, seed, ..shuffled() };
        let loader = Loader::new(&samples, Arc::new(Recording), &options).unwrap();
        let (mut drawn, mut refused) = (vec![None; 10], Vec::new());
        for batch in loader.epoch(epoch, 0) {
            let batch = batch.unwrap();
            assert_eq!(batch.xs.len(), 2 * batch.indices.len());
            for (xs, &index) in batch.xs.chunks(2).zip(&batch.indices) {
                assert_eq!(xs[0].to_bits(), ((index + 1) as f32).to_bits());
                drawn[index] = Some(xs[1].to_bits());
            }
            refused.extend(batch.skipped);
        }
        refused.sort_by(|a, b| a.name.cmp(&b.name));
        (drawn, refused)
    };
    let (drawn, refused) = by_index(1, 10, 4, 0);
    assert_eq!(by_index(3, 4, 4, 0), (drawn.clone(), refused.clone()));
    assert_ne!(by_index(1, 10, 5, 0).0, drawn);
    assert_ne!(by_index(1, 10, 4, 1).0, drawn);
    let told: Vec<_> =
        refused.iter().map(|gone| (gone.name.as_str(), gone.reason.as_str())).collect();
    assert_eq!(told, ["3", "6", "9"].map(|name| (name, "a third is refused")));
}

/// A transform to pictures of a size that nobody can hold.
#[derive(Debug)]
struct Endless([usize; 2], usize);

impl Transform for Endless {
    fn size(&self) -> [usize; 2] {
        self.0
    }

    fn channels(&self) -> usize {
        self.1
    }

    fn apply(&self, _: &Image, _: &mut Rng, _: &mut Resampler, _: &mut [f32]) -> Result<()> {
        Ok(())
    }
}

#[test]
fn transforms_to_no_size_are_refused() {
    for (size, channels) in [([0, 8], 3), ([8, 0], 3), ([usize::MAX, 8], 3), ([8, 8], 0)] {
        let transform = Arc::new(Endless(size, channels));
        assert!(Loader::new(&samples(), transform, &shuffled()).is_err(), "{size:?} {channels}");
    }
}

#[test]
fn targets_of_any_kind_come_with_their_samples_and_must_be_alike() {
    let image = || Arc::new(Image::new(1, 1, vec![0; 3]).unwrap());
    let samples: Vec<Sample> = (0..5_u8)
        .map(|at| {
            let numbers = Target::numbers(vec![f32::from(at), f32::from(at) * 0.5]);
            let target =
                Target::named([("class", Target::from(u32::from(at))), ("numbers", numbers)]);
            Sample::from_image(format!("{at}"), target, image())
        })
        .collect();
    let options = LoaderOptions { batch_size: 3, ..shuffled() };
    let loader = Loader::new(&samples, train_transform(), &options).unwrap();
    for batch in loader.epoch(0, 0) {
        let batch = batch.unwrap();
        let expected = batch.indices.iter().map(|&index| samples[index].target().clone());
        assert_eq!(batch.targets, Targets::collate(expected).unwrap());
    }
    let mut mixed = samples;
    mixed.push(Sample::from_image("other", 1, image()));
    let refused = Loader::new(&mixed, train_transform(), &options).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "a target is class, those before it are {class: class, numbers: numbers [2]}; a batch needs targets of one kind and shape"
    );
}

#[test]
fn weights_draw_with_replacement_and_each_showing_has_pixels_of_its_own() {
    let n = samples().len();
    let weights: Vec<f64> = (0..n).map(|index| if index == 3 { 20.0 } else { 1.0 }).collect();
    let options = LoaderOptions { weights, ..shuffled() };
    let drawn = |epoch, start| batches(&options, epoch, start);
    let all = drawn(0, 0);
    let indices: Vec<usize> = all.iter().flat_map(|batch| batch.indices.clone()).collect();
    assert_eq!(indices.len(), n);
    let often = indices.iter().filter(|index| **index == 3).count();
    assert!((5..30).contains(&often), "{often} of {n} draws, 20 of 73 are expected");
    assert_eq!(drawn(0, 2), all[2..]);
    assert_ne!(drawn(1, 0), all);
    let each = 24 * 20 * 3;
    let shown: Vec<&[f32]> = all
        .iter()
        .flat_map(|batch| batch.indices.iter().zip(batch.xs.chunks_exact(each)))
        .filter(|(index, _)| **index == 3)
        .map(|(_, xs)| xs)
        .collect();
    assert!(shown.iter().skip(1).any(|xs| *xs != shown[0]), "the same crop every time");
    let refused = |weights: Vec<f64>| {
        let options = LoaderOptions { weights, ..shuffled() };
        Loader::new(&samples(), train_transform(), &options).unwrap_err().to_string()
    };
    assert!(refused(vec![1.0]).contains("one for each sample"));
    assert!(refused(vec![-1.0; n]).contains("0 or more"));
    assert!(refused(vec![0.0; n]).contains("above 0"));
}

#[test]
fn balanced_weights_show_all_classes_alike() {
    let part = |counts: &[usize]| -> Vec<Sample> {
        let classes = (0u32..).zip(counts);
        classes
            .flat_map(|(class, &n)| {
                (0..n).map(move |i| Sample::from_static(format!("{class}/{i}"), class, b""))
            })
            .collect()
    };
    let train = part(&[90, 10]);
    let dataset = crate::Dataset::new(["a", "b"], train.clone(), part(&[1, 1])).unwrap();
    let weights = dataset.balanced_weights(&train);
    let [a, b]: [f64; 2] = [weights[..90].iter().sum(), weights[90..].iter().sum()];
    assert!((a - b).abs() < 1e-9, "{a} {b}");
}
