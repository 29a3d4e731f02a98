//! A table without some of its rows and with other classes in others, every other byte as it is.
//!
//! Above: `table`. Below: `table::{records, columns}`, the `csv-core` and `serde_json` crates. Not here: what is to be changed (`recipes::doctor`), files.
//! Rows are changed by where their bytes are, and not written again: quotes, ends of lines, blanks and other columns stay.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use csv_core::ReadFieldResult;
use serde_json::Value;
use serde_json::value::RawValue;

use super::columns::{self, listed};
use super::error::TableError;
use super::records::{Format, Records, delimiter, text};
use super::{Rows, Table, TableOptions};
use crate::error::{Error, Result};
use crate::targets::TargetKind;

/// What is changed of a picture's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowChange {
    /// They are not there.
    LeaveOut,
    /// They have another class of the table.
    Class(String),
}

/// A table with changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditedTable {
    /// All of it.
    pub bytes: Vec<u8>,
    /// Rows that are left out.
    pub left_out: usize,
    /// Rows that have another class.
    pub relabelled: usize,
}

impl Table {
    /// The table `bytes`, which are those of the file at `path`, with changes of the rows of these pictures. No file is read or written.
    ///
    /// Whole lines are left out, and a class is exchanged within its field, in quotes where it has been or must be (in JSON Lines, where it is
    /// no number in the place of one); every other byte is as it was. A picture is named as in the table; `./a.png` is `a.png`.
    ///
    /// # Errors
    /// [`Error::Table`], whose source says what is wrong: as [`Table::open`] for a table that is none; a picture that is in no row or changed
    /// twice, a class that no row has, and nothing that stays.
    ///
    /// # Examples
    /// ```
    /// use std::path::{Path, PathBuf};
    /// use taper_data::table::{RowChange, Table, TableOptions};
    ///
    /// let table = b"path,label\r\n1.png,\"ant\"\r\n2.png,bee\r\n3.png,bee\r\n";
    /// let changes = [("1.png", RowChange::Class("bee".to_owned())), ("2.png", RowChange::LeaveOut)];
    /// let edited = Table::edited(Path::new("things.csv"), table, &TableOptions::default(), &changes)?;
    /// assert_eq!(edited.bytes, b"path,label\r\n1.png,\"bee\"\r\n3.png,bee\r\n");
    /// # Ok::<(), taper_data::Error>(())
    /// ```
    pub fn edited(
        path: &Path,
        bytes: &[u8],
        options: &TableOptions,
        changes: &[(&str, RowChange)],
    ) -> Result<EditedTable> {
        edited(path, bytes, options, changes)
            .map_err(|source| Error::Table { path: path.to_path_buf(), source: Box::new(source) })
    }
}

fn edited(
    path: &Path,
    bytes: &[u8],
    options: &TableOptions,
    changes: &[(&str, RowChange)],
) -> std::result::Result<EditedTable, TableError> {
    let format = Format::of(path).ok_or(TableError::Format)?;
    let text = text(bytes)?;
    let records = Records::of(format, text)?;
    let rows = Rows::of(&records, options)?;
    let target = rows.columns.targets.first().map_or("", String::as_str);
    let mut wanted = wanted(&rows, changes)?;

    let mut after = bytes[..bytes.len() - text.len()].to_vec();
    let (mut left_out, mut relabelled, mut copied) = (0, 0, 0);
    let delimiter = delimiter(text);
    let number = records.columns.iter().position(|column| column == target);
    let places = match format {
        Format::Csv => {
            let mut places = csv(text.as_bytes(), delimiter, number.unwrap_or_default());
            places.drain(..places.len().min(1)); // the header
            places
        }
        Format::JsonLines => json_lines(text, target),
    };
    for (place, record) in places.into_iter().zip(&records.records) {
        let key = columns::key(&rows.columns.path(record)?);
        let Some((change, is_met)) = wanted.get_mut(&key) else { continue };
        *is_met = true;
        let replaced = match change {
            RowChange::LeaveOut => {
                left_out += 1;
                place.row
            }
            RowChange::Class(_) => {
                relabelled += 1;
                place.field
            }
        };
        let part = |range: Range<usize>| text.get(range).unwrap_or_default();
        after.extend_from_slice(part(copied..replaced.start).as_bytes());
        if let RowChange::Class(class) = change {
            let old = part(replaced.clone());
            let new = match format {
                Format::Csv => field(old, class, delimiter),
                Format::JsonLines => json_field(old, class),
            };
            after.extend_from_slice(new.as_bytes());
        }
        copied = replaced.end;
    }
    after.extend_from_slice(text.get(copied..).unwrap_or_default().as_bytes());
    let absent = changes
        .iter()
        .find(|(path, _)| !wanted.get(&columns::key(path)).is_some_and(|(_, is_met)| *is_met));
    if let Some((path, _)) = absent {
        return Err(TableError::NoRow { path: (*path).to_owned() });
    }
    if left_out == records.records.len() {
        return Err(TableError::Empty { what: "rows that stay" });
    }
    Ok(EditedTable { bytes: after, left_out, relabelled })
}

