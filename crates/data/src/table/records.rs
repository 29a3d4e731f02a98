//! The lines of a table as fields by column, whatever the format.
//!
//! Above: `table`. Below: the `csv` and `serde_json` crates. Not here: what columns mean (`columns`, `values`).

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value};

use super::columns;
use super::error::TableError;

type Result<T> = std::result::Result<T, TableError>;

/// The longest table that is read, bytes.
const LIMIT: u64 = 1 << 30;

/// How a table is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Csv,
    JsonLines,
}

impl Format {
    pub(super) fn of(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        match extension.as_str() {
            "csv" | "tsv" => Some(Self::Csv),
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            _ => None,
        }
    }
}

/// A line: where it stands, and its fields by column. Fields of CSV are strings.
#[derive(Debug)]
pub(super) struct Record {
    /// From 1.
    pub(super) line: usize,
    pub(super) fields: Map<String, Value>,
}

/// A table's lines.
#[derive(Debug)]
pub(super) struct Records {
    /// In the order of the file.
    pub(super) columns: Vec<String>,
    pub(super) records: Vec<Record>,
}

impl Records {
    /// What the file at `path` holds.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let format = Format::of(path).ok_or(TableError::Format)?;
        Self::of(format, text(&bytes(path)?)?)
    }

    pub(super) fn of(format: Format, text: &str) -> Result<Self> {
        let records = match format {
            Format::Csv => csv(text)?,
            Format::JsonLines => json_lines(text)?,
        };
        if records.records.is_empty() {
            return Err(TableError::Empty { what: "rows" });
        }
        Ok(records)
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>> {
    let read = |source| TableError::Read { source };
    let metadata = fs::metadata(path).map_err(read)?;
    if metadata.len() > LIMIT {
        return Err(TableError::TooLong { got: metadata.len(), limit: LIMIT });
    }
    let mut bytes = Vec::new();
    File::open(path).map_err(read)?.take(LIMIT).read_to_end(&mut bytes).map_err(read)?;
    Ok(bytes)
}

/// Bytes as text, without a byte-order mark.
pub(super) fn text(bytes: &[u8]) -> Result<&str> {
    let hint = match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => " but looks like UTF-16",
        bytes if bytes.contains(&0) => " text: it has zero bytes",
        _ => "",
    };
    if !hint.is_empty() {
        return Err(TableError::Encoding { line: 1, hint });
    }
    match str::from_utf8(bytes) {
        Ok(text) => Ok(text.strip_prefix('\u{feff}').unwrap_or(text)),
        Err(error) => {
            let valid = &bytes[..error.valid_up_to()];
            let line = 1 + valid.iter().filter(|&&byte| byte == b'\n').count();
            Err(TableError::Encoding { line, hint: "" })
        }
    }
}

fn csv(text: &str) -> Result<Records> {
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter(text))
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let header = reader.headers().map_err(|error| broken(&error))?;
    let names: Vec<String> = header.iter().map(str::to_owned).collect();
    match names.as_slice() {
        [] => return Err(TableError::Empty { what: "header" }),
        [one] if one.is_empty() => return Err(TableError::Empty { what: "header" }),
        // A list of pictures; of anything else, other separators are more likely.
        [one] if !columns::is_of_pictures(one) => {
            return Err(TableError::OneColumn { column: one.clone() });
        }
        _ => {}
    }
    if let Some(column) = repeated(&names) {
        return Err(TableError::TwoColumns { column });
    }
    let mut records = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| broken(&error))?;
        let line = record.position().map_or(0, csv::Position::line);
        let values = record.iter().map(|field| Value::String(field.to_owned()));
        let fields = names.iter().cloned().zip(values).collect();
        records.push(Record { line: usize::try_from(line).unwrap_or(usize::MAX), fields });
    }
    Ok(Records { columns: names, records })
}

/// The separator that the first line has most of, outside of quotes.
pub(super) fn delimiter(text: &str) -> u8 {
    let header = text.lines().find(|line| !line.trim().is_empty()).unwrap_or("");
    let mut quoted = false;
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0)];
    for byte in header.bytes() {
        quoted ^= byte == b'"';
        for (delimiter, count) in &mut counts {
            *count += usize::from(!quoted && byte == *delimiter);
        }
    }
    // The first of equals.
    counts.iter().rev().max_by_key(|(_, count)| *count).map_or(b',', |(delimiter, _)| *delimiter)
}

fn repeated(columns: &[String]) -> Option<String> {
    let is_repeated = |(at, column): &(usize, &String)| columns[..*at].contains(column);
    columns.iter().enumerate().find(is_repeated).map(|(_, column)| column.clone())
}

fn broken(error: &csv::Error) -> TableError {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => TableError::Fields {
            line: pos.as_ref().map_or(0, csv::Position::line),
            got: *len,
            expected: *expected_len,
        },
        _ => {
            let line = error.position().map_or(0, csv::Position::line);
            let line = usize::try_from(line).unwrap_or(usize::MAX);
            TableError::Line { line, expected: "line of CSV", why: error.to_string() }
        }
    }
}

fn json_lines(text: &str) -> Result<Records> {
    let (mut columns, mut records) = (Vec::new(), Vec::new());
    for (line, text) in (1..).zip(text.lines()) {
        if text.trim().is_empty() {
            continue;
        }
        let fields: Map<String, Value> = serde_json::from_str(text).map_err(|error| {
            TableError::Line { line, expected: "JSON object", why: error.to_string() }
        })?;
        for column in fields.keys().filter(|column| !columns.contains(*column)).collect::<Vec<_>>()
        {
            columns.push(column.clone());
        }
        records.push(Record { line, fields });
    }
    Ok(Records { columns, records })
}
