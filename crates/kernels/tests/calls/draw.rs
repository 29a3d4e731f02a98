//! Arguments drawn from a seed: sizes, lengths that fit and one that does not, values.
//!
//! Above: all of this test. Below: nothing. Not here: which arguments an operation has (`operations`).
//! The same seed draws the same arguments again, for every device.

use taper_kernels::{Activation, Affine, Mask, Sink, Source, Tally};

/// Sizes beyond all memory, some of whose products wrap to small numbers.
const HUGE: [usize; 5] = [
    usize::MAX,
    usize::MAX / 2 + 1,
    1 << (usize::BITS / 2),
    usize::MAX / 3,
    (1 << (usize::BITS - 2)) + 1,
];

/// Elements beyond which a slice is too long to be made.
const LONGEST: usize = 1 << 20;

#[derive(Clone)]
pub(crate) struct Draw {
    state: u64,
    /// Lengths to go until one is wrong; none when there are fewer.
    wrong_in: usize,
    illegal: bool,
    boundless: bool,
    said: Vec<String>,
}

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        let state = (seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut draw =
            Self { state, wrong_in: 0, illegal: false, boundless: false, said: Vec::new() };
        draw.wrong_in = draw.below(16);
        draw
    }

    /// Whether something drawn makes the call one that must be refused.
    pub(crate) fn is_illegal(&self) -> bool {
        self.illegal
    }

    /// Whether something drawn is so large that memory may not suffice.
    pub(crate) fn is_boundless(&self) -> bool {
        self.boundless
    }

    /// What was drawn, for messages.
    pub(crate) fn said(&self) -> String {
        self.said.join("\n")
    }

    pub(crate) fn say(&mut self, what: &str, value: impl std::fmt::Debug) {
        self.said.push(format!("{what}: {value:?}"));
    }

    pub(crate) fn refuse_if(&mut self, illegal: bool) {
        self.illegal |= illegal;
    }

    /// Takes back that a length was wrong.
    pub(crate) fn accept(&mut self) {
        self.illegal = false;
    }

    /// Says that something drawn is so large that memory may not suffice.
    pub(crate) fn unbound(&mut self) {
        self.boundless = true;
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.state = self
            .state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.state >> 40).unwrap_or_default() % n
    }

    /// A number in `-1..1`.
    fn number(&mut self) -> f32 {
        self.below(1 << 24) as f32 / (1 << 23) as f32 - 1.0
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// A size of `1..=most`, rarely zero or huge.
    pub(crate) fn size(&mut self, most: usize) -> usize {
        match self.below(40) {
            0 => 0,
            1 => {
                self.boundless = true;
                self.pick(&HUGE)
            }
            _ => 1 + self.below(most),
        }
    }

    pub(crate) fn sizes<const N: usize>(&mut self, most: usize) -> [usize; N] {
        std::array::from_fn(|_| self.size(most))
    }

    /// A slice of `len` values, or of another length when it is its turn to be wrong, or when `len` (`None`: of a product that overflows)
    /// is too long for any slice.
    pub(crate) fn values(&mut self, what: &str, len: Option<usize>) -> Vec<f32> {
        let right = len.filter(|&len| len <= LONGEST);
        let wrong = self.wrong_in == 0;
        self.wrong_in = self.wrong_in.wrapping_sub(1);
        let got = match right {
            Some(len) if !wrong => len,
            Some(len) => {
                let others = [len + 1, len.saturating_sub(1), 2 * len + 3, 0, len + 16];
                self.pick(&others)
            }
            None => self.below(4),
        };
        self.say(what, format!("{got} elements, {len:?} would be right"));
        self.illegal |= Some(got) != right;
        (0..got).map(|_| self.number()).collect()
    }

    /// As [`Draw::values`], or nothing.
    pub(crate) fn some_values(&mut self, what: &str, len: Option<usize>) -> Option<Vec<f32>> {
        (!self.one_in(3)).then(|| self.values(what, len))
    }

    /// A tensor that is what it says.
    pub(crate) fn plain(&mut self, what: &str, len: Option<usize>) -> Tensor {
        Tensor { data: self.values(what, len), affine: None, activation: Activation::Identity }
    }

    /// A tensor that nobody reads, of any length.
    pub(crate) fn unread(&mut self) -> Tensor {
        let data = vec![0.0; self.below(4)];
        Tensor { data, affine: None, activation: Activation::Identity }
    }

    /// A tensor of `len` elements and `c` channels, as it is read.
    pub(crate) fn tensor(&mut self, what: &str, len: Option<usize>, c: usize) -> Tensor {
        let data = self.values(what, len);
        let normed = self.one_in(3);
        let affine = normed.then(|| [self.values("scale", Some(c)), self.values("shift", Some(c))]);
        let activation = self.pick(&[Activation::Identity, Activation::Relu, Activation::Silu]);
        Tensor { data, affine, activation }
    }

    /// Where a gradient goes.
    pub(crate) fn target(&mut self, what: &str, len: Option<usize>, c: usize) -> Target {
        let out = self.values(what, len);
        let mask = self.one_in(3).then(|| self.tensor("mask", len, c));
        let tally = self.one_in(3).then(|| {
            let sums = ["sum", "dot"].map(|what| self.values(what, Some(c)));
            let sums = sums.map(|sum| sum.into_iter().map(f64::from).collect());
            Tallied {
                y: self.values("output of the tally", len),
                mean: self.values("mean", Some(c)),
                sums,
            }
        });
        Target { out, accumulate: self.one_in(2), mask, tally }
    }

    pub(crate) fn some_target(
        &mut self,
        what: &str,
        len: Option<usize>,
        c: usize,
    ) -> Option<Target> {
        (!self.one_in(4)).then(|| self.target(what, len, c))
    }
}

