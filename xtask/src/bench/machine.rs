//! On what, when and of which commit numbers were measured.
//!
//! Above: `bench`, `document`. Below: `/proc`, git, the clock. Not here: what the machine can do (`roof`).

use std::fmt;
use std::fs;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use taper_engine::Isa;

use super::cores::Cores;
use crate::shell;

/// Without this much else running, one core is free for the threads that are measured.
const QUIET_LOAD: f64 = 0.5;

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
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let loadavg = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let kib = field(&meminfo, "MemTotal").and_then(|text| text.split(' ').next());
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let days = since.context("the clock stands before 1970")?.as_secs() / 86_400;
        Ok(Self {
            cpu: field(&cpuinfo, "model name").unwrap_or("unknown CPU").to_owned(),
            cores: cores.count(),
            pinned: cores.can_pin(),
            isa: Isa::here().last().map(|isa| format!("{isa:?}")).unwrap_or_default(),
            memory_gib: kib.and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0)
                / f64::from(1 << 20),
            load: loadavg.split(' ').next().and_then(|load| load.parse().ok()),
            date: date(days),
            commit: commit()?,
        })
    }

    /// What makes these numbers worth little.
    pub(super) fn warning(&self) -> Option<String> {
        let load = self.load.filter(|&load| load > QUIET_LOAD)?;
        Some(format!("{load} processes were running in the last minute; let the machine be quiet"))
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

fn commit() -> Result<String> {
    let git = |args: &[&str]| -> Result<String> {
        let output = Command::new("git").args(args).current_dir(shell::root()).output();
        let output = output.context("git did not start")?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let differs = !git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    Ok(git(&["rev-parse", "--short", "HEAD"])? + if differs { "+" } else { "" })
}

/// The day that begins `days` days after 1970-01-01, in the Gregorian calendar.
///
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
fn date(days: u64) -> String {
    let since_march_0000 = days + 719_468;
    let (era, day_of_era) = (since_march_0000 / 146_097, since_march_0000 % 146_097);
    let leaps = day_of_era / 1_460 + day_of_era / 146_096 - day_of_era / 36_524;
    let year_of_era = (day_of_era - leaps) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates() {
        let dates = [0, 31 + 28, 11_016, 20_454].map(date);
        assert_eq!(dates, ["1970-01-01", "1970-03-01", "2000-02-29", "2026-01-01"]);
    }

    #[test]
    fn fields_are_found_by_name() {
        let text = "processor\t: 0\nmodel name\t: Fast CPU @ 3 GHz\n";
        assert_eq!(field(text, "model name"), Some("Fast CPU @ 3 GHz"));
        assert_eq!(field(text, "flags"), None);
    }
}
