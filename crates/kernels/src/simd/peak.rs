//! The arithmetic limit of a thread: multiply-adds that touch no memory.
//!
//! Above: whoever asks how near a kernel is to what the machine can do (xtask). Below: `simd`. Not here: the limit of memory.

use std::hint::black_box;

use super::{Isa, Kernel, Simd};

/// Sums that do not wait for each other: more than any core has multiply-adds in flight, and few enough for 16 registers.
const SUMS: usize = 12;

/// The most lanes of any instruction set.
const LANES: usize = 64;

struct Peak<'a> {
    rounds: usize,
    factor: f32,
    sums: &'a mut [f32; LANES],
    macs: &'a mut u64,
}

impl Isa {
    /// Runs `rounds` rounds of multiply-adds on registers alone, on this thread; returns how many multiply-accumulates they were.
    ///
    /// # Panics
    /// If this machine does not have the instruction set.
    ///
    /// # Examples
    /// ```
    /// use taper_kernels::Isa;
    /// assert_eq!(Isa::Portable.multiply_adds(10), 10 * 12 * 8);
    /// ```
    #[must_use]
    pub fn multiply_adds(self, rounds: usize) -> u64 {
        assert!(Self::here().contains(&self), "{self:?} is not here");
        let (mut sums, mut macs) = ([0.0; LANES], 0);
        let peak = Peak { rounds, factor: black_box(0.5), sums: &mut sums, macs: &mut macs };
        // SAFETY: `self` is one of this machine, as was just checked.
        unsafe { self.run(peak) };
        black_box(sums);
        macs
    }
}

impl Kernel for Peak<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: `sums` has room for every instruction set's lanes.
        unsafe {
            // x = x/2 + 1/2 stays at 1: no value ever becomes slow.
            let (half, mut sums) = (S::splat(self.factor), [S::splat(1.0); SUMS]);
            for _ in 0..self.rounds {
                for sum in &mut sums {
                    *sum = S::fma(*sum, half, half);
                }
            }
            let mut total = sums[0];
            for &sum in &sums[1..] {
                total = S::add(total, sum);
            }
            S::store_some(self.sums.as_mut_ptr(), total, S::LANES);
        }
        *self.macs = (self.rounds * SUMS * S::LANES) as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::Isa;

    #[test]
    fn every_instruction_set_counts_its_lanes() {
        for isa in Isa::here() {
            assert_eq!(isa.multiply_adds(100), 100 * 12 * isa.lanes() as u64, "{isa:?}");
        }
    }
}
