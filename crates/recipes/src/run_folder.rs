//! A run's folder: where it may be, what lies in it, and the configuration that lets it go on.
//!
//! Above: `fine_tune`. Below: `taper_train::replace_file`. Not here: checkpoints and metrics (`taper_train`).
//! `config.json` is written before the first step, so that a run that was killed at any moment can go on.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::options::FineTuneOptions;

/// Version of `config.json`.
const FORMAT: u32 = 1;

/// Where runs go that were not told.
const DEFAULT: &str = "runs";

/// What a run was asked, and fingerprints of what it was made with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunConfig {
    format: u32,
    pub(crate) options: FineTuneOptions,
    /// Of the pictures' names, sizes and classes.
    pub(crate) data: String,
    /// Of the network that training began with.
    pub(crate) model: String,
}

impl RunConfig {
    pub(crate) fn new(options: FineTuneOptions, data: String, model: String) -> Self {
        RunConfig { format: FORMAT, options, data, model }
    }
}

/// A folder that exists and holds, or is going to hold, one run.
#[derive(Debug, Clone)]
pub(crate) struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// The folder for a new run: `out`, or the first free one of `runs/finetune-1`, `runs/finetune-2`, ….
    pub(crate) fn choose(out: Option<&Path>) -> Result<Self> {
        let path = match out {
            Some(out) => out.to_path_buf(),
            None => first_free()?,
        };
        let folder = RunFolder { path };
        for file in [folder.config(), folder.model(), folder.checkpoint()] {
            if exists(&file)? {
                return Err(Error::OutExists { path: folder.path });
            }
        }
        Ok(folder)
    }

    /// Makes the folder and proves that it can be written to, with the configuration.
    pub(crate) fn begin(&self, config: &RunConfig) -> Result<()> {
        let failed = |source| Error::File { action: "create", path: self.path.clone(), source };
        fs::create_dir_all(&self.path).map_err(failed)?;
        let path = self.config();
        let text = serde_json::to_string_pretty(config)
            .map_err(|source| Error::Config { path: path.clone(), source })?;
        taper_train::replace_file(&path, |file| writeln!(file, "{text}"))
            .map_err(|source| Error::Write { source })
    }

    /// A folder that holds a run, with its configuration.
    pub(crate) fn open(path: &Path) -> Result<(Self, RunConfig)> {
        let folder = RunFolder { path: path.to_path_buf() };
        let no_run =
            |reason: &str| Error::NoRun { path: path.to_path_buf(), reason: reason.to_owned() };
        let file = folder.config();
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(source) if source.kind() == ErrorKind::NotFound => {
                return Err(no_run("it has no config.json"));
            }
            Err(source) => return Err(Error::File { action: "read", path: file, source }),
        };
        let config: RunConfig =
            serde_json::from_str(&text).map_err(|source| Error::Config { path: file, source })?;
        if config.format != FORMAT {
            return Err(no_run("its config.json is of another version of taper"));
        }
        config.options.check()?;
        Ok((folder, config))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn config(&self) -> PathBuf {
        self.path.join("config.json")
    }

    /// The best epoch's model.
    pub(crate) fn model(&self) -> PathBuf {
        self.path.join("model.safetensors")
    }

    /// The last checkpoint.
    pub(crate) fn checkpoint_file(&self) -> PathBuf {
        self.checkpoint().join("state.safetensors")
    }

    /// The folder of the last checkpoint.
    pub(crate) fn checkpoint(&self) -> PathBuf {
        self.path.join("checkpoint")
    }
}

fn first_free() -> Result<PathBuf> {
    let mut number = 1;
    loop {
        let path = Path::new(DEFAULT).join(format!("finetune-{number}"));
        if !exists(&path)? {
            return Ok(path);
        }
        number += 1;
    }
}

fn exists(path: &Path) -> Result<bool> {
    match path.try_exists() {
        Ok(exists) => Ok(exists),
        // A file where a folder should be: creating the folder will say so.
        Err(source) if source.kind() == ErrorKind::NotADirectory => Ok(false),
        Err(source) => Err(Error::File { action: "look at", path: path.to_path_buf(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> RunConfig {
        RunConfig::new(FineTuneOptions::default(), "data".into(), "model".into())
    }

    #[test]
    fn a_run_is_found_again_with_its_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("a/b");
        let folder = RunFolder::choose(Some(&out)).unwrap();
        folder.begin(&config()).unwrap();
        let (again, read) = RunFolder::open(&out).unwrap();
        assert_eq!(again.path(), out);
        assert_eq!(read, config());
    }

    #[test]
    fn a_folder_with_a_run_is_not_used_for_another() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::choose(Some(dir.path())).unwrap();
        folder.begin(&config()).unwrap();
        let error = RunFolder::choose(Some(dir.path())).unwrap_err();
        assert!(error.is_request());
        assert!(error.to_string().contains("--resume"), "{error}");
    }

    #[test]
    fn a_folder_without_a_run_cannot_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let error = RunFolder::open(dir.path()).unwrap_err();
        assert!(error.is_request());
        assert!(error.to_string().contains("config.json"), "{error}");
        fs::write(dir.path().join("config.json"), "{\"format\":1}").unwrap();
        assert!(RunFolder::open(dir.path()).unwrap_err().is_request());
    }

    #[test]
    fn a_file_where_the_folder_should_be_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let folder = RunFolder::choose(Some(&file.join("run"))).unwrap();
        let error = folder.begin(&config()).unwrap_err();
        assert!(error.is_request());
        assert!(error.to_string().contains("file/run"), "{error}");
    }
}
