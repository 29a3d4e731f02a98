//! Which machine this is.
//!
//! Above: `calibrate`, xtask. Below: `taper_kernels::Isa`, the system's files and clock. Not here: what it can do (`roof`).

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use taper_cost::latency::Machine;
use taper_kernels::Isa;

/// This machine, today.
#[must_use]
pub fn machine() -> Machine {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // ARM's kernel tells no name, but numbers of a design.
    let name = ["model name", "Model", "CPU part"].iter().find_map(|name| field(&cpuinfo, name));
    Machine {
        processor: name.unwrap_or(std::env::consts::ARCH).to_owned(),
        isa: format!("{:?}", Isa::best()),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        date: date(since.as_secs() / 86_400),
    }
}

/// The value after `name` and a colon.
fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim())
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
