//! A run: the folder it may have, and the configuration that lets it go on.
//!
//! Above: `fine_tune`, `run_report`. Below: `run::kept`, `taper_train::RunFolder`, `taper_files`. Not here: checkpoints and metrics (`taper_train`).
//! `config.json` is written before the first step, so that a run that was killed at any moment can go on.

mod kept;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use taper_files as files;
use taper_train::{RunFolder, Start};

use crate::error::{Error, Result};
use crate::options::FineTuneOptions;

pub(crate) use kept::{Kept, KeptPrints, MasksByName, fingerprint};

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
    /// Of what else the run's folder holds.
    #[serde(default, skip_serializing_if = "KeptPrints::is_empty")]
    pub(crate) kept: KeptPrints,
    /// Whether the first checkpoint has been written: from then on a run without one has lost it.
    #[serde(default = "written")]
    has_checkpoint: bool,
}

fn written() -> bool {
    true
}

impl RunConfig {
    /// The configuration of the run that lies in a folder.
    pub(crate) fn read(folder: &RunFolder) -> Result<Self> {
        let file = folder.config();
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(source) if source.kind() == ErrorKind::NotFound => {
                return no_run(folder, "it has no config.json");
            }
            Err(source) => return Err(Error::File { action: "read", path: file, source }),
        };
        let config: RunConfig =
            serde_json::from_str(&text).map_err(|source| Error::Config { path: file, source })?;
        if config.format != FORMAT {
            return no_run(folder, "its config.json is of another version of taper");
        }
        config.options.check()?;
        Ok(config)
    }

    pub(crate) fn new(options: FineTuneOptions, data: String, model: String) -> Self {
        let kept = KeptPrints::default();
        RunConfig { format: FORMAT, options, data, model, kept, has_checkpoint: false }
    }

    /// The same, for a run that keeps something.
    pub(crate) fn keeping(self, kept: KeptPrints) -> Self {
        RunConfig { kept, ..self }
    }
}

fn no_run<T>(folder: &RunFolder, reason: &str) -> Result<T> {
    Err(Error::NoRun { path: folder.path().to_path_buf(), reason: reason.to_owned() })
}

/// The folder for a new run: `out`, or the first free one of `runs/finetune-1`, `runs/finetune-2`, ….
pub(crate) fn vacant(out: Option<&Path>) -> Result<RunFolder> {
    vacant_for("finetune", out)
}

/// The same for work of another kind, which is what folders are called.
pub(crate) fn vacant_for(kind: &str, out: Option<&Path>) -> Result<RunFolder> {
    let folder = RunFolder::new(match out {
        Some(out) => out.to_path_buf(),
        None => first_free(kind)?,
    });
    let checkpoints = folder.checkpoint().parent().map(Path::to_path_buf);
    for file in [folder.config(), folder.model()].into_iter().chain(checkpoints) {
        if exists(&file)? {
            return Err(Error::OutExists { path: folder.path().to_path_buf() });
        }
    }
    match holds_something(&folder.best())? {
        true => Err(Error::OutExists { path: folder.path().to_path_buf() }),
        false => Ok(folder),
    }
}

/// Whether there is a folder that is not empty, or a file in its place.
fn holds_something(path: &Path) -> Result<bool> {
    match fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(source) if source.kind() == ErrorKind::NotFound => Ok(false),
        Err(source) if source.kind() == ErrorKind::NotADirectory => exists(path),
        Err(source) => Err(Error::File { action: "look at", path: path.to_path_buf(), source }),
    }
}

/// A run with its folder and its configuration, which lies there.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) folder: RunFolder,
    pub(crate) config: RunConfig,
    pub(crate) start: Start,
}

impl Run {
    /// Makes the folder and proves that it can be written to, with the configuration.
    pub(crate) fn begin(folder: RunFolder, config: RunConfig) -> Result<Self> {
        let failed = |source| {
            let path = folder.path().to_path_buf();
            Error::File { action: "create", path, source }
        };
        fs::create_dir_all(folder.path()).map_err(failed)?;
        let run = Run { folder, config, start: Start::Fresh };
        run.write_config()?;
        Ok(run)
    }

