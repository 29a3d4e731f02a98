//! The operations of the fast device: checks at the door, then one part a thread.
//!
//! Above: `cpu`. Below: `cpu::{matrix, depthwise, elementwise, views}`. Not here: what a part does.

use super::elementwise::{AddRows, MulRows};
use super::pass::Share;
use super::team::{Fixed, Shared, part_of};
use super::views::SourceView;
use super::windows::{self, Windows};
use super::{Cpu, SUM_CHANNELS, depthwise, matrix};
use crate::{
    Activation, ConvGradient, ConvShape, Device, Epilogue, Moments, PoolShape, Pooling, Sink,
    Source,
};

pub(super) fn check_source(xs: &Source<'_, f32>, len: usize, c: usize) {
    assert_eq!(xs.data.len(), len, "length of the input");
    if let Some(affine) = xs.affine {
        assert_eq!([affine.scale.len(), affine.shift.len()], [c; 2], "scale and shift");
    }
}

pub(super) fn check_sink(sink: &Sink<'_, f32>, len: usize, c: usize) {
    assert_eq!(sink.out.len(), len, "length of the input's gradient");
    if let Some(mask) = sink.mask {
        check_source(&mask.source, len, c);
    }
    if let Some(tally) = &sink.tally {
        assert_eq!(tally.y.len(), len, "length of the tallied output");
        assert_eq!([tally.mean.len(), tally.sum.len(), tally.dot.len()], [c; 3], "tally");
    }
}

impl Cpu {
    /// Calls `work(image, first channel, end)` for blocks of channels of all images.
    fn for_windows(&mut self, shape: &PoolShape, work: impl Fn(usize, usize, usize) + Sync) {
        let (parts, blocks) = (self.team.threads(), shape.c.div_ceil(SUM_CHANNELS));
        self.team.run(|p| {
            for task in part_of(shape.n * blocks, 1, p, parts) {
                let first = task % blocks * SUM_CHANNELS;
                work(task / blocks, first, (first + SUM_CHANNELS).min(shape.c));
            }
        });
    }
}

impl Device<f32> for Cpu {
    fn conv_forward(
        &mut self,
        shape: &ConvShape,
        xs: Source<'_, f32>,
        weight: &[f32],
        epilogue: Epilogue<'_, f32>,
        y: &mut [f32],
        moments: Option<Moments<'_, f32>>,
    ) {
        let mut packed = std::mem::take(&mut self.packed);
        self.pack_into(shape, weight, &mut packed);
        self.conv_packed(shape, xs, &packed, epilogue, y, moments);
        self.packed = packed;
    }

    fn conv_backward(
        &mut self,
        shape: &ConvShape,
        gradient: ConvGradient<'_, f32>,
        xs: Source<'_, f32>,
        weight: &[f32],
        d_weight: Option<&mut [f32]>,
        d_bias: Option<&mut [f32]>,
        dx: Option<Sink<'_, f32>>,
    ) {
        check_source(&xs, shape.input_len(), shape.c);
        assert_eq!(weight.len(), shape.weight_len(), "length of the weight");
        assert_eq!(gradient.dz.len(), shape.output_len(), "length of the gradient");
        if let Some(n) = &gradient.norm {
            assert_eq!(n.y.len(), shape.output_len(), "length of the output");
            assert_eq!([n.a.len(), n.b.len(), n.c.len()], [shape.oc; 3], "norm gradient");
        }
        assert!(d_weight.as_ref().is_none_or(|d| d.len() == weight.len()), "weight gradient");
        assert!(d_bias.as_ref().is_none_or(|d| d.len() == shape.oc), "bias gradient");
        if let Some(sink) = &dx {
            check_sink(sink, shape.input_len(), shape.c);
        }
        if shape.is_depthwise() {
            depthwise::backward(self, shape, gradient, xs, weight, d_weight, d_bias, dx);
        } else {
            matrix::backward(self, shape, gradient, xs, weight, d_weight, d_bias, dx);
        }
    }

    fn add(
        &mut self,
        c: usize,
        a: Source<'_, f32>,
        b: Source<'_, f32>,
        activation: Activation,
        out: &mut [f32],
    ) {
        check_source(&a, out.len(), c);
        check_source(&b, out.len(), c);
        let (low, high) = activation.bounds();
        let (a, b, to) = (SourceView::new(a), SourceView::new(b), Shared(out.as_mut_ptr()));
        let (rows, parts, isa) = (out.len() / c, self.team.threads(), self.isa);
        self.team.run(|p| {
            let rows = part_of(rows, 1, p, parts);
            let bounds = [low as f32, high as f32];
            // SAFETY: `isa` is one of this machine; parts have rows of their own.
            unsafe { isa.run(AddRows { a, b, bounds, activation, to, c, rows }) };
        });
    }

    fn mul(
        &mut self,
        n: usize,
        positions: usize,
        c: usize,
        xs: Source<'_, f32>,
        gate: Source<'_, f32>,
        out: &mut [f32],
    ) {
        assert_eq!(out.len(), n * positions * c, "length of the output");
        check_source(&xs, out.len(), c);
        check_source(&gate, n * c, c);
        let (xs, gate) = (SourceView::new(xs), SourceView::new(gate));
        let (to, parts, isa) = (Shared(out.as_mut_ptr()), self.team.threads(), self.isa);
        self.team.run(|p| {
            let rows = part_of(n * positions, 1, p, parts);
            // SAFETY: `isa` is one of this machine; parts have rows of their own.
            unsafe { isa.run(MulRows { xs, gate, to, positions, c, rows }) };
        });
    }

