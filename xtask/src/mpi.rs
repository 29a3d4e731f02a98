//! `cargo xtask mpi`: what is built with an MPI library, checked and run under its launcher.
//!
//! Above: `main`, `ci`. Below: `shell`, `mpi::shaped`. Not here: what ranks do (`crates/distributed/tests/mpi`, `tests/flow/ranks.rs`).

mod shaped;

use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::shell;

/// The compiler that knows where MPI is, and the launcher, each with the variable that names another one, as the crate `mpi-sys` has it.
const PROGRAMS: [(&str, &str); 2] = [("MPICC", "mpicc"), ("MPIRUN", "mpirun")];

/// How Debian and Ubuntu bring it.
const CURE: &str = "`apt-get install openmpi-bin libopenmpi-dev libclang-dev` brings it";

/// What is done with MPI.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct MpiCommand {
    /// Measure instead what two ranks wait for each other over links of 1 Gb/s and 100 Mb/s, beside what is predicted; as root
    #[arg(long)]
    shaped: bool,
}

impl MpiCommand {
    pub(crate) fn run(self) -> Result<()> {
        if self.shaped { shaped::shaped() } else { mpi() }
    }
}

/// Clippy and the tests of the crates that have the feature `mpi`.
fn mpi() -> Result<()> {
    if let Some(missing) = missing() {
        bail!("no `{missing}` here: {CURE}");
    }
    let with = ["--package", "taper-distributed", "--features", "mpi"];
    let clippy = [&["clippy"], &with[..], &["--all-targets", "--", "-D", "warnings"]].concat();
    shell::cargo(&clippy, &[])?;
    shell::cargo(&[&["test"], &with[..]].concat(), &[])?;
    let binary = ["--package", "taper-cli", "--features", "mpi"];
    let clippy = [&["clippy"], &binary[..], &["--all-targets", "--", "-D", "warnings"]].concat();
    shell::cargo(&clippy, &[])?;
    shell::cargo(&[&["test"], &binary[..], &["--test", "flow", "ranks"]].concat(), &[])
}

/// [`mpi`], or a line that says why not: everything else needs no MPI.
pub(crate) fn mpi_if_possible() -> Result<()> {
    match missing() {
        None => mpi(),
        Some(missing) => {
            println!("mpi: left out, no `{missing}` here: {CURE}");
            Ok(())
        }
    }
}

/// The first of the programs that does not start.
fn missing() -> Option<String> {
    let named = |(variable, name): (&str, &str)| std::env::var(variable).unwrap_or(name.to_owned());
    PROGRAMS.into_iter().map(named).find(|program| {
        let version = Command::new(program).arg("--version").stdout(Stdio::null()).status();
        !version.is_ok_and(|status| status.success())
    })
}
