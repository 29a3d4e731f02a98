//! `docs/benchmarks.md`: each section's table stands between two marks, and only what is between them is ours to write. Pictures
//! stand beside it in `images`.
//!
//! Above: `bench`. Below: `machine`, `marked`, `roofline`. Not here: the words around the tables, which people write.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::Measured;
use super::machine::Machine;
use crate::marked;

/// Writes a section into the document at `path`, and its pictures into the folder `images` beside it.
pub(super) fn write(path: &Path, machine: &Machine, section: &Measured) -> Result<()> {
    let shown = path.display();
    let text = fs::read_to_string(path).with_context(|| format!("reading {shown}"))?;
    let mut body = format!("{machine}.\n\n{}", section.text());
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
        write(&path, &machine, &section).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let (_, link) = text.split_once("](").unwrap();
        let (link, _) = link.split_once(')').unwrap();
        let picture = fs::read_to_string(folder.path().join(link)).unwrap();
        assert!(picture.contains(&machine.to_string()), "{picture}");
    }
}