/// Changes by picture, none of which has been met yet; no two are of one picture, and classes are the table's.
fn wanted<'c>(
    rows: &Rows,
    changes: &'c [(&str, RowChange)],
) -> std::result::Result<HashMap<PathBuf, (&'c RowChange, bool)>, TableError> {
    let known = if rows.kind == TargetKind::Class { rows.names.as_slice() } else { &[] };
    let mut wanted = HashMap::new();
    for (path, change) in changes {
        let path = (*path).to_owned();
        match change {
            RowChange::Class(class) if !known.contains(class) => {
                let (class, known) = (class.clone(), listed(known));
                return Err(TableError::UnknownClass { path, class, known });
            }
            RowChange::Class(_) | RowChange::LeaveOut => {}
        }
        if wanted.insert(columns::key(&path), (change, false)).is_some() {
            return Err(TableError::ChangedTwice { path });
        }
    }
    Ok(wanted)
}

/// A field with this class in it: in quotes if it is or if it must be, else between the blanks that are there.
fn field(old: &str, class: &str, delimiter: u8) -> String {
    let needs_quotes = class.contains(['"', '\r', '\n', char::from(delimiter)]);
    if needs_quotes || old.starts_with('"') {
        return format!("\"{}\"", class.replace('"', "\"\""));
    }
    let before = old.len() - old.trim_start().len();
    let after = old.trim_end().len().max(before);
    format!("{}{class}{}", &old[..before], &old[after..])
}

/// A value of JSON with this class in it: a number, true or false if it was such and can be.
fn json_field(old: &str, class: &str) -> String {
    let is_bare = |text: &str| {
        let value = serde_json::from_str(text);
        matches!(value, Ok(Value::Number(_) | Value::Bool(_)))
    };
    match is_bare(old) && is_bare(class) {
        true => class.to_owned(),
        false => Value::from(class).to_string(),
    }
}

/// Where a row is.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    /// With the end of its line.
    row: Range<usize>,
    /// One of its fields, with its quotes.
    field: Range<usize>,
}

/// Where each object of JSON Lines is, and its value of that name.
fn json_lines(text: &str, name: &str) -> Vec<Place> {
    let (mut places, mut start) = (Vec::new(), 0);
    for line in text.split_inclusive('\n') {
        let row = start..start + line.len();
        start = row.end;
        if line.trim().is_empty() {
            continue;
        }
        // As in `records`, of a name that is there twice the last value counts.
        let values: HashMap<String, &RawValue> = serde_json::from_str(line).unwrap_or_default();
        let field = values.get(name).map_or(row.start..row.start, |value| {
            let at = row.start + (value.get().as_ptr() as usize - line.as_ptr() as usize);
            at..at + value.get().len()
        });
        places.push(Place { row, field });
    }
    places
}

/// Where each row of a CSV text is, and its field of that number; the header is the first.
fn csv(text: &[u8], delimiter: u8, number: usize) -> Vec<Place> {
    let mut reader = csv_core::ReaderBuilder::new().delimiter(delimiter).build();
    let mut unquoted = [0; 1024]; // nobody looks at it
    let mut places = Vec::new();
    let (mut row, mut field, mut start, mut column, mut at) = (0, 0..0, 0, 0, 0);
    loop {
        let (result, read, _) = reader.read_field(&text[at..], &mut unquoted);
        at += read;
        let is_last = match result {
            ReadFieldResult::InputEmpty | ReadFieldResult::OutputFull => continue,
            ReadFieldResult::Field { record_end } => record_end,
            ReadFieldResult::End => return places,
        };
        if column == 0 {
            // Lines before it that are empty.
            let empty = text[start..at].iter().take_while(|byte| is_end(**byte)).count();
            start = (start + empty).min(at);
            row = start;
        }
        // What ends a field is read with it, but for the end of the text.
        let end = at - read.min(1);
        if column == number {
            field = start.min(end)..end;
        }
        (start, column) = (at, column + 1);
        if is_last {
            let is_pair = text[..at].ends_with(b"\r") && text[at..].starts_with(b"\n");
            let end = at + usize::from(is_pair);
            places.push(Place { row: row..end, field: field.clone() });
            column = 0;
        }
    }
}

fn is_end(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

#[cfg(test)]
mod tests;
