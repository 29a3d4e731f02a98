//! Requests that cannot be meant: exit code 2, before anything is written.

use std::fs;

use crate::pictures;
use crate::taper::{arg, small_model, taper};

#[test]
fn numbers_that_cannot_be_meant_are_refused_with_their_flag() {
    for (flag, value) in [
        ("--batch-size", "0"),
        ("--epochs", "0"),
        ("--lr", "NaN"),
        ("--lr", "-0.1"),
        ("--lr", "inf"),
        ("--momentum", "1"),
        ("--weight-decay", "-1"),
        ("--label-smoothing", "1"),
        ("--clip-norm", "-1"),
        ("--clip-value", "0"),
        ("--image-size", "16"),
        ("--val-fraction", "1.5"),
    ] {
        taper(&["finetune", flag, value]).refuses(2, &[flag, "must be"]);
    }
    let ran = taper(&["finetune", "--optimizer", "adamx"]).exits(2);
    assert!(ran.stderr.contains("sgd, adam, adamw"), "{}", ran.stderr);
    taper(&["finetune", "--batch-size", "many"]).exits(2);
    taper(&["finetune", "--no-such-flag"]).exits(2);
}

#[test]
fn a_stage_that_is_not_there_is_answered_with_those_that_are() {
    let dir = tempfile::tempdir().unwrap();
    let (data, model) = (arg(&pictures::folder(dir.path(), 2, 4)), arg(&small_model(dir.path())));
    let out = dir.path().join("run");
    taper(&[
        "finetune",
        "--data",
        &data,
        "--model",
        &model,
        "--freeze",
        "blocks.99",
        "--out",
        &arg(&out),
    ])
    .refuses(2, &["blocks.99", "blocks.3"]);
    assert!(!out.exists());
}

#[test]
fn a_folder_that_cannot_be_written_to_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (data, model) = (arg(&pictures::folder(dir.path(), 2, 4)), arg(&small_model(dir.path())));
    fs::write(dir.path().join("file"), "").unwrap();
    let out = arg(&dir.path().join("file/run"));
    taper(&["finetune", "--data", &data, "--model", &model, "--out", &out])
        .refuses(2, &["file/run"]);
}

#[test]
fn a_folder_that_holds_a_run_is_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let (data, model) = (arg(&pictures::folder(dir.path(), 2, 4)), arg(&small_model(dir.path())));
    let out = arg(&dir.path().join("run"));
    let args = ["finetune", "--data", &data, "--model", &model, "--epochs", "1", "--out", &out];
    taper(&args).succeeds();
    let before = fs::read(dir.path().join("run/model.safetensors")).unwrap();
    taper(&args).refuses(2, &["already holds a run", "--resume"]);
    assert_eq!(fs::read(dir.path().join("run/model.safetensors")).unwrap(), before);
}

#[test]
fn memory_that_holds_no_step_is_refused_with_the_least_that_would() {
    let dir = tempfile::tempdir().unwrap();
    let (data, model) = (arg(&pictures::folder(dir.path(), 2, 4)), arg(&small_model(dir.path())));
    let out = arg(&dir.path().join("run"));
    let args = ["finetune", "--data", &data, "--model", &model, "--epochs", "1", "--out", &out];
    let within = |memory: &str| taper(&[&args[..], &["--memory", memory]].concat());
    within("3 apples").refuses(2, &["3 apples", "--memory"]);
    let refused = within("1MiB");
    let words = refused.stderr.clone();
    refused.refuses(2, &["--memory is 1MiB", "MiB or more", "however it is cut"]);
    assert!(!dir.path().join("run").exists());
    let least = words.split("must be ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    let ran = within(least).succeeds();
    assert!(ran.stdout.contains("memory: at most"), "{}", ran.stdout);
    taper(&["finetune", "--resume", &out, "--memory", "2GiB"]).succeeds();
}

#[test]
fn going_on_needs_a_run_and_the_same_recipe() {
    let dir = tempfile::tempdir().unwrap();
    taper(&["finetune", "--resume", &arg(dir.path())]).refuses(2, &["no config.json"]);
    taper(&["finetune", "--resume", &arg(&dir.path().join("gone"))]).refuses(2, &["gone"]);
    taper(&["finetune", "--resume", &arg(dir.path()), "--lr", "0.1"])
        .refuses(2, &["--lr", "--resume"]);
    fs::write(dir.path().join("config.json"), "not json").unwrap();
    taper(&["finetune", "--resume", &arg(dir.path())]).refuses(2, &["config.json"]);
}

#[test]
fn going_on_with_other_pictures_or_another_model_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (data, model) = (arg(&pictures::folder(dir.path(), 2, 4)), arg(&small_model(dir.path())));
    let out = arg(&dir.path().join("run"));
    taper(&["finetune", "--data", &data, "--model", &model, "--epochs", "1", "--out", &out])
        .succeeds();
    let other = arg(&pictures::folder(&dir.path().join("other"), 2, 5));
    taper(&["finetune", "--resume", &out, "--data", &other]).refuses(2, &["another data"]);
    taper(&["finetune", "--resume", &out, "--model", "mobilenetv2_100"])
        .refuses(2, &["another model"]);
    pictures::class(&dir.path().join("pictures/red"), [200, 0, 0], 6);
    taper(&["finetune", "--resume", &out]).refuses(2, &["another data"]);
}
