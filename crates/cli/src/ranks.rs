//! Ranks on the command line: found in the environment, named where one of them fails, and what sharing cost in words.
//!
//! Above: `finetune`, `prune`. Below: `taper_recipes::{group, must_be_alone}`. Not here: what ranks do (`taper_recipes`).

use anyhow::Result;
use taper_recipes::{Error, Group, GroupOptions, RanksReport};

/// The rank of this process, if a launcher has started several.
pub(crate) fn group(options: GroupOptions) -> Result<Group> {
    Ok(taper_recipes::group(&|name| std::env::var(name).ok(), options)?)
}

/// Refuses to be one of several processes, for a command that would do its work in each of them.
pub(crate) fn must_be_alone() -> Result<()> {
    Ok(taper_recipes::must_be_alone(&|name| std::env::var(name).ok())?)
}

/// What a rank other than the first says when it fails: what is its own. What all ranks were told, the first one says.
#[derive(Debug, thiserror::Error)]
#[error("rank {rank}")]
pub(crate) struct OfRank {
    rank: usize,
    #[source]
    pub(crate) source: Error,
}

impl OfRank {
    /// Whether the first rank says the same.
    pub(crate) fn is_told(&self) -> bool {
        let mut cause: Option<&dyn std::error::Error> = Some(&self.source);
        while let Some(error) = cause {
            if error.is::<taper_recipes::RanksError>() {
                return true;
            }
            cause = error.source();
        }
        matches!(self.source, Error::Ranks { .. })
    }
}

/// An error with the rank that it is of.
pub(crate) fn of_rank(rank: usize, source: Error) -> anyhow::Error {
    match rank {
        0 => source.into(),
        rank => OfRank { rank, source }.into(),
    }
}

/// What sharing steps out has cost.
#[expect(clippy::cast_precision_loss, reason = "megabytes for people")]
pub(crate) fn words(cost: &RanksReport) -> String {
    let RanksReport { ranks, shards, .. } = cost;
    if *ranks == 1 {
        return format!("{shards} shards a step, on one rank");
    }
    format!(
        "{shards} shards a step on {ranks} ranks: {:.1} MB sent by each, waited {:.1} s for sums, {:.0} % of their bytes hidden",
        cost.sent_bytes as f64 / 1e6,
        cost.stall_seconds,
        100.0 * cost.hidden_share
    )
}
