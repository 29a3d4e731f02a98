//! Layers as comma-separated values.
//!
//! Above: `cost`, `prune::csv`, the binary. Below: `report`, `taper_files`. Not here: tables to be read (the binary's).

use std::path::Path;

use super::CostReport;
use crate::error::{Error, Result};

const HEADER: &str = "model,layer,op,output,params,macs,flops,backward_macs,activations,read_bytes,written_bytes,ms,bound_ms";

/// Writes the layers of all networks, a line each.
///
/// # Errors
/// [`Error::File`] if the file cannot be written.
pub fn write_costs_csv(path: &Path, reports: &[CostReport]) -> Result<()> {
    let mut text = format!("{HEADER}\n");
    for report in reports {
        for layer in &report.layers {
            let output: Vec<String> = layer.output.iter().map(ToString::to_string).collect();
            let number = |number: Option<f64>| number.map(|it| it.to_string()).unwrap_or_default();
            let fields = [
                quoted(&report.model),
                quoted(&layer.name),
                layer.op.to_owned(),
                output.join("x"),
                layer.params.to_string(),
                layer.macs.to_string(),
                layer.flops.to_string(),
                layer.backward_macs.to_string(),
                layer.activations.to_string(),
                layer.read_bytes.to_string(),
                layer.written_bytes.to_string(),
                number(layer.ms),
                number(layer.bound_ms),
            ];
            text.push_str(&fields.join(","));
            text.push('\n');
        }
    }
    replace(path, &text)
}

/// Writes a text as a file.
pub(crate) fn replace(path: &Path, text: &str) -> Result<()> {
    taper_files::replace(path, |file| file.write_all(text.as_bytes()))
        .map_err(|source| Error::File { action: "write", path: path.to_owned(), source })
}

/// A field that may hold commas and quotes (RFC 4180).
pub(crate) fn quoted(field: &str) -> String {
    if field.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn fields_that_need_quotes_have_them() {
        assert_eq!(quoted("blocks.0.conv"), "blocks.0.conv");
        assert_eq!(quoted("a,\"b\""), "\"a,\"\"b\"\"\"");
    }
}
