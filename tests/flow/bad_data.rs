//! Folders of pictures with something wrong in them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::pictures::{self, COLORS};
use crate::taper::{Ran, arg, small_model, taper};

fn finetune(dir: &Path, data: &Path, more: &[&str]) -> Ran {
    let model = arg(&small_model(dir));
    let (data, out) = (arg(data), arg(&dir.join("run")));
    let mut args = vec![
        "finetune",
        "--data",
        &data,
        "--model",
        &model,
        "--epochs",
        "1",
        "--batch-size",
        "4",
        "--out",
        &out,
    ];
    args.extend(more);
    taper(&args)
}

/// A good folder with one more file in class `red`, and its path.
fn with_file(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let data = pictures::folder(dir, 2, 5);
    fs::write(data.join("red").join(name), bytes).unwrap();
    data
}

/// Skipped by name and counted, or refused with `--strict`.
fn is_skipped(dir: &Path, data: &Path, name: &str) {
    finetune(dir, data, &["--strict"]).refuses(2, &[name]);
    let ran = finetune(dir, data, &[]).succeeds();
    assert!(ran.stderr.contains(name), "{name} is not named: {}", ran.stderr);
    assert!(ran.stdout.contains("1 skipped"), "{}", ran.stdout);
}

#[test]
fn a_missing_folder_is_named() {
    let dir = tempfile::tempdir().unwrap();
    finetune(dir.path(), &dir.path().join("gone"), &[]).refuses(2, &["gone"]);
}

#[test]
fn a_folder_without_pictures_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("empty")).unwrap();
    finetune(dir.path(), &dir.path().join("empty"), &[]).refuses(2, &["empty"]);
}

#[test]
fn one_class_is_not_enough() {
    let dir = tempfile::tempdir().unwrap();
    let data = pictures::folder(dir.path(), 1, 4);
    finetune(dir.path(), &data, &[]).refuses(2, &["one class", "green"]);
}

#[test]
fn an_empty_class_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let data = pictures::folder(dir.path(), 2, 4);
    fs::create_dir(data.join("yellow")).unwrap();
    finetune(dir.path(), &data, &[]).refuses(2, &["yellow"]);
}

#[test]
fn classes_that_differ_between_train_and_val_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("split");
    for (part, names) in [("train", ["red", "green"]), ("val", ["red", "purple"])] {
        for name in names {
            pictures::class(&data.join(part).join(name), COLORS[0].1, 3);
        }
    }
    finetune(dir.path(), &data, &[]).refuses(2, &["purple"]);
}

#[test]
fn a_truncated_jpeg_is_skipped() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole.jpg");
    pictures::picture(COLORS[1].1, 3).save(&whole).unwrap();
    let bytes = fs::read(whole).unwrap();
    let data = with_file(dir.path(), "cut.jpg", &bytes[..bytes.len() / 2]);
    is_skipped(dir.path(), &data, "cut.jpg");
}

#[test]
fn a_png_that_claims_to_be_enormous_is_skipped() {
    let dir = tempfile::tempdir().unwrap();
    let data = with_file(dir.path(), "bomb.png", &enormous_png());
    is_skipped(dir.path(), &data, "bomb.png");
}

#[test]
fn text_with_the_name_of_a_picture_is_skipped() {
    let dir = tempfile::tempdir().unwrap();
    let data = with_file(dir.path(), "notes.jpg", b"not a picture");
    is_skipped(dir.path(), &data, "notes.jpg");
}

#[test]
fn a_directory_with_the_name_of_a_picture_does_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let data = pictures::folder(dir.path(), 2, 5);
    fs::create_dir(data.join("red/x.jpg")).unwrap();
    finetune(dir.path(), &data, &[]).succeeds();
}

#[cfg(unix)]
#[test]
fn a_symlink_loop_does_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let data = pictures::folder(dir.path(), 2, 5);
    std::os::unix::fs::symlink(&data, data.join("red/again")).unwrap();
    std::os::unix::fs::symlink("loop.png", data.join("red/loop.png")).unwrap();
    let ran = finetune(dir.path(), &data, &[]).succeeds();
    assert!(ran.stderr.contains("loop.png"), "{}", ran.stderr);
}

#[test]
fn eval_matches_classes_by_name_or_by_order() {
    let dir = tempfile::tempdir().unwrap();
    let data = pictures::folder(dir.path(), 2, 4);
    let model = arg(&small_model(dir.path()));
    let args = ["eval", "--model", &model, "--data", &arg(&data)];
    taper(&args).refuses(2, &["does not know", "green", "--labels order"]);
    let by_order = [&args[..], &["--labels", "order", "--json"]].concat();
    assert_eq!(taper(&by_order).succeeds().json()["images"], 8);
    taper(&["eval", "--model", &model, "--data", &arg(&dir.path().join("gone"))])
        .refuses(2, &["gone"]);
}

#[test]
fn predict_names_the_picture_it_cannot_read_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let data = pictures::folder(dir.path(), 2, 1);
    let model = arg(&small_model(dir.path()));
    let (good, bad) = (arg(&data.join("red/000.png")), arg(&dir.path().join("gone.png")));
    let ran =
        taper(&["predict", "--model", &model, "--json", &bad, &good]).refuses(1, &["gone.png"]);
    assert_eq!(ran.json()["image"], good.as_str());
}

/// A header of 100,000x100,000 pixels with nothing after it.
fn enormous_png() -> Vec<u8> {
    let mut header = b"IHDR".to_vec();
    header.extend([100_000u32.to_be_bytes(), 100_000u32.to_be_bytes()].concat());
    header.extend([8, 2, 0, 0, 0]);
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec();
    bytes.extend(&header);
    bytes.extend(crc32(&header).to_be_bytes());
    bytes
}

/// The checksum of PNG chunks, ISO 3309.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
    })
}
