//! Where pictures come from and where they are kept: the same model from all of it, and clear words where it cannot be.

use std::fs;
use std::path::Path;

use crate::pictures;
use crate::taper::{Ran, arg, small_model, taper};

/// A run of two epochs on `data`.
fn finetune(dir: &Path, data: &str, out: &str, more: &[&str]) -> Ran {
    let (model, out) = (arg(&small_model(dir)), arg(&dir.join(out)));
    let args = ["finetune", "--data", data, "--model", &model, "--out", &out, "--json"];
    let steps = ["--batch-size=4", "--lr=0.0003", "--clip-norm=1", "--head-epochs=0"];
    let is_said = more.iter().any(|word| word.starts_with("--epochs"));
    let epochs: &[&str] = if is_said { &[] } else { &["--epochs=2"] };
    taper(&[&args[..], &steps, epochs, more].concat())
}

fn file(dir: &Path, out: &str, name: &str) -> Vec<u8> {
    fs::read(dir.join(out).join(name)).unwrap()
}

#[test]
fn a_cache_changes_no_bit_and_says_what_it_was_good_for() {
    let dir = tempfile::tempdir().unwrap();
    let data = arg(&pictures::folder(dir.path(), 2, 10));
    let folder = arg(&dir.path().join("kept"));
    let in_files = ["--cache=disk", "--cache-dir", &folder];
    let runs: [(&str, &[&str], [u64; 2]); 4] = [
        // Pictures kept and decoded: 16 to train with and 4 held out, in 2 epochs and for what comes after.
        ("none", &["--cache=none"], [0, 0]),
        ("ram", &["--cache=ram", "--cache-size=1MiB"], [20, 20]),
        ("disk", &in_files, [20, 20]),
        ("again", &in_files, [20, 0]),
    ];
    for (out, more, expected) in runs {
        let report = finetune(dir.path(), &data, out, more).succeeds().json();
        let cache = &report["cache"];
        if out == "none" {
            assert!(cache.is_null(), "{report}");
        } else {
            let got = [&cache["pictures"], &cache["decoded"]].map(|it| it.as_u64().unwrap());
            assert_eq!(got, expected, "{cache}");
            assert!(cache["hits"].as_u64().unwrap() >= 40, "{cache}");
        }
        for name in ["metrics.jsonl", "model.safetensors"] {
            assert!(file(dir.path(), out, name) == file(dir.path(), "none", name), "{out}/{name}");
        }
    }
    let words = finetune(dir.path(), &data, "words", &in_files).succeeds().stderr;
    assert!(words.contains("cache: 20 pictures in "), "{words}");
    assert!(words.contains(" times, decoded 0 times"), "{words}");
}

#[test]
fn a_cache_that_cannot_be_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let data = arg(&pictures::folder(dir.path(), 2, 5));
    let folder = arg(&dir.path().join("kept"));
    fs::write(dir.path().join("file"), "").unwrap();
    let in_file = arg(&dir.path().join("file/kept"));
    let refusals: [(&[&str], &[&str]); 6] = [
        (
            &["--cache=ram", "--cache-size=900000GB"],
            &["--cache-size is 900000 GB", "at most the ", "of memory", "that are free"],
        ),
        (
            &["--cache=disk", "--cache-dir", &folder, "--cache-size=900000GB"],
            &["--cache-size", "at most the ", "kept", "that are free"],
        ),
        (&["--cache=disk", "--cache-dir", &in_file], &["cannot write", "file/kept"]),
        (&["--cache=none", "--cache-size=1GiB"], &["--cache-size", "absent with `cache` none"]),
        (&["--cache-dir", &folder], &["--cache-dir", "absent with `cache` ram"]),
        (&["--cache=tape"], &["tape", "ram, disk, none"]),
    ];
    // Not every system says how much memory is free.
    let known = taper_data::cache::free_memory().is_some();
    for (more, words) in refusals.into_iter().filter(|(more, _)| known || more[0] != "--cache=ram")
    {
        finetune(dir.path(), &data, "run", more).refuses(2, words);
        assert!(!dir.path().join("run").exists(), "{more:?}");
    }
    finetune(dir.path(), &data, "run", &[]).succeeds();
    let run = arg(&dir.path().join("run"));
    let resumed =
        taper(&["finetune", "--resume", &run, "--cache=disk", "--cache-dir", &folder, "--json"]);
    assert_eq!(resumed.succeeds().json()["cache"]["kind"], "disk");
}

/// A tar file of these members, whose names are short.
pub(crate) fn tar(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut all = Vec::new();
    for (name, bytes) in members {
        let mut header = [0; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..135].copy_from_slice(format!("{:011o}", bytes.len()).as_bytes());
        header[148..156].fill(b' ');
        header[156] = b'0';
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        all.extend(header);
        all.extend(bytes);
        all.resize(all.len().next_multiple_of(512), 0);
    }
    all.resize(all.len() + 1024, 0);
    all
}

