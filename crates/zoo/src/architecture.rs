//! The architectures by name.
//!
//! Above: `create`, `record`. Below: the families' tables. Not here: weights (`record`).
//! Names are timm's; torchvision's are aliases; underscores, hyphens and case do not matter. Parameters and MACs are what timm's modules have for
//! 1000 classes (multiplications of convolutions and linear layers, one MAC each): `tests/generators/zoo.py`.

use taper_graph::{Graph, nearest};

use crate::mobile::Mobile;
use crate::mobile_one::MobileOne;
use crate::rep_vit::RepVit;
use crate::resnet::ResNet;
use crate::vgg::Vgg;
use crate::{Error, Options, Record, Result, records};
use crate::{
    efficientnet, efficientnet_edge, efficientnet_lite, efficientnet_v2, lcnet, lenet, mnasnet,
    mobile_one, mobilenet_v1, mobilenet_v2, mobilenet_v3, mobilenet_v4, rep_vit, resnet, vgg,
};

/// A network without weights.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Architecture {
    /// timm's name: `mobilenetv2_100`.
    pub name: &'static str,
    /// Other names; underscores, hyphens and case do not matter in any.
    pub aliases: &'static [&'static str],
    /// Height and width of the image it was designed for.
    pub input_size: usize,
    /// Trained parameters with 1000 classes.
    pub params: u64,
    /// Multiply-accumulates for one image of `input_size` with 1000 classes.
    pub macs: u64,
    config: ArchitectureConfig,
}

/// What an architecture lowers from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum ArchitectureConfig {
    Mobile(Mobile),
    MobileOne(MobileOne),
    RepVit(RepVit),
    ResNet(ResNet),
    Vgg(Vgg),
    LeNet,
}

/// One line of a family's table of variants.
pub(crate) const fn row(
    name: &'static str,
    aliases: &'static [&'static str],
    input_size: usize,
    config: ArchitectureConfig,
    params: u64,
    macs: u64,
) -> Architecture {
    Architecture { name, aliases, input_size, params, macs, config }
}

/// Architectures of one paper.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Family {
    /// As the paper calls them.
    pub name: &'static str,
    /// The smallest first, mostly.
    pub architectures: &'static [Architecture],
}

const fn family(name: &'static str, architectures: &'static [Architecture]) -> Family {
    Family { name, architectures }
}

const FAMILIES: [Family; 15] = [
    family("MobileNetV1", &mobilenet_v1::ARCHITECTURES),
    family("MobileNetV2", &mobilenet_v2::ARCHITECTURES),
    family("MobileNetV3", &mobilenet_v3::ARCHITECTURES),
    family("MobileNetV4", &mobilenet_v4::ARCHITECTURES),
    family("PP-LCNet", &lcnet::ARCHITECTURES),
    family("MNASNet", &mnasnet::ARCHITECTURES),
    family("EfficientNet", &efficientnet::ARCHITECTURES),
    family("EfficientNet-Lite", &efficientnet_lite::ARCHITECTURES),
    family("EfficientNet-EdgeTPU", &efficientnet_edge::ARCHITECTURES),
    family("EfficientNetV2", &efficientnet_v2::ARCHITECTURES),
    family("MobileOne", &mobile_one::ARCHITECTURES),
    family("RepViT", &rep_vit::ARCHITECTURES),
    family("ResNet", &resnet::ARCHITECTURES),
    family("VGG", &vgg::ARCHITECTURES),
    family("LeNet-5", &lenet::ARCHITECTURES),
];

/// All families.
#[must_use]
pub fn families() -> &'static [Family] {
    &FAMILIES
}

/// All architectures, family by family.
pub fn architectures() -> impl Iterator<Item = &'static Architecture> {
    FAMILIES.iter().flat_map(|family| family.architectures)
}

impl Architecture {
    /// The network for `classes`, with outputs `features`, `pre_logits` and `logits`.
    ///
    /// # Errors
    /// [`Error::Graph`] for no classes.
    pub fn graph(&self, classes: usize) -> Result<Graph> {
        self.graph_with(&Options::classes(classes))
    }

    /// The network, with outputs `features` (the last map), `pre_logits` (the vector before dropout and classifier) and
    /// `logits`.
    ///
    /// # Errors
    /// [`Error::Graph`] for no classes, no channels, or a scaling beyond any network.
    pub fn graph_with(&self, options: &Options) -> Result<Graph> {
        let graph = match &self.config {
            ArchitectureConfig::Mobile(network) => network.lower(options),
            ArchitectureConfig::MobileOne(network) => network.lower(options),
            ArchitectureConfig::RepVit(network) => network.lower(options),
            ArchitectureConfig::ResNet(network) => network.lower(options),
            ArchitectureConfig::Vgg(network) => network.lower(options),
            ArchitectureConfig::LeNet => lenet::lower(options),
        };
        graph
            .map_err(|source| Error::Graph { name: self.name.to_owned(), source: Box::new(source) })
    }

    fn is_called(&self, name: &str) -> bool {
        let spelled = squashed(name);
        std::iter::once(&self.name).chain(self.aliases).any(|known| squashed(known) == spelled)
    }
}

/// A name without case, underscores and hyphens: torchvision's `mobilenet_v3_large`, `EfficientNet-B0`.
pub(crate) fn squashed(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-')).map(|c| c.to_ascii_lowercase()).collect()
}

/// The architecture of that name or alias; a weights tag after a dot is ignored.
///
/// # Errors
/// [`Error::UnknownName`], with the nearest name.
///
/// # Examples
/// ```
/// use taper_zoo::architecture;
/// assert_eq!(architecture("mobilenet_v2")?.name, "mobilenetv2_100");
/// let error = architecture("mobilenetv2_10").unwrap_err();
/// assert!(error.to_string().contains("did you mean `mobilenetv2_100`?"), "{error}");
/// # Ok::<(), taper_zoo::Error>(())
/// ```
pub fn architecture(name: &str) -> Result<&'static Architecture> {
    let bare = name.split_once('.').map_or(name, |(bare, _)| bare);
    let found = architectures().find(|architecture| architecture.is_called(bare));
    found.ok_or_else(|| unknown(name))
}

/// A network by name: architecture, alias, or architecture `.` weights (which are not loaded).
///
/// # Errors
/// [`Error::UnknownName`], [`Error::Graph`] for no classes.
pub fn create(name: &str, classes: usize) -> Result<Graph> {
    architecture(name)?.graph(classes)
}

/// The error for a name that is not there.
pub(crate) fn unknown(name: &str) -> Error {
    let weights = records().iter().map(|record: &Record| record.name);
    let names = architectures().flat_map(|a| a.aliases.iter().copied().chain([a.name]));
    let nearest = nearest(name, names.chain(weights)).unwrap_or_default().to_owned();
    Error::UnknownName { name: name.chars().take(100).collect(), nearest }
}
