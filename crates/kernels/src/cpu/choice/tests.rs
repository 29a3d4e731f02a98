//! What is chosen is what runs: paths recorded where work is done, against the choice.
//!
//! Above: `cpu::choice`. Below: `cpu::trace`. Not here: whether results are right (`tests/twins`).

use std::collections::BTreeSet;

use proptest::prelude::{any, prop_assert_eq, proptest};

use super::WeightGradient;
use super::{BackwardKernel, DepthwiseRow, ForwardKernel, Input, InputGradient, Operand, Split};
use crate::cpu::matrix::Merged;
use crate::cpu::trace::{Path, paths_of};
use crate::{
    Activation, Affine, ConvGradient, ConvShape, Cpu, Device, Epilogue, Isa, Sink, Source,
};

fn shape([n, h, w]: [usize; 3], c: usize, oc: usize, k: [usize; 2], rest: [usize; 4]) -> ConvShape {
    let [stride, dilation, pad, groups] = rest;
    ConvShape::new([n, h, w, c], oc, k, [stride; 2], [dilation; 2], [pad; 4], groups).unwrap()
}

/// The paths of a forward pass; how many parts there are with work is not the choice's.
fn expected(kernel: ForwardKernel, s: &ConvShape) -> BTreeSet<Path> {
    match kernel {
        ForwardKernel::Depthwise { row, operand, .. } => {
            let row = match row {
                DepthwiseRow::Blocked3 => Path::Row(3, 1),
                DepthwiseRow::Blocked3Stride2 => Path::Row(3, 2),
                DepthwiseRow::Blocked5 => Path::Row(5, 1),
                DepthwiseRow::Blocked5Stride2 => Path::Row(5, 2),
                DepthwiseRow::Single => Path::Row(0, 0),
            };
            [row, read(operand)].into()
        }
        ForwardKernel::Pointwise { operand, .. } => [read(operand)].into(),
        ForwardKernel::Dense { merged, .. } => [Path::Bands(s.groups / merged)].into(),
    }
}

fn read(operand: Operand) -> Path {
    match operand {
        Operand::InPlace => Path::InPlace,
        Operand::Copied => Path::Copied,
        Operand::Scaled => Path::Scaled,
        Operand::WeightsScaled => Path::WeightsScaled,
    }
}

/// Takes the parts' shares out of the paths: those of a product by rows have all panels, those by panels all rows.
fn without_shares(mut taken: BTreeSet<Path>, kernel: ForwardKernel) -> BTreeSet<Path> {
    match kernel {
        ForwardKernel::Pointwise { split, .. } | ForwardKernel::Dense { split, .. } => {
            match split {
                Split::Rows => {
                    taken.remove(&Path::SomeRows);
                }
                Split::Panels => assert!(taken.remove(&Path::SomePanels), "no panels: {taken:?}"),
            }
        }
        ForwardKernel::Depthwise { .. } => {}
    }
    taken
}

proptest! {
    /// Any shape, instruction set and number of threads, plain, normalized and gated inputs, forward and both gradients.
    #[test]
    fn what_is_chosen_is_what_runs(
        [n, h, w] in [1..3usize, 3..12, 3..12],
        [per_group, out, groups] in [1..40usize, 1..70, 1..5],
        k in [1..6usize, 1..6],
        [stride, dilation, pad, kind] in [1..3usize, 1..3, 0..2, 0..4],
        input in 0..3usize,
        threads in 1..4usize,
        wants in any::<[bool; 2]>(),
    ) {
        // A quarter each: any, grouped, depthwise, pointwise.
        let s = match kind {
            0 => (1, per_group, out, k, [stride, dilation, pad, 1]),
            1 => (1, per_group * groups, out * groups, k, [stride, dilation, pad, groups]),
            2 => (1, per_group + 1, per_group + 1, k, [stride, dilation, pad, per_group + 1]),
            _ => (1, per_group, out, [1; 2], [1, 1, 0, 1]),
        };
        let reach = |k: usize| (k - 1) * s.4[1] + 1;
        let size = [n, h.max(reach(s.3[0])), w.max(reach(s.3[1]))];
        let s = shape(size, s.1, s.2, s.3, s.4);
        let input = [Input::Stored, Input::Pending, Input::Gated][input];
        let input = if input == Input::Gated && !s.is_pointwise() { Input::Stored } else { input };
        for isa in Isa::here() {
            let mut cpu = Cpu::with_isa(threads, isa).unwrap();
            let (x, weight) = (vec![0.5; s.input_len()], vec![0.25; s.weight_len()]);
            let (ones, gate) = (vec![1.0; s.c], vec![1.0; s.n * s.c]);
            let mut y = vec![0.0; s.output_len()];
            let affine = Affine { scale: &ones, shift: &ones };
            let xs = match input {
                Input::Pending => Source { data: &x, affine: Some(affine), activation: Activation::Relu },
                Input::Stored | Input::Gated => Source::plain(&x),
            };
            let kernel = ForwardKernel::of(&s, isa, threads, input);
            let packed = cpu.pack(&s, &weight);
            let taken = paths_of(|| match input {
                Input::Gated => cpu.conv_gated(&s, &x, &gate, &packed, Epilogue::default(), &mut y),
                Input::Stored | Input::Pending => {
                    cpu.conv_packed(&s, xs, &packed, Epilogue::default(), &mut y);
                }
            });
            prop_assert_eq!(without_shares(taken, kernel), expected(kernel, &s), "{:?} {:?}", kernel, s);

            let input = if input == Input::Gated { Input::Stored } else { input };
            let kernel = BackwardKernel::of(&s, isa, threads, input);
            let (mut dw, mut dx) = (weight.clone(), x.clone());
            let taken = paths_of(|| {
                let dx = Sink { out: &mut dx, accumulate: false, mask: None, tally: None };
                let (dw, dx) = (wants[0].then_some(&mut dw[..]), wants[1].then_some(dx));
                cpu.conv_backward(&s, ConvGradient { dz: &y, norm: None }, xs, &weight, dw, None, dx);
            });
            let (mut taken, mut paths) = (taken, BTreeSet::new());
            if wants[0] {
                paths.insert(match kernel.weight {
                    WeightGradient::Depthwise => Path::DepthwiseWeight,
                    WeightGradient::InPlace => Path::WeightInPlace,
                    WeightGradient::Copied => Path::WeightCopied,
                    WeightGradient::Bands => Path::WeightBands,
                });
            }
            if wants[1] {
                let path = match kernel.input {
                    InputGradient::Depthwise => Path::DepthwiseInput,
                    InputGradient::Product => Path::Product,
                    InputGradient::Flipped(forward) => {
                        taken = without_shares(taken, forward);
                        let flipped = super::flipped_shape(&s).unwrap();
                        paths.extend(expected(forward, &flipped));
                        Path::Flipped
                    }
                    InputGradient::Scattered => Path::Scattered,
                };
                paths.insert(path);
            }
            prop_assert_eq!(taken, paths, "{:?} {:?}", kernel, s);
        }
    }
}