/// The pictures of a folder of two classes, by class.
fn read(folder: &Path) -> Vec<Vec<(String, Vec<u8>)>> {
    let class = |(name, _): &(&str, [u8; 3])| {
        let entries = fs::read_dir(folder.join(name)).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = entries.collect();
        files.sort();
        let stem = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
        files
            .iter()
            .map(|path| (format!("{name}-{}", stem(path)), fs::read(path).unwrap()))
            .collect()
    };
    pictures::COLORS[..2].iter().map(class).collect()
}

#[test]
fn shards_train_and_are_evaluated_as_the_folder_that_they_were_made_of() {
    let dir = tempfile::tempdir().unwrap();
    let by_class = read(&pictures::folder(dir.path(), 2, 10));
    let shards = dir.path().join("shards");
    fs::create_dir(&shards).unwrap();
    let members =
        |numbers: std::ops::Range<usize>, extension: &str, says: &dyn Fn(usize) -> String| {
            let mut members = Vec::new();
            for (label, pictures) in by_class.iter().enumerate() {
                for (key, bytes) in &pictures[numbers.clone()] {
                    members.push((format!("{key}.png"), bytes.clone()));
                    members.push((format!("{key}.{extension}"), says(label).into_bytes()));
                }
            }
            tar(&members)
        };
    let as_json = |label: usize| format!("{{\"label\": {label}}}");
    fs::write(
        shards.join("toy-train-000000.tar"),
        members(0..5, "cls", &|label| label.to_string()),
    )
    .unwrap();
    fs::write(shards.join("toy-train-000001.tar"), members(5..8, "json", &as_json)).unwrap();
    fs::write(shards.join("toy-val-000000.tar"), members(8..10, "txt", &|label| label.to_string()))
        .unwrap();
    fs::write(shards.join("classes.txt"), "green\nred\n").unwrap();
    let data = arg(&shards);
    let cached = ["--cache=disk", "--cache-dir", &arg(&dir.path().join("kept"))].map(str::to_owned);
    let cached: Vec<&str> = cached.iter().map(String::as_str).collect();
    finetune(dir.path(), &data, "plain", &["--cache=none"]).succeeds();
    let report = finetune(dir.path(), &data, "run", &cached).succeeds().json();
    assert_eq!((&report["val_images"], &report["skipped"]), (&4.into(), &0.into()), "{report}");
    assert_eq!(report["cache"]["pictures"], 20);
    assert!(
        file(dir.path(), "plain", "model.safetensors")
            == file(dir.path(), "run", "model.safetensors")
    );

    let model = arg(&dir.path().join("run/model.safetensors"));
    let evaluated = |data: &str| {
        taper(&["eval", "--model", &model, "--data", data, "--json"]).succeeds().json()
    };
    let of_shards = evaluated(&data);
    assert_eq!((&of_shards["images"], &of_shards["top1"]), (&4.into(), &report["best_val_top1"]));
    let pattern = arg(&shards.join("toy-train-{000000..000001}.tar"));
    assert_eq!(evaluated(&pattern)["images"], 16);
    let missing = arg(&shards.join("toy-train-{000000..000002}.tar"));
    finetune(dir.path(), &missing, "no", &[]).refuses(2, &["toy-train-000002.tar", "missing"]);
}

/// Pixels of a dark or a bright class, no two pictures alike.
fn shade(label: &u8, at: usize) -> u8 {
    200 * label + u8::try_from(at % 40).unwrap()
}

