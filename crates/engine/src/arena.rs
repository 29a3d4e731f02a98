//! One block of memory for all tensors of a run: who lies where, by when they live.
//!
//! Above: `session`, `train`. Below: `kernels::AlignedBuf`. Not here: what the tensors are.
//! Placement is greedy by size, largest first, at the lowest offset free during the tensor's whole life; within a few percent of
//! the densest moment for chains of layers. Source: Pisarchyk and Lee 2020, <https://arxiv.org/abs/2001.03288>.

use std::ops::Range;

use taper_kernels::{AlignedBuf, Real};

/// A tensor to place: how long it is, and the first and last moment at which it is used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tenant {
    pub(crate) len: usize,
    pub(crate) first: usize,
    pub(crate) last: usize,
}

/// Elements between which every tensor begins: a cache line of `f32`.
const UNIT: usize = 16;

/// Where each tenant lies, and the length of the arena. `None` on overflow.
pub(crate) fn place(tenants: &[Tenant]) -> Option<(Vec<Range<usize>>, usize)> {
    let mut order: Vec<usize> = (0..tenants.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(tenants[i].len), i));
    let mut placed: Vec<(Range<usize>, usize)> = Vec::with_capacity(tenants.len());
    let mut total = 0;
    for i in order {
        let tenant = tenants[i];
        let meets = |j: usize| tenants[j].first <= tenant.last && tenant.first <= tenants[j].last;
        let mut start: usize = 0;
        // `placed` is sorted by where tenants begin, so the first gap that is wide enough is the lowest.
        for (range, j) in &placed {
            if meets(*j) && range.start < start.checked_add(tenant.len)? && start < range.end {
                start = range.end.checked_next_multiple_of(UNIT)?;
            }
        }
        let range = start..start.checked_add(tenant.len)?;
        total = total.max(range.end);
        let at = placed.partition_point(|(r, _)| r.start <= range.start);
        placed.insert(at, (range, i));
    }
    let mut ranges = vec![0..0; tenants.len()];
    for (range, i) in placed {
        ranges[i] = range;
    }
    Some((ranges, total))
}

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
    use super::{Tenant, around, place};
    use proptest::prelude::{Strategy, prop_assert, proptest};
    use taper_kernels::AlignedBuf;

    fn tenants() -> impl Strategy<Value = Vec<Tenant>> {
        let one = (0..500usize, 0..20usize, 0..8usize);
        let tenant = one.prop_map(|(len, first, life)| Tenant { len, first, last: first + life });
        proptest::collection::vec(tenant, 0..30)
    }

    proptest! {
        #[test]
        fn tenants_that_live_together_lie_apart(tenants in tenants()) {
            let (ranges, total) = place(&tenants).unwrap();
            for (i, a) in tenants.iter().enumerate() {
                prop_assert!(ranges[i].len() == a.len && ranges[i].end <= total);
                for (j, b) in tenants.iter().enumerate().skip(i + 1) {
                    let together = a.first <= b.last && b.first <= a.last;
                    let apart = ranges[i].end <= ranges[j].start || ranges[j].end <= ranges[i].start;
                    prop_assert!(!together || apart || a.len == 0 || b.len == 0);
                }
            }
        }
    }

    #[test]
    fn a_chain_needs_two_neighbors_at_a_time() {
        let chain: Vec<Tenant> =
            (0..10).map(|i| Tenant { len: 64, first: i, last: i + 1 }).collect();
        assert_eq!(place(&chain).unwrap().1, 128);
    }

    #[test]
    fn others_are_read_on_both_sides_of_the_hole() {
        let mut arena = AlignedBuf::<f32>::zeroed(6);
        arena.copy_from_slice(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        let (hole, others) = around(&mut arena, &(2..4));
        assert_eq!(hole, [2.0, 3.0]);
        assert_eq!((others.get(&(0..2)), others.get(&(4..6))), (&[0.0, 1.0][..], &[4.0, 5.0][..]));
    }
}
