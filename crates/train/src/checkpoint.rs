//! Checkpoints: everything a run needs to go on with the same bits, in one file that is complete or absent.
//!
//! Above: `fit`. Below: `taper_files`, safetensors. Not here: the model file (`taper-model`), when to save (`fit`).
//! One safetensors file: `param/<name>` (parameters and buffers), `optimizer/<key>`, `hook/<index>/<key>`, `average/<name>`,
//! `parallel/<key>`, and in the metadata version, progress and settings of the run as JSON.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::metrics::Scores;

const VERSION: u32 = 2;
/// The most hooks that a file can name: it is not trusted with an amount of memory.
const MOST_HOOKS: usize = 1024;
/// The one key of the metadata: safetensors writes several in no fixed order, and equal runs write equal files.
const KEY: &str = "taper.checkpoint";

/// What the metadata holds, as JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    version: u32,
    progress: Progress,
    config: BTreeMap<String, String>,
}

/// The state of a run between two steps.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// Where the run is.
    pub progress: Progress,
    /// What the run is: its settings and the fingerprints of its data and its first model, by name.
    pub config: BTreeMap<String, String>,
    /// Parameters and buffers by name.
    pub params: BTreeMap<String, Tensor>,
    /// The optimizer's state by key.
    pub optimizer: BTreeMap<String, Tensor>,
    /// By hook, its state by key; those at the end that have none may be missing.
    pub hooks: Vec<BTreeMap<String, Tensor>>,
    /// By name, averages of parameters and buffers; none without one.
    pub average: BTreeMap<String, Tensor>,
    /// By key, what ranks and shards have each for themselves; nothing of a run that is not shared out.
    pub parallel: BTreeMap<String, Tensor>,
}

/// Where a run is. Everything counts from 0 and names what comes next.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// The epoch.
    pub epoch: usize,
    /// The batch of that epoch; the number of batches says that only the evaluation is missing.
    pub batch: usize,
    /// The step.
    pub step: u64,
    /// Sums over the batches of the epoch so far.
    pub running: Running,
    /// The best evaluation so far.
    pub best: Option<Best>,
    /// Length of `metrics.jsonl`, in bytes.
    pub log_bytes: u64,
    /// What the metric that picks the best model said of each epoch so far; nothing where it was no number.
    #[serde(default)]
    pub scores: Vec<Option<f64>>,
    /// The epochs whose models are kept as those of the best, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<usize>,
    /// How often the run has diverged and gone on at half the rate.
    #[serde(default, skip_serializing_if = "is_none")]
    pub recoveries: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_none(recoveries: &u32) -> bool {
    *recoveries == 0
}

/// Sums over the training batches of an epoch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Running {
    /// Sum of the minimized loss over samples.
    pub loss: f64,
    /// The name of the metric that picks the best model, and the bits of its [`Metric::state`](crate::Metric::state); nothing before the
    /// first step of an epoch, and without such a metric.
    pub metric: Option<(String, Vec<u64>)>,
    /// Samples.
    pub samples: usize,
}

/// The best evaluation so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Best {
    /// At the end of which epoch, counted from 0.
    pub epoch: usize,
    /// Its scores.
    pub scores: Scores,
}

impl Checkpoint {
    /// Writes the file aside, syncs it, and puts it in its place; a failure leaves the file that was there.
    ///
    /// # Errors
    /// [`Error::File`] with the path, for instance on a full disk.
    pub fn save(&self, path: &Path) -> Result<()> {
        let malformed = |reason: String| Error::Malformed { path: path.to_owned(), reason };
        let (progress, config) = (self.progress.clone(), self.config.clone());
        let header = serde_json::to_string(&Header { version: VERSION, progress, config })
            .map_err(|source| malformed(source.to_string()))?;
        let metadata = HashMap::from([(KEY.to_owned(), header)]);
        let named = |prefix: &str, tensors: &BTreeMap<String, Tensor>| -> Vec<(String, Tensor)> {
            tensors
                .iter()
                .map(|(name, tensor)| (format!("{prefix}/{name}"), tensor.clone()))
                .collect()
        };
        let mut tensors = named("param", &self.params);
        tensors.extend(named("optimizer", &self.optimizer));
        tensors.extend(named("average", &self.average));
        tensors.extend(named("parallel", &self.parallel));
        for (index, state) in self.hooks.iter().enumerate() {
            tensors.extend(named(&format!("hook/{index}"), state));
        }
        let bytes = safetensors::serialize(tensors, Some(metadata))
            .map_err(|source| malformed(source.to_string()))?;
        taper_files::replace(path, |file| file.write_all(&bytes)).map_err(|source| Error::File {
            action: "write",
            path: path.to_owned(),
            source,
        })
    }

