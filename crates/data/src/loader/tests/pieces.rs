//! Parts of batches, put together, are the batches.

use std::fs;

use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};

use super::{shuffled, train_transform};
use crate::batch::{Batch, Piece};
use crate::cache::Cache;
use crate::dataset::{Check, Sample};
use crate::folder::{ImageFolder, Options};
use crate::{Loader, LoaderOptions, Result, Targets, sample_set};

/// Files of a folder, one of every five of which is gone.
fn samples_with_gaps(folder: &std::path::Path) -> Vec<Sample> {
    sample_set::export(folder).unwrap();
    let options = Options { check: Check::Headers, cache: Cache::none(), ..Options::default() };
    let samples = ImageFolder::open(folder, &options).unwrap().val;
    for sample in samples.iter().step_by(5) {
        fs::remove_file(sample.path().unwrap()).unwrap();
    }
    samples.into_iter().take(37).collect()
}

fn joined(position: usize, parts: &[Batch]) -> Batch {
    let [_, h, w] = parts[0].shape;
    let mut targets = Targets::default();
    parts.iter().for_each(|part| targets.append(&part.targets).unwrap());
    let indices: Vec<usize> = parts.iter().flat_map(|part| part.indices.clone()).collect();
    Batch {
        position,
        xs: parts.iter().flat_map(|part| part.xs.clone()).collect(),
        shape: [indices.len(), h, w],
        targets,
        indices,
        skipped: parts.iter().flat_map(|part| part.skipped.clone()).collect(),
        for_teacher: None,
    }
}

#[test]
fn parts_put_together_are_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let samples = samples_with_gaps(folder.path());
    let config = ProptestConfig::with_cases(ProptestConfig::default().cases / 4);
    proptest!(config, |(shards in 1..9usize, batch_size in 1..14usize, epoch in 0..3usize, start in 0..4usize,
                min_batch in 1..3usize, threads in 1..4usize, seed in any::<u64>())| {
        let min_batch = min_batch.min(batch_size);
        let options = LoaderOptions { batch_size, min_batch, threads, seed, ..shuffled() };
        let loader = Loader::new(&samples, train_transform(), &options).unwrap();
        let whole: Vec<Batch> = loader.epoch(epoch, start).collect::<Result<_>>().unwrap();
        let cut = |position: usize, part: usize| Piece { position, part, of: shards };
        let positions = start.min(loader.batches())..loader.batches();
        let all = positions.clone().flat_map(|position| (0..shards).map(move |s| cut(position, s)));
        let all: Vec<Piece> = all.collect();
        let parts: Vec<Batch> = loader.pieces(epoch, all).collect::<Result<_>>().unwrap();
        prop_assert_eq!(parts.len(), whole.len() * shards);
        for ((position, whole), parts) in positions.clone().zip(&whole).zip(parts.chunks(shards)) {
            prop_assert_eq!(&joined(position, parts), whole);
        }
        // One of the shards alone.
        let mine: Vec<Piece> = positions.map(|position| cut(position, shards - 1)).collect();
        let mine: Vec<Batch> = loader.pieces(epoch, mine).collect::<Result<_>>().unwrap();
        let theirs: Vec<Batch> = parts.chunks(shards).map(|parts| parts[shards - 1].clone()).collect();
        prop_assert_eq!(mine, theirs);
    });
}

#[test]
fn parts_of_no_batch_are_empty_and_of_a_small_one_may_be() {
    let loader = Loader::new(&super::samples(), train_transform(), &shuffled()).unwrap();
    let piece = |position, part| Piece { position, part, of: 8 };
    let odd = vec![piece(5, 0), piece(5, 7), piece(77, 3), piece(5, 9)]; // batch 5 has 4 samples
    let batches: Vec<Batch> = loader.pieces(0, odd).collect::<Result<_>>().unwrap();
    let sizes: Vec<usize> = batches.iter().map(|batch| batch.indices.len()).collect();
    assert_eq!(sizes, [0, 1, 0, 1]);
    assert_eq!((batches[2].position, &batches[1]), (77, &batches[3]));
}

#[test]
fn a_part_of_a_batch_in_memory_is_that_of_the_loader() {
    let loader = Loader::new(&super::samples(), train_transform(), &shuffled()).unwrap();
    for whole in loader.epoch(0, 0) {
        let whole = whole.unwrap();
        let parts = [0, 1, 2].map(|part| Piece { position: whole.position, part, of: 3 });
        let read: Vec<Batch> = loader.pieces(0, parts.to_vec()).collect::<Result<_>>().unwrap();
        assert_eq!(parts.map(|piece| whole.part(piece)).to_vec(), read);
    }
}
