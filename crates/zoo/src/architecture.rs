//! The architectures by name.
//!
//! Above: `create`, `record`. Below: `mobilenet_v2`. Not here: weights (`record`).
//! Names are timm's; torchvision's and underscored spellings are aliases. Parameters and MACs are what timm 1.0's modules have
//! for 1000 classes at 224x224 (multiplications of convolutions and linear layers, one MAC each).

use taper_graph::Graph;

use crate::mobilenet_v2::{Scaling, mobilenet_v2};
use crate::{Error, Record, Result, records};

/// A network without weights.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Architecture {
    /// timm's name: `mobilenetv2_100`.
    pub name: &'static str,
    /// Other spellings.
    pub aliases: &'static [&'static str],
    /// Trained parameters with 1000 classes.
    pub params: u64,
    /// Multiply-accumulates for one 224x224 image with 1000 classes.
    pub macs: u64,
    scaling: Scaling,
}

const fn row(
    name: &'static str,
    aliases: &'static [&'static str],
    [width_mult, depth_mult]: [f64; 2],
    params: u64,
    macs: u64,
) -> Architecture {
    Architecture { name, aliases, params, macs, scaling: Scaling { width_mult, depth_mult } }
}

#[rustfmt::skip]
const ARCHITECTURES: [Architecture; 7] = [
    //   name                aliases                                              width depth      params         MACs
    row("mobilenetv2_035",  &["mobilenet_v2_035"],                                [0.35, 1.0], 1_677_128,  59_285_808),
    row("mobilenetv2_050",  &["mobilenet_v2_050"],                                [0.50, 1.0], 1_968_680,  97_131_840),
    row("mobilenetv2_075",  &["mobilenet_v2_075"],                                [0.75, 1.0], 2_636_424, 209_069_792),
    row("mobilenetv2_100",  &["mobilenet_v2", "mobilenet_v2_100", "mobilenetv2"], [1.00, 1.0], 3_504_872, 300_774_272),
    row("mobilenetv2_110d", &["mobilenet_v2_110d"],                               [1.10, 1.2], 4_516_520, 430_516_080),
    row("mobilenetv2_120d", &["mobilenet_v2_120d"],                               [1.20, 1.4], 5_831_144, 668_857_568),
    row("mobilenetv2_140",  &["mobilenet_v2_140"],                                [1.40, 1.0], 6_108_776, 582_195_824),
];

/// All architectures, narrow to wide.
#[must_use]
pub fn architectures() -> &'static [Architecture] {
    &ARCHITECTURES
}

impl Architecture {
    /// The network for `classes`, with outputs `features`, `pre_logits` and `logits`.
    ///
    /// # Errors
    /// [`Error::Graph`] for no classes.
    pub fn graph(&self, classes: usize) -> Result<Graph> {
        mobilenet_v2(self.scaling, classes)
            .map_err(|source| Error::Graph { name: self.name.to_owned(), source: Box::new(source) })
    }

    fn is_called(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
    }
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
    let found = ARCHITECTURES.iter().find(|architecture| architecture.is_called(bare));
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
    let names = ARCHITECTURES.iter().flat_map(|a| a.aliases.iter().copied().chain([a.name]));
    let near = |candidate: &&str| distance(name, candidate);
    let nearest = names.chain(weights).min_by_key(near).unwrap_or_default().to_owned();
    Error::UnknownName { name: name.chars().take(100).collect(), nearest }
}

/// Levenshtein's distance of the first hundred characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().take(100).enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