#[test]
fn mnist_and_cifar_files_train_and_are_evaluated() {
    let dir = tempfile::tempdir().unwrap();
    let mnist = dir.path().join("MNIST/raw");
    let cifar = dir.path().join("cifar-10-batches-bin");
    fs::create_dir_all(&mnist).unwrap();
    fs::create_dir_all(&cifar).unwrap();
    for (part, batch, n) in [("train", "data_batch_1", 24_u8), ("t10k", "test_batch", 8)] {
        let labels: Vec<u8> = (0..n).map(|i| i % 2).collect();
        let gray = labels
            .iter()
            .enumerate()
            .flat_map(|(i, label)| (0..64).map(move |at| shade(label, at * i)));
        let images: Vec<u8> =
            [0, 0, 8, 3, 0, 0, 0, n, 0, 0, 0, 8, 0, 0, 0, 8].into_iter().chain(gray).collect();
        fs::write(mnist.join(format!("{part}-images-idx3-ubyte")), images).unwrap();
        fs::write(
            mnist.join(format!("{part}-labels-idx1-ubyte")),
            [&[0, 0, 8, 1, 0, 0, 0, n], &labels[..]].concat(),
        )
        .unwrap();
        let record = |(i, &label): (usize, &u8)| -> Vec<u8> {
            std::iter::once(label).chain((0..3072).map(|at| shade(&label, at * i))).collect()
        };
        let records: Vec<Vec<u8>> = labels.iter().enumerate().map(record).collect();
        fs::write(cifar.join(format!("{batch}.bin")), records.concat()).unwrap();
    }
    fs::write(cifar.join("batches.meta.txt"), "cat\ndog\n").unwrap();
    for (data, out, classes) in
        [(dir.path().join("MNIST"), "mnist", ["0", "1"]), (cifar.clone(), "cifar", ["cat", "dog"])]
    {
        let data = arg(&data);
        let report = finetune(dir.path(), &data, out, &[]).succeeds().json();
        assert_eq!(report["val_images"], 8);
        let model = dir.path().join(out).join("model.safetensors");
        assert_eq!(taper_model::Model::load(&model).unwrap().classes(), classes);
        let again =
            taper(&["eval", "--model", &arg(&model), "--data", &data, "--json"]).succeeds().json();
        assert_eq!((&again["images"], &again["top1"]), (&8.into(), &report["best_val_top1"]));
    }
    fs::write(cifar.join("test_batch.bin"), [0; 5000]).unwrap();
    finetune(dir.path(), &arg(&cifar), "no", &[])
        .refuses(2, &["test_batch.bin", "5000 bytes", "3073"]);
}

/// The losses of the epochs, in their order.
fn losses(dir: &Path, out: &str) -> Vec<f64> {
    let log = String::from_utf8(file(dir, out, "metrics.jsonl")).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.filter_map(|line| line["val"]["loss"].as_f64()).collect()
}

/// Four epochs on pictures with a part of their own to validate on, which `eval` takes, too; each model that is kept has the loss of its epoch.
fn keeps_the_best_two(dir: &Path, more: &[&str]) -> Ran {
    for (part, count) in [("train", 8), ("val", 5)] {
        for (name, color) in &pictures::COLORS[..2] {
            pictures::class(&dir.join("data").join(part).join(name), *color, count);
        }
    }
    let data = arg(&dir.join("data"));
    let kept = ["--epochs=4", "--keep-best=2", "--best-by=loss"];
    let ran = finetune(dir, &data, "run", &[&kept[..], more].concat()).succeeds();
    let losses = losses(dir, "run");
    let mut order: Vec<usize> = (0..losses.len()).collect();
    order.sort_by(|&a, &b| losses[a].total_cmp(&losses[b]));
    let name = |epoch: &usize| format!("epoch-{:04}.safetensors", epoch + 1);
    let mut expected: Vec<String> = order[..2].iter().map(name).collect();
    expected.sort();
    let best = dir.join("run/best");
    let mut names: Vec<String> = fs::read_dir(&best)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!((losses.len(), names), (4, expected));
    for epoch in &order[..2] {
        let model = arg(&best.join(name(epoch)));
        let said = taper(&["eval", "--model", &model, "--data", &data, "--json"]).succeeds().json();
        let loss = said["loss"].as_f64().unwrap();
        assert_eq!(said["images"], 10);
        assert!((loss - losses[*epoch]).abs() < 1e-6 * losses[*epoch], "{said}, {losses:?}");
    }
    ran
}

#[test]
fn the_best_epochs_are_kept_as_models_and_a_soup_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let ran = keeps_the_best_two(dir.path(), &["--soup=2"]);
    let soup = ran.stderr.lines().find(|line| line.starts_with("soup: of the 2 best epochs"));
    assert!(soup.is_some_and(|line| line.contains(": val loss ")), "{}{}", ran.stdout, ran.stderr);
}

#[test]
fn the_best_epochs_are_kept_with_the_statistics_that_they_were_evaluated_with() {
    let dir = tempfile::tempdir().unwrap();
    keeps_the_best_two(dir.path(), &["--precise-bn=2"]);
}

#[test]
fn sizes_that_do_not_grow_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let data = arg(&pictures::folder(dir.path(), 2, 5));
    let refusals: [(&[&str], &[&str]); 4] = [
        (&["--image-size-from=32"], &["--image-size-from is 32", "less than the 32"]),
        (
            &["--image-size=64", "--image-size-from=96"],
            &["--image-size-from is 96", "less than", "64"],
        ),
        (&["--image-size-from=16"], &["--image-size-from is 16", "32 or more"]),
        (&["--keep-best=0"], &["--keep-best is 0", "1 or more"]),
    ];
    for (more, words) in refusals {
        finetune(dir.path(), &data, "run", more).refuses(2, words);
        assert!(!dir.path().join("run").exists(), "{more:?}");
    }
}
