//! `docs/benchmarks.md`: each section's table stands between two marks, and only what is between them is ours to write. Pictures
//! stand beside it in `images`.
//!
//! Above: `bench`. Below: `machine`, `marked`, `roofline`. Not here: the words around the tables, which people write.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::machine::{COMMIT, MACHINE, Machine};
use super::table::Table;
use super::{Measured, text_of};
use crate::marked;

/// Writes a section into the document at `path`, and its pictures into the folder `images` beside it. Where only some rows were measured, the
/// others stay if the table has a column that says the commit of each, and they are of the same machine or there is a column that says which.
pub(super) fn write(
    path: &Path,
    machine: &Machine,
    section: &Measured,
    is_whole: bool,
) -> Result<()> {
    let shown = path.display();
    let text = fs::read_to_string(path).with_context(|| format!("reading {shown}"))?;
    let found = marked::found(&text, "bench", section.name);
    let old = found.with_context(|| format!("in {shown}"))?;
    let mut tables = section.tables.clone();
    for (caption, table) in tables.iter_mut().filter(|_| !is_whole) {
        if let Some(old) = kept(old, caption, machine, table) {
            *table = table.among(&old);
        }
    }
    let says_each = |(_, table): &(_, Table)| table.head.iter().any(|it| it == MACHINE);
    let when = if tables.iter().any(says_each) { "Measured last: " } else { "" };
    let mut body = format!("{when}{machine}.\n\n{}", text_of(&tables, &section.notes));
    for picture in &section.pictures {
        let (caption, file) = (picture.caption(), picture.file());
        body += &format!("\n![roofline of {caption}](images/{file})\n");
    }
    let text = marked::replaced(&text, "bench", section.name, &body)
        .with_context(|| format!("in {shown}"))?;
    for picture in &section.pictures {
        let images = path.with_file_name("images");
        put(&images.join(picture.file()), &picture.svg(&machine.to_string()))?;
    }
    put(path, &text)
}

/// The table of a section's text that a table of the same caption and columns can stand in, if rows say their commits, and both are of one machine or rows
/// say theirs.
fn kept(old: &str, caption: &str, machine: &Machine, table: &Table) -> Option<Table> {
    let measured_on = old.trim_start().lines().next()?;
    let old = Table::read(old, caption).filter(|old| old.head == table.head)?;
    let has = |column| table.head.iter().any(|it| it == column);
    let is_comparable = has(MACHINE) || machine.is_the_same(measured_on);
    (has(COMMIT) && is_comparable).then_some(old)
}

/// Writes a file, and says so.
fn put(path: &Path, text: &str) -> Result<()> {
    taper_files::replace(path, |file| file.write_all(text.as_bytes()))
        .with_context(|| format!("writing {}", path.display()))?;
    eprintln!("wrote {}", path.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::bench::cores::Cores;
    use crate::bench::roofline::Roofline;

    #[test]
    fn pictures_stand_beside_the_document_and_say_what_machine_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("benchmarks.md");
        fs::write(&path, "<!-- bench layers -->\n<!-- end layers -->\n").unwrap();
        let machine = Machine::look(&Cores::of_this_process().unwrap()).unwrap();
        let section = Measured {
            name: "layers",
            tables: Vec::new(),
            notes: Vec::new(),
            pictures: vec![Roofline::example()],
            json: Value::Null,
        };
        write(&path, &machine, &section, true).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let (_, link) = text.split_once("](").unwrap();
        let (link, _) = link.split_once(')').unwrap();
        let picture = fs::read_to_string(folder.path().join(link)).unwrap();
        assert!(picture.contains(&machine.to_string()), "{picture}");
    }
    #[test]
    fn rows_that_were_not_measured_again_stay_if_they_are_of_the_same_machine() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("benchmarks.md");
        let machine = Machine::look(&Cores::of_this_process().unwrap()).unwrap();
        let section = |rows: &[[&str; 2]]| {
            let cells = |row: &[&str; 2]| row.map(str::to_owned).to_vec();
            let head = cells(&["task", COMMIT]);
            let table = Table { head, rows: rows.iter().map(cells).collect() };
            Measured::of("scratch", table, Vec::new(), Value::Null)
        };
        let written = |section: &Measured, is_whole| {
            write(&path, &machine, section, is_whole).unwrap();
            Table::read(&fs::read_to_string(&path).unwrap(), "").unwrap().rows
        };
        fs::write(&path, "<!-- bench scratch -->\n<!-- end scratch -->\n").unwrap();
        let first = section(&[["plain", "1"], ["mixup", "1"]]);
        assert_eq!(written(&first, false), first.tables[0].1.rows);
        let again = section(&[["plain", "2"]]);
        assert_eq!(written(&again, false), [["plain", "2"], ["mixup", "1"]]);
        assert_eq!(written(&again, true), [["plain", "2"]]);
        written(&first, true);
        let text = fs::read_to_string(&path).unwrap().replace(", cores", " of another, cores");
        fs::write(&path, text).unwrap();
        assert_eq!(written(&again, false), [["plain", "2"]]);
    }

    #[test]
    fn rows_that_say_their_machine_stay_beside_those_of_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("transfer.md");
        let machine = Machine::look(&Cores::of_this_process().unwrap()).unwrap();
        let head = ["method", MACHINE, COMMIT].map(str::to_owned).to_vec();
        let old = [["plain", "another", "1"], ["mixup", "another", "1"]];
        let row = |cells: &[&str; 3]| cells.map(str::to_owned).to_vec();
        let old = Table { head: head.clone(), rows: old.iter().map(row).collect() };
        let text =
            format!("<!-- bench scratch -->\nanother; a day.\n\n{old}<!-- end scratch -->\n");
        fs::write(&path, text).unwrap();
        let [here, commit] = machine.origin();
        let plain = ["plain", &here, &commit];
        let again = Table { head, rows: vec![row(&plain)] };
        let section = Measured::of("scratch", again, Vec::new(), Value::Null);
        write(&path, &machine, &section, false).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let rows = Table::read(&text, "").unwrap().rows;
        assert_eq!(rows, [plain, ["mixup", "another", "1"]]);
        assert!(text.contains(&format!("Measured last: {machine}.")), "{text}");
    }
}
