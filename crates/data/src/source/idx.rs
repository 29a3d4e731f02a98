//! MNIST's files to a data set.
//!
//! Above: `source`. Below: `idx`, `source::names`. Not here: the format (`idx`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Parts, SourceError, entries, names, wrap};
use crate::dataset::{Layout, Sample};
use crate::error::{Error, Result};
use crate::idx::{Mnist, Part};

/// The folder of the files, if there are such: torchvision puts them into `raw`.
pub(super) fn folder_of(path: &Path) -> Option<PathBuf> {
    let holds = |folder: &PathBuf| {
        entries(folder).iter().map(|path| names::of(path)).any(|name| {
            let is_part = name.starts_with("train-images") || name.starts_with("t10k-images");
            is_part && name.contains("idx3-ubyte")
        })
    };
    let below = entries(path).into_iter().map(|folder| folder.join("raw")).find(holds);
    [path.to_path_buf(), path.join("raw")].into_iter().find(holds).or(below)
}

pub(super) fn read(path: &Path) -> Result<Parts> {
    let folder = folder_of(path).unwrap_or_else(|| path.to_path_buf());
    let part = |part| match Mnist::open(&folder, part) {
        Ok(set) => Ok(Some(set)),
        Err(Error::IdxMissing { .. }) => Ok(None),
        Err(error) => Err(error),
    };
    let sets = [part(Part::Train)?, part(Part::Test)?];
    let labels = sets.iter().flatten().flat_map(|set| &set.labels);
    let largest = labels.copied().max().unwrap_or(0);
    let said = names::read(&folder.join("classes.txt")).map_err(wrap(path))?;
    let classes = names::of_classes(said, usize::from(largest)).map_err(wrap(path))?;
    let [train, val] = sets;
    let samples =
        |set: Option<Mnist>, name: &str| set.map_or_else(Vec::new, |set| samples(set, name));
    let (train, val) = (samples(train, "train"), samples(val, "t10k"));
    if train.is_empty() && val.is_empty() {
        return Err(wrap(path)(SourceError::empty("with labels", &[])));
    }
    Ok(Parts { classes, train, val, skipped: Vec::new() })
}

fn samples(set: Mnist, part: &str) -> Vec<Sample> {
    let Mnist { pixels, shape: [_, h, w], labels } = set;
    let pixels = Arc::new(pixels);
    let sample = |(index, &label): (usize, &u8)| {
        let name = format!("{part}/{index:05}");
        Sample::from_planes(name, u32::from(label), &pixels, index * h * w, [h, w], Layout::Gray)
    };
    labels.iter().enumerate().map(sample).collect()
}
