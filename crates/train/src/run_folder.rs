//! Where the files of a run lie.
//!
//! Above: `fit`, `recipes`. Below: nothing. Not here: what is in them (`checkpoint`, `log`, `recipes`), how they are written
//! (`files`).
//! All paths follow from the folder's, so a folder can be moved and its run goes on.

use std::path::{Path, PathBuf};

/// The folder of one run and the names of what lies in it.
///
/// # Examples
/// ```
/// use std::path::Path;
/// let folder = taper_train::RunFolder::new("runs/finetune-1");
/// assert_eq!(folder.checkpoint(), Path::new("runs/finetune-1/checkpoint/state.safetensors"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// The run in the folder at `path`, which need not be there yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the run was asked and what it was made with; written before the first step.
    pub fn config(&self) -> PathBuf {
        self.path.join("config.json")
    }

    /// The model of the best epoch so far; absent before the end of the first.
    pub fn model(&self) -> PathBuf {
        self.path.join("model.safetensors")
    }

    /// The models of the best epochs, where they are kept.
    pub fn best(&self) -> PathBuf {
        self.path.join("best")
    }

    /// The model of an epoch, counted from 0, among them; its name counts from 1, as reports do.
    pub fn best_of(&self, epoch: usize) -> PathBuf {
        self.best().join(format!("epoch-{:04}.safetensors", epoch + 1))
    }

    /// The last checkpoint.
    pub fn checkpoint(&self) -> PathBuf {
        self.path.join("checkpoint").join("state.safetensors")
    }

    /// The model that a run began with that was handed over in memory.
    pub fn start(&self) -> PathBuf {
        self.path.join("start.safetensors")
    }

    /// The model that it learns from, where there is one.
    pub fn teacher(&self) -> PathBuf {
        self.path.join("teacher.safetensors")
    }

    /// The masks that it began with, where there are any.
    pub fn masks(&self) -> PathBuf {
        self.path.join("masks.safetensors")
    }

    /// The page about the run.
    pub fn report(&self) -> PathBuf {
        self.path.join("report.html")
    }

    /// What the best model answers to each held-out picture, one line of JSON each.
    pub fn predictions(&self) -> PathBuf {
        self.path.join("predictions.jsonl")
    }

    /// What each call that worked on the run took and how it ended, one line of JSON each.
    pub fn calls(&self) -> PathBuf {
        self.path.join("calls.jsonl")
    }

    /// The folder of event files, as `TensorBoard` reads them.
    pub fn tensorboard(&self) -> PathBuf {
        self.path.join("tensorboard")
    }

    /// Steps and epochs, one line of JSON each.
    pub fn log(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }
}
