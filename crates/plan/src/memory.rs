//! Memory plans: one block for all tensors of a run, laid out by when each of them lives.
//!
//! Above: `inference`, `training`. Below: nothing. Not here: what the tensors are and when they live (`inference`, `training`), the
//! memory itself (`taper-engine`).
//! Placement is greedy by size, largest first, at the lowest offset free during the tensor's whole life; within a few percent of
//! the densest moment for chains of layers. Source: Pisarchyk and Lee 2020, <https://arxiv.org/abs/2001.03288>.

use std::cmp::Reverse;
use std::ops::Range;

/// Elements between which every tensor begins: a cache line of `f32`.
pub const ALIGNMENT: usize = 16;

/// A tensor to place: how long it is, and the first and last moment at which it is used.
///
/// Moments are counted by whoever plans, such as the units of a network in the order they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveRange {
    /// Elements; an empty tensor takes no place.
    pub len: usize,
    /// The moment at which it is written.
    pub first: usize,
    /// The moment of its last use, which is not before the first.
    pub last: usize,
}

impl LiveRange {
    /// Whether two tensors are needed at the same moment, and so may not share elements.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// Where every tensor lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryPlan {
    /// By live range: the tensor's elements of the block.
    pub ranges: Vec<Range<usize>>,
    /// Elements of the block.
    pub total: usize,
}

impl MemoryPlan {
    /// Places tensors so that those that live at the same moment lie apart. Equal live ranges give equal plans.
    ///
    /// Returns `None` if the block were longer than an address can say.
    ///
    /// # Cost
    /// `O(n²)` for `n` tensors.
    ///
    /// # Examples
    /// A chain of layers needs a tensor and its successor at a time, and no more:
    /// ```
    /// use taper_plan::{LiveRange, MemoryPlan};
    /// let chain: Vec<LiveRange> = (0..10).map(|i| LiveRange { len: 64, first: i, last: i + 1 }).collect();
    /// let plan = MemoryPlan::new(&chain).unwrap();
    /// assert_eq!(plan.total, 128);
    /// assert_eq!(plan.ranges[..3], [0..64, 64..128, 0..64]);
    /// ```
    #[must_use]
    pub fn new(lives: &[LiveRange]) -> Option<Self> {
        let mut order: Vec<usize> = (0..lives.len()).filter(|&i| lives[i].len > 0).collect();
        order.sort_by_key(|&i| (Reverse(lives[i].len), i));
        let mut placed: Vec<(Range<usize>, usize)> = Vec::with_capacity(order.len());
        let mut total = 0;
        for i in order {
            let live = lives[i];
            let mut start: usize = 0;
            // `placed` is sorted by where tensors begin, so the first gap that is wide enough is the lowest.
            for (range, j) in &placed {
                let is_in_the_way = range.start < start.checked_add(live.len)? && start < range.end;
                if is_in_the_way && live.overlaps(&lives[*j]) {
                    start = range.end.checked_next_multiple_of(ALIGNMENT)?;
                }
            }
            let range = start..start.checked_add(live.len)?;
            total = total.max(range.end);
            let at = placed.partition_point(|(r, _)| r.start <= range.start);
            placed.insert(at, (range, i));
        }
        let mut ranges = vec![0..0; lives.len()];
        for (range, i) in placed {
            ranges[i] = range;
        }
        Some(Self { ranges, total })
    }
}

/// The most elements that live at one moment: no block can be shorter.
///
/// # Examples
/// ```
/// use taper_plan::{LiveRange, peak};
/// let long = LiveRange { len: 5, first: 0, last: 9 };
/// assert_eq!(peak(&[long, LiveRange { len: 3, first: 4, last: 4 }, LiveRange { len: 2, first: 6, last: 7 }]), 8);
/// ```
#[must_use]
pub fn peak(lives: &[LiveRange]) -> usize {
    // The fullest moment is one at which some tensor is written.
    let at = |time: usize| {
        let alive = lives.iter().filter(|t| t.first <= time && time <= t.last);
        alive.fold(0, |sum: usize, t| sum.saturating_add(t.len))
    };
    lives.iter().map(|live| at(live.first)).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{ALIGNMENT, LiveRange, MemoryPlan, peak};
    use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, proptest};

    fn lives() -> impl Strategy<Value = Vec<LiveRange>> {
        let one = (0..500usize, 0..20usize, 0..8usize);
        let live = one.prop_map(|(len, first, life)| LiveRange { len, first, last: first + life });
        proptest::collection::vec(live, 0..30)
    }

    proptest! {
        #[test]
        fn tensors_that_live_together_lie_apart(lives in lives()) {
            let MemoryPlan { ranges, total } = MemoryPlan::new(&lives).unwrap();
            for (i, a) in lives.iter().enumerate() {
                prop_assert!(ranges[i].len() == a.len && ranges[i].end <= total);
                prop_assert_eq!(ranges[i].start % ALIGNMENT, 0);
                for (j, b) in lives.iter().enumerate().skip(i + 1) {
                    let apart = ranges[i].end <= ranges[j].start || ranges[j].end <= ranges[i].start;
                    prop_assert!(!a.overlaps(b) || apart || a.len == 0 || b.len == 0);
                }
            }
        }

        #[test]
        fn the_block_is_between_the_densest_moment_and_all_tensors(lives in lives()) {
            let plan = MemoryPlan::new(&lives).unwrap();
            let all: usize = lives.iter().map(|t| t.len.next_multiple_of(ALIGNMENT)).sum();
            prop_assert!((peak(&lives)..=all).contains(&plan.total));
        }

        #[test]
        fn the_same_live_liveslie_at_the_same_places(lives in lives()) {
            prop_assert_eq!(MemoryPlan::new(&lives), MemoryPlan::new(&lives));
        }
    }

    #[test]
    fn a_block_that_cannot_be_addressed_is_refused() {
        let half = LiveRange { len: usize::MAX / 2 + 1, first: 0, last: 1 };
        assert_eq!(MemoryPlan::new(&[half, half]), None);
        assert_eq!(MemoryPlan::new(&[]).unwrap().total, 0);
    }
}