/// The owner of a [`Source`].
#[derive(Clone)]
pub(crate) struct Tensor {
    pub(crate) data: Vec<f32>,
    affine: Option<[Vec<f32>; 2]>,
    activation: Activation,
}

impl Tensor {
    pub(crate) fn source(&self) -> Source<'_, f32> {
        let affine = self.affine.as_ref().map(|[scale, shift]| Affine { scale, shift });
        Source { data: &self.data, affine, activation: self.activation }
    }
}

/// The owner of a [`Sink`].
pub(crate) struct Target {
    out: Vec<f32>,
    accumulate: bool,
    mask: Option<Tensor>,
    tally: Option<Tallied>,
}

/// The owner of a [`Tally`].
struct Tallied {
    y: Vec<f32>,
    mean: Vec<f32>,
    sums: [Vec<f64>; 2],
}

impl Target {
    pub(crate) fn sink(&mut self) -> Sink<'_, f32> {
        Sink {
            out: &mut self.out,
            accumulate: self.accumulate,
            mask: self.mask.as_ref().map(|mask| Mask { source: mask.source() }),
            tally: self.tally.as_mut().map(|Tallied { y, mean, sums: [sum, dot] }| Tally {
                y,
                mean,
                sum,
                dot,
            }),
        }
    }

    pub(crate) fn written(self) -> Vec<Vec<f64>> {
        let mut written = vec![wide(&self.out)];
        written.extend(self.tally.into_iter().flat_map(|tally| tally.sums));
        written
    }
}

pub(crate) fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

/// Elements of rows of which no argument says how many there are: where no slice can hold them there are none.
pub(crate) fn told_by_slices(rows: usize, c: usize) -> Option<usize> {
    product(&[rows, c]).filter(|&len| len <= LONGEST).or(Some(0))
}

/// The product of sizes; `None` if it overflows.
pub(crate) fn product(sizes: &[usize]) -> Option<usize> {
    let is_empty = sizes.contains(&0);
    let product = sizes.iter().try_fold(1usize, |p, &s| p.checked_mul(s));
    if is_empty { Some(0) } else { product }
}
