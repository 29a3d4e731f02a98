//! The fast device: `f32`, SIMD by runtime detection, all cores.
//!
//! Above: `engine`. Below: `device::checks`, `cpu::{choice, device, matrix, depthwise, pack, packed, pass, taps, gemm, views, team}`. Not here:
//! the slow twin (`reference`).
//! Work is cut into one part a thread by position, never by chance, and sums over parts run in order: results depend on the
//! number of threads and on nothing else.

mod attention;
mod choice;
mod curves;
mod depthwise;
mod device;
mod elementwise;
mod gemm;
mod group_norm;
mod matrix;
mod pack;
mod packed;
mod parts;
mod pass;
mod spatial;
mod taps;
mod team;
mod trace;
mod unroll;
mod views;
mod windows;

pub use choice::{
    BackwardKernel, DepthwiseRow, ForwardKernel, Input, InputGradient, Operand, Split,
    WeightGradient,
};
use elementwise::SumPositions;
use matrix::{Product, Reads};
pub use packed::Packed;
use pass::Share;
pub use team::Team;
use team::{SendMutPtr, SendPtr, part_of};
use views::{SinkView, SourceView};

use crate::device::checks;
use crate::{AlignedBuf, ConvShape, Epilogue, Isa, MatmulPrecision, Moments, Sink, Source, Tally};

/// A machine's cores and their scratch memory. Implements [`Device`](crate::Device) for `f32`.
///
/// Cheap to make; the scratch grows to what the largest layer needs, and stays.
pub struct Cpu {
    isa: Isa,
    precision: MatmulPrecision,
    team: Team,
    parts: Vec<Part>,
    packed: Packed,
    image: AlignedBuf<f32>,
    /// A gradient with its norm's share applied, or an input with its activation applied.
    finished: AlignedBuf<f32>,
    flipped: AlignedBuf<f32>,
}

/// Whether products of bfloat16 can be computed here.
pub(crate) fn has_bf16() -> bool {
    gemm::halves::is_here()
}

/// Channels of a task of a sum over positions.
const SUM_CHANNELS: usize = 64;

/// Variance over squared mean, times the root of the number of values, below which a variance is summed again. Sums of 512 squares in
/// `f32` are off by up to 1.3e-6 of themselves (200 draws), and those of many such blocks by as much less as the root of how many they
/// are; at this spread that leaves a variance within 2e-5, and what is normalized with it within 1e-5.
const SMALL_SPREAD: f64 = 4.0;

/// One part's scratch.
#[derive(Default)]
struct Part {
    /// Input rows.
    tile: AlignedBuf<f32>,
    /// Gradient rows.
    gradient: AlignedBuf<f32>,
    /// Sums of a tile, on their way to `totals`.
    sums: AlignedBuf<f32>,
    totals: Vec<f64>,
    d_weight: AlignedBuf<f32>,
    /// Rounded factors; see `gemm::halves`.
    halves: AlignedBuf<f32>,
    d_bias: Vec<f64>,
    taps: Vec<taps::Tap>,
    /// Input rows under a window.
    rows: Vec<SendPtr<f32>>,
}

impl std::fmt::Debug for Cpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cpu({:?}, {} threads)", self.isa, self.team.threads())
    }
}

impl Cpu {
    /// The most threads of a device.
    pub const MOST_THREADS: usize = 1024;

