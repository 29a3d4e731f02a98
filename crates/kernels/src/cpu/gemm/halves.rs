//! What products of bfloat16 need: whether they can be computed here, panels of pairs, scratch.
//!
//! Above: `cpu`, `cpu::{matrix, pack}`. Below: `gemm::tiles`, where there is one. Not here: the products (`gemm::tiles`).

use std::ops::Range;

use super::{Factors, Finish};

/// Rows, and columns, of a tile of sums; pairs of a product.
pub(super) const TILE: usize = 16;
/// Halves in a row of a tile: the depth of one product.
pub(super) const DEPTH: usize = 2 * TILE;
/// Rows of a first factor that are rounded into scratch together.
pub(super) const BLOCK: usize = 96;

/// Products over `k` terms that are added up.
pub(super) fn steps(k: usize) -> usize {
    k.div_ceil(DEPTH)
}

/// Whether products of bfloat16 can be computed here.
pub(crate) fn is_here() -> bool {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    return super::tiles::is_here();
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    false
}

/// Whether a product over `k` terms is worth rounding for, and a panel of as many rows has room for the pairs of all steps.
pub(crate) fn is_worth(k: usize) -> bool {
    k >= TILE
}

/// Rounds a packed panel of `k` rows of whole vectors to pairs, where it lies, and fills the last step with zeros.
///
/// # Panics
/// If [`is_worth`] or [`is_here`] says no.
pub(crate) fn pair_panel(panel: &mut [f32], k: usize) {
    assert!(is_worth(k) && is_here(), "a panel of {k} rows to pair");
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    super::tiles::pair_panel(panel, k);
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    let _ = panel;
}

/// As [`super::multiply`] on tiles: with panels of pairs, or with a first factor that lies transposed and a second one as it is.
///
/// # Safety
/// [`is_here`]; as [`super::multiply`]; `f.halves` has room for [`scratch_of_rows`] or [`scratch_of_columns`].
pub(super) unsafe fn multiply<F: Finish>(
    f: &Factors<'_>,
    rows: Range<usize>,
    panels: Range<usize>,
    finish: F,
) {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    // SAFETY: passed on to the caller.
    unsafe {
        match f.b_stride {
            Some(stride) => super::tiles::multiply_transposed(f, rows, stride, finish),
            None => super::tiles::multiply(f, rows, panels, finish),
        }
    }
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    let _ = (f, rows, panels, finish);
}

/// `f32`s of scratch for the rounded rows of a product of `k` terms in all with panels.
pub(crate) fn scratch_of_rows(k: usize) -> usize {
    // Behind the last row a vector may be written.
    BLOCK * TILE * steps(k) + TILE
}

/// `f32`s of scratch for both rounded factors of an `m` by `n` product of `k` terms whose first factor lies transposed.
pub(crate) fn scratch_of_columns(m: usize, n: usize, k: usize) -> usize {
    (m.next_multiple_of(TILE) + n.next_multiple_of(TILE)) * TILE * steps(k)
}
