//! Whether two pictures are the same one, also resized, compressed again or mirrored, from their pixels alone.
//!
//! Above: `recipes`, which looks for copies. Below: `image`. Not here: what a network finds alike (`recipes::similar`).
//! A print is a perceptual hash, by which candidates are found, and a tiny picture, by which they are compared. Copies of photographs at
//! half and a quarter of their size, with JPEG qualities down to 15, mirrored and brightened correlate by 0.98 and more and differ in at
//! most 6 bits; of the 79,000 pairs of different ones in hymenoptera none within 16 bits correlates by more than 0.75.
//! Source of the hash: Zauner 2010, "Implementation and Benchmarking of Perceptual Image Hash Functions", section 3.2.1.

use std::f64::consts::PI;

use crate::image::Image;

/// Side of the gray picture that is hashed.
const GRAY: usize = 32;

/// Lowest frequencies of either direction that make the hash.
const FREQUENCIES: usize = 8;

/// Side of the tiny picture.
const TINY: usize = 16;

/// Bits in which the hashes of candidates may differ.
const MOST_BITS: u32 = 8;

/// How much tiny pictures of one picture correlate at least.
const ALIKE: f64 = 0.97;

/// Standard deviation below which a tiny picture shows nothing, in levels of 255.
const FLAT: f64 = 1.5;

/// What is kept of a picture to find its copies.
///
/// # Examples
/// ```
/// use taper_data::Image;
/// use taper_data::likeness::Print;
/// let drawn = |side: usize| {
///     let level = |at: usize, channel: usize| {
///         let (x, y) = (at % side * 8 / side, at / side * 8 / side);
///         ((31 * x * x + 17 * y * y + 23 * x * y) % 200 + channel) as u8
///     };
///     Image::new(side, side, (0..side * side).flat_map(|at| [0, 1, 2].map(|channel| level(at, channel))).collect())
/// };
/// let (large, small) = (Print::of(&drawn(256)?), Print::of(&drawn(128)?));
/// assert!(large.likeness(&small).is_some_and(|(likeness, is_mirrored)| likeness > 0.99 && !is_mirrored));
/// # Ok::<(), taper_data::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Print {
    hash: u64,
    /// The hash of the mirrored picture.
    mirrored: u64,
    /// `(16, 16, 3)`, each channel with mean 0; all together of length 1, or empty of a picture that shows nothing.
    tiny: Vec<f32>,
}

/// Two pictures that are the same.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Twins {
    /// The index of the one, the lower.
    pub first: usize,
    /// The index of the other.
    pub second: usize,
    /// The correlation of their pixels, up to 1.
    pub likeness: f64,
    /// Whether one is the mirror image of the other.
    pub is_mirrored: bool,
}

impl Print {
    /// The print of a picture.
    #[must_use]
    pub fn of(image: &Image) -> Self {
        let gray: Vec<f64> =
            shrunk(image, GRAY).iter().map(|[r, g, b]| 0.299 * r + 0.587 * g + 0.114 * b).collect();
        let (hash, mirrored) = hashes(&gray);
        Self { hash, mirrored, tiny: standardized(&shrunk(image, TINY)) }
    }

    /// How much two pictures correlate if they are the same, and whether one is mirrored; nothing if they are not.
    #[must_use]
    pub fn likeness(&self, other: &Self) -> Option<(f64, bool)> {
        let as_it_is = ((self.hash ^ other.hash).count_ones() <= MOST_BITS)
            .then(|| correlation(&self.tiny, &other.tiny, false));
        let mirrored = ((self.hash ^ other.mirrored).count_ones() <= MOST_BITS)
            .then(|| correlation(&self.tiny, &other.tiny, true));
        let found = match (as_it_is, mirrored) {
            (Some(plain), Some(mirror)) if mirror > plain => (mirror, true),
            (Some(plain), _) => (plain, false),
            (None, Some(mirror)) => (mirror, true),
            (None, None) => return None,
        };
        (found.0 >= ALIKE).then_some(found)
    }
}

/// All pairs of pictures that are the same, in the order of their indices.
///
/// # Cost
/// Every pair of hashes is compared, and the tiny pictures of those that are near.
#[must_use]
pub fn near_duplicates(prints: &[Print]) -> Vec<Twins> {
    let mut found = Vec::new();
    for (first, print) in prints.iter().enumerate() {
        for (second, other) in prints.iter().enumerate().skip(first + 1) {
            if let Some((likeness, is_mirrored)) = print.likeness(other) {
                found.push(Twins { first, second, likeness, is_mirrored });
            }
        }
    }
    found
}

/// The picture at `(side, side, 3)`: means over cells, which are at least a pixel.
fn shrunk(image: &Image, side: usize) -> Vec<[f64; 3]> {
    let span = |at: usize, length: usize| {
        let from = at * length / side;
        from..((at + 1) * length / side).max(from + 1)
    };
    let (height, width) = (image.height(), image.width());
    let mut cells = Vec::with_capacity(side * side);
    for row in 0..side {
        for column in 0..side {
            let (rows, columns) = (span(row, height), span(column, width));
            let count = (rows.len() * columns.len()) as f64;
            let mut sums = [0.0; 3];
            for y in rows {
                let line = &image.rgb()[3 * y * width..3 * (y + 1) * width];
                for pixel in line[3 * columns.start..3 * columns.end].as_chunks::<3>().0 {
                    sums.iter_mut().zip(pixel).for_each(|(sum, &x)| *sum += f64::from(x));
                }
            }
            cells.push(sums.map(|sum| sum / count));
        }
    }
    cells
}

