//! Shape inference: the one place that knows what an operation does to sizes.
//!
//! Above: `builder` (channels known, image size not), `Graph::extents` (everything known). Below: `shape::check`, `window`.
//! Not here: parameters' shapes (`param`), how channels depend on channels (`flow`).
//! The batch is implicit; a 1-D signal is a map of height 1.

mod check;

use serde::Serialize;

use crate::window::Rule;
use crate::{Conv, Error, Op, Result, SizeFormula, Window};
pub(crate) use check::MAX_ELEMENTS;
use check::Site;

/// Size of a node's output for one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    /// `(h, w, c)`.
    Map {
        /// Rows.
        h: usize,
        /// Columns.
        w: usize,
        /// Channels.
        c: usize,
    },
    /// `(c)`.
    Vector {
        /// Channels.
        c: usize,
    },
}

impl Extent {
    /// Channels.
    #[must_use]
    pub fn channels(&self) -> usize {
        match *self {
            Self::Map { c, .. } | Self::Vector { c } => c,
        }
    }

    /// Rows and columns; `[1, 1]` for a vector.
    #[must_use]
    pub fn size(&self) -> [usize; 2] {
        match *self {
            Self::Map { h, w, .. } => [h, w],
            Self::Vector { .. } => [1, 1],
        }
    }

    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        let [h, w] = self.size();
        h * w * self.channels()
    }

    /// Whether there are no elements; never, in an extent that was inferred.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Op {
    /// The sliding window, of operations that have one.
    #[must_use]
    pub fn window(&self) -> Option<&Window> {
        self.ruled_window().map(|(window, _)| window)
    }

    /// How the output's size along h and w follows from a map of `size`, for operations with a sliding window.
    #[must_use]
    pub fn size_formulas(&self, size: [usize; 2]) -> Option<[SizeFormula; 2]> {
        self.ruled_window().map(|(window, rule)| window.ruled(size, rule))
    }

    /// The same to be changed; what follows from it, as a transposed convolution's output padding, stays.
    #[must_use]
    pub fn window_mut(&mut self) -> Option<&mut Window> {
        match self {
            Self::Conv(conv) | Self::ConvTranspose { conv, .. } => Some(&mut conv.window),
            Self::Pool { window, .. } | Self::LpPool { window, .. } | Self::BlurPool { window } => {
                Some(window)
            }
            Self::Input { .. }
            | Self::Linear { .. }
            | Self::BatchNorm { .. }
            | Self::GroupNorm { .. }
            | Self::LayerNorm { .. }
            | Self::ChannelScale
            | Self::Activation(_)
            | Self::AdaptivePool { .. }
            | Self::GlobalPool { .. }
            | Self::Add
            | Self::Mul
            | Self::Scale { .. }
            | Self::Concat
            | Self::Slice { .. }
            | Self::Shuffle { .. }
            | Self::Flatten
            | Self::Pad { .. }
            | Self::Resize { .. }
            | Self::Attention { .. }
            | Self::Dropout { .. }
            | Self::DropPath { .. } => None,
        }
    }

    fn ruled_window(&self) -> Option<(&Window, Rule)> {
        match self {
            Self::Conv(conv) => Some((&conv.window, Rule::Floor)),
            Self::ConvTranspose { conv, output_padding } => {
                Some((&conv.window, Rule::Transposed { output_padding: *output_padding }))
            }
            Self::Pool { window, ceil, .. } | Self::LpPool { window, ceil, .. } => {
                Some((window, if *ceil { Rule::Ceil } else { Rule::Floor }))
            }
            Self::BlurPool { window } => Some((window, Rule::Floor)),
            Self::Input { .. }
            | Self::Linear { .. }
            | Self::BatchNorm { .. }
            | Self::GroupNorm { .. }
            | Self::LayerNorm { .. }
            | Self::ChannelScale
            | Self::Activation(_)
            | Self::AdaptivePool { .. }
            | Self::GlobalPool { .. }
            | Self::Add
            | Self::Mul
            | Self::Scale { .. }
            | Self::Concat
            | Self::Slice { .. }
            | Self::Shuffle { .. }
            | Self::Flatten
            | Self::Pad { .. }
            | Self::Resize { .. }
            | Self::Attention { .. }
            | Self::Dropout { .. }
            | Self::DropPath { .. } => None,
        }
    }
}

/// What is known of an extent while building: channels always, the size of a map sometimes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) channels: usize,
    pub(crate) space: Space,
}

/// The positions of an extent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Space {
    Vector,
    Map(Option<[usize; 2]>),
}

impl Known {
    pub(crate) fn map(channels: usize, size: Option<[usize; 2]>) -> Self {
        Self { channels, space: Space::Map(size) }
    }

    fn vector(channels: usize) -> Self {
        Self { channels, space: Space::Vector }
    }

    /// The extent, once the image's size is known; an operation that still depends on it is a bug of this file.
    pub(crate) fn extent(self) -> Option<Extent> {
        match self.space {
            Space::Vector => Some(Extent::Vector { c: self.channels }),
            Space::Map(Some([h, w])) => Some(Extent::Map { h, w, c: self.channels }),
            Space::Map(None) => None,
        }
    }
}

impl std::fmt::Display for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.space {
            Space::Vector => write!(f, "a vector of {}", self.channels),
            Space::Map(None) => write!(f, "a map of {} channels", self.channels),
            Space::Map(Some([h, w])) => write!(f, "a map of {h}x{w}x{} (h, w, c)", self.channels),
        }
    }
}

