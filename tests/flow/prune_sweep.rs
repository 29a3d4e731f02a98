//! Sensitivity and the Pareto sweep of `taper prune`: reports, files, controls, going on.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::pictures;
use crate::taper::{Ran, arg, small, taper};

/// The small network with the classes of two folders of pictures, as a model file.
fn model(dir: &Path) -> String {
    let parts = small(2).into_parts();
    let classes = vec!["green".to_owned(), "red".to_owned()];
    let model = taper_model::Model::random(parts.graph, 7, parts.preprocess, classes).unwrap();
    let path = dir.join("model.safetensors");
    model.save(&path).unwrap();
    arg(&path)
}

/// `taper prune` on 2 classes of 5 pictures.
fn prune(dir: &Path, more: &[&str]) -> Ran {
    let data = arg(&pictures::folder(dir, 2, 5));
    let model = model(dir);
    let args = ["prune", "--model", &model, "--data", &data, "--batch-size", "4", "--batch", "2"];
    taper(&[&args[..], &["--json"], more].concat())
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

#[test]
fn sensitivity_tells_every_group_what_it_costs_and_writes_no_run() {
    let dir = tempfile::tempdir().unwrap();
    let (csv, html) = (dir.path().join("groups.csv"), dir.path().join("groups.html"));
    let files = ["--csv", &arg(&csv), "--html", &arg(&html)];
    let asked = ["--sensitivity", "--shares", "0.25,0.75", "--protect", "conv_head"];
    let ran = prune(dir.path(), &[&asked[..], &files].concat()).succeeds();
    let report = ran.json();
    let groups = report["groups"].as_array().unwrap();
    assert!(groups.len() > 10, "{report}");
    for group in groups {
        assert_ne!(group["name"], "conv_head", "it is protected");
        let units = number(&group["units"]);
        let [few, most] = [0, 1].map(|i| &group["cuts"][i]);
        assert!(number(&most["kept"]) <= number(&few["kept"]), "{group}");
        let kept = units - (0.25 * units).round().max(1.0);
        assert!((number(&few["kept"]) - kept).abs() < 0.5, "{group}");
        assert!(number(&most["macs_saved"]) >= number(&few["macs_saved"]), "{group}");
        assert!(number(&few["macs_saved"]) > 0.0 && number(&few["loss"]) > 0.0, "{group}");
    }
    let lines = fs::read_to_string(&csv).unwrap().lines().count();
    assert_eq!(lines, 1 + 2 * groups.len());
    let page = fs::read_to_string(&html).unwrap();
    assert!(page.contains("Sensitivity") && page.contains("<svg"), "no chart");
    assert!(!dir.path().join("runs").exists());
    assert!(ran.stderr.contains("conv_stem"), "{}", ran.stderr);
}

#[test]
fn a_sweep_has_its_controls_beside_it_and_goes_on_with_the_same_points() {
    let dir = tempfile::tempdir().unwrap();
    let control = arg(&crate::taper::small_model(dir.path()));
    let out = dir.path().join("sweep");
    let (csv, html) = (dir.path().join("points.csv"), dir.path().join("points.html"));
    let asked = ["--sweep", "0.5..0.8:0.3", "--control", &control, "--recovery-epochs", "1"];
    let files = ["--out", &arg(&out), "--csv", &arg(&csv), "--html", &arg(&html)];
    let all = [&asked[..], &files].concat();
    let report = prune(dir.path(), &all).succeeds().json();
    let points = report["points"].as_array().unwrap();
    let kinds: Vec<&str> = points.iter().filter_map(|point| point["kind"].as_str()).collect();
    assert_eq!(kinds, ["unpruned", "pruned", "pruned", "network", "random", "random"]);
    let whole = number(&points[0]["macs"]);
    for point in points {
        let left = number(&point["macs"]) / whole;
        match point["share"].as_f64() {
            Some(share) => assert!((left / share - 1.0).abs() < 0.02, "{point}"),
            None => assert!((left - 1.0).abs() < 1e-9, "{point}"),
        }
        assert!((0.0..=1.0).contains(&number(&point["top1"])), "{point}");
        let batches = point["latencies"].as_array().unwrap();
        let batches: Vec<u64> = batches.iter().filter_map(|it| it["batch"].as_u64()).collect();
        assert_eq!(batches, [1, 2], "{point}");
    }
    for folder in ["macs-0.50", "macs-0.80", "random-0.50", "random-0.80", "control-1"] {
        assert!(out.join(folder).join("model.safetensors").is_file(), "{folder}");
    }
    let lines = fs::read_to_string(&csv).unwrap();
    assert!(lines.starts_with("name,kind,share,macs,params,top1_cut,top1,batch_1_ms,batch_2_ms,"));
    assert_eq!(lines.lines().count(), 7);
    let page = fs::read_to_string(&html).unwrap();
    for words in ["Top-1 against multiply-accumulates", "time of a batch of 2", "Channels left"] {
        assert!(page.contains(words), "{words}");
    }

    // As if it had been stopped in the second point and before the last.
    let file = out.join("sweep.json");
    let mut state: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    for key in ["macs-0.80", "random-0.80"] {
        assert!(state["points"].as_object_mut().unwrap().remove(key).is_some(), "{key}");
    }
    fs::remove_dir_all(out.join("random-0.80")).unwrap();
    fs::write(&file, state.to_string()).unwrap();
    prune(dir.path(), &all).refuses(2, &["already holds a run", "the same flags and --resume"]);
    let other = [&all[..], &["--resume", "--seed", "1"]].concat();
    prune(dir.path(), &other).refuses(2, &["another request"]);
    let again = prune(dir.path(), &[&all[..], &["--resume"]].concat()).succeeds().json();
    let without_times = |report: &Value| -> Vec<Value> {
        let points = report["points"].as_array().unwrap().iter().cloned();
        points
            .map(|mut point| {
                point["latencies"] = Value::Null;
                point
            })
            .collect()
    };
    assert_eq!(without_times(&again), without_times(&report));
}

#[test]
fn a_single_cut_has_a_page_too() {
    let dir = tempfile::tempdir().unwrap();
    let (out, html) = (arg(&dir.path().join("run")), dir.path().join("cut.html"));
    let asked = ["--target-macs", "0.5", "--recovery-epochs", "0", "--out", &out];
    prune(dir.path(), &[&asked[..], &["--html", &arg(&html)]].concat()).succeeds();
    let page = fs::read_to_string(&html).unwrap();
    for words in ["What was cut where", "Targets", "right after the cut", "conv_stem", "removed:"] {
        assert!(page.contains(words), "{words}");
    }
}

#[test]
fn sweeps_that_cannot_be_meant_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |more: &[&str], words: &[&str]| {
        prune(dir.path(), more).refuses(2, words);
    };
    refused(&["--sweep", "0.5,1.5"], &["`0.5,1.5`", "above 0 and below 1"]);
    refused(&["--sensitivity", "--shares", "none"], &["`none`", "above 0 and below 1"]);
    refused(&["--sweep", "0.5", "--target-macs", "0.5"], &["--target-macs"]);
    refused(&["--sweep", "0.5", "--out", "small.safetensors"], &["--out", "a folder"]);
    refused(&["--csv", "points.csv"], &["required"]);
    refused(&["--sweep", "0.5", "--control", "no_such_net"], &["no_such_net"]);
    let model = model(dir.path());
    taper(&["prune", "--model", &model, "--sensitivity"]).refuses(2, &["--data is absent"]);
    taper(&["prune", "--model", &model, "--sweep", "0.5"]).refuses(2, &["--data is absent"]);
    assert!(!dir.path().join("runs").exists());
}
