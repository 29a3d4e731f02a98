//! `cargo xtask golden`: what takes PyTorch itself, and minutes, to hold us to it.
//!
//! Above: `main`. Below: `golden::networks` (every network at its own size), `golden::photos` (published weights on photographs),
//! `bench::Contestant` (the process with the peers). Not here: goldens that are fixtures (`tests/golden`), the peers' side
//! (`xtask/golden/*.py`).

mod decoders;
mod networks;
mod photos;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};
use clap::Args;

use crate::bench::Contestant;
use crate::shell;

/// Flags of `cargo xtask golden`.
#[derive(Debug, Args)]
pub(crate) struct GoldenArgs {
    /// Networks; with --photos, weights [default: all]
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// A Python with PyTorch, torchvision and timm
    #[arg(long, value_name = "PYTHON")]
    peers: PathBuf,
    /// Classify the pictures under this folder with published weights, instead of networks with random ones
    #[arg(long, value_name = "DIR", requires = "weights")]
    photos: Option<PathBuf>,
    /// Folder that the files of published weights are somewhere under
    #[arg(long, value_name = "DIR")]
    weights: Option<PathBuf>,
    /// Threads of ours [default: all]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

/// Runs the command.
pub(crate) fn run(args: &GoldenArgs) -> Result<()> {
    if !args.peers.is_file() {
        bail!("{} is not there: --peers wants a Python interpreter", args.peers.display());
    }
    let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = args.threads.filter(|threads| *threads > 0).unwrap_or_else(cores);
    match (&args.photos, &args.weights) {
        (Some(photos), Some(weights)) => photos::check(args, photos, weights, threads),
        _ => networks::check(args, threads),
    }
}

/// Starts `xtask/golden/<script>.py FOLDER …`, whose log is in the first of `folders` too.
fn peer(python: &Path, script: &str, folders: &[&Path]) -> Result<Contestant> {
    let mut command = Command::new(python);
    command.arg(shell::root().join(format!("xtask/golden/{script}.py"))).args(folders);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    Contestant::start(script, command, folders[0])
}

/// The largest distance of elements, relative to the largest magnitude of `theirs`; infinite where lengths differ or one is no number.
fn distance(ours: &[f32], theirs: &[f32]) -> f64 {
    let is_finite = |xs: &[f32]| xs.iter().all(|x| x.is_finite());
    if ours.len() != theirs.len() || !is_finite(ours) || !is_finite(theirs) {
        return f64::INFINITY;
    }
    let largest = theirs.iter().fold(0.0, |most: f64, x| most.max(f64::from(x.abs())));
    let apart = |(a, b): (&f32, &f32)| (f64::from(*a) - f64::from(*b)).abs();
    let worst = ours.iter().zip(theirs).map(apart).fold(0.0, f64::max);
    if worst > 0.0 { worst / largest } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn a_distance_is_relative_to_the_largest_and_never_missing() {
        let is = |got: f64, expected: f64| assert_eq!(got.to_bits(), expected.to_bits(), "{got}");
        is(distance(&[1.0, -4.0], &[2.0, -4.0]), 0.25);
        is(distance(&[0.0], &[0.0]), 0.0);
        for (ours, theirs) in [(&[1.0][..], &[][..]), (&[f32::NAN], &[1.0]), (&[1.0], &[0.0])] {
            is(distance(ours, theirs), f64::INFINITY);
        }
    }
}
