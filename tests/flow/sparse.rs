//! Weights made zero by `taper prune`: as many as asked, kept while the network trains, also after Ctrl-C.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use taper_graph::ParamRole;
use taper_model::Model;

use crate::pictures;
use crate::taper::{Ran, arg, finish, small_model, start, taper};

/// A model of the classes of a folder, and the folder.
struct Dense {
    dir: PathBuf,
    data: String,
    model: String,
}

impl Dense {
    fn new(dir: &Path) -> Self {
        let data = arg(&pictures::folder(dir, 2, 10));
        let (start, out) = (arg(&small_model(dir)), arg(&dir.join("dense")));
        let args = ["finetune", "--data", &data, "--model", &start, "--out", &out];
        taper(&[&args[..], &["--epochs", "1", "--batch-size", "4", "--json"]].concat()).succeeds();
        let model = arg(&dir.join("dense/model.safetensors"));
        Self { dir: dir.to_path_buf(), data, model }
    }

    /// `taper prune` of it to `OUT.safetensors`.
    fn args(&self, out: &str, more: &[&str]) -> Vec<String> {
        let out = arg(&self.file(out));
        let args = ["prune", "--model", &self.model, "--data", &self.data, "--out", &out];
        // A narrow network on maps of one pixel has wild gradients.
        let small = ["--batch-size", "4", "--batch", "1", "--lr", "0.0003", "--json"];
        [&args[..], &small, more].concat().into_iter().map(str::to_owned).collect()
    }

    fn file(&self, out: &str) -> PathBuf {
        self.dir.join(format!("{out}.safetensors"))
    }

    fn model(&self, out: &str) -> Model {
        Model::load(self.file(out)).unwrap()
    }
}

/// Zeros and elements of the weights of convolutions and linear layers.
fn zeros(model: &Model) -> [usize; 2] {
    let params = model.graph().params().iter().zip(model.tensors());
    let weights = || params.clone().filter(|(spec, _)| spec.role == ParamRole::Weight);
    let zeros = weights().flat_map(|(_, tensor)| &tensor.data).filter(|w| **w == 0.0).count();
    [zeros, weights().map(|(_, tensor)| tensor.data.len()).sum()]
}

fn number(report: &Value, key: &str) -> f64 {
    report[key].as_f64().unwrap_or_else(|| panic!("no number `{key}` in {report}"))
}

#[test]
fn a_share_of_the_weights_is_zero_and_stays_it_while_the_network_trains() {
    let dir = tempfile::tempdir().unwrap();
    let dense = Dense::new(dir.path());
    let asked = ["--sparsity", "0.75", "--sparse-ranking", "lamp", "--gradual-epochs", "0"];
    let asked = [&asked[..], &["--recovery-epochs", "2"]].concat();
    let ran = taper(&dense.args("sparse", &asked)).succeeds();
    assert!(ran.stderr.contains("smaller when compressed, not faster"), "{}", ran.stderr);
    let (report, model) = (ran.json(), dense.model("sparse"));

    let [zeros, elements] = zeros(&model);
    assert_eq!(zeros, elements * 3 / 4);
    assert_eq!(report["weights"]["zeros"], zeros);
    assert!((number(&report, "sparsity") - 0.75).abs() < 1e-4);
    let masks = dir.path().join("sparse.run/recovery-1/masks.safetensors");
    let masks = fs::read(masks).unwrap();
    let masks = safetensors::SafeTensors::deserialize(&masks).unwrap();
    let before = Model::load(&dense.model).unwrap();
    let mut moved = 0;
    for (name, mask) in masks.tensors() {
        let (was, is) = (before.tensor(&name).unwrap(), model.tensor(&name).unwrap());
        for (kept, (was, is)) in mask.data().iter().zip(was.data.iter().zip(&is.data)) {
            assert_eq!(*kept == 0, is.to_bits() == 0, "{name}: {was} became {is}");
            moved += usize::from(*kept == 1 && was.to_bits() != is.to_bits());
        }
    }
    assert!(2 * moved > elements - zeros, "{moved} weights were trained");

    let [before, after] =
        ["compressed_bytes_before", "compressed_bytes"].map(|key| number(&report, key));
    assert!(after < 0.6 * before, "{before} -> {after} bytes");
    assert_eq!(
        report["file_bytes"].as_u64(),
        Some(fs::metadata(dense.file("sparse")).unwrap().len())
    );
    assert!(
        number(&report, "latency_before_ms") > 0.0 && number(&report, "latency_after_ms") > 0.0
    );
    for key in ["top1_before", "top1_masked", "top1_after"] {
        assert!((0.0..=1.0).contains(&number(&report, key)), "{key}");
    }
    let model = arg(&dense.file("sparse"));
    let judged = taper(&["eval", "--model", &model, "--data", &dense.data, "--json"]).succeeds();
    assert!(number(&judged.json(), "top1") >= 0.0);
}

