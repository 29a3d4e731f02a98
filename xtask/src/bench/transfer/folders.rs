//! Folders of few pictures a class, drawn from a larger one.
//!
//! Above: `transfer`. Below: the file system. Not here: what is trained on them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// How many pictures a folder has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) train: usize,
    pub(super) val: usize,
}

/// Refuses a folder without pictures to train on and to judge by.
pub(super) fn check(folder: &Path) -> Result<()> {
    for part in ["train", "val"].map(|part| folder.join(part)) {
        if !part.is_dir() {
            bail!(
                "{} is no folder: --data wants DIR/train/<class>/* and DIR/val/<class>/*",
                part.display()
            );
        }
    }
    Ok(())
}

/// Which of the pictures to train with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Draw {
    All,
    /// So many of each class, or all of one that has fewer.
    Few(usize),
    /// One in so many, and one at least, of every second class by name, and all of the others.
    Unequal(usize),
}

impl Draw {
    /// How many of the `n` pictures of class number `class`.
    fn of(self, class: usize, n: usize) -> usize {
        match self {
            Self::Few(most) => most,
            Self::Unequal(part) if class % 2 == 1 => n.div_ceil(part),
            Self::All | Self::Unequal(_) => n,
        }
    }
}

impl std::fmt::Display for Draw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Few(n) => write!(f, "{n} a class"),
            Self::Unequal(part) => write!(f, "1 of {part}, every second class"),
        }
    }
}

/// Copies into `out` pictures of each class of `folder/train`, drawn by `seed`, and all of `folder/val`.
pub(super) fn few(folder: &Path, draw: Draw, seed: u64, out: &Path) -> Result<Count> {
    let train = copied(&folder.join("train"), draw, seed, &out.join("train"))?;
    let val = copied(&folder.join("val"), Draw::All, seed, &out.join("val"))?;
    Ok(Count { train, val })
}

/// Copies into `out/<class>` the pictures of `folder/train` that are not in `few/train`.
pub(super) fn rest(folder: &Path, few: &Path, out: &Path) -> Result<()> {
    for class in entries(&folder.join("train"))?.iter().filter(|class| class.is_dir()) {
        let name = class.file_name().unwrap_or_default();
        let (taken, into) = (few.join("train").join(name), out.join(name));
        fs::create_dir_all(&into).with_context(|| format!("making {}", into.display()))?;
        for picture in entries(class)? {
            let name = picture.file_name().unwrap_or_default();
            if !taken.join(name).exists() {
                fs::copy(&picture, into.join(name))
                    .with_context(|| format!("copying {}", picture.display()))?;
            }
        }
    }
    Ok(())
}

fn copied(from: &Path, draw: Draw, seed: u64, to: &Path) -> Result<usize> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut count = 0;
    let classes = entries(from)?.into_iter().filter(|class| class.is_dir());
    for (number, class) in classes.enumerate() {
        let class = class.as_path();
        let into = to.join(class.file_name().unwrap_or_default());
        fs::create_dir_all(&into).with_context(|| format!("making {}", into.display()))?;
        let mut pictures = entries(class)?;
        if draw != Draw::All {
            pictures.sort_by_cached_key(|_| rng.next_u64());
            pictures.truncate(draw.of(number, pictures.len()));
        }
        for picture in &pictures {
            let copy = into.join(picture.file_name().unwrap_or_default());
            fs::copy(picture, &copy).with_context(|| format!("copying {}", picture.display()))?;
        }
        count += pictures.len();
    }
    if count == 0 {
        bail!("{} has no folders of pictures; train and val are wanted", from.display());
    }
    Ok(count)
}

/// What is in a folder, by name.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let listed = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    let listed: std::io::Result<Vec<PathBuf>> = listed.map(|it| Ok(it?.path())).collect();
    let mut paths = listed.with_context(|| format!("reading {}", folder.display()))?;
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_which_pictures_are_taken_and_all_of_val_are() {
        let temp = tempfile::tempdir().unwrap();
        let from = temp.path().join("from");
        for (part, n) in [("train", 30), ("val", 4)] {
            for class in ["a", "b"] {
                let class = from.join(part).join(class);
                fs::create_dir_all(&class).unwrap();
                (0..n).for_each(|i| fs::write(class.join(format!("{i}.png")), [0]).unwrap());
            }
        }
        let draw = |name: &str, draw, seed| {
            let out = temp.path().join(name);
            let count = few(&from, draw, seed, &out).unwrap();
            let names = entries(&out.join("train/a")).unwrap();
            (count, names.iter().map(|it| it.file_name().unwrap().to_owned()).collect::<Vec<_>>())
        };
        let (first, names) = draw("0", Draw::Few(5), 0);
        assert_eq!((first, names.len()), (Count { train: 10, val: 8 }, 5));
        assert_eq!(draw("again", Draw::Few(5), 0).1, names);
        assert_ne!(draw("1", Draw::Few(5), 1).1, names);
        assert_eq!(draw("all", Draw::All, 0).0, Count { train: 60, val: 8 });
        let unequal = draw("unequal", Draw::Unequal(20), 0);
        assert_eq!((unequal.0, unequal.1.len()), (Count { train: 32, val: 8 }, 30));
        rest(&from, &temp.path().join("0"), &temp.path().join("rest")).unwrap();
        let others = entries(&temp.path().join("rest/a")).unwrap();
        assert_eq!(others.len(), 25);
        assert!(others.iter().all(|it| !names.iter().any(|name| it.ends_with(name))));
        assert!(few(temp.path(), Draw::All, 0, &temp.path().join("none")).is_err());
        assert!(check(&from).is_ok());
        let error = check(temp.path()).unwrap_err().to_string();
        assert!(error.contains("train") && error.contains("--data"), "{error}");
    }
}
