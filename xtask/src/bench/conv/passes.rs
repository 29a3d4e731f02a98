//! One convolution with all its tensors, run forward or backward.
//!
//! Above: `conv`. Below: `taper_kernels`. Not here: which convolutions (`cases`), the peer's side (`xtask/bench/conv.py`).
//! Activations are `(n, h, w, c)`, weights `(oc, c / groups, kh, kw)`, as a trainer has them: weights are packed within each run,
//! and results are written where those of the last run were.

use clap::ValueEnum;
use taper_kernels::{
    AlignedBuf, ConvGradient, ConvShape, Cpu, Device as _, Epilogue, Sink, Source,
};

/// Values of each result that contestants compare.
const PROBES: usize = 64;

/// What is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Pass {
    /// The output
    Forward,
    /// The gradients of input and weight
    Backward,
}

impl Pass {
    pub(super) fn name(self) -> &'static str {
        match self {
            Pass::Forward => "forward",
            Pass::Backward => "backward",
        }
    }

    /// How much work it is, in forward passes.
    pub(super) fn forwards(self) -> usize {
        match self {
            Pass::Forward => 1,
            Pass::Backward => 2,
        }
    }
}

/// A convolution ready to run.
pub(super) struct Passes {
    cpu: Cpu,
    shape: ConvShape,
    xs: AlignedBuf<f32>,
    weight: AlignedBuf<f32>,
    /// The gradient that enters the backward pass.
    dy: AlignedBuf<f32>,
    y: AlignedBuf<f32>,
    dx: AlignedBuf<f32>,
    d_weight: AlignedBuf<f32>,
}

impl Passes {
    pub(super) fn new(shape: ConvShape, threads: usize) -> Self {
        let results = [shape.output_len(), shape.input_len(), shape.weight_len()];
        let [y, dx, d_weight] = results.map(AlignedBuf::zeroed);
        Self {
            cpu: Cpu::new(threads),
            shape,
            xs: values(shape.input_len(), 0),
            weight: values(shape.weight_len(), 1),
            dy: values(shape.output_len(), 2),
            y,
            dx,
            d_weight,
        }
    }

    pub(super) fn run(&mut self, pass: Pass) {
        let Self { cpu, shape, xs, weight, dy, y, dx, d_weight } = self;
        let xs = Source::plain(xs);
        match pass {
            Pass::Forward => cpu.conv_forward(shape, xs, weight, Epilogue::default(), y, None),
            Pass::Backward => {
                let gradient = ConvGradient { dz: dy, norm: None };
                let sink = Sink { out: dx, accumulate: false, mask: None, tally: None };
                let d_weight = Some(&mut d_weight[..]);
                cpu.conv_backward(shape, gradient, xs, weight, d_weight, None, Some(sink));
            }
        }
    }

    /// Some values of each result of a pass, which has been run.
    pub(super) fn probes(&self, pass: Pass) -> Vec<Vec<f32>> {
        match pass {
            Pass::Forward => vec![probe(&self.y)],
            Pass::Backward => vec![probe(&self.dx), probe(&self.d_weight)],
        }
    }
}

/// Values from `-1..1` that look random and that the peer makes too: a hash of the index and of `seed`.
///
/// Source: `fmix32` of `MurmurHash3`, Austin Appleby, public domain.
fn values(len: usize, seed: u32) -> AlignedBuf<f32> {
    let mut values = AlignedBuf::zeroed(len);
    for (value, index) in values.iter_mut().zip(0u32..) {
        let mut hash = index ^ (seed << 29);
        hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
        hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
        hash ^= hash >> 16;
        *value = (hash >> 8) as f32 / (1 << 23) as f32 - 1.0;
    }
    values
}

/// As many values as there are probes, from the whole length.
fn probe(values: &[f32]) -> Vec<f32> {
    (0..PROBES).map(|at| values[at * values.len() / PROBES]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_spread_evenly_and_differ_by_seed() {
        let (a, b) = (values(10_000, 0), values(10_000, 2));
        let mean = |values: &[f32]| values.iter().sum::<f32>() / values.len() as f32;
        let product: Vec<f32> = a.iter().zip(b.iter()).map(|(a, b)| a * b).collect();
        assert!(mean(&a).abs() < 0.02 && mean(&b).abs() < 0.02 && mean(&product).abs() < 0.02);
        assert!(a.iter().all(|value| (-1.0..1.0).contains(value)));
    }

    /// What `values(4, 1)` of `xtask/bench/conv.py` gives.
    #[test]
    fn the_peer_makes_the_same_values() {
        let theirs = [0.991_393_57, -0.407_267_7, 0.537_842_3, -0.242_726_92];
        assert_eq!(values(4, 1)[..], theirs);
    }

    #[test]
    fn both_passes_fill_what_is_probed() {
        let shape = ConvShape::new([2, 6, 6, 8], 16, [3; 2], [2; 2], [1; 2], [1; 4], 2).unwrap();
        let mut passes = Passes::new(shape, 1);
        for (pass, results) in [(Pass::Forward, 1), (Pass::Backward, 2)] {
            passes.run(pass);
            let probes = passes.probes(pass);
            assert_eq!(probes.len(), results);
            assert!(probes.iter().all(|probe| probe.iter().filter(|v| **v == 0.0).count() < 4));
        }
    }
}
