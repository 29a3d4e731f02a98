//! Products of sizes that cannot wrap, and lists of as many items as a size says.
//!
//! Above: shape structs, `device::checks`, `cpu`. Below: nothing. Not here: what the sizes are of.

/// The most positions along an axis, and the most channels, that a shape lists one by one.
pub(crate) const MOST_LISTED: usize = 1 << 26;

/// The product; `None` if it overflows.
pub(crate) fn checked_product<const N: usize>(sizes: [usize; N]) -> Option<usize> {
    sizes.into_iter().try_fold(1usize, usize::checked_mul)
}

/// The product, or `usize::MAX`, which no slice is as long as and no allocator has room for.
pub(crate) fn product<const N: usize>(sizes: [usize; N]) -> usize {
    checked_product(sizes).unwrap_or(usize::MAX)
}

/// `item(0), item(1), …`; `None` if one is, or if there are more than [`MOST_LISTED`] or than memory has room for.
pub(crate) fn listed<T>(count: usize, item: impl FnMut(usize) -> Option<T>) -> Option<Vec<T>> {
    let mut list = Vec::new();
    (count <= MOST_LISTED).then_some(())?;
    list.try_reserve_exact(count).ok()?;
    for item in (0..count).map(item) {
        list.push(item?);
    }
    Some(list)
}

#[cfg(test)]
mod tests {
    use super::{MOST_LISTED, checked_product, listed, product};

    #[test]
    fn products_that_overflow_are_none_or_the_largest_number() {
        assert_eq!(checked_product([3, 4, 5]), Some(60));
        assert_eq!(checked_product([1 << 32, 1 << 31, 4]), None);
        assert_eq!([product([3, 4]), product([usize::MAX, 2])], [12, usize::MAX]);
        // Overflow on the way to zero is overflow too: the sizes fit no tensor.
        assert_eq!(product([usize::MAX, 2, 0]), usize::MAX);
    }

    #[test]
    fn a_list_longer_than_any_axis_is_refused_before_memory_is_asked_for() {
        assert_eq!(listed(3, Some), Some(vec![0, 1, 2]));
        assert_eq!(listed(MOST_LISTED + 1, Some), None);
        assert_eq!(listed(usize::MAX, |_| Some([0u64; 64])), None);
    }
}
