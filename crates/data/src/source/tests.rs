//! Sources are recognized, read as they say, and refused with the place where they are wrong.

use std::fs;
use std::path::Path;

use super::{Source, SourceError};
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::folder::Options;

fn open(path: &Path) -> Result<Dataset> {
    Source::of(path).open(path, &Options::default())
}

fn refused(path: &Path) -> SourceError {
    match open(path).unwrap_err() {
        Error::Source { source, .. } => *source,
        other => panic!("{other:?}"),
    }
}

fn names(samples: &[crate::Sample]) -> Vec<&str> {
    samples.iter().map(crate::Sample::name).collect()
}

/// Pictures of 2x3 whose values are their number, and labels.
fn idx(dir: &Path, part: &str, labels: &[u8]) {
    let n = u8::try_from(labels.len()).unwrap();
    let pixels = (0..n).flat_map(|i| [i * 10, i * 10 + 1, i * 10 + 2, 3, 4, 5]);
    let images = [0, 0, 8, 3, 0, 0, 0, n, 0, 0, 0, 2, 0, 0, 0, 3].into_iter().chain(pixels);
    fs::write(dir.join(format!("{part}-images-idx3-ubyte")), images.collect::<Vec<_>>()).unwrap();
    let labels = [&[0, 0, 8, 1, 0, 0, 0, n], labels].concat();
    fs::write(dir.join(format!("{part}-labels-idx1-ubyte")), labels).unwrap();
}

#[test]
fn mnist_files_are_gray_pictures_with_numbers_for_names() {
    let dir = tempfile::tempdir().unwrap();
    let raw = dir.path().join("MNIST/raw");
    fs::create_dir_all(&raw).unwrap();
    idx(&raw, "train", &[1, 0, 1, 0]);
    idx(&raw, "t10k", &[2, 0]);
    assert_eq!(Source::of(dir.path()), Source::Idx);
    let dataset = open(dir.path()).unwrap();
    assert_eq!(dataset.classes, ["0", "1", "2"]);
    assert_eq!(dataset.count_by_class(&dataset.train), [2, 2, 0]);
    assert_eq!(names(&dataset.val), ["t10k/00000", "t10k/00001"]);
    let image = dataset.train[1].image().unwrap();
    assert_eq!((image.height(), image.width()), (2, 3));
    assert_eq!(image.rgb()[..9], [10, 10, 10, 11, 11, 11, 12, 12, 12]);

    fs::write(raw.join("classes.txt"), "T-shirt\nTrouser\n\nPullover\n").unwrap();
    assert_eq!(open(&raw).unwrap().classes, ["T-shirt", "Trouser", "Pullover"]);
    let other = open(&raw).unwrap();
    idx(&raw, "train", &[1, 0, 0, 0]);
    assert_ne!(open(&raw).unwrap().fingerprint(), other.fingerprint());
    fs::write(raw.join("classes.txt"), "T-shirt\nTrouser\n").unwrap();
    assert!(matches!(refused(&raw), SourceError::Label { label: 2, classes: 2 }));
}

#[test]
fn without_test_files_a_part_of_each_class_validates() {
    let dir = tempfile::tempdir().unwrap();
    idx(dir.path(), "train", &[0, 1, 0, 1, 0, 1]);
    let dataset = open(dir.path()).unwrap();
    assert_eq!(dataset.count_by_class(&dataset.train), [2, 2]);
    assert_eq!(dataset.count_by_class(&dataset.val), [1, 1]);
    let all = Source::Idx.open_to_evaluate(dir.path(), &Options::default()).unwrap();
    assert_eq!((all.train.len(), all.val.len()), (0, 6));
    fs::write(dir.path().join("train-labels-idx1-ubyte"), [0, 0, 8]).unwrap();
    assert!(matches!(open(dir.path()), Err(Error::Idx { .. })));
}

/// A record of CIFAR with pixels that tell rows, columns and colors apart.
fn record(labels: &[u8], base: u8) -> Vec<u8> {
    let pixels = (0..3072_usize).map(|at| base.wrapping_add((at % 251).to_le_bytes()[0]));
    labels.iter().copied().chain(pixels).collect()
}

