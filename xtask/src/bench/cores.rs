//! Which cores a contestant may use: as many as it has threads, and the same for all.
//!
//! Above: `bench`, `contestant`. Below: `/proc/self/status`, `taskset`. Not here: how many threads it starts.
//! Where `taskset` is missing nobody is pinned, which is fair too, and the notes say so.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

/// The cores this process may run on, lowest first.
#[derive(Debug, Clone)]
pub(super) struct Cores {
    list: Vec<usize>,
    can_pin: bool,
}

impl Cores {
    pub(super) fn of_this_process() -> Result<Self> {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        let list = match line {
            Some(list) => parse(list.trim()).with_context(|| format!("in `{list}`"))?,
            None => (0..std::thread::available_parallelism()?.get()).collect(),
        };
        let can_pin = Command::new("taskset")
            .arg("-V")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        Ok(Self { list, can_pin })
    }

    pub(super) fn count(&self) -> usize {
        self.list.len()
    }

    pub(super) fn can_pin(&self) -> bool {
        self.can_pin
    }

    /// A command that runs `program` on the first `n` of these cores.
    pub(super) fn pinned(&self, n: usize, program: impl AsRef<OsStr>) -> Command {
        if !self.can_pin {
            return Command::new(program);
        }
        let cores: Vec<String> = self.list.iter().take(n).map(ToString::to_string).collect();
        let mut command = Command::new("taskset");
        command.arg("-c").arg(cores.join(",")).arg(program);
        command
    }
}

/// `0-2,5` to 0, 1, 2, 5.
fn parse(list: &str) -> Result<Vec<usize>> {
    let mut cores = Vec::new();
    for range in list.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        cores.extend(first.parse::<usize>()?..=last.parse::<usize>()?);
    }
    Ok(cores)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_single_cores_are_read() {
        assert_eq!(parse("0-2,5").unwrap(), [0, 1, 2, 5]);
        assert_eq!(parse("7").unwrap(), [7]);
        assert!(parse("0-x").is_err());
    }

    #[test]
    fn a_contestant_gets_the_first_cores_of_the_list() {
        let cores = Cores { list: vec![2, 3, 8], can_pin: true };
        let command = cores.pinned(2, "program");
        let args: Vec<_> = command.get_args().collect();
        assert_eq!(args, ["-c", "2,3", "program"]);
        let cores = Cores { list: vec![2, 3, 8], can_pin: false };
        assert_eq!(cores.pinned(2, "program").get_program(), "program");
    }
}
