//! Blocks with a form of their own: numbers that count, a matrix of counts, photographs.
//!
//! Above: `page`. Below: `picture`, `minijinja`. Not here: markup (`page.html`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minijinja::{Value, context};

use crate::error::Result;
use crate::picture::Picture;

/// A number that counts, in large.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// What it is.
    pub label: String,
    /// The number, with its unit.
    pub value: String,
    /// Under it; may be empty.
    pub note: String,
}

/// Counts by row and column, the fuller a cell the darker; a row is a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matrix {
    /// What rows are.
    pub row: String,
    /// What columns are.
    pub column: String,
    /// Names of both.
    pub names: Vec<String>,
    /// Row by row; what is missing is 0.
    pub counts: Vec<Vec<u64>>,
}

/// Pictures of one thing side by side, such as a photograph and the heat over it, with words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Photo {
    /// Of the same height; smooth when they are enlarged, and kept as JPEG.
    pub pictures: Vec<Picture>,
    /// The first line of words, in bold; may be empty.
    pub heading: String,
    /// More lines.
    pub lines: Vec<String>,
}

impl Fact {
    pub(super) fn value(&self) -> Value {
        context! { label => &self.label, value => &self.value, note => &self.note }
    }
}

impl Matrix {
    fn count(&self, row: usize, column: usize) -> u64 {
        self.counts.get(row).and_then(|row| row.get(column)).copied().unwrap_or(0)
    }

    pub(super) fn value(&self) -> Value {
        let n = self.names.len();
        let row = |row: usize| {
            let total: u64 = (0..n).map(|column| self.count(row, column)).sum();
            let cells: Vec<Value> = (0..n).map(|column| self.cell(row, column, total)).collect();
            context! { name => &self.names[row], cells, total }
        };
        let rows: Vec<Value> = (0..n).map(row).collect();
        context! { row => &self.row, column => &self.column, names => &self.names, rows }
    }

    fn cell(&self, row: usize, column: usize, total: u64) -> Value {
        let count = self.count(row, column);
        let share = count as f64 / total.max(1) as f64;
        let title = format!(
            "{} {}, {} {}: {count} of {total} ({:.1} %)",
            self.row,
            self.names[row],
            self.column,
            self.names[column],
            100.0 * share
        );
        let words = if count == 0 { "·".to_owned() } else { count.to_string() };
        let class = match (row == column, count > 0) {
            (true, _) => "right",
            (false, true) => "wrong",
            (false, false) => "",
        };
        // Words stay readable on the darkest cell.
        let depth = if count == 0 { 0.0 } else { 0.08 + 0.42 * share };
        context! { words, title, class, depth => format!("{depth:.3}") }
    }
}

impl Photo {
    pub(super) fn value(&self) -> Result<Value> {
        let picture = |picture: &Picture| -> Result<Value> {
            let jpeg = STANDARD.encode(picture.to_jpeg()?);
            Ok(context! { jpeg, height => picture.height(), width => picture.width() })
        };
        let pictures: Result<Vec<Value>> = self.pictures.iter().map(picture).collect();
        let (heading, lines) = (&self.heading, &self.lines);
        let words = std::iter::once(heading).chain(lines).filter(|words| !words.is_empty());
        let said: Vec<&str> = words.map(String::as_str).collect();
        Ok(context! { pictures => pictures?, heading, lines, said => said.join(", ") })
    }
}
