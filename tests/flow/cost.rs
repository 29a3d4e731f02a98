//! `taper cost`: counts that add up, times of the calibration that is named, budgets that hold or do not.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use taper_graph::{Bias, Conv, GraphBuilder, PoolKind, Window};

use crate::taper::{Ran, arg, command, ran, small_model};

/// The binary with a cache of its own, so that this machine's calibration is not read.
fn cost(args: &[&str]) -> Ran {
    ran(cost_command(args))
}

fn cost_command(args: &[&str]) -> Command {
    let mut command = command(&[&["cost"], args].concat());
    command.env("XDG_CACHE_HOME", "/nonexistent/cache");
    command
}

/// A machine that needs a nanosecond for a thousand multiply-accumulates, and for nothing else.
pub(crate) fn calibration(dir: &Path, change: impl FnOnce(&mut Value)) -> PathBuf {
    let roof = json!({ "threads": 2, "flops_per_second": 4e12, "copies": [[262_144, 1e11]] });
    let shape = |kind: &str, macs: usize| {
        json!({ "kind": kind, "positions": macs, "in_channels": 1, "out_channels": 1, "groups": 1, "taps": 1,
            "stride": 1, "read": macs, "written": macs, "weights": 1, "exponentials": 0 })
    };
    let unit = |kind: &str, macs: usize| {
        json!({ "shape": shape(kind, macs), "batch": 1, "macs": macs, "elementwise": 0,
            "gradients": [false, false], "around": macs, "seconds": macs as f64 * 1e-12 })
    };
    let kinds = ["dense", "pointwise", "depthwise", "linear", "global_mean", "add", "copy"];
    let units: Vec<Value> =
        kinds.iter().flat_map(|kind| [unit(kind, 1_000), unit(kind, 1_000_000)]).collect();
    let mode = |mode: &str| json!({ "mode": mode, "threads": 2, "roof": roof, "units": units, "bands": [], "overhead": 0.001, "scale": 1.0 });
    let modes: Vec<Value> =
        ["together", "image_a_thread", "forward", "backward"].iter().map(|it| mode(it)).collect();
    let mut file = json!({
        "format": 3,
        "machine": { "processor": "Abacus 9", "isa": "Beads", "cores": 2, "version": "0", "date": "2026-01-01" },
        "modes": modes, "steps": [],
    });
    change(&mut file);
    let path = dir.join("other.json");
    std::fs::write(&path, file.to_string()).unwrap();
    path
}

#[test]
fn a_network_of_the_zoo_is_counted_layer_by_layer() {
    let report = cost(&["--model", "mobilenetv2_100", "--json"]).succeeds().json();
    assert_eq!((&report["params"], &report["macs"]), (&json!(3_504_872), &json!(300_774_272)));
    let layers = report["layers"].as_array().unwrap();
    for key in ["params", "macs", "flops", "activations", "backward_macs"] {
        let sum: u64 = layers.iter().map(|layer| layer[key].as_u64().unwrap()).sum();
        assert_eq!(report[key].as_u64(), Some(sum), "{key}");
    }
    assert_eq!(layers[0]["name"], "conv_stem");
    assert!(report["peak_activation_bytes"].as_u64() < report["memory"]["arena_bytes"].as_u64());
    assert!(report["time"].is_null(), "nothing is predicted without a calibration");
}

#[test]
fn the_table_goes_as_deep_as_asked_and_says_how_to_predict() {
    let args = ["--model", "mobilenetv2_100", "--image-size", "160x96", "--batch", "8"];
    let ran = cost(&args).succeeds();
    for word in ["160x96", "batch 8", "blocks", "classifier", "taper cost --calibrate"] {
        assert!(ran.stdout.contains(word), "no {word} in {}", ran.stdout);
    }
    assert!(!ran.stdout.contains("conv_pwl"), "{}", ran.stdout);
    let deep = cost(&[&args[..], &["--depth", "9"]].concat()).succeeds();
    assert!(deep.stdout.contains("conv_pwl"), "{}", deep.stdout);
}

#[test]
fn model_files_and_graphs_of_ones_own_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let model = cost(&["--model", &arg(&small_model(dir.path())), "--json"]).succeeds().json();
    assert_eq!(model["image_size"], json!([32, 32]));

    let mut b = GraphBuilder::new(8).unwrap();
    let xs = b.conv("own.conv", b.input(), Conv::dense(16, 3, 2), Bias::With).unwrap();
    let xs = b.global_pool("own.pool", xs, PoolKind::Avg, true).unwrap();
    let xs = b.linear("head", xs, 3, Bias::With).unwrap();
    b.output("scores", xs).unwrap();
    let path = dir.path().join("own.json");
    std::fs::write(&path, b.build().unwrap().to_json()).unwrap();
    let args = ["--model", &arg(&path), "--image-size", "20x30", "--json"];
    let own = cost(&args).succeeds().json();
    let conv = 10 * 15 * 16 * 8 * 9;
    assert_eq!(own["macs"], json!(conv + 16 * 3));
    assert_eq!(own["params"], json!(16 * 8 * 9 + 16 + 16 * 3 + 3));
}

