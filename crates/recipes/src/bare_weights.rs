//! Weights that somebody trained, in a file that says no network: `NETWORK@FILE`, or `NETWORK@FILE#KEY`.
//!
//! Above: `source`, the binary. Below: `taper_zoo`, `taper_model`. Not here: model files and published weights (`source`).

use std::fs;
use std::path::{Path, PathBuf};

use taper_model::{Model, tensors};
use taper_zoo::Architecture;

use crate::download::zoo;
use crate::error::{Error, Result};

/// What the option `model` of every recipe is for the weights in a file, of torch or safetensors, that are of a network of the zoo
/// and were trained elsewhere. `file#KEY` means the state dict under that key, of a checkpoint that has several.
///
/// # Examples
/// ```
/// use taper_recipes::{PredictOptions, weights_of};
/// let options = PredictOptions::new(weights_of("resnet18", "best.pth"), vec!["a.jpg".into()]);
/// assert_eq!(options.model, "resnet18@best.pth");
/// ```
#[must_use]
pub fn weights_of(network: &str, file: &str) -> String {
    format!("{network}@{file}")
}

/// A network and the file with its weights.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BareWeights {
    architecture: &'static Architecture,
    file: PathBuf,
    key: Option<String>,
}

impl BareWeights {
    /// What a name means, if it is of this form. A file that is called so is that file.
    ///
    /// # Errors
    /// [`Error::Zoo`] for a network that is not known.
    pub(crate) fn parse(name: &str) -> Result<Option<Self>> {
        let Some((network, file)) = name.split_once('@').filter(|_| !Path::new(name).exists())
        else {
            return Ok(None);
        };
        if network.is_empty() || network.contains(std::path::is_separator) || file.is_empty() {
            return Ok(None);
        }
        let architecture = taper_zoo::architecture(network).map_err(zoo)?;
        let (file, key) = match file.rsplit_once('#').filter(|_| !Path::new(file).exists()) {
            Some((file, key)) => (file, Some(key.to_owned())),
            None => (file, None),
        };
        Ok(Some(Self { architecture, file: PathBuf::from(file), key }))
    }

    /// The model, with as many classes as the file's classifier has.
    pub(crate) fn load(&self) -> Result<Model> {
        let path = || self.file.clone();
        let failed = |source| Error::File { action: "read", path: path(), source };
        let bytes = fs::read(&self.file).map_err(failed)?;
        if Model::from_bytes(&bytes).is_ok() {
            return Err(Error::HasNetwork { path: path() });
        }
        let tensors = match &self.key {
            None => tensors::from_bytes(&bytes),
            Some(key) => tensors::state_dict_from_bytes(&bytes, key),
        };
        let tensors = tensors.map_err(|source| match source {
            taper_model::Error::StateDicts { .. } => Error::StateDicts { path: path(), source },
            source => {
                let source = taper_model::Error::File { path: path(), source: Box::new(source) };
                Error::Model { source }
            }
        })?;
        let name = self.file.file_name().unwrap_or_default().to_string_lossy();
        self.architecture.model_of(tensors, &name).map_err(zoo)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use taper_model::Precision;

    use super::*;

    fn parsed(name: &str) -> Option<(&'static str, PathBuf, Option<String>)> {
        let weights = BareWeights::parse(name).unwrap()?;
        Some((weights.architecture.name, weights.file, weights.key))
    }

    #[test]
    fn a_network_and_a_file_are_told_from_names_and_paths() {
        assert_eq!(parsed("resnet18@a/b.pth"), Some(("resnet18", "a/b.pth".into(), None)));
        let key = Some("model.ema".to_owned());
        assert_eq!(parsed("ResNet-18@b.pth#model.ema"), Some(("resnet18", "b.pth".into(), key)));
        for name in ["mobilenetv2_100", "a/b@c.pth", "@b.pth", "resnet18@"] {
            assert_eq!(parsed(name), None, "{name}");
        }
        assert!(BareWeights::parse("resnet81@b.pth").unwrap_err().to_string().contains("resnet18"));
    }

    #[test]
    fn weights_make_a_model_of_as_many_classes_as_their_classifier() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("best.safetensors");
        let graph = taper_zoo::create("mobilenetv2_035", 3).unwrap();
        let model =
            Model::random(graph, 1, taper_model::Preprocess::imagenet(), Vec::new()).unwrap();
        let entries = model.graph().params().iter().zip(model.tensors());
        let entries = entries.map(|(spec, tensor)| (&*spec.name, tensor, Precision::F32));
        let bytes = tensors::to_safetensors(entries, &BTreeMap::new());
        fs::write(&path, bytes).unwrap();
        let load = |network: &str| {
            let name = weights_of(network, path.to_str().unwrap());
            BareWeights::parse(&name).unwrap().unwrap().load()
        };
        let read = load("mobilenetv2_035").unwrap();
        assert_eq!((read.graph(), read.tensors()), (model.graph(), model.tensors()));
        assert_eq!(read.provenance().source, "best.safetensors");
        let error = load("mobilenetv2_050").unwrap_err();
        assert!(error.is_request() && error.to_string().contains("best.safetensors"), "{error}");
        model.save(&path).unwrap();
        assert!(matches!(load("mobilenetv2_035"), Err(Error::HasNetwork { .. })));
    }
}
