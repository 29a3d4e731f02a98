//! A step of each optimizer, beside a copy that moves as many bytes.
//!
//! Above: `bench`. Below: `shell`, the example `step_time` of `taper-optim`. Not here: steps of a network (`train`).
//! The rules work on candle's variables, and this program has no candle: the example measures, and this tells.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::table::number;
use super::{Bench, Measured, Table};
use crate::shell;

/// What the example says of a rule.
struct Row {
    threads: usize,
    said: Value,
}

/// Measures the section.
pub(super) fn measure(bench: &Bench) -> Result<Measured> {
    let all = [1, bench.cores.count()];
    let default = if all[0] == all[1] { &all[..1] } else { &all[..] };
    let mut rows = Vec::new();
    for &threads in bench.threads(default) {
        let said = threads.to_string();
        let args = ["run", "--quiet", "--release", "--package", "taper-optim", "--example"];
        let args = [&args[..], &["step_time", "--", &said]].concat();
        let mut lines = Vec::new();
        if !shell::cargo_lines(&args, &[], |line| lines.push(line.to_owned()))? {
            bail!("the example `step_time` of taper-optim failed");
        }
        for line in lines {
            let said = serde_json::from_str(&line).with_context(|| format!("in `{line}`"))?;
            rows.push(Row { threads, said });
        }
    }
    let head = ["rule", "parameters", "threads", "MB moved", "step, ms", "copy, ms", "step / copy"];
    let table = Table {
        head: head.map(str::to_owned).to_vec(),
        rows: rows.iter().map(Row::cells).collect::<Result<_>>()?,
    };
    let note = "Medians of 21 turns. A step reads parameter, gradient and state, and writes parameter and state; the copy, by as many threads, \
                reads and writes as many bytes together. LAMB goes over everything twice, and Muon multiplies matrices.";
    Ok(Measured::of(
        "optim",
        table,
        vec![note.to_owned()],
        json!(rows.iter().map(Row::json).collect::<Vec<_>>()),
    ))
}

impl Row {
    fn cells(&self) -> Result<Vec<String>> {
        let number_of = |key: &str| {
            self.said[key].as_f64().with_context(|| format!("no `{key}` in {}", self.said))
        };
        let (params, bytes) = (number_of("params")?, number_of("bytes")?);
        let (step, copy) = (number_of("step_ms")?, number_of("copy_ms")?);
        let tensors = if self.said["network"] == "matrix" { "one matrix" } else { "a network" };
        Ok(vec![
            self.said["rule"].as_str().unwrap_or_default().to_owned(),
            format!("{} M, {tensors}", number(params / 1e6)),
            self.threads.to_string(),
            number(bytes / 1e6),
            number(step),
            number(copy),
            number(step / copy),
        ])
    }

    fn json(&self) -> Value {
        let mut row = self.said.clone();
        row["threads"] = json!(self.threads);
        row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_what_a_step_takes_against_a_copy() {
        let said = json!({
            "network": "matrix", "rule": "adamw", "params": 16_777_216, "bytes": 469_762_048, "step_ms": 33.0, "copy_ms": 30.0
        });
        let cells = Row { threads: 2, said }.cells().unwrap();
        assert_eq!(cells, ["adamw", "16.8 M, one matrix", "2", "470", "33.0", "30.0", "1.10"]);
        assert!(Row { threads: 1, said: json!({}) }.cells().is_err());
    }
}
