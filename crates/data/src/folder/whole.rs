//! All pictures below a folder as they lie there, whether or not one could train on it.
//!
//! Above: `recipes`, which looks at data before anybody trains on it. Below: `folder`, `layout`, `scan`. Not here: what a folder to train
//! on must have (`folder`).

use std::path::Path;

use super::layout::{self, Layout};
use super::scan::{self, Class};
use super::{ImageFolder, Options, Reading, names, no_classes, prefix};
use crate::dataset::{Dataset, Sample};
use crate::error::Result;
use crate::parallel::check_threads;

impl ImageFolder {
    /// Opens all pictures of a folder: those of `DIR/train/<class>` and `DIR/val/<class>` (see [`ImageFolder::open`] for other names), or all
    /// of `DIR/<class>` as pictures to train on. The classes are those of both parts together; one class, a class without pictures, a
    /// class of one part alone and a part alone are not errors here.
    ///
    /// # Errors
    /// A folder that is missing, has no classes or no pictures, or whose parts cannot be told from classes. See the variants of
    /// [`Error`](crate::Error).
    ///
    /// # Examples
    /// ```
    /// use taper_data::{ImageFolder, folder::Options, sample_set};
    /// let dir = tempfile::tempdir()?;
    /// sample_set::export(dir.path())?;
    /// std::fs::remove_dir_all(dir.path().join("val/food"))?;
    /// assert!(ImageFolder::open(dir.path(), &Options::default()).is_err());
    /// let dataset = ImageFolder::open_whole(dir.path(), &Options::default())?;
    /// assert_eq!((dataset.classes.len(), dataset.train.len()), (6, 425));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open_whole(path: &Path, options: &Options) -> Result<Dataset> {
        check_threads(options.threads)?;
        let mut reading = Reading::new(path, options);
        let mut parts: [(String, Vec<Class>); 2] = Default::default();
        match layout::of(path, &mut reading.skipped)? {
            Layout::Parts { train, val } => {
                let found: Vec<&Class> = train.iter().chain(&val).collect();
                scan::distinct(path, &found)?;
                for (part, folder) in parts.iter_mut().zip([train, val]) {
                    if let Some(folder) = folder {
                        let prefix = prefix(&folder);
                        let classes = reading.classes(&folder.path, &prefix)?;
                        *part = (prefix, classes);
                    }
                }
            }
            Layout::Classes(classes) => parts[0].1 = reading.checked(path, classes)?,
        }
        let mut all: Vec<String> = parts.iter().flat_map(|(_, classes)| names(classes)).collect();
        all.sort_unstable();
        all.dedup();
        let Some(first) = all.first().cloned() else { return Err(no_classes(path)) };
        let [train, val] = parts;
        let mut samples = |(prefix, classes): (String, Vec<Class>)| -> Result<Vec<Sample>> {
            let of_part = names(&classes);
            let samples = reading.samples(&prefix, &classes)?;
            Ok(samples.into_iter().map(|sample| renumbered(sample, &of_part, &all)).collect())
        };
        let (train, val) = (samples(train)?, samples(val)?);
        if train.is_empty() && val.is_empty() {
            return Err(reading.empty(path, "", first));
        }
        reading.finish(all, train, val)
    }
}

/// A sample whose class is an index among those of its part, with that among all.
fn renumbered(sample: Sample, of_part: &[String], all: &[String]) -> Sample {
    let name = sample.class().and_then(|class| of_part.get(class as usize));
    let label = name.and_then(|name| (0_u32..).zip(all).find(|(_, other)| *other == name));
    match label {
        Some((label, _)) => sample.with_target(label),
        None => sample,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::sample_set;

    #[test]
    fn classes_of_one_part_alone_are_among_all_and_keep_their_pictures() {
        let dir = tempfile::tempdir().unwrap();
        sample_set::export(dir.path()).unwrap();
        fs::remove_dir_all(dir.path().join("train/animal")).unwrap();
        fs::remove_dir_all(dir.path().join("val/food")).unwrap();
        fs::create_dir(dir.path().join("val/zebra")).unwrap();
        let dataset = ImageFolder::open_whole(dir.path(), &Options::default()).unwrap();
        let names = ["animal", "clothing", "face", "food", "tool", "vehicle", "zebra"];
        assert_eq!(dataset.classes, names);
        for sample in dataset.train.iter().chain(&dataset.val) {
            let class = &dataset.classes[sample.class().unwrap() as usize];
            assert_eq!(sample.name().split('/').nth(1), Some(class.as_str()), "{}", sample.name());
        }
        assert_eq!(dataset.count_by_class(&dataset.train)[0], 0);
        assert!(dataset.count_by_class(&dataset.val)[0] > 0);
    }

    #[test]
    fn one_class_and_one_part_are_enough_and_nothing_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let open = || ImageFolder::open_whole(dir.path(), &Options::default());
        assert!(open().is_err(), "an empty folder");
        fs::create_dir_all(dir.path().join("bees")).unwrap();
        assert!(open().is_err(), "a class without pictures");
        let gif =
            b"GIF87a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
        fs::write(dir.path().join("bees/1.gif"), gif).unwrap();
        fs::write(dir.path().join("bees/2.gif"), "no picture").unwrap();
        let dataset = open().unwrap();
        assert_eq!((dataset.classes.len(), dataset.train.len(), dataset.val.len()), (1, 1, 0));
        assert_eq!(dataset.skipped[0].name, "bees/2.gif");
        assert!(ImageFolder::open_whole(&dir.path().join("absent"), &Options::default()).is_err());
    }
}
