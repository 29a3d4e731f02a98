//! Mixed and repeated batches: the same bits whatever the threads, the start and who reads which part.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{batches, samples, shuffled, train_transform};
use crate::array::Array;
use crate::batch::{Batch, Piece};
use crate::dataset::Sample;
use crate::image::Image;
use crate::mix::Mix;
use crate::{Loader, LoaderOptions, Order, Result, Target, Targets};

fn mixing() -> LoaderOptions {
    LoaderOptions { mix: Some(Mix::new(0.8, 1.0, 6).unwrap()), ..shuffled() }
}

#[test]
fn mixed_batches_depend_on_seed_epoch_and_place_alone() {
    let whole = batches(&mixing(), 1, 0);
    let plain = batches(&shuffled(), 1, 0);
    for (threads, prefetch) in [(2, 1), (3, 5), (0, 2)] {
        assert_eq!(batches(&LoaderOptions { threads, prefetch, ..mixing() }, 1, 0), whole);
    }
    for start in 0..=6 {
        assert_eq!(batches(&mixing(), 1, start), whole[start..]);
    }
    assert_ne!(batches(&LoaderOptions { seed: 5, ..mixing() }, 1, 0)[0].xs, whole[0].xs);
    // The same samples in the same order, of other pixels and with soft targets.
    for (mixed, plain) in whole.iter().zip(&plain) {
        assert_eq!(mixed.indices, plain.indices);
        assert_ne!(mixed.xs, plain.xs);
        let Targets::Probabilities(soft) = &mixed.targets else { panic!("soft targets") };
        let classes = plain.targets.classes().unwrap();
        for (i, row) in soft.values().chunks(6).enumerate() {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
            let partner = classes[(i + classes.len() / 2) % classes.len()];
            let named = [classes[i], partner];
            assert!((0..6).all(|class| row[class as usize] == 0.0 || named.contains(&class)));
        }
    }
}

/// A rank reads its shards alone, and they are what one process that reads all shards has.
#[test]
fn a_shard_is_mixed_by_itself_whoever_reads_the_others() {
    let loader = Loader::new(&samples(), train_transform(), &mixing()).unwrap();
    let read = |parts: &[usize]| -> Vec<Batch> {
        let of_each = |position| parts.iter().map(move |&part| Piece { position, part, of: 4 });
        let pieces = (0..loader.batches()).flat_map(of_each).collect();
        loader.pieces(2, pieces).collect::<Result<_>>().unwrap()
    };
    let (all, mut two_ranks) = (read(&[0, 1, 2, 3]), [read(&[0, 1]), read(&[2, 3])]);
    for of_batch in all.chunks(4) {
        for rank in &mut two_ranks {
            assert!(rank.len() >= 2);
        }
        assert_eq!(of_batch[..2], two_ranks[0].drain(..2).collect::<Vec<_>>());
        assert_eq!(of_batch[2..], two_ranks[1].drain(..2).collect::<Vec<_>>());
    }
    // Weights are the parts' own.
    let Targets::Probabilities(a) = &all[0].targets else { panic!("soft") };
    let Targets::Probabilities(b) = &all[1].targets else { panic!("soft") };
    let least = |values: &[f32]| values.iter().copied().filter(|&x| x > 0.0).fold(1.0, f32::min);
    assert!((least(a.values()) - least(b.values())).abs() > 1e-3);
}

#[test]
fn targets_that_cannot_be_mixed_are_refused_before_any_picture_is_read() {
    let image = Arc::new(Image::new(1, 1, vec![0; 3]).unwrap());
    let refused = |target: Target| {
        let sample = Sample::from_image("it", target, Arc::clone(&image));
        let loader = Loader::new(&[sample], train_transform(), &mixing());
        loader.err().map(|error| error.to_string())
    };
    assert_eq!(refused(Target::from(5)), None);
    assert!(refused(Target::from(6)).is_some_and(|told| told.contains('6')));
    let map = || Target::ClassMap(Array::new(vec![0, 1], vec![1, 2]).unwrap());
    let told = "targets that are a class map [1, 2] cannot be mixed: leave out mixup and cutmix";
    assert_eq!(refused(map()).unwrap(), told);
    assert_eq!(refused(Target::named([("mask", map())])).unwrap(), told);
    assert_eq!(refused(Target::labels(&[0], 2).unwrap()), None);
}

#[test]
fn repeated_samples_come_in_other_views_and_the_first_is_their_own() {
    let plain = batches(&LoaderOptions { batch_size: 54, ..shuffled() }, 1, 0).remove(0);
    let repeated = LoaderOptions { batch_size: 54, repeats: 4, ..shuffled() };
    let batch = batches(&repeated, 1, 0).remove(0);
    assert_eq!(batch.indices.len(), 54);
    let mut counts = BTreeMap::new();
    batch.indices.iter().for_each(|index| *counts.entry(*index).or_insert(0) += 1);
    assert_eq!(counts.len(), 14); // 13 of them four times, one twice
    let each = 24 * 20 * 3;
    for (at, index) in batch.indices.iter().enumerate() {
        assert_eq!(*index, plain.indices[at / 4]);
        let view = &batch.xs[at * each..(at + 1) * each];
        let own = &plain.xs[at / 4 * each..(at / 4 + 1) * each];
        assert_eq!(view == own, at % 4 == 0, "view {at}");
    }
    let small = LoaderOptions { batch_size: 10, ..repeated.clone() };
    assert_eq!(batches(&small, 1, 4), batches(&small, 1, 0)[4..]);
    let in_order = LoaderOptions { order: Order::Sequential, ..repeated };
    let refused = Loader::new(&samples(), train_transform(), &in_order).unwrap_err().to_string();
    assert!(refused.contains("repeats is 4, expected 1 where the order"), "{refused}");
}
