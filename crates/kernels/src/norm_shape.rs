//! The shape struct of normalizations within one picture: groups of channels, one group (layer norm), or a channel each.
//!
//! Above: `device`, `engine`, `ops`. Below: nothing. Not here: batch norm, which is folded or pending on a `Source`.

use crate::sizes::checked_product;

/// Groups over which mean and variance are taken: `positions` times `c / groups` values each.
///
/// Layer norm over the channels of every position is `n · positions` rows of one position and one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NormShape {
    pub(crate) n: usize,
    pub(crate) positions: usize,
    pub(crate) c: usize,
    pub(crate) groups: usize,
}

impl NormShape {
    /// An `(n, positions, c)` tensor in `groups` groups of channels; `None` if a size is zero, overflows, or does not divide.
    #[must_use]
    pub fn new(n: usize, positions: usize, c: usize, groups: usize) -> Option<Self> {
        if [n, positions, c, groups].contains(&0) || !c.is_multiple_of(groups) {
            return None;
        }
        checked_product([n, positions, c])?;
        Some(Self { n, positions, c, groups })
    }

    /// Elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.n * self.positions * self.c
    }

    /// Whether there are no elements: never.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Values a mean is taken of.
    pub(crate) fn count(&self) -> usize {
        self.positions * (self.c / self.groups)
    }
}