    fn mul_backward(
        &mut self,
        n: usize,
        positions: usize,
        c: usize,
        gradient: &[f32],
        [xs, gate]: [Source<'_, f32>; 2],
        [dx, dgate]: [Option<Sink<'_, f32>>; 2],
    ) {
        check_source(&xs, gradient.len(), c);
        check_source(&gate, n * c, c);
        assert_eq!(gradient.len(), n * positions * c, "length of the gradient");
        if let Some(sink) = dgate {
            let mut sums = std::mem::take(&mut self.image);
            sums.reserve(n * c);
            let with = SourceView::new(Source::plain(gradient));
            let view = SourceView::new(xs);
            self.sum_positions([n, positions, c], view, Some(with), 1.0, &mut sums[..n * c]);
            self.pass_all(c, &sums[..n * c], Share::ALL, sink);
            self.image = sums;
        }
        if let Some(sink) = dx {
            let gate = Some((SourceView::new(gate), positions));
            self.pass_all(c, gradient, Share { gate, ..Share::ALL }, sink);
        }
    }

    fn pass(&mut self, c: usize, gradient: &[f32], sink: Sink<'_, f32>) {
        self.pass_all(c, gradient, Share::ALL, sink);
    }

    fn pool_forward(
        &mut self,
        n: usize,
        positions: usize,
        c: usize,
        xs: Source<'_, f32>,
        y: &mut [f32],
    ) {
        check_source(&xs, n * positions * c, c);
        assert_eq!(y.len(), n * c, "length of the output");
        let scale = 1.0 / positions as f32;
        self.sum_positions([n, positions, c], SourceView::new(xs), None, scale, y);
    }

    fn windows_forward(
        &mut self,
        shape: &PoolShape,
        pooling: Pooling,
        xs: Source<'_, f32>,
        y: &mut [f32],
    ) {
        check_source(&xs, shape.input_len(), shape.c);
        assert_eq!(y.len(), shape.output_len(), "length of the output");
        let (xs, y, isa) = (SourceView::new(xs), Shared(y.as_mut_ptr()), self.isa);
        self.for_windows(shape, |image, first, end| {
            let windows = Windows { shape, pooling, xs, image, first, end };
            // SAFETY: `isa` is one of this machine; tasks have images and channels of their own.
            unsafe { isa.run(windows::Forward { windows, y }) };
        });
    }

    fn windows_backward(
        &mut self,
        shape: &PoolShape,
        pooling: Pooling,
        gradient: &[f32],
        xs: Source<'_, f32>,
        sink: Sink<'_, f32>,
    ) {
        check_source(&xs, shape.input_len(), shape.c);
        assert_eq!(gradient.len(), shape.output_len(), "length of the gradient");
        let mut sums = std::mem::take(&mut self.image);
        sums.reserve(shape.input_len());
        sums[..shape.input_len()].fill(0.0);
        let (xs, dx, isa) = (SourceView::new(xs), Shared(sums.as_mut_ptr()), self.isa);
        let gradient = Fixed(gradient.as_ptr());
        self.for_windows(shape, |image, first, end| {
            let windows = Windows { shape, pooling, xs, image, first, end };
            // SAFETY: `isa` is one of this machine; tasks have images and channels of their own.
            unsafe { isa.run(windows::Backward { windows, gradient, dx }) };
        });
        self.pass_all(shape.c, &sums[..shape.input_len()], Share::ALL, sink);
        self.image = sums;
    }

    fn flatten(
        &mut self,
        n: usize,
        positions: usize,
        c: usize,
        xs: Source<'_, f32>,
        y: &mut [f32],
    ) {
        check_source(&xs, n * positions * c, c);
        assert_eq!(y.len(), xs.data.len(), "length of the output");
        if positions == 1 {
            // Nothing moves; the mean over one position is the position.
            return self.pool_forward(n, 1, c, xs, y);
        }
        for (i, y) in y.iter_mut().enumerate() {
            let (image, channel, position) =
                (i / (c * positions), i / positions % c, i % positions);
            *y = xs.at((image * positions + position) * c + channel, channel);
        }
    }

    fn flatten_backward(
        &mut self,
        n: usize,
        positions: usize,
        c: usize,
        gradient: &[f32],
        sink: Sink<'_, f32>,
    ) {
        assert_eq!(gradient.len(), n * positions * c, "length of the gradient");
        let mut turned = std::mem::take(&mut self.image);
        turned.reserve(gradient.len());
        for (i, &g) in gradient.iter().enumerate() {
            let (image, channel, position) =
                (i / (c * positions), i / positions % c, i % positions);
            turned[(image * positions + position) * c + channel] = g;
        }
        self.pass_all(c, &turned[..gradient.len()], Share::ALL, sink);
        self.image = turned;
    }

    fn pool_backward(
        &mut self,
        n: usize,
        positions: usize,
        c: usize,
        gradient: &[f32],
        sink: Sink<'_, f32>,
    ) {
        assert_eq!(gradient.len(), n * c, "length of the gradient");
        let share = Share { repeat: positions, scale: 1.0 / positions as f32, gate: None };
        self.pass_all(c, gradient, share, sink);
    }
}