    /// A device of `threads` threads (0: all cores), with the machine's best instruction set.
    ///
    /// # Panics
    /// If there are more than [`Cpu::MOST_THREADS`].
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self::build(threads, Isa::best(), MatmulPrecision::F32)
    }

    /// A device that uses one instruction set; `None` if this machine does not have it.
    ///
    /// # Panics
    /// If there are more than [`Cpu::MOST_THREADS`].
    #[must_use]
    pub fn with_isa(threads: usize, isa: Isa) -> Option<Self> {
        Isa::here().contains(&isa).then(|| Self::build(threads, isa, MatmulPrecision::F32))
    }

    /// A device that multiplies in this precision, with the machine's best instruction set; `None` if this machine has no means for it.
    ///
    /// # Panics
    /// If there are more than [`Cpu::MOST_THREADS`].
    #[must_use]
    pub fn with_matmul_precision(threads: usize, precision: MatmulPrecision) -> Option<Self> {
        precision.is_here().then(|| Self::build(threads, Isa::best(), precision))
    }

    fn build(threads: usize, isa: Isa, precision: MatmulPrecision) -> Self {
        let most = Self::MOST_THREADS;
        assert!(threads <= most, "a device of {threads} threads; {most} are the most");
        let team = Team::new(threads);
        let parts = (0..team.threads()).map(|_| Part::default()).collect();
        let [image, finished, flipped] = std::array::from_fn(|_| AlignedBuf::default());
        let packed = Packed::empty();
        Self { isa, precision, team, parts, packed, image, finished, flipped }
    }

    /// The instruction set in use.
    #[must_use]
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// What products are computed in.
    #[must_use]
    pub fn precision(&self) -> MatmulPrecision {
        self.precision
    }

    /// The threads in use.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.team.threads()
    }

    /// Packs a weight `(oc, c / groups, kh, kw)` for [`Cpu::conv_packed`].
    ///
    /// # Panics
    /// If the weight has another length than the shape says.
    #[must_use]
    pub fn pack(&self, shape: &ConvShape, weight: &[f32]) -> Packed {
        let mut packed = Packed::empty();
        packed.fill((self.isa, self.precision), shape, weight, |count, work| {
            (0..count).for_each(work);
        });
        packed
    }

    /// [`Device::conv_forward`](crate::Device::conv_forward) with a weight packed before, by a device with the same instruction set, for
    /// a shape with the same channels, kernel and groups.
    ///
    /// # Panics
    /// If the weight was packed for another instruction set, other channels, another kernel or other groups, or a slice has another length
    /// than the shape says.
    pub fn conv_packed(
        &mut self,
        shape: &ConvShape,
        xs: Source<'_, f32>,
        packed: &Packed,
        epilogue: Epilogue<'_, f32>,
        y: &mut [f32],
    ) {
        checks::conv(shape, &xs, &epilogue, y, None);
        packed.check((self.isa, self.precision), shape);
        let kernel = ForwardKernel::of(shape, self.isa, self.threads(), Input::of(&xs));
        self.run_forward::<false>(kernel, shape, xs, None, packed, epilogue, y, None);
    }

    /// [`Cpu::conv_packed`] that gathers the moments of `y` if asked.
    fn convolve(
        &mut self,
        shape: &ConvShape,
        xs: Source<'_, f32>,
        packed: &Packed,
        epilogue: Epilogue<'_, f32>,
        y: &mut [f32],
        moments: Option<Moments<'_, f32>>,
    ) {
        if moments.is_none() {
            return self.conv_packed(shape, xs, packed, epilogue, y);
        }
        checks::conv(shape, &xs, &epilogue, y, moments.as_ref());
        packed.check((self.isa, self.precision), shape);
        let kernel = ForwardKernel::of(shape, self.isa, self.threads(), Input::of(&xs));
        self.run_forward::<true>(kernel, shape, xs, None, packed, epilogue, y, moments);
    }

    /// Runs the kernel that was chosen for a shape and its input. Without `COUNTED` there are no moments, and the code that gathers them
    /// is not compiled in: a program that trains nothing goes without.
    fn run_forward<const COUNTED: bool>(
        &mut self,
        kernel: ForwardKernel,
        shape: &ConvShape,
        xs: Source<'_, f32>,
        gate: Option<&[f32]>,
        packed: &Packed,
        epilogue: Epilogue<'_, f32>,
        y: &mut [f32],
        moments: Option<Moments<'_, f32>>,
    ) {
        let product = match kernel {
            ForwardKernel::Depthwise { row, operand, bands } => {
                let chosen = (row, operand, bands);
                return depthwise::forward::<COUNTED>(
                    self, chosen, shape, xs, packed, epilogue, y, moments,
                );
            }
            ForwardKernel::Pointwise { operand, split } => {
                Product { merged: 1, split, reads: Reads::Pointwise(operand) }
            }
            ForwardKernel::Dense { merged, bands, split } => {
                Product { merged, split, reads: Reads::Dense { bands } }
            }
        };
        let moments = moments.filter(|_| COUNTED);
        matrix::forward(self, product, shape, xs, gate, packed, epilogue, y, moments);
    }

    /// [`Cpu::conv_packed`] of a pointwise convolution that reads `xs·gate`, as after a squeeze-and-excite: `xs` is `(n, h, w, c)`, `gate`
    /// `(n, c)`.
    ///
    /// The product is never written: its rows pass through scratch in cache, or the gate goes into a copy of the weights, whichever
    /// are fewer numbers.
    ///
    /// # Panics
    /// If the convolution is not pointwise, or as [`Cpu::conv_packed`].
    ///
    /// # Examples
    /// ```
    /// use taper_kernels::{ConvShape, Cpu, Epilogue};
    /// let shape = ConvShape::new([1, 1, 2, 2], 1, [1, 1], [1, 1], [1, 1], [0; 4], 1).unwrap();
    /// let (mut cpu, mut y) = (Cpu::new(1), [0.0; 2]);
    /// let packed = cpu.pack(&shape, &[1.0, 10.0]);
    /// cpu.conv_gated(&shape, &[1.0, 2.0, 3.0, 4.0], &[1.0, 0.5], &packed, Epilogue::default(), &mut y);
    /// assert_eq!(y, [11.0, 23.0]);
    /// ```
    pub fn conv_gated(
        &mut self,
        shape: &ConvShape,
        xs: &[f32],
        gate: &[f32],
        packed: &Packed,
        epilogue: Epilogue<'_, f32>,
        y: &mut [f32],
    ) {
        assert!(shape.is_pointwise(), "a gate before a convolution that is not pointwise");
        let xs = Source::plain(xs);
        checks::conv(shape, &xs, &epilogue, y, None);
        checks::gate(shape, gate);
        packed.check((self.isa, self.precision), shape);
        let mut kernel = ForwardKernel::of(shape, self.isa, self.threads(), Input::Gated);
        if let ForwardKernel::Pointwise { operand, .. } = &mut kernel
            && packed.panels.is_paired()
        {
            // What is rounded is not multiplied any more.
            *operand = Operand::Scaled;
        }
        self.run_forward::<false>(kernel, shape, xs, Some(gate), packed, epilogue, y, None);
    }

    /// Calls `work` with every item, each thread with items of its own: the first thread with the first `len / threads`, and so on.
    ///
    /// For pieces of work that need no second core, such as one image of many. A panic of any reaches the caller.
    ///
    /// # Examples
    /// ```
    /// let mut numbers = [1, 2, 3];
    /// taper_kernels::Cpu::new(2).each(&mut numbers, |n| *n *= 10);
    /// assert_eq!(numbers, [10, 20, 30]);
    /// ```
    pub fn each<T: Send>(&mut self, items: &mut [T], work: impl Fn(&mut T) + Sync) {
        let (len, parts, first) =
            (items.len(), self.team.threads(), SendMutPtr(items.as_mut_ptr()));
        self.team.run(|p| {
            for i in part_of(len, 1, p, parts) {
                // SAFETY: parts have items of their own, and every part is done once.
                work(unsafe { &mut *first.get().add(i) });
            }
        });
    }

    /// Scratch for a weight; whoever is done with it puts it back.
    fn take_packed(&mut self) -> Packed {
        std::mem::replace(&mut self.packed, Packed::empty())
    }

    /// Makes every part's totals `len` zeros.
    fn clear_totals(&mut self, len: usize, wanted: bool) {
        for part in &mut self.parts {
            part.totals.clear();
            part.totals.resize(if wanted { len } else { 0 }, 0.0);
        }
    }

    fn total(&self, at: usize) -> f64 {
        self.parts.iter().map(|p| p.totals[at]).sum()
    }

    /// Moments of `y` from the parts' `Σ y` and, `stride` behind, `Σ y²`.
    ///
    /// Where the spread is small beside the mean, the difference of sums has lost its digits: those channels, rare in
    /// real networks, are read once more.
    fn moments(&self, y: &[f32], stride: usize, moments: Moments<'_, f32>) {
        let channels = moments.mean.len();
        let count = (y.len() / channels) as f64;
        for (c, (mean, var)) in moments.mean.iter_mut().zip(moments.var).enumerate() {
            let (sum, squares) = (self.total(c), self.total(stride + c));
            let center = sum / count;
            let mut spread = squares / count - center * center;
            if spread * count.sqrt() < SMALL_SPREAD * center * center {
                let deviations = y.iter().skip(c).step_by(channels).map(|&v| f64::from(v) - center);
                spread = deviations.map(|d| d * d).sum::<f64>() / count;
            }
            *mean = center as f32;
            *var = spread as f32;
        }
    }

    /// A tally from the parts' `Σ dz` and, `stride` behind, `Σ dz·(y − mean)`.
    fn tally(&self, stride: usize, tally: Tally<'_, f32>) {
        for (c, (sum, dot)) in tally.sum.iter_mut().zip(tally.dot).enumerate() {
            (*sum, *dot) = (self.total(c), self.total(stride + c));
        }
    }

    fn sum_positions(
        &mut self,
        [n, positions, c]: [usize; 3],
        xs: SourceView,
        with: Option<SourceView>,
        scale: f32,
        y: &mut [f32],
    ) {
        let (to, parts, isa) = (SendMutPtr(y.as_mut_ptr()), self.team.threads(), self.isa);
        let blocks = c.div_ceil(SUM_CHANNELS);
        self.team.run(|p| {
            for task in part_of(n * blocks, 1, p, parts) {
                let (image, first) = (task / blocks, task % blocks * SUM_CHANNELS);
                let channels = first..(first + SUM_CHANNELS).min(c);
                let job = SumPositions { xs, with, scale, to, positions, c, image, channels };
                // SAFETY: `isa` is one of this machine; tasks have images and channels of their own.
                unsafe { isa.run(job) };
            }
        });
    }

    /// Writes a gradient of whole rows through a sink that was checked for its rows times `share.repeat`.
    fn pass_all(&mut self, c: usize, gradient: &[f32], share: Share, mut sink: Sink<'_, f32>) {
        let view = SinkView::new(&mut sink);
        let rows = gradient.len() / c * share.repeat;
        matrix::pass_rows(self, SendPtr(gradient.as_ptr()), share, view, c, rows);
        if let Some(tally) = sink.tally {
            self.tally(c, tally);
        }
    }
}
