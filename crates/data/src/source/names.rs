//! Names of files and of classes.
//!
//! Above: `source`. Below: `source::error`. Not here: names of parts (`folder::layout`).

use std::path::Path;

use super::SourceError;

/// The most classes there may be: labels are not believed to be small.
pub(super) const MOST: usize = 1 << 17;

/// The longest file of names that is read, bytes.
const LONGEST: u64 = 1 << 24;

/// The last part of a path, as far as it is text.
pub(super) fn of(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// The lines of a file of names; none if it is not there.
pub(super) fn read(path: &Path) -> Result<Option<Vec<String>>, SourceError> {
    let io = |source| SourceError::File { name: of(path).to_owned(), source };
    let Ok(metadata) = std::fs::metadata(path) else { return Ok(None) };
    if !metadata.is_file() || metadata.len() > LONGEST {
        return Ok(None);
    }
    let text = std::fs::read_to_string(path).map_err(io)?;
    let names: Vec<String> =
        text.lines().map(|line| line.trim().to_owned()).filter(|name| !name.is_empty()).collect();
    Ok((!names.is_empty()).then_some(names))
}

/// The names of classes whose largest index is `largest`: those that were said, or their numbers.
pub(super) fn of_classes(
    said: Option<Vec<String>>,
    largest: usize,
) -> Result<Vec<String>, SourceError> {
    match said {
        Some(names) if largest < names.len() => Ok(names),
        Some(names) => Err(SourceError::Label { label: largest, classes: names.len() }),
        None if largest < MOST => Ok((0..=largest).map(|class| class.to_string()).collect()),
        None => Err(SourceError::Label { label: largest, classes: MOST }),
    }
}
