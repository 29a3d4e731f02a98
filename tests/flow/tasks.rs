//! Tables of pictures: labels, numbers, probabilities, and classes of which one is rare.

use std::fs;
use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};

use crate::taper::{Ran, arg, taper};

/// A run of seconds on the features of a frozen backbone.
const QUICK: [&str; 13] = [
    "--freeze",
    "backbone",
    "--augment",
    "none",
    "--image-size",
    "64",
    "--batch-size",
    "8",
    "--optimizer",
    "adamw",
    "--lr",
    "0.01",
    "--json",
];

/// A picture of vertical stripes in these colors.
fn striped(colors: &[[u8; 3]]) -> RgbImage {
    RgbImage::from_fn(48, 48, |x, _| Rgb(colors[(x as usize / 8) % colors.len()]))
}

/// A folder of `n` pictures and a table of what each has behind its name; every third validates.
fn table(
    dir: &Path,
    name: &str,
    header: &str,
    n: usize,
    row: impl Fn(usize) -> (RgbImage, String),
) -> PathBuf {
    let mut text = format!("file_name,split,{header}\n");
    for i in 0..n {
        let (picture, cells) = row(i);
        picture.save(dir.join(format!("{i:03}.png"))).unwrap();
        let part = if i % 3 == 2 { "val" } else { "train" };
        text.push_str(&format!("{i:03}.png,{part},{cells}\n"));
    }
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    path
}

fn finetune(table: &Path, out: &Path, more: &[&str]) -> Ran {
    let (data, out) = (arg(table), arg(out));
    let args = ["finetune", "--data", &data, "--out", &out];
    taper(&[&args[..], &QUICK[..], more].concat())
}

fn number(value: &serde_json::Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value}"))
}

/// What the finished model scores, which is what the best epoch said.
fn evaluated(table: &Path, report: &serde_json::Value, metric: &str) -> serde_json::Value {
    let model = report["model"].as_str().unwrap();
    let ran = taper(&["eval", "--model", model, "--data", &arg(table), "--json"]).succeeds();
    let (said, found) = (&report["best_val_scores"][metric], &ran.json()["scores"][metric]);
    // The file's last layer gives numbers in their own unit, rounded once more.
    let (said, found) = (number(said), number(found));
    assert!((said - found).abs() < 1e-5 * (1.0 + said.abs()), "{metric}: {said} {found}");
    ran.json()
}

