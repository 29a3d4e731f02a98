//! The checks behind shape inference, each of which names the node it refuses.
//!
//! Above: `shape`. Below: `op`, `window`. Not here: what an operation does to sizes (`shape`).
//! Numbers are bounded before they are multiplied, so that a hostile description overflows nothing.

use super::{Known, Space};
use crate::{Conv, Error, Op, PadMode, Padding, ResizeTo, Result, SizeFormula, Window};

/// Largest channel count, size, kernel or stride: 2²⁰, far beyond any network, and small enough for products of two.
pub(crate) const MAX_DIM: usize = 1 << 20;
/// Largest number of elements of one tensor or one image's map: 2³¹.
pub(crate) const MAX_ELEMENTS: u64 = 1 << 31;

/// A node under inspection.
pub(super) struct Site<'a> {
    pub(super) node: &'a str,
    pub(super) op: &'a Op,
}

impl Site<'_> {
    pub(super) fn input_channels(&self) -> usize {
        if let Op::Input { channels } = self.op { *channels } else { 0 }
    }

    pub(super) fn count_inputs(&self, got: usize) -> Result<()> {
        let (fits, expected) = match self.op {
            Op::Input { .. } => (got == 0, "none"),
            Op::Add | Op::Mul => (got == 2, "2"),
            Op::Resize { out: ResizeTo::Like, .. } => {
                (got == 2, "2 (the map, and one of the size)")
            }
            Op::Concat => (got >= 2, "2 or more"),
            Op::Attention { .. } => (got == 3, "3 (q, k, v)"),
            Op::Conv(_)
            | Op::ConvTranspose { .. }
            | Op::Linear { .. }
            | Op::BatchNorm { .. }
            | Op::GroupNorm { .. }
            | Op::LayerNorm { .. }
            | Op::ChannelScale
            | Op::Activation(_)
            | Op::Pool { .. }
            | Op::LpPool { .. }
            | Op::BlurPool { .. }
            | Op::AdaptivePool { .. }
            | Op::GlobalPool { .. }
            | Op::Scale { .. }
            | Op::Slice { .. }
            | Op::Shuffle { .. }
            | Op::Flatten
            | Op::Pad { .. }
            | Op::Resize { .. }
            | Op::Dropout { .. }
            | Op::DropPath { .. } => (got == 1, "1"),
        };
        if fits {
            return Ok(());
        }
        Err(Error::InputCount { node: self.node.into(), op: self.op.label(), got, expected })
    }

    /// Checks the operation's own numbers, before any of them is used.
    pub(super) fn numbers(&self) -> Result<()> {
        match self.op {
            Op::Input { channels } => self.positive("channel count", &[*channels]),
            Op::Conv(conv) => self.conv(conv),
            Op::ConvTranspose { conv, output_padding } => {
                self.conv(conv)?;
                self.small("output padding", output_padding)
            }
            Op::Linear { out } => self.positive("output size", &[*out]),
            Op::BatchNorm { eps, momentum } => {
                self.within("eps", *eps, 0.0, 1.0)?;
                momentum.map_or(Ok(()), |momentum| self.within("momentum", momentum, 0.0, 1.0))
            }
            Op::GroupNorm { groups, eps } => {
                self.positive("group count", &[*groups])?;
                self.within("eps", *eps, 0.0, 1.0)
            }
            Op::LayerNorm { eps } => self.within("eps", *eps, 0.0, 1.0),
            Op::Activation(crate::Activation::LeakyRelu { slope }) => {
                self.within("slope", *slope, -1e6, 1e6)
            }
            Op::Pool { window, .. } => {
                self.window(window)?;
                self.pool_padding(window)
            }
            Op::LpPool { p, window, .. } => {
                self.within("exponent", *p, 1.0, 64.0)?;
                self.window(window)?;
                self.pool_padding(window)
            }
            Op::BlurPool { window } => {
                self.window(window)?;
                if window.dilation == [1, 1] {
                    return Ok(());
                }
                Err(self.range("dilation", &format!("{:?}", window.dilation), "[1, 1]"))
            }
            Op::AdaptivePool { out, .. } | Op::Resize { out: ResizeTo::Size(out), .. } => {
                self.positive("output size", out)
            }
            Op::Resize { out: ResizeTo::Factor(factors), .. } => {
                factors.iter().try_for_each(|factor| self.within("factor", *factor, 1e-6, 1e6))
            }
            Op::Slice { start, len } => {
                self.small("start", &[*start])?;
                self.positive("length", &[*len])
            }
            Op::Shuffle { groups } => self.positive("group count", &[*groups]),
            Op::Pad { sides, .. } => self.small("padding", sides),
            Op::Attention { heads, kv_heads, scale } => {
                self.positive("head count", &[*heads, *kv_heads])?;
                self.within("scale", *scale, -1e6, 1e6)
            }
            Op::Scale { factor } => self.within("factor", *factor, -1e6, 1e6),
            Op::Dropout { p } | Op::DropPath { p } => {
                if (0.0..1.0).contains(p) {
                    return Ok(());
                }
                Err(self.range("dropping probability", p, "at least 0 and below 1"))
            }
            Op::ChannelScale
            | Op::Activation(_)
            | Op::GlobalPool { .. }
            | Op::Add
            | Op::Mul
            | Op::Concat
            | Op::Flatten
            | Op::Resize { out: ResizeTo::Like, .. } => Ok(()),
        }
    }

    fn conv(&self, conv: &Conv) -> Result<()> {
        self.positive("channel count", &[conv.out])?;
        self.positive("group count", &[conv.groups])?;
        self.window(&conv.window)
    }

    fn window(&self, window: &Window) -> Result<()> {
        self.positive("kernel size", &window.kernel)?;
        self.positive("stride", &window.stride)?;
        self.positive("dilation", &window.dilation)?;
        if let Padding::Explicit { top, left, bottom, right } = window.padding {
            self.small("padding", &[top, left, bottom, right])?;
        }
        Ok(())
    }

    fn pool_padding(&self, window: &Window) -> Result<()> {
        let Padding::Explicit { top, left, bottom, right } = window.padding else { return Ok(()) };
        for (axis, pad) in [(0, top), (1, left), (0, bottom), (1, right)] {
            if pad > window.kernel[axis] / 2 {
                let kernel = window.kernel[axis];
                let expected = format!("at most half the kernel, {kernel} / 2 = {}", kernel / 2);
                return Err(self.range("padding", &pad, &expected));
            }
        }
        Ok(())
    }

    fn range(&self, what: &'static str, got: &impl ToString, expected: &str) -> Error {
        let (got, expected) = (got.to_string(), expected.to_owned());
        Error::Range { node: self.node.into(), what, got, expected }
    }

    fn positive(&self, what: &'static str, values: &[usize]) -> Result<()> {
        match values.iter().find(|value| !(1..=MAX_DIM).contains(*value)) {
            None => Ok(()),
            Some(value) => Err(self.range(what, value, &format!("between 1 and {MAX_DIM}"))),
        }
    }

    fn small(&self, what: &'static str, values: &[usize]) -> Result<()> {
        match values.iter().find(|value| **value > MAX_DIM) {
            None => Ok(()),
            Some(value) => Err(self.range(what, value, &format!("at most {MAX_DIM}"))),
        }
    }

    /// Refuses NaN too.
    fn within(&self, what: &'static str, value: f64, low: f64, high: f64) -> Result<()> {
        if (low..=high).contains(&value) {
            return Ok(());
        }
        Err(self.range(what, &value, &format!("between {low} and {high}")))
    }

    pub(super) fn divides(&self, channels: usize, groups: usize) -> Result<()> {
        if channels.is_multiple_of(groups) {
            return Ok(());
        }
        Err(Error::Groups { node: self.node.into(), channels, groups })
    }

    /// The size of a map, as far as it is known.
    pub(super) fn map(&self, xs: Known) -> Result<Option<[usize; 2]>> {
        match xs.space {
            Space::Map(size) => Ok(size),
            Space::Vector => Err(self.rank("vector", "map")),
        }
    }

    pub(super) fn vector(&self, xs: Known) -> Result<()> {
        match xs.space {
            Space::Vector => Ok(()),
            Space::Map(_) => Err(self.rank("map", "vector")),
        }
    }

    fn rank(&self, got: &'static str, expected: &'static str) -> Error {
        Error::Rank { node: self.node.into(), op: self.op.label(), got, expected }
    }

    /// Two inputs that must be equal, as far as they are known; returns what is known of both.
    pub(super) fn same(&self, left: Known, right: Known) -> Result<Known> {
        let space = match (left.space, right.space) {
            (Space::Vector, Space::Vector) => Some(Space::Vector),
            (Space::Map(None), Space::Map(size)) | (Space::Map(size), Space::Map(None)) => {
                Some(Space::Map(size))
            }
            (Space::Map(a), Space::Map(b)) if a == b => Some(Space::Map(a)),
            _ => None,
        };
        match space {
            Some(space) if left.channels == right.channels => Ok(Known { space, ..left }),
            _ => Err(Error::Mismatch {
                node: self.node.into(),
                op: self.op.label(),
                left: left.to_string(),
                right: right.to_string(),
            }),
        }
    }

    pub(super) fn slice(&self, channels: usize, start: usize, len: usize) -> Result<()> {
        if start + len <= channels {
            return Ok(());
        }
        let got = format!("{start}..{}", start + len);
        Err(self.range("channel range", &got, &format!("within 0..{channels}")))
    }

    /// The size of this windowed operation's output, as far as that of its input is known.
    pub(super) fn windowed(&self, size: Option<[usize; 2]>) -> Result<Option<[usize; 2]>> {
        let (Some(size), Some(window)) = (size, self.op.window()) else { return Ok(None) };
        self.padding_exists(window.mode, window.pads(size), size)?;
        let along = |formula: SizeFormula| {
            formula.output().ok_or_else(|| {
                let (node, formula) = (self.node.to_owned(), Box::new(formula));
                Error::WindowSize { node, formula }
            })
        };
        let sized = self.op.size_formulas(size).map(|[h, w]| Ok([along(h)?, along(w)?]));
        sized.transpose()
    }

    /// The size of a resized map, as far as those of the inputs are known.
    pub(super) fn resized(&self, to: ResizeTo, inputs: &[Known]) -> Result<Option<[usize; 2]>> {
        let size = self.map(inputs[0])?;
        match to {
            ResizeTo::Size(out) => Ok(Some(out)),
            ResizeTo::Factor(factors) => {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "rounded down, and stops at the largest"
                )]
                let times = |axis: usize, size: usize| (size as f64 * factors[axis]) as usize;
                Ok(size.map(|[h, w]| [times(0, h), times(1, w)]))
            }
            ResizeTo::Like => self.map(inputs[1]),
        }
    }

    pub(super) fn transposable(&self, conv: &Conv, output_padding: [usize; 2]) -> Result<()> {
        if conv.window.mode != PadMode::Zeros {
            return Err(self.range("padding mode", &conv.window.mode.label(), "zeros"));
        }
        if conv.window.padding == Padding::Same {
            return Err(self.range("padding", &"same", "explicit or valid"));
        }
        for (axis, extra) in output_padding.into_iter().enumerate() {
            let limit = conv.window.stride[axis].max(conv.window.dilation[axis]);
            if extra >= limit {
                let expected = format!("below {limit}, the larger of stride and dilation");
                return Err(self.range("output padding", &extra, &expected));
            }
        }
        Ok(())
    }

    pub(super) fn padded(
        &self,
        sides: [usize; 4],
        mode: PadMode,
        size: [usize; 2],
    ) -> Result<[usize; 2]> {
        self.padding_exists(mode, sides, size)?;
        Ok([size[0] + sides[0] + sides[2], size[1] + sides[1] + sides[3]])
    }

    /// Refuses padding that repeats what a map of this size does not have.
    fn padding_exists(&self, mode: PadMode, sides: [usize; 4], size: [usize; 2]) -> Result<()> {
        for (side, pad) in sides.into_iter().enumerate() {
            let (axis, len) = (["h", "w"][side % 2], size[side % 2]);
            let (fits, expected) = match mode {
                PadMode::Zeros | PadMode::Replicate => continue,
                PadMode::Reflect => (pad < len, format!("below {axis} = {len}, to be reflected")),
                PadMode::Circular => {
                    (pad <= len, format!("at most {axis} = {len}, to be repeated"))
                }
            };
            if !fits {
                return Err(self.range("padding", &pad, &expected));
            }
        }
        Ok(())
    }

    pub(super) fn product(&self, factors: &[usize]) -> Result<usize> {
        factors
            .iter()
            .try_fold(1usize, |product, &factor| product.checked_mul(factor))
            .filter(|&product| product <= MAX_DIM)
            .ok_or_else(|| {
                self.range("size", &format!("{factors:?}"), &format!("at most {MAX_DIM}"))
            })
    }

    /// Refuses outputs beyond any network.
    pub(super) fn bounded(&self, known: Known) -> Result<Known> {
        self.positive("channel count", &[known.channels])?;
        if let Space::Map(Some(size)) = known.space {
            self.positive("output size", &size)?;
            let elements = size[0] as u64 * size[1] as u64;
            let elements = elements.saturating_mul(known.channels as u64);
            if elements > MAX_ELEMENTS {
                let (node, got) = (self.node.to_owned(), elements.to_string());
                return Err(Error::TooLarge { node, what: "output", got, limit: MAX_ELEMENTS });
            }
        }
        Ok(known)
    }
}
