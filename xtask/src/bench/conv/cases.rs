//! The convolutions that are measured, by name.
//!
//! Above: `conv`. Below: `taper_kernels::ConvShape`. Not here: what runs them (`passes`).
//! Square in everything; padding is `dilation·(kernel − 1) / 2` on all sides.

use std::fmt;

use anyhow::{Result, bail};
use taper_graph::{Conv, Extent, Op, PadMode, Padding, Window};
use taper_kernels::ConvShape;

/// One convolution, but for its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Case {
    /// The name of its table.
    pub(super) family: &'static str,
    pub(super) name: &'static str,
    /// Height and width of the input.
    size: usize,
    in_channels: usize,
    out_channels: usize,
    kernel_size: usize,
    stride: usize,
    dilation: usize,
    groups: usize,
}

/// Every kind of convolution in ResNet-18 by torchvision's names, in ResNeXt-50 (32x4d) those with groups, and others.
/// Source: He et al. 2015, Table 1, <https://arxiv.org/abs/1512.03385>; Xie et al. 2017, Table 1, <https://arxiv.org/abs/1611.05431>.
#[rustfmt::skip]
pub(super) const CASES: [Case; 22] = [
    //   name                   size  channels    k  s  d  groups
    dense("conv1",               224, [3, 64],    7, 2, 1),
    dense("layer1.0.conv1",       56, [64, 64],   3, 1, 1),
    dense("layer2.0.conv1",       56, [64, 128],  3, 2, 1),
    dense("layer2.0.downsample",  56, [64, 128],  1, 2, 1),
    dense("layer2.0.conv2",       28, [128, 128], 3, 1, 1),
    dense("layer3.0.conv1",       28, [128, 256], 3, 2, 1),
    dense("layer3.0.downsample",  28, [128, 256], 1, 2, 1),
    dense("layer3.0.conv2",       14, [256, 256], 3, 1, 1),
    dense("layer4.0.conv1",       14, [256, 512], 3, 2, 1),
    dense("layer4.0.downsample",  14, [256, 512], 1, 2, 1),
    dense("layer4.0.conv2",        7, [512, 512], 3, 1, 1),
    grouped("next.layer1.0.conv2", 56, [128, 128],   1, 32),
    grouped("next.layer2.0.conv2", 56, [256, 256],   2, 32),
    grouped("next.layer2.1.conv2", 28, [256, 256],   1, 32),
    grouped("next.layer3.1.conv2", 14, [512, 512],   1, 32),
    grouped("next.layer4.1.conv2",  7, [1024, 1024], 1, 32),
    grouped("groups8.at28",        28, [256, 256],   1, 8),
    grouped("groups8.at14",        14, [512, 512],   1, 8),
    wide("five.at56",             56, [64, 128],  5, 2, 1),
    wide("five.at28",             28, [128, 256], 5, 2, 1),
    wide("dilated.at28",          28, [256, 256], 3, 1, 2),
    wide("dilated.at14",          14, [512, 512], 3, 1, 2),
];

const fn dense(
    name: &'static str,
    size: usize,
    [in_channels, out_channels]: [usize; 2],
    kernel_size: usize,
    stride: usize,
    dilation: usize,
) -> Case {
    let (family, groups) = ("ResNet-18", 1);
    Case { family, name, size, in_channels, out_channels, kernel_size, stride, dilation, groups }
}

const fn grouped(
    name: &'static str,
    size: usize,
    channels: [usize; 2],
    stride: usize,
    groups: usize,
) -> Case {
    Case { family: "Grouped", groups, ..dense(name, size, channels, 3, stride, 1) }
}

const fn wide(
    name: &'static str,
    size: usize,
    channels: [usize; 2],
    kernel_size: usize,
    stride: usize,
    dilation: usize,
) -> Case {
    let family = "Larger windows, strided and dilated";
    Case { family, ..dense(name, size, channels, kernel_size, stride, dilation) }
}

impl Case {
    /// Those whose name contains one of `asked`, or all if nothing was asked for.
    pub(super) fn named(asked: &[String]) -> Result<Vec<Self>> {
        let is_asked = |name: &str| asked.is_empty() || asked.iter().any(|a| name.contains(a));
        let found: Vec<Self> = CASES.into_iter().filter(|case| is_asked(case.name)).collect();
        if found.is_empty() {
            let names = CASES.map(|case| case.name).join(", ");
            bail!("no convolution is called `{}`; there are {names}", asked.join("`, `"));
        }
        Ok(found)
    }

