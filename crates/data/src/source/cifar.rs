//! CIFAR's binary files to a data set.
//!
//! Above: `source`. Below: `source::names`. Not here: CIFAR's other formats.
//! A record is one label (of CIFAR-100 two, a coarse and a fine one) and the red, green and blue values of 32x32 pixels.
//! Source: Krizhevsky 2009, "Learning multiple layers of features from tiny images"; <https://www.cs.toronto.edu/~kriz/cifar.html>.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Parts, SourceError, entries, names};
use crate::dataset::{Layout, Sample};

/// Height and width of a picture.
const SIDE: usize = 32;

/// The longest file that is read, bytes: a hundred times as many as there are.
const LONGEST: u64 = 1 << 34;

/// The files of a data set.
#[derive(Debug)]
pub(super) struct Files {
    train: Vec<PathBuf>,
    test: Vec<PathBuf>,
    names: PathBuf,
    /// Bytes of labels before the pixels, of which the last counts.
    labels: usize,
}

/// The files, if there are such: in the folder, or in the one that the archives make.
pub(super) fn files_of(path: &Path) -> Option<Files> {
    let folders = ["", "cifar-10-batches-bin", "cifar-100-binary"].map(|name| path.join(name));
    folders.iter().find_map(|folder| {
        let files = entries(folder);
        let called = |is: &dyn Fn(&str) -> bool| -> Vec<PathBuf> {
            files.iter().filter(|file| is(names::of(file))).cloned().collect()
        };
        let ten = called(&|name| name.starts_with("data_batch_") && name.ends_with(".bin"));
        let ten_test = called(&|name| name == "test_batch.bin");
        if !ten.is_empty() || !ten_test.is_empty() {
            let names = folder.join("batches.meta.txt");
            return Some(Files { train: ten, test: ten_test, names, labels: 1 });
        }
        let names = folder.join("fine_label_names.txt");
        let (train, test) =
            (called(&|name| name == "train.bin"), called(&|name| name == "test.bin"));
        let is_hundred = names.is_file() && !(train.is_empty() && test.is_empty());
        is_hundred.then_some(Files { train, test, names, labels: 2 })
    })
}

pub(super) fn read(path: &Path) -> Result<Parts, SourceError> {
    let Some(files) = files_of(path) else { return Ok(Parts::default()) };
    let part = |paths: &[PathBuf]| -> Result<Vec<Sample>, SourceError> {
        let mut samples = Vec::new();
        for path in paths {
            samples.append(&mut records(path, files.labels)?);
        }
        Ok(samples)
    };
    let (train, val) = (part(&files.train)?, part(&files.test)?);
    let labels = train.iter().chain(&val).filter_map(Sample::class);
    let largest = labels.max().unwrap_or(0) as usize;
    let classes = names::of_classes(names::read(&files.names)?, largest)?;
    Ok(Parts { classes, train, val, skipped: Vec::new() })
}

/// The pictures of a file.
fn records(path: &Path, labels: usize) -> Result<Vec<Sample>, SourceError> {
    let name = names::of(path).to_owned();
    let failed = |source| SourceError::File { name: name.clone(), source };
    let got = std::fs::metadata(path).map_err(failed)?.len();
    let record = labels + 3 * SIDE * SIDE;
    if got > LONGEST {
        return Err(SourceError::TooLong { name, got, limit: LONGEST });
    }
    let bytes = Arc::new(std::fs::read(path).map_err(failed)?);
    if bytes.is_empty() || bytes.len() % record != 0 {
        return Err(SourceError::Records { name, got: bytes.len() as u64, record });
    }
    let stem = name.trim_end_matches(".bin");
    let sample = |(index, values): (usize, &[u8])| {
        let (at, class) = (index * record + labels, u32::from(values[labels - 1]));
        Sample::from_planes(format!("{stem}/{index:05}"), class, &bytes, at, [SIDE; 2], Layout::Rgb)
    };
    Ok(bytes.chunks_exact(record).enumerate().map(sample).collect())
}
