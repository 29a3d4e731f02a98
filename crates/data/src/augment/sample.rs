//! Pixels of a result looked up in a source by a map of positions, nearest or bilinear.
//!
//! Above: `augment::warp`. Below: `image`. Not here: how a map is made of angles and corners (`augment::warp`).
//! Pictures are `(h, w, 3)` bytes. Pixel `(x, y)` has its center at `(x + 0.5, y + 0.5)`.
//! Source: Pillow 13 `src/libImaging/Geometry.c`: affine maps with nearest sampling in steps, 16.16 fixed point unless they only scale;
//! all else in `f64`, bilinear values cut to whole numbers. The exact sums are kept, because they decide which pixel is the nearest.

use std::ops::Range;

use super::warp::Fill;
use crate::image::Image;

/// How a picture is sampled between its pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sampling {
    /// The pixel that holds the position: torchvision's default.
    Nearest,
    /// Between the four around it; at the rim the nearest are repeated.
    Bilinear,
}

/// A picture all of one color.
fn filled([height, width]: [usize; 2], fill: Fill) -> Vec<u8> {
    if fill == [fill[0]; 3] {
        return vec![fill[0]; 3 * height * width];
    }
    fill.repeat(height * width)
}

/// The source's pixel `of(y, x)`, `[row, column]`, which must lie inside, for each pixel of the result.
pub(super) fn moved(image: &Image, of: impl Fn(usize, usize) -> [usize; 2]) -> Image {
    let (width, source) = (image.width(), image.rgb());
    let mut rgb = vec![0; source.len()];
    for (y, row) in rgb.chunks_exact_mut(3 * width).enumerate() {
        for (x, pixel) in row.chunks_exact_mut(3).enumerate() {
            let [row, column] = of(y, x);
            let at = 3 * (row * width + column);
            pixel.copy_from_slice(&source[at..at + 3]);
        }
    }
    image.with_rgb(rgb)
}

/// The source under an affine map `[a, b, c, d, e, f]` of the result's positions: `(ax + by + c, dx + ey + f)`.
pub(super) fn affine(image: &Image, map: [f64; 6], sampling: Sampling, fill: Fill) -> Image {
    let size = [image.height(), image.width()];
    let rgb = match sampling {
        Sampling::Nearest if map[1] == 0.0 && map[3] == 0.0 => scaled(image, map, fill),
        Sampling::Nearest if fits_fixed_point(map, size) => fixed_point(image, map, fill),
        Sampling::Nearest => in_steps(image, map, fill),
        Sampling::Bilinear => {
            let [a, b, c, d, e, f] = map;
            bilinear(image, fill, |x, y| [a * x + b * y + c, d * x + e * y + f])
        }
    };
    image.with_rgb(rgb)
}

/// The source under a projective map of the result's positions, `((ax + by + c) / (gx + hy + 1), (dx + ey + f) / (gx + hy + 1))`.
pub(super) fn perspective(image: &Image, map: [f64; 8], sampling: Sampling, fill: Fill) -> Image {
    let [a, b, c, d, e, f, g, h] = map;
    let at = |x: f64, y: f64| {
        let depth = g * x + h * y + 1.0;
        [(a * x + b * y + c) / depth, (d * x + e * y + f) / depth]
    };
    let rgb = match sampling {
        Sampling::Nearest => {
            let mut rgb = filled([image.height(), image.width()], fill);
            each_pixel(image, &mut rgb, |x, y, out| {
                let [x, y] = at(x, y);
                copy(image, x, y, out);
            });
            rgb
        }
        Sampling::Bilinear => bilinear(image, fill, at),
    };
    image.with_rgb(rgb)
}

/// The index of the pixel that holds a position; none where it is negative or no number.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked, saturates")]
fn index(position: f64, n: usize) -> Option<usize> {
    let index = position as usize;
    (position >= 0.0 && index < n).then_some(index)
}

/// Copies the pixel that holds a position, if there is one.
fn copy(image: &Image, x: f64, y: f64, out: &mut [u8]) {
    if let (Some(column), Some(row)) = (index(x, image.width()), index(y, image.height())) {
        let at = 3 * (row * image.width() + column);
        out.copy_from_slice(&image.rgb()[at..at + 3]);
    }
}

/// Calls `write` with the center of each pixel and its three bytes.
fn each_pixel(image: &Image, rgb: &mut [u8], mut write: impl FnMut(f64, f64, &mut [u8])) {
    for (y, row) in rgb.chunks_exact_mut(3 * image.width()).enumerate() {
        let y = y as f64 + 0.5;
        for (x, out) in row.chunks_exact_mut(3).enumerate() {
            write(x as f64 + 0.5, y, out);
        }
    }
}

