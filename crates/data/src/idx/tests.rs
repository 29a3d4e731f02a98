//! Files as MNIST's are, and files that lie.

use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::{Array, Mnist, Part, decode, read};
use crate::error::{Error, Result};

/// An IDX file of unsigned bytes whose header says `shape`, whatever follows.
fn idx(shape: &[u32], bytes: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, u8::try_from(shape.len()).unwrap()];
    file.extend(shape.iter().flat_map(|axis| axis.to_be_bytes()));
    file.extend(bytes);
    file
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn decoded(file: &[u8]) -> Result<Array> {
    decode(Cursor::new(file), file.len() as u64)
}

#[test]
fn the_slowest_axis_comes_first_and_lengths_are_big_endian() {
    let bytes: Vec<u8> = (0..6).chain(0..=255).chain(0..=255).collect();
    let file = idx(&[1, 2, 259], &bytes);
    let array = decoded(&file).unwrap();
    assert_eq!(array, Array { shape: vec![1, 2, 259], bytes });
    assert_eq!(decoded(&gzip(&file)).unwrap(), array);
}

#[test]
fn gzip_is_known_by_its_content_and_may_have_several_members() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("labels-without-ending");
    let (start, end) = (gzip(&idx(&[4], &[1, 2])), gzip(&[3, 4]));
    fs::write(&path, [start, end].concat()).unwrap();
    assert_eq!(read(&path).unwrap().bytes, [1, 2, 3, 4]);
}

#[test]
fn what_is_no_array_of_bytes_is_refused_by_its_first_bytes() {
    for got in [[0, 0, 0xd, 1], [1, 0, 8, 1], *b"\x89PNG"] {
        let file = [&got[..], &[0, 0, 0, 1, 5]].concat();
        let error = decoded(&file).unwrap_err();
        assert!(matches!(error, Error::IdxMagic { got: it } if it == got), "{error}");
        assert!(matches!(decoded(&gzip(&file)), Err(Error::IdxMagic { .. })));
    }
    for short in [&[][..], &[0], &[0, 0, 8], &[0, 0, 8, 2, 0, 0, 0, 1]] {
        assert!(matches!(decoded(short), Err(Error::Truncated { format: "IDX" })), "{short:?}");
    }
}

#[test]
fn no_memory_is_taken_for_what_a_file_cannot_hold() {
    let huge: [&[u32]; 4] = [&[u32::MAX], &[u32::MAX; 3], &[u32::MAX; 255], &[4]];
    for shape in huge {
        let file = idx(shape, &[1, 2, 3]);
        let error = decoded(&file).unwrap_err();
        assert!(matches!(error, Error::IdxTooLong { limit: 3, .. }), "{error}");
    }
    let error = decoded(&gzip(&idx(&[1 << 30, 2], &[0; 5]))).unwrap_err();
    assert!(matches!(error, Error::IdxTooLong { limit, .. } if limit < 100_000), "{error}");
}

#[test]
fn no_more_is_decompressed_than_the_header_announces() {
    let bomb = gzip(&idx(&[2, 8], &vec![0; 64 << 20]));
    assert!(bomb.len() < 100_000);
    let error = decoded(&bomb).unwrap_err();
    assert_eq!(
        error.to_string(),
        "its header announces the shape [2, 8], 16 bytes, and more follow"
    );
}

#[test]
fn a_stream_that_ends_early_says_what_is_missing() {
    let error = decoded(&gzip(&idx(&[5], &[1, 2]))).unwrap_err();
    assert_eq!(error.to_string(), "its header announces the shape [5], 5 bytes, and 2 follow");
    let error = decoded(&idx(&[2], &[1, 2, 3])).unwrap_err();
    assert!(matches!(error, Error::IdxTrailing { expected: 2, .. }), "{error}");
}

