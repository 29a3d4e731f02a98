//! `taper prune`: budgets that are met, files that are models like any other, runs that go on, and what is refused.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use taper_graph::{Bias, Conv, GraphBuilder, Op, PoolKind};
use taper_model::{Model, Preprocess};

use crate::cost::calibration;
use crate::pictures;
use crate::taper::{Ran, arg, finish, small, start, taper};

/// A model of two classes of pictures, with random weights.
fn model(dir: &Path) -> PathBuf {
    let path = dir.join("dense.safetensors");
    named(small(2)).save(&path).unwrap();
    path
}

/// The same with the classes of the pictures.
fn named(model: Model) -> Model {
    let mut parts = model.into_parts();
    parts.classes = vec!["green".to_owned(), "red".to_owned()];
    Model::new(parts.graph, parts.tensors, parts.preprocess, parts.classes, parts.provenance)
        .unwrap()
}

/// `taper prune` of a model with a latency of single images only, which is measured sooner.
fn prune(model: &Path, more: &[&str]) -> Ran {
    taper(&args(model, more))
}

fn args(model: &Path, more: &[&str]) -> Vec<String> {
    let model = arg(model);
    let args = ["prune", "--model", &model, "--batch", "1", "--batch-size", "4", "--json"];
    args.iter().chain(more).map(ToString::to_string).collect()
}

#[test]
fn a_network_of_half_the_operations_is_a_model_like_any_other() {
    let dir = tempfile::tempdir().unwrap();
    let data = arg(&pictures::folder(dir.path(), 2, 8));
    let (start, out) = (arg(&dir.path().join("start")), dir.path().join("small.safetensors"));
    let tune = ["finetune", "--data", &data, "--epochs", "1", "--batch-size", "4", "--model"];
    taper(&[&tune[..], &[&arg(&model(dir.path())), "--out", &start]].concat()).succeeds();
    let dense = Path::new(&start).join("model.safetensors");

    let more = ["--data", &data, "--target-macs", "0.5", "--recovery-epochs", "1"];
    let ran = prune(&dense, &[&more[..], &["--out", &arg(&out)]].concat()).succeeds();
    let report = ran.json();
    let count = |key: &str| report[key].as_u64().unwrap();
    assert!(count("params") < count("params_before"));
    let share = count("macs") as f64 / count("macs_before") as f64;
    assert!((0.45..=0.5).contains(&share), "{share}");
    assert_eq!(report["targets"][0]["after"], json!(count("macs") as f64));
    for key in ["top1_before", "top1_cut", "top1_after"] {
        assert!((0.0..=1.0).contains(&report[key].as_f64().unwrap()), "{key} of {report}");
    }
    for key in ["latency_before_ms", "latency_after_ms"] {
        assert!(report[key].as_f64().unwrap() > 0.0, "{key} of {report}");
    }
    assert_eq!(report["model"], json!(arg(&out)));
    let layers = report["layers"].as_array().unwrap();
    assert!(layers.iter().any(|layer| layer["after"].as_u64() < layer["before"].as_u64()));
    let faster = report["is_faster"].as_bool().unwrap();
    assert_eq!(ran.stderr.contains("NOT faster"), !faster, "{}", ran.stderr);

    // The file is counted, judged, asked, trained and pruned as any other.
    let file = arg(&out);
    let cost = taper(&["cost", "--model", &file, "--json"]).succeeds().json();
    assert_eq!((&cost["params"], &cost["macs"]), (&report["params"], &report["macs"]));
    let eval = taper(&["eval", "--model", &file, "--data", &data, "--json"]).succeeds().json();
    assert!(eval["images"].as_u64() > Some(0));
    let picture = format!("{data}/red/000.png");
    let said = taper(&["predict", "--model", &file, &picture, "--json"]).succeeds().stdout;
    assert!(said.contains("green") && said.contains("red"), "{said}");
    let again = arg(&dir.path().join("again"));
    taper(&[&tune[..], &[&file, "--out", &again]].concat()).succeeds();
    let twice = dir.path().join("twice");
    let more = ["--target-params", "0.8", "--out", &arg(&twice)];
    let report = prune(&out, &more).succeeds().json();
    assert_eq!(report["params_before"], json!(cost["params"]));
    assert!(report["top1_after"].is_null(), "nobody knows without pictures: {report}");
    let model = Model::load(twice.join("model.safetensors")).unwrap();
    let training = model.provenance().training.clone().unwrap();
    assert_eq!(training.matches("pruned from").count(), 2, "{training}");
}

