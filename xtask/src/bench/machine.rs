//! On what, when and of which commit numbers were measured.
//!
//! Above: `bench`, `document`. Below: `taper_engine::machine`, `/proc`, git. Not here: what the machine can do (`roof`).

use std::fmt;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::cores::Cores;
use crate::shell;

/// Without this much else running, one core is free for the threads that are measured.
const QUIET_LOAD: f64 = 0.5;

/// The head of a column that says of which commit each row is.
pub(super) const COMMIT: &str = "commit";

/// The head of a column that says on what each row was measured.
pub(super) const MACHINE: &str = "machine";

/// The heads of the columns that say where a row comes from, in the order of [`Machine::origin`].
pub(super) const ORIGIN: [&str; 2] = [MACHINE, COMMIT];

/// The circumstances of a measurement.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    cpu: String,
    cores: usize,
    pinned: bool,
    isa: String,
    memory_gib: f64,
    /// The mean number of running processes in the last minute, if the system tells.
    load: Option<f64>,
    /// `2026-12-31`, UTC.
    date: String,
    /// Abbreviated, with `+` behind it when files differ from it.
    commit: String,
}

impl Machine {
    pub(super) fn look(cores: &Cores) -> Result<Self> {
        let machine = taper_engine::machine();
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let loadavg = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let kib = field(&meminfo, "MemTotal").and_then(|text| text.split(' ').next());
        Ok(Self {
            cpu: machine.processor,
            cores: cores.count(),
            pinned: cores.can_pin(),
            isa: machine.isa,
            memory_gib: kib.and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0)
                / f64::from(1 << 20),
            load: loadavg.split(' ').next().and_then(|load| load.parse().ok()),
            date: machine.date,
            commit: commit()?,
        })
    }

    /// What makes these numbers worth little.
    pub(super) fn warning(&self) -> Option<String> {
        let load = self.load.filter(|&load| load > QUIET_LOAD)?;
        Some(format!("{load} processes were running in the last minute; let the machine be quiet"))
    }

    /// Whether a line that a document began with was told of this machine, whenever that was.
    pub(super) fn is_the_same(&self, line: &str) -> bool {
        let machine = |line: &str| line.split_once(';').map(|(machine, _)| machine.to_owned());
        machine(line) == machine(&self.to_string())
    }

    /// What stands under [`ORIGIN`].
    pub(super) fn origin(&self) -> [String; 2] {
        [format!("{}, cores {}", self.cpu, self.cores), self.commit.clone()]
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "cpu": self.cpu, "cores": self.cores, "pinned": self.pinned, "isa": self.isa,
            "memory_gib": self.memory_gib, "load": self.load, "date": self.date, "commit": self.commit,
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpu, cores, isa, memory_gib, date, commit, .. } = self;
        let pinned = if self.pinned { "" } else { ", threads not pinned" };
        write!(
            f,
            "{cpu}, cores {cores}, {isa}, {memory_gib:.0} GiB{pinned}; {date}, commit {commit}"
        )
    }
}

/// The value after `name` and a colon.
fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim())
}

/// The commit that is checked out, abbreviated, with `+` behind it when files differ from it.
pub(super) fn commit() -> Result<String> {
    let git = |args: &[&str]| -> Result<String> {
        let output = Command::new("git").args(args).current_dir(shell::root()).output();
        let output = output.context("git did not start")?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let differs = !git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    Ok(git(&["rev-parse", "--short", "HEAD"])? + if differs { "+" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_name() {
        let text = "processor\t: 0\nmodel name\t: Fast CPU @ 3 GHz\n";
        assert_eq!(field(text, "model name"), Some("Fast CPU @ 3 GHz"));
        assert_eq!(field(text, "flags"), None);
    }
}
