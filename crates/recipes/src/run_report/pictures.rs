//! Pictures on the page of a run: the answers that are most surely wrong, with what speaks for them, and what training shows the network.
//!
//! Above: `run_report`. Below: `look::Inspector`, `setup`, `taper_data`, `taper_report`. Not here: counts (`run_report::judged`).

use std::collections::HashMap;

use taper_data::{Batch, Dataset, Sample, Targets};
use taper_model::{Model, Task};
use taper_report::{Block, Photo, Picture, Unit};

use super::answers::Answer;
use crate::error::{Error, Result};
use crate::look::{Inspector, picture_of};
use crate::options::{Augment, FineTuneOptions};
use crate::setup;

/// Wrong answers that are shown.
const MISTAKES: usize = 12;

/// Training pictures that are shown.
const SAMPLES: usize = 12;

/// The longer side of a picture on a page, at most.
const SIDE: usize = 288;

/// A picture whose answer is wrong.
struct Wrong<'a> {
    image: &'a str,
    /// How wrong, larger is worse.
    by: f64,
    /// What is looked for in it, if that can be shown.
    looked_for: Option<usize>,
    heading: String,
    lines: Vec<String>,
}

/// The answers that are most surely wrong, or numbers that are most off; none of a model that is always right.
pub(crate) fn mistakes(
    model: &Model,
    names: &[String],
    dataset: &Dataset,
    answers: &[Answer],
    threads: usize,
) -> Result<Option<Block>> {
    let mut wrong: Vec<Wrong<'_>> = answers.iter().filter_map(|it| wrong(names, it)).collect();
    wrong.sort_by(|a, b| b.by.total_cmp(&a.by));
    let samples: HashMap<&str, &Sample> =
        dataset.val.iter().map(|sample| (sample.name(), sample)).collect();
    // A network without a map has nothing to show.
    let mut inspector = match model.task() {
        Task::Classification | Task::MultiLabel => Inspector::of_classes(model, 1, threads).ok(),
        Task::Regression => None,
    };
    let mut photos = Vec::new();
    for wrong in wrong {
        let Some(sample) = samples.get(wrong.image) else { continue };
        let Ok(image) = sample.image() else { continue };
        let pictures = match (&mut inspector, wrong.looked_for) {
            (Some(inspector), Some(class)) => {
                inspector.show(class);
                let xs = inspector.see(&image).map_err(setup::data)?;
                let seen = inspector.inspect(&xs)?;
                vec![seen.input, seen.heat]
            }
            _ => vec![draw(Picture::new(image.height(), image.width(), image.rgb().to_vec()))?],
        };
        let pictures = pictures.iter().map(|picture| picture.at_most(SIDE)).collect();
        photos.push(Photo { pictures, heading: wrong.heading, lines: wrong.lines });
        if photos.len() == MISTAKES {
            break;
        }
    }
    let note = match model.task() {
        Task::Regression => "The held-out pictures whose numbers are most off.",
        Task::Classification | Task::MultiLabel => {
            "Held-out pictures, the surest mistake first, beside what speaks for the wrong answer (Grad-CAM): red the most, blue little, a line around what has half of the most. \
             A wrong label in the data looks like this, too."
        }
    };
    let (title, note) = (String::new(), note.to_owned());
    Ok((!photos.is_empty()).then_some(Block::Photos { title, note, photos }))
}

