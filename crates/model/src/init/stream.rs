//! Streams of random numbers: one for each seed and name; uniform, normal and truncated normal.
//!
//! Above: `init`. Below: `rand_chacha`. Not here: which distribution a parameter begins with (`init`).
//! Numbers are drawn in `f64` and rounded to `f32`.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::{at_least, finite};
use crate::{Error, Result};

/// A stream of random numbers; `ChaCha8`, whose values its authors promise not to change.
pub(super) struct Stream(ChaCha8Rng);

impl Stream {
    pub(super) fn new(seed: u64, name: &str) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(fnv1a(name));
        Self(rng)
    }

    /// Uniform in `[0, 1)`, 53 bits.
    fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(super) fn uniforms(&mut self, n: usize, low: f64, high: f64) -> Vec<f32> {
        let (middle, half) = (0.5 * low + 0.5 * high, 0.5 * high - 0.5 * low);
        (0..n).map(|_| narrow(middle + (2.0 * self.unit() - 1.0) * half)).collect()
    }

    /// Pairs of normals by Box and Muller.
    pub(super) fn normals(&mut self, n: usize, mean: f64, std: f64) -> Vec<f32> {
        let mut data = Vec::with_capacity(n + 1);
        while data.len() < n {
            data.extend(self.normal_pair(std).map(|z| narrow(mean + z)));
        }
        data.truncate(n);
        data
    }

    /// Two independent normals of mean 0.
    fn normal_pair(&mut self, std: f64) -> [f64; 2] {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt() * std;
        let (sin, cos) = (std::f64::consts::TAU * self.unit()).sin_cos();
        [radius * cos, radius * sin]
    }

    pub(super) fn truncated_normals(&mut self, n: usize, truncated: &Truncated) -> Vec<f32> {
        let Truncated { mean, std, low, high, .. } = *truncated;
        let draw = |_| narrow(mean + std * self.truncated(truncated)).clamp(low, high);
        (0..n).map(draw).collect()
    }

    /// A standard normal in `[from, to]`, by proposing until one is accepted.
    fn truncated(&mut self, truncated: &Truncated) -> f64 {
        let Truncated { from, to, .. } = *truncated;
        loop {
            let (proposed, accepted) = match truncated.proposal() {
                Proposal::Normal => {
                    let [z, _] = self.normal_pair(1.0);
                    (z, if (from..=to).contains(&z) { 1.0 } else { 0.0 })
                }
                Proposal::Uniform => {
                    let z = from + (to - from) * self.unit();
                    (z, (-0.5 * z * z).exp())
                }
                Proposal::Tail { side } => {
                    let (near, far) = if side > 0.0 { (from, to) } else { (-to, -from) };
                    let (z, accepted) = self.tail(near, far);
                    (side * z, accepted)
                }
            };
            if self.unit() < accepted {
                return proposed;
            }
        }
    }

    /// A proposal in `[near, far]`, `near > 0`, exponential of rate `r`, and the chance to accept it, `e^(r z − z² / 2)` over the
    /// largest such value. Robert 1995, <https://arxiv.org/abs/0907.4010>, proposition 2.3, gives the best rate.
    fn tail(&mut self, near: f64, far: f64) -> (f64, f64) {
        let rate = 0.5 * (near + (near * near + 4.0).sqrt());
        let share = -(-rate * (far - near)).exp_m1();
        let z = near - (-self.unit() * share).ln_1p() / rate;
        let best = rate.min(far);
        (z, (-0.5 * (z - rate).powi(2) + 0.5 * (best - rate).powi(2)).exp())
    }
}

/// A normal distribution between two bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Truncated {
    mean: f64,
    std: f64,
    /// The bounds, rounded inward to `f32`.
    low: f32,
    high: f32,
    /// The bounds in standard deviations from the mean.
    from: f64,
    to: f64,
}

/// What a truncated normal is picked from.
enum Proposal {
    Normal,
    Uniform,
    Tail { side: f64 },
}

impl Truncated {
    /// Farthest that both bounds may lie from the mean, in standard deviations: beyond, their difference has lost its digits.
    const FARTHEST: f64 = 1e6;

    pub(super) fn new(mean: f64, std: f64, low: f64, high: f64) -> Result<Self> {
        finite("the mean", mean)?;
        if !(std > 0.0 && std.is_finite()) {
            let expected = "a finite number above 0".into();
            return Err(Error::InitNumber { what: "the standard deviation", got: std, expected });
        }
        finite("the lower bound", low)?;
        at_least("the upper bound", high, low)?;
        let (from, to) = ((low - mean) / std, (high - mean) / std);
        let [inner_low, inner_high] = [up(low), down(high)];
        let nearest = if from > 0.0 { from } else { (-to).max(0.0) };
        if inner_low > inner_high || nearest > Self::FARTHEST {
            return Err(Error::InitTruncation { mean, std, low, high });
        }
        Ok(Self { mean, std, low: inner_low, high: inner_high, from, to })
    }

    /// Whichever is accepted most often: about one time in two, or more.
    fn proposal(&self) -> Proposal {
        if self.from > 0.0 {
            Proposal::Tail { side: 1.0 }
        } else if self.to < 0.0 {
            Proposal::Tail { side: -1.0 }
        } else if self.to - self.from > std::f64::consts::TAU.sqrt() {
            Proposal::Normal
        } else {
            // On a width of √τ, the area under the bell, both are accepted equally often.
            Proposal::Uniform
        }
    }
}

/// The smallest `f32` that is not below `bound`.
fn up(bound: f64) -> f32 {
    let rounded = narrow(bound);
    if f64::from(rounded) < bound { rounded.next_up() } else { rounded }
}

/// The largest `f32` that is not above `bound`.
fn down(bound: f64) -> f32 {
    -up(-bound)
}

#[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
pub(super) fn narrow(value: f64) -> f32 {
    value as f32
}

/// Fowler, Noll and Vo's hash, 64 bits: names the stream of a parameter.
fn fnv1a(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