#[test]
fn cifar_files_are_planes_of_three_colors() {
    let dir = tempfile::tempdir().unwrap();
    let ten = dir.path().join("cifar-10-batches-bin");
    fs::create_dir(&ten).unwrap();
    fs::write(ten.join("data_batch_2.bin"), record(&[1], 7)).unwrap();
    fs::write(ten.join("data_batch_1.bin"), [record(&[0], 3), record(&[1], 5)].concat()).unwrap();
    fs::write(ten.join("test_batch.bin"), record(&[2], 9)).unwrap();
    let numbered = open(dir.path()).unwrap();
    assert_eq!(numbered.classes, ["0", "1", "2"]);
    fs::write(ten.join("batches.meta.txt"), "airplane\nautomobile\nbird\n\n").unwrap();
    let dataset = open(dir.path()).unwrap();
    assert_eq!(dataset.classes, ["airplane", "automobile", "bird"]);
    assert_eq!(
        names(&dataset.train),
        ["data_batch_1/00000", "data_batch_1/00001", "data_batch_2/00000"]
    );
    assert_eq!(dataset.val[0].class(), Some(2));
    let image = dataset.train[1].image().unwrap();
    let value = |plane: usize, y: usize, x: usize| record(&[1], 5)[1 + plane * 1024 + y * 32 + x];
    let at = 3 * (32 * 4 + 9);
    assert_eq!(image.rgb()[at..at + 3], [0, 1, 2].map(|plane| value(plane, 4, 9)));

    let cut = &record(&[0], 3)[..3000];
    fs::write(ten.join("data_batch_1.bin"), cut).unwrap();
    let error = refused(dir.path());
    assert!(matches!(error, SourceError::Records { got: 3000, record: 3073, .. }), "{error}");
    fs::write(ten.join("data_batch_1.bin"), record(&[200], 0)).unwrap();
    assert!(matches!(refused(dir.path()), SourceError::Label { label: 200, classes: 3 }));
}

#[test]
fn of_cifar_100_the_fine_labels_count() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("train.bin"), [record(&[9, 0], 3), record(&[9, 1], 5)].concat())
        .unwrap();
    fs::write(dir.path().join("test.bin"), record(&[9, 1], 7)).unwrap();
    assert_eq!(Source::of(dir.path()), Source::Folder, "any program may write such names");
    fs::write(dir.path().join("fine_label_names.txt"), "apple\naquarium_fish\n").unwrap();
    let dataset = open(dir.path()).unwrap();
    assert_eq!(dataset.classes, ["apple", "aquarium_fish"]);
    assert_eq!(dataset.count_by_class(&dataset.train), [1, 1]);
}

#[cfg(feature = "webdataset")]
mod shards {
    use super::*;
    use crate::sample_set;

