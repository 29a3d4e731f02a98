//! Flags of `taper explain pool`, named as PyTorch's.
//!
//! Above: `explain`. Below: `taper_recipes`. Not here: what they mean together (`taper_recipes::explain`).

use anyhow::Result;
use clap::{Args, ValueEnum};
use taper_recipes::{Error, ExplainOptions, Op, PadMode, Padding, PoolKind, Window};

use super::Place;
use super::sizes::{padding, pair};

#[derive(Debug, Args)]
#[command(after_help = "\
Example: taper explain pool --kind max --input 112 --channels 64 --kernel 3 --stride 2 --padding 1")]
pub(super) struct Flags {
    /// What is taken of what
    #[arg(long, value_enum)]
    kind: Kind,
    /// Channels, which a pool keeps
    #[arg(long, value_name = "N")]
    channels: usize,
    /// Size of the window, for max, avg, lp and blur: 3x5, or 3 for a square
    #[arg(long, value_name = "HxW", value_parser = pair)]
    kernel: Option<[usize; 2]>,
    /// Step of the window [default: its size]
    #[arg(long, value_name = "HxW", value_parser = pair)]
    stride: Option<[usize; 2]>,
    /// same (TensorFlow's), valid (none), 1, 1x2 (height, width), or top,left,bottom,right
    #[arg(long, value_name = "PAD", value_parser = padding, default_value = "0")]
    padding: Padding,
    /// Distance of neighboring elements of a window
    #[arg(long, value_name = "HxW", value_parser = pair, default_value = "1")]
    dilation: [usize; 2],
    /// Round the size up: a last window may reach over the end
    #[arg(long)]
    ceil: bool,
    /// Let a mean be of the elements that are not padding (PyTorch's `count_include_pad=False`)
    #[arg(long)]
    exclude_padding: bool,
    /// The exponent of an lp pool
    #[arg(long, value_name = "F", default_value_t = 2.0)]
    p: f64,
    /// Size of the output, for adaptive pools
    #[arg(long, value_name = "HxW", value_parser = pair)]
    out: Option<[usize; 2]>,
    #[command(flatten)]
    pub(super) place: Place,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// The largest element of each window
    Max,
    /// The mean of each window
    Avg,
    /// The norm of each window, with exponent --p
    Lp,
    /// The mean of each window with binomial weights
    Blur,
    /// The largest element of each part, of as many parts as --out says
    AdaptiveMax,
    /// The mean of each part
    AdaptiveAvg,
    /// The largest element of the map
    GlobalMax,
    /// The mean of the map
    #[value(alias = "global")]
    GlobalAvg,
}

impl Flags {
    pub(super) fn options(&self) -> Result<ExplainOptions> {
        let avg = if self.exclude_padding { PoolKind::AvgWithoutPadding } else { PoolKind::Avg };
        let op = match self.kind {
            Kind::Max => {
                self.windows(|window, ceil| Op::Pool { kind: PoolKind::Max, window, ceil })?
            }
            Kind::Avg => self.windows(|window, ceil| Op::Pool { kind: avg, window, ceil })?,
            Kind::Lp => self.windows(|window, ceil| Op::LpPool { p: self.p, window, ceil })?,
            Kind::Blur => self.windows(|window, _| Op::BlurPool { window })?,
            Kind::AdaptiveMax => self.parts(PoolKind::Max)?,
            Kind::AdaptiveAvg => self.parts(PoolKind::Avg)?,
            Kind::GlobalMax => Op::GlobalPool { kind: PoolKind::Max, squeeze: false },
            Kind::GlobalAvg => Op::GlobalPool { kind: PoolKind::Avg, squeeze: false },
        };
        Ok(self.place.options(ExplainOptions::new(op, self.channels, self.place.input)))
    }

    /// A pool over windows that slide.
    fn windows(&self, op: impl FnOnce(Window, bool) -> Op) -> Result<Op> {
        let kernel = self.kernel.ok_or_else(|| missing("kernel", "a size such as 3 or 2x2"))?;
        let (padding, dilation, mode) = (self.padding, self.dilation, PadMode::Zeros);
        let stride = self.stride.unwrap_or(kernel);
        Ok(op(Window { kernel, stride, dilation, padding, mode }, self.ceil))
    }

    /// A pool over parts of the map.
    fn parts(&self, kind: PoolKind) -> Result<Op> {
        let out = self.out.ok_or_else(|| missing("out", "a size such as 7 or 7x7"))?;
        Ok(Op::AdaptivePool { kind, out, at_least: false })
    }
}

fn missing(field: &'static str, expected: &str) -> Error {
    Error::Option { field, got: "missing".to_owned(), expected: expected.to_owned() }
}
