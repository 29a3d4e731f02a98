//! A run: the folder it may have, and the configuration that lets it go on.
//!
//! Above: `fine_tune`, `run_report`. Below: `run::kept`, `taper_train::RunFolder`, `taper_files`. Not here: checkpoints and metrics (`taper_train`).
//! `config.json` is written before the first step, so that a run that was killed at any moment can go on.

mod kept;

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use taper_data::Source;
use taper_data::folder::holds_classes;
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

/// How the configuration is written.
type Put = fn(&Path, &mut dyn FnMut(&mut dyn Write) -> io::Result<()>) -> io::Result<()>;

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

/// Makes the folder of a run its own until the configuration lies there, so that who else has found it free waits, and is refused then. What is held is
/// the folder's lock; where there are no locks, [`Run::begin`] alone tells two runs apart.
///
/// # Errors
/// [`Error::OutExists`] if another run has it.
pub(crate) fn claim(folder: &RunFolder) -> Result<Option<File>> {
    let path = folder.path();
    let failed = |source| Error::File { action: "create", path: path.to_path_buf(), source };
    fs::create_dir_all(path).map_err(failed)?;
    let held = File::open(path).ok().filter(|it| it.lock().is_ok());
    match exists(&folder.config())? {
        true => Err(Error::OutExists { path: path.to_path_buf() }),
        false => Ok(held),
    }
}

/// Refuses a folder to write to that would be a class among the pictures, when they are read next.
///
/// # Errors
/// [`Error::Option`].
pub(crate) fn must_be_no_class(
    out: &Path,
    data: Option<&Path>,
    table: Option<&Path>,
) -> Result<()> {
    let is_folder = |data: &&Path| data.is_dir() && Source::of(data) == Source::Folder;
    let Some(data) = data.filter(is_folder).filter(|_| table.is_none()) else { return Ok(()) };
    let Ok(pictures) = data.canonicalize() else { return Ok(()) };
    let resolved = resolved(out);
    let Ok(within) = resolved.strip_prefix(&pictures) else { return Ok(()) };
    // Classes are not called so.
    let is_hidden = |part: Component<'_>| part.as_os_str().as_encoded_bytes().starts_with(b".");
    if within.components().next().is_some_and(is_hidden) || !holds_classes(data) {
        return Ok(());
    }
    let expected = format!(
        "a folder outside of the pictures in `{}`, where every folder is a class, so that this one would be one, too",
        data.display()
    );
    Err(Error::option("out", &out.display(), expected))
}

/// The path without links, as far as it is there.
fn resolved(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let found = path.ancestors().find_map(|part| Some((part.canonicalize().ok()?, part)));
    match found {
        Some((whole, part)) => whole.join(path.strip_prefix(part).unwrap_or(Path::new(""))),
        None => path,
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
    ///
    /// # Errors
    /// [`Error::OutExists`] if another run has begun there since it was found to be free.
    pub(crate) fn begin(folder: RunFolder, config: RunConfig) -> Result<Self> {
        let failed = |source| {
            let path = folder.path().to_path_buf();
            Error::File { action: "create", path, source }
        };
        fs::create_dir_all(folder.path()).map_err(failed)?;
        let run = Run { folder, config, start: Start::Fresh };
        run.write_config(|path, write| files::create(path, write))?;
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
        Run { config, ..self.clone() }.write_config(|path, write| files::replace(path, write))
    }

    fn write_config(&self, put: Put) -> Result<()> {
        let path = self.folder.config();
        let text = serde_json::to_string_pretty(&self.config)
            .map_err(|source| Error::Config { path: path.clone(), source })?;
        put(&path, &mut |file| writeln!(file, "{text}")).map_err(|source| match source.kind() {
            ErrorKind::AlreadyExists => Error::OutExists { path: self.folder.path().to_path_buf() },
            _ => Error::File { action: "write", path, source },
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
    fn of_two_runs_that_begin_in_one_folder_one_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let both = [(); 2].map(|()| vacant(Some(dir.path())).unwrap());
        let [first, second] = both;
        let (held, waiting) = (claim(&first).unwrap(), second.clone());
        let other = std::thread::spawn(move || claim(&waiting).map(|_| ()));
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(!other.is_finished() || held.is_none(), "it waits");
        Run::begin(first, config()).unwrap();
        drop(held);
        assert!(matches!(other.join().unwrap().unwrap_err(), Error::OutExists { .. }));
        assert!(matches!(Run::begin(second, config()).unwrap_err(), Error::OutExists { .. }));
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
    fn a_run_does_not_become_a_class_of_its_pictures() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("photos");
        fs::create_dir_all(data.join("cats")).unwrap();
        let within = data.join("runs/finetune-1");
        let must_be_no_class = |out: &Path, data: &Path| must_be_no_class(out, Some(data), None);
        let refused = must_be_no_class(&within, &data).unwrap_err().to_string();
        assert!(refused.contains("outside of the pictures"), "{refused}");
        assert!(must_be_no_class(&data, &data).is_err());
        must_be_no_class(&dir.path().join("runs/finetune-1"), &data).unwrap();
        must_be_no_class(&data.join("../photos-2"), &data).unwrap();
        must_be_no_class(&data.join(".runs/finetune-1"), &data).unwrap();
        // A table names the classes, and there may be none.
        super::must_be_no_class(&within, Some(&data), Some(Path::new("labels.csv"))).unwrap();
        must_be_no_class(&data.join("cats/runs/1"), &data.join("cats")).unwrap();
        // Beside parts, no folder is a class.
        fs::create_dir_all(data.join("train/cats")).unwrap();
        fs::create_dir_all(data.join("val/cats")).unwrap();
        must_be_no_class(&within, &data).unwrap();
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
