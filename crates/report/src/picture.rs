//! A picture: 8-bit RGB pixels, made larger, laid side by side, written as PNG or JPEG.
//!
//! Above: `feature_map`, `filters`, `heat_map`, `page`. Below: the `image` crate (PNG), `jpeg-encoder`. Not here: reading pictures (`data`), files.
//! Pixels are `(h, w, 3)`, row by row.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};

use jpeg_encoder::{ColorType, Encoder};

use crate::error::{Error, Result, check};

/// Quality of JPEG, of 100: a photograph of 224x224 pixels takes about 12 kB, a tenth of its PNG.
const QUALITY: u8 = 80;

/// An RGB picture, 8 bits a sample, of one pixel or more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    height: usize,
    width: usize,
    rgb: Vec<u8>,
}

impl Picture {
    /// A picture of `(height, width, 3)` samples.
    ///
    /// # Errors
    /// [`Error::Empty`] without pixels, [`Error::Length`] for another number of samples.
    ///
    /// # Examples
    /// ```
    /// use taper_report::Picture;
    /// assert_eq!(Picture::new(1, 2, vec![0; 6])?.width(), 2);
    /// assert!(Picture::new(1, 2, vec![0; 5]).is_err());
    /// # Ok::<(), taper_report::Error>(())
    /// ```
    pub fn new(height: usize, width: usize, rgb: Vec<u8>) -> Result<Self> {
        check("a picture", &[height, width, 3], rgb.len())?;
        Ok(Self { height, width, rgb })
    }

    /// A picture whose pixels `color` says, by row and column. Sides of 0 become 1.
    pub(crate) fn from_fn(
        height: usize,
        width: usize,
        mut color: impl FnMut(usize, usize) -> [u8; 3],
    ) -> Self {
        let (height, width) = (height.max(1), width.max(1));
        let mut rgb = Vec::with_capacity(height * width * 3);
        for row in 0..height {
            for column in 0..width {
                rgb.extend(color(row, column));
            }
        }
        Self { height, width, rgb }
    }

    /// Rows.
    #[must_use]
    pub fn height(&self) -> usize {
        self.height
    }

    /// Columns.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// The samples, `(height, width, 3)`, red, green, blue.
    #[must_use]
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// One pixel, black beyond the edges.
    pub(crate) fn pixel(&self, row: usize, column: usize) -> [u8; 3] {
        let at = 3 * (row * self.width + column);
        match self.rgb.get(at..at + 3) {
            Some(&[r, g, b]) if column < self.width => [r, g, b],
            _ => [0; 3],
        }
    }

    /// Every pixel as a square of `factor` by `factor`: pixels stay visible as such. A factor of 0 counts as 1.
    ///
    /// # Examples
    /// ```
    /// use taper_report::Picture;
    /// let two = Picture::new(1, 2, vec![1, 1, 1, 9, 9, 9])?;
    /// let large = two.enlarged(2);
    /// assert_eq!((large.height(), large.width()), (2, 4));
    /// assert_eq!(large.rgb()[..12], [1, 1, 1, 1, 1, 1, 9, 9, 9, 9, 9, 9]);
    /// # Ok::<(), taper_report::Error>(())
    /// ```
    #[must_use]
    pub fn enlarged(&self, factor: usize) -> Self {
        let factor = factor.max(1);
        Self::from_fn(self.height * factor, self.width * factor, |row, column| {
            self.pixel(row / factor, column / factor)
        })
    }

    /// Enlarged by the smallest whole factor that makes the longer side `side` pixels or more.
    #[must_use]
    pub fn at_least(&self, side: usize) -> Self {
        self.enlarged(side.div_ceil(self.height.max(self.width)))
    }

    /// Made smaller, so that the longer side has `side` pixels at most: a pixel is the mean of those that it covers.
    ///
    /// # Examples
    /// ```
    /// use taper_report::Picture;
    /// let small = Picture::new(2, 4, (0..24).collect())?.at_most(2);
    /// assert_eq!((small.height(), small.width()), (1, 2));
    /// assert_eq!(small.rgb(), [7, 8, 9, 13, 14, 15]);
    /// # Ok::<(), taper_report::Error>(())
    /// ```
    #[must_use]
    pub fn at_most(&self, side: usize) -> Self {
        let longer = self.height.max(self.width);
        if longer <= side.max(1) {
            return self.clone();
        }
        let scaled = |length: usize| (length * side.max(1) / longer).max(1);
        let [height, width] = [scaled(self.height), scaled(self.width)];
        let covered = |at: usize, of: usize, all: usize| at * all / of..((at + 1) * all / of);
        Self::from_fn(height, width, |row, column| {
            let (mut sums, mut count) = ([0usize; 3], 0);
            for row in covered(row, height, self.height) {
                for column in covered(column, width, self.width) {
                    let pixel = self.pixel(row, column);
                    sums.iter_mut().zip(pixel).for_each(|(sum, level)| *sum += usize::from(level));
                    count += 1;
                }
            }
            sums.map(|sum| u8::try_from(sum / count.max(1)).unwrap_or(u8::MAX))
        })
    }

