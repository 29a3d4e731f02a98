//! Brightness, contrast, saturation and hue, and colors turned to grey.
//!
//! Above: `augment`. Below: `augment::blend`. Not here: tables of tones (`augment::tone`), sharpness (`augment::filter`).
//! Pictures are `(h, w, 3)` bytes and are changed in place. A factor of 1 changes nothing, 0 leaves the other picture: black, its mean
//! grey, its greys.
//! Source: torchvision 0.26 `transforms.v2.functional.{adjust_brightness, adjust_contrast, adjust_saturation, adjust_hue, to_grayscale}` on
//! PIL images, Pillow 13 `ImageEnhance.py`, `Convert.c`.

use super::blend::{blend, is_factor};
use super::tone;
use crate::error::{Error, Result};
use crate::image::Image;

/// ITU-R 601-2 luma of one pixel, as Pillow rounds it.
#[expect(clippy::cast_possible_truncation, reason = "a weighted mean of bytes")]
pub(super) fn luma(pixel: &[u8]) -> u8 {
    let [red, green, blue] = [pixel[0], pixel[1], pixel[2]].map(u32::from);
    ((red * 19_595 + green * 38_470 + blue * 7_471 + 0x8000) >> 16) as u8
}

/// Mixes the picture with black by `1 - factor`.
///
/// # Errors
/// [`Error::Setting`] unless the factor is finite and not negative.
pub fn brightness(image: &mut Image, factor: f64) -> Result<()> {
    let factor = is_factor("a factor of brightness", factor)?;
    tone::apply(image, &[tone::table(|byte| blend(0, byte, factor)); 3]);
    Ok(())
}

/// Mixes the picture with the mean of its greys by `1 - factor`.
///
/// # Errors
/// As [`brightness`].
///
/// # Examples
/// ```
/// let mut image = taper_data::Image::new(1, 2, vec![100, 100, 100, 200, 200, 200])?;
/// taper_data::augment::contrast(&mut image, 0.5)?;
/// assert_eq!(image.rgb(), [125, 125, 125, 175, 175, 175]);
/// # Ok::<(), taper_data::Error>(())
/// ```
pub fn contrast(image: &mut Image, factor: f64) -> Result<()> {
    let factor = is_factor("a factor of contrast", factor)?;
    let pixels = image.rgb().chunks_exact(3);
    let (count, sum) = (pixels.len(), pixels.map(|pixel| u64::from(luma(pixel))).sum::<u64>());
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a mean of bytes")]
    let grey = (sum as f64 / count as f64 + 0.5) as u8;
    tone::apply(image, &[tone::table(|byte| blend(grey, byte, factor)); 3]);
    Ok(())
}

/// Mixes the picture with its greys by `1 - factor`.
///
/// # Errors
/// As [`brightness`].
pub fn saturation(image: &mut Image, factor: f64) -> Result<()> {
    let factor = is_factor("a factor of saturation", factor)?;
    for pixel in image.rgb_mut().chunks_exact_mut(3) {
        let grey = luma(pixel);
        for sample in pixel {
            *sample = blend(grey, *sample, factor);
        }
    }
    Ok(())
}

/// Grey pictures of three equal channels.
pub fn grayscale(image: &mut Image) {
    for pixel in image.rgb_mut().chunks_exact_mut(3) {
        let grey = luma(pixel);
        pixel.fill(grey);
    }
}

/// Turns the wheel of hues by a share of a full turn, -0.5 to 0.5, in 8-bit HSV: some colors change a little even by 0.
///
/// # Errors
/// [`Error::Setting`] if the share is not from -0.5 to 0.5.
pub fn hue(image: &mut Image, turn: f64) -> Result<()> {
    if !(-0.5..=0.5).contains(&turn) {
        let got = turn.to_string();
        return Err(Error::Setting { setting: "a turn of hue", got, expected: "-0.5 to 0.5" });
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "modulo 256")]
    let shift = (turn * 255.0) as i32 as u8;
    for pixel in image.rgb_mut().chunks_exact_mut(3) {
        let [h, s, v] = hsv(pixel);
        pixel.copy_from_slice(&rgb(h.wrapping_add(shift), s, v));
    }
    Ok(())
}

