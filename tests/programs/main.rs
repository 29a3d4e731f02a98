//! The programs of `docs/programs`, run on data sets small enough for a test.
//!
//! Above: nothing. Below: `docs/programs`. Not here: the data sets themselves; `docs/fashion-mnist.md` has the figures.

#[path = "../../docs/programs/fashion_mnist.rs"]
#[expect(dead_code, reason = "`main` reads the command line, which a test has none of")]
mod fashion_mnist;

#[path = "../../docs/programs/schedules.rs"]
#[expect(dead_code, reason = "`main` reads the command line, which a test has none of")]
mod schedules;
mod serve;

#[path = "../../docs/programs/tasks.rs"]
#[expect(dead_code, reason = "`main` reads the command line, which a test has none of")]
mod tasks;

use std::error::Error;
use std::fs;
use std::path::Path;

use taper_train::{Event, Start};
use tasks::Task;

/// An IDX file of unsigned bytes with `N` axes.
fn idx<const N: u8>(shape: &[u8], bytes: &[u8]) -> Vec<u8> {
    let lengths = shape.iter().flat_map(|&axis| [0, 0, 0, axis]);
    [0, 0, 8, N].into_iter().chain(lengths).chain(bytes.iter().copied()).collect()
}

/// `n` pictures: class 3 is a horizontal bar, class 7 a vertical one, in another place and gray each time.
fn write(dir: &Path, part: &str, n: u8) -> std::io::Result<()> {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for i in 0..n {
        let (place, is_upright) = (4 + i % 17, i % 2 == 1);
        labels.push(if is_upright { 7 } else { 3 });
        for (row, col) in (0..28).flat_map(|row| (0..28).map(move |col| (row, col))) {
            let across = if is_upright { col } else { row };
            pixels.push(if (place..place + 3).contains(&across) { 150 + i } else { 0 });
        }
    }
    let file = |kind: &str| dir.join(format!("{part}-{kind}-ubyte"));
    fs::write(file("images-idx3"), idx::<3>(&[n, 28, 28], &pixels))?;
    fs::write(file("labels-idx1"), idx::<1>(&[n], &labels))
}

#[test]
fn lenet5_learns_two_shapes_and_the_same_bits_from_the_same_seed() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "train", 100).unwrap(); // two batches, the second with 36 pictures
    write(dir.path(), "t10k", 34).unwrap();
    let run = |seed| fashion_mnist::run(dir.path(), 40, seed).unwrap();
    let epochs = run(1);
    let (first, last) = (&epochs[0], &epochs[39]);
    assert!((1.5..2.6).contains(&first.loss), "ten classes: ln 10 is 2.3, not {}", first.loss);
    assert!(last.loss < 0.1 && last.top1 > 0.99, "{last:?}");
    let bits = |epochs: &[fashion_mnist::Epoch]| -> Vec<u64> {
        epochs.iter().map(|epoch| epoch.loss.to_bits()).collect()
    };
    assert_eq!(bits(&epochs), bits(&run(1)));
    assert_ne!(bits(&epochs), bits(&run(2)));
}

/// Copies a run folder as a kill at this moment would leave it.
fn snapshot(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            snapshot(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// The best model, the checkpoint and the log of a run.
fn files(run: &Path) -> std::io::Result<[Vec<u8>; 3]> {
    let read = |name: &str| fs::read(run.join(name));
    Ok([read("model.safetensors")?, read("checkpoint/state.safetensors")?, read("metrics.jsonl")?])
}

/// Trains a task for some epochs of five steps, kills it at three moments, and compares what resuming comes to.
fn learns_and_survives_a_kill(
    task: Task,
    epochs: usize,
    metric: &str,
    is_learned: fn(f64) -> bool,
) -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let size = tasks::Size { side: 16, pictures: 72, epochs, seed: 3 };
    let steps = 5 * epochs as u64; // the last batch has eight pictures
    let kills = [6, 18, steps - 3];
    let whole = dir.path().join("whole");
    let (mut losses, mut copied) = (Vec::new(), Vec::new());
    let outcome = tasks::train(task, size, &whole, Start::Fresh, &mut |event| {
        if let Event::Step { step, loss, .. } = event {
            losses.push(*loss);
            // In the first epoch after a checkpoint, in the middle of a later one, in the last.
            if kills.contains(step) {
                copied.push(snapshot(&whole, &dir.path().join(step.to_string())));
            }
        }
    })?;
    copied.into_iter().collect::<std::io::Result<()>>()?;
    assert_eq!((outcome.steps, losses.len() as u64), (steps, steps));
    let best = outcome.best.ok_or("no best model")?;
    let value = best.scores.get(metric).ok_or("the metric is missing")?;
    assert!(is_learned(value), "{task:?}: {value} of {:?}", best.scores);
    let [first, last] = [losses[0], losses[losses.len() - 1]];
    assert!(last < 0.7 * first, "{task:?}: {losses:?}");
    let log = String::from_utf8(files(&whole)?[2].clone())?;
    assert!(log.contains(&format!("\"train_{metric}\":")), "{log}");
    for step in kills {
        let killed = dir.path().join(step.to_string());
        let resumed = tasks::train(task, size, &killed, Start::Resume, &mut |_| ())?;
        assert_eq!(resumed.steps, steps);
        assert!(files(&killed)? == files(&whole)?, "{task:?}: killed after step {step}");
    }
    Ok(())
}

#[test]
fn many_labels_are_learned_and_a_kill_changes_no_bit() -> Result<(), Box<dyn Error>> {
    // Whoever tells all labels always has two thirds.
    learns_and_survives_a_kill(Task::Labels, 8, "f1", |f1| f1 > 0.72)
}

#[test]
fn numbers_are_learned_and_a_kill_changes_no_bit() -> Result<(), Box<dyn Error>> {
    // Whoever tells the middle always is off by 0.108.
    learns_and_survives_a_kill(Task::Numbers, 24, "mae", |mae| mae < 0.07)
}

#[test]
fn a_u_net_learns_masks_and_a_kill_changes_no_bit() -> Result<(), Box<dyn Error>> {
    // Whoever sees the ground alone has less than a quarter.
    learns_and_survives_a_kill(Task::Mask, 8, "miou", |iou| iou > 0.6)
}

#[test]
fn two_heads_learn_together_and_a_kill_changes_no_bit() -> Result<(), Box<dyn Error>> {
    learns_and_survives_a_kill(Task::MaskAndCount, 8, "mask_miou", |iou| iou > 0.6)
}

#[test]
fn the_drawing_of_all_schedules_is_what_the_code_draws() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/images/training-schedules.svg");
    let stored = fs::read_to_string(path).unwrap_or_default();
    assert!(stored == schedules::svg().unwrap(), "it is stale: cargo xtask pictures");
    for (name, schedule) in schedules::schedules() {
        schedule.check().unwrap();
        assert!(taper_recipes::ScheduleKind::WORDS.contains(&name), "{name}");
    }
    assert_eq!(schedules::schedules().len(), taper_recipes::ScheduleKind::WORDS.len());
}
