//! What can go wrong when something is drawn.
//!
//! Above: all of this crate. Below: the errors of `image`, `jpeg-encoder` and `minijinja`. Not here: errors of files (`recipes`).

/// The result of drawing.
pub type Result<T> = std::result::Result<T, Error>;

/// Why there is no picture or page.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Numbers that do not make a picture of that size.
    #[error("{what} of {shape:?} has {got} numbers, expected {expected}")]
    Length {
        /// What is drawn.
        what: &'static str,
        /// Its shape.
        shape: Vec<usize>,
        /// Numbers that came.
        got: usize,
        /// Numbers that the shape says.
        expected: usize,
    },
    /// Nothing to draw.
    #[error("{what} of {shape:?} has no pixel")]
    Empty {
        /// What is drawn.
        what: &'static str,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// A picture could not be encoded.
    #[error("a picture of {height}x{width} cannot be written as PNG")]
    Png {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
        /// Why.
        #[source]
        source: image::ImageError,
    },
    /// A photograph could not be encoded.
    #[error("a picture of {height}x{width} cannot be written as JPEG")]
    Jpeg {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
        /// Why.
        #[source]
        source: jpeg_encoder::EncodingError,
    },
    /// The template does not fit what it is given: a bug of this crate.
    #[error("the page cannot be laid out")]
    Page {
        /// Where and why.
        #[source]
        source: minijinja::Error,
    },
}

/// Refuses a shape without elements, and numbers that are not as many as it says.
pub(crate) fn check(what: &'static str, shape: &[usize], got: usize) -> Result<()> {
    let expected = shape.iter().try_fold(1usize, |product, &side| product.checked_mul(side));
    match expected {
        Some(0) => Err(Error::Empty { what, shape: shape.to_vec() }),
        Some(expected) if expected == got => Ok(()),
        expected => {
            let expected = expected.unwrap_or(usize::MAX);
            Err(Error::Length { what, shape: shape.to_vec(), got, expected })
        }
    }
}
