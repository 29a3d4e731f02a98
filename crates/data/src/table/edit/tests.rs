//! Rows that are left out and labels that are exchanged, with everything beside them.

use proptest::prelude::*;

use super::*;

/// Texts of fields that are hard to read.
const HARD: [&str; 8] = ["a", "b,c", "d\"e", "f;g", "h\ti", "j\nk", "l\r\nm", "né"];

fn edited(text: &str, changes: &[(&str, RowChange)]) -> Result<EditedTable> {
    Table::edited(Path::new("t.csv"), text.as_bytes(), &TableOptions::default(), changes)
}

fn class(name: &str) -> RowChange {
    RowChange::Class(name.to_owned())
}

#[track_caller]
fn gives(text: &str, changes: &[(&str, RowChange)], expected: &str) {
    let bytes = edited(text, changes).unwrap().bytes;
    assert_eq!(String::from_utf8(bytes).unwrap(), expected);
}

#[track_caller]
fn refuses(text: &str, changes: &[(&str, RowChange)], words: &[&str]) {
    let Error::Table { source, .. } = edited(text, changes).unwrap_err() else { panic!() };
    let reason = source.to_string();
    assert!(words.iter().all(|word| reason.contains(word)), "{reason}");
}

#[test]
fn every_other_byte_stays() {
    let text = "\u{feff}id;\"path\"; label \r\n\r\n1;a.png; ant \r\n\"2;\"\"\";./b.png;\"bee\"\r\n3;c.png;bee";
    gives(text, &[], text);
    gives(text, &[("a.png", class("bee"))], &text.replace(" ant ", " bee "));
    gives(text, &[("b.png", class("ant"))], &text.replace("\"bee\"", "\"ant\""));
    gives(
        text,
        &[("b.png", RowChange::LeaveOut)],
        &text.replace("\"2;\"\"\";./b.png;\"bee\"\r\n", ""),
    );
    // The last line has no end.
    gives(text, &[("./c.png", RowChange::LeaveOut)], &text.replace("3;c.png;bee", ""));
    let changes = [("c.png", class("ant")), ("a.png", RowChange::LeaveOut)];
    let report = edited(text, &changes).unwrap();
    assert_eq!((report.left_out, report.relabelled), (1, 1));
}

#[test]
fn a_class_gets_quotes_where_it_needs_them_and_rows_of_one_picture_go_together() {
    let text = "path,label\na.png,x\nb.png,\"y, z\"\na.png,x\n";
    gives(text, &[("a.png", class("y, z"))], &text.replace(",x", ",\"y, z\""));
    gives(text, &[("b.png", class("x"))], &text.replace("\"y, z\"", "\"x\""));
    gives(text, &[("a.png", RowChange::LeaveOut)], "path,label\nb.png,\"y, z\"\n");
    gives(
        "path,label\ra.png,x\rb.png,y\r",
        &[("a.png", RowChange::LeaveOut)],
        "path,label\rb.png,y\r",
    );
}

#[test]
fn what_the_table_does_not_have_is_refused() {
    let text = "path,label\na.png,x\nb.png,y\n";
    refuses(text, &[("c.png", RowChange::LeaveOut)], &["no row", "`c.png`"]);
    refuses(text, &[("a.png", class("X"))], &["`a.png`", "`X`", "`x`, `y`"]);
    refuses(text, &[("a.png", class("y")), ("./a.png", RowChange::LeaveOut)], &["twice"]);
    let all = [("a.png", RowChange::LeaveOut), ("b.png", RowChange::LeaveOut)];
    refuses(text, &all, &["no rows that stay"]);
    refuses("path\na.png\n", &[], &["no column of targets"]);
    refuses("path,tags\na.png,x\nb.png,y\n", &[("a.png", class("y"))], &["none of the table's"]);
}

#[test]
fn lines_of_json_keep_every_other_byte_too() {
    let edited = |text: &str, changes: &[(&str, RowChange)]| {
        let table = Path::new("t.jsonl");
        Table::edited(table, text.as_bytes(), &TableOptions::default(), changes)
    };
    let gives = |text: &str, changes: &[(&str, RowChange)], expected: &str| {
        let bytes = edited(text, changes).unwrap().bytes;
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    };
    let text = "\u{feff}{\"path\": \"a.png\", \"label\" : \"x\\u00e9\", \"n\":[1, {\"label\": 3}]}\r\n\n  \
                { \"l\\u0061bel\":\"old\", \"label\":\"y\",\"path\":\"./b.png\" } \n{\"path\":\"c.png\",\"label\":\"y\"}";
    gives(text, &[], text);
    gives(text, &[("a.png", class("y"))], &text.replace("\"x\\u00e9\"", "\"y\""));
    gives(
        text,
        &[("c.png", class("xé"))],
        &text.replace("png\",\"label\":\"y\"", "png\",\"label\":\"xé\""),
    );
    // Of a name that is there twice, the last counts.
    gives(
        text,
        &[("b.png", class("xé"))],
        &text.replace("\"label\":\"y\",\"path", "\"label\":\"xé\",\"path"),
    );
    let second = "  { \"l\\u0061bel\":\"old\", \"label\":\"y\",\"path\":\"./b.png\" } \n";
    gives(text, &[("b.png", RowChange::LeaveOut)], &text.replace(second, ""));
    let last = "{\"path\":\"c.png\",\"label\":\"y\"}";
    gives(text, &[("c.png", RowChange::LeaveOut)], &text.replace(last, ""));
    // Numbers stay numbers where they can.
    let numbers = "{\"path\":\"a\",\"label\":3}\n{\"path\":\"b\",\"label\":\"x\"}\n{\"path\":\"c\",\"label\":4}\n";
    gives(numbers, &[("a", class("4"))], &numbers.replace("\"label\":3", "\"label\":4"));
    gives(numbers, &[("a", class("x"))], &numbers.replace("\"label\":3", "\"label\":\"x\""));
    gives(numbers, &[("b", class("3"))], &numbers.replace("\"label\":\"x\"", "\"label\":\"3\""));
    let all = ["a", "b", "c"].map(|path| (path, RowChange::LeaveOut));
    assert!(edited(numbers, &all).unwrap_err().chain().contains("no rows that stay"));
    assert!(edited(numbers, &[("d", RowChange::LeaveOut)]).is_err());
}