#[test]
fn without_pictures_channels_go_by_their_weights_and_all_targets_hold() {
    let dir = tempfile::tempdir().unwrap();
    let (dense, out) = (model(dir.path()), arg(&dir.path().join("run")));
    let on = arg(&calibration(dir.path(), |file| {
        let modes = file["modes"].as_array_mut().unwrap();
        modes.iter_mut().for_each(|mode| mode["overhead"] = json!(0.0));
    }));
    let targets = ["--target-macs", "0.9", "--target-size", "0.8", "--target-memory", "0.95"];
    let latency = ["--target-latency-ms", "85%", "--on", &on, "--threads", "2"];
    let asked = [&targets[..], &latency, &["--criterion", "fpgm", "--out", &out]].concat();
    let report = prune(&dense, &asked).succeeds().json();
    let met = report["targets"].as_array().unwrap();
    assert_eq!(met.len(), 4);
    for row in met {
        assert!(row["after"].as_f64() <= row["target"].as_f64(), "{row}");
    }
    assert!(report["chosen_by"].as_str().unwrap().starts_with("fpgm"), "{report}");
    let file = dir.path().join("run/model.safetensors");
    let bytes = fs::read(&file).unwrap();
    assert_eq!(report["model"], json!(arg(&file)));

    // The folder is this run's, and gives the same again; with other words it does not go on.
    prune(&dense, &asked).refuses(2, &["already holds a run", "--resume"]);
    let other = [&asked[..], &["--resume", "--least-channels", "2"]].concat();
    prune(&dense, &other).refuses(2, &["another request", "least_channels: 1", "2"]);
    prune(&dense, &[&asked[..], &["--resume"]].concat()).succeeds();
    assert!(bytes == fs::read(&file).unwrap(), "the same request gave another file");
}

#[test]
fn blocks_and_pixels_may_be_a_part_of_the_budget_and_protected_blocks_stay() {
    let dir = tempfile::tempdir().unwrap();
    let data = arg(&pictures::folder(dir.path(), 2, 6));
    let dense = dir.path().join("dense.safetensors");
    let large = Preprocess { input_size: [64, 64], ..Preprocess::imagenet() };
    named(small(2)).with_preprocess(large).unwrap().save(&dense).unwrap();
    let graph = Model::load(&dense).unwrap().graph().clone();
    let sum = graph.nodes().iter().find(|node| *node.op() == Op::Add).unwrap().name();
    let (block, _) = sum.rsplit_once('.').unwrap();
    let out = arg(&dir.path().join("run"));
    let asked = ["--target-macs", "0.3", "--allow", "image-size,depth", "--protect", block];
    let more = ["--data", &data, "--recovery-epochs", "0", "--out", &out];
    let report = prune(&dense, &[&asked[..], &more].concat()).succeeds().json();
    let [macs, before] = ["macs", "macs_before"].map(|key| report[key].as_f64().unwrap());
    assert!(macs <= 0.3 * before, "{report}");
    let pruned = Model::load(dir.path().join("run/model.safetensors")).unwrap();
    assert!(pruned.graph().find_node(sum).is_some(), "{block} is gone");
    let side = u64::try_from(pruned.preprocess().input_size[0]).unwrap();
    assert_eq!(report["image_size"], json!([side, side]));
    assert!(side == 32 || side == 64, "{report}");
    for layer in report["layers"].as_array().unwrap() {
        let name = layer["name"].as_str().unwrap();
        let is_gone = pruned.graph().find_node(name).is_none();
        assert_eq!(layer["after"] == json!(0), is_gone, "{layer}");
    }
}

