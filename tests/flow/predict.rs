//! Pictures of every kind of source are named one by one; what cannot be read has its turn, and what is set aside has none.

use std::fs;
use std::path::{Path, PathBuf};

use crate::pictures;
use crate::reading::tar;
use crate::taper::{Ran, arg, small_model, taper};

fn predict(dir: &Path, more: &[&str]) -> Ran {
    let model = arg(&small_model(dir));
    taper(&[&["predict", "--model", &model, "--top", "2"], more].concat())
}

/// The names of the pictures of which something is said in JSON, in its order.
fn named(ran: &Ran) -> Vec<String> {
    let said = |line: &str| -> serde_json::Value { serde_json::from_str(line).unwrap() };
    let lines = ran.stdout.lines().map(said).inspect(|said| {
        assert_eq!(said["predictions"].as_array().unwrap().len(), 2, "{said}");
    });
    lines.map(|said| said["image"].as_str().unwrap().to_owned()).collect()
}

/// The bytes of a picture in a file.
fn png(dir: &Path, number: u8) -> Vec<u8> {
    let path = dir.join("one.png");
    pictures::picture(pictures::COLORS[0].1, number).save(&path).unwrap();
    fs::read(path).unwrap()
}

#[test]
fn pictures_of_cifar_files_are_named_after_those_that_are_files() {
    let dir = tempfile::tempdir().unwrap();
    let cifar = dir.path().join("cifar");
    fs::create_dir(&cifar).unwrap();
    let record = |label: u8| [&[label][..], &[label * 20; 3072]].concat();
    fs::write(cifar.join("data_batch_1.bin"), record(0)).unwrap();
    fs::write(cifar.join("test_batch.bin"), [record(1), record(0)].concat()).unwrap();
    let picture = arg(&pictures::folder(dir.path(), 1, 1).join("green/000.png"));
    let ran = predict(dir.path(), &["--data", &arg(&cifar), "--json", &picture]).succeeds();
    assert_eq!(named(&ran), [&picture, "test_batch/00000", "test_batch/00001"]);
    let ran = predict(dir.path(), &["--data", &arg(&cifar)]).succeeds();
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!((lines.len(), lines[0], lines[3]), (6, "test_batch/00000", "test_batch/00001"));
    assert!(lines[1].contains(" %  class "), "{}", ran.stdout);
    fs::write(cifar.join("test_batch.bin"), [0; 5000]).unwrap();
    predict(dir.path(), &["--data", &arg(&cifar)]).refuses(2, &["test_batch.bin", "5000 bytes"]);
}

#[test]
fn pictures_of_a_shard_are_named_by_their_keys() {
    let dir = tempfile::tempdir().unwrap();
    let members = [
        ("a.png", png(dir.path(), 1)),
        ("a.cls", b"0".to_vec()),
        ("b.png", b"no picture".to_vec()),
        ("b.cls", b"1".to_vec()),
        ("c.png", png(dir.path(), 2)),
        ("d.png", png(dir.path(), 3)),
        ("d.cls", b"1".to_vec()),
    ];
    let shard = dir.path().join("set.tar");
    fs::write(&shard, tar(&members.map(|(name, bytes)| (name.to_owned(), bytes)))).unwrap();
    let ran = predict(dir.path(), &["--data", &arg(&shard), "--json"])
        .refuses(1, &["cannot look at `set.tar/b`: it is no JPEG"]);
    assert_eq!(named(&ran), ["set.tar/a", "set.tar/d"]);
    for words in ["set.tar/c`: no .cls", "1 of 3 pictures could not be read, 1 skipped"] {
        assert!(ran.stderr.contains(words), "no `{words}` in {}", ran.stderr);
    }
}

#[test]
fn pictures_of_a_table_are_found_by_the_flags_that_eval_has() {
    let dir = tempfile::tempdir().unwrap();
    let data = pictures::folder(dir.path(), 2, 2);
    let table = dir.path().join("shown.csv");
    let rows = "what,where,split\na,green/000.png,train\na,green/001.png,val\nb,red/gone.png,val\nb,red/001.png,val\n";
    fs::write(&table, rows).unwrap();
    let (folder, file) = (arg(&data), arg(&table));
    let columns = ["--image-column", "where", "--target-columns", "what"];
    let of_table = ["--data", &folder, "--table", &file, "--json"];
    let ran =
        predict(dir.path(), &[&of_table[..], &columns].concat()).refuses(1, &["red/gone.png"]);
    let shown = |name: &str| arg(&data.join(name));
    assert_eq!(named(&ran), [shown("green/001.png"), shown("red/001.png")]);

    predict(dir.path(), &of_table).refuses(2, &["no column of pictures", "`where`"]);
    predict(dir.path(), &[&["--data", &folder][..], &columns].concat())
        .refuses(2, &["--image-column", "without a table"]);
    predict(dir.path(), &[&columns[..], &[&shown("red/001.png")]].concat())
        .refuses(2, &["--image-column", "absent without `data`"]);
    // What they show need not be known, as long as nobody says where it stands.
    let (green, red) = (shown("green/000.png"), shown("red/001.png"));
    for (rows, expected) in [
        ("path,split\nred/000.png,train\ngreen/000.png,test\n", vec![&green]),
        ("id,path,note\n1,red/001.png,\n2,green/000.png,\n", vec![&red, &green]),
        ("path\ngreen/000.png\nred/001.png\ngreen/000.png\n", vec![&green, &red]),
        ("path,label\ngreen/000.png,\nred/001.png,\n", vec![&green, &red]),
    ] {
        fs::write(&table, rows).unwrap();
        let ran = predict(dir.path(), &of_table).succeeds();
        assert_eq!(named(&ran).iter().collect::<Vec<_>>(), expected, "{rows}");
    }
    predict(dir.path(), &[&of_table[..], &["--target-columns", "what"]].concat())
        .refuses(2, &["no column `what`"]);
    let ran = predict(dir.path(), &[]).exits(2);
    assert!(ran.stderr.contains("--data") && ran.stderr.contains("IMAGE"), "{}", ran.stderr);
}

/// Classes in parts, of which the one to validate on has a picture that is none.
fn parts(dir: &Path) -> PathBuf {
    let data = dir.join("parts");
    for part in ["train", "val", "test"] {
        pictures::class(&data.join(part).join("green"), pictures::COLORS[0].1, 2);
    }
    fs::write(data.join("val/green/000.png"), "no picture").unwrap();
    data
}

#[test]
fn a_broken_picture_of_a_folder_is_named_and_the_others_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let data = parts(dir.path());
    let (folder, whole) = (arg(&data), arg(&data.join("val/green/001.png")));
    let ran = predict(dir.path(), &["--data", &folder, "--json"])
        .refuses(1, &["cannot look at", "val/green/000.png", "no JPEG"]);
    assert_eq!(named(&ran), [whole.as_str()]);
    assert!(ran.stderr.contains("parts/test`: it is set aside"), "{}", ran.stderr);
    assert!(ran.stderr.contains("1 of 2 pictures could not be read"), "{}", ran.stderr);

    pictures::class(&data.join("val/green"), pictures::COLORS[0].1, 1);
    let ran = predict(dir.path(), &["--data", &folder, "--json"]).succeeds();
    assert_eq!(named(&ran).len(), 2, "what is set aside is no failure");
    let flat = arg(&data.join("val/green"));
    assert_eq!(named(&predict(dir.path(), &["--data", &flat, "--json"]).succeeds()), named(&ran));
    predict(dir.path(), &["--data", &arg(&dir.path().join("gone"))]).refuses(2, &["gone"]);
}