/// A row as it is written, and what it says.
#[derive(Debug, Clone)]
struct Written {
    before: String,
    label: String,
    after: String,
    class: &'static str,
    change: Option<RowChange>,
}

/// A table: its delimiter, what ends lines, and its rows.
#[derive(Debug, Clone)]
struct EditProblem {
    delimiter: char,
    rows: Vec<Written>,
    header: String,
}

/// A field as text, in quotes if it must be or is asked to be, else perhaps between blanks.
fn as_field(text: &str, delimiter: char, style: u8) -> String {
    let must = text.contains([delimiter, '"', '\r', '\n']);
    match style {
        0 if !must => text.to_owned(),
        1 if !must => format!(" {text}  "),
        _ => format!("\"{}\"", text.replace('"', "\"\"")),
    }
}

fn problems() -> impl Strategy<Value = EditProblem> {
    let row = (0..HARD.len(), 0..HARD.len(), 0..3_u8, 0..3_u8, 0..5_u8, 0..HARD.len(), 0..2_usize);
    let rows = proptest::collection::vec(row, 2..9);
    let all = (
        rows,
        prop_oneof![Just(','), Just(';'), Just('\t')],
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
    );
    all.prop_map(|(rows, delimiter, is_dos, has_mark, has_end)| {
        let end = if is_dos { "\r\n" } else { "\n" };
        let count = rows.len();
        // So that a class that is asked for is there.
        let classes: Vec<&'static str> = rows.iter().map(|row| HARD[row.0]).collect();
        let rows = rows.into_iter().enumerate().map(|(at, row)| {
            let (label, other, style, other_style, change, to, blank) = row;
            let path = as_field(&format!("{at}.png"), delimiter, other_style);
            let is_last = at + 1 == count;
            let after = if is_last && !has_end { String::new() } else { end.repeat(1 + blank) };
            Written {
                before: format!(
                    "{}{delimiter}{path}{delimiter}",
                    as_field(HARD[other], delimiter, other_style)
                ),
                label: as_field(HARD[label], delimiter, style),
                after,
                class: HARD[label],
                change: match change {
                    0 if at > 0 => Some(RowChange::LeaveOut),
                    1 | 2 => Some(class(classes[to % count])),
                    _ => None,
                },
            }
        });
        let mark = if has_mark { "\u{feff}" } else { "" };
        EditProblem {
            delimiter,
            rows: rows.collect(),
            header: format!("{mark}note{delimiter}path{delimiter}label{end}"),
        }
    })
}

proptest! {
    #[test]
    fn an_edited_table_reads_as_it_should_and_keeps_what_is_not_changed(problem in problems()) {
        let EditProblem { delimiter, rows, header } = problem;
        let written = |row: &Written| format!("{}{}{}", row.before, row.label, row.after);
        let text = header.clone() + &rows.iter().map(written).collect::<String>();
        let names: Vec<String> = (0..rows.len()).map(|at| format!("{at}.png")).collect();
        let changes: Vec<(&str, RowChange)> = names
            .iter()
            .zip(&rows)
            .filter_map(|(name, row)| Some((name.as_str(), row.change.clone()?)))
            .collect();
        let bytes = edited(&text, &changes).unwrap().bytes;
        let after = String::from_utf8(bytes).unwrap();

        let mut rest = after.strip_prefix(&header).unwrap();
        for row in &rows {
            let between = match &row.change {
                Some(RowChange::LeaveOut) => {
                    // Empty lines behind it stay.
                    let end = if header.ends_with("\r\n") { "\r\n" } else { "\n" };
                    let empty = row.after.strip_prefix(end).unwrap_or_default();
                    rest = rest.strip_prefix(empty).unwrap();
                    continue;
                }
                Some(RowChange::Class(class)) => class.as_str(),
                None => row.class,
            };
            rest = rest.strip_prefix(&row.before).unwrap();
            let ways = [0, 1, 2].map(|style| as_field(between, delimiter, style));
            let way = match row.change {
                Some(_) => ways.iter().rev().find(|way| rest.starts_with(way.as_str())).unwrap(),
                None => &row.label,
            };
            rest = rest.strip_prefix(way.as_str()).unwrap();
            rest = rest.strip_prefix(&row.after).unwrap();
        }
        prop_assert_eq!(rest, "");
        let classes = |text: &str| {
            let records = Records::of(Format::Csv, super::text(text.as_bytes()).unwrap()).unwrap();
            let of = |record: &crate::table::records::Record| record.fields["label"].as_str().map(str::to_owned);
            records.records.iter().map(of).collect::<Vec<_>>()
        };
        let expected: Vec<_> = rows
            .iter()
            .filter(|row| row.change != Some(RowChange::LeaveOut))
            .map(|row| match &row.change {
                Some(RowChange::Class(class)) => Some(class.clone()),
                _ => Some(row.class.to_owned()),
            })
            .collect();
        prop_assert_eq!(classes(&after), expected);
    }
}
