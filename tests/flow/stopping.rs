//! Runs that end early: by Ctrl-C, by a kill, by a loss that is no number. Going on gives the bits of a run never stopped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::pictures;
use crate::taper::{arg, finish, small_model, start, taper};

/// Epochs of a run; enough that it takes a second or more.
const EPOCHS: usize = 20;

/// A run in `dir` that takes a few seconds.
struct Run {
    data: String,
    model: String,
    dir: PathBuf,
}

impl Run {
    fn new(dir: &Path) -> Self {
        let data = arg(&pictures::folder(dir, 3, 20));
        Run { data, model: arg(&small_model(dir)), dir: dir.to_path_buf() }
    }

    fn args(&self, out: &str) -> Vec<String> {
        // A narrow network on maps of one pixel has wild gradients.
        self.args_with(out, &["--lr", "0.0003", "--clip-norm", "1"])
    }

    fn args_with(&self, out: &str, more: &[&str]) -> Vec<String> {
        let out = arg(&self.dir.join(out));
        let args = [
            "finetune",
            "--data",
            &self.data,
            "--model",
            &self.model,
            "--epochs",
            &EPOCHS.to_string(),
            "--batch-size",
            "4",
            "--out",
            &out,
            "--json",
        ];
        args.iter().chain(more).map(ToString::to_string).collect()
    }

    fn resume(&self, out: &str) -> Vec<String> {
        ["finetune", "--resume", &arg(&self.dir.join(out)), "--json"].map(str::to_owned).to_vec()
    }

    fn file(&self, out: &str, name: &str) -> Vec<u8> {
        fs::read(self.dir.join(out).join(name)).unwrap()
    }

    /// Whether two runs left the same model and the same metrics.
    #[track_caller]
    fn assert_same(&self, a: &str, b: &str) {
        let best = |out: &str| -> Vec<String> {
            let files = fs::read_dir(self.dir.join(out).join("best")).into_iter().flatten();
            let name = |file: fs::DirEntry| format!("best/{}", file.file_name().display());
            let mut names: Vec<String> = files.map(|file| name(file.unwrap())).collect();
            names.sort();
            names
        };
        assert_eq!(best(a), best(b));
        let others = ["metrics.jsonl", "model.safetensors"].map(str::to_owned);
        for name in others.into_iter().chain(best(a)) {
            assert!(self.file(a, &name) == self.file(b, &name), "{name} of {a} and {b} differ");
        }
    }
}

