//! Tables of 256 entries a channel: posterize, solarize, invert, equalize, autocontrast.
//!
//! Above: `augment`, `augment::color`. Below: `image`. Not here: what looks at more than one sample of a picture at a time (`augment::filter`).
//! Pictures are `(h, w, 3)` bytes and are changed in place; channels are treated alike and apart.
//! Source: torchvision 0.26 `transforms.v2.functional` on PIL images, Pillow 13 `ImageOps.py`.

use crate::error::{Error, Result};
use crate::image::Image;

/// What becomes of each byte.
pub(super) type Table = [u8; 256];

/// A table from a function.
#[expect(clippy::cast_possible_truncation, reason = "256 entries")]
pub(super) fn table(of: impl Fn(u8) -> u8) -> Table {
    std::array::from_fn(|byte| of(byte as u8))
}

/// Looks every sample up in the table of its channel.
pub(super) fn apply(image: &mut Image, [red, green, blue]: &[Table; 3]) {
    for pixel in image.rgb_mut().chunks_exact_mut(3) {
        pixel[0] = red[usize::from(pixel[0])];
        pixel[1] = green[usize::from(pixel[1])];
        pixel[2] = blue[usize::from(pixel[2])];
    }
}

/// Keeps the highest `bits` bits of each sample, 0 to 8.
///
/// # Errors
/// [`Error::Setting`] for more than 8.
pub fn posterize(image: &mut Image, bits: u32) -> Result<()> {
    if bits > 8 {
        let got = bits.to_string();
        return Err(Error::Setting { setting: "bits of a sample", got, expected: "0 to 8" });
    }
    let mask = !0xff_u8.checked_shr(bits).unwrap_or(0);
    image.rgb_mut().iter_mut().for_each(|sample| *sample &= mask);
    Ok(())
}

/// Inverts the samples that are not below `threshold`, 0 to 255.
///
/// # Examples
/// ```
/// let mut image = taper_data::Image::new(1, 1, vec![10, 128, 250])?;
/// taper_data::augment::solarize(&mut image, 128.0);
/// assert_eq!(image.rgb(), [10, 127, 5]);
/// # Ok::<(), taper_data::Error>(())
/// ```
pub fn solarize(image: &mut Image, threshold: f64) {
    let table = table(|byte| if f64::from(byte) < threshold { byte } else { 255 - byte });
    apply(image, &[table; 3]);
}

/// Exchanges light and dark.
pub fn invert(image: &mut Image) {
    image.rgb_mut().iter_mut().for_each(|sample| *sample = 255 - *sample);
}

/// How often each byte is in each channel.
fn histograms(image: &Image) -> [[usize; 256]; 3] {
    let mut counts = [[0; 256]; 3];
    for pixel in image.rgb().chunks_exact(3) {
        for (counts, &sample) in counts.iter_mut().zip(pixel) {
            counts[usize::from(sample)] += 1;
        }
    }
    counts
}

/// Stretches each channel so that its darkest sample becomes 0 and its lightest 255; a channel of one value is left alone.
pub fn autocontrast(image: &mut Image) {
    let tables = histograms(image).map(|counts| {
        let lowest = counts.iter().position(|&count| count > 0).unwrap_or(0);
        let highest = counts.iter().rposition(|&count| count > 0).unwrap_or(0);
        if highest <= lowest {
            return table(|byte| byte);
        }
        let scale = 255.0 / (highest - lowest) as f64;
        let offset = -(lowest as f64) * scale;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "`as` clamps, as Pillow does"
        )]
        table(|byte| (f64::from(byte) * scale + offset) as u8)
    });
    apply(image, &tables);
}

/// Makes the values of each channel about equally frequent; a channel of one value is left alone.
pub fn equalize(image: &mut Image) {
    let tables = histograms(image).map(|counts| {
        let last = counts.iter().rev().find(|&&count| count > 0).copied().unwrap_or(0);
        let step = (counts.iter().sum::<usize>() - last) / 255;
        if step == 0 {
            return table(|byte| byte);
        }
        let mut below = step / 2;
        counts.map(|count| {
            let value = u8::try_from(below / step).unwrap_or(u8::MAX);
            below += count;
            value
        })
    });
    apply(image, &tables);
}

#[cfg(test)]
mod tests {
    use super::{autocontrast, equalize, posterize};
    use crate::image::Image;

    #[test]
    fn posterizing_keeps_the_highest_bits() {
        let of = |bits| {
            let mut image = Image::new(1, 1, vec![255, 129, 7]).unwrap();
            posterize(&mut image, bits).map(|()| image.rgb().to_vec())
        };
        assert_eq!(of(0).unwrap(), [0, 0, 0]);
        assert_eq!(of(1).unwrap(), [128, 128, 0]);
        assert_eq!(of(8).unwrap(), [255, 129, 7]);
        assert!(of(9).unwrap_err().to_string().contains("bits of a sample is 9, expected 0 to 8"));
    }

    #[test]
    fn one_value_is_left_alone() {
        for change in [autocontrast, equalize] {
            let mut image = Image::new(20, 20, vec![77; 1200]).unwrap();
            change(&mut image);
            assert_eq!(image.rgb(), vec![77; 1200]);
        }
    }
}
