//! The Python that has the peers, and how their scripts are started.
//!
//! Above: the sections. Below: `cores`, `xtask/bench/*.py`, `tests/generators`. Not here: what the scripts do.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::cores::Cores;
use crate::shell;

/// A Python interpreter with the peers' packages.
#[derive(Debug, Clone)]
pub(super) struct Peers {
    python: PathBuf,
}

impl Peers {
    pub(super) fn new(python: &Path) -> Result<Self> {
        if !python.is_file() {
            bail!("{} is not there: --peers wants a Python interpreter", python.display());
        }
        Ok(Self { python: python.to_path_buf() })
    }

    /// A command that runs `script` with `threads` threads on as many cores.
    pub(super) fn script(&self, cores: &Cores, threads: usize, script: &str) -> Command {
        self.at(cores, threads, &shell::root().join("xtask/bench").join(script))
    }

    /// The same of a script that makes references for tests.
    pub(super) fn generator(&self, cores: &Cores, threads: usize, script: &str) -> Command {
        self.at(cores, threads, &shell::root().join("tests/generators").join(script))
    }

    /// Why a module cannot be imported; nothing if it can.
    pub(super) fn lacks(&self, module: &str) -> Result<Option<String>> {
        let mut command = Command::new(&self.python);
        command.args(["-c", &format!("import {module}")]).env("PYTHONDONTWRITEBYTECODE", "1");
        let run = command.output().with_context(|| format!("running {}", self.python.display()))?;
        let said = String::from_utf8_lossy(&run.stderr);
        let last = said.trim().lines().next_back().unwrap_or("it says nothing").to_owned();
        Ok((!run.status.success()).then_some(last))
    }

    fn at(&self, cores: &Cores, threads: usize, script: &Path) -> Command {
        let mut command = cores.pinned(threads, &self.python);
        command.arg(script);
        command.env("OMP_NUM_THREADS", threads.to_string()).env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }
}