    /// The run that a folder holds. One that was stopped before its first checkpoint has done nothing yet and begins; one that
    /// has lost its checkpoint cannot go on.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let folder = RunFolder::new(path);
        let config = RunConfig::read(&folder)?;
        let start = match (exists(&folder.checkpoint())?, config.has_checkpoint) {
            (true, _) => Start::Resume,
            (false, false) => Start::Fresh,
            (false, true) => {
                return no_run(&folder, "its checkpoint, checkpoint/state.safetensors, is missing");
            }
        };
        Ok(Run { folder, config, start })
    }

    /// Remembers that there is a checkpoint, to be called when the first one is written.
    pub(crate) fn has_begun(&self) -> Result<()> {
        let config = RunConfig { has_checkpoint: true, ..self.config.clone() };
        Run { config, ..self.clone() }.write_config()
    }

    fn write_config(&self) -> Result<()> {
        let path = self.folder.config();
        let text = serde_json::to_string_pretty(&self.config)
            .map_err(|source| Error::Config { path: path.clone(), source })?;
        files::replace(&path, |file| writeln!(file, "{text}")).map_err(|source| Error::File {
            action: "write",
            path,
            source,
        })
    }
}

fn first_free(kind: &str) -> Result<PathBuf> {
    let mut number = 1;
    loop {
        let path = Path::new(DEFAULT).join(format!("{kind}-{number}"));
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

    fn begun(path: &Path) -> Run {
        Run::begin(vacant(Some(path)).unwrap(), config()).unwrap()
    }

    #[test]
    fn a_run_is_found_again_with_its_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("a/b");
        begun(&out);
        let again = Run::open(&out).unwrap();
        assert_eq!(again.folder.path(), out);
        assert_eq!((again.config, again.start), (config(), Start::Fresh));
    }

    #[test]
    fn a_folder_with_a_run_is_not_used_for_another() {
        let dir = tempfile::tempdir().unwrap();
        begun(dir.path());
        let error = vacant(Some(dir.path())).unwrap_err();
        assert!(error.is_request());
        assert!(matches!(error, Error::OutExists { .. }), "{error}");
    }

    #[test]
    fn a_folder_with_models_of_epochs_is_not_used_for_another_run() {
        let dir = tempfile::tempdir().unwrap();
        let best = dir.path().join("best");
        fs::create_dir(&best).unwrap();
        assert!(vacant(Some(dir.path())).is_ok());
        fs::write(best.join("epoch-0003.safetensors"), "of somebody else").unwrap();
        let error = vacant(Some(dir.path())).unwrap_err();
        assert!(matches!(error, Error::OutExists { .. }), "{error}");
        fs::remove_dir_all(&best).unwrap();
        fs::write(&best, "a file").unwrap();
        assert!(vacant(Some(dir.path())).unwrap_err().is_request());
    }

    #[test]
    fn a_run_that_lost_its_checkpoint_does_not_begin_again() {
        let dir = tempfile::tempdir().unwrap();
        let run = begun(dir.path());
        let checkpoint = run.folder.checkpoint();
        fs::create_dir(checkpoint.parent().unwrap()).unwrap();
        fs::write(&checkpoint, "").unwrap();
        assert_eq!(Run::open(dir.path()).unwrap().start, Start::Resume);
        run.has_begun().unwrap();
        assert_eq!(Run::open(dir.path()).unwrap().start, Start::Resume);
        fs::remove_file(checkpoint).unwrap();
        let error = Run::open(dir.path()).unwrap_err();
        assert!(error.is_request() && error.to_string().contains("state.safetensors"), "{error}");
    }

    #[test]
    fn a_folder_without_a_run_cannot_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let error = Run::open(dir.path()).unwrap_err();
        assert!(error.is_request());
        assert!(error.to_string().contains("config.json"), "{error}");
        fs::write(dir.path().join("config.json"), "{\"format\":1}").unwrap();
        assert!(Run::open(dir.path()).unwrap_err().is_request());
    }

    #[test]
    fn a_file_where_the_folder_should_be_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let folder = vacant(Some(&file.join("run"))).unwrap();
        let error = Run::begin(folder, config()).unwrap_err();
        assert!(error.is_request());
        assert!(error.to_string().contains("file/run"), "{error}");
    }
}
