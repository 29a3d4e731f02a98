//! Which kernel a convolution runs on, and why.
//!
//! Above: `engine` and reports. Below: `shape`, `cpu::matrix`. Not here: the kernels (`cpu::depthwise`, `cpu::matrix`).
//! The choice follows from the shape alone, so that it is the same on every machine and for every batch.

use super::Cpu;
use super::matrix::Merged;
use crate::{ConvShape, Isa};

impl Cpu {
    /// Which kernel a convolution of this shape runs on: one word for reports.
    #[must_use]
    pub fn kernel_of(shape: &ConvShape) -> &'static str {
        if shape.is_depthwise() {
            "depthwise"
        } else if shape.is_pointwise() {
            "pointwise"
        } else {
            "dense"
        }
    }

    /// Why it is [`Cpu::kernel_of`] this shape: the condition that holds, with its numbers, and what the kernel does on an instruction set.
    ///
    /// ```
    /// use taper_kernels::{ConvShape, Cpu, Isa};
    /// let shape = ConvShape::new([1, 56, 56, 24], 144, [1, 1], [1, 1], [1, 1], [0; 4], 1).unwrap();
    /// assert_eq!(Cpu::kernel_of(&shape), "pointwise");
    /// assert_eq!(
    ///     Cpu::reason_of(&shape, Isa::best()),
    ///     "the kernel is 1x1, the stride 1x1, there is one group and no padding: \
    ///      one product of a 3136x24 and a 24x144 matrix, the first read where it lies"
    /// );
    /// ```
    #[must_use]
    pub fn reason_of(shape: &ConvShape, isa: Isa) -> String {
        let ConvShape { h, w, c, oh, ow, oc, groups, kernel: [kh, kw], stride: [sh, sw], .. } =
            *shape;
        let positions = shape.output_positions();
        if shape.is_depthwise() {
            return format!(
                "groups {groups} = channels in {c} = channels out {oc}: every channel has one filter of its own, \
                 and vectors run along the channels"
            );
        }
        if shape.is_pointwise() {
            return format!(
                "the kernel is 1x1, the stride 1x1, there is one group and no padding: \
                 one product of a {positions}x{c} and a {c}x{oc} matrix, the first read where it lies"
            );
        }
        let merged = Merged::new(shape, isa.lanes()).shape;
        let (together, out) = (groups / merged.groups, oc / merged.groups);
        let terms = shape.weight_len() / oc * together;
        let products = match merged.groups {
            1 => "one product".to_owned(),
            many => format!("{many} products"),
        };
        let merging = match together {
            1 => String::new(),
            _ => format!(", {together} groups merged into one so that they fill a vector"),
        };
        format!(
            "neither depthwise (groups {groups}, channels in {c}, out {oc}) nor pointwise (kernel {kh}x{kw}, stride {sh}x{sw}, \
             {h}x{w} to {oh}x{ow}): {products} of a {positions}x{terms} and a {terms}x{out} matrix, the first read tap by tap from \
             bands of input rows{merging}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_has_its_reason() {
        let shape = |c, oc, kernel, stride, groups| {
            ConvShape::new([2, 8, 8, c], oc, [kernel; 2], [stride; 2], [1; 2], [0; 4], groups)
                .unwrap()
        };
        let padded = ConvShape::new([1, 8, 8, 6], 4, [1; 2], [1; 2], [1; 2], [1; 4], 1).unwrap();
        for (shape, kernel, words) in [
            (shape(6, 6, 3, 1, 6), "depthwise", "groups 6 = channels in 6 = channels out 6"),
            (shape(6, 4, 1, 1, 1), "pointwise", "a 128x6 and a 6x4 matrix"),
            (shape(6, 4, 3, 1, 1), "dense", "one product of a 72x54 and a 54x4 matrix"),
            (shape(6, 4, 3, 1, 2), "dense", "one product of a 72x54 and a 54x4 matrix"),
            (shape(32, 32, 3, 1, 2), "dense", "2 products of a 72x144 and a 144x16 matrix"),
            (shape(6, 12, 3, 1, 6), "dense", "groups 6, channels in 6, out 12"),
            (shape(6, 4, 1, 2, 1), "dense", "kernel 1x1, stride 2x2"),
            (shape(1, 1, 3, 1, 1), "dense", "groups 1, channels in 1, out 1"),
            (padded, "dense", "stride 1x1, 8x8 to 10x10"),
        ] {
            assert_eq!(Cpu::kernel_of(&shape), kernel);
            let reason = Cpu::reason_of(&shape, Isa::Portable);
            assert!(reason.contains(words), "{reason}");
        }
    }
}
