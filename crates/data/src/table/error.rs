//! What can be wrong with a table.
//!
//! Above: `table`. Below: `dataset`. Not here: pictures that cannot be read, which are skipped (`dataset`).

use crate::dataset::Skipped;

/// What is wrong with a table of pictures, and where.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// It cannot be read.
    #[error("it cannot be read")]
    Read {
        /// The operating system's reason.
        #[source]
        source: std::io::Error,
    },
    /// Its name says no format.
    #[error("its name ends in none of .csv, .tsv, .jsonl, .ndjson, which say how it is read")]
    Format,
    /// It is longer than a table that is read.
    #[error("it has {got} bytes, more than the {limit} that are read")]
    TooLong {
        /// Its length.
        got: u64,
        /// The longest.
        limit: u64,
    },
    /// Its text is in another encoding.
    #[error("line {line} is not UTF-8{hint} (save it as UTF-8)")]
    Encoding {
        /// The first line that is not, from 1.
        line: usize,
        /// What it seems to be.
        hint: &'static str,
    },
    /// It has no header or no rows.
    #[error("it has no {what}")]
    Empty {
        /// What is missing.
        what: &'static str,
    },
    /// A header of one column: another separator, or no table.
    #[error(
        "its first line has one column, {column:?}; columns are separated by commas, semicolons or tabs"
    )]
    OneColumn {
        /// The column.
        column: String,
    },
    /// Two columns have one name.
    #[error("two of its columns are called `{column}`")]
    TwoColumns {
        /// The name.
        column: String,
    },
    /// A line has another number of fields than the header.
    #[error(
        "line {line} has {got} fields, the header has {expected} (a field with a separator in it stands in quotes)"
    )]
    Fields {
        /// The line, from 1.
        line: u64,
        /// Its fields.
        got: u64,
        /// The header's.
        expected: u64,
    },
    /// A line that cannot be parsed.
    #[error("line {line} is no {expected}: {why}")]
    Line {
        /// The line, from 1.
        line: usize,
        /// What it should be.
        expected: &'static str,
        /// Why it is not.
        why: String,
    },
    /// A column that was asked for, or is needed, is not there.
    #[error("it has no column {wanted}; its columns are {known}")]
    Column {
        /// What was looked for.
        wanted: String,
        /// Those there are.
        known: String,
    },
    /// It cannot be told which columns are the targets.
    #[error("which of its columns are the targets? {known} could be: name them")]
    Targets {
        /// Those it could be.
        known: String,
    },
    /// A field is empty or of the wrong kind.
    #[error("line {line}, column `{column}`: {got} is no {expected}")]
    Value {
        /// The line, from 1.
        line: usize,
        /// The column.
        column: String,
        /// What is there.
        got: String,
        /// What should be.
        expected: String,
    },
    /// One picture twice with different targets or in different parts.
    #[error("`{path}` stands in the lines {} and {} with different {what}", lines[0], lines[1])]
    Twice {
        /// The picture.
        path: String,
        /// The two lines.
        lines: [usize; 2],
        /// What differs.
        what: &'static str,
    },
    /// All rows have one class.
    #[error("all rows have the class `{class}`; a classifier needs at least two")]
    OneClass {
        /// The class.
        class: String,
    },
    /// A class or label that can never be learned.
    #[error(
        "`{name}` is in no row to train on, so it cannot be learned (add some, or take its rows out)"
    )]
    Unseen {
        /// The class or label.
        name: String,
    },
    /// A change of a picture that the table does not have.
    #[error("it has no row of the picture `{path}`, which is to be changed")]
    NoRow {
        /// The picture.
        path: String,
    },
    /// A picture is to be changed in two ways.
    #[error("the rows of `{path}` are to be changed twice")]
    ChangedTwice {
        /// The picture.
        path: String,
    },
    /// A picture is to have a class that no row has.
    #[error("`{path}` is to have the class `{class}`, which is none of the table's: {known}")]
    UnknownClass {
        /// The picture.
        path: String,
        /// The class.
        class: String,
        /// Those of the table.
        known: String,
    },
    /// No usable picture is left in a part.
    #[error("no picture in `{part}` can be used{}", because(*skipped, first.as_deref()))]
    NoPictures {
        /// `train` or `val`.
        part: &'static str,
        /// Pictures that cannot be used.
        skipped: usize,
        /// The first of them.
        first: Option<Box<Skipped>>,
    },
}

impl TableError {
    pub(super) fn empty(part: &'static str, skipped: &[Skipped]) -> Self {
        let first = skipped.first().cloned().map(Box::new);
        Self::NoPictures { part, skipped: skipped.len(), first }
    }
}

fn because(skipped: usize, first: Option<&Skipped>) -> String {
    first.map_or_else(String::new, |Skipped { name, reason }| {
        format!(" ({skipped} were skipped, the first is `{name}`: {reason})")
    })
}
