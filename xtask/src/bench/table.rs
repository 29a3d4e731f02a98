//! Tables that read well on a terminal and are Markdown.
//!
//! Above: the sections, `document`. Below: nothing. Not here: what is in them.

use std::collections::BTreeSet;
use std::fmt;

use taper_engine::Spread;

use super::race::Outcome;

/// The column of who ran it, where a row is one of several programs'.
pub(super) const PROGRAM: &str = "program";

/// A head and rows of as many cells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) head: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
}

impl Table {
    /// The first table of a text that stands under this caption, or under none, as it is written there.
    pub(super) fn read(text: &str, caption: &str) -> Option<Self> {
        let cells = |line: &str| -> Vec<String> {
            line.trim().trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
        };
        let is_row = |line: &&str| line.starts_with('|');
        let mut lines = text.lines();
        if !caption.is_empty() {
            lines.find(|line| line.strip_suffix(':') == Some(caption))?;
        }
        let mut lines = lines.skip_while(|line| !is_row(line)).take_while(is_row);
        let head = cells(lines.next()?);
        Some(Self { head, rows: lines.skip(1).map(cells).collect() })
    }

    /// The rows of `old`, those that were measured again as they are now, and new ones behind them: a row's name is its first cell, with that of
    /// [`PROGRAM`] where there is one.
    pub(super) fn among(&self, old: &Self) -> Self {
        let program = self.head.iter().position(|it| it == PROGRAM);
        let name = |row: &Vec<String>| [Some(0), program].map(|at| row.get(at?).cloned());
        let mut rows = old.rows.clone();
        for row in &self.rows {
            match rows.iter_mut().find(|old| name(old) == name(row)) {
                Some(old) => old.clone_from(row),
                None => rows.push(row.clone()),
            }
        }
        Self { head: self.head.clone(), rows }
    }
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
    fn a_table_is_read_as_it_was_written_and_keeps_rows_that_were_not_measured_again() {
        let table = |rows: &[[&str; 2]]| {
            let cells = |row: &[&str; 2]| row.map(str::to_owned).to_vec();
            Table { head: cells(&["model", "ms"]), rows: rows.iter().map(cells).collect() }
        };
        let old = table(&[["a", "1.00"], ["b", "2.00"]]);
        let text = format!("a machine.\n\n{old}\nwords | more\n");
        assert_eq!(Table::read(&text, ""), Some(old.clone()));
        assert_eq!(Table::read("words", ""), None);
        let now = table(&[["b", "1.50"], ["c", "3.00"]]);
        assert_eq!(now.among(&old), table(&[["a", "1.00"], ["b", "1.50"], ["c", "3.00"]]));
        let two = format!("one:\n\n{old}\nother:\n\n{now}\n");
        assert_eq!(
            ["one", "other", "third"].map(|it| Table::read(&two, it)),
            [Some(old), Some(now), None]
        );
        let by = |rows: &[[&str; 2]]| Table {
            head: ["method", PROGRAM].map(str::to_owned).to_vec(),
            ..table(rows)
        };
        let both = by(&[["a", "one"], ["a", "other"]]);
        assert_eq!(by(&[["a", "other"]]).among(&both), both);
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
