//! Our own contestants: this program, started again, at the other end of the line protocol.
//!
//! Above: `main` (a command that help does not show). Below: `infer`, `train`, `layers`, `conv`, `data`. Not here: who asks (`contestant`).

use std::io::{BufRead, Write};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use serde_json::{Value, json};

use super::setup::Setup;
use super::{conv, data, infer, layers, train};

/// What a contestant runs.
#[derive(Debug, Subcommand)]
pub(crate) enum ContestantCommand {
    /// One batch through a session
    Infer(Setup),
    /// One training step
    Train(train::TrainSetup),
    /// Units of a session
    Layers(layers::LayersSetup),
    /// One convolution
    Conv(conv::ConvSetup),
    /// One epoch of batches
    Data(data::DataSetup),
}

/// Runs a contestant until standard input ends.
pub(crate) fn run(command: &ContestantCommand) -> Result<()> {
    match command {
        ContestantCommand::Infer(setup) => infer::contestant(setup),
        ContestantCommand::Train(setup) => train::contestant(setup),
        ContestantCommand::Layers(setup) => layers::contestant(setup),
        ContestantCommand::Conv(setup) => conv::contestant(setup),
        ContestantCommand::Data(setup) => data::contestant(setup),
    }
}

/// Says that it is ready, then runs `once` as often as it is asked to.
pub(super) fn serve(ready: &Value, mut once: impl FnMut() -> Result<()>) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let mut say = |answer: &Value| writeln!(out, "{answer}").and_then(|()| out.flush());
    say(ready)?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["run", warmups, times] => {
                for _ in 0..warmups.parse()? {
                    once()?;
                }
                let ms: Vec<f64> =
                    (0..times.parse()?).map(|_: usize| timed(&mut once)).collect::<Result<_>>()?;
                say(&json!({ "ms": ms }))?;
            }
            ["peak"] => say(&json!({ "peak_bytes": peak_bytes()? }))?,
            _ => bail!("`{line}` is no question"),
        }
    }
    Ok(())
}

fn timed(once: &mut impl FnMut() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    once()?;
    Ok(start.elapsed().as_secs_f64() * 1e3)
}

/// The most memory this process has held.
fn peak_bytes() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("asking for memory")?;
    peak_of(&status).context("/proc/self/status has no VmHWM")
}

/// `VmHWM` of a text such as `/proc/self/status`, in bytes.
pub(super) fn peak_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::peak_of;

    #[test]
    fn the_peak_is_read_in_bytes() {
        assert_eq!(peak_of("Name:\tx\nVmHWM:\t    2052 kB\nVmRSS:\t 100 kB\n"), Some(2052 * 1024));
        assert_eq!(peak_of("Name:\tx\n"), None);
    }
}
