//! `taper compare`: runs side by side, as tables, JSON and a page; also those that were cut or have other pictures.

use std::fs;
use std::path::Path;

use crate::pictures;
use crate::taper::{arg, small_model, taper};

fn run(dir: &Path, data: &str, name: &str, more: &[&str]) -> String {
    let (model, out) = (arg(&small_model(dir)), arg(&dir.join(name)));
    let args = ["finetune", "--data", data, "--model", &model, "--out", &out, "--batch-size", "8"];
    taper(&[&args[..], more].concat()).succeeds();
    out
}

#[test]
fn runs_are_laid_side_by_side() {
    let dir = tempfile::tempdir().unwrap();
    let data = arg(&pictures::folder(dir.path(), 2, 10));
    let short = run(dir.path(), &data, "short", &["--epochs", "1", "--no-report"]);
    let long = run(dir.path(), &data, "it's <long>", &["--epochs", "2", "--lr", "0.002"]);
    let page = dir.path().join("compare.html");
    let ran = taper(&["compare", &short, &long, "--out", &arg(&page), "--json"]).succeeds();
    let report = ran.json();
    let differences = report["differences"].as_array().unwrap();
    let option = |name: &str| {
        let found = differences.iter().find(|it| it["option"] == name);
        found.unwrap_or_else(|| panic!("{name}: {report}"))["values"].clone()
    };
    assert_eq!(option("epochs"), serde_json::json!(["1", "2"]));
    assert_eq!(option("lr")[1], "0.002");
    assert_eq!(differences.len(), 2, "{report}");
    let runs = report["runs"].as_array().unwrap();
    assert_eq!((&runs[0]["epochs"], &runs[1]["epochs"]), (&1.into(), &2.into()));
    assert_eq!(runs[0]["macs"], runs[1]["macs"]);
    assert!(runs[0]["seconds"].is_f64() && runs[1]["peak_bytes"] != 0, "{report}");
    assert_eq!(report["remarks"], serde_json::json!([]));
    let log = fs::read_to_string(Path::new(&long).join("metrics.jsonl")).unwrap();
    let best = log.lines().rfind(|line| line.contains("\"is_best\":true")).unwrap();
    let best: serde_json::Value = serde_json::from_str(best).unwrap();
    assert_eq!(runs[1]["best_val_scores"]["top1"], best["val"]["top1"]);

    let html = fs::read_to_string(&page).unwrap();
    for words in ["it&#x27;s &lt;long&gt;", "Held-out loss", "What differs"] {
        assert!(html.contains(words), "{words}");
    }
    assert!(!html.contains("http") && !html.contains("<script") && !html.contains("<long>"));
    let ran = taper(&["compare", &short, &long]).succeeds();
    for words in ["short", "it's <long>", "top-1", "differs", "0.002"] {
        assert!(ran.stdout.contains(words), "{words}: {}", ran.stdout);
    }
}

#[test]
fn what_cannot_be_compared_as_it_is_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let data = arg(&pictures::folder(dir.path(), 2, 10));
    let first = run(dir.path(), &data, "first", &["--epochs", "2", "--no-report"]);
    fs::remove_file(dir.path().join("pictures/red/000.png")).unwrap();
    let second = run(dir.path(), &data, "second", &["--epochs", "1", "--no-report"]);
    let log = Path::new(&first).join("metrics.jsonl");
    let text = fs::read_to_string(&log).unwrap();
    let end = text.find("\"kind\":\"epoch\"").unwrap();
    let end = end + text[end..].find('\n').unwrap() + 9;
    fs::write(&log, &text[..end]).unwrap();
    let ran = taper(&["compare", &first, &second]).succeeds();
    for words in ["`first` was cut after 1 of 2 epochs", "on different pictures"] {
        assert!(ran.stderr.contains(words), "{words}: {}", ran.stderr);
    }
    fs::write(&log, "").unwrap();
    let ran = taper(&["compare", &first, &second]).succeeds();
    assert!(ran.stderr.contains("`first` has no score yet"), "{}", ran.stderr);

    let table = dir.path().join("numbers.csv");
    let rows: String = (1..10).map(|i| format!("pictures/red/00{i}.png,{i}.5\n")).collect();
    fs::write(&table, format!("path,age\n{rows}")).unwrap();
    let third = run(dir.path(), &arg(&table), "third", &["--epochs", "1", "--targets", "numbers"]);
    let ran = taper(&["compare", &second, &third]).succeeds();
    assert!(ran.stderr.contains("different tasks (classification, regression)"), "{}", ran.stderr);

    taper(&["compare", &first]).refuses(2, &["one run is named", "from 2 to 64 folders of runs"]);
    taper(&["compare", &first, &arg(dir.path())]).refuses(2, &["holds no run"]);
    taper(&["compare"]).exits(2);
}
