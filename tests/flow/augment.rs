//! Pictures changed at random: what can be asked for, what is refused, and runs with all of it.

use std::fs;

use crate::pictures;
use crate::taper::{arg, small_model, taper};

#[test]
fn the_list_has_a_line_for_each_and_each_can_be_asked_for() {
    let ran = taper(&["finetune", "--augment", "list"]).succeeds();
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert!(lines.len() > 20, "{}", ran.stdout);
    for name in ["yes", "none", "trivial", "rand-m9-n2", "auto", "augmix-m3", "color-jitter=0.4"] {
        let line = lines.iter().find(|line| line.split_whitespace().next() == Some(name));
        assert!(line.is_some_and(|line| line.split_whitespace().count() > 3), "{name}");
    }
    let ran = taper(&["finetune", "--augment", "list", "--json"]).succeeds();
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(json.as_array().unwrap().len(), lines.len());
    assert_eq!(json[2]["spelling"], "trivial");
}

#[test]
fn what_cannot_be_meant_is_refused_with_all_that_is_needed() {
    for (args, words) in [
        (&["--augment", "trivail"][..], &["trivail", "did you mean `trivial`?", "rand"][..]),
        (&["--augment", "none,rotate=5"], &["either `none` or `rotate=5`, not both"]),
        (&["--augment", "auto,rand"], &["one policy: `auto` and `rand-m9-n2` are two"]),
        (&["--augment", "rand-m99"], &["rand-m99-n2", "0 to 30"]),
        (&["--augment", "blur=7"], &["blur=7", "0 to 1"]),
    ] {
        let ran = taper(&[&["finetune"], args].concat()).exits(2);
        assert!(words.iter().all(|word| ran.stderr.contains(word)), "{}", ran.stderr);
    }
    taper(&["finetune", "--augment", "none", "--erase", "0.2"])
        .refuses(2, &["--erase", "`augment` none"]);
    taper(&["finetune", "--augment", "none", "--repeats", "3"])
        .refuses(2, &["--repeats", "`augment` none"]);
    for (flag, value) in
        [("--erase", "1.5"), ("--mixup", "-1"), ("--cutmix", "NaN"), ("--repeats", "0")]
    {
        taper(&["finetune", flag, value]).refuses(2, &[flag, "must be"]);
    }
}

#[test]
fn a_run_with_all_of_it_says_so_and_is_the_same_again() {
    let dir = tempfile::tempdir().unwrap();
    let data = arg(&pictures::folder(dir.path(), 3, 8));
    let model = arg(&small_model(dir.path()));
    let train = |name: &str, more: &[&str]| -> [Vec<u8>; 2] {
        let out = dir.path().join(name);
        let args = ["finetune", "--data", &data, "--model", &model, "--epochs", "2"];
        let rest = ["--batch-size", "6", "--out", &arg(&out), "--json"];
        let report = taper(&[&args[..], &rest, more].concat()).succeeds().json();
        assert!(report["val_top1"].is_f64(), "{report}");
        ["model.safetensors", "metrics.jsonl"].map(|file| fs::read(out.join(file)).unwrap())
    };
    let all = [
        "--augment=rand-m12,color-jitter,grayscale=0.2,blur=0.2",
        "--erase=0.5",
        "--mixup=0.2",
        "--cutmix=1",
        "--repeats=2",
        "--label-smoothing=0.1",
    ];
    assert!(train("one", &all) == train("two", &all));
    // The model's file names its recipe; losses differ by what was seen alone.
    assert!(train("fewer", &all[..2])[1] != train("plain", &[])[1]);
    // A frozen backbone sees mixed pictures anew, instead of being asked once.
    let frozen = ["--freeze=backbone", "--augment=none"];
    let mixed = ["--freeze=backbone", "--augment=none", "--mixup=0.4"];
    assert!(train("frozen", &frozen)[1] != train("frozen and mixed", &mixed)[1]);
    let config = fs::read_to_string(dir.path().join("one/config.json")).unwrap();
    assert!(config.contains("rand-m12-n2,color-jitter=0.4,grayscale=0.2,blur=0.2"), "{config}");
}