    /// Its shape on a batch of `n`; `None` for no images.
    pub(super) fn shape(&self, n: usize) -> Option<ConvShape> {
        let Self { size, in_channels, out_channels, kernel_size, stride, dilation, groups, .. } =
            *self;
        let padding = dilation * (kernel_size - 1) / 2;
        let window = ([kernel_size; 2], [stride; 2], [dilation; 2], [padding; 4]);
        let (kernel, stride, dilation, pads) = window;
        let xs = [n, size, size, in_channels];
        ConvShape::new(xs, out_channels, kernel, stride, dilation, pads, groups)
    }

    /// Multiply-accumulates of the forward pass on one image; padding is counted as values are.
    pub(super) fn macs(&self) -> u64 {
        let Self { size, in_channels, out_channels: out, groups, .. } = *self;
        let window = Window {
            kernel: [self.kernel_size; 2],
            stride: [self.stride; 2],
            dilation: [self.dilation; 2],
            padding: Padding::symmetric(self.dilation * (self.kernel_size - 1) / 2),
            mode: PadMode::Zeros,
        };
        let conv = Op::Conv(Conv { out, window, groups });
        let map = |[h, w]: [usize; 2], c| Extent::Map { h, w, c };
        let xs = map([size; 2], in_channels);
        let ys = window.output_size([size; 2]).map(|size| map(size, out));
        ys.map_or(0, |ys| taper_cost::op_macs(&conv, &[xs], ys).0)
    }

    /// What the peer's script is told: size, both channels, kernel size, stride, dilation, groups.
    pub(super) fn numbers(&self) -> [usize; 7] {
        let Self { size, in_channels, out_channels, kernel_size, stride, dilation, groups, .. } =
            *self;
        [size, in_channels, out_channels, kernel_size, stride, dilation, groups]
    }
}

/// As in `56x56x64 -> 28x28x128, 3x3/2`.
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { size, in_channels, out_channels, kernel_size, stride, dilation, groups, .. } =
            self;
        let out = size.div_ceil(*stride);
        write!(f, "{size}x{size}x{in_channels} -> {out}x{out}x{out_channels}")?;
        write!(f, ", {kernel_size}x{kernel_size}")?;
        for (mark, &value) in [("/", stride), (", dilation ", dilation), (", groups ", groups)] {
            if value != 1 {
                write!(f, "{mark}{value}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_is_legal_and_called_once() {
        for (idx, case) in CASES.iter().enumerate() {
            let shape = case.shape(2).unwrap();
            let out = case.size.div_ceil(case.stride);
            assert_eq!(shape.output_len(), 2 * out * out * case.out_channels, "{case}");
            assert!(CASES[..idx].iter().all(|other| other.name != case.name), "{}", case.name);
        }
    }

    /// Every block but the first of a stage repeats its second convolution. Source: torchvision counts 1.814e9 in `ResNet18_Weights`.
    #[test]
    fn together_they_are_resnet_18() {
        let often = [1, 4, 1, 1, 3, 1, 1, 3, 1, 1, 3];
        let convolutions: u64 = CASES.iter().zip(often).map(|(c, often)| c.macs() * often).sum();
        assert_eq!(convolutions + 512 * 1000, 1_814_073_344);
    }

    #[test]
    fn cases_are_spoken_and_found_by_a_part_of_their_name() {
        let spoken = |name: &str| Case::named(&[name.to_owned()]).unwrap()[0].to_string();
        assert_eq!(spoken("conv1"), "224x224x3 -> 112x112x64, 7x7/2");
        assert_eq!(spoken("dilated"), "28x28x256 -> 28x28x256, 3x3, dilation 2");
        assert_eq!(spoken("next.layer2.0"), "56x56x256 -> 28x28x256, 3x3/2, groups 32");
        assert_eq!(Case::named(&[]).unwrap().len(), CASES.len());
        assert!(Case::named(&["no_such".to_owned()]).is_err());
    }
}