/// A map that only scales and moves: the columns are the same in every row.
fn scaled(image: &Image, map: [f64; 6], fill: Fill) -> Vec<u8> {
    let [height, width] = [image.height(), image.width()];
    let mut rgb = filled([height, width], fill);
    let mut x = map[2] + map[0] * 0.5;
    let columns: Vec<Option<usize>> = (0..width)
        .map(|_| {
            let column = index(x, width);
            x += map[0];
            column
        })
        .collect();
    let first = columns.iter().position(Option::is_some).unwrap_or(width);
    let columns: Vec<usize> = columns.into_iter().flatten().collect();
    let is_moved = columns.windows(2).all(|pair| pair[1] == pair[0] + 1);
    let mut y = map[5] + map[4] * 0.5;
    for out in rgb.chunks_exact_mut(3 * width) {
        if let Some(row) = index(y, height) {
            let source = &image.rgb()[3 * row * width..3 * (row + 1) * width];
            let out = &mut out[3 * first..];
            match columns.first() {
                Some(&column) if is_moved => {
                    let bytes = 3 * columns.len();
                    out[..bytes].copy_from_slice(&source[3 * column..3 * column + bytes]);
                }
                _ => {
                    for (out, &column) in out.chunks_exact_mut(3).zip(&columns) {
                        out.copy_from_slice(&source[3 * column..3 * column + 3]);
                    }
                }
            }
        }
        y += map[4];
    }
    rgb
}

/// Whether the result's corners come from where 16 bits before the point reach.
fn fits_fixed_point(map: [f64; 6], [height, width]: [usize; 2]) -> bool {
    let [height, width] = [height as f64, width as f64];
    [[0.0, 0.0], [width, height], [0.0, height], [width, 0.0]].iter().all(|[x, y]| {
        (x * map[0] + y * map[1] + map[2]).abs() < 32_768.0
            && (x * map[3] + y * map[4] + map[5]).abs() < 32_768.0
    })
}

/// 16.16 fixed point, in steps.
fn fixed_point(image: &Image, map: [f64; 6], fill: Fill) -> Vec<u8> {
    let [height, width] = [image.height(), image.width()];
    #[expect(clippy::cast_possible_truncation, reason = "below 2^31 by `fits_fixed_point`, about")]
    let fixed = |x: f64| (x * 65_536.0 + 0.5).floor() as i64;
    let [a, b, d, e] = [map[0], map[1], map[3], map[4]].map(fixed);
    let mut x0 = fixed(map[2] + map[0] * 0.5 + map[1] * 0.5);
    let mut y0 = fixed(map[5] + map[3] * 0.5 + map[4] * 0.5);
    let (source, mut rgb) = (image.rgb(), filled([height, width], fill));
    for out in rgb.chunks_exact_mut(3 * width) {
        let (columns, rows) = (within(x0, a, width, width), within(y0, d, height, width));
        let (first, end) = (columns.start.max(rows.start), columns.end.min(rows.end));
        if first < end {
            let (mut x, mut y) = (x0 + first as i64 * a, y0 + first as i64 * d);
            for out in out[3 * first..3 * end].chunks_exact_mut(3) {
                #[expect(clippy::cast_sign_loss, reason = "inside of the picture")]
                let at = 3 * ((y >> 16) as usize * width + (x >> 16) as usize);
                out.copy_from_slice(&source[at..at + 3]);
                x += a;
                y += d;
            }
        }
        x0 += b;
        y0 += e;
    }
    rgb
}

/// The `i` below `count` for which `start + i * step`, in 16.16 fixed point, lies in `0..n`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the count")]
fn within(start: i64, step: i64, n: usize, count: usize) -> Range<usize> {
    let (last, count) = (((n as i64) << 16) - 1, count as i64);
    // The smallest i with start + i * step >= bound, for a positive step.
    let reach = |bound: i64, step: i64, start: i64| {
        let missing = bound - start;
        missing.div_euclid(step) + i64::from(missing.rem_euclid(step) > 0)
    };
    let (first, end) = match step {
        0 if (0..=last).contains(&start) => (0, count),
        0 => (0, 0),
        // Mirrored, a falling line rises.
        step if step < 0 => (reach(-last, -step, -start), reach(1, -step, -start)),
        step => (reach(0, step, start), reach(last + 1, step, start)),
    };
    let clamped = [first, end].map(|i| i.clamp(0, count) as usize);
    clamped[0]..clamped[1]
}

