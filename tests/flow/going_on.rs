//! Going on with a run: one that was moved, one that lost its checkpoint, one whose last batch has one picture.

use std::fs;
use std::path::Path;

use crate::pictures;
use crate::taper::{Ran, arg, small_model, taper};

/// A run of `epochs` in `dir/NAME`, on 2 classes of `each` pictures.
fn finetune(dir: &Path, name: &str, each: u8, more: &[&str]) -> Ran {
    let data = arg(&pictures::folder(dir, 2, each));
    let (model, out) = (arg(&small_model(dir)), arg(&dir.join(name)));
    let args = [
        "finetune",
        "--data",
        &data,
        "--model",
        &model,
        "--out",
        &out,
        "--epochs",
        "2",
        "--lr",
        "0.0003",
        "--clip-norm",
        "1",
        "--json",
    ];
    taper(&[&args[..], more].concat())
}

#[test]
fn a_run_that_was_moved_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let first = finetune(dir.path(), "here", 5, &["--batch-size", "4"]).succeeds().json();
    let log = fs::read(dir.path().join("here/metrics.jsonl")).unwrap();
    fs::create_dir(dir.path().join("there")).unwrap();
    fs::rename(dir.path().join("here"), dir.path().join("there/now")).unwrap();
    let there = dir.path().join("there/now");
    let again = taper(&["finetune", "--resume", &arg(&there), "--json"]).succeeds().json();
    assert_eq!((&again["val_loss"], &again["epochs"]), (&first["val_loss"], &2.into()));
    assert_eq!(again["model"], arg(&there.join("model.safetensors")));
    assert_eq!(fs::read(there.join("metrics.jsonl")).unwrap(), log, "nothing was trained again");
    assert!(!dir.path().join("here").exists());
}

#[test]
fn a_run_without_its_checkpoint_never_begins_again() {
    let dir = tempfile::tempdir().unwrap();
    finetune(dir.path(), "run", 5, &["--batch-size", "4"]).succeeds();
    let run = dir.path().join("run");
    let before = fs::read(run.join("model.safetensors")).unwrap();
    fs::remove_dir_all(run.join("checkpoint")).unwrap();
    taper(&["finetune", "--resume", &arg(&run)])
        .refuses(2, &["checkpoint/state.safetensors", "missing"]);
    fs::remove_file(run.join("metrics.jsonl")).unwrap();
    taper(&["finetune", "--resume", &arg(&run)]).refuses(2, &["missing"]);
    assert_eq!(fs::read(run.join("model.safetensors")).unwrap(), before);
    assert!(!run.join("metrics.jsonl").exists(), "nothing was written");
}

/// Of every 10 pictures 8 are trained with: batches of 5 leave one of 16, on maps of one position.
#[test]
fn a_last_batch_of_one_picture_ends_no_run() {
    let dir = tempfile::tempdir().unwrap();
    let report = finetune(dir.path(), "run", 10, &["--batch-size", "5", "--norms", "train"])
        .succeeds()
        .json();
    assert_eq!((&report["epochs"], &report["val_images"]), (&2.into(), &4.into()));
    taper(&["finetune", "--resume", &arg(&dir.path().join("run"))]).succeeds();
    finetune(dir.path(), "alone", 10, &["--batch-size", "1", "--norms", "train"])
        .refuses(2, &["--batch-size is 1", "2 or more", "32x32"]);
    assert!(!dir.path().join("alone").exists());
}

#[test]
fn the_model_file_says_every_option_that_made_it() {
    let dir = tempfile::tempdir().unwrap();
    finetune(dir.path(), "run", 5, &["--batch-size", "4", "--label-smoothing", "0.1"]).succeeds();
    let model = taper_model::Model::load(dir.path().join("run/model.safetensors")).unwrap();
    let said = model.provenance().training.clone().unwrap();
    for words in [
        "clip norm 1",
        "label smoothing 0.1",
        "batch size 4",
        "image size 32",
        "lr 0.0003",
        "val fraction 0.2",
    ] {
        assert!(said.contains(words), "no `{words}` in {said}");
    }
    let config = fs::read_to_string(dir.path().join("run/config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    for (key, value) in config["options"].as_object().unwrap() {
        let of_table = ["table", "image_column", "target_columns", "targets"];
        let of_cache = ["cache", "cache_size", "cache_dir", "keep_best"];
        let of_limits = ["max_minutes", "grad_checkpointing", "memory"];
        let of_files = ["report", "tensorboard"];
        let of_ways = ["lr_auto", "preset", "unlabelled"];
        let is_place = ["data", "model", "teacher", "strict", "out", "threads", "trace"]
            .iter()
            .chain(&of_table)
            .chain(&of_cache)
            .chain(&of_limits)
            .chain(&of_files)
            .chain(&of_ways)
            .any(|place| key == place);
        let said = said.replace(" with ", ", ");
        assert_eq!(
            said.contains(&format!(", {} ", key.replace('_', " "))),
            !is_place,
            "{key} = {value}: {said}"
        );
    }
}
