//! Folders of small pictures, made on the spot.
//!
//! A class is a color with stripes across it; no picture is like another.

use std::fs;
use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};

/// A class and its color.
pub(crate) const COLORS: [(&str, [u8; 3]); 3] =
    [("green", [30, 200, 40]), ("red", [210, 30, 30]), ("blue", [30, 60, 220])];

/// A picture of 40x36 pixels; `number` decides the stripes.
pub(crate) fn picture(color: [u8; 3], number: u8) -> RgbImage {
    RgbImage::from_fn(40, 36, |x, y| {
        let stripe = (x * u32::from(number % 5 + 1) + y * u32::from(number % 3)) / 7 % 2;
        let shade = if stripe == 1 { 20 + number % 10 } else { number % 10 };
        Rgb(color.map(|channel| channel.saturating_sub(shade)))
    })
}

/// Writes `count` pictures of a color into `folder`, which is made.
pub(crate) fn class(folder: &Path, color: [u8; 3], count: u8) {
    fs::create_dir_all(folder).unwrap();
    for number in 0..count {
        picture(color, number).save(folder.join(format!("{number:03}.png"))).unwrap();
    }
}

/// `DIR/<class>/*` with the first `classes` colors and `count` pictures each.
pub(crate) fn folder(dir: &Path, classes: usize, count: u8) -> PathBuf {
    let path = dir.join("pictures");
    for (name, color) in &COLORS[..classes] {
        class(&path.join(name), *color, count);
    }
    path
}
