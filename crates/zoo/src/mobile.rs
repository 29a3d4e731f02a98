//! Networks of a stem, stages of blocks and a head: one lowering for every mobile family.
//!
//! Above: the families (`mobilenet_v2`, `mobilenet_v3`, …). Below: `row`, `taper_graph::blocks`. Not here: which rows a
//! family has, networks that are no chain of such blocks.
//! Node names, rounding and the scaling of depth are timm's (1.0.31, `_efficientnet_builder.py`), so that names and shapes of
//! all parameters are too.

mod head;
mod row;

pub(crate) use head::Head;
pub(crate) use row::{
    Kind, Row, attention, conv, fused, mbconv, residual_conv, separable, universal,
};

use taper_graph::blocks::{
    ConvBlock, DepthwiseSeparable, FusedInvertedResidual, InvertedResidual, MobileAttention, Names,
    SqueezeExcite, Style, UniversalInvertedBottleneck, Variation, conv_norm_act,
};
use taper_graph::scaling::{make_divisible, round_half_even};
use taper_graph::{Activation, Conv, Graph, GraphBuilder, NodeId, Result, ScopeKind};

use crate::Options;
use crate::classifier::classify;
use crate::scaling::{Scaling, distribute};

/// A network as its family's table and what the table leaves open.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Mobile {
    pub(crate) stem: Width,
    pub(crate) stages: &'static [&'static [Row]],
    pub(crate) scaling: Scaling,
    /// Scaled channels are never less than this part of what they should be. 0.9 nearly everywhere.
    pub(crate) round_limit: f64,
    /// Whether depth scaling leaves the first and the last stage alone.
    pub(crate) keeps_ends: bool,
    pub(crate) style: Style,
    pub(crate) squeeze: Squeeze,
    pub(crate) head: Head,
    /// Whether universal and attention blocks have a layer scale.
    pub(crate) has_layer_scale: bool,
    /// Probability of dropping before the classifier; 0: no such node.
    pub(crate) dropout: f64,
}

/// A channel count of stem or head.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Width {
    /// As it stands.
    Fixed(usize),
    /// Times the width, rounded.
    Scaled(usize),
    /// Times the width, rounded, but never less than it stands.
    AtLeast(usize),
}

/// What all squeeze-and-excites of a network have in common.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Squeeze {
    /// Whether the ratio is of the expanded channels (`MobileNetV3`) or of the block's input (`EfficientNet`).
    pub(crate) of_expanded: bool,
    /// Whether squeezed channels are multiples of 8.
    pub(crate) is_divisible: bool,
    /// After the first convolution; `None`: the block's.
    pub(crate) activation: Option<Activation>,
    pub(crate) gate: Activation,
}

impl Squeeze {
    /// `EfficientNet`'s; also for families without any.
    pub(crate) const OF_INPUT: Self = Self {
        of_expanded: false,
        is_divisible: false,
        activation: None,
        gate: Activation::Sigmoid,
    };
}

impl Mobile {
    /// What most families have; the stages they have not.
    pub(crate) const BASE: Self = Self {
        stem: Width::Scaled(32),
        stages: &[],
        scaling: Scaling::ONE,
        round_limit: 0.9,
        keeps_ends: false,
        style: Style { activation: Activation::Relu, eps: 1e-5, momentum: 0.1, tf_padding: false },
        squeeze: Squeeze::OF_INPUT,
        head: Head::ConvPool(Width::Fixed(1280)),
        has_layer_scale: false,
        dropout: 0.0,
    };

    /// The network, with outputs `features`, `pre_logits` and `logits`.
    pub(crate) fn lower(&self, options: &Options) -> Result<Graph> {
        let network = Self { scaling: self.scaling.times(options.scaling), ..*self };
        let mut b = GraphBuilder::new(options.in_channels)?;
        let input = b.input();
        let mut xs = b.scope(ScopeKind::Stem, "stem", |b| {
            let names = Names { conv: "conv_stem", norm: "bn1", activation: Some("act1") };
            let conv = Conv::dense(network.width(network.stem), 3, 2);
            conv_norm_act(b, names, input, conv, &network.style)
        })?;
        for (stage_idx, rows) in network.stages.iter().enumerate() {
            xs = network.stage(&mut b, stage_idx, rows, xs)?;
        }
        let pre_logits = b.scope(ScopeKind::Head, "head", |b| network.head(b, xs))?;
        b.output("pre_logits", pre_logits)?;
        let names = ["drop", "classifier"];
        classify(&mut b, names, pre_logits, network.dropout, options.classes)?;
        b.build()
    }

