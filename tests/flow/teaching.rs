//! Learning from a teacher, and the penalty on norms, as flags.

use std::fs;
use std::path::Path;

use crate::pictures;
use crate::taper::{Ran, arg, small_model, taper};

/// A run of one epoch in `dir/NAME`, on 2 classes of 5 pictures.
fn finetune(dir: &Path, name: &str, more: &[&str]) -> Ran {
    let data = arg(&pictures::folder(dir, 2, 5));
    let (model, out) = (arg(&small_model(dir)), arg(&dir.join(name)));
    let args = ["finetune", "--data", &data, "--model", &model, "--out", &out, "--epochs", "1"];
    taper(&[&args[..], &["--batch-size", "4", "--json"], more].concat())
}

#[test]
fn a_run_keeps_its_teacher_and_goes_on_when_the_file_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    finetune(dir.path(), "first", &[]).succeeds();
    let teacher = arg(&dir.path().join("first/model.safetensors"));
    let said = ["--teacher", &teacher, "--distill-weight", "0.5", "--bn-l1", "0.001"];
    let taught = finetune(dir.path(), "taught", &said).succeeds();
    assert!(taught.stderr.contains(&format!("taught by {teacher}")), "{}", taught.stderr);
    let report = taught.json();
    let model = taper_model::Model::load(dir.path().join("taught/model.safetensors")).unwrap();
    let training = model.provenance().training.clone().unwrap();
    for words in ["distill temperature 4, distill weight 0.5, bn l1 0.001", "taught by "] {
        assert!(training.contains(words), "no `{words}` in {training}");
    }

    fs::remove_dir_all(dir.path().join("first")).unwrap();
    let run = arg(&dir.path().join("taught"));
    let again = taper(&["finetune", "--resume", &run, "--json"]).succeeds().json();
    assert_eq!(again["val_loss"], report["val_loss"]);
    taper(&["finetune", "--resume", &run, "--teacher", &teacher]).refuses(2, &["--teacher"]);
    fs::write(dir.path().join("taught/teacher.safetensors"), "no").unwrap();
    taper(&["finetune", "--resume", &run]).refuses(2, &["teacher.safetensors"]);
}

#[test]
fn a_teacher_that_cannot_teach_is_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let of_others = arg(&small_model(dir.path()));
    finetune(dir.path(), "run", &["--teacher", &of_others])
        .refuses(2, &["the teacher knows", "fine-tune it on the same classes first"]);
    let refused = |more: &[&str], words: &[&str]| {
        finetune(dir.path(), "run", more).refuses(2, words);
    };
    refused(&["--teacher", "no_such_net"], &["no_such_net"]);
    refused(&["--distill-weight", "0.5"], &["--distill-weight is 0.5", "absent without"]);
    refused(&["--distill-temperature", "2"], &["--distill-temperature is 2", "absent without"]);
    refused(&["--teacher", &of_others, "--distill-weight", "2"], &["--distill-weight is 2"]);
    refused(&["--bn-l1", "0"], &["--bn-l1 is 0", "a positive number"]);
    assert!(!dir.path().join("run").exists());
}
