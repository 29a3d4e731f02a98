//! A run's `metrics.jsonl`, read again: steps, epochs and what happened between them.
//!
//! Above: `run_report`, `compare`. Below: `serde_json`. Not here: writing it (`taper_train::log`), drawing it (`run_report::learning`).
//! A run may have been killed in the middle of a line, and a file may be any: what cannot be read is counted and left out.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::error::{Error, Result};

/// The longest line that is read; those of this version have a few hundred bytes.
const LONGEST: u64 = 1 << 20;

/// What a run's log says.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct RunLog {
    pub(crate) steps: Vec<StepRecord>,
    pub(crate) epochs: Vec<EpochRecord>,
    /// How often the run went back to its last checkpoint.
    pub(crate) recoveries: usize,
    /// Lines that are none of a log, the last one excepted.
    pub(crate) unreadable: usize,
    /// Whether its last line is cut, as a kill leaves it.
    pub(crate) is_cut: bool,
}

/// An optimizer step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct StepRecord {
    /// From 0, over all epochs.
    pub(crate) step: u64,
    /// NaN for what was no number.
    pub(crate) loss: f64,
    pub(crate) lr: f64,
}

/// An epoch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct EpochRecord {
    /// From 1.
    pub(crate) epoch: usize,
    /// Steps that were done at its end.
    pub(crate) steps: u64,
    /// Scores over the training pictures, by their names without `train_`.
    pub(crate) train: BTreeMap<String, f64>,
    /// Scores over the held-out pictures.
    pub(crate) val: BTreeMap<String, f64>,
    pub(crate) is_best: bool,
}

impl EpochRecord {
    /// Held-out pictures that the scores are over.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count; a cast saturates"
    )]
    pub(crate) fn val_images(&self) -> usize {
        self.val.get("samples").copied().unwrap_or(0.0) as usize
    }
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Line {
    Step {
        step: u64,
        loss: Option<f64>,
        lr: Option<f64>,
    },
    Epoch {
        epoch: usize,
        step: u64,
        #[serde(default)]
        val: BTreeMap<String, Value>,
        #[serde(default)]
        is_best: bool,
        #[serde(flatten)]
        others: BTreeMap<String, Value>,
    },
    Recovered {
        step: u64,
    },
    #[serde(other)]
    Other,
}

impl RunLog {
    /// Reads a log; an empty one where there is no file.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let failed = |source| Error::File { action: "read", path: path.to_path_buf(), source };
        let mut file = match File::open(path) {
            Ok(file) => BufReader::new(file),
            Err(source) if source.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(failed(source)),
        };
        let (mut log, mut line) = (Self::default(), Vec::new());
        loop {
            line.clear();
            let read = Read::by_ref(&mut file).take(LONGEST).read_until(b'\n', &mut line);
            if read.map_err(failed)? == 0 {
                return Ok(log);
            }
            // The end of a line before was no line, if there is another one behind it.
            log.unreadable += usize::from(std::mem::take(&mut log.is_cut));
            match serde_json::from_slice(&line) {
                Ok(line) => log.add(line),
                Err(_) => log.is_cut = true,
            }
        }
    }

    fn add(&mut self, line: Line) {
        match line {
            Line::Step { step, loss, lr } => {
                let [loss, lr] = [loss, lr].map(|value| value.unwrap_or(f64::NAN));
                self.steps.push(StepRecord { step, loss, lr });
            }
            Line::Epoch { epoch, step, val, is_best, others } => {
                let train = others.into_iter().filter_map(|(name, value)| {
                    Some((name.strip_prefix("train_")?.to_owned(), value))
                });
                self.epochs.push(EpochRecord {
                    epoch: epoch.saturating_add(1),
                    steps: step,
                    train: numbers(train),
                    val: numbers(val),
                    is_best,
                });
            }
            Line::Recovered { step } => {
                self.recoveries += 1;
                // They are gone through once more.
                self.steps.retain(|it| it.step < step);
                self.epochs.retain(|it| it.steps <= step);
            }
            Line::Other => {}
        }
    }

    /// The best epoch.
    pub(crate) fn best(&self) -> Option<&EpochRecord> {
        self.epochs.iter().rev().find(|epoch| epoch.is_best)
    }

    /// Steps of an epoch, as far as one is done.
    pub(crate) fn steps_per_epoch(&self) -> Option<f64> {
        let last = self.epochs.last()?;
        Some(last.steps as f64 / last.epoch as f64).filter(|steps| *steps > 0.0)
    }

    /// The names of all scores of held-out pictures, the loss and the count excepted.
    pub(crate) fn score_names(&self) -> Vec<&str> {
        let names = self.epochs.iter().flat_map(|epoch| epoch.val.keys());
        let mut names: Vec<&str> = names.map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        names.retain(|name| !matches!(*name, "loss" | "samples"));
        names
    }
}

