//! Values and their shape, in row-major order.
//!
//! Above: `targets`. Below: nothing. Not here: arithmetic; tensors are candle's.

use crate::error::{Error, Result};

/// Values of some shape, the last axis the fastest. Shape and values always fit.
///
/// # Examples
/// ```
/// use taper_data::Array;
/// let maps = Array::new(vec![0u32; 24], vec![2, 3, 4])?;
/// assert_eq!((maps.len(), maps.shape()), (2, &[2, 3, 4][..]));
/// assert_eq!(
///     Array::new(vec![0.0f32; 5], vec![2, 3]).unwrap_err().to_string(),
///     "5 values do not have the shape [2, 3], which is that of 6"
/// );
/// # Ok::<(), taper_data::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Array<T> {
    values: Vec<T>,
    shape: Vec<usize>,
}

impl<T: Copy> Array<T> {
    /// Values of a shape.
    ///
    /// # Errors
    /// [`Error::ArrayShape`] if they are more or fewer than the shape says.
    pub fn new(values: Vec<T>, shape: Vec<usize>) -> Result<Self> {
        let expected = shape.iter().try_fold(1usize, |len, &axis| len.checked_mul(axis));
        if expected != Some(values.len()) {
            let (got, expected) = (values.len(), expected.unwrap_or(usize::MAX));
            return Err(Error::ArrayShape { got, shape, expected });
        }
        Ok(Self { values, shape })
    }

    /// One axis.
    #[must_use]
    pub fn vector(values: Vec<T>) -> Self {
        Self { shape: vec![values.len()], values }
    }

    /// The values, the last axis the fastest.
    #[must_use]
    pub fn values(&self) -> &[T] {
        &self.values
    }

    /// The lengths of the axes.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The length of the first axis; 1 for a single value.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }

    /// Whether there are no values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The entries of the first axis at `indices`; those beyond the last are left out.
    pub(crate) fn select(&self, indices: &[usize]) -> Self {
        let (Some((&n, of_one)), each) = (self.shape.split_first(), self.values.len()) else {
            return self.clone();
        };
        let each = each / n.max(1);
        let found: Vec<usize> = indices.iter().copied().filter(|&i| i < n).collect();
        let values = found.iter().flat_map(|&i| &self.values[i * each..(i + 1) * each]);
        let shape = std::iter::once(found.len()).chain(of_one.iter().copied()).collect();
        Self { values: values.copied().collect(), shape }
    }

    /// With a first axis of length 1 before all others.
    pub(crate) fn unsqueeze(mut self) -> Self {
        self.shape.insert(0, 1);
        self
    }

    /// Adds entries along the first axis; the other axes are the caller's to compare.
    pub(crate) fn append(&mut self, other: &Self) {
        self.values.extend_from_slice(&other.values);
        if let (Some(n), Some(more)) = (self.shape.first_mut(), other.shape.first()) {
            *n += more;
        }
    }
}
