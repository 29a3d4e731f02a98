//! How other projects number what timm names, as tables.
//!
//! Above: the zoo's records. Below: `taper_graph`'s scopes. Not here: applying a table (`keymap`).
//! A template has three numbers in braces: `{n}` of a block from the first to the last of the network, `{stage}`, and
//! `{block}` inside its stage; outside of blocks, `{n}` and `{stage}` are those after the last. A block takes the first
//! table that names all its layers and no other. Weights belong to norms: which eps a project trained with is in its table too.
//! Source: torchvision 0.26 `models/{mobilenetv2,mobilenetv3,efficientnet,mnasnet,vgg}.py`; `efficientnet_lite_pytorch` 0.1.0 `model.py`.

use std::collections::BTreeSet;

use taper_graph::{Graph, ScopeKind};

use super::KeyMap;
use super::trained::{Depth, Norms, Paddings, Trained};
use crate::Result;

/// A project's names for the networks of a family, at any depth.
///
/// # Examples
/// ```
/// use taper_graph::{Bias, Conv, GraphBuilder, ScopeKind};
/// use taper_model::Naming;
/// # fn main() -> taper_graph::Result<()> {
/// let mut b = GraphBuilder::new(3)?;
/// let xs = b.scope(ScopeKind::Block, "blocks.0.0", |b| {
///     let xs = b.conv("blocks.0.0.conv", b.input(), Conv::dense(8, 1, 1), Bias::Without)?;
///     b.batch_norm("blocks.0.0.bn1", xs, 1e-3, 0.1)
/// })?;
/// b.output("features", xs)?;
/// let map = Naming::TORCHVISION_MOBILENET_V3.keymap(&b.build()?);
/// assert_eq!(map.rename("features.1.1.bias"), "blocks.0.0.bn1.bias");
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Naming {
    /// What stands outside of blocks: module of the file, node of the graph.
    outside: &'static [(&'static str, &'static str)],
    /// Nodes that are linear layers in the file and convolutions here.
    linear: &'static [&'static str],
    /// Number of the first block and of the first stage.
    first: [usize; 2],
    kinds: &'static [Kind],
    /// Norms of the project's networks, by depth, the deepest first.
    norms: &'static [(Depth, Norms)],
    paddings: Paddings,
}

/// One kind of block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kind {
    /// Template of the block's module.
    at: &'static str,
    /// Module in the block, layer of the block here.
    layers: &'static [(&'static str, &'static str)],
}

/// torchvision's layers of an inverted residual with squeeze-and-excite and without, and of one that does not expand.
const EXPANDED_SE: &[(&str, &str)] = &[
    ("0.0", "conv_pw"),
    ("0.1", "bn1"),
    ("1.0", "conv_dw"),
    ("1.1", "bn2"),
    ("2.fc1", "se.conv_reduce"),
    ("2.fc2", "se.conv_expand"),
    ("3.0", "conv_pwl"),
    ("3.1", "bn3"),
];
const EXPANDED: &[(&str, &str)] = &[
    ("0.0", "conv_pw"),
    ("0.1", "bn1"),
    ("1.0", "conv_dw"),
    ("1.1", "bn2"),
    ("2.0", "conv_pwl"),
    ("2.1", "bn3"),
];
const UNEXPANDED_SE: &[(&str, &str)] = &[
    ("0.0", "conv_dw"),
    ("0.1", "bn1"),
    ("1.fc1", "se.conv_reduce"),
    ("1.fc2", "se.conv_expand"),
    ("2.0", "conv_pw"),
    ("2.1", "bn2"),
];
const UNEXPANDED: &[(&str, &str)] =
    &[("0.0", "conv_dw"), ("0.1", "bn1"), ("1.0", "conv_pw"), ("1.1", "bn2")];
/// Fused with its expansion, and without one.
const FUSED: &[(&str, &str)] =
    &[("0.0", "conv_exp"), ("0.1", "bn1"), ("1.0", "conv_pwl"), ("1.1", "bn2")];
const CONV: &[(&str, &str)] = &[("0.0", "conv"), ("0.1", "bn1")];