/// Floating point, in steps: for maps that reach too far.
fn in_steps(image: &Image, map: [f64; 6], fill: Fill) -> Vec<u8> {
    let mut rgb = filled([image.height(), image.width()], fill);
    let mut x0 = map[2] + map[1] * 0.5 + map[0] * 0.5;
    let mut y0 = map[5] + map[4] * 0.5 + map[3] * 0.5;
    for row in rgb.chunks_exact_mut(3 * image.width()) {
        let (mut x, mut y) = (x0, y0);
        for out in row.chunks_exact_mut(3) {
            copy(image, x, y, out);
            x += map[0];
            y += map[3];
        }
        x0 += map[1];
        y0 += map[4];
    }
    rgb
}

/// Bilinear values at the position `at(x, y)` of the source for the center `(x, y)` of each pixel.
fn bilinear(image: &Image, fill: Fill, at: impl Fn(f64, f64) -> [f64; 2]) -> Vec<u8> {
    let (source, [height, width]) = (image.rgb(), [image.height(), image.width()]);
    let [h, w] = [height as f64, width as f64];
    let mut rgb = filled([height, width], fill);
    each_pixel(image, &mut rgb, |x, y, out| {
        let [x, y] = at(x, y);
        if !(x >= 0.0 && x < w && y >= 0.0 && y < h) {
            return;
        }
        let ([left, right], dx) = neighbors(x - 0.5, width);
        let ([top, bottom], dy) = neighbors(y - 0.5, height);
        let (upper, lower) = (3 * top * width, 3 * bottom * width);
        let pixel = |start: usize, column: usize| -> [f64; 3] {
            let at = start + 3 * column;
            let bytes = &source[at..at + 3];
            [bytes[0], bytes[1], bytes[2]].map(f64::from)
        };
        let upper = between(pixel(upper, left), pixel(upper, right), dx);
        let lower = between(pixel(lower, left), pixel(lower, right), dx);
        for (sample, value) in out.iter_mut().zip(between(upper, lower, dy)) {
            *sample = cut(value);
        }
    });
    rgb
}

/// `share` of the way from one color to another.
fn between(from: [f64; 3], to: [f64; 3], share: f64) -> [f64; 3] {
    std::array::from_fn(|channel| from[channel] + (to[channel] - from[channel]) * share)
}

/// The whole number below a value between bytes.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 255")]
fn cut(value: f64) -> u8 {
    value as i32 as u8
}

/// The pixels around a position from -0.5 to below `n - 0.5`, inside of the picture, and how far it is from the first.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "inside of a picture")]
fn neighbors(position: f64, n: usize) -> ([usize; 2], f64) {
    if position < 0.0 {
        return ([0, 0], position + 1.0);
    }
    let first = position as u32;
    let at = first as usize;
    ([at.min(n - 1), (at + 1).min(n - 1)], position - f64::from(first))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{copy, filled, fixed_point, within};
    use crate::image::Image;
    use crate::random::Rng;

    proptest! {
        #![proptest_config(ProptestConfig::default())]
        #[test]
        fn a_range_holds_exactly_what_lies_within(
            start in -5_000_000_i64..5_000_000, step in -200_000_i64..200_000, n in 1_usize..70, count in 1_usize..70,
        ) {
            let range = within(start, step, n, count);
            for i in 0..count {
                let position = (start + i as i64 * step) >> 16;
                prop_assert_eq!(range.contains(&i), (0..n as i64).contains(&position), "{} in {:?}", i, range);
            }
        }

        /// The slow twin looks every pixel up by itself.
        #[test]
        fn rows_of_fixed_point_equal_pixels_by_themselves(
            size in [1_usize..40, 1_usize..40], seed: u64,
            a in -2.0_f64..2.0, b in -2.0_f64..2.0, d in -2.0_f64..2.0, e in -2.0_f64..2.0, move_by in [-30.0_f64..30.0, -30.0_f64..30.0],
        ) {
            let mut rng = Rng::keyed([seed]);
            let rgb = (0..size[0] * size[1] * 3).map(|_| rng.next_u64().to_le_bytes()[0]).collect();
            let image = Image::new(size[0], size[1], rgb).unwrap();
            // Multiples of 2^-15, so that fixed point is exact.
            let [a, b, c, d, e, f] =
                [a, b, move_by[0], d, e, move_by[1]].map(|x| (x * 32_768.0).round() / 32_768.0);
            let mut slow = filled(size, [7, 8, 9]);
            for (i, out) in slow.chunks_exact_mut(3).enumerate() {
                let (x, y) = ((i % size[1]) as f64 + 0.5, (i / size[1]) as f64 + 0.5);
                copy(&image, a * x + b * y + c, d * x + e * y + f, out);
            }
            prop_assert_eq!(fixed_point(&image, [a, b, c, d, e, f], [7, 8, 9]), slow);
        }
    }
}
