//! `docs/benchmarks.md`: each section's table stands between two marks, and only what is between them is ours to write.
//!
//! Above: `bench`. Below: `machine`, `table`. Not here: the words around the tables, which people write.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::Measured;
use super::machine::Machine;

/// Writes a section into the document at `path`.
pub(super) fn write(path: &Path, machine: &Machine, section: &Measured) -> Result<()> {
    let shown = path.display();
    let text = fs::read_to_string(path).with_context(|| format!("reading {shown}"))?;
    let body = format!("{machine}.\n\n{}", section.text());
    let text = replaced(&text, section.name, &body).with_context(|| format!("in {shown}"))?;
    let aside = path.with_extension("md.tmp");
    fs::write(&aside, text).with_context(|| format!("writing {}", aside.display()))?;
    fs::rename(&aside, path).with_context(|| format!("renaming to {shown}"))?;
    eprintln!("wrote {shown}");
    Ok(())
}

/// `text` with `body` between the marks of section `name`.
fn replaced(text: &str, name: &str, body: &str) -> Result<String> {
    let (open, close) = (format!("<!-- bench {name} -->\n"), format!("<!-- end {name} -->"));
    let found = text
        .split_once(&open)
        .and_then(|(before, rest)| rest.split_once(&close).map(|(_old, after)| (before, after)));
    let Some((before, after)) = found else {
        bail!("`{}` … `{close}` is not there", open.trim_end());
    };
    Ok(format!("{before}{open}\n{body}\n{close}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# A\n<!-- bench infer -->\nold\n<!-- end infer -->\nwords\n\
                        <!-- bench train -->\n<!-- end train -->\n";

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let once = replaced(TEXT, "infer", "| a |\n").unwrap();
        let expected = "# A\n<!-- bench infer -->\n\n| a |\n\n<!-- end infer -->\nwords\n\
                        <!-- bench train -->\n<!-- end train -->\n";
        assert_eq!(once, expected);
        assert_eq!(replaced(&once, "infer", "| a |\n").unwrap(), once);
    }

    #[test]
    fn a_document_without_marks_is_refused() {
        let error = replaced(TEXT, "data", "").unwrap_err().to_string();
        assert!(error.contains("<!-- bench data -->"), "{error}");
    }
}
