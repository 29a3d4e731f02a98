//! Blur and sharpness: samples mixed with those around them.
//!
//! Above: `augment`. Below: `augment::blend`. Not here: tables of tones (`augment::tone`).
//! Pictures are `(h, w, 3)` bytes, row by row.
//! Source: torchvision 0.26 `transforms.v2.functional.{gaussian_blur, adjust_sharpness}` on PIL images, Pillow 13 `ImageFilter.SMOOTH`.

use super::blend::{blend, is_factor};
use crate::error::{Error, Result};
use crate::image::Image;

/// The longest kernel, taps.
const MAX_KERNEL: usize = 511;

/// Gaussian blur with `kernel` taps, `(height, width)`, odd, and standard deviations of `sigma` pixels, `(height, width)`; the picture is
/// mirrored at its rim. torchvision's `gaussian_blur`, whose taps lie 1/√2 pixels apart on the bell.
///
/// Two passes in `f32`, rounded once, half to even.
///
/// # Errors
/// [`Error::Setting`] if a number of taps is even or above 511, half of it is not below the side it goes along, or a sigma is not above 0.
///
/// # Cost
/// 3 · (kernel height + kernel width) multiply-accumulates a pixel.
pub fn gaussian_blur(image: &Image, kernel: [usize; 2], sigma: [f64; 2]) -> Result<Image> {
    let [height, width] = [image.height(), image.width()];
    for (taps, side) in kernel.into_iter().zip([height, width]) {
        if taps.is_multiple_of(2) || taps > MAX_KERNEL || taps / 2 >= side {
            let got = format!("{}x{} at {height}x{width} pixels", kernel[0], kernel[1]);
            let expected = "odd numbers of taps to 511, the half of each below the picture's side";
            return Err(Error::Setting { setting: "a kernel of a blur", got, expected });
        }
    }
    if !sigma.iter().all(|&sigma| sigma.is_finite() && sigma > 0.0) {
        let got = format!("{sigma:?}");
        return Err(Error::Setting { setting: "sigma of a blur", got, expected: "above 0" });
    }
    let [down, across] = [0, 1].map(|axis| bell(kernel[axis], sigma[axis]));
    let row_len = 3 * width;
    let mut sums = vec![0.0_f32; row_len];
    let (radius, mut padded) = (across.len() / 2, vec![0.0_f32; row_len + 6 * (across.len() / 2)]);
    let mut rgb = vec![0; image.rgb().len()];
    for (y, out) in rgb.chunks_exact_mut(row_len).enumerate() {
        sums.fill(0.0);
        for (tap, &weight) in down.iter().enumerate() {
            let row = mirrored(y + tap, down.len() / 2, height);
            let source = &image.rgb()[row * row_len..(row + 1) * row_len];
            sums.iter_mut()
                .zip(source)
                .for_each(|(sum, &sample)| *sum += weight * f32::from(sample));
        }
        padded[3 * radius..3 * radius + row_len].copy_from_slice(&sums);
        for i in 0..radius {
            for (at, column) in [
                (i, mirrored(i, radius, width)),
                (i + radius + width, mirrored(i + radius + width, radius, width)),
            ] {
                padded[3 * at..3 * at + 3].copy_from_slice(&sums[3 * column..3 * column + 3]);
            }
        }
        sums.fill(0.0);
        for (tap, &weight) in across.iter().enumerate() {
            let shifted = &padded[3 * tap..3 * tap + row_len];
            sums.iter_mut().zip(shifted).for_each(|(sum, &value)| *sum += weight * value);
        }
        out.iter_mut().zip(&sums).for_each(|(sample, &sum)| *sample = nearest_byte(sum));
    }
    Ok(image.with_rgb(rgb))
}

/// The place of `position - radius` on an axis of `n`, mirrored at the outermost samples.
fn mirrored(position: usize, radius: usize, n: usize) -> usize {
    let from_start = position.abs_diff(radius);
    from_start.min(2 * (n - 1) - from_start.min(2 * (n - 1)))
}

/// The nearest integer, halves to even, of a value from 0 to 255: adding 2²³ leaves no room for a fraction.
#[expect(clippy::cast_possible_truncation, reason = "the lowest byte holds it")]
fn nearest_byte(value: f32) -> u8 {
    (value + 8_388_608.0).to_bits() as u8
}

/// Weights of sum 1 on a bell.
#[expect(clippy::cast_possible_truncation, reason = "`f32`, as torchvision has it")]
fn bell(taps: usize, sigma: f64) -> Vec<f32> {
    let limit = (taps - 1) as f64 / (2.0 * 2.0_f64.sqrt());
    let step = if taps > 1 { 2.0 * limit / (taps - 1) as f64 } else { 0.0 };
    let exact: Vec<f64> =
        (0..taps).map(|i| (-((i as f64 * step - limit) / sigma).powi(2)).exp()).collect();
    let total: f64 = exact.iter().sum();
    exact.iter().map(|weight| (weight / total) as f32).collect()
}

