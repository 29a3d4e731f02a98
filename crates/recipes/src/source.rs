//! Models by name or by file.
//!
//! Above: `fine_tune`, `evaluate`, `predict`. Below: `bare_weights`, `taper_zoo`, `taper_model`. Not here: changing them (`taper_transfer`).
//! What looks like a path, or is there, is a file; everything else is a name. A file is a model file, or published weights
//! in the format they are published in, told by their hash.

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use sha2::{Digest, Sha256};
use taper_model::{Model, Preprocess, tensors};
use taper_zoo::{Record, Source};

use crate::bare_weights::BareWeights;
use crate::download::{self, zoo};
use crate::error::{Error, Result};
use crate::observer::{Observer, Silent};

/// Classes of a network that comes without weights; its head is replaced anyway.
const CLASSES: usize = 1000;

/// Loads a model file, published weights, or a model of the zoo with its weights, which may have to be downloaded first.
pub(crate) fn load(
    name_or_file: &str,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<Model> {
    if let Some(weights) = BareWeights::parse(name_or_file)? {
        return weights.load();
    }
    if is_file(name_or_file) {
        return of_file(Path::new(name_or_file));
    }
    let record = taper_zoo::record(name_or_file).map_err(zoo)?;
    if taper_zoo::embedded(record).is_some() {
        return taper_zoo::pretrained(record.name).map_err(zoo);
    }
    let listener = &mut download::listener(stop, observer);
    taper_zoo::pretrained_from(record.name, &download::hub()?, listener).map_err(zoo)
}

/// The same without a network: none for a name whose weights are not on this machine.
pub(crate) fn load_here(name_or_file: &str) -> Result<Option<Model>> {
    if let Some(weights) = BareWeights::parse(name_or_file)? {
        return weights.load().map(Some);
    }
    if is_file(name_or_file) {
        return of_file(Path::new(name_or_file)).map(Some);
    }
    let record = match taper_zoo::record(name_or_file) {
        Ok(record) => record,
        Err(taper_zoo::Error::NoWeights { .. }) => return Ok(None),
        Err(error) => return Err(zoo(error)),
    };
    let is_here = taper_zoo::embedded(record).is_some() || record.find(&download::hub()?).is_some();
    is_here.then(|| load(record.name, &AtomicBool::new(false), &mut Silent)).transpose()
}

fn of_file(path: &Path) -> Result<Model> {
    match Model::load(path) {
        Ok(model) => Ok(model),
        Err(source) => match published(path) {
            Some(Ok(model)) => Ok(model),
            Some(Err(error)) => Err(error),
            None => Err(Error::Model { source }),
        },
    }
}

/// The same network with random weights.
pub(crate) fn random(name_or_file: &str, seed: u64) -> Result<Model> {
    let (graph, preprocess, classes) = if let Some(weights) = BareWeights::parse(name_or_file)? {
        let model = weights.load()?.into_parts();
        (model.graph, model.preprocess, model.classes)
    } else if is_file(name_or_file) {
        let model = of_file(Path::new(name_or_file))?.into_parts();
        (model.graph, model.preprocess, model.classes)
    } else {
        let architecture = taper_zoo::architecture(name_or_file).map_err(zoo)?;
        let graph = architecture.graph(CLASSES).map_err(zoo)?;
        let bare =
            Preprocess { input_size: [architecture.input_size; 2], ..Preprocess::imagenet() };
        let preprocess = taper_zoo::record(name_or_file).map_or(bare, |record| record.preprocess);
        (graph, preprocess, Vec::new())
    };
    Model::random(graph, seed, preprocess, classes).map_err(|source| Error::Model { source })
}

/// The model that published weights make, if `path` holds some.
fn published(path: &Path) -> Option<Result<Model>> {
    if !path.is_file() {
        return None;
    }
    let read = |source| Error::File { action: "read", path: path.to_path_buf(), source };
    let sha256 = match fs::read(path) {
        Ok(bytes) => hex(&Sha256::digest(bytes)),
        Err(source) => return Some(Err(read(source))),
    };
    let mut files = taper_zoo::records()
        .iter()
        .flat_map(|record| record.sources.iter().map(move |source| (record, source)));
    let known = files.find(|(_, source)| source.has_sha256(&sha256));
    let is_model_file = path.extension().is_some_and(|extension| extension == "safetensors");
    match known {
        Some((record, source)) => Some(model_of(record, source, path)),
        None if is_model_file => None,
        None => Some(Err(match tensors::read(path) {
            Ok(_) => Error::UnknownWeights { path: path.to_path_buf(), sha256 },
            Err(source) => Error::Model { source },
        })),
    }
}

fn model_of(record: &Record, source: &Source, path: &Path) -> Result<Model> {
    let tensors = tensors::read(path).map_err(|source| Error::Model { source })?;
    record.model(source, tensors).map_err(zoo)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn is_file(name_or_file: &str) -> bool {
    let path = Path::new(name_or_file);
    let extension = path.extension().and_then(|extension| extension.to_str());
    let is_weights = extension.is_some_and(|it| ["safetensors", "pth", "pt"].contains(&it));
    is_weights || name_or_file.contains(std::path::is_separator) || path.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_files_and_words_are_names() {
        assert!(is_file("model.safetensors"));
        assert!(is_file("runs/1"));
        assert!(is_file("Cargo.toml"), "it is there");
        assert!(!is_file("mobilenetv2_100.tv_in1k"));
    }

    #[test]
    fn a_name_without_weights_begins_with_random_ones() {
        let model = random("mobilenetv2_035", 3).unwrap();
        assert_eq!(model.preprocess().input_size, [224, 224]);
        assert_eq!(model, random("mobilenetv2_035", 3).unwrap());
        assert_eq!(load_here("mobilenetv2_035").unwrap(), None);
        assert!(load_here("mobilenetv2_36").unwrap_err().is_request());
        assert_eq!(random("lenet5", 3).unwrap().preprocess().input_size, [32, 32]);
    }
}
