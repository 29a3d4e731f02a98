//! The model file: one safetensors file that holds everything needed to use a network.
//!
//! Above: `Model`'s users. Below: `tensors`, `Graph`, `taper_files`. Not here: other projects' files (`tensors::read`), run folders.
//! Metadata keys: `taper.version`, `taper.graph`, `taper.preprocess`, `taper.classes`, `taper.provenance`,
//! `taper.task` unless it is classification, and `taper.confidence` if it was measured, whose means are a tensor, too. Reading
//! executes nothing and trusts no length; equal models give equal bytes.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use taper_graph::{Graph, ParamRole};

use crate::confidence::Card;
use crate::tensors::{self, Archive, Precision};
use crate::{Confidence, Error, Familiarity, KeyMap, Model, Result, Task};

const VERSION: &str = "1";

/// The tensors of [`Familiarity`], in half precision.
const FAMILIARITY: [&str; 2] = ["taper.class_means", "taper.class_directions"];

impl Model {
    /// The model file's bytes. With [`Precision::F16`], weights of convolutions and linear layers are rounded to half
    /// precision where they fit it; norms, biases and statistics, which are few and can be tiny or large, stay `f32`.
    ///
    /// # Errors
    /// [`Error::Metadata`] if a part cannot be written as JSON.
    pub fn to_bytes(&self, precision: Precision) -> Result<Vec<u8>> {
        let params = self.graph().params().iter().zip(self.tensors());
        let entries = params.map(|(spec, tensor)| {
            let rounded = spec.role == ParamRole::Weight && tensors::fits_f16(&tensor.data);
            let kept = if rounded { precision } else { Precision::F32 };
            (spec.name.as_str(), tensor, kept)
        });
        let familiarity = self.confidence().and_then(Confidence::familiarity);
        let familiar = familiarity.into_iter().flat_map(|it: &Familiarity| {
            let named = FAMILIARITY.into_iter().zip(it.tensors());
            named.map(|(name, tensor)| (name, tensor, Precision::F16))
        });
        let mut metadata = BTreeMap::from([
            ("taper.version", VERSION.to_owned()),
            ("taper.graph", self.graph().to_json()),
            ("taper.preprocess", json("taper.preprocess", self.preprocess())?),
            ("taper.classes", json("taper.classes", self.classes())?),
            ("taper.provenance", json("taper.provenance", self.provenance())?),
        ]);
        if self.task() != Task::default() {
            metadata.insert("taper.task", json("taper.task", &self.task())?);
        }
        if let Some(confidence) = self.confidence() {
            metadata.insert("taper.confidence", json("taper.confidence", &confidence.card())?);
        }
        Ok(tensors::to_safetensors(entries.chain(familiar), &metadata))
    }

    /// Writes the model file in `f32`, aside and then renamed: it is complete or absent.
    ///
    /// # Errors
    /// As [`Model::to_bytes`], and [`Error::Write`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let (path, bytes) = (path.as_ref(), self.to_bytes(Precision::F32)?);
        taper_files::replace(path, |file| file.write_all(&bytes))
            .map_err(|source| Error::Write { path: path.to_owned(), source })
    }

    /// Reads a model file.
    ///
    /// # Errors
    /// [`Error::File`], whose source says what is wrong.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let read = || Self::from_bytes(&tensors::read_file(path)?);
        read().map_err(|source| Error::File { path: path.to_owned(), source: Box::new(source) })
    }

    /// Reads a model file from memory.
    ///
    /// # Errors
    /// [`Error::Safetensors`] for damaged bytes, [`Error::NoMetadata`] for bare weights, [`Error::Version`],
    /// [`Error::Metadata`], [`Error::Graph`], [`Error::StateDictMismatch`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let Archive { mut tensors, metadata } = Archive::from_safetensors(bytes)?;
        let version = entry(&metadata, "taper.version")?;
        if version != VERSION {
            return Err(Error::Version { got: version.to_owned(), expected: VERSION });
        }
        let graph = Graph::from_json(entry(&metadata, "taper.graph")?)?;
        let preprocess = parse(&metadata, "taper.preprocess")?;
        let classes = parse(&metadata, "taper.classes")?;
        let provenance = parse(&metadata, "taper.provenance")?;
        let task = match metadata.contains_key("taper.task") {
            true => parse(&metadata, "taper.task")?,
            false => Task::default(),
        };
        let confidence = match metadata.contains_key("taper.confidence") {
            true => {
                let card: Card = parse(&metadata, "taper.confidence")?;
                Some(Confidence::read(&card, FAMILIARITY.map(|name| tensors.remove(name)))?)
            }
            false => None,
        };
        let keymap = KeyMap::identity();
        let model = Self::from_tensors(graph, tensors, &keymap, preprocess, classes, provenance)?;
        model.with_task(task).with_confidence(confidence)
    }
}

fn json(key: &'static str, value: &(impl Serialize + ?Sized)) -> Result<String> {
    serde_json::to_string(value).map_err(|source| Error::Metadata { key, source })
}

fn entry<'a>(metadata: &'a BTreeMap<String, String>, key: &'static str) -> Result<&'a str> {
    metadata.get(key).map(String::as_str).ok_or(Error::NoMetadata { key })
}

fn parse<T: DeserializeOwned>(metadata: &BTreeMap<String, String>, key: &'static str) -> Result<T> {
    serde_json::from_str(entry(metadata, key)?).map_err(|source| Error::Metadata { key, source })
}