/// The signs of the lowest frequencies against their median, of the gray picture and of its mirror image, whose odd horizontal
/// frequencies have the other sign.
fn hashes(gray: &[f64]) -> (u64, u64) {
    let wave = |frequency: usize, at: usize| {
        (PI * ((2 * at + 1) * frequency) as f64 / (2 * GRAY) as f64).cos()
    };
    let (mut plain, mut mirrored) = (Vec::new(), Vec::new());
    for v in 0..FREQUENCIES {
        for u in 0..FREQUENCIES {
            if (v, u) == (0, 0) {
                continue; // how bright it is
            }
            let mut sum = 0.0;
            for (at, level) in gray.iter().enumerate() {
                sum += level * wave(v, at / GRAY) * wave(u, at % GRAY);
            }
            plain.push(sum);
            mirrored.push(if u % 2 == 1 { -sum } else { sum });
        }
    }
    (bits(&plain), bits(&mirrored))
}

fn bits(values: &[f64]) -> u64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
    let set = values.iter().zip(0_u64..).filter(|(value, _)| **value > median);
    set.fold(0, |hash, (_, bit)| hash | 1 << bit)
}

fn standardized(cells: &[[f64; 3]]) -> Vec<f32> {
    let n = cells.len().max(1) as f64;
    let mut means = [0.0; 3];
    for cell in cells {
        means.iter_mut().zip(cell).for_each(|(mean, x)| *mean += x / n);
    }
    let centered: Vec<f64> =
        cells.iter().flat_map(|cell| [0, 1, 2].map(|c| cell[c] - means[c])).collect();
    let length = centered.iter().map(|x| x * x).sum::<f64>().sqrt();
    if length <= FLAT * (3.0 * n).sqrt() {
        return Vec::new();
    }
    #[expect(clippy::cast_possible_truncation, reason = "compared to a few digits")]
    centered.into_iter().map(|x| (x / length) as f32).collect()
}

/// From -1 to 1; 0 if one of the two shows nothing.
fn correlation(a: &[f32], b: &[f32], is_mirrored: bool) -> f64 {
    if a.len() != b.len() {
        return 0.0;
    }
    let place = |at: usize| match is_mirrored {
        true => {
            let (row, column, channel) = (at / (3 * TINY), at / 3 % TINY, at % 3);
            3 * (row * TINY + TINY - 1 - column) + channel
        }
        false => at,
    };
    (0..a.len()).map(|at| f64::from(a[at]) * f64::from(b[place(at)])).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample_set;

    fn resized(image: &Image, height: usize, width: usize, mirror: bool) -> Image {
        let pixel = |at: usize| {
            let (y, x) = (at / width, at % width);
            let x = if mirror { width - 1 - x } else { x };
            let from =
                3 * (y * image.height() / height * image.width() + x * image.width() / width);
            image.rgb()[from..from + 3].to_vec()
        };
        Image::new(height, width, (0..height * width).flat_map(pixel).collect()).unwrap()
    }

    #[test]
    fn copies_of_other_sizes_and_mirrored_ones_are_found_and_others_are_not() {
        let dataset = sample_set::emoji6().unwrap();
        let food = dataset.val.iter().filter(|sample| sample.name().contains("/food/"));
        let mut images: Vec<Image> = food.map(|it| (*it.image().unwrap()).clone()).collect();
        let n = images.len();
        images.push(resized(&images[1], 128, 192, false));
        images.push(resized(&images[2], 96, 96, true));
        let prints: Vec<Print> = images.iter().map(Print::of).collect();
        let found = near_duplicates(&prints);
        let pairs: Vec<_> = found.iter().map(|it| (it.first, it.second, it.is_mirrored)).collect();
        assert!(pairs.contains(&(1, n, false)), "{found:?}");
        assert!(pairs.iter().any(|pair| (pair.0, pair.1) == (2, n + 1)), "{found:?}");
        assert!(pairs.len() <= 3, "{found:?}");
    }

    #[test]
    fn pictures_that_show_nothing_are_like_no_other() {
        let flat = |level: u8| Print::of(&Image::new(20, 30, vec![level; 1800]).unwrap());
        assert_eq!(flat(9).likeness(&flat(9)), None);
        let dot = Print::of(&Image::new(1, 1, vec![200, 0, 0]).unwrap());
        assert_eq!(dot.likeness(&flat(3)), None);
        assert!(near_duplicates(&[]).is_empty());
    }

    #[test]
    fn the_same_shape_in_another_color_is_another_picture() {
        let drawn = |color: [u8; 3]| {
            let pixel = |at: usize| {
                if (at / 40 / 8 + at % 40 / 8).is_multiple_of(3) { color } else { [250; 3] }
            };
            Print::of(&Image::new(40, 40, (0..1600).flat_map(pixel).collect()).unwrap())
        };
        assert!(drawn([200, 30, 30]).likeness(&drawn([200, 30, 30])).is_some());
        assert_eq!(drawn([200, 30, 30]).likeness(&drawn([30, 30, 200])), None);
    }
}
