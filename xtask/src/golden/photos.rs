//! Published weights on photographs: the same pixels must give PyTorch's classes, the same files nearly its probabilities.
//!
//! Above: `golden`. Below: `zoo::record`, `data`, `classifier`, `engine::Session`, `golden::decoders`, `xtask/golden/photos.py`. Not here: downloading
//! (`weights`).

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use taper_classifier::eval_transform;
use taper_data::random::Rng;
use taper_data::transform::{Flip, Normalize, Resampler};
use taper_data::{Resize, Transform, image};
use taper_engine::{Session, SessionOptions};
use taper_model::{Model, Preprocess, tensors};
use taper_zoo::{Record, record};

use super::{GoldenArgs, decoders, distance, peer};
use crate::bench::Contestant;
use crate::files::walk;

/// Weights that are checked when none are named.
const WEIGHTS: [&str; 4] = [
    "mobilenetv2_100.tv_in1k",
    "tf_efficientnet_lite0.ml_illustrated_in1k",
    "tf_efficientnet_lite1.ml_illustrated_in1k",
    "tf_efficientnet_lite2.ml_illustrated_in1k",
];

/// From files, the class must be PyTorch's where its first probability is ahead of the second by more.
const MARGIN: f64 = 0.04;

/// From files, how far a probability may be off: decoders differ.
const PROBABILITY: f64 = 0.02;

const CLASSES: usize = 1000;

/// Prints a line for each of the weights, and fails at the end if one of them broke a bound.
pub(super) fn check(
    args: &GoldenArgs,
    photos: &Path,
    weights: &Path,
    threads: usize,
) -> Result<()> {
    let folder = tempfile::tempdir().context("making a folder for pixels")?;
    let mut peer = peer(&args.peers, "photos", &[folder.path(), photos])?;
    let pictures = pictures(&peer)?;
    println!(
        "{}, {} pictures",
        peer.ready()["version"].as_str().unwrap_or_default(),
        pictures.len()
    );
    println!("{}\n", decoders::compare(&mut peer, folder.path(), &pictures)?);
    let named: Vec<&str> = args.names.iter().map(String::as_str).collect();
    let mut broken = Vec::new();
    for name in if named.is_empty() { &WEIGHTS[..] } else { &named } {
        let record = record(name)?;
        let (file, model) = model(record, weights)?;
        let theirs = Theirs::ask(&mut peer, folder.path(), record, &file, model.preprocess())?;
        let agreement = Agreement::of(&model, &theirs, &pictures, threads)?;
        println!("{}: {agreement}", record.name);
        broken.extend((!agreement.holds()).then_some(record.name));
    }
    if !broken.is_empty() {
        bail!("not as PyTorch: {}", broken.join(", "));
    }
    Ok(())
}

fn pictures(peer: &Contestant) -> Result<Vec<PathBuf>> {
    let paths = peer.ready()["pictures"].as_array().context("no pictures in the peer's answer")?;
    let paths: Vec<PathBuf> =
        paths.iter().filter_map(|path| path.as_str()).map(PathBuf::from).collect();
    ensure!(!paths.is_empty(), "there is no picture under the folder");
    Ok(paths)
}

/// The file of the first of the record's sources that lies somewhere under `folder`, and the model it makes.
fn model(record: &Record, folder: &Path) -> Result<(PathBuf, Model)> {
    let mut files = Vec::new();
    walk(folder, &mut files)?;
    for source in record.sources {
        let is_its =
            |path: &&PathBuf| path.file_name().is_some_and(|name| name == source.file_name());
        if let Some(path) = files.iter().find(is_its) {
            return Ok((path.clone(), record.model(source, tensors::read(path)?)?));
        }
    }
    bail!("no file of `{}` is under {}", record.name, folder.display())
}

/// What PyTorch made of the pictures.
struct Theirs {
    /// Bytes after resizing and cropping, `(n, h, w, 3)`.
    pixels: Vec<u8>,
    /// `(n, 1000)`.
    logits: Vec<f32>,
}

