//! `taper bench`: numbers that fit together, and no number for what cannot be measured.

use crate::taper::{arg, small_model, taper};

#[test]
fn both_modes_report_their_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let model = arg(&small_model(dir.path()));
    for mode in ["infer", "train"] {
        let args = ["bench", "--model", &model, "--batch", "4", "--mode", mode];
        let more = ["--image-size", "64", "--threads", "1", "--seconds", "0", "--json"];
        let ran = taper(&[&args[..], &more[..]].concat()).succeeds();
        let report = ran.json();
        let number =
            |key: &str| report[key].as_f64().unwrap_or_else(|| panic!("no {key}: {report}"));
        assert!(0.0 < number("p10_ms") && number("p10_ms") <= number("median_ms"));
        assert!(number("median_ms") <= number("p90_ms"));
        let per_second = 4e3 / number("median_ms");
        assert!((number("images_per_second") / per_second - 1.0).abs() < 1e-9);
        assert_eq!((report["threads"].as_u64(), report["runs"].as_u64()), (Some(1), Some(5)));
        if cfg!(target_os = "linux") {
            assert!(number("peak_bytes") > 1e6, "{report}");
        }
        assert!(ran.stderr.contains("threads 1"), "{}", ran.stderr);
    }
}

#[test]
fn the_size_is_the_models_own_unless_it_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let model = arg(&small_model(dir.path()));
    let ran = taper(&["bench", "--model", &model, "--seconds", "0"]).succeeds();
    assert!(ran.stdout.contains("1 x 32x32"), "{}", ran.stdout);
}

#[test]
fn a_name_without_weights_is_measured_all_the_same() {
    let args = ["bench", "--model", "mobilenetv2_035", "--image-size", "32", "--seconds", "0"];
    assert!(taper(&args).succeeds().stdout.contains("images/s"));
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let small = |flag: &str, value: &str, word: &str| {
        taper(&["bench", "--model", "mobilenetv2_035", flag, value]).refuses(2, &[flag, word]);
    };
    small("--batch", "0", "1 or more");
    small("--image-size", "31", "32 or more");
    small("--seconds", "-1", "from 0");
    taper(&["bench", "--model", "mobilenetv2_03"]).refuses(2, &["mobilenetv2_035"]);
    taper(&["bench", "--model", "none.safetensors"]).refuses(2, &["none.safetensors"]);
}