/// What is said of the pictures of a table that validate, by `predict`, which asks for no more than `eval` does.
fn predicted(table: &Path, report: &serde_json::Value) -> Vec<serde_json::Value> {
    let model = report["model"].as_str().unwrap();
    let ran = taper(&["predict", "--model", model, "--data", &arg(table), "--json"]).succeeds();
    ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

const COLORS: [(&str, [u8; 3]); 3] =
    [("blue", [20, 20, 220]), ("green", [20, 200, 20]), ("red", [220, 20, 20])];

/// Picture `i` of stripes, and which of the colors it has.
fn of_colors(i: usize) -> (RgbImage, [bool; 3]) {
    let holds = [0, 1, 2].map(|bit| (i / 3) >> bit & 1 == 1);
    let shade = u8::try_from(90 + i).unwrap();
    let held = COLORS.iter().zip(holds).filter(|(_, holds)| *holds).map(|(color, _)| color.1);
    (striped(&held.chain([[shade; 3]]).collect::<Vec<_>>()), holds)
}

fn labels(dir: &Path) -> PathBuf {
    table(dir, "labels.csv", "tags", 48, |i| {
        let (picture, holds) = of_colors(i);
        let held = COLORS.iter().zip(holds).filter(|(_, holds)| *holds).map(|(color, _)| color.0);
        (picture, held.collect::<Vec<_>>().join(";"))
    })
}

#[test]
fn many_labels_a_picture_are_learned_evaluated_and_predicted() {
    let dir = tempfile::tempdir().unwrap();
    let data = labels(dir.path());
    let ran = finetune(&data, &dir.path().join("run"), &["--epochs", "30"]).succeeds();
    assert!(
        ran.stderr.contains("3 labels, any number a picture: blue, green, red"),
        "{}",
        ran.stderr
    );
    let report = ran.json();
    assert_eq!(
        (&report["task"], &report["val_top1"]),
        (&"multi-label".into(), &serde_json::Value::Null)
    );
    assert!(number(&report["best_val_scores"]["f1"]) > 0.9, "{report}");
    let page = fs::read_to_string(report["page"].as_str().unwrap()).unwrap();
    assert!(page.contains("Label by label") && !page.contains("calibration error"));
    let judged = evaluated(&data, &report, "f1");
    assert!(number(&judged["scores"]["auroc"]) > 0.95, "{judged}");
    assert!(judged.get("top1").is_none(), "{judged}");

    let model = report["model"].as_str().unwrap();
    let picture = arg(&dir.path().join("023.png")); // all three
    let found = taper(&["predict", "--model", model, "--json", &picture]).succeeds().json();
    let likely: Vec<f64> = found["predictions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| number(&it["probability"]))
        .collect();
    assert!(likely.len() == 3 && likely.iter().all(|it| *it > 0.5), "{found}");
    let all = predicted(&data, &report);
    assert!(all.len() == 16 && all.contains(&found), "{all:?}");
    // It has labels and no classes.
    taper(&["prune", "--model", model, "--data", &arg(&data), "--target-macs", "0.5"])
        .refuses(2, &["multi-label", "classes are needed"]);
    let again = finetune(&data, &dir.path().join("again"), &["--epochs", "30"]).succeeds();
    let [first, second] =
        [&report, &again.json()].map(|report| fs::read(report["model"].as_str().unwrap()).unwrap());
    assert!(first == second, "the same run gives another file");
}

/// Of each picture one color is not known: who took that for "no" would learn that no color is likely.
#[test]
fn a_label_that_nobody_knows_counts_neither_in_training_nor_in_judging() {
    let dir = tempfile::tempdir().unwrap();
    let (all, some) = (dir.path().join("all.csv"), dir.path().join("some.csv"));
    let cell = |holds: bool| if holds { "1" } else { "0" };
    table(dir.path(), "all.csv", "blue,green,red", 48, |i| {
        let (picture, holds) = of_colors(i);
        (picture, holds.map(cell).join(","))
    });
    table(dir.path(), "some.csv", "blue,green,red", 48, |i| {
        let (picture, holds) = of_colors(i);
        let mut cells = holds.map(cell);
        cells[(i / 3 + i) % 3] = "";
        (picture, cells.join(","))
    });
    let columns = ["--target-columns", "blue,green,red"];
    let more = [&columns[..], &["--epochs", "30", "--class-weights", "balanced"]].concat();
    let report = finetune(&some, &dir.path().join("run"), &more).succeeds().json();
    assert_eq!(report["task"], "multi-label");
    let model = report["model"].as_str().unwrap();
    let f1 = |table: &Path| {
        let (model, table) = (model.to_owned(), arg(table));
        let args = [&["eval", "--model", &model, "--data", &table, "--json"], &columns[..]];
        let scores = taper(&args.concat()).succeeds().json();
        number(&scores["scores"]["f1"])
    };
    assert!((f1(&some) - number(&report["best_val_scores"]["f1"])).abs() < 1e-5);
    let whole = f1(&all);
    assert!(whole > 0.85, "{whole}: all labels, of which two thirds were shown");
}

#[test]
fn a_number_is_predicted_in_its_own_unit() {
    let dir = tempfile::tempdir().unwrap();
    let data = table(dir.path(), "ages.csv", "brightness", 60, |i| {
        let level = u8::try_from(20 + 7 * (i / 2)).unwrap();
        (striped(&[[level; 3], [level, level / 2, level]]), format!("{}.5", 1000 + 10 * i))
    });
    let ran = finetune(&data, &dir.path().join("run"), &["--epochs", "40", "--loss", "huber"]);
    let report = ran.succeeds().json();
    assert_eq!(report["task"], "regression");
    // Saying the middle every time is off by 150 on average.
    assert!(number(&report["best_val_scores"]["mae"]) < 40.0, "{report}");
    let page = fs::read_to_string(report["page"].as_str().unwrap()).unwrap();
    for words in [
        "Predicted brightness",
        "How far brightness is off",
        "best mean absolute error",
        "Most off",
    ] {
        assert!(page.contains(words), "{words}");
    }
    let judged = evaluated(&data, &report, "mae");
    assert!(number(&judged["scores"]["r2"]) > 0.9, "{judged}");
    let (model, picture) = (report["model"].as_str().unwrap(), arg(&dir.path().join("030.png")));
    let found = taper(&["predict", "--model", model, "--json", &picture]).succeeds().json();
    assert_eq!(found["numbers"][0]["name"], "brightness");
    assert!((number(&found["numbers"][0]["value"]) - 1300.5).abs() < 100.0, "{found}");
    let all = predicted(&data, &report);
    assert_eq!((all.len(), &all[0]["numbers"][0]["name"]), (20, &"brightness".into()));
}

/// Of each picture one number is not known: who took that for 0 would be off by hundreds.
#[test]
fn a_number_that_nobody_knows_counts_neither_in_training_nor_in_judging() {
    let dir = tempfile::tempdir().unwrap();
    let rows = |name: &str, hides: bool| {
        table(dir.path(), name, "bright,dark", 60, |i| {
            let level = u8::try_from(20 + 7 * (i / 2)).unwrap();
            let mut cells = [format!("{}.5", 1000 + 10 * i), format!("{}.5", 3000 - 10 * i)];
            if hides {
                cells[(i / 3 + i) % 2] = String::new();
            }
            (striped(&[[level; 3], [level, level / 2, level]]), cells.join(","))
        })
    };
    let (all, some) = (rows("all.csv", false), rows("some.csv", true));
    let columns = ["--target-columns", "bright,dark"];
    let more = [&columns[..], &["--epochs", "40", "--loss", "huber"]].concat();
    let report = finetune(&some, &dir.path().join("run"), &more).succeeds().json();
    assert_eq!(report["task"], "regression");
    assert!(number(&report["best_val_scores"]["mae"]) < 40.0, "{report}");
    let model = report["model"].as_str().unwrap();
    for table in [&all, &some] {
        let table = arg(table);
        let args = [&["eval", "--model", model, "--data", &table, "--json"], &columns[..]];
        let judged = taper(&args.concat()).succeeds().json();
        assert!(number(&judged["scores"]["mae"]) < 60.0, "{judged}");
        assert!(number(&judged["scores"]["r2"]) > 0.8, "{judged}");
    }
}

#[test]
fn probabilities_of_classes_are_learned() {
    let dir = tempfile::tempdir().unwrap();
    let data = table(dir.path(), "soft.csv", "dark,light", 48, |i| {
        let level = u8::try_from(30 + 4 * i).unwrap();
        let light = i as f64 / 47.0;
        (striped(&[[level; 3]]), format!("{:.6},{:.6}", 1.0 - light, light))
    });
    let columns =
        ["--target-columns", "dark,light", "--targets", "probabilities", "--epochs", "20"];
    let report = finetune(&data, &dir.path().join("run"), &columns).succeeds().json();
    assert!(number(&report["best_val_top1"]) >= 0.9, "{report}");
    let page = fs::read_to_string(report["page"].as_str().unwrap()).unwrap();
    assert!(page.contains("Which class is taken for which"));
    // The entropy of the targets is the least that a cross-entropy can be, and above zero.
    assert!(number(&report["val_loss"]) > 0.3, "{report}");
}

#[test]
fn a_rare_class_is_told_better_when_classes_count_alike() {
    let dir = tempfile::tempdir().unwrap();
    let noise = |i: usize| u8::try_from((i * 37) % 91).unwrap();
    let data = table(dir.path(), "rare.csv", "label", 120, |i| {
        let is_rare = i % 20 < 3; // of every part alike
        let level = if is_rare { 118 } else { 100 };
        let class = if is_rare { "rare" } else { "usual" };
        (striped(&[[level, noise(i), 90], [noise(i + 7); 3]]), class.to_owned())
    });
    let score = |name: &str, more: &[&str]| {
        let more = [&["--epochs", "4", "--best-by", "balanced_accuracy"], more].concat();
        let report = finetune(&data, &dir.path().join(name), &more).succeeds().json();
        number(&report["best_val_scores"]["balanced_accuracy"])
    };
    let plain = score("plain", &["--sampling", "shuffle"]);
    let weighed = score("weighed", &["--class-weights", "balanced"]);
    let drawn = score("drawn", &["--sampling", "balanced"]);
    assert!(weighed > plain && drawn > plain, "{plain} {weighed} {drawn}");
    // One in seven is few enough; features that are computed once are weighed.
    assert_eq!(score("usual", &[]).to_bits(), weighed.to_bits());
}

#[test]
fn what_contradicts_the_pictures_is_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (data, out) = (labels(dir.path()), dir.path().join("run"));
    for (more, parts) in [
        (&["--loss", "cross-entropy"][..], &["--loss", "bce, focal"][..]),
        (&["--label-smoothing", "0.1"], &["--label-smoothing", "no classes"]),
        (&["--best-by", "top1"], &["--best-by", "top1", "f1"]),
        (&["--target-columns", "tag"], &["no column `tag`", "`tags`"]),
        (&["--targets", "numbers"], &["line 5", "is no number"]), // the rows before say nothing
        (&["--class-weights", "balanced", "--sampling", "balanced"], &["count twice"]),
    ] {
        finetune(&data, &out, more).refuses(2, parts);
        assert!(!out.exists(), "{more:?}");
    }
    let folder = arg(dir.path());
    taper(&["finetune", "--data", &folder, "--target-columns", "tags"])
        .refuses(2, &["--target-columns", "without a table"]);
    let gone = arg(&dir.path().join("gone.csv"));
    taper(&["finetune", "--data", &gone]).refuses(2, &["gone.csv", "cannot be read"]);
}