/// Mixes the picture with a smoothed one by `1 - factor`: 0 is smoother, 1 changes nothing, 2 is sharper. The rim stays as it is, as does a
/// picture of fewer than 3 rows or columns.
///
/// # Errors
/// [`Error::Setting`] unless the factor is finite and not negative.
pub fn sharpness(image: &mut Image, factor: f64) -> Result<()> {
    let factor = is_factor("a factor of sharpness", factor)?;
    let [height, width] = [image.height(), image.width()];
    if height < 3 || width < 3 {
        return Ok(());
    }
    let row_len = 3 * width;
    let mut above = image.rgb()[..row_len].to_vec();
    let (mut here, mut sums) = (above.clone(), vec![0_u16; row_len]);
    let rgb = image.rgb_mut();
    for y in 1..height - 1 {
        above.copy_from_slice(if y == 1 { &rgb[..row_len] } else { &here });
        let (row, below) = rgb[y * row_len..(y + 2) * row_len].split_at_mut(row_len);
        here.copy_from_slice(row);
        let columns = above.iter().zip(&here).zip(below.iter());
        for (sum, ((&above, &here), &below)) in sums.iter_mut().zip(columns) {
            *sum = u16::from(above) + u16::from(here) + u16::from(below);
        }
        for x in 3..row_len - 3 {
            row[x] = blend(smooth(sums[x - 3] + sums[x] + sums[x + 3], here[x]), here[x], factor);
        }
    }
    Ok(())
}

/// Nine samples around one, which counts five times: over 13, rounded. There are no halves.
#[expect(clippy::cast_possible_truncation, reason = "a weighted mean of bytes")]
fn smooth(nine: u16, middle: u8) -> u8 {
    ((u32::from(nine) + 4 * u32::from(middle)) * 2 + 13).div_euclid(26) as u8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{bell, gaussian_blur, mirrored, sharpness};
    use crate::image::Image;
    use crate::random::Rng;

    fn noise(height: usize, width: usize, seed: u64) -> Image {
        let mut rng = Rng::keyed([seed]);
        let rgb = (0..height * width * 3).map(|_| rng.next_u64().to_le_bytes()[0]).collect();
        Image::new(height, width, rgb).unwrap()
    }

    #[test]
    fn mirrors_stand_on_the_outermost_samples() {
        let places: Vec<usize> = (0..8).map(|position| mirrored(position, 2, 4)).collect();
        assert_eq!(places, [2, 1, 0, 1, 2, 3, 2, 1]);
    }

    #[test]
    fn kernels_that_do_not_fit_are_refused() {
        let image = noise(5, 9, 0);
        for kernel in [[2, 3], [3, 4], [11, 3], [3, 19], [513, 3], [0, 1]] {
            let refused = gaussian_blur(&image, kernel, [1.0; 2]).unwrap_err().to_string();
            assert!(refused.contains("at 5x9 pixels, expected odd"), "{refused}");
        }
        assert!(gaussian_blur(&image, [3, 3], [0.0, 1.0]).is_err());
        assert_eq!(gaussian_blur(&image, [1, 1], [1.0; 2]).unwrap(), image);
        let mut image = image;
        assert!(sharpness(&mut image, -1.0).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::default())]
        /// The slow twin sums the whole window of each sample, in `f64`.
        #[test]
        fn two_passes_equal_one_window(
            size in [4_usize..24, 4_usize..24], radius in [0_usize..4, 0_usize..4], sigma in [0.2_f64..4.0, 0.2_f64..4.0], seed: u64,
        ) {
            let image = noise(size[0], size[1], seed);
            let kernel = radius.map(|radius| 2 * radius + 1);
            let fast = gaussian_blur(&image, kernel, sigma).unwrap();
            let [down, across] = [0, 1].map(|axis| bell(kernel[axis], sigma[axis]));
            for (at, &sample) in fast.rgb().iter().enumerate() {
                let (y, x, channel) = (at / 3 / size[1], at / 3 % size[1], at % 3);
                let mut sum = 0.0;
                for (i, &weight) in down.iter().enumerate() {
                    for (j, &other) in across.iter().enumerate() {
                        let place = [mirrored(y + i, radius[0], size[0]), mirrored(x + j, radius[1], size[1])];
                        sum += f64::from(weight) * f64::from(other) * f64::from(image.rgb()[3 * (place[0] * size[1] + place[1]) + channel]);
                    }
                }
                prop_assert!((f64::from(sample) - sum).abs() < 0.5 + 1e-4, "{sample} for {sum}");
            }
        }
    }
}
