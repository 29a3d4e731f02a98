//! The fields of a table to targets: which kind they are, the names they speak of, and each row's.
//!
//! Above: `table`. Below: `records`, `columns`. Not here: paths and parts (`columns`).

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use super::TableOptions;
use super::columns::{Columns, listed, wrong};
use super::error::TableError;
use super::records::{Record, Records};
use crate::array::Array;
use crate::targets::{Target, TargetKind};

type Result<T> = std::result::Result<T, TableError>;

/// How far the sum of a row's probabilities may be from 1.
const ROUNDING: f32 = 1e-3;

/// Kind, names and the target of each row.
pub(super) fn targets(
    table: &Records,
    columns: &Columns,
    options: &TableOptions,
) -> Result<(TargetKind, Vec<String>, Vec<Target>)> {
    let kind = options.kind.unwrap_or_else(|| told(table, columns));
    let (names, targets) = match (kind, columns.targets.as_slice()) {
        (TargetKind::Class, [column]) => classes(table, column)?,
        (TargetKind::Class, several) => {
            let known = format!("a class stands in one column; {}", listed(several));
            return Err(TableError::Targets { known });
        }
        (TargetKind::Labels, [column]) if !is_binary(table, column, Blank::IsNone) => {
            names_in(table, column, options)?
        }
        (TargetKind::Labels, several) => each(several, table, binary, Target::Labels)?,
        (TargetKind::Probabilities, [column]) => objects(table, column)?,
        (TargetKind::Probabilities, several) => {
            each(several, table, probability, Target::Probabilities)
                .and_then(|all| sums_to_one(table, &several[0], all))?
        }
        (TargetKind::Numbers, several) => each(several, table, known, Target::Numbers)?,
    };
    Ok((kind, names, targets))
}

/// What the targets are where nobody said it.
fn told(table: &Records, columns: &Columns) -> TargetKind {
    let all = |is: &dyn Fn(&Value) -> bool| {
        table.records.iter().all(|record| {
            columns.targets.iter().all(|column| record.fields.get(column).is_some_and(is))
        })
    };
    let has_fraction = |value: &Value| as_number(value).is_some_and(|x| x.fract() != 0.0);
    let any_fraction = table.records.iter().any(|record| {
        columns.targets.iter().any(|column| record.fields.get(column).is_some_and(has_fraction))
    });
    let is_number = |value: &Value| as_number(value).is_some();
    match columns.targets.as_slice() {
        [column] => {
            let is_plural = matches!(column.to_lowercase().as_str(), "labels" | "tags");
            let is_list = all(&|value| value.is_array());
            if all(&Value::is_object) {
                TargetKind::Probabilities
            } else if is_list || (is_plural && !all(&is_number)) {
                TargetKind::Labels
            } else if any_fraction && mostly_numbers(table, column) {
                TargetKind::Numbers
            } else {
                TargetKind::Class
            }
        }
        several if several.iter().all(|column| is_binary(table, column, Blank::IsUnknown)) => {
            TargetKind::Labels
        }
        several if is_probable(table, several) => TargetKind::Probabilities,
        _ => TargetKind::Numbers,
    }
}

/// Whether the rows that say something in each of some columns say probabilities: then an empty field elsewhere is none, and not a number that nobody
/// knows.
fn is_probable(table: &Records, columns: &[String]) -> bool {
    let values = |record: &Record| {
        let of = |column: &String| probability(record, column, record.fields.get(column)?).ok();
        columns.iter().map(of).collect::<Option<Vec<f32>>>()
    };
    let is_said = |record: &&Record| {
        columns.iter().all(|column| record.fields.get(column).is_some_and(|it| !is_blank(it)))
    };
    let mut rows = table.records.iter().filter(is_said).peekable();
    let is_one = |values: Vec<f32>| (values.iter().sum::<f32>() - 1.0).abs() <= ROUNDING;
    rows.peek().is_some() && rows.all(|record| values(record).is_some_and(is_one))
}

/// Whether more than half of a column is numbers: then the rest is wrong, and said to be.
fn mostly_numbers(table: &Records, column: &str) -> bool {
    let is_number = |record: &&Record| record.fields.get(column).and_then(as_number).is_some();
    2 * table.records.iter().filter(is_number).count() > table.records.len()
}

