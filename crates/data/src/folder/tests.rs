//! Folders as people have them, good and bad.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::{ImageFolder, Options, list_pictures};
use crate::cache::Cache;
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
fn a_picture_tells_the_bytes_of_its_pixels_checked_or_not() {
    let dir = split_folder();
    for check in [Check::Headers, Check::Pixels] {
        let options = Options { check, ..Options::default() };
        let dataset = ImageFolder::open(dir.path(), &options).unwrap();
        let sample = &dataset.train[0];
        let length = fs::metadata(sample.path().unwrap()).unwrap().len();
        assert_eq!((sample.encoded_bytes(), sample.decoded_bytes()), (length, 3 * 9 * 8));
        assert_eq!(sample.held_bytes(), 0);
        let bytes = fs::read(sample.path().unwrap()).unwrap();
        let unread = crate::Sample::from_file("unread", 0, sample.path().unwrap().to_owned());
        assert_eq!((unread.encoded_bytes(), unread.decoded_bytes()), (0, 3 * 9 * 8));
        let held = crate::Sample::from_bytes("held", 0, bytes);
        assert_eq!((held.held_bytes(), held.decoded_bytes()), (length, 3 * 9 * 8));
        assert_eq!(crate::Sample::from_bytes("none", 0, *b"none").decoded_bytes(), 0);
    }
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

    let unread = Options { check: Check::Nothing, ..Options::default() };
    let dataset = ImageFolder::open(dir.path(), &unread).unwrap();
    assert_eq!((dataset.train.len(), dataset.skipped.len()), (7, 1), "files are files");
    assert!(dataset.train[2].image().is_ok() && dataset.train[4].image().is_err());

    let strict = Options { strict: true, ..Options::default() };
    let error = ImageFolder::open(dir.path(), &strict).unwrap_err().to_string();
    assert!(error.contains("4 of the files") && error.contains("train/bee/cut.png"), "{error}");
}