#[test]
fn two_of_four_along_the_input_are_zero_after_training_and_protected_layers_are_dense() {
    let dir = tempfile::tempdir().unwrap();
    let dense = Dense::new(dir.path());
    let asked = ["--n-of-m", "2:4", "--protect", "classifier", "--recovery-epochs", "2"];
    let asked = [&asked[..], &["--mask-every", "2", "--no-distill"]].concat();
    taper(&dense.args("two", &asked)).succeeds();
    let model = dense.model("two");
    let mut groups = 0;
    for (spec, tensor) in model.graph().params().iter().zip(model.tensors()) {
        let [_, channels, height, width] = tensor.shape[..] else { continue };
        let taps = height * width;
        for filter in tensor.data.chunks(channels * taps) {
            for tap in 0..taps {
                let along: Vec<f32> = filter.iter().skip(tap).step_by(taps).copied().collect();
                for four in along.chunks(4) {
                    let zeros = four.iter().filter(|w| **w == 0.0).count();
                    let gone = if channels < 4 { 0 } else { four.len().saturating_sub(2) };
                    assert_eq!(zeros, gone, "{}: {four:?}", spec.name);
                    groups += usize::from(gone == 2);
                }
            }
        }
    }
    assert!(groups > 1000, "{groups} groups of four");
    let classifier = model.tensor("classifier.weight").unwrap();
    assert!(classifier.data.iter().all(|w| *w != 0.0));
}

#[cfg(unix)]
#[test]
fn ctrl_c_while_zeros_grow_and_going_on_give_the_bytes_of_a_run_never_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let dense = Dense::new(dir.path());
    let asked = ["--sparsity", "0.8", "--recovery-epochs", "24", "--gradual-epochs", "20"];
    let asked = [&asked[..], &["--mask-every", "3"]].concat();
    taper(&dense.args("whole", &asked)).succeeds();

    let child = start(&dense.args("stopped", &asked));
    let checkpoint = dir.path().join("stopped.run/recovery-1/checkpoint/state.safetensors");
    let began = Instant::now();
    while !checkpoint.exists() {
        assert!(began.elapsed() < Duration::from_secs(60), "no checkpoint after a minute");
        std::thread::sleep(Duration::from_millis(5));
    }
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let stopped = finish(child).exits(130);
    assert!(stopped.stderr.contains("--resume"), "{}", stopped.stderr);
    assert_eq!(stopped.json()["stopped"], true);

    taper(&dense.args("stopped", &asked))
        .refuses(2, &["already holds a run", "the same flags and --resume"]);
    let other = [&asked[..], &["--resume", "--seed", "1"]].concat();
    taper(&dense.args("stopped", &other)).refuses(2, &["was made with another request"]);
    taper(&dense.args("stopped", &[&asked[..], &["--resume"]].concat())).succeeds();
    let [whole, stopped] = ["whole", "stopped"].map(|out| fs::read(dense.file(out)).unwrap());
    assert!(whole == stopped, "the files differ");
    let [zeros, elements] = zeros(&dense.model("stopped"));
    assert_eq!(zeros, elements * 4 / 5);
}

#[test]
fn requests_for_zeros_that_cannot_be_meant_are_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let model = arg(&small_model(dir.path()));
    let out = dir.path().join("out.safetensors");
    let run = |more: &[&str]| -> Ran {
        let args = ["prune", "--model", &model, "--out", &arg(&out)].map(str::to_owned);
        taper(&[&args[..], &more.iter().map(ToString::to_string).collect::<Vec<_>>()].concat())
    };
    let refused = |more: &[&str], words: &[&str]| {
        run(more).refuses(2, words);
    };
    for sparsity in ["0", "1", "1.5", "NaN"] {
        refused(&["--sparsity", sparsity], &["--sparsity is", "above 0 and below 1"]);
    }
    refused(&["--sparsity=-0.5"], &["--sparsity is -0.5"]);
    refused(&["--sparsity", "most"], &["--sparsity", "most"]);
    for pattern in ["5:4", "4:4", "0:4"] {
        refused(&["--n-of-m", pattern], &["--n-of-m is", pattern, "0 < N < M"]);
    }
    refused(&["--n-of-m", "2/4"], &["--n-of-m", "2/4"]);
    refused(&["--n-of-m", "1:100000"], &["--n-of-m is 1:100000", "none becomes zero"]);
    refused(&["--sparsity", "0.5", "--n-of-m", "2:4"], &["--sparsity", "--n-of-m"]);
    refused(&["--sparsity", "0.5", "--target-macs", "0.5"], &["--sparsity", "--target-macs"]);
    refused(&["--n-of-m", "2:4", "--target-params", "0.5"], &["--n-of-m", "--target-params"]);
    refused(&["--sparsity", "0.5", "--criterion", "l1"], &["--sparsity", "--criterion"]);
    refused(&["--target-macs", "0.5", "--mask-every", "5"], &["--target-macs", "--mask-every"]);
    refused(&["--sparsity", "0.5", "--sparse-ranking", "taylor"], &["taylor"]);
    refused(&["--sparsity", "0.5", "--gradual-epochs", "10"], &["--gradual-epochs is 10", "fewer"]);
    refused(&["--sparsity", "0.5", "--mask-every", "0"], &["--mask-every is 0"]);
    refused(&["--sparsity", "0.5", "--protect", "clasifier"], &["clasifier", "classifier"]);
    assert!(!out.exists() && !out.with_extension("run").exists());
}
