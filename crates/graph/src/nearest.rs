//! The name that was probably meant.
//!
//! Above: messages about unknown names, here and in `zoo` and `recipes`. Below: nothing. Not here: which names there are.

/// Characters of a name that count: an endless one costs no more.
const LONGEST: usize = 100;

/// The candidate with the fewest letters inserted, left out or replaced; of equally near ones the first. `None` without candidates.
///
/// # Examples
/// ```
/// use taper_graph::nearest;
/// assert_eq!(nearest("convstem", ["conv_head", "conv_stem"]), Some("conv_stem"));
/// assert_eq!(nearest("convstem", []), None);
/// ```
///
/// # Source
/// Levenshtein 1966, "Binary codes capable of correcting deletions, insertions, and reversals".
#[must_use]
pub fn nearest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    candidates.into_iter().min_by_key(|candidate| distance(name, candidate))
}

fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(LONGEST).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().take(LONGEST).enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_single_letters() {
        for (a, b, expected) in
            [("kitten", "sitting", 3), ("", "abc", 3), ("abc", "", 3), ("same", "same", 0)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn endless_names_are_cut() {
        let endless = "x".repeat(1 << 20);
        assert_eq!(distance(&endless, &endless), 0);
        assert_eq!(nearest(&endless, ["a", "b"]), Some("a"));
    }
}
