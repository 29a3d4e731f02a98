//! What can be wrong with a source.
//!
//! Above: `source`. Below: `dataset`. Not here: single pictures that cannot be read, which are skipped (`dataset`).

use crate::dataset::Skipped;

/// What is wrong with files that hold a data set, and where.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// A file cannot be read.
    #[error("`{name}` cannot be read")]
    File {
        /// Its name.
        name: String,
        /// The operating system's reason, or what is wrong with an archive.
        #[source]
        source: std::io::Error,
    },
    /// A file of records is cut off, or is something else.
    #[error(
        "`{name}` has {got} bytes, which is no multiple of the {record} of a record (get it again)"
    )]
    Records {
        /// Its name.
        name: String,
        /// Its length.
        got: u64,
        /// Bytes of a record.
        record: usize,
    },
    /// A file is longer than any that is read.
    #[error("`{name}` has {got} bytes, more than the {limit} that are read")]
    TooLong {
        /// Its name.
        name: String,
        /// Its length.
        got: u64,
        /// The longest.
        limit: u64,
    },
    /// A label is none of the classes.
    #[error(
        "a picture has the class {label}, and there are {classes}, from 0 on (is the file of their names whole?)"
    )]
    Label {
        /// What came.
        label: usize,
        /// How many classes there are.
        classes: usize,
    },
    /// A name is none of the classes.
    #[error("a picture has the class `{label}`, which is not among those of classes.txt")]
    Name {
        /// What came.
        label: String,
    },
    /// All pictures are of one class.
    #[error("there is one class only (`{class}`); a classifier needs two or more")]
    OneClass {
        /// Its name.
        class: String,
    },
    /// There is nothing of what is needed.
    #[error("there are no pictures {purpose}{reason}")]
    Empty {
        /// What for.
        purpose: &'static str,
        /// Why, of the first that was skipped.
        reason: String,
    },
    /// A pattern of shards cannot be understood.
    #[error(
        "a pattern of shards is as `name-{{000000..000012}}.tar`, with one pair of braces and at most {most} shards"
    )]
    Pattern {
        /// How many there can be.
        most: usize,
    },
    /// A shard of a pattern is missing.
    #[error("the shard `{name}` of the pattern is missing")]
    Missing {
        /// Its name.
        name: String,
    },
    /// A shard is compressed.
    #[error(
        "`{name}` is compressed, and pictures are read from anywhere in a shard: unpack it to a .tar"
    )]
    Compressed {
        /// Its name.
        name: String,
    },
}

impl SourceError {
    /// Nothing is there; the first thing that was skipped says why.
    pub(super) fn empty(purpose: &'static str, skipped: &[Skipped]) -> Self {
        let reason = skipped.first().map_or_else(String::new, |Skipped { name, reason }| {
            format!(" ({} were skipped, the first is `{name}`: {reason})", skipped.len())
        });
        Self::Empty { purpose, reason }
    }
}
