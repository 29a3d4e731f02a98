//! Which shards of a step belong to which rank.
//!
//! Above: the training. Below: nothing. Not here: summing them (`tree`, `reduce`), which rows a shard has (whoever reads a batch in parts).

use std::ops::Range;

use crate::{Error, Reduction, Result};

/// How a step is cut into shards and shared out to ranks.
///
/// A shard is a contiguous part of the batch that one process would read, with a forward and a backward pass of its own; so the
/// result depends on the number of shards, and with [`Reduction::Exact`] on nothing else.
///
/// ```
/// use taper_distributed::{Reduction, Shards};
///
/// let shards = Shards::new(4, 2, Reduction::Exact)?;
/// assert_eq!(shards.of(1), 2..4);
/// # Ok::<(), taper_distributed::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shards {
    count: usize,
    ranks: usize,
}

impl Shards {
    /// `count` shards on `ranks` ranks.
    ///
    /// # Errors
    /// [`Error::Shards`] unless every rank gets as many; [`Reduction::Exact`] needs powers of two.
    pub fn new(count: usize, ranks: usize, reduction: Reduction) -> Result<Shards> {
        let refuse = |rule| Err(Error::Shards { shards: count, ranks, rule });
        if count == 0 || ranks == 0 || !count.is_multiple_of(ranks) {
            return refuse("shards must be a multiple of the ranks, so that all have as many");
        }
        match reduction {
            Reduction::Exact if !(count.is_power_of_two() && ranks.is_power_of_two()) => refuse(
                "an exact reduction needs powers of two (1, 2, 4, 8, ...); any multiple will do with `--reduce fast`",
            ),
            Reduction::Exact | Reduction::Fast => Ok(Shards { count, ranks }),
        }
    }

    /// Shards of a step.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Ranks that they are shared out to.
    #[must_use]
    pub fn ranks(&self) -> usize {
        self.ranks
    }

    /// Shards of each rank.
    #[must_use]
    pub fn per_rank(&self) -> usize {
        self.count / self.ranks
    }

    /// The shards of `rank`, contiguous.
    #[must_use]
    pub fn of(&self, rank: usize) -> Range<usize> {
        rank * self.per_rank()..(rank + 1) * self.per_rank()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_that_cannot_be_shared_out_are_refused() {
        for (count, ranks, reduction, is_fine) in [
            (1, 1, Reduction::Exact, true),
            (8, 4, Reduction::Exact, true),
            (6, 2, Reduction::Exact, false),
            (3, 3, Reduction::Exact, false),
            (6, 3, Reduction::Fast, true),
            (2, 4, Reduction::Fast, false),
            (0, 1, Reduction::Fast, false),
            (1, 0, Reduction::Fast, false),
        ] {
            let made = Shards::new(count, ranks, reduction);
            assert_eq!(made.is_ok(), is_fine, "{count} {ranks} {reduction:?}");
        }
    }
}