    fn channels(&self, c: usize) -> usize {
        make_divisible(c as f64 * self.scaling.width_mult, 8, self.round_limit)
    }

    fn width(&self, width: Width) -> usize {
        match width {
            Width::Fixed(c) => c,
            Width::Scaled(c) => self.channels(c),
            Width::AtLeast(c) => self.channels(c).max(c),
        }
    }

    fn stage(
        &self,
        b: &mut GraphBuilder,
        stage_idx: usize,
        rows: &[Row],
        mut xs: NodeId,
    ) -> Result<NodeId> {
        let is_end = stage_idx == 0 || stage_idx + 1 == self.stages.len();
        let depth_mult = if self.keeps_ends && is_end { 1.0 } else { self.scaling.depth_mult };
        let repeats: Vec<usize> = rows.iter().map(|row| row.repeats).collect();
        let stage = format!("blocks.{stage_idx}");
        b.scope(ScopeKind::Stage, &stage, |b| {
            let mut block_idx = 0;
            for (row, n) in rows.iter().zip(distribute(&repeats, depth_mult)) {
                for _ in 0..n {
                    // Only the first block of a stage moves further than one position.
                    let stride = if block_idx == 0 { row.stride } else { 1 };
                    let name = format!("{stage}.{block_idx}");
                    xs = self.block(b, &name, xs, &Row { stride, ..*row })?;
                    block_idx += 1;
                }
            }
            Ok(xs)
        })
    }

    fn block(&self, b: &mut GraphBuilder, name: &str, xs: NodeId, row: &Row) -> Result<NodeId> {
        let activation = row.activation.unwrap_or(self.style.activation);
        let style = Style { activation, ..self.style };
        let (kernel_size, stride, out) = (row.kernel_size, row.stride, self.channels(row.out));
        let expanded = match row.kind {
            Kind::FusedInvertedResidual { base: Some(c), .. } => {
                row.kind.expanded(self.channels(c))
            }
            kind => kind.expanded(b.channels(xs)),
        };
        let Row { has_residual, is_linear, .. } = *row;
        let has_layer_scale = self.has_layer_scale && row.kind.can_scale_layers();
        let squeeze_excite = self.squeeze_excite(row, expanded, activation);
        let variation = Variation { squeeze_excite, has_residual, is_linear, has_layer_scale };
        match row.kind {
            Kind::Conv => {
                ConvBlock { out, kernel_size, stride }.build(b, name, xs, &style, &variation)
            }
            Kind::DepthwiseSeparable => DepthwiseSeparable { out, kernel_size, stride }
                .build_with(b, name, xs, &style, &variation),
            Kind::InvertedResidual { .. } => {
                InvertedResidual { expanded, out, kernel_size, stride }
                    .build_with(b, name, xs, &style, &variation)
            }
            Kind::FusedInvertedResidual { .. } => {
                FusedInvertedResidual { expanded, out, kernel_size, stride }
                    .build(b, name, xs, &style, &variation)
            }
            Kind::Attention { heads, head_channels, kv_stride } => {
                MobileAttention { heads, head_channels, kernel_size, kv_stride }
                    .build(b, name, xs, &style, &variation)
            }
            Kind::Universal { start, .. } => {
                UniversalInvertedBottleneck { start, middle: kernel_size, expanded, out, stride }
                    .build(b, name, xs, &style, &variation)
            }
        }
    }

    fn squeeze_excite(
        &self,
        row: &Row,
        expanded: usize,
        activation: Activation,
    ) -> Option<SqueezeExcite> {
        let of_block = if self.squeeze.of_expanded { 1.0 } else { row.kind.expand_ratio() };
        let ratio = row.squeeze_ratio / of_block;
        let squeezed = expanded as f64 * ratio;
        (ratio > 0.0).then(|| SqueezeExcite {
            squeezed: match self.squeeze.is_divisible {
                true => make_divisible(squeezed, 8, 0.9),
                false => round_half_even(squeezed),
            },
            activation: self.squeeze.activation.unwrap_or(activation),
            gate: self.squeeze.gate,
        })
    }
}
