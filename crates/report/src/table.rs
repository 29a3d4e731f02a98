//! A table: words to the left, numbers to the right, shares with a bar.
//!
//! Above: `page`. Below: `unit`, `minijinja`. Not here: markup (`page.html`).

use minijinja::{Value, context};

use crate::unit::Unit;

/// Rows of cells under a head.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Names of the columns.
    pub head: Vec<String>,
    /// One after the other; what a row lacks is empty.
    pub rows: Vec<Vec<Cell>>,
}

/// What is in a cell.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Cell {
    /// Words.
    Words(String),
    /// A number; a dash for what is none.
    Number(f64, Unit),
    /// From 0 to 1, as percent, with a bar as long as its part of the largest in the column.
    Share(f64),
    /// Nothing.
    Empty,
}

impl Cell {
    fn is_words(&self) -> bool {
        matches!(self, Self::Words(_))
    }

    /// `largest` is the largest share of the column.
    fn value(&self, largest: f64) -> Value {
        match self {
            Self::Words(words) => context! { words, class => "" },
            Self::Number(number, unit) => {
                context! { words => unit.format(*number), class => "number" }
            }
            Self::Share(share) => {
                let words = Unit::Percent.format(100.0 * share);
                let length = if largest > 0.0 { 100.0 * self.share() / largest } else { 0.0 };
                context! { words, class => "number share", bar => format!("{length:.1}") }
            }
            Self::Empty => context! { words => "", class => "" },
        }
    }

    /// From 0 to 1; nothing for what is none.
    fn share(&self) -> f64 {
        match self {
            Self::Share(share) if share.is_finite() => share.clamp(0.0, 1.0),
            _ => 0.0,
        }
    }

    fn length(&self) -> usize {
        match self {
            Self::Words(words) => words.chars().count(),
            _ => 0,
        }
    }
}

/// Characters of a column's words that are not broken into lines; more of them may be.
const UNBROKEN: usize = 26;

impl Table {
    /// Head and rows, all as long as the longest.
    pub(crate) fn value(&self) -> Value {
        let lengths = self.rows.iter().map(Vec::len);
        let columns = lengths.chain([self.head.len()]).max().unwrap_or(0);
        let head: Vec<Value> = (0..columns)
            .map(|column| {
                let words = self.head.get(column).map_or("", String::as_str);
                let class = if self.is_of_numbers(column) { "number" } else { "" };
                let longest = self.column(column).map(Cell::length).max().unwrap_or(0);
                context! { words, class, room => longest.min(UNBROKEN) }
            })
            .collect();
        let largest: Vec<f64> = (0..columns)
            .map(|column| self.column(column).map(Cell::share).fold(0.0, f64::max))
            .collect();
        let row = |row: &Vec<Cell>| -> Vec<Value> {
            let cells = row.iter().chain(std::iter::repeat(&Cell::Empty));
            cells.zip(&largest).map(|(cell, largest)| cell.value(*largest)).collect()
        };
        let rows: Vec<Vec<Value>> = self.rows.iter().map(row).collect();
        context! { head, rows }
    }

    /// The cells of a column; short rows have none.
    fn column(&self, column: usize) -> impl Iterator<Item = &Cell> {
        self.rows.iter().filter_map(move |row| row.get(column))
    }

    /// Whether a column's head is to the right, as all that is in it.
    fn is_of_numbers(&self, column: usize) -> bool {
        let mut cells = self.column(column).filter(|cell| **cell != Cell::Empty).peekable();
        cells.peek().is_some() && !cells.any(Cell::is_words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_numbers_have_their_head_to_the_right_and_short_rows_are_filled() {
        let rows = vec![
            vec![Cell::Words("conv".to_owned()), Cell::Number(1e6, Unit::Bytes), Cell::Share(0.25)],
            vec![Cell::Words("fc".to_owned()), Cell::Empty],
        ];
        let table = Table { head: vec!["layer".to_owned(), "size".to_owned()], rows };
        assert_eq!(
            [0, 1, 2, 3].map(|column| table.is_of_numbers(column)),
            [false, true, true, false]
        );
        let value = table.value();
        for name in ["head", "rows"] {
            let rows = value.get_attr(name).unwrap();
            assert_eq!(rows.len(), Some(if name == "head" { 3 } else { 2 }));
        }
        let head = value.get_attr("head").unwrap().get_item(&Value::from(0)).unwrap();
        assert_eq!(head.get_attr("room").unwrap(), Value::from(4));
        let bar = |share: f64| Cell::Share(share).value(0.25).get_attr("bar").unwrap();
        assert_eq!([0.25, 0.125, f64::NAN].map(bar), ["100.0", "50.0", "0.0"].map(Value::from));
        let short = value.get_attr("rows").unwrap().get_item(&Value::from(1)).unwrap();
        assert_eq!(short.len(), Some(3));
    }
}
