//! The Python that has the peers, and how their scripts are started.
//!
//! Above: the sections. Below: `cores`, `xtask/bench/*.py`. Not here: what the scripts do.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

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
        let mut command = cores.pinned(threads, &self.python);
        command.arg(shell::root().join("xtask/bench").join(script));
        command.env("OMP_NUM_THREADS", threads.to_string()).env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }
}
