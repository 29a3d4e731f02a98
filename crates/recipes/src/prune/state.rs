//! Where a run of pruning is, as its folder holds it.
//!
//! Above: `prune`, `sparsify`. Below: `taper_files`, `run`. Not here: what a round does (`prune`), the folder of a round's training (`run`).

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use taper_model::Model;

use crate::error::{Error, Result};
use crate::{FineTuneOptions, run, setup};

/// What a run remembers, in its folder.
pub(super) const FILE: &str = "prune.json";

/// What a run's folder remembers.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// The options, a word each; a run goes on with the same only.
    options: Vec<String>,
    /// By round that was cut: accuracy right after the cut.
    cut: BTreeMap<usize, Option<f64>>,
}

/// Where a run may be.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    /// Its folder.
    pub(crate) out: Option<&'a Path>,
    /// Where the model goes too.
    pub(crate) file: Option<&'a Path>,
    /// Whether it goes on.
    pub(crate) resume: bool,
}

/// The network that channels are cut from.
const START: &str = "start.safetensors";

/// A run's folder.
pub(crate) struct RunState {
    folder: PathBuf,
    written: Written,
    /// The network that channels are cut from, as long as this call has chosen it.
    chosen: Option<Model>,
}

impl RunState {
    /// The folder of a new run, or of the run of the same `words` that did not come to its end. Nothing is written yet.
    pub(crate) fn vacant(place: Place<'_>, words: Vec<String>) -> Result<Self> {
        let folder = match place.out {
            Some(out) => out.to_path_buf(),
            None => first_free()?,
        };
        let file = folder.join(FILE);
        let written = match std::fs::read_to_string(&file) {
            Ok(text) => {
                let written: Written = serde_json::from_str(&text)
                    .map_err(|source| Error::Config { path: file.clone(), source })?;
                match (place.resume, written.options == words) {
                    (true, true) => written,
                    (true, false) => {
                        let (what, run) = ("request", folder);
                        let difference = difference(&written.options, &words);
                        return Err(Error::Changed { run, what, difference });
                    }
                    (false, _) => return Err(Error::OutExists { path: folder }),
                }
            }
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => {
                if place.resume {
                    let reason = format!("it has no {FILE}");
                    return Err(Error::NoRun { path: folder, reason });
                }
                run::vacant(Some(&folder))?;
                if let Some(path) = place.file.filter(|path| path.exists()) {
                    return Err(Error::FileExists { path: path.to_path_buf() });
                }
                Written { options: words, cut: BTreeMap::new() }
            }
            Err(source) => return Err(Error::File { action: "read", path: file, source }),
        };
        Ok(Self { folder, written, chosen: None })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The network that channels are cut from, if it was chosen before.
    pub(super) fn start(&self) -> Result<Option<Model>> {
        let path = self.folder.join(START);
        let has = path.is_file();
        has.then(|| Model::load(&path).map_err(setup::model)).transpose()
    }

    /// Remembers the network that channels are cut from. It is written with the first cut: a request that cannot be met leaves nothing.
    pub(super) fn begin(&mut self, start: Model) -> Model {
        self.chosen = Some(start.clone());
        start
    }

    /// Where a round trains.
    pub(crate) fn round_folder(&self, round: usize) -> PathBuf {
        self.folder.join(format!("recovery-{}", round + 1))
    }

    /// The folder of a round that has begun to train.
    pub(crate) fn begun(&self, round: usize) -> Result<Option<PathBuf>> {
        let folder = self.round_folder(round);
        let has = folder.join("config.json").is_file() && self.written.cut.contains_key(&round);
        Ok(has.then_some(folder))
    }

    pub(crate) fn top1_cut(&self, round: usize) -> Option<f64> {
        self.written.cut.get(&round).copied().flatten()
    }

    /// Remembers that a round was cut.
    pub(crate) fn cut(&mut self, round: usize, top1: Option<f64>) -> Result<()> {
        self.written.cut.insert(round, top1);
        self.save()
    }

    fn save(&self) -> Result<()> {
        let failed = |action, path: &Path| {
            let path = path.to_path_buf();
            move |source| Error::File { action, path, source }
        };
        std::fs::create_dir_all(&self.folder).map_err(failed("create", &self.folder))?;
        let start = self.folder.join(START);
        if let Some(model) = self.chosen.as_ref().filter(|_| !start.exists()) {
            model.save(&start).map_err(setup::model)?;
        }
        let path = self.folder.join(FILE);
        let text = serde_json::to_string_pretty(&self.written)
            .map_err(|source| Error::Config { path: path.clone(), source })?;
        taper_files::replace(&path, |file| file.write_all(text.as_bytes()))
            .map_err(failed("write", &path))
    }

    /// Writes the pruned model, and once more where it was asked for.
    pub(crate) fn write(&self, model: &Model, file: Option<&Path>) -> Result<PathBuf> {
        self.save()?;
        let path = self.folder.join("model.safetensors");
        model.save(&path).map_err(setup::model)?;
        let Some(file) = file else { return Ok(path) };
        model.save(file).map_err(setup::model)?;
        Ok(file.to_path_buf())
    }
}

/// What was asked, an option a word: those of training, and `others`.
pub(crate) fn words(others: &dyn fmt::Debug, tune: &FineTuneOptions) -> Vec<String> {
    let mut words = Vec::new();
    for text in [format!("{others:#?}"), format!("{tune:#?}")] {
        let lines = text.lines().collect::<Vec<_>>();
        for line in lines.iter().take(lines.len().saturating_sub(1)).skip(1) {
            // A field begins four spaces in; what follows deeper, or closes it, is its value.
            let field = line.strip_prefix("    ").unwrap_or(line);
            if field.starts_with(|first: char| first.is_ascii_lowercase()) {
                words.push(field.to_owned());
            } else if let Some(word) = words.last_mut() {
                word.push_str(field.trim_start());
            }
        }
    }
    words
}

/// The first option that is another one.
pub(super) fn difference(was: &[String], is: &[String]) -> String {
    let pair = was.iter().zip(is).find(|(was, is)| was != is);
    let said = |word: &str| word.trim_end_matches(',').to_owned();
    match pair {
        Some((was, is)) => format!("it was `{}`, and now it is `{}`", said(was), said(is)),
        None => "it was of another version".to_owned(),
    }
}

/// The first folder of `runs/prune-1`, `runs/prune-2`, … that is not there.
pub(super) fn first_free() -> Result<PathBuf> {
    let mut names = (1..).map(|number| Path::new("runs").join(format!("prune-{number}")));
    let free = names.find(|path| !path.exists());
    free.ok_or_else(|| Error::OutExists { path: PathBuf::from("runs") })
}
