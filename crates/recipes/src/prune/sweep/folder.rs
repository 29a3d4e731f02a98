//! Where a sweep is, as its folder holds it.
//!
//! Above: `sweep`. Below: `taper_files`, `prune::state`. Not here: the folder of a point (`prune::state`, `run`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::super::state;
use super::{SweepOptions, SweepPoint};
use crate::error::{Error, Result};
use crate::options::PruneOptions;

/// What a sweep remembers, in its folder.
const FILE: &str = "sweep.json";

/// What a sweep's folder remembers.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    /// The request, in words; a sweep goes on with the same only.
    pub(super) request: Vec<String>,
    /// Points that are done, by folder.
    pub(super) points: BTreeMap<String, SweepPoint>,
}

/// A sweep's folder.
pub(super) struct SweepState {
    pub(super) folder: PathBuf,
    pub(super) written: Written,
}

impl SweepState {
    /// The folder of a new sweep, or of the same one that did not come to its end. Nothing is written yet.
    pub(super) fn vacant(options: &PruneOptions, asked: &SweepOptions) -> Result<Self> {
        let folder = match &options.tune.out {
            Some(out) => out.clone(),
            None => state::first_free()?,
        };
        let mut request = super::super::words(options);
        request.push(format!("sweep: {asked:?}"));
        let file = folder.join(FILE);
        let written = match (std::fs::read_to_string(&file), options.resume) {
            (Ok(_), false) => return Err(Error::OutExists { path: folder }),
            (Ok(text), true) => {
                let written: Written = serde_json::from_str(&text)
                    .map_err(|source| Error::Config { path: file.clone(), source })?;
                if written.request != request {
                    let difference = state::difference(&written.request, &request);
                    return Err(Error::Changed { run: folder, what: "request", difference });
                }
                written
            }
            (Err(source), resume) if source.kind() == std::io::ErrorKind::NotFound => {
                if resume {
                    let reason = format!("it has no {FILE}");
                    return Err(Error::NoRun { path: folder, reason });
                }
                Written { request, points: BTreeMap::new() }
            }
            (Err(source), _) => return Err(Error::File { action: "read", path: file, source }),
        };
        Ok(Self { folder, written })
    }

    /// Remembers a point that is done, by its folder.
    pub(super) fn remember(&mut self, key: &str, point: SweepPoint) -> Result<()> {
        self.written.points.insert(key.to_owned(), point);
        self.save()
    }

    pub(super) fn save(&self) -> Result<()> {
        let failed = |action, path: &Path| {
            let path = path.to_path_buf();
            move |source| Error::File { action, path, source }
        };
        std::fs::create_dir_all(&self.folder).map_err(failed("create", &self.folder))?;
        let path = self.folder.join(FILE);
        let text = serde_json::to_string_pretty(&self.written)
            .map_err(|source| Error::Config { path: path.clone(), source })?;
        taper_files::replace(&path, |file| file.write_all(text.as_bytes()))
            .map_err(failed("write", &path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FineTuneOptions;

    fn half() -> SweepOptions {
        SweepOptions::new(vec![0.5])
    }

    fn with_data() -> PruneOptions {
        let options = PruneOptions::new("model");
        let tune = FineTuneOptions { data: Some("photos".into()), ..options.tune };
        PruneOptions { tune, ..options }
    }

    #[test]
    fn a_folder_goes_on_with_the_same_request_only() {
        let dir = tempfile::tempdir().unwrap();
        let tune = FineTuneOptions { out: Some(dir.path().into()), ..with_data().tune };
        let options = PruneOptions { tune, ..with_data() };
        let resumed = PruneOptions { resume: true, ..options.clone() };
        let error = |options: &PruneOptions, asked: &SweepOptions| {
            SweepState::vacant(options, asked).err().unwrap()
        };
        assert!(matches!(error(&resumed, &half()), Error::NoRun { .. }));
        SweepState::vacant(&options, &half()).unwrap().save().unwrap();
        assert!(matches!(error(&options, &half()), Error::OutExists { .. }));
        SweepState::vacant(&resumed, &half()).unwrap();
        let more = SweepOptions::new(vec![0.5, 0.7]);
        assert!(matches!(error(&resumed, &more), Error::Changed { what: "request", .. }));
    }
}