impl Naming {
    /// `mobilenet_v2`: `features.N` is the N-th block, between stem and head.
    pub const TORCHVISION_MOBILENET_V2: Self = Self {
        outside: &[
            ("features.0.0", "conv_stem"),
            ("features.0.1", "bn1"),
            ("features.{n}.0", "conv_head"),
            ("features.{n}.1", "bn2"),
            ("classifier.1", "classifier"),
        ],
        linear: &[],
        first: [1, 0],
        kinds: &[
            Kind {
                at: "features.{n}.conv",
                layers: &[
                    ("0.0", "conv_pw"),
                    ("0.1", "bn1"),
                    ("1.0", "conv_dw"),
                    ("1.1", "bn2"),
                    ("2", "conv_pwl"),
                    ("3", "bn3"),
                ],
            },
            Kind {
                at: "features.{n}.conv",
                layers: &[("0.0", "conv_dw"), ("0.1", "bn1"), ("1", "conv_pw"), ("2", "bn2")],
            },
        ],
        norms: &[(Depth::Any, Norms::PYTORCH)],
        paddings: Paddings::Symmetric,
    };

    /// `mobilenet_v3_*`: the last convolution counts as a block here, and the head is a linear layer there.
    pub const TORCHVISION_MOBILENET_V3: Self = Self {
        outside: &[
            ("features.0.0", "conv_stem"),
            ("features.0.1", "bn1"),
            ("classifier.0", "conv_head"),
            ("classifier.3", "classifier"),
        ],
        linear: &["conv_head"],
        first: [1, 0],
        kinds: &[
            Kind { at: "features.{n}.block", layers: EXPANDED_SE },
            Kind { at: "features.{n}.block", layers: EXPANDED },
            Kind { at: "features.{n}.block", layers: UNEXPANDED_SE },
            Kind { at: "features.{n}.block", layers: UNEXPANDED },
            Kind { at: "features.{n}", layers: &[("0", "conv"), ("1", "bn1")] },
        ],
        norms: &[(Depth::Any, Norms { eps: 1e-3, momentum: Some(0.01) })],
        paddings: Paddings::Symmetric,
    };

    /// `efficientnet_b*` and `efficientnet_v2_*`: `features.S.B` is block B of the S-th stage.
    pub const TORCHVISION_EFFICIENTNET: Self = Self {
        outside: &[
            ("features.0.0", "conv_stem"),
            ("features.0.1", "bn1"),
            ("features.{stage}.0", "conv_head"),
            ("features.{stage}.1", "bn2"),
            ("classifier.1", "classifier"),
        ],
        linear: &[],
        first: [0, 1],
        kinds: &[
            Kind { at: "features.{stage}.{block}.block", layers: EXPANDED_SE },
            Kind { at: "features.{stage}.{block}.block", layers: UNEXPANDED_SE },
            Kind { at: "features.{stage}.{block}.block", layers: FUSED },
            Kind { at: "features.{stage}.{block}.block", layers: CONV },
        ],
        norms: &[
            (Depth::Fused, Norms { eps: 1e-3, momentum: Some(0.1) }), // V2
            (Depth::Blocks(39), Norms { eps: 1e-3, momentum: Some(0.01) }), // B5 to B7
            (Depth::Any, Norms::PYTORCH),
        ],
        paddings: Paddings::Symmetric,
    };

    /// `mnasnet*`: one sequence of layers, activations counted, in which the first block has no module of its own.
    pub const TORCHVISION_MNASNET: Self = Self {
        outside: &[
            ("layers.0", "conv_stem"),
            ("layers.1", "bn1"),
            ("layers.{stage}", "conv_head"),
            ("layers.15", "bn2"),
            ("classifier.1", "classifier"),
        ],
        linear: &[],
        first: [0, 7],
        kinds: &[
            Kind {
                at: "layers.{stage}.{block}.layers",
                layers: &[
                    ("0", "conv_pw"),
                    ("1", "bn1"),
                    ("3", "conv_dw"),
                    ("4", "bn2"),
                    ("6", "conv_pwl"),
                    ("7", "bn3"),
                ],
            },
            Kind {
                at: "layers",
                layers: &[("3", "conv_dw"), ("4", "bn1"), ("6", "conv_pw"), ("7", "bn2")],
            },
        ],
        norms: &[(Depth::Any, Norms { eps: 1e-5, momentum: Some(3e-4) })],
        paddings: Paddings::Symmetric,
    };

    /// `vgg*`: two of the linear layers are convolutions here.
    pub const TORCHVISION_VGG: Self = Self {
        outside: &[
            ("classifier.0", "pre_logits.fc1"),
            ("classifier.3", "pre_logits.fc2"),
            ("classifier.6", "head.fc"),
        ],
        linear: &["pre_logits.fc1", "pre_logits.fc2"],
        first: [0, 0],
        kinds: &[],
        norms: &[(Depth::Any, Norms::PYTORCH)],
        paddings: Paddings::Symmetric,
    };

