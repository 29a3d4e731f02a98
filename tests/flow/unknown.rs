//! What a model file says of its own certainty: calibrated probabilities, and pictures of other things that are called unknown.

use std::fs;
use std::path::Path;

use crate::pictures;
use crate::taper::{arg, small_model, taper};

/// A run of seconds.
fn tuned(dir: &Path, more: &[&str]) -> (String, String, serde_json::Value) {
    let (data, out) = (arg(&pictures::folder(dir, 2, 12)), dir.join("run"));
    let model = arg(&small_model(dir));
    let args = ["finetune", "--data", &data, "--model", &model, "--out", &arg(&out)];
    let quick = ["--batch-size", "4", "--epochs", "2", "--head-epochs", "0", "--json"];
    let report = taper(&[&args[..], &quick[..], more].concat()).succeeds().json();
    (data, arg(&out.join("model.safetensors")), report)
}

#[test]
fn a_finished_run_calibrates_its_model_and_knows_pictures_of_other_things() {
    for more in [&[][..], &["--freeze", "backbone", "--augment", "none"]] {
        let dir = tempfile::tempdir().unwrap();
        let (data, model, report) = tuned(dir.path(), more);
        let calibrated = &report["calibrated"];
        let temperature = calibrated["temperature"].as_f64().unwrap();
        assert!(temperature > 0.0 && calibrated["images"] == report["val_images"], "{calibrated}");
        let kept = taper_model::Model::load(&model).unwrap();
        let confidence = kept.confidence().unwrap();
        assert!((confidence.temperature() - temperature).abs() < 1e-12);
        let known = confidence.familiarity().unwrap();
        assert_eq!(calibrated["known_from"].as_f64(), Some(known.threshold()));

        let own = arg(&Path::new(&data).join("red/001.png"));
        let predict = ["predict", "--model", &model, "--unknown", "--json", &own];
        let found = taper(&predict).succeeds().json();
        let familiarity = found["familiarity"].as_f64().unwrap();
        assert_eq!(found["unknown"], familiarity < known.threshold());
        let plain = taper(&["predict", "--model", &model, "--json", &own]).succeeds().json();
        assert_eq!(plain["predictions"], found["predictions"]);
        assert!(plain.get("unknown").is_none());

        let others = dir.path().join("others");
        fs::create_dir(&others).unwrap();
        pictures::picture([128, 128, 128], 3).save(others.join("gray.png")).unwrap();
        fs::write(others.join("notes.txt"), "no picture").unwrap();
        let eval =
            ["eval", "--model", &model, "--data", &data, "--others", &arg(&others), "--json"];
        let report = taper(&eval).succeeds().json();
        assert_eq!(report["temperature"].as_f64(), Some(temperature));
        taper(&[&eval[..], &["--tta", "flip"]].concat())
            .refuses(2, &["--tta is flip", "none with `others`"]);
        let others = &report["others"];
        assert_eq!((others["images"].as_u64(), others["skipped"].as_u64()), (Some(1), Some(1)));
        let share = |name: &str| others[name].as_f64().unwrap();
        assert!(
            ["auroc", "unknown", "own_unknown"].iter().all(|it| (0.0..=1.0).contains(&share(it)))
        );
        assert!(report["scores"]["ece_before"].is_number() && report["scores"]["ece"].is_number());
    }
}

#[test]
fn a_model_that_was_never_calibrated_is_used_as_it_is_and_cannot_say_unknown() {
    let dir = tempfile::tempdir().unwrap();
    let model = arg(&small_model(dir.path()));
    let data = arg(&pictures::folder(dir.path(), 2, 3));
    let image = arg(&Path::new(&data).join("red/001.png"));
    let cannot = ["does not say which pictures", "fine-tune it"];
    taper(&["predict", "--model", &model, "--unknown", &image]).refuses(2, &cannot);
    let eval = ["eval", "--model", &model, "--data", &data, "--labels", "order", "--json"];
    let report = taper(&eval).succeeds().json();
    assert!(report.get("temperature").is_none() && report["scores"].get("ece_before").is_none());
    taper(&[&eval[..], &["--others", &data]].concat()).refuses(2, &cannot);
}
