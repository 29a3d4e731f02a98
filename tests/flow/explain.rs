//! `taper explain`: PyTorch's sizes with the formula that gives them, and the formula that failed where nothing is left.

use serde_json::json;

use crate::taper::{Ran, taper};

/// The words of a command line.
fn explain(line: &str) -> Ran {
    taper(&[&["explain"], &line.split_whitespace().collect::<Vec<_>>()[..]].concat())
}

#[test]
fn a_convolution_is_explained_in_words_and_numbers() {
    let stem = "conv --input 224x224 --in-channels 3 --out-channels 32 --kernel 3x3 --stride 2 --padding 1";
    let words = explain(stem).succeeds().stdout;
    for part in [
        "floor((h + top + bottom − dilation·(kernel − 1) − 1) / stride) + 1",
        "floor((224 + 1 + 1 − 1·(3 − 1) − 1) / 2) + 1 = 112",
        "896: a weight of 32x3x3x3, and a bias of 32",
        "112·112 positions · 32 filters · 3 channels · 3·3 taps = 10,838,016",
        "dense on",
        "--after 2x2:3x3",
        "■ read",
        "▪ ■ ■ □ □ □     · □ ■ ■ ■ □",
    ] {
        assert!(words.contains(part), "no `{part}` in:\n{words}");
    }
    let ran = explain(&format!("{stem} --batch 2 --json")).succeeds();
    let told = ran.json();
    assert_eq!(told["output"], json!([2, 112, 112, 32]));
    assert_eq!((&told["params"], &told["macs"]), (&json!(896), &json!(2 * 10_838_016)));
    assert_eq!((&told["kernel"], &told["op"]), (&json!("dense"), &json!("conv")));
    assert_eq!(ran.stdout.lines().count(), 1, "{}", ran.stdout);
    assert!(ran.stderr.contains("MACs"), "{}", ran.stderr);
}

#[test]
fn the_kernel_follows_from_groups_and_window() {
    for (line, kernel, why) in [
        (
            "--in-channels 24 --out-channels 144 --kernel 1",
            "pointwise",
            "a 196x24 and a 24x144 matrix",
        ),
        ("--in-channels 32 --out-channels 32 --kernel 3 --groups 32", "depthwise", "groups 32"),
        (
            "--in-channels 32 --out-channels 64 --kernel 3 --groups 32",
            "dense",
            "groups merged into one",
        ),
    ] {
        let told = explain(&format!("conv --input 14 --json {line}")).succeeds().json();
        assert_eq!(told["kernel"], kernel);
        assert!(told["why"].as_str().unwrap().contains(why), "{told}");
    }
}

#[test]
fn sizes_are_those_of_pytorch() {
    // torch.nn.*(…)(torch.zeros(1, 6, 11, 14)).shape, and TensorFlow's `same`.
    let conv = "conv --input 11x14 --in-channels 6 --out-channels 5 --kernel";
    let pool = "pool --input 11x14 --channels 6 --kind";
    for (line, h, w) in [
        (format!("{conv} 3 --stride 2 --padding 1"), 6, 7),
        (format!("{conv} 3x5 --stride 1x2 --dilation 2x1 --padding 0,1,2,3"), 9, 7),
        (format!("{conv} 3 --stride 2 --padding same"), 6, 7),
        (format!("{conv} 3 --padding 2 --padding-mode circular"), 13, 16),
        (format!("{conv} 3 --stride 2 --padding 1 --transposed --output-padding 1"), 22, 28),
        (format!("{conv} 2 --stride 2 --transposed"), 22, 28),
        (format!("{pool} max --kernel 3 --stride 2"), 5, 6),
        (format!("{pool} max --kernel 3 --stride 2 --ceil"), 5, 7),
        (format!("{pool} avg --kernel 2"), 5, 7),
        (format!("{pool} lp --p 3 --kernel 2"), 5, 7),
        (format!("{pool} blur --kernel 3 --stride 2 --padding 1"), 6, 7),
        (format!("{pool} adaptive-avg --out 3x2"), 3, 2),
        (format!("{pool} adaptive-max --out 3"), 3, 3),
        (format!("{pool} global"), 1, 1),
        (format!("{pool} global-max"), 1, 1),
    ] {
        let told = explain(&format!("{line} --json")).succeeds().json();
        assert_eq!((&told["output"][1], &told["output"][2]), (&json!(h), &json!(w)), "{line}");
    }
}

#[test]
fn a_chain_passes_its_field_on() {
    let first = explain(
        "conv --input 32 --in-channels 3 --out-channels 8 --kernel 3 --stride 2 --padding 1 --json",
    );
    assert_eq!(
        first.succeeds().json()["field"],
        json!({ "field": [3.0, 3.0], "jump": [2.0, 2.0] })
    );
    let second =
        explain("pool --kind max --input 16 --channels 8 --kernel 2 --after 2x2:3x3 --json");
    assert_eq!(
        second.succeeds().json()["field"],
        json!({ "field": [5.0, 5.0], "jump": [4.0, 4.0] })
    );
}

#[test]
fn what_cannot_be_shows_the_formula_that_failed() {
    let conv = "conv --in-channels 3 --out-channels 8";
    let formula = "floor((4 + 0 + 0 − 1·(7 − 1) − 1) / 1) + 1 = −2";
    explain(&format!("{conv} --input 8x4 --kernel 7")).refuses(2, &["along w", formula]);
    explain(&format!("{conv} --input 8 --kernel 3 --groups 2")).refuses(2, &["3 mod 2 = 1"]);
    explain(&format!("{conv} --input 8 --kernel 3 --stride 0")).refuses(2, &["stride", "1"]);
    explain(&format!("{conv} --input 2 --kernel 5 --padding 2 --padding-mode reflect"))
        .refuses(2, &["below h = 2"]);
    explain("pool --kind max --input 8 --channels 3 --kernel 3 --padding 2")
        .refuses(2, &["at most half the kernel, 3 / 2 = 1"]);
    explain("pool --kind avg --input 8 --channels 3").refuses(2, &["--kernel", "missing"]);
    explain("pool --kind adaptive-avg --input 8 --channels 3").refuses(2, &["--out", "missing"]);
    explain(&format!("{conv} --input 8xx --kernel 3")).exits(2);
}
