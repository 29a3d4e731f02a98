//! What is computed and moved in one direction.
//!
//! Above: `count`, `units`. Below: `taper-graph`. Not here: how many operations an operation has forward (`count`).

use std::ops::Add;

use taper_graph::{Extent, Op};

use crate::{Bytes, Flops, Macs};

/// Operations and bytes. Bytes are those that a perfect cache would move: every tensor once, weights included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Work {
    /// Products of convolutions, linear layers and attention.
    pub macs: Macs,
    /// What norms do.
    pub norms: Flops,
    /// What activations, sums, pools, softmax and resampling do.
    pub elementwise: Flops,
    /// Bytes read.
    pub read: Bytes,
    /// Bytes written.
    pub written: Bytes,
}

impl Work {
    /// All floating-point operations.
    #[must_use]
    pub fn flops(&self) -> Flops {
        Flops::from(self.macs) + self.norms + self.elementwise
    }

    /// All bytes.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        self.read + self.written
    }

    /// So many times as much: for a batch.
    #[must_use]
    pub fn times(&self, count: usize) -> Self {
        Self {
            macs: self.macs.times(count),
            norms: self.norms.times(count),
            elementwise: self.elementwise.times(count),
            read: self.read.times(count),
            written: self.written.times(count),
        }
    }

    /// Operations for each byte moved: the arithmetic intensity. Zero where nothing moves.
    /// Source: Williams, Waterman and Patterson 2009, "Roofline", <https://doi.org/10.1145/1498765.1498785>.
    #[must_use]
    pub fn intensity(&self) -> f64 {
        match self.bytes().0 {
            0 => 0.0,
            bytes => self.flops().0 as f64 / bytes as f64,
        }
    }
}

impl Add for Work {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            macs: self.macs + other.macs,
            norms: self.norms + other.norms,
            elementwise: self.elementwise + other.elementwise,
            read: self.read + other.read,
            written: self.written + other.written,
        }
    }
}

/// What an operation does on the way back, given what it does forward: `weight` says whether it has a parameter to be trained,
/// `below` by input whether anything below is.
pub(crate) fn backward(
    op: &Op,
    forward: Work,
    inputs: &[Extent],
    output: Extent,
    weight: bool,
    below: &[bool],
) -> Work {
    let passed = below.iter().filter(|&&needs| needs).count();
    if !weight && passed == 0 {
        return Work::default();
    }
    let needed = inputs.iter().zip(below).filter(|(_, needs)| **needs);
    let inputs_written: usize = needed.map(|(extent, _)| extent.len()).sum();
    let maps = Bytes::of_elements(inputs.iter().map(Extent::len).sum());
    let weights = Bytes(forward.read.0.saturating_sub(maps.0));
    let products = match op {
        // One for the gradient of each operand of its two products.
        Op::Attention { .. } => 2,
        // One for the gradient of the weight, and one for that of the input.
        _ => usize::from(weight) + usize::from(passed > 0),
    };
    Work {
        macs: forward.macs.times(products),
        // The sums of the statistics, and the gradient itself.
        norms: forward.norms.times(2),
        elementwise: forward.elementwise,
        read: Bytes::of_elements(output.len()) + forward.read,
        written: Bytes::of_elements(inputs_written) + if weight { weights } else { Bytes(0) },
    }
}
