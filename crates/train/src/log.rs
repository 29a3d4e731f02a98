//! `metrics.jsonl`: one JSON object a step and an epoch, without a clock, so that equal runs write equal files.
//!
//! Above: `fit`. Below: the file system. Not here: events (`event`), reports.
//! A checkpoint remembers how long the file was; resuming cuts what a killed run wrote after it.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::ser::{Serialize, SerializeMap, Serializer};
use taper_data::Skipped;

use crate::Progress;
use crate::error::{Error, Result};
use crate::metrics::Scores;

/// A line of the log.
#[derive(Debug, serde::Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Line<'a> {
    Step {
        epoch: usize,
        step: u64,
        loss: f64,
        lr: f64,
        grad_norm: Option<f64>,
    },
    /// A sample that could not be read.
    Skipped {
        epoch: usize,
        step: u64,
        name: String,
        reason: String,
    },
    /// A batch that was too small for a step.
    TooFew {
        epoch: usize,
        step: u64,
        batch: usize,
        samples: usize,
        needed: usize,
    },
    /// Numbers were none any more: this is where the run has gone back to.
    Recovered {
        epoch: usize,
        step: u64,
        scale: f64,
        reason: &'a str,
    },
    Epoch {
        epoch: usize,
        step: u64,
        #[serde(flatten)]
        train: Train<'a>,
        val: &'a Scores,
        is_best: bool,
    },
}

/// Scores of training, each in a field of its own, and how many samples they are over: `train_loss`, `train_top1`, `train_samples`.
#[derive(Debug)]
pub(crate) struct Train<'a>(pub(crate) &'a Scores);

impl Serialize for Train<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.values.len() + 1))?;
        for (name, value) in &self.0.values {
            map.serialize_entry(&format!("train_{name}"), value)?;
        }
        map.serialize_entry("train_samples", &self.0.samples)?;
        map.end()
    }
}

/// The open log.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    /// None of a rank that does not write.
    file: Option<BufWriter<File>>,
    bytes: u64,
}

impl Log {
    /// Opens the log and keeps its first `keep` bytes.
    pub(crate) fn open(path: &Path, keep: u64) -> Result<Self> {
        let open = || -> std::io::Result<(BufWriter<File>, u64)> {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)?;
            let length = file.metadata()?.len();
            let bytes = length.min(keep);
            if bytes < length {
                file.set_len(bytes)?;
            }
            file.seek(SeekFrom::End(0))?;
            Ok((BufWriter::new(file), bytes))
        };
        let (file, bytes) = open().map_err(|source| failed(path, source))?;
        Ok(Self { path: path.to_owned(), file: Some(file), bytes })
    }

    /// A log that is not written: another rank writes it.
    pub(crate) fn elsewhere() -> Self {
        Self { path: PathBuf::new(), file: None, bytes: 0 }
    }

    /// Appends a line.
    pub(crate) fn write(&mut self, line: &Line<'_>) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut text =
            serde_json::to_string(line).map_err(|source| failed(&self.path, source.into()))?;
        text.push('\n');
        file.write_all(text.as_bytes()).map_err(|source| failed(&self.path, source))?;
        self.bytes += text.len() as u64;
        Ok(())
    }

    /// Appends a line for each sample that could not be read.
    pub(crate) fn skipped(&mut self, progress: &Progress, samples: &[Skipped]) -> Result<()> {
        let Progress { epoch, step, .. } = *progress;
        samples.iter().try_for_each(|Skipped { name, reason }| {
            let (name, reason) = (name.clone(), reason.clone());
            self.write(&Line::Skipped { epoch, step, name, reason })
        })
    }

    /// Makes everything written so far survive, and returns the length.
    pub(crate) fn sync(&mut self) -> Result<u64> {
        let Some(file) = &mut self.file else { return Ok(self.bytes) };
        let synced = file.flush().and_then(|()| file.get_ref().sync_all());
        synced.map_err(|source| failed(&self.path, source))?;
        Ok(self.bytes)
    }
}

fn failed(path: &Path, source: std::io::Error) -> Error {
    Error::File { action: "write", path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reopening_cuts_what_came_after_the_checkpoint() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/metrics.jsonl");
        let line = |step| Line::Step { epoch: 0, step, loss: 0.5, lr: 0.1, grad_norm: None };
        let mut log = Log::open(&path, 0).unwrap();
        log.write(&line(0)).unwrap();
        let kept = log.sync().unwrap();
        log.write(&line(1)).unwrap();
        log.sync().unwrap();
        let mut log = Log::open(&path, kept).unwrap();
        log.write(&line(7)).unwrap();
        log.sync().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            text,
            "{\"kind\":\"step\",\"epoch\":0,\"step\":0,\"loss\":0.5,\"lr\":0.1,\"grad_norm\":null}\n\
             {\"kind\":\"step\",\"epoch\":0,\"step\":7,\"loss\":0.5,\"lr\":0.1,\"grad_norm\":null}\n"
        );
    }

    #[test]
    fn an_epoch_tells_every_score_by_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        let scores = |values: &[(&str, f64)]| Scores {
            values: values.iter().map(|&(name, value)| (name.to_owned(), value)).collect(),
            samples: 7,
        };
        let train = scores(&[("loss", 0.5), ("top1", 0.25)]);
        let val = scores(&[("loss", 0.75), ("top1", 0.5), ("top5", 1.0)]);
        let mut log = Log::open(&path, 0).unwrap();
        let line =
            Line::Epoch { epoch: 1, step: 8, train: Train(&train), val: &val, is_best: true };
        log.write(&line).unwrap();
        log.sync().unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "{\"kind\":\"epoch\",\"epoch\":1,\"step\":8,\"train_loss\":0.5,\"train_top1\":0.25,\
             \"train_samples\":7,\"val\":{\"loss\":0.75,\"top1\":0.5,\"top5\":1.0,\"samples\":7},\"is_best\":true}\n"
        );
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_is_reported_with_the_path() {
        let mut log = Log::open(Path::new("/dev/full"), 0).unwrap();
        let line = Line::Step { epoch: 0, step: 0, loss: 0.5, lr: 0.1, grad_norm: None };
        let failed = log.write(&line).and_then(|()| log.sync()).unwrap_err();
        assert!(failed.to_string().contains("/dev/full"), "{failed}");
    }
}
