//! One block of memory for all tensors of a run, of which one is written while others are read.
//!
//! Above: `session`, `train`. Below: `kernels::AlignedBuf`. Not here: who lies where (`taper-plan`), what the tensors are.

use std::ops::Range;

use taper_kernels::{AlignedBuf, Real};

/// Everything in an arena but one tensor.
pub(crate) struct Others<'a, T> {
    before: &'a [T],
    after: &'a [T],
    hole_end: usize,
}

impl<'a, T> Others<'a, T> {
    /// A tensor outside the hole.
    pub(crate) fn get(&self, range: &Range<usize>) -> &'a [T] {
        if range.end <= self.before.len() {
            &self.before[range.clone()]
        } else {
            &self.after[range.start - self.hole_end..range.end - self.hole_end]
        }
    }
}

/// One tensor to write, and all others to read.
pub(crate) fn around<'a, T: Real>(
    arena: &'a mut AlignedBuf<T>,
    range: &Range<usize>,
) -> (&'a mut [T], Others<'a, T>) {
    let (before, rest) = arena.split_at_mut(range.start);
    let (hole, after) = rest.split_at_mut(range.len());
    (hole, Others { before, after, hole_end: range.end })
}

#[cfg(test)]
mod tests {
    use super::around;
    use taper_kernels::AlignedBuf;

    #[test]
    fn others_are_read_on_both_sides_of_the_hole() {
        let mut arena = AlignedBuf::<f32>::zeroed(6);
        arena.copy_from_slice(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        let (hole, others) = around(&mut arena, &(2..4));
        assert_eq!(hole, [2.0, 3.0]);
        assert_eq!((others.get(&(0..2)), others.get(&(4..6))), (&[0.0, 1.0][..], &[4.0, 5.0][..]));
    }
}
