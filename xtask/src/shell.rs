//! Runs cargo and says what it runs.
//!
//! Above: all of xtask. Below: `std::process`. Not here: what is run and in which order.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The workspace's root: the parent of this package's folder.
pub(crate) fn root() -> PathBuf {
    let mut root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.pop();
    root
}

/// Runs `cargo ARGS` in the root with `envs` set; an error if it fails.
pub(crate) fn cargo(args: &[&str], envs: &[(&str, &str)]) -> Result<()> {
    let status = command(args, envs).status().context("cargo did not start")?;
    if !status.success() {
        bail!("`cargo {}` failed", args.join(" "));
    }
    Ok(())
}

/// Runs `cargo ARGS`, hands every line of its standard output to `each`, and returns whether it succeeded.
pub(crate) fn cargo_lines(
    args: &[&str],
    envs: &[(&str, &str)],
    mut each: impl FnMut(&str),
) -> Result<bool> {
    let mut child =
        command(args, envs).stdout(Stdio::piped()).spawn().context("cargo did not start")?;
    let stdout = child.stdout.take().context("cargo has no standard output")?;
    for line in BufReader::new(stdout).lines() {
        each(&line.context("reading the output of cargo")?);
    }
    Ok(child.wait().context("waiting for cargo")?.success())
}

/// As [`cargo`], where `+toolchain` comes first: rustup's `cargo` must be asked, and not that of the toolchain this one runs in.
pub(crate) fn rustup_cargo(args: &[&str], envs: &[(&str, &str)]) -> Result<()> {
    let status = prepared("cargo".into(), args, envs).status().context("cargo did not start")?;
    if !status.success() {
        bail!("`cargo {}` failed", args.join(" "));
    }
    Ok(())
}

fn command(args: &[&str], envs: &[(&str, &str)]) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    prepared(cargo, args, envs)
}

fn prepared(cargo: OsString, args: &[&str], envs: &[(&str, &str)]) -> Command {
    let shown: String = envs.iter().map(|(name, value)| format!("{name}={value:?} ")).collect();
    println!("+ {shown}cargo {}", args.join(" "));
    let mut command = Command::new(cargo);
    command.args(args).envs(envs.iter().copied()).current_dir(root());
    command
}
