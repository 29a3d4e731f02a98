//! The fixed binary tree in which shards are summed.
//!
//! Above: the training, `bf16`. Below: nothing. Not here: how ranks go on with it (`reduce`).
//! Shards 0 and 1 are a sum, 2 and 3 are one, then both together, and so on, whoever owns them. As a binary counter: a new sum
//! carries into the last one of the same height.

use std::ops::AddAssign;

/// Sums vectors in the order of a binary tree, as they come.
///
/// ```
/// use taper_distributed::Tree;
///
/// let mut tree = Tree::new();
/// for shard in [1e8_f32, 1.0, -1e8, 1.0] {
///     tree.push(vec![shard]);
/// }
/// // (1e8 + 1) + (-1e8 + 1), of which f32 keeps no one
/// assert_eq!(tree.finish(), Some(vec![0.0]));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Tree<T = f32> {
    /// Sums with the logarithm of how many there are in each; heights fall strictly.
    sums: Vec<(u32, Vec<T>)>,
}

impl<T: Copy + AddAssign> Tree<T> {
    /// Without a sum.
    #[must_use]
    pub fn new() -> Tree<T> {
        Tree { sums: Vec::new() }
    }

    /// Adds the next vector. All have the same length; of a longer one the end is not summed.
    pub fn push(&mut self, values: Vec<T>) {
        let (mut height, mut sum) = (0, values);
        while self.sums.last().is_some_and(|(last, _)| *last == height) {
            if let Some((_, mut earlier)) = self.sums.pop() {
                add(&mut earlier, &sum);
                (height, sum) = (height + 1, earlier);
            }
        }
        self.sums.push((height, sum));
    }

    /// Adds to a part of the last vector, beginning at `offset`, what the tree holds of it, and leaves the tree as it is: so a
    /// vector that comes in parts can go on in parts. The result is that of [`Self::push`] and [`Self::finish`], to the bit.
    ///
    /// What lies outside of the vectors is left alone.
    pub fn complete(&self, offset: usize, last: &mut [T]) {
        for (_, earlier) in self.sums.iter().rev() {
            add(last, earlier.get(offset..).unwrap_or_default());
        }
    }

    /// The sum of everything, or nothing when nothing was pushed. Without a power of two, the last and lowest sums are added first.
    #[must_use]
    pub fn finish(mut self) -> Option<Vec<T>> {
        let (_, mut sum) = self.sums.pop()?;
        while let Some((_, earlier)) = self.sums.pop() {
            add(&mut sum, &earlier);
        }
        Some(sum)
    }
}

/// `a + b` has the bits of `b + a`.
pub(crate) fn add<T: Copy + AddAssign>(sum: &mut [T], other: &[T]) {
    sum.iter_mut().zip(other).for_each(|(sum, value)| *sum += *value);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The tree as it is defined: halves, and halves of them.
    fn recursive(values: &[f32]) -> f32 {
        match values {
            [one] => *one,
            _ => {
                let (left, right) = values.split_at(values.len() / 2);
                recursive(left) + recursive(right)
            }
        }
    }

    #[test]
    fn nothing_has_no_sum() {
        assert_eq!(Tree::<f32>::new().finish(), None);
    }

    proptest! {
        #[test]
        fn a_counter_sums_like_the_tree(log in 0_u32..6, values in prop::collection::vec(-1e6_f32..1e6, 32)) {
            let shards = &values[..1 << log];
            let mut tree = Tree::new();
            for &shard in shards {
                tree.push(vec![shard]);
            }
            prop_assert_eq!(tree.finish().unwrap()[0].to_bits(), recursive(shards).to_bits());
        }

        #[test]
        fn a_vector_in_parts_has_the_bits_of_a_whole_one(
            log in 0_u32..4,
            values in prop::collection::vec(prop::collection::vec(-1e6_f32..1e6, 7), 8),
            cut in 0_usize..8,
        ) {
            let (last, earlier) = values[..1 << log].split_last().unwrap();
            let mut tree = Tree::new();
            earlier.iter().for_each(|shard| tree.push(shard.clone()));
            let mut parts = last.clone();
            let (left, right) = parts.split_at_mut(cut);
            tree.complete(cut, right);
            tree.complete(0, left);
            tree.push(last.clone());
            prop_assert_eq!(parts, tree.finish().unwrap());
        }
    }
}