#[test]
fn several_networks_stand_side_by_side() {
    let names = ["--compare", "mobilenetv2_100.tv_in1k", "mobilenetv3_small_100"];
    let ran = cost(&[&names[..], &["--json"]].concat()).succeeds();
    let models = ran.json()["models"].as_array().unwrap().clone();
    assert_eq!(models.len(), 2);
    assert!(models[0]["top1"].as_f64().unwrap() > 0.7);
    let told = cost(&names).succeeds().stdout;
    assert_eq!(told.lines().count(), 3, "{told}");
}

#[test]
fn layers_are_written_as_comma_separated_values() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("layers.csv");
    cost(&["--model", "lenet5", "--csv", &arg(&path)]).succeeds();
    let text = std::fs::read_to_string(&path).unwrap();
    let mut lines = text.lines();
    assert!(lines.next().unwrap().starts_with("model,layer,op,output,params,macs"));
    assert!(lines.next().unwrap().starts_with("lenet5,"), "{text}");
}

#[test]
fn budgets_hold_or_say_by_how_much_they_do_not() {
    let model = ["--model", "mobilenetv2_100"];
    let holds =
        ["--assert", "macs<=300774272", "--assert", "params < 5M", "--assert", "weights<=14.2MB"];
    cost(&[&model[..], &holds].concat()).succeeds();
    let over = ["--assert", "macs<=300M", "--assert", "params<=5M"];
    let ran =
        cost(&[&model[..], &over].concat()).refuses(1, &["macs<=300M", "300.7743 M", "0.3 %"]);
    assert!(!ran.stderr.contains("params"), "{}", ran.stderr);
    let strict = ["--assert", "macs<300774272"];
    cost(&[&model[..], &strict].concat()).exits(1);
    // Nobody knows the time.
    cost(&[&model[..], &["--assert", "latency<=4ms"]].concat())
        .refuses(2, &["latency<=4ms", "calibrate"]);
    for wrong in ["macs", "macs<=", "apples<=3", "latency<=4", "macs>=1"] {
        cost(&[&model[..], &["--assert", wrong]].concat()).refuses(2, &[wrong, "macs<=300M"]);
    }
}

#[test]
fn times_are_those_of_the_calibration_that_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let on = arg(&calibration(dir.path(), |_| ()));
    let args = ["--model", "mobilenetv2_100", "--threads", "2", "--on", &on];
    let report = cost(&[&args[..], &["--json"]].concat()).succeeds().json();
    let time = &report["time"];
    assert!(time["on"].as_str().unwrap().contains("Abacus 9"), "{time}");
    // A millisecond that belongs to no unit, and 300 million at a thousand a nanosecond.
    let ms = time["ms"].as_f64().unwrap();
    assert!((1.0..2.0).contains(&ms), "{time}");
    assert!(time["training_ms"].as_f64().unwrap() > ms);
    let layer = &report["layers"][0];
    assert!(layer["ms"].as_f64().unwrap() > 0.0 && layer["bound_ms"].as_f64().unwrap() > 0.0);
    let over = cost(&[&args[..], &["--assert", "latency<=1us"]].concat());
    over.refuses(1, &["latency<=1us", "ms"]);
    // Its threads are those it was made with.
    let three = ["--model", "mobilenetv2_100", "--threads", "3", "--on", &on];
    cost(&three).refuses(2, &["3 threads", "2"]);
}

#[test]
fn calibrations_that_cannot_be_used_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |change: &dyn Fn(&mut Value), words: &[&str]| {
        let on = arg(&calibration(dir.path(), change));
        cost(&["--model", "lenet5", "--on", &on]).refuses(2, words);
    };
    refused(&|file| file["format"] = json!(7), &["other.json", "format 7", "calibrate again"]);
    refused(
        &|file| file["modes"][0]["units"][0]["seconds"] = json!(-1.0),
        &["other.json", "positive"],
    );
    refused(&|file| file["modes"][0]["roof"]["flops_per_second"] = json!(0.0), &["other.json"]);
    refused(
        &|file| drop(file.as_object_mut().unwrap().remove("machine")),
        &["other.json", "machine"],
    );
    let text = dir.path().join("text.json");
    std::fs::write(&text, "[1, 2").unwrap();
    cost(&["--model", "lenet5", "--on", &arg(&text)])
        .refuses(2, &["text.json", "no", "calibration"]);
    cost(&["--model", "lenet5", "--on", "none.json"]).refuses(2, &["none.json"]);
}

