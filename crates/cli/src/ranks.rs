//! Ranks on the command line: found in the environment, named where one of them fails, and what sharing cost in words.
//!
//! Above: `args`, `finetune`. Below: `taper_recipes::{group, must_be_alone}`, `failure`. Not here: what ranks do (`taper_recipes`).

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use taper_recipes::{Error, Group, GroupOptions, RanksError, RanksReport};

use crate::failure;

/// The rank of this process, if a launcher has started several.
pub(crate) fn group(options: GroupOptions) -> Result<Group> {
    Ok(taper_recipes::group(&|name| std::env::var(name).ok(), options)?)
}

/// Refuses to be one of several processes, for a command that would do its work in each of them.
pub(crate) fn must_be_alone() -> Result<()> {
    Ok(taper_recipes::must_be_alone(&|name| std::env::var(name).ok())?)
}

/// An error with the rank that tells it.
#[derive(Debug, thiserror::Error)]
#[error("rank {rank}")]
pub(crate) struct OfRank {
    rank: usize,
    #[source]
    pub(crate) source: Error,
}

/// How a rank ends that failed. Of all ranks one says why, before it leaves; the others wait for that, and speak if they miss it.
pub(crate) fn end(group: Arc<Group>, error: Error) -> ExitCode {
    // The first one, unless it is gone.
    let spokesman = error.ranks().map_or(0, RanksError::spokesman);
    let (rank, speaks) = (group.rank(), spokesman == group.rank());
    let error = match rank {
        0 => error.into(),
        rank => anyhow::Error::from(OfRank { rank, source: error }),
    };
    if speaks {
        let code = failure::end(&error);
        drop(group);
        return code;
    }
    let is_told = Arc::into_inner(group).is_some_and(Group::leave);
    if is_told { failure::code(&error) } else { failure::end(&error) }
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
