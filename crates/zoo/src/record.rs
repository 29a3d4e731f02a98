//! Published weights: what they are, what they expect, where they are, and under which licence.
//!
//! Above: `pretrained`, `obtain`, xtask's `weights`. Below: `architecture`, `record::{published, added}`. Not here: downloading
//! (`hub`), the bytes (`taper-weights-mobilenet-v2`).

mod added;
mod published;
mod row;
mod source;

use std::collections::BTreeMap;

use taper_graph::Graph;
use taper_model::{Model, Preprocess, Provenance, Tensor};

use crate::architecture::unknown;
use crate::{Architecture, Error, Options, Result, architecture, imagenet};
use added::ADDED;
use published::PUBLISHED;
pub use source::{Check, Keys, Place, WeightsSource};

/// One set of weights, for ImageNet's 1000 classes.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Record {
    /// Architecture `.` weights.
    pub name: &'static str,
    /// Other spellings.
    pub aliases: &'static [&'static str],
    /// How images are prepared to evaluate: the size and the crop that `top1` was measured with, which may be larger than
    /// those of training.
    pub preprocess: Preprocess,
    /// Multiply-accumulates of one image of that size.
    pub macs: u64,
    /// Accuracy on ImageNet's validation set as published, 0 to 1.
    pub top1: f64,
    /// SPDX name of the licence of the weights, or the name that its publisher gives it.
    pub licence: &'static str,
    /// Files with these weights, in the order to try.
    pub sources: &'static [WeightsSource],
}

const N: usize = PUBLISHED.len() + ADDED.len();
static RECORDS: [Record; N] = joined();

const fn joined() -> [Record; N] {
    let mut all = [PUBLISHED[0]; N];
    let mut record_idx = 0;
    while record_idx < N {
        all[record_idx] = match record_idx.checked_sub(PUBLISHED.len()) {
            None => PUBLISHED[record_idx],
            Some(added_idx) => ADDED[added_idx],
        };
        record_idx += 1;
    }
    all
}

/// All weights.
#[must_use]
pub fn records() -> &'static [Record] {
    &RECORDS
}

/// The weights of that name or of an alias, `efficientnet_v2_s.tv_in1k` too; a bare architecture name or alias means its default weights, which are the first in [`records`].
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
    let wanted = architecture(name)?;
    let mut of = records().iter().filter(|record| record.architecture_name() == wanted.name);
    match name.split_once('.') {
        Some((_, tag)) => of.find(|record| record.tag() == tag).ok_or_else(|| unknown(name)),
        None => of.next().ok_or_else(|| Error::NoWeights { name: wanted.name.to_owned() }),
    }
}

impl Record {
    /// The part of the name before the dot.
    #[must_use]
    pub fn architecture_name(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(bare, _)| bare)
    }

    /// The part of the name behind the dot: who trained the weights, and on what.
    #[must_use]
    pub fn tag(&self) -> &'static str {
        self.name.split_once('.').map_or("", |(_, tag)| tag)
    }

    /// The network the weights are for.
    ///
    /// # Errors
    /// Never, for the records of this crate.
    pub fn architecture(&self) -> Result<&'static Architecture> {
        architecture(self.name)
    }

    /// The network with the norms that the weights were trained with: torchvision's MobileNetV3, MnasNet and larger EfficientNets
    /// have others than the architecture, which are timm's.
    ///
    /// # Errors
    /// As [`Architecture::graph_with`].
    pub fn graph_with(&self, options: &Options) -> Result<Graph> {
        let graph = self.architecture()?.graph_with(options)?;
        let Some(naming) = self.sources.iter().find_map(|source| source.keys.naming()) else {
            return Ok(graph);
        };
        naming
            .with_norms(&graph)
            .map_err(|source| Error::Model { name: self.name.to_owned(), source: Box::new(source) })
    }

    /// The model that the tensors of one of [`Record::sources`] make.
    ///
    /// # Errors
    /// [`Error::Model`] with every tensor that is missing, surplus or misshapen.
    pub fn model(
        &self,
        source: &WeightsSource,
        tensors: BTreeMap<String, Tensor>,
    ) -> Result<Model> {
        let classes = imagenet::classes();
        let graph = self.graph_with(&Options::classes(classes.len()))?;
        let keymap = source.keys.keymap(&graph);
        let provenance = Provenance {
            source: self.name.to_owned(),
            sha256: (!source.sha256.is_empty()).then(|| source.sha256.to_owned()),
            licence: Some(self.licence.to_owned()),
            training: None,
        };
        Model::from_tensors(graph, tensors, &keymap, self.preprocess, classes, provenance)
            .map_err(|source| Error::Model { name: self.name.to_owned(), source: Box::new(source) })
    }
}
