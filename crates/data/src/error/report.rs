//! An error as one line of a report, and errors of a program's own transforms and data sets.
//!
//! Above: `dataset`, `recipes`. Below: `Error`. Not here: what can go wrong (`error`).

use super::Error;
use crate::dataset::Skipped;

impl Error {
    /// An error of your own transform or data set.
    ///
    /// ```
    /// let error = taper_data::Error::other("the picture is upside down");
    /// assert_eq!(error.to_string(), "the picture is upside down");
    /// ```
    pub fn other(message: impl Into<String>) -> Self {
        Self::Other { message: message.into(), source: None }
    }

    /// The message and those of all its causes, joined by colons: one line for a report.
    ///
    /// ```
    /// assert_eq!(taper_data::Error::NotRegular.chain(), "it is not a regular file");
    /// ```
    #[must_use]
    pub fn chain(&self) -> String {
        let mut line = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let message = error.to_string();
            // Some libraries say their cause themselves.
            if !line.ends_with(&message) {
                line.push_str(": ");
                line.push_str(&message);
            }
            cause = error.source();
        }
        line
    }
}

/// How many files were skipped, and why the first one was.
pub(super) fn because(skipped: usize, first: Option<&Skipped>) -> String {
    match (skipped, first) {
        (0, _) | (_, None) => String::new(),
        (1, Some(Skipped { name, reason })) => format!(" (`{name}` was skipped: {reason})"),
        (n, Some(Skipped { name, reason })) => {
            format!(" ({n} files were skipped, the first is `{name}`: {reason})")
        }
    }
}
