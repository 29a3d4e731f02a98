//! The operations of the fast device: lengths checked, then one part a thread.
//!
//! Above: `cpu`. Below: `device::checks`, `cpu::{matrix, depthwise, elementwise, views}`. Not here: what a part does.

use super::attention::{self, Attend};
use super::choice::{BackwardKernel, Input, InputGradient};
use super::elementwise::{AddRows, CopyRows, MulRows};
use super::group_norm::{self, Groups, Normalize, PreluRows};
use super::pass::Share;
use super::spatial::{MoveRows, ResampleRows};
use super::team::{SendMutPtr, SendPtr, part_of};
use super::views::SourceView;
use super::windows::{self, Windows};
use super::{Cpu, depthwise, matrix};
use crate::device::{Attended, checks};
use crate::{
    Activation, Affine, AttentionShape, ChannelMap, ConvGradient, ConvShape, Device, Epilogue,
    Moments, NormShape, PoolShape, Pooling, Sink, Source, SpatialMap,
};

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
        let (numbers, mut packed) = ((self.isa, self.precision), self.take_packed());
        packed.fill(numbers, shape, weight, |count, work| {
            self.for_parts(count, |_, tasks, _| tasks.for_each(work));
        });
        self.convolve(shape, xs, &packed, epilogue, y, moments);
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
        let (some_weight, some_bias) = (d_weight.as_deref(), d_bias.as_deref());
        checks::conv_backward(shape, &gradient, &xs, weight, some_weight, some_bias, dx.as_ref());
        let kernel = BackwardKernel::of(shape, self.isa, self.threads(), Input::of(&xs));
        match kernel.input {
            InputGradient::Depthwise => {
                depthwise::backward(self, shape, gradient, xs, weight, d_weight, d_bias, dx);
            }
            InputGradient::Product | InputGradient::Flipped(_) | InputGradient::Scattered => {
                matrix::backward(self, kernel, shape, gradient, xs, weight, d_weight, d_bias, dx);
            }
        }
    }

    fn conv_transpose(
        &mut self,
        shape: &ConvShape,
        xs: &[f32],
        weight: &[f32],
        bias: Option<&[f32]>,
        y: &mut [f32],
    ) {
        checks::conv_transpose(shape, xs, weight, bias, y);
        matrix::transpose(self, shape, xs, weight, bias, y);
    }

    fn add(
        &mut self,
        c: usize,
        a: Source<'_, f32>,
        b: Source<'_, f32>,
        activation: Activation,
        out: &mut [f32],
    ) {
        checks::add(c, &a, &b, out);
        let (low, high) = activation.bounds();
        let (a, b, to) = (SourceView::new(a), SourceView::new(b), SendMutPtr(out.as_mut_ptr()));
        let (rows, parts, isa) = (out.len() / c, self.team.threads(), self.isa);
        self.team.run(|p| {
            let rows = part_of(rows, 1, p, parts);
            let bounds = [low as f32, high as f32];
            // SAFETY: `isa` is one of this machine; parts have rows of their own.
            unsafe { isa.run(AddRows { a, b, bounds, activation, to, c, rows }) };
        });
    }

    fn copy(&mut self, c: usize, xs: Source<'_, f32>, out: &mut [f32]) {
        checks::copy(c, &xs, out);
        let (xs, to) = (SourceView::new(xs), SendMutPtr(out.as_mut_ptr()));
        self.for_parts(out.len() / c, |isa, rows, _| {
            // SAFETY: `isa` is one of this machine; parts have rows of their own.
            unsafe { isa.run(CopyRows { xs, to, c, rows }) };
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
        checks::mul([n, positions, c], &xs, &gate, out.len());
        let (xs, gate) = (SourceView::new(xs), SourceView::new(gate));
        let (to, parts, isa) = (SendMutPtr(out.as_mut_ptr()), self.team.threads(), self.isa);
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
        factors: [Source<'_, f32>; 2],
        sinks: [Option<Sink<'_, f32>>; 2],
    ) {
        checks::mul_backward([n, positions, c], gradient, &factors, &sinks);
        let ([xs, gate], [dx, dgate]) = (factors, sinks);
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
        checks::pass(c, gradient, &sink);
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
        checks::pool([n, positions, c], &xs, y);
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
        checks::windows(shape, &xs, y);
        self.with_straight(shape.c, xs, |cpu, xs| {
            let (y, isa) = (SendMutPtr(y.as_mut_ptr()), cpu.isa);
            cpu.for_windows(shape, |image, first, end| {
                let windows = Windows { shape, pooling, xs, image, first, end };
                // SAFETY: `isa` is one of this machine; tasks have images and channels of their own.
                unsafe { isa.run(windows::Forward { windows, y }) };
            });
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
        checks::windows_backward(shape, gradient, &xs, &sink);
        let mut sums = std::mem::take(&mut self.image);
        sums.reserve(shape.input_len());
        sums[..shape.input_len()].fill(0.0);
        let (dx, gradient) = (SendMutPtr(sums.as_mut_ptr()), SendPtr(gradient.as_ptr()));
        self.with_straight(shape.c, xs, |cpu, xs| {
            let isa = cpu.isa;
            cpu.for_windows(shape, |image, first, end| {
                let windows = Windows { shape, pooling, xs, image, first, end };
                // SAFETY: `isa` is one of this machine; tasks have images and channels of their own.
                unsafe { isa.run(windows::Backward { windows, gradient, dx }) };
            });
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
        checks::flatten([n, positions, c], &xs, y);
        if positions == 1 {
            // Nothing moves.
            return self.copy(c, xs, y);
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
        checks::flatten_backward([n, positions, c], gradient, &sink);
        let mut nhwc = std::mem::take(&mut self.image);
        nhwc.reserve(gradient.len());
        for (i, &g) in gradient.iter().enumerate() {
            let (image, channel, position) =
                (i / (c * positions), i / positions % c, i % positions);
            nhwc[(image * positions + position) * c + channel] = g;
        }
        self.pass_all(c, &nhwc[..gradient.len()], Share::ALL, sink);
        self.image = nhwc;
    }

    fn pool_backward(
        &mut self,
        n: usize,
        positions: usize,
        c: usize,
        gradient: &[f32],
        sink: Sink<'_, f32>,
    ) {
        checks::pool_backward([n, positions, c], gradient, &sink);
        let share = Share { repeat: positions, scale: 1.0 / positions as f32, gate: None };
        self.pass_all(c, gradient, share, sink);
    }

    fn resample(&mut self, map: &SpatialMap, xs: Source<'_, f32>, y: &mut [f32]) {
        checks::resample(map, &xs, y);
        let (y, rows) = (SendMutPtr(y.as_mut_ptr()), map.n * map.out()[0]);
        self.with_straight(map.c, xs, |cpu, xs| {
            cpu.for_parts(rows, |isa, rows, _| {
                // SAFETY: `isa` is one of this machine; parts have rows of their own.
                unsafe { isa.run(ResampleRows { map, xs, y, rows }) };
            });
        });
    }

    fn resample_backward(&mut self, map: &SpatialMap, gradient: &[f32], sink: Sink<'_, f32>) {
        checks::resample_backward(map, gradient, &sink);
        self.through_image(map.c, map.input_len(), sink, |cpu, dx| {
            cpu.resample(&map.transposed(), Source::plain(gradient), dx);
        });
    }

    fn move_channels(&mut self, rows: usize, map: &ChannelMap, xs: Source<'_, f32>, y: &mut [f32]) {
        checks::move_channels(rows, map, &xs, y);
        let (xs, y) = (SourceView::new(xs), SendMutPtr(y.as_mut_ptr()));
        self.for_parts(rows, |isa, rows, _| {
            // SAFETY: `isa` is one of this machine; parts have rows of their own.
            unsafe { isa.run(MoveRows { map, xs, y, rows }) };
        });
    }

    fn move_channels_backward(
        &mut self,
        rows: usize,
        map: &ChannelMap,
        gradient: &[f32],
        sink: Sink<'_, f32>,
    ) {
        checks::move_channels_backward(rows, map, gradient, &sink);
        self.through_image(map.in_channels, rows * map.in_channels, sink, |cpu, dx| {
            dx.fill(0.0);
            cpu.move_channels(rows, &map.reversed(), Source::plain(gradient), dx);
        });
    }

    fn group_norm(
        &mut self,
        shape: &NormShape,
        eps: f64,
        xs: Source<'_, f32>,
        affine: Affine<'_, f32>,
        y: &mut [f32],
    ) {
        checks::group_norm(shape, &xs, &affine, y);
        let (scale, shift) = (SendPtr(affine.scale.as_ptr()), SendPtr(affine.shift.as_ptr()));
        let y = SendMutPtr(y.as_mut_ptr());
        self.with_straight(shape.c, xs, |cpu, xs| {
            let groups = Groups { shape: *shape, eps, xs, scale };
            cpu.for_parts(shape.n * shape.groups, |isa, tasks, _| {
                // SAFETY: `isa` is one of this machine; parts have groups of their own.
                unsafe { isa.run(Normalize { groups, shift, y, tasks }) };
            });
        });
    }

    fn group_norm_backward(
        &mut self,
        shape: &NormShape,
        eps: f64,
        gradient: &[f32],
        xs: Source<'_, f32>,
        scale: &[f32],
        d_affine: [Option<&mut [f32]>; 2],
        sink: Option<Sink<'_, f32>>,
    ) {
        checks::group_norm_backward(shape, gradient, &xs, scale, &d_affine, sink.as_ref());
        let (c, scale) = (shape.c, SendPtr(scale.as_ptr()));
        let gradient = SendPtr(gradient.as_ptr());
        let mut image = std::mem::take(&mut self.image);
        image.reserve(shape.len());
        self.clear_totals(2 * c, true);
        let dx = SendMutPtr(image.as_mut_ptr());
        self.with_straight(c, xs, |cpu, xs| {
            let groups = Groups { shape: *shape, eps, xs, scale };
            cpu.for_parts(shape.n * shape.groups, |isa, tasks, part| {
                let totals = SendMutPtr(part.totals.as_mut_ptr());
                let job = group_norm::Differentiate { groups, gradient, dx, totals, tasks };
                // SAFETY: `isa` is one of this machine; parts have groups and totals of their own.
                unsafe { isa.run(job) };
            });
        });
        for (d, first) in d_affine.into_iter().zip([0, c]) {
            d.into_iter().for_each(|d| self.write_totals(first, d));
        }
        if let Some(sink) = sink {
            self.pass_all(c, &image[..shape.len()], Share::ALL, sink);
        }
        self.image = image;
    }

    fn prelu(&mut self, c: usize, xs: Source<'_, f32>, slope: &[f32], y: &mut [f32]) {
        checks::prelu(c, &xs, slope, y.len());
        let (to, shared) = (SendMutPtr(y.as_mut_ptr()), slope.len() == 1);
        let (slope, rows) = (SendPtr(slope.as_ptr()), y.len() / c);
        self.with_straight(c, xs, |cpu, xs| {
            cpu.for_parts(rows, |isa, rows, _| {
                let (gradient, totals) = (SendPtr::NULL, SendMutPtr::NULL);
                let job = PreluRows { xs, slope, shared, gradient, to, c, rows, totals };
                // SAFETY: `isa` is one of this machine; parts have rows of their own.
                unsafe { isa.run(job) };
            });
        });
    }

    fn prelu_backward(
        &mut self,
        c: usize,
        gradient: &[f32],
        xs: Source<'_, f32>,
        slope: &[f32],
        d_slope: Option<&mut [f32]>,
        sink: Option<Sink<'_, f32>>,
    ) {
        checks::prelu_backward(c, gradient, &xs, slope, d_slope.as_deref(), sink.as_ref());
        let len = gradient.len();
        let (shared, gradient) = (slope.len() == 1, SendPtr(gradient.as_ptr()));
        let slope = SendPtr(slope.as_ptr());
        let mut image = std::mem::take(&mut self.image);
        image.reserve(len);
        self.clear_totals(c, true);
        let to = SendMutPtr(image.as_mut_ptr());
        self.with_straight(c, xs, |cpu, xs| {
            cpu.for_parts(len / c, |isa, rows, part| {
                let totals = SendMutPtr(part.totals.as_mut_ptr());
                let job = PreluRows { xs, slope, shared, gradient, to, c, rows, totals };
                // SAFETY: `isa` is one of this machine; parts have rows and totals of their own.
                unsafe { isa.run(job) };
            });
        });
        match d_slope {
            Some([one]) => *one = (0..c).map(|c| self.total(c)).sum::<f64>() as f32,
            Some(d_slope) => self.write_totals(0, d_slope),
            None => {}
        }
        if let Some(sink) = sink {
            self.pass_all(c, &image[..len], Share::ALL, sink);
        }
        self.image = image;
    }

    fn attention(&mut self, shape: &AttentionShape, qkv: Attended<'_, f32>, y: &mut [f32]) {
        checks::attention(shape, &qkv, y.len());
        let (qkv, y, shape) = (qkv.map(SourceView::new), SendMutPtr(y.as_mut_ptr()), *shape);
        self.for_parts(shape.n * shape.kv_heads, |isa, tasks, part| {
            let job = Attend { shape, qkv, y, tasks, scratch: &mut part.tile };
            // SAFETY: `isa` is one of this machine; parts have heads of their own.
            unsafe { isa.run(job) };
        });
    }

    fn attention_backward(
        &mut self,
        shape: &AttentionShape,
        gradient: &[f32],
        qkv: Attended<'_, f32>,
        sinks: [Option<Sink<'_, f32>>; 3],
    ) {
        checks::attention_backward(shape, gradient, &qkv, &sinks);
        let mut gradients = qkv.map(|source| vec![0.0; source.data.len()]);
        let d = gradients.each_mut().map(|g| SendMutPtr(g.as_mut_ptr()));
        let (qkv, gradient, shape) = (qkv.map(SourceView::new), SendPtr(gradient.as_ptr()), *shape);
        self.for_parts(shape.n * shape.kv_heads, |isa, tasks, part| {
            let scratch = &mut part.tile;
            let job = attention::Differentiate { shape, qkv, gradient, d, tasks, scratch };
            // SAFETY: `isa` is one of this machine; parts have heads of their own.
            unsafe { isa.run(job) };
        });
        for ((g, sink), c) in gradients.iter().zip(sinks).zip(shape.channels()) {
            if let Some(sink) = sink {
                self.pass_all(c, g, Share::ALL, sink);
            }
        }
    }
}