/// What an empty field says: of names that hold, that there are none; of 0 and 1, and of numbers, that nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blank {
    IsNone,
    IsUnknown,
}

/// Whether a column says 0 or 1 wherever it says something, which it does somewhere.
fn is_binary(table: &Records, column: &str, blank: Blank) -> bool {
    let fields =
        table.records.iter().map(|record| record.fields.get(column).unwrap_or(&Value::Null));
    let is_said = |value: &&Value| blank == Blank::IsNone || !is_blank(value);
    let mut said = fields.filter(is_said).peekable();
    said.peek().is_some() && said.all(|value| as_binary(value).is_some())
}

fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => false,
    }
}

/// One name a row.
fn classes(table: &Records, column: &str) -> Result<(Vec<String>, Vec<Target>)> {
    let said: Vec<String> = table
        .records
        .iter()
        .map(|record| match record.fields.get(column) {
            Some(Value::String(name)) if !name.is_empty() => Ok(name.clone()),
            Some(Value::Number(number)) => Ok(number.to_string()),
            Some(Value::Bool(yes)) => Ok(yes.to_string()),
            other => Err(wrong(record, column, other, "name of a class")),
        })
        .collect::<Result<_>>()?;
    let names = in_order(said.iter().cloned());
    let targets = {
        let index: HashMap<&String, u32> = names.iter().zip(0..).collect();
        said.iter()
            .map(|name| Target::Class(index.get(name).copied().unwrap_or_default()))
            .collect()
    };
    Ok((names, targets))
}

/// Any number of names a row. A field that is one of the likely names is that name, whatever is in it.
fn names_in(
    table: &Records,
    column: &str,
    options: &TableOptions,
) -> Result<(Vec<String>, Vec<Target>)> {
    let has = |c: char| {
        table.records.iter().any(|record| {
            record.fields.get(column).and_then(Value::as_str).is_some_and(|text| text.contains(c))
        })
    };
    let is_separator: fn(char) -> bool = match () {
        () if has(';') || has('|') => |c| matches!(c, ';' | '|'),
        () if has(',') => |c| c == ',',
        () if options.kind.is_some() => char::is_whitespace,
        () => |_| false,
    };
    let mut said: Vec<Vec<String>> = Vec::new();
    for record in &table.records {
        let value = record.fields.get(column);
        let names: Vec<String> = match value {
            Some(Value::String(text)) if options.likely.contains(text) => vec![text.clone()],
            Some(Value::String(text)) => {
                text.split(is_separator).map(|name| name.trim().to_owned()).collect()
            }
            Some(Value::Array(values)) => values
                .iter()
                .map(|value| value.as_str().map(str::to_owned))
                .collect::<Option<_>>()
                .ok_or_else(|| {
                    wrong(record, column, Some(&values.clone().into()), "list of names")
                })?,
            Some(Value::Null) => Vec::new(),
            other => return Err(wrong(record, column, other, "list of names")),
        };
        said.push(names.into_iter().filter(|name| !name.is_empty()).collect());
    }
    let names = in_order(said.iter().flatten().cloned());
    if names.is_empty() {
        return Err(TableError::Empty { what: "label in any row" });
    }
    let targets = said.iter().map(|held| {
        let values = names.iter().map(|name| f32::from(u8::from(held.contains(name))));
        Target::Labels(Array::vector(values.collect()))
    });
    let targets = targets.collect();
    Ok((names, targets))
}

/// Names with probabilities, as an object a row.
fn objects(table: &Records, column: &str) -> Result<(Vec<String>, Vec<Target>)> {
    let mut said = Vec::new();
    for record in &table.records {
        match record.fields.get(column) {
            Some(Value::Object(object)) => said.push(object),
            other => {
                let expected = "object of classes and their probabilities (in CSV, name a column for each class)";
                return Err(wrong(record, column, other, expected));
            }
        }
    }
    let names = in_order(said.iter().flat_map(|object| object.keys().cloned()));
    let mut targets = Vec::new();
    for (record, object) in table.records.iter().zip(&said) {
        let value = |name: &String| {
            object.get(name).map_or(Ok(0.0), |value| probability(record, name, value))
        };
        let values = names.iter().map(value).collect::<Result<Vec<f32>>>()?;
        targets.push(Target::Probabilities(Array::vector(values)));
    }
    sums_to_one(table, column, (names, targets))
}

