//! `calls.jsonl`: what each call that worked on a run took, and how it ended, which the log without a clock cannot say.
//!
//! Above: `tune`, `run_report`, `compare`. Below: `serde_json`. Not here: steps and epochs (`run_report::log`).
//! A call that was killed leaves no line.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::thread;

use serde::{Deserialize, Serialize};
use taper_model::Model;

use crate::bench::peak_bytes;
use crate::confidence::Calibrated;
use crate::error::{Error, Result};
use crate::report::FineTuneReport;

/// The longest file that is read: far more calls than anybody makes.
const LONGEST: u64 = 16 << 20;

/// One call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Call {
    /// Of the program.
    pub(crate) version: String,
    pub(crate) ended: Ended,
    /// Epochs of the run that are done.
    pub(crate) epochs: usize,
    pub(crate) seconds: f64,
    /// Training pictures a second.
    pub(crate) images_per_second: f64,
    /// Threads that were asked for, 0 for all, and cores that there are.
    pub(crate) threads: usize,
    pub(crate) cores: usize,
    pub(crate) ranks: usize,
    /// The most memory that the process has held.
    pub(crate) peak_bytes: Option<u64>,
    /// Fingerprint of the best model, where `predictions.jsonl` is of it.
    pub(crate) model: Option<String>,
    /// What held-out pictures said of the best model's probabilities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) calibrated: Option<Calibrated>,
}

impl Call {
    /// The one that ends here, on so many threads of each of so many ranks.
    pub(crate) fn of(report: &FineTuneReport, ended: Ended, threads: usize, ranks: usize) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ended,
            epochs: report.epochs,
            seconds: report.seconds,
            images_per_second: report.images_per_second,
            threads,
            cores: thread::available_parallelism().map_or(1, usize::from),
            ranks,
            peak_bytes: peak_bytes(),
            model: None,
            calibrated: report.calibrated,
        }
    }
}

/// The last call that trained: one that only had to say that all is done took no step.
pub(crate) fn trained(calls: &[Call]) -> Option<&Call> {
    calls.iter().rev().find(|call| call.images_per_second > 0.0)
}

/// What held-out pictures said of the probabilities of this model, if it was measured when its run ended.
pub(crate) fn calibrated<'c>(calls: &'c [Call], model: &Model) -> Option<&'c Calibrated> {
    let temperature = model.confidence()?.temperature();
    let measured = calls.iter().rev().find_map(|call| call.calibrated.as_ref())?;
    ((measured.temperature - temperature).abs() < 1e-6 * temperature).then_some(measured)
}

/// How the run ended whose log has so many epochs: that of the last call, unless another one was killed after it.
pub(crate) fn ended(calls: &[Call], epochs: usize) -> Option<Ended> {
    let last = calls.last()?;
    let is_last = match last.ended {
        Ended::Finished | Ended::Patience => last.epochs == epochs,
        // The last epoch may be done in part.
        Ended::Stopped | Ended::TimeUp => last.epochs >= epochs,
    };
    is_last.then_some(last.ended)
}

/// Why a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ended {
    /// The last epoch is done.
    Finished,
    /// It was asked to stop.
    Stopped,
    /// There was no time for the last epoch.
    TimeUp,
    /// No epoch was better for as long as was asked.
    Patience,
}

/// All calls that came to an end, in their order; none of a run of before there was this file. Lines that are none are left out.
pub(crate) fn read(path: &Path) -> Result<Vec<Call>> {
    let failed = |source| Error::File { action: "read", path: path.to_path_buf(), source };
    match fs::metadata(path) {
        Ok(found) if found.is_file() && found.len() <= LONGEST => {}
        Ok(_) => return Ok(Vec::new()),
        Err(source) if source.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(failed(source)),
    }
    let bytes = fs::read(path).map_err(failed)?;
    Ok(bytes
        .split(|&byte| byte == b'\n')
        .filter_map(|it| serde_json::from_slice(it).ok())
        .collect())
}

/// Adds a call.
pub(crate) fn add(path: &Path, call: &Call) -> Result<()> {
    let mut calls = read(path)?;
    calls.push(call.clone());
    super::write_lines(path, &calls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_added_and_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("calls.jsonl");
        assert_eq!(read(&path).unwrap(), []);
        let call = |epochs| Call {
            version: "1".to_owned(),
            ended: Ended::TimeUp,
            epochs,
            seconds: 1.5,
            images_per_second: 20.0,
            threads: 0,
            cores: 2,
            ranks: 1,
            peak_bytes: None,
            model: Some("print".to_owned()),
            calibrated: None,
        };
        add(&path, &call(1)).unwrap();
        add(&path, &call(2)).unwrap();
        assert_eq!(read(&path).unwrap(), [call(1), call(2)]);
        fs::write(&path, b"\xff\n{}\nnull").unwrap();
        assert_eq!(read(&path).unwrap(), []);
    }
}