impl Theirs {
    fn ask(
        peer: &mut Contestant,
        folder: &Path,
        record: &Record,
        weights: &Path,
        preprocess: &Preprocess,
    ) -> Result<Self> {
        let Preprocess { input_size: [size, width], mean, std, interpolation, .. } = *preprocess;
        ensure!(size == width, "`{}` takes no square", record.name);
        let resize = match eval_transform(preprocess)?.resize() {
            Resize::ShortSide(short) => short,
            Resize::Cover(sides) => bail!("`{}` is resized to cover {sides:?}", record.name),
        };
        let question = json!({
            "architecture": record.architecture()?.name,
            "weights": weights,
            "resize": resize,
            "size": size,
            "mean": mean,
            "std": std,
            "interpolation": interpolation,
        });
        peer.ask(&question.to_string())?;
        let read =
            |name: &str| fs::read(folder.join(name)).with_context(|| format!("reading {name}"));
        let logits = read("logits")?;
        let logits = logits.as_chunks().0.iter().map(|four| f32::from_le_bytes(*four)).collect();
        Ok(Self { pixels: read("pixels")?, logits })
    }
}

/// How far our answers are from theirs.
struct Agreement {
    pictures: usize,
    /// Pictures whose class differs on identical pixels; none is allowed.
    other_class: usize,
    /// The largest difference of logits on identical pixels, of the largest magnitude.
    logits: f64,
    /// Pictures whose class differs from files, and those of them whose margin was large; none of these is allowed.
    other_class_from_file: [usize; 2],
    /// The largest difference of probabilities from files.
    probability: f64,
}

impl Agreement {
    fn of(model: &Model, theirs: &Theirs, pictures: &[PathBuf], threads: usize) -> Result<Self> {
        let options = SessionOptions { threads, ..SessionOptions::default() };
        let mut session = Session::new(model, &options)?;
        let Preprocess { input_size: size @ [h, w], mean, std, .. } = *model.preprocess();
        let (normalize, transform) =
            (Normalize::new(mean, std)?, eval_transform(model.preprocess())?);
        let (mut resampler, mut xs) = (Resampler::default(), vec![0.0; h * w * 3]);
        let mut agreement = Self {
            pictures: pictures.len(),
            other_class: 0,
            logits: 0.0,
            other_class_from_file: [0; 2],
            probability: 0.0,
        };
        let answers =
            theirs.pixels.chunks_exact(h * w * 3).zip(theirs.logits.chunks_exact(CLASSES));
        ensure!(answers.len() == pictures.len(), "PyTorch answered for {} pictures", answers.len());
        for (path, (pixels, theirs)) in pictures.iter().zip(answers) {
            normalize.write(pixels, w, Flip::None, &mut xs)?;
            let ours = session.run(&xs, [1, size[0], size[1]])?;
            agreement.other_class += usize::from(top(ours) != top(theirs));
            agreement.logits = agreement.logits.max(distance(ours, theirs));

            let picture =
                image::read(path).with_context(|| format!("reading {}", path.display()))?;
            transform.apply(&picture, &mut Rng::keyed([0]), &mut resampler, &mut xs)?;
            let ours = session.run(&xs, [1, size[0], size[1]])?;
            agreement.add_file(&softmax(ours), &softmax(theirs));
        }
        Ok(agreement)
    }

    fn add_file(&mut self, ours: &[f64], theirs: &[f64]) {
        let best = top(theirs);
        if top(ours) != best {
            let others = theirs.iter().enumerate().filter(|(class, _)| *class != best);
            let second = others.map(|(_, p)| *p).fold(0.0, f64::max);
            self.other_class_from_file[0] += 1;
            self.other_class_from_file[1] += usize::from(theirs[best] - second > MARGIN);
        }
        let apart = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        self.probability = self.probability.max(apart);
    }

    fn holds(&self) -> bool {
        self.other_class == 0
            && self.other_class_from_file[1] == 0
            && self.probability <= PROBABILITY
    }
}

impl std::fmt::Display for Agreement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            pictures,
            other_class,
            logits,
            other_class_from_file: [other, far],
            probability,
        } = self;
        write!(
            f,
            "on identical pixels {other_class} of {pictures} classes differ, logits by at most {logits:.1e}; "
        )?;
        write!(
            f,
            "from files {other} differ ({far} with a margin above {MARGIN}), probabilities by at most {probability:.4}"
        )
    }
}

/// Index of the largest.
fn top<T: PartialOrd + Copy>(values: &[T]) -> usize {
    (0..values.len()).fold(0, |best, i| if values[i] > values[best] { i } else { best })
}

fn softmax(logits: &[f32]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = logits.iter().map(|z| f64::from(z - largest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}
