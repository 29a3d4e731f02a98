//! Ways to fine-tune from the command line: a rate that is found, parts that are trained, presets, several splits, several views, a class
//! added later, pictures without labels, five pictures a class.

use std::fs;
use std::path::Path;

use taper_recipes::{FineTuneOptions, MatmulPrecision};

use crate::pictures::{self, COLORS};
use crate::taper::{Ran, arg, taper};

/// A run on features of three classes with `count` pictures each, of which `--out` is `dir/NAME`.
fn finetune(dir: &Path, count: u8, name: &str, more: &[&str]) -> Ran {
    let data = arg(&pictures::folder(dir, 3, count));
    let out = arg(&dir.join(name));
    let args = ["finetune", "--data", &data, "--out", &out, "--image-size", "32", "--json"];
    taper(&[&args[..], more].concat())
}

const HEAD: [&str; 6] = ["--freeze", "backbone", "--augment", "none", "--epochs", "2"];

#[test]
fn a_rate_is_found_drawn_and_trained_with() {
    let dir = tempfile::tempdir().unwrap();
    let found = finetune(dir.path(), 6, "lr", &[&HEAD[..], &["--find-lr"]].concat()).succeeds();
    let report = found.json();
    let lr = report["lr"].as_f64().unwrap();
    assert!(lr > 0.0 && report["steps"].as_array().unwrap().len() > 10, "{report}");
    assert!(found.stderr.contains("suggested") && found.stderr.contains("use it: --lr"));
    assert!(fs::read_to_string(dir.path().join("lr/lr.html")).unwrap().contains("<svg"));
    assert!(!dir.path().join("lr/config.json").exists(), "nothing is trained");

    let auto = finetune(dir.path(), 6, "auto", &[&HEAD[..], &["--lr", "auto"]].concat()).succeeds();
    let config = fs::read_to_string(dir.path().join("auto/config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["options"]["lr"].as_f64(), Some(lr));
    assert!(auto.stderr.contains("learning rate: "), "{}", auto.stderr);
    finetune(dir.path(), 6, "no", &["--lr", "fast"]).refuses(2, &["--lr", "a number, or auto"]);
}

#[test]
fn products_are_rounded_where_the_machine_has_a_unit_for_them() {
    let dir = tempfile::tempdir().unwrap();
    let usual = ["--epochs", "1", "--head-epochs", "0", "--batch-size", "8", "--threads", "1"];
    let rounded = [&usual[..], &["--matmul-precision", "bf16"]].concat();
    let of = |name: &str, flags: &[&str]| finetune(dir.path(), 6, name, flags);
    let timed = ["bench", "--model", "lcnet_035", "--matmul-precision", "bf16"];
    let matmul_precision = MatmulPrecision::Bf16;
    let asked = FineTuneOptions { matmul_precision, ..FineTuneOptions::default() };
    if asked.check().is_err() {
        of("no", &rounded).refuses(2, &["--matmul-precision is bf16", "AMX"]);
        taper(&timed).refuses(2, &["--matmul-precision is bf16", "AMX"]);
        return;
    }
    taper(&timed).refuses(2, &["--matmul-precision is bf16", "training steps"]);
    let trains = ["--mode", "train", "--batch", "4", "--image-size", "32", "--seconds", "0"];
    taper(&[&timed[..], &trains].concat()).succeeds();
    of("whole", &usual).succeeds();
    let model = |name: &str| fs::read(dir.path().join(name).join("model.safetensors")).unwrap();
    of("rounded", &rounded).succeeds();
    of("again", &rounded).succeeds();
    let config = fs::read_to_string(dir.path().join("rounded/config.json")).unwrap();
    assert!(config.contains(r#""matmul_precision": "bf16""#), "{config}");
    assert!(model("rounded") != model("whole"), "the precision makes no difference");
    assert!(model("rounded") == model("again"), "the same run has other bits");
}

#[test]
fn presets_say_what_they_set_and_what_is_given_wins() {
    let dir = tempfile::tempdir().unwrap();
    let ran = finetune(dir.path(), 5, "quick", &["--preset", "quick", "--epochs", "3"]).succeeds();
    assert_eq!(ran.json()["epochs"], 3);
    let said = "preset quick: ";
    let line = ran.stderr.lines().find(|line| line.starts_with(said)).unwrap();
    assert!(line.contains("freeze backbone") && !line.contains("epochs"), "{line}");
    let recipe = ran.stderr.lines().find(|line| line.starts_with("recipe: ")).unwrap();
    assert!(recipe.contains("epochs 3, ") && recipe.contains("optimizer adamw"), "{recipe}");
    assert!(!recipe.contains("weight decay") && recipe.len() < 200, "{recipe}");
    let config = fs::read_to_string(dir.path().join("quick/config.json")).unwrap();
    assert!(config.contains(r#""preset": "quick""#) && config.contains(r#""freeze": "backbone""#));
    finetune(dir.path(), 5, "no", &["--preset", "fast"]).refuses(2, &["quick|default|best"]);
    let short = finetune(dir.path(), 5, "short", &["--quick", "--epochs", "3"]).succeeds();
    assert_eq!(short.json()["val_loss"], ran.json()["val_loss"]);
    for both in [["--quick", "--best"].as_slice(), &["--best", "--preset", "quick"]] {
        finetune(dir.path(), 5, "no", both).refuses(2, &["--best", "cannot be used with"]);
    }
    let momentum = ["--preset", "quick", "--momentum", "0.5", "--epochs", "1"];
    finetune(dir.path(), 5, "momentum", &momentum).succeeds();
    let taught = ["--minutes", "1", "--teacher", "mobilenetv2_100"];
    finetune(dir.path(), 5, "no", &taught).refuses(2, &["--teacher", "`minutes`"]);
    let largest = ["finetune", "--minutes", "1", "--image-size-from", "224"];
    taper(&largest).refuses(2, &["--image-size-from is 224", "less than 224"]);
}

#[test]
fn five_pictures_a_class_are_trained_on_in_parts_and_in_folds() {
    let dir = tempfile::tempdir().unwrap();
    let run = |name, more: &[&str]| finetune(dir.path(), 5, name, more);
    let usual = ["--epochs", "2", "--head-epochs", "2", "--lr", "0.0003"];
    run("all", &usual).succeeds();
    let gradual = [&usual[..], &["--unfreeze-every", "1", "--norms", "freeze"]].concat();
    let gradual = run("gradual", &gradual).succeeds();
    assert!(gradual.stderr.contains("stay frozen to the end"), "{}", gradual.stderr);
    let surgical = run("part", &[&usual[..], &["--train", "blocks.6,head"]].concat()).succeeds();
    assert!(surgical.stderr.contains("freeze all but blocks.6,head"), "{}", surgical.stderr);
    run("no", &["--train", "blocks.77"]).refuses(2, &["blocks.77", "blocks.6"]);
    run("no", &["--train", "head", "--freeze", "backbone"]).refuses(2, &["--train", "--freeze"]);

    let folds = run("folds", &[&HEAD[..], &["--folds", "5"]].concat()).succeeds();
    let report = folds.json();
    assert_eq!(report["runs"].as_array().unwrap().len(), 5);
    let top1 = &report["scores"]["top1"];
    assert!(top1["interval"][0].as_f64() <= top1["mean"].as_f64(), "{report}");
    assert!(folds.stderr.contains("on average"), "{}", folds.stderr);
    let again =
        taper(&["finetune", "--resume", &arg(&dir.path().join("folds")), "--json"]).succeeds();
    assert_eq!(again.json()["scores"], report["scores"]);
    let all = dir.path().join("folds");
    let summary = fs::read_to_string(all.join("summary.json")).unwrap();
    let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
    assert_eq!(summary["scores"], report["scores"]);
    // The page about all, and that of one of them, which names the pictures that all of them divide.
    let one = all.join("split-2");
    for (folder, words) in [(&all, "on pictures, 5 folds"), (&one, "on pictures, fold 2 of 5")] {
        let at_end = fs::read_to_string(folder.join("report.html")).unwrap();
        let told = taper(&["report", &arg(folder), "--json"]).succeeds();
        assert!(!told.stderr.contains("others than those"), "{}", told.stderr);
        let anew = fs::read_to_string(folder.join("report.html")).unwrap();
        let data = arg(&dir.path().join("pictures")).replace('/', "&#x2f;");
        for html in [at_end, anew] {
            for words in [words, &format!("--data {data}"), "--folds 5"] {
                assert!(html.contains(words), "{words}: {html}");
            }
        }
    }
    taper(&["report", &arg(&all), "--data", "x"]).refuses(2, &["--data", "split-1"]);
    run("no", &["--folds", "1"]).refuses(2, &["folds", "2 or more"]);
    assert!(!dir.path().join("no").exists());
}

#[test]
fn views_are_averaged_in_eval_and_predict_at_other_sizes_too() {
    let dir = tempfile::tempdir().unwrap();
    let report = finetune(dir.path(), 8, "run", &HEAD);
    let model = report.succeeds().json()["model"].as_str().unwrap().to_owned();
    let data = arg(&dir.path().join("pictures"));
    let eval = |more: &[&str]| {
        let args = ["eval", "--model", &model, "--data", &data, "--json"];
        taper(&[&args[..], more].concat()).succeeds().json()
    };
    let plain = eval(&[]);
    assert_eq!(eval(&["--tta", "none"])["loss"], plain["loss"]);
    for more in
        [&["--tta", "flip"][..], &["--tta", "five"], &["--tta", "ten"], &["--image-size", "40"]]
    {
        let other = eval(more);
        assert_eq!(other["images"], plain["images"]);
        assert_ne!(other["loss"], plain["loss"], "{more:?}");
    }
    let picture = format!("{data}/red/000.png");
    let predict = |more: &[&str]| {
        let args = ["predict", "--model", &model, "--json", &picture];
        let found = taper(&[&args[..], more].concat()).succeeds().json();
        found["predictions"][0]["probability"].as_f64().unwrap()
    };
    assert!((predict(&[]) - predict(&["--tta", "ten"])).abs() > 1e-9);
    taper(&["predict", "--model", &model, "--tta", "all", &picture]).refuses(2, &["--tta"]);
    taper(&["predict", "--model", &model, "--image-size", "5", &picture])
        .refuses(2, &["--image-size is 5"]);
}

#[test]
fn a_class_is_added_to_a_model_file_without_the_pictures_of_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let report = finetune(dir.path(), 8, "run", &[&HEAD[..], &["--lr", "0.01"]].concat());
    let model = report.succeeds().json()["model"].as_str().unwrap().to_owned();
    let more = dir.path().join("more");
    pictures::class(&more.join("white"), [250, 250, 250], 6);
    let (data, out) = (arg(&more), arg(&dir.path().join("four")));
    let args = ["finetune", "--model", &model, "--data", &data, "--out", &out, "--json"];
    let ran = taper(&[&args[..], &["--keep"]].concat()).succeeds();
    assert!(ran.stderr.contains("are kept: `blue`, `green`, `red`"), "{}", ran.stderr);
    let new = ran.json()["model"].as_str().unwrap().to_owned();
    let page = fs::read_to_string(ran.json()["page"].as_str().unwrap()).unwrap();
    assert!(page.contains("Nothing was trained") && page.contains("--keep"), "{page}");
    let compared = taper(&["compare", &out, &arg(&dir.path().join("run")), "--json"]).succeeds();
    assert_eq!(compared.json()["runs"][0]["ended"], "finished");
    let picture = format!("{data}/white/001.png");
    let found = taper(&["predict", "--model", &new, "--json", &picture]).succeeds().json();
    assert_eq!(found["predictions"].as_array().unwrap().len(), 4);
    let alone = arg(&dir.path().join("alone"));
    let args = ["finetune", "--model", &model, "--data", &data, "--out", &alone];
    taper(&args).refuses(2, &["--keep", "add one class", "white"]);
    let zoo = ["finetune", "--data", &data, "--out", &alone, "--keep"];
    taper(&zoo).refuses(2, &["keep", "--model FILE"]);
    let class = COLORS[1];
    pictures::class(&more.join(class.0), class.1, 6);
    let args = ["finetune", "--model", &model, "--data", &data, "--out", &alone, "--json"];
    let ran = taper(&[&args[..], &HEAD].concat()).succeeds();
    assert!(ran.stderr.contains("are dropped: `blue`, `green`"), "{}", ran.stderr);
    assert!(fs::metadata(ran.json()["page"].as_str().unwrap()).unwrap().len() > 1000);
}

#[test]
fn pictures_without_labels_need_a_teacher() {
    let dir = tempfile::tempdir().unwrap();
    let unsorted = dir.path().join("unsorted");
    pictures::class(&unsorted, [120, 120, 120], 4);
    let unsorted = arg(&unsorted);
    finetune(dir.path(), 5, "no", &["--unlabelled", &unsorted])
        .refuses(2, &["--unlabelled", "absent without"]);
    let teacher = finetune(dir.path(), 5, "teacher", &HEAD).succeeds();
    let teacher = teacher.json()["model"].as_str().unwrap().to_owned();
    let taught =
        ["--teacher", &teacher, "--unlabelled", &unsorted, "--epochs", "1", "--lr", "0.0003"];
    let ran = finetune(dir.path(), 5, "run", &taught).succeeds();
    assert!(ran.stderr.contains("16 pictures to train with"), "{}", ran.stderr);
    let told = taper(&["report", &arg(&dir.path().join("run"))]).succeeds();
    assert!(!told.stderr.contains("others than those"), "{}", told.stderr);
}
