//! The main job from end to end: fine-tune, evaluate, predict, with one model file between them.

use std::fs;

use crate::pictures;
use crate::taper::{arg, taper};

#[test]
fn a_folder_of_pictures_becomes_a_model_that_names_them() {
    let dir = tempfile::tempdir().unwrap();
    let (data, out) = (arg(&pictures::folder(dir.path(), 3, 10)), arg(&dir.path().join("run")));
    let ran = taper(&[
        "finetune",
        "--data",
        &data,
        "--out",
        &out,
        "--freeze",
        "backbone",
        "--augment",
        "none",
        "--image-size",
        "64",
        "--batch-size",
        "8",
        "--epochs",
        "20",
        "--optimizer",
        "sgd",
        "--lr",
        "0.005",
        "--seed",
        "1",
        "--json",
    ])
    .succeeds();
    let report = ran.json();
    assert_eq!(report["epochs"], 20);
    for key in ["val_top1", "best_val_top1", "val_loss", "seconds", "images_per_second"] {
        assert!(report[key].is_f64(), "{key}: {report}");
    }
    assert_eq!(report["best_val_top1"], 1.0, "{}", ran.stderr);
    assert_eq!(ran.stdout.lines().count(), 1, "{}", ran.stdout);
    assert!(ran.stderr.contains("predicted"), "no confusion matrix: {}", ran.stderr);
    let model = report["model"].as_str().unwrap();
    for file in ["config.json", "metrics.jsonl", "checkpoint"] {
        assert!(dir.path().join("run").join(file).exists(), "{file}");
    }

    let red = format!("{data}/red/000.png");
    let blue = format!("{data}/blue/001.png");
    let ran = taper(&["predict", "--model", model, "--top", "2", "--json", &red, &blue]).succeeds();
    let lines: Vec<serde_json::Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["image"], red.as_str());
    assert_eq!(lines[0]["predictions"].as_array().unwrap().len(), 2);
    assert_eq!(lines[0]["predictions"][0]["class"], "red");
    assert_eq!(lines[0]["predictions"][0]["index"], 2);
    assert!(lines[0]["predictions"][0]["probability"].as_f64().unwrap() > 0.5);
    assert_eq!(lines[1]["predictions"][0]["class"], "blue");

    let ran = taper(&["eval", "--model", model, "--data", &data, "--json"]).succeeds();
    let report = ran.json();
    assert_eq!((&report["images"], &report["skipped"]), (&30.into(), &0.into()));
    assert!(report["top1"].as_f64().unwrap() > 0.9, "{report}");
    assert_eq!(report["top5"], 1.0);
    assert!(report["images_per_second"].as_f64().unwrap() > 0.0);
}

#[test]
fn everything_is_said_at_the_start_and_the_end_for_people() {
    let dir = tempfile::tempdir().unwrap();
    let (data, out) = (arg(&pictures::folder(dir.path(), 2, 5)), arg(&dir.path().join("run")));
    let model = arg(&crate::taper::small_model(dir.path()));
    fs::write(dir.path().join("pictures/red/notes.png"), "no picture").unwrap();
    let ran = taper(&[
        "finetune",
        "--data",
        &data,
        "--model",
        &model,
        "--pretrained",
        "none",
        "--out",
        &out,
        "--epochs",
        "1",
        "--batch-size",
        "4",
    ])
    .succeeds();
    let recipe = "recipe: the defaults but for epochs 1, batch size 4 (all options: config.json)\n";
    for word in ["8 pictures to train with", recipe, "predicted", "taper predict"] {
        assert!(ran.stdout.contains(word), "no `{word}` in {}", ran.stdout);
    }
    assert!(ran.stderr.contains("notes.png"), "{}", ran.stderr);
}

#[test]
fn every_command_has_help_with_an_example() {
    for command in ["finetune", "eval", "predict", "models"] {
        let help = taper(&[command, "--help"]).succeeds().stdout;
        assert!(help.contains("Example"), "{help}");
        assert!(help.contains("--threads") && help.contains("--json"), "{help}");
    }
}

#[test]
fn the_same_request_gives_the_same_file() {
    let dir = tempfile::tempdir().unwrap();
    let data = arg(&pictures::folder(dir.path(), 2, 8));
    let model = arg(&crate::taper::small_model(dir.path()));
    let train = |name: &str, seed: &str| -> Vec<u8> {
        let out = dir.path().join(name);
        let args =
            ["finetune", "--data", &data, "--model", &model, "--epochs", "1", "--out", &arg(&out)];
        taper(&[&args[..], &["--seed", seed]].concat()).succeeds();
        fs::read(out.join("model.safetensors")).unwrap()
    };
    let first = train("first", "1");
    assert!(first == train("again", "1"), "the same seed gives different files");
    assert!(first != train("other", "2"), "another seed gives the same file");
}
