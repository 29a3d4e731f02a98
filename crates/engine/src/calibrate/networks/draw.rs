//! Random choices.
//!
//! Above: `networks`. Below: `random`. Not here: what is chosen.

use crate::random;

/// Random choices, one after the other.
pub(super) struct Draw {
    seed: u64,
    stream: u64,
    index: u64,
}

impl Draw {
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        Self { seed, stream, index: 0 }
    }

    pub(super) fn unit(&mut self) -> f64 {
        self.index += 1;
        random::uniform(self.seed, self.stream, self.index)
    }

    pub(super) fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number from 0 to less than `len`"
    )]
    pub(super) fn below(&mut self, len: usize) -> usize {
        ((self.unit() * len as f64) as usize).min(len - 1)
    }

    pub(super) fn log_between(&mut self, [low, high]: [f64; 2]) -> f64 {
        low * (high / low).powf(self.unit())
    }

    /// A number of channels near `mean`, mostly a multiple of 8.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a few thousand channels at most"
    )]
    pub(super) fn channels(&mut self, mean: f64) -> usize {
        let channels = self.log_between([mean * 0.7, mean * 1.4]) as usize;
        let multiple = self.of(&[8, 8, 8, 16, 16, 32, 32, 4]);
        channels.next_multiple_of(multiple).max(8)
    }
}