/// Waits until the checkpoint of `out` is there.
fn wait_for_checkpoint(run: &Run, out: &str) {
    let path = run.dir.join(out).join("checkpoint/state.safetensors");
    let start = Instant::now();
    while !path.exists() {
        assert!(start.elapsed() < Duration::from_secs(60), "no checkpoint after a minute");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_saves_says_how_to_go_on_and_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let run = Run::new(dir.path());
    taper(&run.args("whole")).succeeds();

    let child = start(&run.args("stopped"));
    wait_for_checkpoint(&run, "stopped");
    std::thread::sleep(Duration::from_millis(150));
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let ran = finish(child).exits(130);
    assert!(ran.stderr.contains("taper finetune --resume"), "{}", ran.stderr);
    assert_eq!(ran.json()["stopped"], true);

    let report = taper(&run.resume("stopped")).succeeds().json();
    assert_eq!((&report["epochs"], &report["stopped"]), (&EPOCHS.into(), &false.into()));
    run.assert_same("whole", "stopped");
}

#[test]
fn a_killed_run_goes_on_with_the_same_bits() {
    killed_and_going_on(&[]);
}

#[test]
fn a_killed_run_on_mixed_and_repeated_pictures_goes_on_with_the_same_bits() {
    let policy = "--augment=trivial,color-jitter";
    killed_and_going_on(&[policy, "--erase=0.3", "--mixup=0.2", "--cutmix=1", "--repeats=2"]);
}

/// Every part of a step that remembers something, and pictures of which some are kept in files.
#[test]
fn a_killed_run_that_keeps_averages_shards_and_mixes_goes_on_with_the_same_bits() {
    let kept = tempfile::tempdir().unwrap();
    let folder = arg(kept.path());
    let keeping = ["--cache=disk", "--cache-size=150kB", "--cache-dir", &folder];
    let more = ["--ema=0.9", "--no-ema-warmup", "--shards=2", "--mixup=0.2", "--optimizer=adamw"];
    killed_and_going_on(&[&keeping[..], &more].concat());
    let files = fs::read_dir(kept.path()).unwrap().map(|file| file.unwrap().file_name());
    let names = files.map(|name| name.into_string().unwrap());
    let pictures = names.filter(|name| name.ends_with(".rgb")).count(); // a kill may leave half of one
    assert!((10..=34).contains(&pictures), "{pictures} of 60 pictures are kept");
}

#[test]
fn a_killed_run_whose_pictures_grow_and_whose_best_are_kept_goes_on_with_the_same_bits() {
    let sizes = ["--image-size=96", "--image-size-from=32"];
    killed_and_going_on(&[&sizes[..], &["--keep-best=3", "--precise-bn=2"]].concat());
}

fn killed_and_going_on(more: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let run = Run::new(dir.path());
    let args = |out: &str| {
        let more = more.iter().map(|word| (*word).to_owned());
        run.args(out).into_iter().chain(more).collect::<Vec<_>>()
    };
    taper(&args("whole")).succeeds();

    let mut child = start(&args("killed"));
    wait_for_checkpoint(&run, "killed");
    let mut kills = 0;
    for milliseconds in [0, 60, 110, 170, 230] {
        std::thread::sleep(Duration::from_millis(milliseconds));
        kills += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        child = start(&run.resume("killed"));
    }
    finish(child).succeeds();
    assert!(kills > 0, "the run was never under way when it was killed");
    run.assert_same("whole", "killed");
}

#[test]
fn a_finished_run_that_goes_on_says_the_same_again() {
    let dir = tempfile::tempdir().unwrap();
    let run = Run::new(dir.path());
    let first = taper(&run.args("run")).succeeds().json();
    let model = run.file("run", "model.safetensors");
    let again = taper(&run.resume("run")).succeeds().json();
    for key in ["val_top1", "best_val_top1", "val_loss", "epochs"] {
        assert_eq!(first[key], again[key], "{key}");
    }
    assert_eq!(model, run.file("run", "model.safetensors"));
}

#[test]
fn a_loss_that_is_no_number_stops_the_run_and_keeps_the_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let run = Run::new(dir.path());
    let args = run.args_with("nan", &["--lr", "1e30", "--schedule", "constant"]);
    taper(&args).refuses(1, &["step", "learning rate"]);
    let state = run.file("nan", "checkpoint/state.safetensors");
    let file = safetensors::SafeTensors::deserialize(&state).unwrap();
    for (name, tensor) in file.tensors() {
        if tensor.dtype() == safetensors::Dtype::F32 {
            let numbers =
                tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            assert!(numbers.into_iter().all(f32::is_finite), "{name} is no number");
        }
    }
}

#[test]
fn a_run_without_time_leaves_a_model_and_goes_on_to_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let run = Run::new(dir.path());
    let more = ["--lr", "0.0003", "--clip-norm", "1", "--max-minutes", "0.00001"];
    let ran = taper(&run.args_with("short", &more)).succeeds();
    let report = ran.json();
    assert_eq!((&report["time_up"], &report["stopped"]), (&true.into(), &false.into()));
    assert!(Path::new(report["model"].as_str().unwrap()).is_file(), "{report}");
    assert!(ran.stderr.contains("time is up in epoch 1"), "{}", ran.stderr);
    let folder = arg(&dir.path().join("short"));
    let report = taper(&["finetune", "--resume", &folder, "--json"]).succeeds().json();
    assert_eq!((&report["epochs"], &report["time_up"]), (&EPOCHS.into(), &false.into()));
    taper(&run.args_with("none", &["--max-minutes", "0"])).refuses(2, &["--max-minutes"]);
}

#[test]
fn a_run_that_gets_no_better_ends_before_its_last_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let run = Run::new(dir.path());
    // A rate that moves nothing that an `f32` shows.
    let report = taper(&run.args_with("early", &["--lr", "1e-30", "--patience", "2"])).succeeds();
    let report = report.json();
    assert!(report["epochs"].as_u64().unwrap() < EPOCHS as u64 / 2, "{report}");
    assert_eq!(report["stopped"], false);
}
