//! Flags of `taper explain conv`, named as PyTorch's.
//!
//! Above: `explain`. Below: `taper_recipes`. Not here: what they mean together (`taper_recipes::explain`).

use clap::{Args, ValueEnum};
use taper_recipes::{Bias, Conv, ExplainOptions, Op, PadMode, Padding, Window};

use super::Place;
use super::sizes::{padding, pair};

#[derive(Debug, Args)]
#[command(after_help = "\
Example: taper explain conv --input 224 --in-channels 3 --out-channels 32 --kernel 3 --stride 2 --padding 1

A depthwise convolution has as many groups as channels: --in-channels 32 --out-channels 32 --groups 32")]
pub(super) struct Flags {
    /// Channels of the map that is read
    #[arg(long, value_name = "N")]
    in_channels: usize,
    /// Filters, and so channels of the map that is written
    #[arg(long, value_name = "N")]
    out_channels: usize,
    /// Taps of a filter along height and width: 3x5, or 3 for a square
    #[arg(long, value_name = "HxW", value_parser = pair)]
    kernel: [usize; 2],
    /// Step of the window
    #[arg(long, value_name = "HxW", value_parser = pair, default_value = "1")]
    stride: [usize; 2],
    /// same (TensorFlow's), valid (none), 1, 1x2 (height, width), or top,left,bottom,right
    #[arg(long, value_name = "PAD", value_parser = padding, default_value = "0")]
    padding: Padding,
    /// What lies in the padding
    #[arg(long, value_enum, default_value = "zeros")]
    padding_mode: Mode,
    /// Distance of neighboring taps
    #[arg(long, value_name = "HxW", value_parser = pair, default_value = "1")]
    dilation: [usize; 2],
    /// Parts that channels in and out are split into, each convolved by itself
    #[arg(long, value_name = "N", default_value_t = 1)]
    groups: usize,
    /// Leave out the bias
    #[arg(long)]
    no_bias: bool,
    /// The other way round: every position of the input writes a window
    #[arg(long)]
    transposed: bool,
    /// Rows and columns that a transposed convolution adds at the end
    #[arg(long, value_name = "HxW", value_parser = pair, default_value = "0", requires = "transposed")]
    output_padding: [usize; 2],
    #[command(flatten)]
    pub(super) place: Place,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Mode {
    Zeros,
    Reflect,
    Replicate,
    Circular,
}

impl Flags {
    pub(super) fn options(&self) -> ExplainOptions {
        let Flags { kernel, stride, dilation, padding, .. } = *self;
        let mode = match self.padding_mode {
            Mode::Zeros => PadMode::Zeros,
            Mode::Reflect => PadMode::Reflect,
            Mode::Replicate => PadMode::Replicate,
            Mode::Circular => PadMode::Circular,
        };
        let window = Window { kernel, stride, dilation, padding, mode };
        let conv = Conv { out: self.out_channels, window, groups: self.groups };
        let op = match self.transposed {
            true => Op::ConvTranspose { conv, output_padding: self.output_padding },
            false => Op::Conv(conv),
        };
        let bias = if self.no_bias { Bias::Without } else { Bias::With };
        let options = ExplainOptions::new(op, self.in_channels, self.place.input);
        self.place.options(ExplainOptions { bias, ..options })
    }
}
