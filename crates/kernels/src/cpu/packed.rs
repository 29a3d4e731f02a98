//! A weight in the order kernels read it, which knows what it was packed for.
//!
//! Above: `cpu`, `cpu::{matrix, depthwise}`. Below: `cpu::pack`. Not here: the order itself (`cpu::pack`, `depthwise::pack_weight`).

use super::pack::Panels;
use super::{depthwise, matrix};
use crate::device::checks;
use crate::{AlignedBuf, ConvShape, Isa, MatmulPrecision};

/// A weight in the order the forward kernels of one instruction set read it. Made by [`Cpu::pack`](crate::Cpu::pack), shared freely
/// between threads.
///
/// ```
/// use taper_kernels::{ConvShape, Cpu, Epilogue, Source};
/// let mut cpu = Cpu::new(1);
/// let packed = cpu.pack(&ConvShape::linear(1, 2, 1).unwrap(), &[1.0, 10.0]);
/// // Any batch will do, other channels will not.
/// let (shape, mut y) = (ConvShape::linear(2, 2, 1).unwrap(), [0.0; 2]);
/// cpu.conv_packed(&shape, Source::plain(&[1.0, 2.0, 3.0, 4.0]), &packed, Epilogue::default(), &mut y);
/// assert_eq!(y, [21.0, 43.0]);
/// ```
#[derive(Debug)]
pub struct Packed {
    pub(super) data: AlignedBuf<f32>,
    pub(super) panels: Panels,
    /// `None` until there is a whole weight.
    made_for: Option<MadeFor>,
}

/// All that the order of a packed weight depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct MadeFor {
    isa: Isa,
    precision: MatmulPrecision,
    c: usize,
    oc: usize,
    kernel: [usize; 2],
    groups: usize,
}

impl MadeFor {
    fn new((isa, precision): (Isa, MatmulPrecision), s: &ConvShape) -> Self {
        Self { isa, precision, c: s.c, oc: s.oc, kernel: s.kernel, groups: s.groups }
    }
}

impl Packed {
    /// No weight, and scratch for one.
    pub(super) fn empty() -> Self {
        Self {
            data: AlignedBuf::default(),
            panels: Panels::new(Isa::Portable, 0, 0),
            made_for: None,
        }
    }

    /// Packs a weight; `run(count, work)` calls `work` with all numbers below `count`.
    pub(super) fn fill(
        &mut self,
        numbers: (Isa, MatmulPrecision),
        s: &ConvShape,
        weight: &[f32],
        run: impl FnOnce(usize, &(dyn Fn(usize) + Sync)),
    ) {
        checks::weight(s, weight);
        let (isa, _) = numbers;
        self.made_for = None;
        if s.is_depthwise() {
            self.data.reserve(s.kernel[0] * s.kernel[1] * s.c.next_multiple_of(isa.lanes()));
            depthwise::pack_weight(s, isa.lanes(), weight, &mut self.data);
        } else {
            matrix::pack_forward(numbers, s, weight, self, run);
        }
        self.made_for = Some(MadeFor::new(numbers, s));
    }

    /// # Panics
    /// If the weight is none of this convolution with this instruction set and precision.
    pub(super) fn check(&self, numbers: (Isa, MatmulPrecision), s: &ConvShape) {
        let (made_for, wanted) = (self.made_for, MadeFor::new(numbers, s));
        assert!(
            made_for == Some(wanted),
            "a weight packed for {made_for:?}, used for {wanted:?}: pack it for the device and the convolution that use it"
        );
    }
}