/// Hue, saturation and value as bytes.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "from 0 to below 256; hue is cut to `f32` as in Pillow"
)]
fn hsv(pixel: &[u8]) -> [u8; 3] {
    let (red, green, blue) = (pixel[0], pixel[1], pixel[2]);
    let (largest, smallest) = (red.max(green).max(blue), red.min(green).min(blue));
    if largest == smallest {
        return [0, 0, largest];
    }
    let range = f32::from(largest - smallest);
    let [r, g, b] = [red, green, blue].map(|sample| f32::from(largest - sample) / range);
    let sixths = if red == largest {
        b - g
    } else if green == largest {
        (2.0 + f64::from(r) - f64::from(b)) as f32
    } else {
        (4.0 + f64::from(g) - f64::from(r)) as f32
    };
    // From -1/6 to 5/6 of a turn, made positive: `fmod(x + 1, 1)`.
    let turned = f64::from(sixths) / 6.0 + 1.0;
    let hue = if turned >= 1.0 { turned - 1.0 } else { turned } as f32;
    let saturation = range / f32::from(largest);
    [(f64::from(hue) * 255.0) as i32 as u8, (f64::from(saturation) * 255.0) as i32 as u8, largest]
}

/// Of each hue: its sixth of the wheel, and how far it is into it.
const SECTORS: [(u8, f64); 256] = sectors();

/// Of each saturation: its share of 255.
const STRENGTHS: [f64; 256] = strengths();

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`f32` where Pillow has it"
)]
const fn sectors() -> [(u8, f64); 256] {
    let mut all = [(0, 0.0); 256];
    let mut hue = 0;
    while hue < 256 {
        let sixths = hue as f64 * 6.0 / 255.0;
        let sector = sixths as u8;
        all[hue] = (sector % 6, (sixths - sector as f64) as f32 as f64);
        hue += 1;
    }
    all
}

#[expect(clippy::cast_possible_truncation, reason = "`f32` where Pillow has it")]
const fn strengths() -> [f64; 256] {
    let mut all = [0.0; 256];
    let mut saturation = 0;
    while saturation < 256 {
        all[saturation] = (saturation as f64 / 255.0) as f32 as f64;
        saturation += 1;
    }
    all
}

/// Red, green and blue from hue, saturation and value.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "from 0 to 255; `f32` where Pillow has it"
)]
fn rgb(hue: u8, saturation: u8, value: u8) -> [u8; 3] {
    if saturation == 0 {
        return [value; 3];
    }
    let (sector, rest) = SECTORS[usize::from(hue)];
    let strength = STRENGTHS[usize::from(saturation)];
    // Rounded half away from zero, of what is not negative.
    let of = |share: f64| (f64::from(value) * share + 0.5) as i32 as u8;
    let p = of(1.0 - strength);
    let q = of(1.0 - f64::from((strength * rest) as f32));
    let t = of(1.0 - strength * (1.0 - rest));
    match sector {
        0 => [value, t, p],
        1 => [q, value, p],
        2 => [p, value, t],
        3 => [p, q, value],
        4 => [t, p, value],
        _ => [value, p, q],
    }
}

#[cfg(test)]
mod tests {
    use super::{contrast, hue, saturation};
    use crate::image::Image;

    #[test]
    fn factors_out_of_range_are_refused() {
        let mut image = Image::new(1, 1, vec![1, 2, 3]).unwrap();
        for factor in [-0.1, f64::NAN, f64::INFINITY] {
            assert!(contrast(&mut image, factor).is_err(), "{factor}");
            assert!(saturation(&mut image, factor).is_err(), "{factor}");
        }
        for turn in [-0.6, 0.51, f64::NAN] {
            let refused = hue(&mut image, turn).unwrap_err().to_string();
            assert!(refused.contains("expected -0.5 to 0.5"), "{refused}");
        }
        assert_eq!(image.rgb(), [1, 2, 3]);
    }
}
