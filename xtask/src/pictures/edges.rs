//! A drawing of feature maps: what edge filters make of a picture of the sample set.
//!
//! Above: `pictures`. Below: `convolution`, `png`, `taper_data`. Not here: a network's own filters (`taper look`).

use anyhow::{Context, Result};
use taper_data::{Image, sample_set};
use taper_graph::Window;

use super::convolution::{LEFT, convolved};
use super::paper::{Grid, Paper, number};
use super::png;

/// The picture, by its name in the sample set.
const PICTURE: &str = "val/vehicle/bus.png";

/// Large where it is brighter above than below.
const UP: [f64; 9] = [1.0, 2.0, 1.0, 0.0, 0.0, 0.0, -1.0, -2.0, -1.0];

/// Large at a spot that is brighter than what is around it.
const SPOT: [f64; 9] = [-1.0, -1.0, -1.0, -1.0, 8.0, -1.0, -1.0, -1.0, -1.0];

/// A picture and three feature maps of it, each under the filter that made it.
pub(super) fn edges() -> Result<String> {
    let set = sample_set::emoji6()?;
    let sample = set.train.iter().chain(&set.val).find(|sample| sample.name() == PICTURE);
    let image = sample.with_context(|| format!("no {PICTURE} in the sample set"))?.image()?;
    let size = [image.height(), image.width()];
    let mut paper = Paper::new([860.0, 340.0], "Feature maps of three filters");
    put(&mut paper, 30.0, &png::encode(size, image.rgb(), 3));
    paper.words([120.0, 30.0], 14.0, "picture");
    let gray = brightness(&image);
    let filters =
        [("vertical edges", LEFT), ("horizontal edges", UP), ("spots and outlines", SPOT)];
    for (i, (name, filter)) in filters.into_iter().enumerate() {
        let left = 240.0 + 200.0 * i as f64;
        let map = convolved(&gray, size, &filter, &Window::square(3, 1))?;
        put(&mut paper, left, &png::encode(size, &shades(&map), 1));
        paper.words([left + 90.0, 30.0], 14.0, name);
        let grid = Grid::new([left + 48.0, 238.0], [3, 3], 28.0);
        grid.draw(&mut paper, |[row, col]| number(filter[row * 3 + col]));
    }
    paper.words([120.0, 250.0], 12.0, "64x64, of the sample set");
    paper.words([120.0, 272.0], 12.0, "gray: nothing");
    paper.words([120.0, 290.0], 12.0, "bright: large, dark: far below zero");
    Ok(paper.end())
}

fn put(paper: &mut Paper, x: f64, png: &str) {
    paper.put(format!(
        "<image x=\"{x}\" y=\"42\" width=\"180\" height=\"180\" style=\"image-rendering:pixelated\" \
         href=\"data:image/png;base64,{png}\"/>"
    ));
    paper.put(format!(
        "<rect x=\"{x}\" y=\"42\" width=\"180\" height=\"180\" fill=\"none\" stroke=\"#aaaaaa\"/>"
    ));
}

/// Mean of red, green and blue, from 0 to 1.
fn brightness(image: &Image) -> Vec<f64> {
    let mean = |rgb: &[u8]| rgb.iter().map(|&v| f64::from(v)).sum::<f64>() / (3.0 * 255.0);
    image.rgb().chunks_exact(3).map(mean).collect()
}

/// Zero as middle gray, the largest magnitude as white or black.
fn shades(map: &[f64]) -> Vec<u8> {
    let largest = map.iter().fold(f64::MIN_POSITIVE, |largest, v| largest.max(v.abs()));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 255")]
    let shade = |v: &f64| (127.5 + 127.5 * v / largest).round() as u8;
    map.iter().map(shade).collect()
}
