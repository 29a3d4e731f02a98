//! Photographs as a camera writes them, made by enlarging small ones.
//!
//! Above: `data`. Below: `taper_data`, `jpeg-encoder`. Not here: how fast they are read.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result, bail};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use taper_data::transform::{Rect, Resampler};
use taper_data::{Interpolation, image};

/// What a camera takes: twelve megapixels.
pub(super) const CAMERA: f64 = 12e6;

/// Of JPEG, 0 to 100.
const QUALITY: u8 = 90;

/// Writes `n` photographs of about `pixels` to `to/photo/`, enlarged from the JPEG files below `from`, each as often as needed.
pub(super) fn enlarge(from: &Path, to: &Path, n: usize, pixels: f64, threads: usize) -> Result<()> {
    let mut sources = Vec::new();
    jpegs(from, &mut sources)?;
    if sources.is_empty() {
        bail!("there is no JPEG file below {}", from.display());
    }
    let folder = to.join("photo");
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let next = AtomicUsize::new(0);
    let work = || -> Result<()> {
        let mut resampler = Resampler::default();
        loop {
            let photo = next.fetch_add(1, Ordering::Relaxed);
            if photo >= n {
                return Ok(());
            }
            let source = &sources[photo % sources.len()];
            let target = folder.join(format!("{photo:04}.jpg"));
            enlarge_one(source, &target, pixels, &mut resampler)
                .with_context(|| format!("enlarging {}", source.display()))?;
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(result) => result,
            Err(_panic) => bail!("a thread that enlarges photographs panicked"),
        })
    })
}

fn enlarge_one(from: &Path, to: &Path, pixels: f64, resampler: &mut Resampler) -> Result<()> {
    let small = image::read(from)?;
    let size = enlarged([small.height(), small.width()], pixels);
    let whole = Rect::whole([small.height(), small.width()]);
    let rgb = resampler.resize(&small, whole, size, Rect::whole(size), Interpolation::Bicubic)?;
    let mut encoder = Encoder::new_file(to, QUALITY)?;
    // Cameras keep a quarter of the color.
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    let [height, width] = [u16::try_from(size[0])?, u16::try_from(size[1])?];
    Ok(encoder.encode(rgb, width, height, ColorType::Rgb)?)
}

/// Height and width of about so many pixels, of the same shape.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a positive number of pixels"
)]
fn enlarged(size: [usize; 2], pixels: f64) -> [usize; 2] {
    let scale = (pixels / (size[0] * size[1]) as f64).sqrt();
    size.map(|side| (side as f64 * scale).round() as usize)
}

/// The JPEG files below `folder`, by name.
fn jpegs(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    paths.sort();
    for path in paths {
        let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
        if path.is_dir() {
            jpegs(&path, found)?;
        } else if matches!(extension.as_deref(), Some("jpg" | "jpeg")) {
            found.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enlarging_keeps_the_shape() {
        assert_eq!(enlarged([300, 400], CAMERA), [3000, 4000]);
        assert_eq!(enlarged([4000, 3000], CAMERA), [4000, 3000]);
    }

    #[test]
    fn photographs_are_made_as_often_as_asked_for() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(from.path().join("bees")).unwrap();
        let gray = vec![128; 30 * 40 * 3];
        let encoder = Encoder::new_file(from.path().join("bees/a.JPG"), 90).unwrap();
        encoder.encode(&gray, 40, 30, ColorType::Rgb).unwrap();
        enlarge(from.path(), to.path(), 2, 120_000.0, 2).unwrap();
        let photo = image::read(&to.path().join("photo/0001.jpg")).unwrap();
        assert_eq!((photo.height(), photo.width()), (300, 400));
        assert!(photo.rgb().iter().all(|&sample| sample.abs_diff(128) <= 1));
        assert!(enlarge(to.path(), from.path(), 0, CAMERA, 1).is_ok());
        assert!(enlarge(&to.path().join("none"), from.path(), 1, CAMERA, 1).is_err());
    }
}