/// Infers the output of node `name`, refusing what cannot be.
pub(crate) fn infer(name: &str, op: &Op, inputs: &[Known]) -> Result<Known> {
    let site = Site { node: name, op };
    site.count_inputs(inputs.len())?;
    site.numbers()?;
    let known = infer_one(&site, inputs)?;
    site.bounded(known)
}

/// Refuses an extent beyond any network, or of no size.
pub(crate) fn bound(name: &str, op: &Op, known: Known) -> Result<Known> {
    Site { node: name, op }.bounded(known)
}

fn infer_one(site: &Site<'_>, inputs: &[Known]) -> Result<Known> {
    let (op, first) = (site.op, inputs.first().copied());
    let Some(xs) = first else {
        return Ok(Known::map(site.input_channels(), None));
    };
    match op {
        Op::Input { channels } => Ok(Known::map(*channels, None)),
        Op::Conv(conv) => conv_output(site, xs, conv),
        Op::ConvTranspose { conv, output_padding } => {
            conv_transpose_output(site, xs, conv, *output_padding)
        }
        Op::Linear { out } => {
            site.vector(xs)?;
            Ok(Known::vector(*out))
        }
        Op::GroupNorm { groups, .. } | Op::Shuffle { groups } => {
            site.divides(xs.channels, *groups)?;
            Ok(xs)
        }
        Op::BatchNorm { .. }
        | Op::LayerNorm { .. }
        | Op::ChannelScale
        | Op::Activation(_)
        | Op::Scale { .. }
        | Op::Dropout { .. }
        | Op::DropPath { .. } => Ok(xs),
        Op::Pool { .. } | Op::LpPool { .. } | Op::BlurPool { .. } => {
            let size = site.map(xs)?;
            Ok(Known::map(xs.channels, site.windowed(size)?))
        }
        Op::AdaptivePool { out, at_least, .. } => {
            let larger = |[h, w]: [usize; 2]| [h.max(out[0]), w.max(out[1])];
            let size = site.map(xs)?.map(larger);
            Ok(Known::map(xs.channels, if *at_least { size } else { Some(*out) }))
        }
        Op::Resize { out, .. } => Ok(Known::map(xs.channels, site.resized(*out, inputs)?)),
        Op::GlobalPool { squeeze, .. } => {
            site.map(xs)?;
            let squeezed = Known::vector(xs.channels);
            Ok(if *squeeze { squeezed } else { Known::map(xs.channels, Some([1, 1])) })
        }
        Op::Add => site.same(xs, inputs[1]),
        Op::Mul if is_gate(xs, inputs[1]) => Ok(xs),
        Op::Mul => site.same(xs, inputs[1]),
        Op::Concat => concat_output(site, inputs),
        Op::Slice { start, len } => {
            site.slice(xs.channels, *start, *len)?;
            Ok(Known { channels: *len, ..xs })
        }
        Op::Flatten => match site.map(xs)? {
            Some([h, w]) => Ok(Known::vector(site.product(&[h, w, xs.channels])?)),
            None => Err(Error::UnknownSize { node: site.node.into() }),
        },
        Op::Pad { sides, mode } => {
            let size = site.map(xs)?;
            size.map(|size| site.padded(*sides, *mode, size))
                .transpose()
                .map(|size| Known::map(xs.channels, size))
        }
        Op::Attention { heads, kv_heads, .. } => attention_output(site, inputs, *heads, *kv_heads),
    }
}

/// Whether `gate` is `(1, 1, c)` and `xs` a map that need not be.
fn is_gate(xs: Known, gate: Known) -> bool {
    xs.channels == gate.channels
        && matches!(xs.space, Space::Map(_))
        && gate.space == Space::Map(Some([1, 1]))
}

fn conv_output(site: &Site<'_>, xs: Known, conv: &Conv) -> Result<Known> {
    let size = site.map(xs)?;
    site.divides(xs.channels, conv.groups)?;
    site.divides(conv.out, conv.groups)?;
    Ok(Known::map(conv.out, site.windowed(size)?))
}

fn conv_transpose_output(
    site: &Site<'_>,
    xs: Known,
    conv: &Conv,
    output_padding: [usize; 2],
) -> Result<Known> {
    let size = site.map(xs)?;
    site.divides(xs.channels, conv.groups)?;
    site.divides(conv.out, conv.groups)?;
    site.transposable(conv, output_padding)?;
    Ok(Known::map(conv.out, site.windowed(size)?))
}

fn concat_output(site: &Site<'_>, inputs: &[Known]) -> Result<Known> {
    let mut all = inputs[0];
    for &next in &inputs[1..] {
        let channels = all.channels + next.channels;
        let aligned = Known { channels: all.channels, ..next };
        all = Known { channels, ..site.same(all, aligned)? };
    }
    Ok(all)
}

fn attention_output(
    site: &Site<'_>,
    inputs: &[Known],
    heads: usize,
    kv_heads: usize,
) -> Result<Known> {
    let [q, k, v] = [inputs[0], inputs[1], inputs[2]];
    for xs in [q, k, v] {
        site.map(xs)?;
    }
    site.divides(heads, kv_heads)?;
    site.divides(q.channels, heads)?;
    site.divides(v.channels, kv_heads)?;
    let expected = q.channels / heads * kv_heads;
    site.same(Known { channels: expected, ..v }, k)?;
    let channels = site.product(&[heads, v.channels / kv_heads])?;
    Ok(Known { channels, ..q })
}