    /// A tar file of these members.
    fn shard(path: &Path, members: &[(&str, &[u8])]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut tar = tar::Builder::new(fs::File::create(path).unwrap());
        for (name, bytes) in members {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, *bytes).unwrap();
        }
        tar.finish().unwrap();
    }

    /// Files of pictures, with what they show.
    fn pictures() -> Vec<Vec<u8>> {
        let dir = tempfile::tempdir().unwrap();
        sample_set::export(dir.path()).unwrap();
        let set = crate::ImageFolder::open_to_evaluate(dir.path(), &Options::default()).unwrap();
        set.val[..6].iter().map(|sample| fs::read(sample.path().unwrap()).unwrap()).collect()
    }

    #[test]
    fn members_of_one_key_are_a_sample_wherever_they_lie() {
        let (dir, png) = (tempfile::tempdir().unwrap(), pictures());
        let long = format!("{}/0003", "a folder with a long name/".repeat(8));
        let (long_png, long_cls) = (format!("{long}.PNG"), format!("{long}.cls"));
        shard(
            &dir.path().join("set-000000.tar"),
            &[
                ("0001.png", &png[0]),
                ("0001.cls", b"1\n"),
                ("0001.txt", b"a caption"),
                ("._0001.png", b"x"),
                ("0002.json", br#"{"label": 0, "id": 7}"#),
                ("0002.png", &png[1]),
                (&long_png, &png[2]),
                (&long_cls, b"0"),
                ("alone.png", &png[3]),
                ("nothing.cls", b"1"),
            ],
        );
        shard(
            &dir.path().join("set-000001.tar"),
            &[
                ("0001.png", &png[4]),
                ("0001.cls", b"1"),
                ("broken.png", b"no picture"),
                ("broken.cls", b"1"),
            ],
        );
        let kept = Source::of(dir.path());
        assert_eq!(kept, Source::Web);
        let dataset = kept.open_to_evaluate(dir.path(), &Options::default()).unwrap();
        assert_eq!(dataset.classes, ["0", "1"]);
        let classes: Vec<u32> = dataset.val.iter().filter_map(crate::Sample::class).collect();
        assert_eq!(classes, [1, 0, 0, 1]);
        for (sample, png) in dataset.val.iter().zip([&png[0], &png[1], &png[2], &png[4]]) {
            assert_eq!(
                *sample.image().unwrap(),
                crate::image::decode(png).unwrap(),
                "{}",
                sample.name()
            );
        }
        assert_eq!(dataset.val[3].name(), "set-000001.tar/0001");
        let skipped: Vec<&str> = dataset.skipped.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(
            skipped,
            ["set-000000.tar/alone", "set-000000.tar/nothing", "set-000001.tar/broken"]
        );
        let strict = Options { strict: true, ..Options::default() };
        let error = kept.open_to_evaluate(dir.path(), &strict).unwrap_err();
        assert!(matches!(error, Error::Strict { count: 3, .. }), "{error}");
    }

    #[test]
    fn parts_are_told_by_names_and_classes_by_theirs() {
        let (dir, png) = (tempfile::tempdir().unwrap(), pictures());
        let pair = |a: &'static str, b: &'static str| {
            [
                ("1.png", &png[0][..]),
                ("1.txt", a.as_bytes()),
                ("2.png", &png[1][..]),
                ("2.txt", b.as_bytes()),
            ]
        };
        shard(&dir.path().join("train/0.tar"), &pair("wet", "dry"));
        shard(&dir.path().join("val/0.tar"), &pair("dry", "dry"));
        shard(&dir.path().join("pets-test-0.tar"), &pair("wet", "wet"));
        let dataset = open(dir.path()).unwrap();
        assert_eq!(dataset.classes, ["dry", "wet"]);
        assert_eq!(names(&dataset.train), ["train/0.tar/1", "train/0.tar/2"]);
        assert_eq!(names(&dataset.val), ["val/0.tar/1", "val/0.tar/2"]);
        assert_eq!(dataset.skipped[0].name, "test");
        fs::write(dir.path().join("classes.txt"), "wet\ndry\n").unwrap();
        assert_eq!(open(dir.path()).unwrap().train[0].class(), Some(0));
        fs::write(dir.path().join("classes.txt"), "wet\n").unwrap();
        assert!(matches!(refused(dir.path()), SourceError::Name { label } if label == "dry"));
        // A tar file beside folders of pictures is what they came in.
        sample_set::export(&dir.path().join("more")).unwrap();
        assert_eq!(Source::of(dir.path()), Source::Folder);
    }

    #[test]
    fn a_pattern_is_all_its_shards_or_refused() {
        let (dir, png) = (tempfile::tempdir().unwrap(), pictures());
        for number in 8..12 {
            let class = [b'0' + number % 2];
            let members: [(&str, &[u8]); 4] =
                [("a.png", &png[0]), ("a.cls", &class), ("b.png", &png[1]), ("b.cls", &class)];
            shard(&dir.path().join(format!("set-{number:03}.tar")), &members);
        }
        let of = |name: &str| dir.path().join(name);
        let dataset = open(&of("set-{008..011}.tar")).unwrap();
        assert_eq!((dataset.train.len(), dataset.val.len()), (6, 2));
        assert_eq!(open(&of("set-{008..009}.tar")).unwrap().train.len(), 2);
        assert!(
            matches!(refused(&of("set-{008..012}.tar")), SourceError::Missing { name } if name == "set-012.tar")
        );
        for wrong in [
            "set-{8}.tar",
            "set-{9..8}.tar",
            "set-{a..b}.tar",
            "set-{0..1}-{0..1}.tar",
            "set-{0..99999999999}.tar",
            "set-{.tar",
        ] {
            assert!(matches!(refused(&of(wrong)), SourceError::Pattern { .. }), "{wrong}");
        }
        fs::write(of("set.tar.gz"), [0x1f, 0x8b]).unwrap();
        assert!(matches!(refused(&of("set.tar.gz")), SourceError::Compressed { .. }));
    }

    #[test]
    fn no_length_of_a_shard_is_believed() {
        let (dir, png) = (tempfile::tempdir().unwrap(), pictures());
        let path = dir.path().join("set.tar");
        let members: [(&str, &[u8]); 4] =
            [("a.png", &png[0]), ("a.cls", b"0"), ("b.png", &png[1]), ("b.cls", b"1")];
        shard(&path, &members);
        let whole = fs::read(&path).unwrap();
        // Cut anywhere, it is refused or gives what is whole; nothing panics and nothing is made up.
        for cut in [0, 1, 100, 511, 512, 513, 700, whole.len() / 2, whole.len() - 1600] {
            fs::write(&path, &whole[..cut]).unwrap();
            match open(&path) {
                Ok(dataset) => assert!(dataset.train.len() + dataset.val.len() <= 2),
                Err(error) => assert!(error.chain().contains("set.tar"), "{}", error.chain()),
            }
        }
        // A member of eight gigabytes in a file of a few thousand bytes.
        let mut huge = whole.clone();
        huge[124..136].copy_from_slice(b"77777777777\0");
        let sum: u32 = huge[..148]
            .iter()
            .chain(&[b' '; 8])
            .chain(&huge[156..512])
            .map(|&byte| u32::from(byte))
            .sum();
        huge[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        fs::write(&path, &huge).unwrap();
        let error = refused(&path);
        assert!(matches!(error, SourceError::File { .. }), "{error}");
        let classes = [
            ("a.png", &png[0][..]),
            ("a.cls", b"4000000000"),
            ("b.png", &png[1][..]),
            ("b.cls", b"1"),
        ];
        shard(&path, &classes);
        assert!(matches!(refused(&path), SourceError::Label { label: 4_000_000_000, .. }));
        shard(&path, &[("readme.md", b"hello")]);
        assert!(matches!(refused(&path), SourceError::OneClass { .. } | SourceError::Empty { .. }));
    }
}