#[test]
fn what_cannot_be_counted_is_refused_by_name() {
    cost(&["--model", "mobilenetv2_10"]).refuses(2, &["mobilenetv2_100"]);
    cost(&["--model", "none.json"]).refuses(2, &["none.json"]);
    cost(&["--model", "mobilenetv2_100", "--batch", "0"]).refuses(2, &["--batch", "1 or more"]);
    cost(&["--model", "mobilenetv2_100", "--memory", "4 apples"]).refuses(2, &["4 apples", "4GB"]);
    cost(&["--model", "mobilenetv2_100", "--freeze", "blocks.9"]).refuses(2, &["blocks.9"]);
    // A window that does not fit names its layer.
    let dir = tempfile::tempdir().unwrap();
    let mut b = GraphBuilder::new(3).unwrap();
    let window = Window { padding: taper_graph::Padding::Valid, ..Window::square(5, 1) };
    let conv = Conv { out: 4, window, groups: 1 };
    let xs = b.conv("wide.conv", b.input(), conv, Bias::With).unwrap();
    b.output("ys", xs).unwrap();
    let path = dir.path().join("own.json");
    std::fs::write(&path, b.build().unwrap().to_json()).unwrap();
    cost(&["--model", &arg(&path), "--image-size", "4"]).refuses(2, &["4x4", "wide.conv"]);
    std::fs::write(&path, "{\"format\":1,\"nodes\":[").unwrap();
    cost(&["--model", &arg(&path)]).refuses(2, &["own.json"]);
}

#[test]
fn a_batch_is_found_for_an_amount_of_memory() {
    let model = ["--model", "mobilenetv2_035", "--image-size", "64", "--json"];
    let largest = |memory: &str| {
        let report = cost(&[&model[..], &["--memory", memory]].concat()).succeeds().json();
        report["largest_batch"].as_u64().unwrap()
    };
    let (one, two) = (largest("512MiB"), largest("1GiB"));
    assert!(one > 8 && two > 2 * one, "{one} and {two}");
    assert_eq!(largest("1MB"), 0);
}

#[test]
fn steps_on_ranks_are_predicted_and_impossible_networks_refused() {
    let dir = tempfile::tempdir().unwrap();
    let machine = arg(&calibration(dir.path(), |_| ()));
    let [csv, html] = ["ranks.csv", "page.html"].map(|name| arg(&dir.path().join(name)));
    let line = ["--model", "mobilenetv2_035", "--batch", "4", "--threads", "2", "--on", &machine];
    let asked = |more: &[&str]| cost(&[&line[..], more].concat());
    let more = ["--ranks", "2..8", "--network", "1Gb,20us:25Gb", "--network", "100Mb"];
    let files = ["--csv", &csv, "--html", &html, "--json"];
    let report = asked(&[&more[..], &files].concat()).succeeds().json();
    let rows = report["ranks"]["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 9);
    let time = |row: &Value, name: &str| row[name].as_f64().unwrap();
    for row in rows {
        assert_eq!(row["compute_ms"], report["time"]["training_ms"]);
        assert!(time(row, "efficiency") < 1.0 && time(row, "stall_ms") > 0.0, "{row}");
    }
    assert!(time(&rows[0], "stall_ms") < time(&rows[6], "stall_ms"));
    let csv = std::fs::read_to_string(csv).unwrap();
    assert!(csv.starts_with("network,ranks,batch,step_ms,") && csv.lines().count() == 10, "{csv}");
    assert!(std::fs::read_to_string(html).unwrap().contains("Efficiency"));

    let table = asked(&[&more[..], &["--scaling", "strong", "--reduce-dtype", "bf16"]].concat());
    table.refuses(2, &["--batch is 4", "8 or more"]);
    let table = asked(&["--ranks", "2,4", "--scaling", "strong"]).succeeds();
    for word in ["sums exact in f32", "10Gb", "all ranks together", "efficiency"] {
        assert!(table.stdout.contains(word), "no {word} in {}", table.stdout);
    }
    let local = asked(&["--ranks", "2", "--network", "1Gb", "--sync-every", "8"]).succeeds();
    assert!(local.stdout.contains("in f32 every 8 steps"), "{}", local.stdout);
    asked(&["--ranks", "2", "--sync-every", "0"]).refuses(2, &["--sync-every is 0"]);
    asked(&["--ranks", "2..x"]).refuses(2, &["`2..x` is no number of ranks", "2..64"]);
    asked(&["--ranks", "2", "--network", "10GB"])
        .refuses(2, &["`10GB` is no network", "20us:25Gb"]);
    asked(&["--ranks", "3"]).refuses(2, &["power of two", "--reduce fast"]);
    asked(&["--ranks", "3", "--reduce", "fast"]).succeeds();
    asked(&["--network", "1Gb"]).refuses(2, &["required"]);
    cost(&["--model", "mobilenetv2_035", "--ranks", "2"]).refuses(2, &["calibrate this machine"]);
}