/// A column for each name.
fn each(
    columns: &[String],
    table: &Records,
    value: fn(&Record, &str, &Value) -> Result<f32>,
    target: fn(Array<f32>) -> Target,
) -> Result<(Vec<String>, Vec<Target>)> {
    let of_row = |record: &Record| {
        let of = |column: &String| {
            value(record, column, record.fields.get(column).unwrap_or(&Value::Null))
        };
        let values = columns.iter().map(of).collect::<Result<Vec<f32>>>()?;
        Ok(target(Array::vector(values)))
    };
    Ok((columns.to_vec(), table.records.iter().map(of_row).collect::<Result<_>>()?))
}

fn sums_to_one(
    table: &Records,
    column: &str,
    (names, targets): (Vec<String>, Vec<Target>),
) -> Result<(Vec<String>, Vec<Target>)> {
    for (record, target) in table.records.iter().zip(&targets) {
        let Target::Probabilities(values) = target else { continue };
        let sum: f32 = values.values().iter().sum();
        if (sum - 1.0).abs() > ROUNDING {
            let got = Value::String(format!("a row with the sum {sum}"));
            return Err(wrong(record, column, Some(&got), "row of probabilities, whose sum is 1"));
        }
    }
    Ok((names, targets))
}

fn number(record: &Record, column: &str, value: &Value) -> Result<f32> {
    as_number(value)
        .map(as_f32)
        .filter(|number| number.is_finite())
        .ok_or_else(|| wrong(record, column, Some(value), "number"))
}

/// A number, or none where it is not known.
fn known(record: &Record, column: &str, value: &Value) -> Result<f32> {
    if is_blank(value) { Ok(f32::NAN) } else { number(record, column, value) }
}

fn probability(record: &Record, column: &str, value: &Value) -> Result<f32> {
    let is_one = |number: &f32| (0.0..=1.0).contains(number);
    number(record, column, value)
        .ok()
        .filter(is_one)
        .ok_or_else(|| wrong(record, column, Some(value), "probability, a number from 0 to 1"))
}

fn binary(record: &Record, column: &str, value: &Value) -> Result<f32> {
    if is_blank(value) {
        return Ok(f32::NAN);
    }
    let expected = "0 or 1, or nothing where that is not known";
    as_binary(value).ok_or_else(|| wrong(record, column, Some(value), expected))
}

fn as_binary(value: &Value) -> Option<f32> {
    match value {
        Value::Bool(yes) => Some(f32::from(u8::from(*yes))),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(1.0),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(0.0),
        value => match as_number(value)? {
            0.0 => Some(0.0),
            1.0 => Some(1.0),
            _ => None,
        },
    }
}

fn as_number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "targets have the precision of networks")]
fn as_f32(number: f64) -> f32 {
    number as f32
}

/// Each name once: by name, or as numbers if all are whole numbers.
fn in_order(names: impl Iterator<Item = String>) -> Vec<String> {
    let names: BTreeSet<String> = names.collect();
    let mut names: Vec<String> = names.into_iter().collect();
    if names.iter().all(|name| name.parse::<i64>().is_ok()) {
        names.sort_by_key(|name| name.parse::<i64>().unwrap_or_default());
    }
    names
}

/// The indices of what holds for a sample, of numbers those that are known.
pub(super) fn held(target: &Target) -> impl Iterator<Item = usize> + '_ {
    let (class, values) = match target {
        Target::Class(class) => (Some(*class as usize), None),
        Target::Labels(array) | Target::Probabilities(array) | Target::Numbers(array) => {
            (None, Some(array.values()))
        }
        Target::ClassMap(_) | Target::Named(_) => (None, None),
    };
    let is_number = matches!(target, Target::Numbers(_));
    let holds = move |value: f32| if is_number { !value.is_nan() } else { value > 0.0 };
    let of_values = values.unwrap_or_default().iter().enumerate();
    class.into_iter().chain(of_values.filter(move |(_, value)| holds(**value)).map(|(at, _)| at))
}
