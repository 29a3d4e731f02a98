//! The sample set that is part of the crate: `emoji6`, 530 Noto emoji of six kinds, 64x64, on white.
//!
//! Above: `recipes` (the default of `finetune`). Below: `archive`. Not here: how it was made (`emoji6/make.py`).
//! The split is fixed: 425 to train on, 105 to validate on, stratified. A linear classifier on MobileNetV2's features
//! reaches about 0.81 (chance on the largest class: 0.25), so there is something left to learn.
//! Source: Noto Emoji, Apache License 2.0; see `emoji6/NOTICE`.

mod archive;

use std::path::Path;

use crate::cache::Cache;
use crate::dataset::{self, Check, Dataset, Sample};
use crate::error::{Error, Result};

/// A tar archive of `train/<class>/<name>.png` and `val/<class>/<name>.png`.
static EMOJI6: &[u8] = include_bytes!("../emoji6/emoji6.tar");

/// The licence notice of the pictures, to be shown or shipped with them.
pub const EMOJI6_NOTICE: &str = include_str!("../emoji6/NOTICE");

/// Opens `emoji6`: animal, clothing, face, food, tool, vehicle.
///
/// All pictures are decoded (6.5 MB of pixels, about 50 ms).
///
/// # Errors
/// [`Error::Archive`] or [`Error::Strict`] if the embedded archive is damaged, which a test rules out.
///
/// # Examples
/// ```
/// let dataset = taper_data::sample_set::emoji6()?;
/// assert_eq!(dataset.classes.len(), 6);
/// assert_eq!((dataset.train.len(), dataset.val.len()), (425, 105));
/// assert_eq!(dataset.train[0].name(), "train/animal/ant.png");
/// # Ok::<(), taper_data::Error>(())
/// ```
pub fn emoji6() -> Result<Dataset> {
    let members = archive::members(EMOJI6)?;
    let mut classes: Vec<String> = members.iter().map(|member| member.class.to_owned()).collect();
    classes.sort_unstable();
    classes.dedup();

    let (mut train, mut val) = (Vec::new(), Vec::new());
    for (label, class) in (0..).zip(&classes) {
        for member in members.iter().filter(|member| member.class == class) {
            let part = if member.split == "train" { &mut train } else { &mut val };
            part.push(Sample::from_static(member.path.to_owned(), label, member.bytes));
        }
    }
    let everything = Cache::in_memory(u64::MAX);
    for part in [&mut train, &mut val] {
        part.iter_mut().for_each(|sample: &mut Sample| sample.keep_in(&everything));
        if let Some(first) = dataset::check(part, Check::Pixels, 0).first() {
            let (name, reason) = (first.name.clone(), first.reason.clone());
            return Err(Error::Strict { count: 1, name, reason });
        }
    }
    Ok(Dataset { classes, train, val, skipped: Vec::new() })
}

/// Writes `emoji6` as a folder, `DIR/train/<class>/*.png` and `DIR/val/<class>/*.png`, with its notice.
///
/// # Errors
/// [`Error::Write`] with the path that could not be written.
///
/// # Examples
/// ```
/// let dir = tempfile::tempdir()?;
/// taper_data::sample_set::export(dir.path())?;
/// assert!(dir.path().join("val/vehicle/bus.png").is_file());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn export(dir: &Path) -> Result<()> {
    for member in archive::members(EMOJI6)? {
        write(&dir.join(member.path), member.bytes)?;
    }
    write(&dir.join("NOTICE"), EMOJI6_NOTICE.as_bytes())
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    taper_files::replace_unsynced(path, |file| file.write_all(bytes))
        .map_err(|source| Error::Write { path: path.to_path_buf(), source })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{EMOJI6, archive, emoji6};

    #[test]
    fn the_archive_holds_what_the_manifest_lists() {
        let manifest = include_str!("../emoji6/manifest.tsv");
        let listed: BTreeSet<String> = manifest
            .lines()
            .skip(1)
            .map(|line| {
                let fields: Vec<&str> = line.split('\t').collect();
                format!("{}/{}/{}.png", fields[0], fields[1], fields[2])
            })
            .collect();
        let held: BTreeSet<String> =
            archive::members(EMOJI6).unwrap().iter().map(|m| m.path.to_owned()).collect();
        assert_eq!(listed, held);
        assert_eq!(listed.len(), 530);
    }

    #[test]
    fn the_split_is_stratified_and_disjoint() {
        let dataset = emoji6().unwrap();
        let train = dataset.count_by_class(&dataset.train);
        let val = dataset.count_by_class(&dataset.val);
        for (class, (train, val)) in dataset.classes.iter().zip(train.iter().zip(&val)) {
            let share = *val as f64 / (train + val) as f64;
            assert!((0.15..0.25).contains(&share), "{class}: {share}");
        }
        let file = |name: &str| name.split_once('/').unwrap().1.to_owned();
        let train: BTreeSet<String> = dataset.train.iter().map(|s| file(s.name())).collect();
        assert!(dataset.val.iter().all(|s| !train.contains(&file(s.name()))));
    }

    #[test]
    fn every_picture_is_64_square_and_kept() {
        let dataset = emoji6().unwrap();
        for sample in dataset.train.iter().chain(&dataset.val) {
            let image = sample.image().unwrap();
            assert_eq!((image.height(), image.width()), (64, 64), "{}", sample.name());
            assert!(sample.is_kept());
        }
    }
}
