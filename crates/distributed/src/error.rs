//! What can go wrong between ranks.
//!
//! Above: all of this crate. Below: `thiserror`. Not here: errors of the training itself (`train`), which [`Group::abort`] tells.
//! An error names the rank it is about; every rank of a job that ends gets one that names the same.
//!
//! [`Group::abort`]: crate::Group::abort

/// The result of what needs other ranks.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why ranks cannot go on together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A rank ended while others went on.
    #[error(
        "rank {rank} left while others went on ({expected}); its own output or the launcher's says why"
    )]
    Lost {
        /// The rank that is gone.
        rank: usize,
        /// What it owed.
        expected: String,
    },
    /// A rank gives no sign of life.
    #[error(
        "rank {rank} has not answered for {seconds} s; its process is stopped, its machine is down or the network is: the \
         job goes on from its last checkpoint with `--resume`"
    )]
    Silent {
        /// The rank that does not answer.
        rank: usize,
        /// Seconds since its last sign of life.
        seconds: u64,
    },
    /// A rank said that it cannot go on.
    #[error("rank {rank} ended the job: {message}")]
    Aborted {
        /// The rank that failed.
        rank: usize,
        /// Its own error.
        message: String,
    },
    /// Ranks were started with different options, data or programs.
    #[error(
        "ranks differ in `{key}`: {}; start all of them with the same program, options and data",
        list(values)
    )]
    Disagreement {
        /// What they differ in.
        key: String,
        /// Each value that occurs, with the first rank that has it.
        values: Vec<(usize, String)>,
    },
    /// Tensors that must be the same on all ranks are not.
    #[error(
        "`{name}` is not the same on all ranks: {} other bits than rank 0; go on from a checkpoint, and look for what is \
         not deterministic or for a faulty machine",
        ranks_text(ranks)
    )]
    Diverged {
        /// The first tensor that differs.
        name: String,
        /// Ranks whose bits are not those of rank 0.
        ranks: Vec<usize>,
    },
    /// Ranks sent each other something of another length.
    #[error(
        "rank {rank} sent {came} bytes where {expected} were expected ({what}); do all ranks run the same program?"
    )]
    Length {
        /// Who sent it.
        rank: usize,
        /// Bytes that came.
        came: usize,
        /// Bytes that were expected.
        expected: usize,
        /// Which exchange it was.
        what: String,
    },
    /// The number of ranks or shards is not possible.
    #[error("{shards} shards cannot be shared out to {ranks} ranks: {rule}")]
    Shards {
        /// Shards of a step.
        shards: usize,
        /// Ranks of the job.
        ranks: usize,
        /// What they must fulfill.
        rule: &'static str,
    },
    /// A call that no rank could serve.
    #[error("{what}: {expected}")]
    Call {
        /// What came.
        what: String,
        /// What was expected.
        expected: String,
    },
    /// The engine below could not be started or used.
    #[error("{engine}: {message}")]
    Engine {
        /// Which engine.
        engine: &'static str,
        /// What it said, and what to do.
        message: String,
    },
    /// The group's thread has ended.
    #[error("rank {rank} has left its group; this is a bug, please report it")]
    Ended {
        /// This rank.
        rank: usize,
    },
}

impl Error {
    /// The rank that tells its user about this error: 0, or 1 when it is 0 that is gone.
    #[must_use]
    pub fn spokesman(&self) -> usize {
        match self {
            Error::Lost { rank: 0, .. } | Error::Silent { rank: 0, .. } => 1,
            _ => 0,
        }
    }

    /// Whether every rank comes to this error by itself, so that nobody needs to tell the others.
    #[must_use]
    pub fn is_common(&self) -> bool {
        match self {
            Error::Disagreement { .. } | Error::Diverged { .. } | Error::Shards { .. } => true,
            Error::Lost { .. }
            | Error::Silent { .. }
            | Error::Aborted { .. }
            | Error::Length { .. }
            | Error::Call { .. }
            | Error::Engine { .. }
            | Error::Ended { .. } => false,
        }
    }
}

fn list(values: &[(usize, String)]) -> String {
    let parts: Vec<String> =
        values.iter().map(|(rank, value)| format!("rank {rank} has `{value}`")).collect();
    parts.join(", ")
}

fn ranks_text(ranks: &[usize]) -> String {
    let numbers: Vec<String> = ranks.iter().map(ToString::to_string).collect();
    match ranks.len() {
        1 => format!("rank {} has", numbers.join("")),
        _ => format!("ranks {} have", numbers.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_ranks_and_values() {
        let error = Error::Disagreement {
            key: "threads".to_owned(),
            values: vec![(0, "1".to_owned()), (3, "2".to_owned())],
        };
        assert!(
            error.to_string().starts_with(
                "ranks differ in `threads`: rank 0 has `1`, rank 3 has `2`; start all"
            )
        );
        let error = Error::Diverged { name: "conv_stem.weight".to_owned(), ranks: vec![1, 3] };
        assert!(error.to_string().contains("ranks 1, 3 have other bits than rank 0"));
        let error = Error::Diverged { name: "conv_stem.weight".to_owned(), ranks: vec![2] };
        assert!(error.to_string().contains("rank 2 has other bits than rank 0"));
    }
}
