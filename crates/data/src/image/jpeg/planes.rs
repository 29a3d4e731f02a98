//! The colors of a picture whose planes the decoder hands out one by one: four inks, or color sampled finer than brightness.
//!
//! Above: `jpeg`. Below: nothing. Not here: planes that the decoder joins itself (`libjpeg-turbo-rs`).
//! Smaller planes are enlarged as libjpeg enlarges them: by a triangle filter where a side is doubled, else by repetition. Four inks
//! are inverted, as Adobe writes them, and become RGB as in Pillow.
//! Source: libjpeg-turbo 3.1 (jdsample.c, jdcolor.c) and Pillow 13 (Convert.c) for which filter and which rounding; ITU-T T.871 for
//! the color space.

use libjpeg_turbo_rs::{ColorSpace, FrameHeader, RawImage};

use super::unsupported;
use crate::error::Result;

/// Whether the decoder would refuse the picture, or convert its inks otherwise.
pub(super) fn are_needed(frame: &FrameHeader) -> bool {
    let [first, others @ ..] = frame.components.as_slice() else { return false };
    others.len() == 3
        || others.iter().any(|other| {
            other.horizontal_sampling > first.horizontal_sampling
                || other.vertical_sampling > first.vertical_sampling
        })
}

/// Width, height and the samples in RGB.
pub(super) fn to_rgb(
    raw: &RawImage,
    frame: &FrameHeader,
    color: ColorSpace,
) -> Result<(usize, usize, Vec<u8>)> {
    let convert = match (color, raw.num_components) {
        (ColorSpace::YCbCr, 3) => |s: [u8; 4]| rgb_of(s[0], s[1], s[2]),
        (ColorSpace::Rgb, 3) => |s: [u8; 4]| [s[0], s[1], s[2]],
        (ColorSpace::Cmyk, 4) => printed,
        (ColorSpace::Ycck, 4) => |s: [u8; 4]| {
            let [c, m, y] = rgb_of(s[0], s[1], s[2]).map(|ink| 255 - ink);
            printed([c, m, y, s[3]])
        },
        (other, n) => return Err(unsupported(format!("{n} components of {other:?}"))),
    };
    let planes: Vec<Plane<'_>> = Plane::all(raw, frame)?;
    let mut rgb = Vec::with_capacity(raw.width * raw.height * 3);
    let mut rows = vec![Vec::new(); planes.len()];
    for y in 0..raw.height {
        for (row, plane) in rows.iter_mut().zip(&planes) {
            plane.enlarged_row(y, row);
        }
        for x in 0..raw.width {
            let mut samples = [0; 4];
            for (sample, row) in samples.iter_mut().zip(&rows) {
                *sample = row[x];
            }
            rgb.extend(convert(samples));
        }
    }
    Ok((raw.width, raw.height, rgb))
}

/// The samples of one component, and how often each stands for a pixel.
struct Plane<'a> {
    samples: &'a [u8],
    stride: usize,
    /// Samples that the picture needs; those beyond fill the last blocks.
    width: usize,
    height: usize,
    /// Columns and rows of pixels for a sample.
    across: usize,
    down: usize,
}

impl<'a> Plane<'a> {
    fn all(raw: &'a RawImage, frame: &FrameHeader) -> Result<Vec<Self>> {
        let largest = |of: fn(&libjpeg_turbo_rs::ComponentInfo) -> u8| {
            frame.components.iter().map(of).max().map_or(1, usize::from)
        };
        let (h_max, v_max) = (largest(|c| c.horizontal_sampling), largest(|c| c.vertical_sampling));
        let planes = raw.planes.iter().zip(&raw.plane_widths).zip(&frame.components);
        planes
            .map(|((samples, &stride), component)| {
                let h = usize::from(component.horizontal_sampling);
                let v = usize::from(component.vertical_sampling);
                if h == 0 || v == 0 || !h_max.is_multiple_of(h) || !v_max.is_multiple_of(v) {
                    return Err(unsupported(format!(
                        "a component sampled {h}x{v} beside one of {h_max}x{v_max}"
                    )));
                }
                Ok(Self {
                    samples,
                    stride,
                    width: (raw.width * h).div_ceil(h_max),
                    height: (raw.height * v).div_ceil(v_max),
                    across: h_max / h,
                    down: v_max / v,
                })
            })
            .collect()
    }

    fn row(&self, y: usize) -> &[u8] {
        let start = y.min(self.height - 1) * self.stride;
        &self.samples[start..start + self.width]
    }

    /// Row `y` of the picture, at least as long as the picture is wide.
    fn enlarged_row(&self, y: usize, row: &mut Vec<u8>) {
        row.clear();
        let near = self.row(y / self.down);
        match (self.across, self.down) {
            (1, 1) => row.extend(near),
            (2, 1) if self.width > 2 => {
                let sums: Vec<u16> = near.iter().map(|&s| u16::from(s)).collect();
                doubled(&sums, [1, 2], 2, row);
            }
            (1, 2) => {
                let bias = if y.is_multiple_of(2) { 1 } else { 2 };
                row.extend(self.sums(y).map(|sum| byte((sum + bias) >> 2)));
            }
            (2, 2) if self.width > 2 => {
                let sums: Vec<u16> = self.sums(y).collect();
                doubled(&sums, [8, 7], 4, row);
            }
            (across, _) => row.extend(near.iter().flat_map(|&s| std::iter::repeat_n(s, across))),
        }
    }

    /// Three parts of the nearer row of samples and one of the other, for row `y` of a picture of twice the height.
    fn sums(&self, y: usize) -> impl Iterator<Item = u16> {
        let near = y / 2;
        let far = if y.is_multiple_of(2) { near.saturating_sub(1) } else { near + 1 };
        self.row(near).iter().zip(self.row(far)).map(|(&n, &f)| 3 * u16::from(n) + u16::from(f))
    }
}

/// Two pixels for each sum: three parts of it and one of its neighbor, plus the bias of left and right ones, shifted.
fn doubled(sums: &[u16], [left, right]: [u16; 2], shift: u32, row: &mut Vec<u8>) {
    for (i, &sum) in sums.iter().enumerate() {
        let before = sums[i.saturating_sub(1)];
        let after = sums[(i + 1).min(sums.len() - 1)];
        row.push(byte((3 * sum + before + left) >> shift));
        row.push(byte((3 * sum + after + right) >> shift));
    }
}

fn byte(value: u16) -> u8 {
    u8::try_from(value).unwrap_or(u8::MAX)
}

/// YCbCr to RGB in 16 bits behind the point.
fn rgb_of(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    const HALF: i32 = 1 << 15;
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let red = y + ((91_881 * cr + HALF) >> 16); // 1.402
    let green = y + ((-22_554 * cb - 46_802 * cr + HALF) >> 16); // 0.34414, 0.71414
    let blue = y + ((116_130 * cb + HALF) >> 16); // 1.772
    [red, green, blue].map(|c| u8::try_from(c.clamp(0, 255)).unwrap_or_default())
}

/// Four inverted inks, cyan, magenta, yellow and black, on white paper: `black - ink * black / 255`, the product rounded.
fn printed([c, m, y, black]: [u8; 4]) -> [u8; 3] {
    [c, m, y].map(|inverted| {
        let product = u32::from(255 - inverted) * u32::from(black) + 128;
        black - u8::try_from((product + (product >> 8)) >> 8).unwrap_or(black).min(black)
    })
}