#[cfg(unix)]
#[test]
fn a_run_that_was_stopped_goes_on_to_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let data = arg(&pictures::folder(dir.path(), 2, 20));
    let dense = model(dir.path());
    let args = |out: &str, more: &[&str]| {
        let out = arg(&dir.path().join(out));
        let asked = ["--data", &data, "--target-macs", "0.5", "--rounds", "2"];
        let train = ["--recovery-epochs", "30", "--lr", "0.0003", "--criterion", "taylor"];
        args(&dense, &[&asked[..], &train, &["--out", &out], more].concat())
    };
    taper(&args("whole.safetensors", &[])).succeeds();

    let child = start(&args("stopped.safetensors", &[]));
    let checkpoint = dir.path().join("stopped.run/recovery-1/checkpoint/state.safetensors");
    let began = Instant::now();
    while !checkpoint.exists() {
        assert!(began.elapsed() < Duration::from_secs(60), "no checkpoint after a minute");
        std::thread::sleep(Duration::from_millis(5));
    }
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let ran = finish(child).exits(130);
    assert!(ran.stderr.contains("--resume"), "{}", ran.stderr);
    let report = ran.json();
    assert_eq!((&report["stopped"], &report["model"]), (&json!(true), &Value::Null));
    assert!(report["latency_after_ms"].is_null(), "whoever stops waits for no measurement");
    assert!(report["params"].as_u64() < report["params_before"].as_u64());
    let file = dir.path().join("stopped.safetensors");
    assert!(!file.exists(), "a file appears when it is done");

    let report = taper(&args("stopped.safetensors", &["--resume"])).succeeds().json();
    assert_eq!(report["stopped"], json!(false));
    let whole = fs::read(dir.path().join("whole.safetensors")).unwrap();
    assert!(whole == fs::read(file).unwrap(), "stopped and gone on is another model");
}

#[test]
fn what_goes_together_is_told_before_anything_is_cut() {
    let network = ["prune", "--model", "mobilenetv2_100", "--explain"];
    let told = taper(&[&network[..], &["--protect", "blocks.3"]].concat()).succeeds().stdout;
    let reasons = ["protected: channels of the image", "channels of output `logits`"];
    for word in reasons.into_iter().chain(["`blocks.3` is protected by name", "bn1.weight[0]"]) {
        assert!(told.contains(word), "no `{word}` in {told}");
    }
    let rows = taper(&[&network[..], &["--json"]].concat()).succeeds().json();
    let rows = rows.as_array().unwrap().clone();
    // The sum of a stage of three blocks ties its projections together.
    let stage = rows.iter().find(|row| {
        row["nodes"].as_array().is_some_and(|nodes| nodes.contains(&json!("blocks.2.1.conv_pwl")))
    });
    let stage = stage.unwrap();
    assert_eq!((&stage["units"], &stage["protected"]), (&json!(32), &Value::Null));
    for member in ["blocks.2.0.conv_pwl.weight", "blocks.2.2.bn3.bias", "blocks.3.0.conv_pw.weight"]
    {
        let members = stage["members"].as_array().unwrap();
        assert!(members.iter().any(|it| it["parameter"] == member), "no {member} in {stage}");
    }
    taper(&["prune", "--model", "lenet5", "--explain", "--protect", "conv9"])
        .refuses(2, &["conv9", "conv"]);
}

