//! Work cut into one part a thread, and gradients passed on.
//!
//! Above: `cpu::device`, `cpu::matrix`. Below: `cpu::{pass, team, views}`. Not here: the operations (`cpu::device`).

use super::pass::Share;
use super::team::{SendMutPtr, part_of};
use super::views::SourceView;
use super::{Cpu, Part, SUM_CHANNELS};
use crate::{Device, PoolShape, Sink, Source};

impl Cpu {
    /// Calls `work(instruction set, tasks, scratch)` for every part of `count` tasks.
    pub(super) fn for_parts(
        &mut self,
        count: usize,
        work: impl Fn(crate::Isa, std::ops::Range<usize>, &mut Part) + Sync,
    ) {
        let (parts, isa) = (self.team.threads(), self.isa);
        let scratch = SendMutPtr(self.parts.as_mut_ptr());
        self.team.run(|p| {
            // SAFETY: every part has its own scratch, `parts` being as long as the team.
            work(isa, part_of(count, 1, p, parts), unsafe { &mut *scratch.get().add(p) });
        });
    }

    /// Lets `fill` overwrite a gradient of `len` elements, and passes it on.
    pub(super) fn through_image(
        &mut self,
        c: usize,
        len: usize,
        sink: Sink<'_, f32>,
        fill: impl FnOnce(&mut Self, &mut [f32]),
    ) {
        let mut image = std::mem::take(&mut self.image);
        image.reserve(len);
        fill(self, &mut image[..len]);
        self.pass_all(c, &image[..len], Share::ALL, sink);
        self.image = image;
    }

    /// The totals from `first` on, rounded.
    pub(super) fn write_totals(&self, first: usize, to: &mut [f32]) {
        to.iter_mut().enumerate().for_each(|(i, to)| *to = self.total(first + i) as f32);
    }

    /// Calls `run` with a source that has no curved activation: the one given, or a copy of it with the activation applied. For kernels
    /// that read a value more than once.
    pub(super) fn with_straight(
        &mut self,
        c: usize,
        xs: Source<'_, f32>,
        run: impl FnOnce(&mut Self, SourceView),
    ) {
        if !xs.activation.is_curved() {
            return run(self, SourceView::new(xs));
        }
        let mut copy = std::mem::take(&mut self.finished);
        let len = xs.data.len();
        copy.reserve(len);
        self.copy(c, xs, &mut copy[..len]);
        run(self, SourceView::new(Source::plain(&copy[..len])));
        self.finished = copy;
    }

    /// Calls `work(image, first channel, end)` for blocks of channels of all images.
    pub(super) fn for_windows(
        &mut self,
        shape: &PoolShape,
        work: impl Fn(usize, usize, usize) + Sync,
    ) {
        let (parts, blocks) = (self.team.threads(), shape.c.div_ceil(SUM_CHANNELS));
        self.team.run(|p| {
            for task in part_of(shape.n * blocks, 1, p, parts) {
                let first = task % blocks * SUM_CHANNELS;
                work(task / blocks, first, (first + SUM_CHANNELS).min(shape.c));
            }
        });
    }
}
