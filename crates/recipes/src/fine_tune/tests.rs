//! A data set of a program's own is trained on as the same pictures in a folder are.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use taper_data::{Check, Dataset, ImageFolder, Sample, folder};
use taper_model::Model;

use super::{ResumeOptions, fine_tune, fine_tune_on, resume, resume_on};
use crate::error::Error;
use crate::observer::{Event, Observer, Silent};
use crate::options::FineTuneOptions;

/// A few pictures of two classes, in files.
fn export(dir: &Path) {
    let all = taper_data::sample_set::emoji6().unwrap();
    for (part, samples, each) in [("train", &all.train, 9), ("val", &all.val, 3)] {
        for (class, name) in (0..).zip(["animal", "clothing"]) {
            let of_class = samples.iter().filter(|sample| sample.class() == Some(class));
            for (at, sample) in of_class.take(each).enumerate() {
                let image = sample.image().unwrap();
                let path = dir.join(format!("{part}/{name}/{at}.bmp"));
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, bmp(image.height(), image.width(), image.rgb())).unwrap();
            }
        }
    }
}

/// A picture as a BMP file, whose rows here are multiples of 4 bytes.
fn bmp(height: usize, width: usize, rgb: &[u8]) -> Vec<u8> {
    let word = |x: usize| u32::try_from(x).unwrap().to_le_bytes();
    let mut file = b"BM".to_vec();
    for x in [54 + rgb.len(), 0, 54, 40, width, height] {
        file.extend(word(x));
    }
    file.extend([1, 0, 24, 0]);
    file.extend([0; 24]);
    for row in rgb.chunks_exact(3 * width).rev() {
        file.extend(row.chunks_exact(3).flat_map(|pixel| [pixel[2], pixel[1], pixel[0]]));
    }
    file
}

/// The folder's pictures, in memory.
fn in_memory(dir: &Path) -> Dataset {
    let options = folder::Options { check: Check::Headers, ..folder::Options::default() };
    let opened = ImageFolder::open(dir, &options).unwrap();
    let read = |sample: &Sample| {
        let bytes: Arc<[u8]> = fs::read(sample.path().unwrap()).unwrap().into();
        Sample::from_bytes(sample.name(), sample.target().clone(), bytes)
    };
    let [train, val] = [&opened.train, &opened.val].map(|part| part.iter().map(read).collect());
    Dataset::new(opened.classes, train, val).unwrap()
}

fn options(out: &Path) -> FineTuneOptions {
    FineTuneOptions {
        image_size: Some(32),
        batch_size: 4,
        epochs: 2,
        head_epochs: 2,
        out: Some(out.to_path_buf()),
        ..FineTuneOptions::default()
    }
}

/// Stops the run after its third step.
struct Stopper<'s>(&'s AtomicBool);

impl Observer for Stopper<'_> {
    fn on_event(&mut self, event: &Event<'_>) {
        if matches!(event, Event::Step(step) if step.step == 3) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

#[test]
fn pictures_in_memory_give_the_model_of_the_same_pictures_in_a_folder_also_after_a_stop() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let model = |run: &str| Model::load(at(run).join("model.safetensors")).unwrap();
    export(&at("data"));
    let never = || AtomicBool::new(false);
    let of_folder = FineTuneOptions { data: Some(at("data")), ..options(&at("folder")) };
    fine_tune(&of_folder, &never(), &mut Silent).unwrap();

    let mut dataset = in_memory(&at("data"));
    fine_tune_on(&dataset, &options(&at("memory")), &never(), &mut Silent).unwrap();
    assert_eq!(model("memory"), model("folder"));
    // A command without a folder would train on the built-in pictures.
    let page = fs::read_to_string(at("memory").join("report.html")).unwrap();
    assert!(page.contains("taper finetune --data PICTURES "), "{page}");

    let stop = never();
    let halted =
        fine_tune_on(&dataset, &options(&at("stopped")), &stop, &mut Stopper(&stop)).unwrap();
    assert!(halted.stopped);
    let run = ResumeOptions::new(at("stopped"));
    let alone = resume(&run, &never(), &mut Silent).unwrap_err();
    assert!(matches!(alone, Error::Changed { what: "data set", .. }), "{alone}");
    assert!(alone.to_string().contains("`resume_on`"), "{alone}");

    // One pixel of one picture.
    let kept = dataset.train[5].clone();
    let mut image = kept.image().unwrap().rgb().to_vec();
    image[0] ^= 1;
    let bytes = bmp(64, 64, &image);
    dataset.train[5] = Sample::from_bytes(kept.name(), kept.target().clone(), bytes);
    let changed = resume_on(&dataset, &run, &never(), &mut Silent).unwrap_err();
    assert!(matches!(changed, Error::Changed { what: "data set", .. }), "{changed}");

    dataset.train[5] = kept;
    let done = resume_on(&dataset, &run, &never(), &mut Silent).unwrap();
    assert!(!done.stopped);
    assert_eq!(model("stopped"), model("folder"));
}

#[test]
fn checkpointed_gradients_make_the_same_model_also_if_they_begin_in_the_middle_of_a_run() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let model = |run: &str| Model::load(at(run).join("model.safetensors")).unwrap();
    let never = || AtomicBool::new(false);
    let wanted = |run: &str, grad_checkpointing| FineTuneOptions {
        grad_checkpointing,
        freeze: "blocks.1".parse().unwrap(),
        shards: 2,
        ema: Some(0.5),
        batch_size: 8,
        ..options(&at(run))
    };
    fine_tune(&wanted("kept", false), &never(), &mut Silent).unwrap();
    fine_tune(&wanted("again", true), &never(), &mut Silent).unwrap();
    assert!(model("again") == model("kept"));

    let stop = never();
    fine_tune(&wanted("changed", false), &stop, &mut Stopper(&stop)).unwrap();
    let run = ResumeOptions { grad_checkpointing: Some(true), ..ResumeOptions::new(at("changed")) };
    resume(&run, &never(), &mut Silent).unwrap();
    assert!(model("changed") == model("kept"));
}

#[test]
fn a_data_set_that_cannot_be_meant_is_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    export(&dir.path().join("data"));
    let good = in_memory(&dir.path().join("data"));
    let refused = |change: &dyn Fn(&mut Dataset, &mut FineTuneOptions)| {
        let (mut dataset, mut options) = (good.clone(), options(&out));
        change(&mut dataset, &mut options);
        let error = fine_tune_on(&dataset, &options, &AtomicBool::new(false), &mut Silent);
        assert!(!out.exists());
        let error = error.unwrap_err();
        assert!(error.is_request(), "{error}");
        match error {
            Error::Data { source } => source.chain(),
            other => other.to_string(),
        }
    };
    let class = |class: u32| Sample::from_bytes("odd", class, *b"");
    assert!(refused(&|set, _| set.val.clear()).contains("no samples in `val`"));
    assert!(refused(&|set, _| set.train.clear()).contains("no samples in `train`"));
    assert!(refused(&|set, _| set.classes.truncate(1)).contains("has 1 classes"));
    let odd = refused(&|set, _| set.train.push(class(2)));
    assert!(odd.contains("`odd` is not usable: label 2 is not below 2"), "{odd}");
    let numbers = taper_data::Target::numbers(vec![0.5]);
    let odd = refused(&|set, _| set.val.push(Sample::from_bytes("odd", numbers.clone(), *b"")));
    assert!(odd.contains("its target is numbers [1]"), "{odd}");
    let both = refused(&|_, options| options.data = Some("photos".into()));
    assert!(both.contains("photos"), "{both}");
}
