//! Regions of documents that are ours to write: what stands between two marks, and nothing else.
//!
//! Above: `bench::document`, `tables`. Below: nothing. Not here: the words around them, which people write.
//! A region begins at `<!-- KIND NAME -->` and ends before `<!-- end NAME -->`.

use anyhow::{Result, bail};

/// `text` with `body` between the marks of the region `name`.
pub(crate) fn replaced(text: &str, kind: &str, name: &str, body: &str) -> Result<String> {
    let [open, close] = marks(kind, name);
    let [before, _, after] = parts(text, kind, name)?;
    Ok(format!("{before}{open}\n{body}\n{close}{after}"))
}

/// What is between the marks of the region `name`.
pub(crate) fn found<'t>(text: &'t str, kind: &str, name: &str) -> Result<&'t str> {
    parts(text, kind, name).map(|[_, body, _]| body)
}

fn marks(kind: &str, name: &str) -> [String; 2] {
    [format!("<!-- {kind} {name} -->\n"), format!("<!-- end {name} -->")]
}

/// What is before a region's marks, between them and behind them.
fn parts<'t>(text: &'t str, kind: &str, name: &str) -> Result<[&'t str; 3]> {
    let [open, close] = marks(kind, name);
    let found = text.split_once(&open).and_then(|(before, rest)| {
        rest.split_once(&close).map(|(body, after)| [before, body, after])
    });
    let Some(parts) = found else {
        bail!("`{}` … `{close}` is not there", open.trim_end());
    };
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# A\n<!-- bench infer -->\nold\n<!-- end infer -->\nwords\n\
                        <!-- bench train -->\n<!-- end train -->\n";

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let once = replaced(TEXT, "bench", "infer", "| a |\n").unwrap();
        let expected = "# A\n<!-- bench infer -->\n\n| a |\n\n<!-- end infer -->\nwords\n\
                        <!-- bench train -->\n<!-- end train -->\n";
        assert_eq!(once, expected);
        assert_eq!(found(&once, "bench", "infer").unwrap(), "\n| a |\n\n");
        assert_eq!(replaced(&once, "bench", "infer", "| a |\n").unwrap(), once);
    }

    #[test]
    fn a_document_without_marks_is_refused() {
        let error = replaced(TEXT, "bench", "data", "").unwrap_err().to_string();
        assert!(error.contains("<!-- bench data -->"), "{error}");
    }
}
