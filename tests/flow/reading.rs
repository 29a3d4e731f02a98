//! Where pictures come from and where they are kept: the same model from all of it, and clear words where it cannot be.

use std::fs;
use std::path::Path;

use crate::pictures;
use crate::taper::{Ran, arg, small_model, taper};

/// A run of two epochs on `data`.
fn finetune(dir: &Path, data: &str, out: &str, more: &[&str]) -> Ran {
    let (model, out) = (arg(&small_model(dir)), arg(&dir.join(out)));
    let args = ["finetune", "--data", data, "--model", &model, "--out", &out, "--json"];
    let steps = ["--epochs=2", "--batch-size=4", "--lr=0.0003", "--clip-norm=1", "--head-epochs=0"];
    taper(&[&args[..], &steps, more].concat())
}

fn file(dir: &Path, out: &str, name: &str) -> Vec<u8> {
    fs::read(dir.join(out).join(name)).unwrap()
}

#[test]
fn a_cache_changes_no_bit_and_says_what_it_was_good_for() {
    let dir = tempfile::tempdir().unwrap();
    let data = arg(&pictures::folder(dir.path(), 2, 10));
    let folder = arg(&dir.path().join("kept"));
    let in_files = ["--cache=disk", "--cache-dir", &folder];
    let runs: [(&str, &[&str], [u64; 3]); 4] = [
        // Pictures kept, read from the cache, decoded: 16 to train with and 4 held out, in 2 epochs and once
        // more to calibrate.
        ("none", &["--cache=none"], [0, 0, 0]),
        ("ram", &["--cache=ram", "--cache-size=1MiB"], [20, 60, 20]),
        ("disk", &in_files, [20, 60, 20]),
        ("again", &in_files, [20, 60, 0]),
    ];
    for (out, more, [pictures, hits, decoded]) in runs {
        let report = finetune(dir.path(), &data, out, more).succeeds().json();
        let cache = &report["cache"];
        if out == "none" {
            assert!(cache.is_null(), "{report}");
        } else {
            let got = [&cache["pictures"], &cache["hits"], &cache["decoded"]];
            assert_eq!(
                got,
                [pictures, hits, decoded].map(serde_json::Value::from).each_ref(),
                "{cache}"
            );
        }
        for name in ["metrics.jsonl", "model.safetensors"] {
            assert!(file(dir.path(), out, name) == file(dir.path(), "none", name), "{out}/{name}");
        }
    }
    let words = finetune(dir.path(), &data, "words", &in_files).succeeds().stderr;
    assert!(words.contains("cache: 20 pictures in "), "{words}");
    assert!(words.contains(", read 60 times, decoded 0 times"), "{words}");
}

#[test]
fn a_cache_that_cannot_be_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let data = arg(&pictures::folder(dir.path(), 2, 5));
    let folder = arg(&dir.path().join("kept"));
    fs::write(dir.path().join("file"), "").unwrap();
    let in_file = arg(&dir.path().join("file/kept"));
    let refusals: [(&[&str], &[&str]); 6] = [
        (
            &["--cache=ram", "--cache-size=900000GB"],
            &["--cache-size is 900000 GB", "at most the ", "of memory that are free"],
        ),
        (
            &["--cache=disk", "--cache-dir", &folder, "--cache-size=900000GB"],
            &["--cache-size", "at most the ", "kept", "that are free"],
        ),
        (&["--cache=disk", "--cache-dir", &in_file], &["cannot write", "file/kept"]),
        (&["--cache=none", "--cache-size=1GiB"], &["--cache-size", "absent with `cache` none"]),
        (&["--cache-dir", &folder], &["--cache-dir", "absent with `cache` ram"]),
        (&["--cache=tape"], &["tape", "ram, disk, none"]),
    ];
    for (more, words) in refusals {
        finetune(dir.path(), &data, "run", more).refuses(2, words);
        assert!(!dir.path().join("run").exists(), "{more:?}");
    }
    finetune(dir.path(), &data, "run", &[]).succeeds();
    let run = arg(&dir.path().join("run"));
    let resumed =
        taper(&["finetune", "--resume", &run, "--cache=disk", "--cache-dir", &folder, "--json"]);
    assert_eq!(resumed.succeeds().json()["cache"]["kind"], "disk");
}
