//! Random numbers that depend on a key and on nothing else: no global state, no clock, no thread.
//!
//! Above: `loader` (order), `transform` (crops and flips), `augment`, `folder` (split). Below: `random::distribution`. Not here: weight
//! initialization (`model`), dropout (`engine`).
//! Source: Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators" (`SplitMix64`), constants as in
//! <https://prng.di.unimi.it/splitmix64.c>.

mod distribution;

/// A stream of random numbers named by a key, such as (seed, purpose, epoch, index).
///
/// ```
/// use taper_data::random::Rng;
/// let mut a = Rng::keyed([7, 0, 3]);
/// let mut b = Rng::keyed([7, 0, 3]);
/// assert_eq!(a.next_u64(), b.next_u64());
/// assert_ne!(Rng::keyed([7, 1, 3]).next_u64(), Rng::keyed([7, 0, 3]).next_u64());
/// ```
#[derive(Debug, Clone)]
pub struct Rng {
    state: u64,
}

/// The golden ratio's fraction in 64 bits: the step of the counter.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Rng {
    /// The stream of this key. Every word of the key is mixed in turn, so the words' order matters.
    #[must_use]
    pub fn keyed<const N: usize>(key: [u64; N]) -> Self {
        let mut state = 0;
        for word in key {
            state = mix(state ^ mix(word.wrapping_add(STEP))).wrapping_add(STEP);
        }
        Self { state }
    }

    /// 64 uniform bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(STEP);
        mix(self.state)
    }

    /// A uniform number in `[0, 1)`, a multiple of 2⁻⁵³.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// A uniform integer in `0..bound`, 0 if `bound` is 0. The bias is below `bound` · 2⁻⁶⁴.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the high half of a product is below bound"
    )]
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next_u64()) * bound as u128) >> 64) as usize
    }

    /// Puts the items into a uniformly random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

/// `SplitMix64`'s output function: a bijection whose every output bit depends on every input bit.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::Rng;

    #[test]
    fn the_stream_is_splitmix64() {
        // First outputs of the reference implementation for state 0.
        let mut rng = Rng { state: 0 };
        assert_eq!(rng.next_u64(), 0xe220_a839_7b1d_cdaf);
        assert_eq!(rng.next_u64(), 0x6e78_9e6a_a1b9_65f4);
    }

    #[test]
    fn units_fill_the_interval_evenly() {
        let mut bins = [0_usize; 10];
        let tenths: Vec<f64> = (1..10).map(|i| f64::from(i) / 10.0).collect();
        for index in 0..10_000 {
            let u = Rng::keyed([1, 2, index]).unit();
            assert!((0.0..1.0).contains(&u));
            bins[tenths.partition_point(|&t| t <= u)] += 1;
        }
        assert!(bins.iter().all(|&n| (880..1120).contains(&n)), "{bins:?}");
    }

    #[test]
    fn below_reaches_every_value_and_no_other() {
        let mut rng = Rng::keyed([5]);
        let mut seen = [false; 7];
        for _ in 0..200 {
            seen[rng.below(7)] = true;
        }
        assert_eq!(seen, [true; 7]);
        assert_eq!(rng.below(0), 0);
        assert_eq!(rng.below(1), 0);
    }

    #[test]
    fn shuffling_permutes() {
        let mut items: Vec<usize> = (0..100).collect();
        Rng::keyed([3]).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
