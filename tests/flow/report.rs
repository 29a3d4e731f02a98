//! The page about a run: complete, self-contained, with the run's own numbers, for every task, and for a run that was cut.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::pictures;
use crate::taper::{Ran, arg, small_model, taper};

/// A run of two epochs in `dir/run`, on pictures whose names want to be markup.
fn run(dir: &Path, more: &[&str]) -> (PathBuf, Ran) {
    let data = dir.join("pictures");
    for (class, (_, color)) in
        ["<script>red", "it's \"blue\"", "green & co"].iter().zip(pictures::COLORS)
    {
        pictures::class(&data.join(class), color, 9);
    }
    fs::rename(data.join("<script>red/000.png"), data.join("<script>red/a\" onerror=\"x.png"))
        .unwrap();
    let out = dir.join("run");
    let (data, model, folder) = (arg(&data), arg(&small_model(dir)), arg(&out));
    let args = [
        "finetune",
        "--data",
        &data,
        "--model",
        &model,
        "--out",
        &folder,
        "--epochs",
        "2",
        "--batch-size",
        "8",
        "--json",
    ];
    let ran = taper(&[&args[..], more].concat());
    (out, ran)
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The page, which loads nothing and runs nothing.
#[track_caller]
fn page(path: &Path) -> String {
    let html = fs::read_to_string(path).unwrap();
    assert!(html.len() < 3_000_000, "{} bytes", html.len());
    for word in ["http:", "https:", "<script", "<link", "@import", "url(", "onerror=\"x"] {
        assert!(!html.contains(word), "{word}");
    }
    let sources = html.matches("src=\"").count();
    assert_eq!(sources, html.matches("src=\"data:image/").count());
    // What can be seen can be reached by keys and has words.
    assert!(html.contains("class=\"skip\"") && html.contains("<summary>"));
    assert_eq!(html.matches("<img ").count(), html.matches(" alt=\"").count());
    html
}

#[test]
fn a_run_ends_with_a_page_of_its_own_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let (out, ran) = run(dir.path(), &[]);
    let report = ran.succeeds().json();
    assert_eq!(report["page"], arg(&out.join("report.html")).as_str());
    let html = page(&out.join("report.html"));
    let best = report["best_val_top1"].as_f64().unwrap();
    for words in [
        format!("{:.1} %", 100.0 * best),
        "95 % interval".to_owned(),
        "2 of 2".to_owned(),
        "&lt;script&gt;red".to_owned(),
        "Expected calibration error".to_owned(),
        "What the network sees".to_owned(),
        "Multiply-accumulates".to_owned(),
        "--epochs 2 --batch-size 8".to_owned(),
    ] {
        assert!(html.contains(&words), "{words}");
    }
    let answers = lines(&out.join("predictions.jsonl"));
    assert_eq!(Value::from(answers.len()), report["val_images"]);
    let right = answers.iter().filter(|it| it["target"] == it["predicted"]).count();
    assert!((right as f64 / answers.len() as f64 - best).abs() < 1e-9);
    if right < answers.len() {
        assert!(html.contains("Most confidently wrong"));
    }
    assert_eq!(lines(&out.join("calls.jsonl"))[0]["ended"], "finished");
}

#[test]
fn a_page_changes_no_bit_of_the_run_and_need_not_be() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (with, ran) = run(dirs[0].path(), &[]);
    ran.succeeds();
    let (without, ran) = run(dirs[1].path(), &["--no-report"]);
    assert!(ran.succeeds().json().get("page").is_none());
    for name in ["model.safetensors", "metrics.jsonl"] {
        assert!(
            fs::read(with.join(name)).unwrap() == fs::read(without.join(name)).unwrap(),
            "{name}"
        );
    }
    for name in ["report.html", "predictions.jsonl"] {
        assert!(with.join(name).is_file() && !without.join(name).exists(), "{name}");
    }
}

#[test]
fn a_run_that_was_cut_has_a_page_that_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (out, ran) = run(dir.path(), &["--no-report"]);
    ran.succeeds();
    let log = out.join("metrics.jsonl");
    let text = fs::read_to_string(&log).unwrap();
    let first = text.find("\"kind\":\"epoch\"").unwrap();
    let end = first + text[first..].find('\n').unwrap() + 20; // in the middle of the next line
    fs::write(&log, &text[..end]).unwrap();
    let ran = taper(&["report", &arg(&out), "--json"]).succeeds();
    let report = ran.json();
    assert_eq!(report["epochs"], 1);
    let said = "The run was cut after 1 of 2 epochs";
    assert!(report["remarks"][0].as_str().unwrap().contains(said), "{report}");
    let html = page(&out.join("report.html"));
    assert!(html.contains(said) && html.contains("1 of 2"));
    assert!(out.join("predictions.jsonl").is_file());

    // A model that cannot be read, and one that is gone.
    let model = out.join("model.safetensors");
    let bytes = fs::read(&model).unwrap();
    fs::write(&model, &bytes[..bytes.len() / 2]).unwrap();
    let said = |words: &str| {
        let remarks = taper(&["report", &arg(&out), "--json"]).succeeds().json();
        assert!(remarks["remarks"].to_string().contains(words), "{words}: {remarks}");
        page(&out.join("report.html"));
    };
    said("The model cannot be read");
    let compared = taper(&["compare", &arg(&out), &arg(&out), "--json"]).succeeds().json();
    assert!(compared["remarks"].to_string().contains("cannot be read"), "{compared}");
    fs::remove_file(&model).unwrap();
    said("the best epoch's model, is missing");
    fs::remove_file(&log).unwrap();
    said("metrics.jsonl is missing");

    // Not even an epoch, and no model.
    fs::write(&log, "").unwrap();
    fs::remove_file(out.join("calls.jsonl")).unwrap();
    let report = taper(&["report", &arg(&out), "--json"]).succeeds().json();
    let remarks = report["remarks"].to_string();
    assert!(remarks.contains("after 0 of 2") && remarks.contains("no model yet"), "{remarks}");
    page(&out.join("report.html"));
}