    /// `efficientnet_lite_pytorch`: `_blocks.N`, numbered through from 0.
    pub const EFFICIENTNET_LITE_PYTORCH: Self = Self {
        outside: &[
            ("_conv_stem", "conv_stem"),
            ("_bn0", "bn1"),
            ("_conv_head", "conv_head"),
            ("_bn1", "bn2"),
            ("_fc", "classifier"),
        ],
        linear: &[],
        first: [0, 0],
        kinds: &[
            Kind {
                at: "_blocks.{n}",
                layers: &[
                    ("_expand_conv", "conv_pw"),
                    ("_bn0", "bn1"),
                    ("_depthwise_conv", "conv_dw"),
                    ("_bn1", "bn2"),
                    ("_project_conv", "conv_pwl"),
                    ("_bn2", "bn3"),
                ],
            },
            Kind {
                at: "_blocks.{n}",
                layers: &[
                    ("_depthwise_conv", "conv_dw"),
                    ("_bn1", "bn1"),
                    ("_project_conv", "conv_pw"),
                    ("_bn2", "bn2"),
                ],
            },
        ],
        norms: &[(Depth::Any, Norms { eps: 1e-3, momentum: None })],
        paddings: Paddings::TensorFlow,
    };

    /// The table for one network. Blocks of a kind that the project does not have keep their names.
    #[must_use]
    pub fn keymap(&self, graph: &Graph) -> KeyMap {
        let mut pairs = Vec::new();
        let [mut n, mut stage] = self.first;
        let (mut stage_name, mut block_idx) = (None, 0);
        for scope in graph.scopes().iter().filter(|scope| scope.kind() == ScopeKind::Block) {
            let parent = scope.name().rsplit_once('.').map(|(parent, _)| parent);
            if stage_name.is_some() && stage_name != Some(parent) {
                (stage, block_idx) = (stage + 1, 0);
            }
            stage_name = Some(parent);
            pairs.extend(self.block(graph, scope.name(), [n, stage, block_idx]));
            (n, block_idx) = (n + 1, block_idx + 1);
        }
        let after = [n, stage + 1, 0];
        let outside = self.outside.iter();
        pairs.extend(outside.map(|(module, node)| (filled(module, after), (*node).to_owned())));
        let map = KeyMap::from_pairs(pairs).with_linear(self.linear.iter().copied());
        map.with_trained(self.trained(graph))
    }

    /// The network with the norms that the project's weights were trained with; [`KeyMap`]s of this naming refuse all others.
    ///
    /// # Errors
    /// Never, for a graph that is one.
    pub fn with_norms(&self, graph: &Graph) -> Result<Graph> {
        self.trained(graph).norms.map_or_else(|| Ok(graph.clone()), |norms| norms.of(graph))
    }

    /// How the project's weights for a network of this depth were trained.
    fn trained(&self, graph: &Graph) -> Trained {
        let is_block = |scope: &&taper_graph::Scope| scope.kind() == ScopeKind::Block;
        let blocks = graph.scopes().iter().filter(is_block).count();
        let is_fused = || graph.nodes().iter().any(|node| node.name().ends_with(".conv_exp"));
        let is_this = |depth: Depth| match depth {
            Depth::Fused => is_fused(),
            Depth::Blocks(fewest) => blocks >= fewest,
            Depth::Any => true,
        };
        let found = self.norms.iter().find(|(depth, _)| is_this(*depth));
        Trained { norms: found.map(|(_, norms)| *norms), paddings: Some(self.paddings) }
    }

    /// The pairs of one block.
    fn block(&self, graph: &Graph, name: &str, numbers: [usize; 3]) -> Vec<(String, String)> {
        let layers = layers(graph, name);
        let is_this = |kind: &&Kind| {
            kind.layers.len() == layers.len()
                && kind.layers.iter().all(|(_, layer)| layers.contains(layer))
        };
        let Some(kind) = self.kinds.iter().find(is_this) else { return Vec::new() };
        let at = filled(kind.at, numbers);
        let pair =
            |(module, layer): &(&str, &str)| (format!("{at}.{module}"), format!("{name}.{layer}"));
        kind.layers.iter().map(pair).collect()
    }
}

/// The layers of a block that own parameters, by their names in it.
fn layers<'g>(graph: &'g Graph, block: &str) -> BTreeSet<&'g str> {
    let nodes = graph.nodes().iter().filter(|node| !node.params().is_empty());
    let inside = nodes.filter_map(|node| node.name().strip_prefix(block)?.strip_prefix('.'));
    inside.collect()
}

fn filled(template: &str, [n, stage, block]: [usize; 3]) -> String {
    template
        .replace("{n}", &n.to_string())
        .replace("{stage}", &stage.to_string())
        .replace("{block}", &block.to_string())
}
