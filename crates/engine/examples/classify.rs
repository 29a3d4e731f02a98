//! Classifies one picture: a model file, image decoding and a session are all it takes.
//!
//! Usage: `cargo run --release -p taper-engine --example classify -- model.safetensors picture.jpg`. Reads JPEG and PNG.
//! Not here: pictures by the thousand, other formats, resampling to the last bit as PyTorch's (`taper predict`, `taper_data`).
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    reason = "a program speaks; sides and colors are bounded by the model file and by bytes"
)]

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use image::imageops::{self, FilterType};
use image::{DynamicImage, ImageDecoder, ImageReader, Rgb, RgbImage};
use taper_engine::{Session, SessionOptions};
use taper_model::{Interpolation, Model, Preprocess};

/// Classes that are printed.
const TOP: usize = 5;

/// Longer pictures, in short sides, are refused: their middle says little, and resizing all of them takes much memory.
const LONGEST: u32 = 50;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    let [model, picture] = args.as_slice() else {
        eprintln!("usage: classify MODEL.safetensors PICTURE.jpg");
        return ExitCode::from(2);
    };
    match classify(Path::new(model), Path::new(picture)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("error: {error}");
            let mut cause = error.source();
            while let Some(deeper) = cause {
                eprint!(": {deeper}");
                cause = deeper.source();
            }
            eprintln!();
            ExitCode::FAILURE
        }
    }
}

/// Prints what the picture most probably shows.
fn classify(model: &Path, picture: &Path) -> Result<(), Box<dyn Error>> {
    let model = Model::load(model)?;
    let shown = picture.display();
    let decoded =
        decode(picture).map_err(|error| format!("cannot read picture `{shown}`: {error}"))?;
    let [h, w] = model.preprocess().input_size;
    let xs =
        prepare(&decoded, model.preprocess()).map_err(|error| format!("`{shown}`: {error}"))?;
    let mut session = Session::new(&model, &SessionOptions::default())?;
    let probabilities = softmax(session.run(&xs, [1, h, w])?);
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    order.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
    for index in order.into_iter().take(TOP) {
        let class = model.classes().get(index).cloned().unwrap_or_else(|| format!("class {index}"));
        println!("{:5.1} %  {class}", 100.0 * probabilities[index]);
    }
    Ok(())
}

/// The picture upright, in RGB, transparent pixels on white.
fn decode(path: &Path) -> Result<RgbImage, Box<dyn Error>> {
    let mut decoder = ImageReader::open(path)?.with_guessed_format()?.into_decoder()?;
    let orientation = decoder.orientation()?;
    let mut picture = DynamicImage::from_decoder(decoder)?;
    picture.apply_orientation(orientation);
    if !picture.color().has_alpha() {
        return Ok(picture.into_rgb8());
    }
    let picture = picture.into_rgba8();
    Ok(RgbImage::from_fn(picture.width(), picture.height(), |x, y| {
        let [color @ .., alpha] = picture.get_pixel(x, y).0.map(f32::from);
        Rgb(color.map(|c| (255.0 + (c - 255.0) * alpha / 255.0).round() as u8))
    }))
}

/// Resizes the short side, cuts the middle out, normalizes: `(h, w, 3)`.
fn prepare(picture: &RgbImage, preprocess: &Preprocess) -> Result<Vec<f32>, Box<dyn Error>> {
    let [h, w] = preprocess.input_size.map(|size| size as u32);
    let (width, height) = picture.dimensions();
    if width.max(height) / LONGEST > width.min(height) {
        return Err(format!("a picture of {width}x{height} pixels is too narrow").into());
    }
    let short = (preprocess.resize_size() as u32).max(h).max(w);
    let scaled =
        |side: u32| (u64::from(short) * u64::from(side) / u64::from(width.min(height))) as u32;
    let filter = match preprocess.interpolation {
        Interpolation::Bicubic => FilterType::CatmullRom,
        _ => FilterType::Triangle,
    };
    let resized = imageops::resize(picture, scaled(width), scaled(height), filter);
    let [left, top] = [(resized.width() - w) / 2, (resized.height() - h) / 2];
    let cut = imageops::crop_imm(&resized, left, top, w, h).to_image();
    let channels = cut.into_raw().into_iter().zip((0..3).cycle());
    let normalized = |(value, c): (u8, usize)| {
        (f32::from(value) / 255.0 - preprocess.mean[c]) / preprocess.std[c]
    };
    Ok(channels.map(normalized).collect())
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exps: Vec<f32> = logits.iter().map(|logit| (logit - largest).exp()).collect();
    let total: f32 = exps.iter().sum();
    exps.into_iter().map(|exp| exp / total).collect()
}