#[test]
fn a_request_that_cannot_be_met_is_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let data = arg(&pictures::folder(dir.path(), 2, 5));
    let (dense, out) = (model(dir.path()), arg(&dir.path().join("out.safetensors")));
    let refused_of = |model: &Path, more: &[&str], words: &[&str]| {
        prune(model, &[more, &["--out", &out]].concat()).refuses(2, words);
        assert!(!Path::new(&out).exists(), "{more:?} left a file");
        assert!(!dir.path().join("out.run").exists(), "{more:?} left a folder");
    };
    let refused = |more: &[&str], words: &[&str]| refused_of(&dense, more, words);
    let half = ["--target-macs", "0.5"];

    refused(&[], &["--target-macs is absent", "memory or latency"]);
    refused(&["--target-macs", "0.001"], &["cannot be cut", "is the least", "loses at most 90 %"]);
    refused(&["--target-macs", "0"], &["--target-macs"]);
    refused(&["--target-macs", "150%"], &["multiply-accumulates", "1.5", "below 1"]);
    refused(&["--target-size", "3 apples"], &["3 apples"]);
    refused(&["--target-size", "1kB"], &["size of the file", "1kB", "is the least"]);
    refused(&["--target-latency-ms", "0ms"], &["--target-latency-ms"]);
    let on = arg(&calibration(dir.path(), |_| ()));
    let half_a_ms = ["--target-latency-ms", "0.5ms", "--on", &on, "--threads", "2"];
    refused(&half_a_ms, &["latency cannot be cut", "to 0.500 ms", "is the least"]);
    refused(&["--target-params", "1"], &["parameters", "below 1"]);
    refused(&["--target-macs", "900G"], &["nothing need be cut", "900G"]);
    refused(&[&half[..], &["--on", "nothing.json"]].concat(), &["required arguments"]);
    refused(&[&half[..], &["--criterion", "taylor"]].concat(), &["taylor", "folder of pictures"]);
    refused(&[&half[..], &["--criterion", "best"]].concat(), &["best", "taylor"]);
    refused(&[&half[..], &["--criterion", "bn"]].concat(), &["bn", "same score", "l2"]);
    refused(&[&half[..], &["--protect", "bloks.1"]].concat(), &["bloks.1", "blocks.1"]);
    refused(&[&half[..], &["--most-cut", "0"]].concat(), &["largest cut", "above 0"]);
    refused(&[&half[..], &["--rounds", "0"]].concat(), &["--rounds is 0", "1 or more"]);
    refused(&[&half[..], &["--data", "/nonexistent"]].concat(), &["/nonexistent"]);
    refused(&[&half[..], &["--resume"]].concat(), &["out.run", "no run"]);

    // Weights that are no numbers, and networks of other classes or without norms.
    let broken = dir.path().join("broken.safetensors");
    let mut tensors = small(2).tensors().to_vec();
    tensors[7].data[0] = f32::NAN;
    named(small(2)).with_tensors(tensors).unwrap().save(&broken).unwrap();
    for criterion in ["l2", "random"] {
        let more = [&half[..], &["--criterion", criterion]].concat();
        refused_of(&broken, &more, &["not all finite", "blocks.0.0"]);
    }
    let others = dir.path().join("others.safetensors");
    small(2).save(&others).unwrap();
    let more = [&half[..], &["--data", &data]].concat();
    refused_of(&others, &more, &["the model knows", "class 0", "green"]);
    let more = [&half[..], &["--criterion", "bn"]].concat();
    refused_of(&without_norms(dir.path()), &more, &["bn", "scores no channel", "l2"]);
}

fn without_norms(dir: &Path) -> PathBuf {
    let mut b = GraphBuilder::new(3).unwrap();
    let xs = b.conv("conv", b.input(), Conv::dense(8, 3, 2), Bias::With).unwrap();
    let xs = b.global_pool("pool", xs, PoolKind::Avg, true).unwrap();
    let xs = b.linear("classifier", xs, 2, Bias::With).unwrap();
    b.output("logits", xs).unwrap();
    let classes = vec!["green".to_owned(), "red".to_owned()];
    let preprocess = Preprocess { input_size: [32, 32], ..Preprocess::imagenet() };
    let path = dir.join("plain.safetensors");
    Model::random(b.build().unwrap(), 0, preprocess, classes).unwrap().save(&path).unwrap();
    path
}

#[test]
fn what_is_there_already_stays() {
    let dir = tempfile::tempdir().unwrap();
    let dense = model(dir.path());
    let half = ["--target-macs", "0.5", "--out"];
    // A run of fine-tuning.
    let run = dir.path().join("tuned");
    fs::create_dir(&run).unwrap();
    fs::write(run.join("config.json"), "{}").unwrap();
    prune(&dense, &[&half[..], &[&arg(&run)]].concat()).refuses(2, &["already holds a run"]);
    // A file, the model itself above all.
    let bytes = fs::read(&dense).unwrap();
    prune(&dense, &[&half[..], &[&arg(&dense)]].concat()).refuses(2, &["there already"]);
    assert!(bytes == fs::read(&dense).unwrap());
}