#[test]
fn damage_in_a_compressed_file_is_found() {
    let whole = gzip(&idx(&[3, 100], &[7; 300]));
    for length in 2..whole.len() {
        let error = decoded(&whole[..length]).unwrap_err();
        assert!(matches!(error, Error::Truncated { format: "gzip" }), "{length}: {error}");
    }
    let mut flipped = whole.clone();
    let checksum = flipped.len() - 5;
    flipped[checksum] ^= 1;
    assert!(matches!(decoded(&flipped), Err(Error::Stream { .. })));
    let trailing = [&whole[..], b"more"].concat();
    assert!(matches!(decoded(&trailing), Err(Error::Stream { .. } | Error::Truncated { .. })));
}

/// A folder with these two files of the part to test on.
fn folder(images: &[u8], labels: &[u8]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("t10k-images.idx3-ubyte"), images).unwrap();
    fs::write(dir.path().join("t10k-labels-idx1-ubyte.gz"), labels).unwrap();
    dir
}

fn refused(images: &[u8], labels: &[u8]) -> String {
    Mnist::open(folder(images, labels).path(), Part::Test).unwrap_err().chain()
}

#[test]
fn files_are_found_under_all_their_names() {
    let dir = folder(&idx(&[2, 1, 1], &[5, 6]), &gzip(&idx(&[2], &[1, 0])));
    let test = Mnist::open(dir.path(), Part::Test).unwrap();
    assert_eq!(test, Mnist { pixels: vec![5, 6], shape: [2, 1, 1], labels: vec![1, 0] });
    let missing = Mnist::open(dir.path(), Part::Train).unwrap_err().to_string();
    let names = "`train-images-idx3-ubyte` or `train-images.idx3-ubyte`, with or without `.gz`";
    assert!(missing.ends_with(names), "{missing}");
}

#[test]
fn pictures_and_labels_must_belong_together() {
    let (images, labels) = (idx(&[2, 1, 1], &[5, 6]), idx(&[2], &[1, 0]));
    let swapped = refused(&labels, &images);
    assert!(
        swapped.ends_with("the shape [2], expected the shape (n, h, w), none of them 0"),
        "{swapped}"
    );
    let twice = refused(&images, &images);
    assert!(twice.ends_with("the shape [2, 1, 1], expected the shape (n)"), "{twice}");
    let empty = refused(&idx(&[2, 0, 28], &[]), &labels);
    assert!(empty.contains("t10k-images.idx3-ubyte` is no usable IDX file: its header"), "{empty}");
    let fewer = refused(&images, &idx(&[1], &[1]));
    assert!(fewer.ends_with("2 pictures with 1 labels; they do not belong together"), "{fewer}");
}

#[test]
fn a_folder_is_no_file() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("train-images-idx3-ubyte")).unwrap();
    fs::create_dir(dir.path().join("train-labels-idx1-ubyte")).unwrap();
    let error = Mnist::open(dir.path(), Part::Train).unwrap_err();
    assert!(error.chain().ends_with("it is not a regular file"), "{}", error.chain());
    assert!(matches!(read(Path::new("nowhere")), Err(Error::Read { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::default())]
    #[test]
    fn every_array_comes_back_and_no_part_of_its_file_does(
        shape in proptest::collection::vec(0u32..6, 0..5),
        cut in 0.0f64..1.0,
    ) {
        let bytes: Vec<u8> = (0..shape.iter().product()).map(|i: u32| i.to_le_bytes()[0]).collect();
        let file = idx(&shape, &bytes);
        for file in [gzip(&file), file] {
            let array = decoded(&file);
            prop_assert_eq!(&array.as_ref().unwrap().bytes, &bytes);
            prop_assert!(array.unwrap().shape.iter().zip(&shape).all(|(a, b)| *a == *b as usize));
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length")]
            let cut = (file.len() as f64 * cut) as usize;
            prop_assert!(decoded(&file[..cut]).is_err());
        }
    }

    #[test]
    fn no_bytes_panic(
        is_idx in any::<bool>(),
        bytes in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let start: &[u8] = if is_idx { &[0, 0, 8] } else { &super::GZIP };
        let file = [start, &bytes].concat();
        if let Ok(array) = decoded(&file) {
            prop_assert_eq!(array.bytes.len(), array.shape.iter().product::<usize>());
        }
    }
}
