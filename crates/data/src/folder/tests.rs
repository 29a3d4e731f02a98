//! Folders as people have them, good and bad.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::{ImageFolder, Options};
use crate::dataset::{Check, Dataset};
use crate::error::Error;

/// Writes a small PNG whose color depends on its path.
fn picture(root: &Path, name: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let shade = name.bytes().fold(7_u8, |sum, b| sum.wrapping_mul(31).wrapping_add(b));
    image::RgbImage::from_pixel(9, 8, image::Rgb([shade, 90, 30]))
        .save_with_format(path, image::ImageFormat::Png)
        .unwrap();
}

fn folder(names: &[&str]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in names {
        picture(dir.path(), name);
    }
    dir
}

fn open(dir: &TempDir) -> crate::Result<Dataset> {
    ImageFolder::open(dir.path(), &Options::default())
}

fn names(samples: &[crate::Sample]) -> Vec<&str> {
    samples.iter().map(crate::Sample::name).collect()
}

/// `train` and `val` of two classes.
fn split_folder() -> TempDir {
    folder(&[
        "train/bee/2.png",
        "train/bee/10.png",
        "train/Ant/a.png",
        "train/Ant/deep/er/b.jpg", // a PNG by content
        "val/bee/x.png",
        "val/Ant/y.png",
    ])
}

#[test]
fn classes_are_sorted_as_torchvision_sorts_them() {
    let dir = split_folder();
    picture(dir.path(), "train/.hidden/a.png");
    picture(dir.path(), "train/bee/.hidden.png");
    let dataset = open(&dir).unwrap();
    assert_eq!(dataset.classes, ["Ant", "bee"]);
    let expected =
        ["train/Ant/a.png", "train/Ant/deep/er/b.jpg", "train/bee/10.png", "train/bee/2.png"];
    assert_eq!(names(&dataset.train), expected);
    assert_eq!(names(&dataset.val), ["val/Ant/y.png", "val/bee/x.png"]);
    let classes: Vec<_> = dataset.train.iter().filter_map(crate::Sample::class).collect();
    assert_eq!(classes, [0, 0, 1, 1]);
    assert!(dataset.skipped.is_empty());
}

#[test]
fn a_folder_of_classes_is_split_by_seed() {
    let files: Vec<String> = (0..20)
        .map(|i| if i < 10 { format!("cat/{i}.png") } else { format!("train/{i}.png") })
        .collect();
    let dir = folder(&files.iter().map(String::as_str).collect::<Vec<_>>());
    let dataset = open(&dir).unwrap();
    assert_eq!(dataset.classes, ["cat", "train"]); // beside others, `train` is a class
    assert_eq!(dataset.count_by_class(&dataset.train), [8, 8]);
    assert_eq!(dataset.count_by_class(&dataset.val), [2, 2]);
    let again = open(&dir).unwrap();
    assert_eq!(names(&again.val), names(&dataset.val));
    assert_eq!(again.fingerprint(), dataset.fingerprint());
    let other = ImageFolder::open(dir.path(), &Options { seed: 1, ..Options::default() }).unwrap();
    assert_ne!(names(&other.val), names(&dataset.val));
    assert_ne!(other.fingerprint(), dataset.fingerprint());
}

#[test]
fn broken_files_are_skipped_by_name_or_refused() {
    let dir = split_folder();
    let at = |name: &str| dir.path().join("train/bee").join(name);
    fs::write(at("notes.txt"), "no picture").unwrap();
    fs::write(at("empty.jpg"), "").unwrap();
    let whole = fs::read(at("2.png")).unwrap();
    fs::write(at("cut.png"), &whole[..whole.len() / 2]).unwrap();
    fs::create_dir(at("x.jpg")).unwrap();
    let dataset = open(&dir).unwrap();
    let skipped: Vec<&str> = dataset.skipped.iter().map(|s| s.name.as_str()).collect();
    let expected =
        ["train/bee/cut.png", "train/bee/empty.jpg", "train/bee/notes.txt", "train/bee/x.jpg"];
    assert_eq!(skipped, expected);
    assert_eq!(dataset.skipped[2].reason, "it is no JPEG, PNG, WebP, BMP or GIF file");
    assert_eq!(dataset.skipped[3].reason, "it is a folder with the name of a picture");
    assert_eq!(dataset.count_by_class(&dataset.train), [2, 2]);

    let strict = Options { strict: true, ..Options::default() };
    let error = ImageFolder::open(dir.path(), &strict).unwrap_err().to_string();
    assert!(error.contains("4 of the files") && error.contains("train/bee/cut.png"), "{error}");
}

