//! One line of the tables of weights.
//!
//! Above: `published`, `added`. Below: `record`. Not here: the lines.
//! Macros, because only a literal of structures lives as long as the program.

/// Mean and standard deviation of red, green and blue.
pub(super) type Colors = [[f32; 3]; 2];

/// ImageNet's own.
pub(super) const IMAGENET: Colors = [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]];
/// From −1 to 1.
pub(super) const HALF: Colors = [[0.5; 3]; 2];
/// From 0 to 1.
pub(super) const PLAIN: Colors = [[0.0; 3], [1.0; 3]];
/// Bytes less 127, over 128.
pub(super) const TF_LITE: Colors = [[127.0 / 255.0; 3], [128.0 / 255.0; 3]];

/// A record; columns as in `published`.
macro_rules! row {
    (
        $name:literal, [$($alias:literal),*], $size:literal, $macs:literal, $crop_pct:expr,
        $kernel:ident, $colors:ident, $top1:literal, $licence:literal, [$($file:expr),* $(,)?]
    ) => {
        $crate::Record {
            name: $name,
            aliases: &[$($alias),*],
            preprocess: taper_model::Preprocess {
                input_size: [$size; 2],
                mean: $crate::record::row::$colors[0],
                std: $crate::record::row::$colors[1],
                crop_pct: $crop_pct,
                interpolation: taper_model::Interpolation::$kernel,
            },
            macs: $macs,
            top1: $top1,
            licence: $licence,
            sources: &[$($file),*],
        }
    };
}

/// `model.safetensors` of a repository on the hub, of which only the server knows the hash, unless it is given.
macro_rules! hub {
    ($repo:literal) => {
        $crate::record::row::hub!($repo, "")
    };
    ($repo:literal, $sha256:literal) => {
        $crate::WeightsSource {
            place: $crate::Place::Hub { repo: $repo, file: "model.safetensors" },
            sha256: $sha256,
            keys: $crate::Keys::Timm,
        }
    };
}

/// A file on the web, its hash or the beginning of it, and whose names its tensors have.
macro_rules! url {
    ($url:literal, $sha256:literal, $keys:ident) => {
        $crate::WeightsSource {
            place: $crate::Place::Url($url),
            sha256: $sha256,
            keys: $crate::Keys::$keys,
        }
    };
}

/// A file in a Python package: its name, version, path, hash, and whose names its tensors have.
macro_rules! package {
    ($package:literal, $version:literal, $path:literal, $sha256:literal, $keys:ident) => {
        $crate::WeightsSource {
            place: $crate::Place::Python { package: $package, version: $version, path: $path },
            sha256: $sha256,
            keys: $crate::Keys::$keys,
        }
    };
}

pub(super) use {hub, package, row, url};
