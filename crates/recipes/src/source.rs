//! Models by name or by file.
//!
//! Above: `fine_tune`, `evaluate`, `predict`. Below: `bare_weights`, `taper_zoo`, `taper_model`. Not here: changing them (`taper_transfer`).
//! What looks like a path, or is there, is a file; everything else is a name. A file is a model file, or published weights
//! in the format they are published in, told by their hash.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use sha2::{Digest, Sha256};
use taper_graph::Graph;
use taper_model::{Model, Preprocess, tensors};
use taper_train::RunFolder;
use taper_zoo::{Architecture, Record};

use crate::bare_weights::BareWeights;
use crate::download::{self, zoo};
use crate::error::{Error, Result};
use crate::observer::{Observer, Silent};
use crate::shell::shell_quoted;

/// Classes of a network that comes without weights; its head is replaced anyway.
const CLASSES: usize = 1000;

/// Where a model comes from, as a name or a path says: looked up once, read and hashed at most once.
#[derive(Debug, Clone)]
pub(crate) enum ModelSource {
    /// A model file, or published weights.
    File(PathBuf),
    /// Weights that somebody trained, with the name of their network.
    Weights(BareWeights),
    /// Published weights by name, in the binary, on this machine or to be downloaded.
    Published(&'static Record),
    /// A network by name that has no published weights.
    Bare(&'static Architecture),
}

impl ModelSource {
    /// What a name or a path means; nothing is read yet.
    ///
    /// # Errors
    /// [`Error::Zoo`] for a name that is not known.
    pub(crate) fn resolve(name_or_file: &str) -> Result<Self> {
        if let Some(weights) = BareWeights::parse(name_or_file)? {
            return Ok(Self::Weights(weights));
        }
        if let Some(model) = of_run(name_or_file) {
            let expected =
                format!("a name (`taper models`) or a file: here {}", shell_quoted(&model));
            return Err(Error::option("model", &name_or_file, expected));
        }
        if is_file(name_or_file) {
            return Ok(Self::File(PathBuf::from(name_or_file)));
        }
        match taper_zoo::record(name_or_file) {
            Ok(record) => Ok(Self::Published(record)),
            Err(taper_zoo::Error::NoWeights { .. }) => {
                taper_zoo::architecture(name_or_file).map(Self::Bare).map_err(zoo)
            }
            Err(error) => Err(zoo(error)),
        }
    }

    /// The model with its weights, which may have to be downloaded first.
    pub(crate) fn load(&self, stop: &AtomicBool, observer: &mut dyn Observer) -> Result<Model> {
        match self {
            Self::File(path) => of_file(path),
            Self::Weights(weights) => weights.load(),
            Self::Published(record) if taper_zoo::embedded(record).is_some() => {
                taper_zoo::pretrained(record.name).map_err(zoo)
            }
            Self::Published(record) => {
                let listener = &mut download::listener(stop, observer);
                taper_zoo::pretrained_from(record.name, &download::hub()?, listener).map_err(zoo)
            }
            // Says which weights there are.
            Self::Bare(architecture) => match taper_zoo::record(architecture.name) {
                Ok(record) => Self::Published(record).load(stop, observer),
                Err(error) => Err(zoo(error)),
            },
        }
    }

    /// The same without a network: none for weights that are not on this machine.
    pub(crate) fn load_here(&self) -> Result<Option<Model>> {
        let stop = AtomicBool::new(false);
        match self {
            Self::Bare(_) => Ok(None),
            Self::Published(record) if taper_zoo::embedded(record).is_none() => {
                match record.find(&download::hub()?) {
                    Some((source, path)) => record.load(source, &path).map(Some).map_err(zoo),
                    None => Ok(None),
                }
            }
            Self::File(_) | Self::Weights(_) | Self::Published(_) => {
                self.load(&stop, &mut Silent).map(Some)
            }
        }
    }

    /// The network and the size of its images, without reading weights where a name says all.
    pub(crate) fn graph(&self) -> Result<(Graph, [usize; 2])> {
        let of_model = |model: Model| {
            let size = model.preprocess().input_size;
            (model.into_parts().graph, size)
        };
        match self {
            Self::File(path) => of_file(path).map(of_model),
            Self::Weights(weights) => weights.load().map(of_model),
            Self::Published(record) => {
                let architecture = record.architecture().map_err(zoo)?;
                Ok((architecture.graph(CLASSES).map_err(zoo)?, record.preprocess.input_size))
            }
            Self::Bare(architecture) => {
                let graph = architecture.graph(CLASSES).map_err(zoo)?;
                Ok((graph, [architecture.input_size; 2]))
            }
        }
    }

    /// What the published weights reach on ImageNet.
    pub(crate) fn top1(&self) -> Option<f64> {
        match self {
            Self::Published(record) => Some(record.top1),
            Self::File(_) | Self::Weights(_) | Self::Bare(_) => None,
        }
    }

    /// The same network with random weights.
    pub(crate) fn random(&self, seed: u64) -> Result<Model> {
        let (graph, preprocess, classes) = match self {
            Self::File(path) => {
                let model = of_file(path)?.into_parts();
                (model.graph, model.preprocess, model.classes)
            }
            Self::Weights(weights) => {
                let model = weights.load()?.into_parts();
                (model.graph, model.preprocess, model.classes)
            }
            Self::Published(_) | Self::Bare(_) => {
                let (graph, input_size) = self.graph()?;
                let preprocess = match self {
                    Self::Published(record) => record.preprocess,
                    _ => Preprocess { input_size, ..Preprocess::imagenet() },
                };
                (graph, preprocess, Vec::new())
            }
        };
        Model::random(graph, seed, preprocess, classes).map_err(|source| Error::Model { source })
    }
}

/// The model of the run whose folder this is.
fn of_run(name_or_file: &str) -> Option<String> {
    let folder = RunFolder::new(name_or_file);
    (folder.path().is_dir() && folder.model().is_file())
        .then(|| folder.model().display().to_string())
}

/// The model of a model file, or the one that published weights make.
fn of_file(path: &Path) -> Result<Model> {
    let failed = |source: taper_model::Error| {
        let source = taper_model::Error::File { path: path.to_owned(), source: Box::new(source) };
        Error::Model { source }
    };
    let bytes = tensors::read_file(path).map_err(failed)?;
    let error = match Model::from_bytes(&bytes) {
        Ok(model) => return Ok(model),
        Err(error) => error,
    };
    let sha256 = hex(&Sha256::digest(&bytes));
    let mut files = taper_zoo::records()
        .iter()
        .flat_map(|record| record.sources.iter().map(move |source| (record, source)));
    if let Some((record, source)) = files.find(|(_, source)| source.has_sha256(&sha256)) {
        let tensors = tensors::from_bytes(&bytes).map_err(failed)?;
        return record.model(source, tensors).map_err(zoo);
    }
    if path.extension().is_some_and(|extension| extension == "safetensors") {
        return Err(failed(error));
    }
    match tensors::from_bytes(&bytes) {
        Ok(_) => Err(Error::UnknownWeights { path: path.to_path_buf(), sha256 }),
        Err(source) => Err(failed(source)),
    }
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
        let source = |name| ModelSource::resolve(name).unwrap();
        let model = source("mobilenetv2_035").random(3).unwrap();
        assert_eq!(model.preprocess().input_size, [224, 224]);
        assert_eq!(model, source("mobilenetv2_035").random(3).unwrap());
        assert_eq!(source("mobilenetv2_035").load_here().unwrap(), None);
        assert!(ModelSource::resolve("mobilenetv2_36").unwrap_err().is_request());
        assert_eq!(source("lenet5").random(3).unwrap().preprocess().input_size, [32, 32]);
    }
}