#[test]
fn pixels_are_kept_within_the_budget_and_never_matter() {
    let dir = split_folder();
    let with =
        |check| ImageFolder::open(dir.path(), &Options { check, ..Options::default() }).unwrap();
    let all = with(Check::default());
    let two = with(Check::Pixels { keep_bytes: 2 * 9 * 8 * 3 + 5 });
    let none = with(Check::Headers);
    let kept = |dataset: &Dataset| {
        dataset.train.iter().chain(&dataset.val).filter(|s| s.is_kept()).count()
    };
    assert_eq!([kept(&all), kept(&two), kept(&none)], [6, 2, 0]);
    for other in [&two, &none] {
        assert_eq!(all.fingerprint(), other.fingerprint());
        for (a, b) in all.train.iter().zip(&other.train) {
            assert_eq!(a.image().unwrap(), b.image().unwrap());
        }
    }
}

#[test]
fn wrong_folders_are_refused_with_the_reason() {
    let cases: [(&[&str], &str); 7] = [
        (&[], "holds no class folders"),
        (&["a.png", "b.png"], "holds no class folders"),
        (&["only/a.png", "only/b.png"], "one class only, `only`"),
        (&["train/a/1.png", "train/b/1.png"], "has `train` but no `val`"),
        (&["train/a/1.png", "train/b/1.png", "val/a/1.png", "val/c/1.png"], "only in val: [\"c\"]"),
        (&["train/a/1.png", "val/a/1.png"], "one class only, `a`"),
        (&["a/1.png", "a/2.png", "b/1.png"], "class `b` has 1 picture"),
    ];
    for (files, expected) in cases {
        let error = open(&folder(files)).unwrap_err().to_string();
        assert!(error.contains(expected), "{files:?}: {error}");
    }
    let missing = ImageFolder::open(Path::new("no/such/folder"), &Options::default());
    assert!(missing.unwrap_err().to_string().contains("`no/such/folder` is not a folder"));
    let dir = split_folder();
    let file = dir.path().join("val/bee/x.png");
    assert!(matches!(
        ImageFolder::open(&file, &Options::default()).unwrap_err(),
        Error::NotAFolder { .. }
    ));
    for val_fraction in [0.0, 1.0, -0.2, f64::NAN] {
        let options = Options { val_fraction, ..Options::default() };
        assert!(ImageFolder::open(dir.path(), &options).is_err());
    }
}

#[test]
fn an_empty_class_is_refused() {
    let dir = split_folder();
    fs::create_dir(dir.path().join("train/wasp")).unwrap();
    fs::create_dir(dir.path().join("val/wasp")).unwrap();
    fs::write(dir.path().join("train/wasp/notes.txt"), "none").unwrap();
    let error = open(&dir).unwrap_err().to_string();
    assert!(error.contains("class `wasp`") && error.contains("1 files were skipped"), "{error}");
}

#[test]
fn evaluation_takes_val_or_all_classes() {
    let dir = split_folder();
    let dataset = ImageFolder::open_to_evaluate(dir.path(), &Options::default()).unwrap();
    assert_eq!((dataset.train.len(), dataset.val.len()), (0, 2));
    let train = dir.path().join("train");
    let dataset = ImageFolder::open_to_evaluate(&train, &Options::default()).unwrap();
    assert_eq!((dataset.train.len(), dataset.val.len()), (0, 4));
    assert_eq!(dataset.classes, ["Ant", "bee"]);
    let single = folder(&["one/a.png"]);
    assert_eq!(
        ImageFolder::open_to_evaluate(single.path(), &Options::default()).unwrap().val.len(),
        1
    );
    assert!(ImageFolder::open_to_evaluate(Path::new("no/such"), &Options::default()).is_err());
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_loops_end() {
    use std::os::unix::fs::symlink;
    let dir = split_folder();
    let bee = dir.path().join("train/bee");
    symlink(&bee, bee.join("again")).unwrap(); // a loop inside a class
    symlink("self.png", bee.join("self.png")).unwrap(); // a file that is itself
    symlink("nothing.png", bee.join("dangling.png")).unwrap();
    symlink(dir.path().join("val/bee/x.png"), bee.join("linked.png")).unwrap();
    let dataset = open(&dir).unwrap();
    assert!(names(&dataset.train).contains(&"train/bee/linked.png"));
    let skipped: Vec<&str> = dataset.skipped.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(skipped, ["train/bee/again", "train/bee/dangling.png", "train/bee/self.png"]);

    symlink(dir.path(), dir.path().join("train/loop")).unwrap();
    let error = open(&dir).unwrap_err();
    assert!(matches!(error, Error::SymlinkLoop { .. }), "{error:?}");

    let looped = tempfile::tempdir().unwrap();
    let own = looped.path().join("own");
    symlink(&own, &own).unwrap();
    let error = ImageFolder::open(&own, &Options::default()).unwrap_err();
    assert!(matches!(error, Error::Read { .. }), "{error:?}");
}

#[cfg(unix)]
#[test]
fn a_pipe_is_skipped_and_not_waited_for() {
    let dir = split_folder();
    let pipe = dir.path().join("train/bee/pipe.png");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let dataset = open(&dir).unwrap();
    assert_eq!(dataset.skipped[0].name, "train/bee/pipe.png");
    assert_eq!(dataset.skipped[0].reason, "it is not a regular file");
}
