//! Words of a command line.
//!
//! Above: `source`, `run_report`, the binary. Below: nothing. Not here: the commands (`run_report::words`).

/// A word as a shell takes it, in quotes where it needs them.
///
/// # Examples
/// ```
/// assert_eq!(taper_recipes::shell_quoted("my-model/model.safetensors"), "my-model/model.safetensors");
/// assert_eq!(taper_recipes::shell_quoted("it's mine"), r"'it'\''s mine'");
/// ```
pub fn shell_quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./,=:+@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