fn wrong<'a>(names: &[String], answer: &'a Answer) -> Option<Wrong<'a>> {
    let index = |name: &str| names.iter().position(|known| known == name);
    let percent = |share: f64| Unit::Percent.format(100.0 * share);
    match answer {
        Answer::Class { image, target, predicted, probability } => {
            (target != predicted).then(|| {
                let by = probability.unwrap_or(0.0);
                let heading = format!("{target}, called {predicted}");
                let lines = vec![format!("{} sure", percent(by)), image.clone()];
                Wrong { image, by, looked_for: index(predicted), heading, lines }
            })
        }
        Answer::Labels { image, targets, probabilities } => {
            let off = |(name, said): (&'a String, &Option<f64>)| {
                let holds = targets.contains(name);
                let said = (*said)?;
                let by = if holds { 1.0 - said } else { said };
                (by > 0.5).then_some((by, name, holds, said))
            };
            let worst = probabilities.iter().filter_map(off).max_by(|a, b| a.0.total_cmp(&b.0));
            worst.map(|(by, name, holds, said)| {
                let is = if holds { "holds" } else { "does not hold" };
                let heading = format!("{name} {is}");
                let lines = vec![format!("probability {}", percent(said)), image.clone()];
                Wrong { image, by, looked_for: index(name), heading, lines }
            })
        }
        Answer::Numbers { image, targets, predicted } => {
            let off = |(name, target): (&'a String, &Option<f64>)| {
                let (target, said) = ((*target)?, (*predicted.get(name)?)?);
                Some(((said - target).abs(), name, target, said))
            };
            let worst = targets.iter().filter_map(off).max_by(|a, b| a.0.total_cmp(&b.0));
            worst.map(|(by, name, target, said)| {
                let [target, said] = [target, said].map(|it| Unit::Number.format(it));
                let heading = format!("{name} is {target}, predicted {said}");
                Wrong { image, by, looked_for: None, heading, lines: vec![image.clone()] }
            })
        }
    }
}

/// A few training pictures as the network sees them.
pub(crate) fn samples(
    model: &Model,
    dataset: &Dataset,
    options: &FineTuneOptions,
) -> Result<Option<Block>> {
    let step = dataset.train.len().div_ceil(SAMPLES).max(1);
    let chosen: Vec<Sample> = dataset.train.iter().step_by(step).cloned().collect();
    if chosen.is_empty() {
        return Ok(None);
    }
    let preprocess = model.preprocess();
    let loader = setup::sample_loader(&chosen, dataset.classes.len(), preprocess, options)?;
    let Some(batch) = loader.epoch(0, 0).next() else { return Ok(None) };
    let batch = batch.map_err(setup::data)?;
    let mut photos = Vec::new();
    let [h, w] = preprocess.input_size;
    for (at, xs) in batch.xs.chunks_exact((h * w * 3).max(1)).enumerate() {
        let picture = draw(picture_of(xs, preprocess))?.at_most(SIDE);
        let heading = target(&batch, at, &dataset.classes);
        photos.push(Photo { pictures: vec![picture], heading, lines: Vec::new() });
    }
    let changed = match &options.augment {
        Augment::None => "as they are".to_owned(),
        Augment::Yes => "after a random crop and flip".to_owned(),
        with @ Augment::With(_) => format!("after a random crop, flip and {with}"),
    };
    let mixed = if options.mixes() { ", mixed with each other" } else { "" };
    let note = format!("Some training pictures at {w}x{h} pixels {changed}{mixed}.");
    Ok((!photos.is_empty()).then_some(Block::Photos { title: String::new(), note, photos }))
}

/// What a picture of a batch should give, in words.
fn target(batch: &Batch, at: usize, names: &[String]) -> String {
    let name = |index: usize| names.get(index).cloned().unwrap_or_default();
    let row = || {
        let values = batch.targets.values().unwrap_or_default();
        let width = values.len() / batch.indices.len().max(1);
        values.get(at * width..(at + 1) * width).unwrap_or_default().iter().enumerate()
    };
    let words: Vec<String> = match &batch.targets {
        Targets::Classes(classes) => {
            classes.get(at).map(|&class| name(class as usize)).into_iter().collect()
        }
        Targets::Labels(_) => {
            row().filter(|(_, value)| **value >= 0.5).map(|(index, _)| name(index)).collect()
        }
        Targets::Numbers(_) => row()
            .filter(|(_, value)| !value.is_nan())
            .map(|(index, value)| {
                format!("{} {}", name(index), Unit::Number.format(f64::from(*value)))
            })
            .collect(),
        Targets::Probabilities(_) => row()
            .filter(|(_, value)| **value >= 0.005)
            .map(|(index, value)| format!("{:.0} % {}", 100.0 * value, name(index)))
            .collect(),
        Targets::ClassMaps(_) | Targets::Named(_) => Vec::new(),
    };
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

fn draw<T>(drawn: taper_report::Result<T>) -> Result<T> {
    drawn.map_err(|source| Error::Draw { source })
}