#[test]
fn answers_of_a_run_are_those_of_its_model() {
    // Of steps on pictures and of steps on a frozen backbone's features, which ask the classifier alone.
    for freeze in ["none", "backbone"] {
        let dir = tempfile::tempdir().unwrap();
        let (out, ran) = run(dir.path(), &["--freeze", freeze, "--augment", "none"]);
        ran.succeeds();
        let kept = fs::read(out.join("predictions.jsonl")).unwrap();
        taper(&["report", &arg(&out)]).succeeds();
        assert!(fs::read(out.join("predictions.jsonl")).unwrap() == kept, "{freeze}");
    }
}

#[test]
fn pictures_that_moved_are_found_or_done_without() {
    let dir = tempfile::tempdir().unwrap();
    let (out, ran) = run(dir.path(), &[]);
    ran.succeeds();
    let kept = fs::read(out.join("predictions.jsonl")).unwrap();
    let moved = dir.path().join("moved");
    fs::rename(dir.path().join("pictures"), &moved).unwrap();
    let elsewhere = dir.path().join("page.html");
    let args = ["report", &arg(&out), "--out", &arg(&elsewhere), "--json"].map(str::to_owned);
    let report = taper(&args).succeeds().json();
    assert!(report["remarks"].to_string().contains("cannot be read"), "{report}");
    let html = page(&elsewhere);
    assert!(html.contains("Expected calibration error") && !html.contains("What the network sees"));
    let args = [&args[..], &["--data".to_owned(), arg(&moved)]].concat();
    let report = taper(&args).succeeds().json();
    assert_eq!(report["remarks"], Value::Array(Vec::new()));
    assert!(page(&elsewhere).contains("What the network sees"));
    assert!(fs::read(out.join("predictions.jsonl")).unwrap() == kept, "other answers");
    // Other pictures are not taken for those of the run.
    fs::remove_file(moved.join("green & co/001.png")).unwrap();
    let report = taper(&args).succeeds().json();
    assert!(report["remarks"].to_string().contains("are others"), "{report}");
}

#[test]
fn what_holds_no_run_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    taper(&["report", &arg(dir.path())]).refuses(2, &["holds no run", "config.json"]);
    taper(&["report", &arg(&dir.path().join("none"))]).refuses(2, &["holds no run"]);
    fs::write(dir.path().join("config.json"), "{").unwrap();
    taper(&["report", &arg(dir.path())]).refuses(2, &["configuration of a run"]);
}

#[test]
fn event_files_say_what_the_log_says_and_a_run_that_goes_on_has_another() {
    let dir = tempfile::tempdir().unwrap();
    let (out, ran) = run(dir.path(), &["--no-report", "--tensorboard"]);
    ran.succeeds();
    let files = || {
        let mut files: Vec<PathBuf> =
            fs::read_dir(out.join("tensorboard")).unwrap().map(|it| it.unwrap().path()).collect();
        files.sort();
        files
    };
    assert_eq!(files().len(), 1);
    let bytes = fs::read(&files()[0]).unwrap();
    // A tag, then the value: field 2, four bytes.
    let values = |tag: &str| -> Vec<f32> {
        let found = bytes.windows(tag.len()).enumerate().filter(|(_, it)| *it == tag.as_bytes());
        let value = |(at, _): (usize, &[u8])| {
            let value = &bytes[at + tag.len()..][..5];
            assert_eq!(value[0], 0x15, "{tag}");
            f32::from_le_bytes(value[1..].try_into().unwrap())
        };
        found.map(value).collect()
    };
    let log = lines(&out.join("metrics.jsonl"));
    #[expect(clippy::cast_possible_truncation, reason = "event files have single precision")]
    let of = |kind: &str, value: &dyn Fn(&Value) -> f64| -> Vec<f32> {
        log.iter().filter(|line| line["kind"] == kind).map(|line| value(line) as f32).collect()
    };
    assert_eq!(values("train/loss"), of("step", &|it| it["loss"].as_f64().unwrap()));
    assert_eq!(values("train/learning_rate"), of("step", &|it| it["lr"].as_f64().unwrap()));
    assert_eq!(values("val/loss"), of("epoch", &|it| it["val"]["loss"].as_f64().unwrap()));
    assert_eq!(values("val/top1"), of("epoch", &|it| it["val"]["top1"].as_f64().unwrap()));
    taper(&["finetune", "--resume", &arg(&out)]).succeeds();
    assert_eq!(files().len(), 2);
}
