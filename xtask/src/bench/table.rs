//! Tables that read well on a terminal and are Markdown.
//!
//! Above: the sections, `document`. Below: nothing. Not here: what is in them.

use std::collections::BTreeSet;
use std::fmt;

use taper_engine::Spread;

use super::race::Outcome;

/// A head and rows of as many cells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) head: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.chain(self.head.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        let line = |f: &mut fmt::Formatter<'_>, cells: &[String]| {
            for (cell, &width) in cells.iter().zip(&widths) {
                write!(f, "| {cell:<width$} ")?;
            }
            writeln!(f, "|")
        };
        line(f, &self.head)?;
        for &width in &widths {
            write!(f, "|{}", "-".repeat(width + 2))?;
        }
        writeln!(f, "|")?;
        self.rows.iter().try_for_each(|row| line(f, row))
    }
}

/// The median, and in parentheses what four fifths lie between: `4.21 (4.18–4.40)`.
pub(super) fn spread(spread: Spread) -> String {
    let Spread { median, p10, p90 } = spread;
    format!("{} ({}–{})", number(median), number(p10), number(p90))
}

/// Three digits, or all in front of the point.
pub(super) fn number(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        size if size >= 0.9995 => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

/// Mebibytes.
pub(super) fn mebibytes(bytes: u64) -> String {
    number(bytes as f64 / f64::from(1 << 20))
}

/// One line of what everybody's median was.
pub(super) fn spoken(outcomes: &[Outcome]) -> String {
    let one = |outcome: &Outcome| format!("{} {}", outcome.name, number(outcome.ms.median));
    outcomes.iter().map(one).collect::<Vec<_>>().join(", ") + " ms"
}

/// A sentence that names the peers' versions, if there were peers.
pub(super) fn versions<'o>(outcomes: impl Iterator<Item = &'o Outcome>) -> Option<String> {
    let peers = outcomes.filter(|outcome| !outcome.version.is_empty());
    let names: BTreeSet<String> =
        peers.map(|peer| format!("{} {}", peer.name, peer.version)).collect();
    let names: Vec<String> = names.into_iter().collect();
    (!names.is_empty()).then(|| format!("Peers: {}.", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let cells = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let table =
            Table { head: cells(["model", "ms"]), rows: vec![cells(["a", "1.00 (0.9–1.1)"])] };
        let lines = "\
| model | ms             |
|-------|----------------|
| a     | 1.00 (0.9–1.1) |
";
        assert_eq!(table.to_string(), lines);
    }

    #[test]
    fn numbers_have_three_digits() {
        assert_eq!(
            [0.1234, 1.0, 12.345, 99.97, 1234.5].map(number),
            ["0.123", "1.00", "12.3", "100", "1234"]
        );
        assert_eq!(mebibytes(3 << 20), "3.00");
        let one = Spread { median: 2.0, p10: 1.5, p90: 20.0 };
        assert_eq!(spread(one), "2.00 (1.50–20.0)");
    }
}