#[test]
fn pixels_are_kept_within_the_budget_and_never_matter() {
    let dir = split_folder();
    let with = |cache, check| {
        let options = Options { check, cache, threads: 1, ..Options::default() };
        ImageFolder::open(dir.path(), &options).unwrap()
    };
    let all = with(Options::default().cache, Check::Pixels);
    let two = with(Cache::in_memory(2 * 9 * 8 * 3 + 5), Check::Pixels);
    let none = with(Cache::none(), Check::Pixels);
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
        (&["a.png", "b.png"], "holds 2 pictures and no class folders (expected DIR/train/<class>"),
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
    let expected = "has no usable pictures (`train/wasp/notes.txt` was skipped: it is no JPEG, PNG";
    assert!(error.contains("class `wasp`") && error.contains(expected), "{error}");
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
    symlink("nowhere", dir.path().join("train/wasp")).unwrap();
    let dataset = open(&dir).unwrap();
    assert_eq!(dataset.classes, ["Ant", "bee"]);
    let reason = |name: &str| {
        let skipped = dataset.skipped.iter().find(|skipped| skipped.name == name);
        skipped.map(|skipped| skipped.reason.as_str()).unwrap_or_default()
    };
    assert_eq!(reason("train/loop"), "it is a link to a folder above");
    assert!(reason("train/wasp").starts_with("it is a link to `nowhere`: "));

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

fn part_names(files: &[&str]) -> ([Vec<String>; 2], Vec<String>) {
    let dir = folder(files);
    let dataset = open(&dir).unwrap_or_else(|error| panic!("{files:?}: {error}"));
    assert_eq!(dataset.classes, ["a", "b"], "{files:?}");
    let parts = [&dataset.train, &dataset.val].map(|part| {
        let mut parts: Vec<String> =
            part.iter().map(|sample| sample.name().split('/').next().unwrap().to_owned()).collect();
        parts.dedup();
        parts
    });
    (parts, dataset.skipped.iter().map(|skipped| skipped.name.clone()).collect())
}

#[test]
fn parts_are_known_by_their_usual_names_in_any_case() {
    for train in ["train", "training", "Train", "TRAINING"] {
        for val in ["val", "Val", "VAL", "valid", "validation", "Validation", "dev", "eval"] {
            let files = [(train, "a"), (train, "b"), (val, "a"), (val, "b")]
                .map(|(part, class)| format!("{part}/{class}/1.png"));
            let (parts, skipped) = part_names(&files.each_ref().map(String::as_str));
            assert_eq!(parts, [vec![train.to_owned()], vec![val.to_owned()]]);
            assert!(skipped.is_empty());
        }
    }
}

#[test]
fn test_is_set_aside_or_validates_where_nothing_else_does() {
    let all = ["train/a/1.png", "train/b/1.png", "valid/a/1.png", "valid/b/1.png", "Test/a/1.png"];
    let (parts, skipped) = part_names(&all);
    assert_eq!(parts, [vec!["train".to_owned()], vec!["valid".to_owned()]]);
    assert_eq!(skipped, ["Test"]);
    let two = ["train/a/1.png", "train/b/1.png", "test/a/1.png", "test/b/1.png"];
    assert_eq!(part_names(&two).0, [vec!["train".to_owned()], vec!["test".to_owned()]]);
    // Pictures without classes can validate nothing.
    let flat = folder(&["train/a/1.png", "train/b/1.png", "test/1.png"]);
    let error = open(&flat).unwrap_err().to_string();
    assert!(error.contains("has `train` but no `val`"), "{error}");
    // What lies beside the parts is named.
    let beside = ["train/a/1.png", "train/b/1.png", "val/a/1.png", "val/b/1.png", "notes/c/1.png"];
    assert_eq!(part_names(&beside).1, ["notes"]);
}

#[test]
fn what_may_be_a_part_or_a_class_is_not_guessed() {
    // Pictures in it, and others beside it: a class.
    let classes = folder(&["boat/1.png", "boat/2.png", "test/1.png", "test/2.png"]);
    assert_eq!(open(&classes).unwrap().classes, ["boat", "test"]);
    let cases: [(&[&str], &str); 5] = [
        (
            &["cat/1.png", "dog/1.png", "test/cat/1.png", "test/dog/1.png"],
            "has `test`, which is named like",
        ),
        (&["train/a/1.png", "training/a/1.png", "val/a/1.png"], "both `train` and `training`"),
        (&["train/a/1.png", "val/a/1.png", "dev/a/1.png"], "both `dev` and `val`"),
        (&["training/a/1.png", "training/b/1.png"], "has `training` but no `val`"),
        (&["Test/a/1.png", "Test/b/1.png"], "has `Test` but no `train`"),
    ];
    for (files, expected) in cases {
        let error = open(&folder(files)).unwrap_err().to_string();
        assert!(error.contains(expected), "{files:?}: {error}");
    }
    let flat = folder(&["train/1.png", "train/2.png", "val/1.png"]);
    let error = open(&flat).unwrap_err().to_string();
    assert!(error.contains("train` holds 2 pictures and no class folders"), "{error}");
}

#[test]
fn evaluation_knows_the_same_names() {
    let evaluated = |files: &[&str]| {
        let dir = folder(files);
        ImageFolder::open_to_evaluate(dir.path(), &Options::default())
            .map(|dataset| names(&dataset.val).into_iter().map(str::to_owned).collect::<Vec<_>>())
            .map_err(|error| error.to_string())
    };
    let all = ["training/a/1.png", "Validation/a/2.png", "test/a/3.png"];
    assert_eq!(evaluated(&all).unwrap(), ["Validation/a/2.png"]);
    assert_eq!(evaluated(&["train/a/1.png", "test/a/3.png"]).unwrap(), ["test/a/3.png"]);
    assert_eq!(evaluated(&["test/a/3.png"]).unwrap(), ["test/a/3.png"]);
    assert_eq!(evaluated(&["test/3.png", "boat/1.png"]).unwrap(), ["boat/1.png", "test/3.png"]);
    assert!(evaluated(&["train/a/1.png"]).unwrap_err().contains("has `train` but no `val`"));
    assert!(evaluated(&["cat/1.png", "test/cat/1.png"]).unwrap_err().contains("beside `cat`"));
}

#[test]
fn what_systems_put_into_folders_is_passed_over() {
    let dir = folder(&[
        "a/1.png",
        "a/2.png",
        "a/@eaDir/1.png",
        "a/Thumbs.db", // a picture, as all of these
        "a/desktop.ini",
        "a/.DS_Store",
        "b/1.PNG",
        "b/2.Jpg",
        "b/__MACOSX/1.png",
        "__MACOSX/a/1.png",
        "@eaDir/a/1.png",
        "lost+found/1.png",
        "$RECYCLE.BIN/1.png",
        "System Volume Information/1.png",
        ".AppleDouble/1.png",
        ".ipynb_checkpoints/1.png",
    ]);
    let dataset = open(&dir).unwrap();
    assert_eq!(dataset.classes, ["a", "b"]);
    assert_eq!([dataset.train.len(), dataset.val.len(), dataset.skipped.len()], [2, 2, 0]);
}

#[cfg(unix)]
#[test]
fn a_link_makes_no_picture_one_of_another_class() {
    use std::os::unix::fs::symlink;
    let dir = folder(&["ants/1.png", "ants/2.png", "bees/1.png", "bees/2.png"]);
    let elsewhere = folder(&["3.png"]);
    let bees = dir.path().join("bees");
    symlink("..", bees.join("above")).unwrap();
    symlink("../ants", bees.join("also")).unwrap();
    symlink("../ants/1.png", bees.join("one.png")).unwrap();
    symlink("1.png", bees.join("same.png")).unwrap(); // within the class
    symlink(elsewhere.path(), bees.join("more")).unwrap(); // in no class
    let dataset = open(&dir).unwrap();
    assert_eq!(dataset.classes, ["ants", "bees"]);
    let mut bees: Vec<&str> = names(&dataset.train);
    bees.extend(names(&dataset.val));
    bees.retain(|name| name.starts_with("bees"));
    bees.sort_unstable();
    assert_eq!(bees, ["bees/1.png", "bees/2.png", "bees/more/3.png", "bees/same.png"]);
    let skipped: Vec<(&str, &str)> =
        dataset.skipped.iter().map(|s| (s.name.as_str(), s.reason.as_str())).collect();
    let expected = [
        ("bees/above", "it is a link to a folder above"),
        ("bees/also", "it is a link into the class `ants`"),
        ("bees/one.png", "it is a link into the class `ants`"),
    ];
    assert_eq!(skipped, expected);

    symlink("ants", dir.path().join("emmets")).unwrap();
    let error = open(&dir).unwrap_err().to_string();
    assert!(error.contains("`ants` and `emmets` are the same folder"), "{error}");
    let parts = split_folder();
    fs::remove_dir_all(parts.path().join("val")).unwrap();
    symlink("train", parts.path().join("val")).unwrap();
    let error = open(&parts).unwrap_err().to_string();
    assert!(error.contains("`train` and `val` are the same folder"), "{error}");
}

#[test]
fn a_folder_of_other_files_says_what_is_read() {
    let dir = folder(&["a/1.png", "a/2.png"]);
    fs::create_dir(dir.path().join("scans")).unwrap();
    for name in ["1.tif", "2.tif"] {
        fs::write(dir.path().join("scans").join(name), b"II*\0\x08\0\0\0").unwrap();
    }
    let error = open(&dir).unwrap_err().to_string();
    let expected = "class `scans` in";
    let reason = "(2 files were skipped, the first is `scans/1.tif`: it is a TIFF file; JPEG, PNG, WebP, BMP and GIF are read (convert it))";
    assert!(error.contains(expected) && error.contains(reason), "{error}");
    let error = list_pictures(&dir.path().join("scans")).unwrap_err().to_string();
    assert!(
        error.contains("holds no pictures that are read (2 files") && error.contains("TIFF"),
        "{error}"
    );
}

#[test]
fn a_flat_folder_is_listed_by_name() {
    let dir =
        folder(&["10.png", "2.PNG", "B.jpg", "a.webp", "deeper/3.png", ".hidden.png", "Thumbs.db"]);
    fs::write(dir.path().join("labels.csv"), "10.png,cat").unwrap();
    fs::write(dir.path().join("empty.jpg"), "").unwrap();
    let listing = list_pictures(dir.path()).unwrap();
    let expected = ["10.png", "2.PNG", "B.jpg", "a.webp"].map(|name| dir.path().join(name));
    assert_eq!(listing.pictures, expected);
    let skipped: Vec<&str> = listing.skipped.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(skipped, ["empty.jpg", "labels.csv"]);
    assert!(matches!(list_pictures(Path::new("no/such")).unwrap_err(), Error::NotAFolder { .. }));
    let empty = tempfile::tempdir().unwrap();
    let error = list_pictures(empty.path()).unwrap_err().to_string();
    assert!(error.ends_with("holds no pictures that are read"), "{error}");
}

#[cfg(target_os = "linux")] // other systems refuse such names
#[test]
fn names_that_are_not_unicode_are_read_in_files_and_refused_in_classes() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let dir = folder(&["a/1.png", "a/2.png", "b/1.png", "b/2.png"]);
    let odd = OsStr::from_bytes(b"\xff.png");
    fs::copy(dir.path().join("a/1.png"), dir.path().join("a").join(odd)).unwrap();
    let dataset = open(&dir).unwrap();
    assert_eq!(dataset.train.len() + dataset.val.len(), 5);
    fs::create_dir(dir.path().join(OsStr::from_bytes(b"\xffbee"))).unwrap();
    let error = open(&dir).unwrap_err().to_string();
    assert!(error.contains("is not valid Unicode (rename it)"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_folder_that_may_not_be_entered_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let dir = folder(&["a/1.png", "a/2.png", "b/1.png", "b/2.png", "b/closed/3.png"]);
    let closed = dir.path().join("b/closed");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    let is_closed = fs::read_dir(&closed).is_err(); // not to the superuser
    let dataset = open(&dir).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    let skipped: Vec<&str> = dataset.skipped.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(skipped, if is_closed { vec!["b/closed"] } else { vec![] });
}
