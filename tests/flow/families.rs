//! Every family of the zoo learns: an epoch on the embedded pictures, from random weights, lowers the loss.
//!
//! But VGG, which takes images of 224 pixels alone and would need minutes.

use std::fs;
use std::path::Path;

use crate::taper::{arg, taper};

/// The smallest of each family, and the sides of its pictures: a fraction of what it was designed for.
const FAMILIES: [(&str, &str); 15] = [
    ("mobilenetv1_100", "32"),
    ("mobilenetv2_035", "32"),
    ("mobilenetv3_small_050", "32"),
    ("mobilenetv4_conv_small_035", "32"),
    ("mobilenetv4_hybrid_medium_075", "32"),
    ("lcnet_035", "32"),
    ("mnasnet_small", "32"),
    ("test_efficientnet", "32"),
    ("efficientnet_lite0", "32"),
    ("efficientnet_es", "32"),
    ("tf_efficientnetv2_b0", "32"),
    ("mobileone_s0", "32"),
    ("repvit_m0_9", "32"),
    ("test_resnet", "32"),
    ("lenet5", "32"),
];

/// Steps of the beginning and of the end whose losses are compared, of 27.
const STEPS: usize = 7;

#[test]
fn an_epoch_from_random_weights_lowers_the_loss_of_every_family() {
    let dir = tempfile::tempdir().unwrap();
    let mut raised = Vec::new();
    for (name, size) in FAMILIES {
        let out = dir.path().join(name);
        let mut args = vec!["finetune", "--model", name, "--pretrained", "none", "--epochs", "1"];
        args.extend(["--image-size", size, "--batch-size", "16", "--json"]);
        args.extend(["--optimizer", "adamw", "--lr", "0.0003"]);
        let ran = taper(&[&args[..], &["--out", &arg(&out)]].concat()).succeeds();
        assert_eq!(ran.json()["epochs"], 1, "{name}");
        let losses = losses(&out.join("metrics.jsonl"));
        assert_eq!(losses.len(), 27, "{name}");
        let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
        let (first, last) = (mean(&losses[..STEPS]), mean(&losses[losses.len() - STEPS..]));
        if last.is_nan() || last >= first {
            raised.push(format!("{name}: {first:.3} to {last:.3}"));
        }
    }
    assert!(raised.is_empty(), "{raised:#?}");
}

/// The losses of the steps of a run.
fn losses(metrics: &Path) -> Vec<f64> {
    let text = fs::read_to_string(metrics).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.filter(|line| line["kind"] == "step").map(|line| line["loss"].as_f64().unwrap()).collect()
}