#[test]
fn every_kernel_has_its_reason() {
    let of = |c, oc, kernel, stride, groups| {
        shape([2, 8, 8], c, oc, [kernel; 2], [stride, 1, 0, groups])
    };
    for (shape, kernel, words) in [
        (of(6, 6, 3, 1, 6), "depthwise", "groups 6 = channels in 6 = channels out 6"),
        (of(6, 4, 1, 1, 1), "pointwise", "a 128x6 and a 6x4 matrix"),
        (of(6, 4, 3, 1, 1), "dense", "one product of a 72x54 and a 54x4 matrix"),
        (of(6, 4, 3, 1, 2), "dense", "one product of a 72x54 and a 54x4 matrix"),
        (of(32, 32, 3, 1, 2), "dense", "2 products of a 72x144 and a 144x16 matrix"),
        (of(6, 12, 3, 1, 6), "dense", "groups 6, channels in 6, out 12"),
        (of(6, 4, 1, 2, 1), "dense", "kernel 1x1, stride 2x2"),
        (of(1, 1, 3, 1, 1), "dense", "groups 1, channels in 1, out 1"),
        (shape([1, 8, 8], 6, 4, [1; 2], [1, 1, 1, 1]), "dense", "stride 1x1, 8x8 to 10x10"),
    ] {
        let chosen = ForwardKernel::of(&shape, Isa::Portable, 1, Input::Stored);
        assert_eq!(chosen.name(), kernel);
        let reason = chosen.reason(&shape);
        assert!(reason.contains(words), "{reason}");
    }
}

#[test]
fn the_smaller_factor_takes_the_gate() {
    let of = |size, c, oc| {
        let shape = shape([1, size, size], c, oc, [1; 2], [1, 1, 0, 1]);
        ForwardKernel::of(&shape, Isa::Portable, 1, Input::Gated)
    };
    let scaled = |operand| ForwardKernel::Pointwise { operand, split: Split::Rows };
    // The first block of EfficientNet-B0 and the last of MobileNetV3-Large.
    let chosen = [of(112, 32, 16), of(7, 960, 160)];
    assert_eq!(chosen, [scaled(Operand::WeightsScaled), scaled(Operand::Scaled)]);
}

#[test]
fn few_positions_or_many_weights_are_shared_out_by_panels() {
    let split = |size, c, oc, threads| {
        let shape = shape([1, size, size], c, oc, [1; 2], [1, 1, 0, 1]);
        match ForwardKernel::of(&shape, Isa::Portable, threads, Input::Stored) {
            ForwardKernel::Pointwise { split, .. } => Some(split),
            _ => None,
        }
    };
    // A classifier, the same on one thread, and a layer in the middle.
    let chosen = [split(1, 1280, 1000, 2), split(1, 1280, 1000, 1), split(28, 96, 96, 2)];
    assert_eq!(chosen, [Split::Panels, Split::Rows, Split::Rows].map(Some));
}

#[test]
fn narrow_groups_are_merged_to_fill_a_vector() {
    let shape = shape([1, 8, 8], 128, 128, [3; 2], [1, 1, 1, 32]);
    assert_eq!(Merged::new(&shape, 16).shape.groups, 8);
    let kernel = ForwardKernel::of(&shape, Isa::Portable, 1, Input::Stored);
    assert!(matches!(kernel, ForwardKernel::Dense { merged: 2, .. }), "{kernel:?}");
}
