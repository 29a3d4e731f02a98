//! Words on a drawing: how wide they are, how they are shortened, which characters they may have.
//!
//! Above: `drawing`, `axes`, all charts. Below: nothing. Not here: what is written.
//! Nothing here knows the reader's font. Widths are those of `DejaVu` Sans, among the widest of usual fonts, so that words fit in others.

/// Size of most words, in units of the drawing.
pub(crate) const SIZE: f64 = 12.0;

/// About how wide words of [`SIZE`] are.
pub(crate) fn width(words: &str) -> f64 {
    SIZE * words.chars().map(advance).sum::<f64>()
}

/// The same in bold.
pub(crate) fn bold_width(words: &str) -> f64 {
    1.12 * width(words)
}

/// Of a character, in em.
fn advance(char: char) -> f64 {
    match char {
        'i' | 'j' | 'l' | '\'' => 0.28,
        '.' | ',' | ' ' | ':' | ';' | '|' | 'I' | '·' => 0.34,
        'f' | 'r' | 't' | '(' | ')' | '[' | ']' | '-' | '/' => 0.4,
        'm' | 'w' | 'M' | 'W' | '%' | '@' | '…' | '×' => 0.98,
        'a'..='z' | '_' => 0.6,
        '0'..='9' => 0.64,
        char if char.is_ascii() => 0.74,
        _ => 1.0,
    }
}

/// As many characters as fit into a width, with an ellipsis for the rest; nothing where not even three fit.
pub(crate) fn shortened(words: &str, room: f64) -> Option<String> {
    if width(words) <= room {
        return Some(words.to_owned());
    }
    let mut left = room - width("…");
    let fits = |char: &char| {
        left -= SIZE * advance(*char);
        left >= 0.0
    };
    let kept: String = words.chars().take_while(fits).collect();
    (kept.chars().count() >= 3).then(|| format!("{}…", kept.trim_end()))
}

/// Words in lines of a width, broken at spaces, of which there are at most so many; a line that does not fit is shortened.
pub(crate) fn lines(words: &str, room: f64, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words.split_whitespace() {
        let is_last = lines.len() == most;
        match lines.last_mut() {
            Some(line) if is_last || width(line) + width(" ") + width(word) <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.iter().filter_map(|line| shortened(line, room)).collect()
}

/// Words without characters that XML does not allow, whatever way they are written.
pub(crate) fn clean(words: &str) -> String {
    let is_allowed =
        |char: char| char == '\n' || !char.is_control() && char != '\u{fffe}' && char != '\u{ffff}';
    words.chars().map(|char| if is_allowed(char) { char } else { '\u{fffd}' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_shortened_to_the_room_they_have() {
        let long = "x".repeat(300);
        for room in [40.0, 50.0, 120.0] {
            let short = shortened(&long, room).unwrap();
            assert!(width(&short) <= room && short.ends_with('…'), "{short}");
        }
        assert_eq!(shortened("conv", 100.0).as_deref(), Some("conv"));
        assert_eq!(shortened("convolution", 20.0), None);
        assert_eq!(shortened("", -1.0), None);
    }

    #[test]
    fn words_are_broken_at_spaces() {
        assert_eq!(lines("stride in pairs", 50.0, 3), ["stride in", "pairs"]);
        assert_eq!(lines("stride in pairs", 500.0, 3), ["stride in pairs"]);
        assert_eq!(lines("a b c d", 12.0, 2).len(), 1, "the rest does not fit into the last line");
        assert!(lines("", 50.0, 3).is_empty() && lines("  \n ", 50.0, 3).is_empty());
    }

    #[test]
    fn characters_that_no_document_may_have_are_replaced() {
        assert_eq!(clean("a\0b\u{b}c\u{ffff}<"), "a\u{fffd}b\u{fffd}c\u{fffd}<");
    }
}