    /// Pictures in rows of `columns`, `gap` white pixels around each; cells are as large as the largest picture. Without pictures,
    /// one white pixel.
    ///
    /// # Examples
    /// ```
    /// use taper_report::Picture;
    /// let black = Picture::new(2, 2, vec![0; 12])?;
    /// let sheet = Picture::sheet(&[black.clone(), black.clone(), black], 2, 1);
    /// assert_eq!((sheet.height(), sheet.width()), (7, 7));
    /// assert_eq!(sheet.rgb()[..3], [255; 3]);
    /// # Ok::<(), taper_report::Error>(())
    /// ```
    #[must_use]
    pub fn sheet(pictures: &[Self], columns: usize, gap: usize) -> Self {
        let columns = columns.clamp(1, pictures.len().max(1));
        let largest = |side: fn(&Self) -> usize| pictures.iter().map(side).max().unwrap_or(0);
        let cell = [largest(Self::height) + gap, largest(Self::width) + gap];
        let rows = pictures.len().div_ceil(columns);
        Self::from_fn(rows * cell[0] + gap, columns * cell[1] + gap, |row, column| {
            let place = |at: usize, cell: usize| {
                at.checked_sub(gap).map(|at| (at / cell.max(1), at % cell.max(1)))
            };
            let (Some((i, row)), Some((j, column))) = (place(row, cell[0]), place(column, cell[1]))
            else {
                return [255; 3];
            };
            let picture = pictures.get(i * columns + j).filter(|_| j < columns);
            match picture.filter(|picture| row < picture.height && column < picture.width) {
                Some(picture) => picture.pixel(row, column),
                None => [255; 3],
            }
        })
    }

    /// The picture as a PNG file.
    ///
    /// # Errors
    /// [`Error::Png`] for sides beyond the format's.
    pub fn to_png(&self) -> Result<Vec<u8>> {
        let failed = |source| Error::Png { height: self.height, width: self.width, source };
        let too_large = |side: usize| {
            u32::try_from(side).map_err(|_beyond| {
                let kind = image::error::ParameterErrorKind::DimensionMismatch;
                let error = image::error::ParameterError::from_kind(kind);
                failed(image::ImageError::Parameter(error))
            })
        };
        let (width, height) = (too_large(self.width)?, too_large(self.height)?);
        let mut bytes = Vec::new();
        let encoder = PngEncoder::new(&mut bytes);
        encoder.write_image(&self.rgb, width, height, ExtendedColorType::Rgb8).map_err(failed)?;
        Ok(bytes)
    }

    /// The picture as an address that holds all of it, `data:image/png;base64,…`.
    ///
    /// # Errors
    /// As [`Picture::to_png`].
    pub fn to_data_uri(&self) -> Result<String> {
        Ok(format!("data:image/png;base64,{}", STANDARD.encode(self.to_png()?)))
    }

    /// The picture as a JPEG file, as photographs are kept.
    ///
    /// # Errors
    /// [`Error::Jpeg`] for sides beyond the format's 65,535.
    ///
    /// # Examples
    /// ```
    /// use taper_report::Picture;
    /// assert!(Picture::new(1, 2, vec![9; 6])?.to_jpeg()?.starts_with(b"\xff\xd8"));
    /// # Ok::<(), taper_report::Error>(())
    /// ```
    pub fn to_jpeg(&self) -> Result<Vec<u8>> {
        // A side that is too long becomes one that no picture has, which the encoder refuses.
        let side = |side: usize| u16::try_from(side).unwrap_or(0);
        let (height, width) = (self.height, self.width);
        let mut bytes = Vec::new();
        let encoder = Encoder::new(&mut bytes, QUALITY);
        encoder
            .encode(&self.rgb, side(width), side(height), ColorType::Rgb)
            .map_err(|source| Error::Jpeg { height, width, source })?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_png_decodes_to_the_same_pixels() {
        let picture = Picture::new(2, 3, (0..18).collect()).unwrap();
        let read = image::load_from_memory(&picture.to_png().unwrap()).unwrap().into_rgb8();
        assert_eq!(read.dimensions(), (3, 2));
        assert_eq!(read.into_raw(), picture.rgb());
    }

    #[test]
    fn an_address_holds_the_png() {
        let picture = Picture::new(1, 1, vec![1, 2, 3]).unwrap();
        let address = picture.to_data_uri().unwrap();
        let png = STANDARD.decode(address.strip_prefix("data:image/png;base64,").unwrap()).unwrap();
        assert_eq!(png, picture.to_png().unwrap());
    }

    #[test]
    fn what_is_no_jpeg_is_an_error() {
        let long = Picture::new(1, 70_000, vec![0; 210_000]).unwrap();
        assert!(matches!(long.to_jpeg().unwrap_err(), Error::Jpeg { width: 70_000, .. }));
    }

    #[test]
    fn a_sheet_keeps_order_row_by_row() {
        let gray = |level| Picture::new(1, 1, vec![level; 3]).unwrap();
        let sheet = Picture::sheet(&[gray(1), gray(2), gray(3)], 2, 1);
        let levels: Vec<u8> = sheet.rgb().chunks_exact(3).map(|pixel| pixel[0]).collect();
        let w = 255;
        let expected =
            [[w, w, w, w, w], [w, 1, w, 2, w], [w, w, w, w, w], [w, 3, w, w, w], [w, w, w, w, w]];
        assert_eq!(levels, expected.concat());
    }

    #[test]
    fn pictures_are_enlarged_to_a_side_by_whole_factors() {
        let strip = Picture::new(1, 3, vec![0; 9]).unwrap();
        let large = strip.at_least(7);
        assert_eq!((large.height(), large.width()), (3, 9));
        assert_eq!(strip.at_least(2), strip, "nothing is made smaller");
    }

    #[test]
    fn nothing_makes_a_white_pixel() {
        assert_eq!(Picture::sheet(&[], 4, 0).rgb(), [255; 3]);
    }
}
