//! Options as words: one list for reading and for the message when a word is unknown.
//!
//! Above: every option of this crate with `FromStr`. Below: `error`. Not here: what the options mean.

use crate::{Error, Result};

/// The value that `word` stands for.
pub(crate) fn parse_word<T: Copy>(
    what: &'static str,
    word: &str,
    words: &[(&'static str, T)],
) -> Result<T> {
    let found = words.iter().find(|(known, _)| *known == word);
    found.map(|(_, value)| *value).ok_or_else(|| Error::UnknownWord {
        what,
        got: word.to_owned(),
        known: words.iter().map(|(word, _)| *word).collect(),
    })
}

/// The word that stands for `value`.
pub(crate) fn word_of<T: PartialEq>(value: &T, words: &[(&'static str, T)]) -> &'static str {
    words.iter().find(|(_, known)| known == value).map_or("", |(word, _)| word)
}