    /// Reads a checkpoint and refuses one of another run.
    ///
    /// # Errors
    /// [`Error::NoCheckpoint`] if there is none, [`Error::Malformed`] if the file is something else or broken,
    /// [`Error::OtherRun`] if its `config` is not `expected`.
    pub fn load(path: &Path, expected: &BTreeMap<String, String>) -> Result<Self> {
        Self::of_run(path, &Self::bytes(path)?, expected)
    }

    /// Reads a checkpoint of any run.
    ///
    /// # Errors
    /// [`Error::NoCheckpoint`] if there is none, [`Error::Malformed`] if the file is something else or broken.
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(path, &Self::bytes(path)?)
    }

    /// The file as it is.
    pub(crate) fn bytes(path: &Path) -> Result<Vec<u8>> {
        std::fs::read(path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => Error::NoCheckpoint { path: path.to_owned() },
            _ => Error::File { action: "read", path: path.to_owned(), source },
        })
    }

    /// As [`Checkpoint::load`], of what [`Checkpoint::bytes`] gave, here or elsewhere.
    pub(crate) fn of_run(
        path: &Path,
        bytes: &[u8],
        expected: &BTreeMap<String, String>,
    ) -> Result<Self> {
        let checkpoint = Self::parse(path, bytes)?;
        check_config(path, &checkpoint.config, expected)?;
        Ok(checkpoint)
    }

    fn parse(path: &Path, bytes: &[u8]) -> Result<Self> {
        Self::from_bytes(bytes).map_err(|reason| Error::Malformed { path: path.to_owned(), reason })
    }

    fn from_bytes(bytes: &[u8]) -> std::result::Result<Self, String> {
        let (_, metadata) =
            safetensors::SafeTensors::read_metadata(bytes).map_err(|source| source.to_string())?;
        let metadata = metadata.metadata().clone().unwrap_or_default();
        let header = metadata.get(KEY).ok_or_else(|| format!("its metadata lacks `{KEY}`"))?;
        let header: Header = serde_json::from_str(header).map_err(|source| source.to_string())?;
        if header.version != VERSION {
            return Err(format!("it has version {}, this program reads {VERSION}", header.version));
        }
        let (mut params, mut optimizer) = (BTreeMap::new(), BTreeMap::new());
        let (mut average, mut parallel) = (BTreeMap::new(), BTreeMap::new());
        let mut hooks: BTreeMap<usize, BTreeMap<String, Tensor>> = BTreeMap::new();
        let tensors = candle_core::safetensors::load_buffer(bytes, &Device::Cpu)
            .map_err(|source| source.to_string())?;
        for (key, tensor) in tensors {
            match key.split_once('/') {
                Some(("param", name)) => params.insert(name.to_owned(), tensor),
                Some(("optimizer", name)) => optimizer.insert(name.to_owned(), tensor),
                Some(("average", name)) => average.insert(name.to_owned(), tensor),
                Some(("parallel", name)) => parallel.insert(name.to_owned(), tensor),
                Some(("hook", rest)) => match hook_key(rest) {
                    Some((index, name)) => {
                        hooks.entry(index).or_default().insert(name.to_owned(), tensor)
                    }
                    None => return Err(format!("it has a tensor `{key}`")),
                },
                _ => return Err(format!("it has a tensor `{key}`")),
            };
        }
        let n_hooks = hooks.last_key_value().map_or(0, |(last, _)| last + 1);
        let hooks = (0..n_hooks).map(|index| hooks.remove(&index).unwrap_or_default()).collect();
        let Header { progress, config, .. } = header;
        Ok(Self { progress, config, params, optimizer, hooks, average, parallel })
    }
}

/// Index of a hook and name of its tensor; a run has a few hooks.
fn hook_key(key: &str) -> Option<(usize, &str)> {
    let (index, name) = key.split_once('/')?;
    let index = index.parse().ok().filter(|&index| index < MOST_HOOKS)?;
    Some((index, name))
}

fn check_config(
    path: &Path,
    saved: &BTreeMap<String, String>,
    current: &BTreeMap<String, String>,
) -> Result<()> {
    let keys = saved.keys().chain(current.keys());
    let value = |config: &BTreeMap<String, String>, key: &String| {
        config.get(key).cloned().unwrap_or_else(|| "nothing".to_owned())
    };
    for key in keys {
        let (saved, current) = (value(saved, key), value(current, key));
        if saved != current {
            return Err(Error::OtherRun {
                path: path.to_owned(),
                key: key.clone(),
                saved,
                current,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