/// What is a number; what is none there, is NaN.
fn numbers(values: impl IntoIterator<Item = (String, Value)>) -> BTreeMap<String, f64> {
    let number = |value: Value| value.as_f64().unwrap_or(f64::NAN);
    values.into_iter().map(|(name, value)| (name, number(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> RunLog {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        std::fs::write(&path, text).unwrap();
        RunLog::read(&path).unwrap()
    }

    #[test]
    fn steps_and_epochs_are_read_and_a_cut_line_is_told() {
        let log = read(
            b"{\"kind\":\"step\",\"epoch\":0,\"step\":0,\"loss\":1.5,\"lr\":0.1,\"grad_norm\":null}\n\
              {\"kind\":\"step\",\"epoch\":0,\"step\":1,\"loss\":null,\"lr\":0.2}\n\
              {\"kind\":\"epoch\",\"epoch\":0,\"step\":2,\"train_loss\":1.0,\"train_top1\":0.5,\"val\":{\"loss\":0.5,\"top1\":0.75,\"samples\":8},\"is_best\":true}\n\
              {\"kind\":\"skipped\",\"epoch\":0,\"step\":2,\"name\":\"a\",\"reason\":\"b\"}\n\
              {\"kind\":\"st",
        );
        assert_eq!((log.steps.len(), log.epochs.len()), (2, 1));
        assert!(log.steps[1].loss.is_nan());
        let best = log.best().unwrap();
        assert_eq!((best.epoch, best.val["top1"], best.train["top1"]), (1, 0.75, 0.5));
        assert_eq!((best.val_images(), log.steps_per_epoch()), (8, Some(2.0)));
        assert_eq!(log.score_names(), ["top1"]);
        assert_eq!((log.is_cut, log.unreadable), (true, 0));
    }

    #[test]
    fn steps_that_are_gone_through_once_more_are_there_once() {
        let step = |step: u64, loss: f64| {
            format!(
                "{{\"kind\":\"step\",\"epoch\":0,\"step\":{step},\"loss\":{loss},\"lr\":0.1}}\n"
            )
        };
        let back = "{\"kind\":\"recovered\",\"epoch\":0,\"step\":1,\"scale\":0.5,\"reason\":\"the loss is NaN\"}\n";
        let text = [step(0, 1.0), step(1, 9.0), back.to_owned(), step(1, 0.5)].concat();
        let log = read(text.as_bytes());
        let steps: Vec<(u64, f64)> = log.steps.iter().map(|it| (it.step, it.loss)).collect();
        assert_eq!((steps, log.recoveries), (vec![(0, 1.0), (1, 0.5)], 1));
    }

    #[test]
    fn any_file_is_read_without_a_panic() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(RunLog::read(&dir.path().join("none")).unwrap(), RunLog::default());
        let log = read(b"\xff\xfe\n[1,2]\n{\"kind\":\"epoch\",\"epoch\":18446744073709551615,\"step\":0}\nnull\n");
        assert_eq!((log.epochs.len(), log.unreadable, log.is_cut), (1, 2, true));
        assert_eq!(log.steps_per_epoch(), None);
        // A line that never ends is not held whole.
        let log = read(&vec![b'1'; 3 << 20]);
        assert_eq!((log.unreadable, log.is_cut), (2, true));
        assert!(RunLog::read(dir.path()).unwrap_err().is_request());
    }
}
