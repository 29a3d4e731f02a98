//! Every fast kernel, on every instruction set of this machine, against its scalar twin over the whole legal space.
#![expect(
    clippy::expect_used,
    clippy::cast_possible_truncation,
    reason = "rounding to single precision is the point"
)]

mod around;
mod halves;
mod maximum;

use proptest::prelude::{Strategy, any, prop_assert, proptest};
use proptest::test_runner::TestCaseError;
use taper_kernels::{
    Activation, Affine, ConvGradient, ConvShape, Cpu, Device, Epilogue, Isa, Mask, Moments,
    NormGradient, PoolShape, PoolWindow, Pooling, Reference, Sink, Source, Tally,
};

/// A stream of values in `-1..1`, the same for the same seed.
struct Stream(u64);

impl Stream {
    fn next(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let bits = (self.0 >> 40) as f64;
        bits / f64::from(1u32 << 23) - 1.0
    }
    fn vec(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.next() as f32).collect()
    }
}

/// A convolution with everything around it, in both precisions.
#[derive(Clone, Debug)]
struct ConvProblem {
    shape: [usize; 4],
    oc: usize,
    kernel: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    pads: [usize; 4],
    groups: usize,
    seed: u64,
    normed: bool,
    masked: bool,
    accumulate: bool,
    activation: Activation,
    threads: usize,
}

const ACTIVATIONS: [Activation; 12] = [
    Activation::Identity,
    Activation::Relu,
    Activation::Relu6,
    Activation::HardSwish,
    Activation::HardSigmoid,
    Activation::Silu,
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::Mish,
    Activation::LeakyRelu { slope: 0.1 },
];

fn activations() -> impl Strategy<Value = Activation> {
    proptest::sample::select(&ACTIVATIONS[..])
}

fn flags() -> impl Strategy<Value = (u64, bool, bool, bool, Activation, usize)> {
    (any::<u64>(), any::<bool>(), any::<bool>(), any::<bool>(), activations(), 1..4usize)
}

/// Kernel size, stride and dilation of both axes, and padding of four sides.
fn windows() -> impl Strategy<Value = ([usize; 2], [usize; 2], [usize; 2], [usize; 4])> {
    let pair = |r: std::ops::Range<usize>| [r.clone(), r];
    (pair(1..6), pair(1..4), pair(1..3), [0..4usize, 0..4usize, 0..4usize, 0..4usize])
}

fn pointwise() -> impl Strategy<Value = ConvProblem> {
    ((1..4usize, 1..20usize, 1..20usize, 1..70usize), 1..140usize, flags()).prop_map(
        |((n, h, w, c), oc, f)| problem([n, h, w, c], oc, ([1; 2], [1; 2], [1; 2], [0; 4]), 1, f),
    )
}

fn depthwise() -> impl Strategy<Value = ConvProblem> {
    ((1..3usize, 1..16usize, 1..16usize, 2..150usize), windows(), flags())
        .prop_map(|((n, h, w, c), window, f)| problem([n, h, w, c], c, window, c, f))
}

fn grouped() -> impl Strategy<Value = ConvProblem> {
    ((1..3usize, 1..12usize, 1..12usize), (1..12usize, 1..24usize, 1..4usize), windows(), flags())
        .prop_map(|((n, h, w), (ic, oc, g), window, f)| {
            problem([n, h, w, ic * g], oc * g, window, g, f)
        })
}

type Windows = ([usize; 2], [usize; 2], [usize; 2], [usize; 4]);

fn problem(
    shape: [usize; 4],
    oc: usize,
    (kernel, stride, dilation, pads): Windows,
    groups: usize,
    (seed, normed, masked, accumulate, activation, threads): (
        u64,
        bool,
        bool,
        bool,
        Activation,
        usize,
    ),
) -> ConvProblem {
    ConvProblem {
        shape,
        oc,
        kernel,
        stride,
        dilation,
        pads,
        groups,
        seed,
        normed,
        masked,
        accumulate,
        activation,
        threads,
    }
}

/// All that the two passes of a device write.
#[derive(Debug)]
struct Outcome {
    y: Vec<f64>,
    inferred: Vec<f64>,
    mean: Vec<f64>,
    var: Vec<f64>,
    d_weight: Vec<f64>,
    d_bias: Vec<f64>,
    dx: Vec<f64>,
    sum: Vec<f64>,
    dot: Vec<f64>,
}

impl ConvProblem {
    fn shape(&self) -> Option<ConvShape> {
        let Self { shape, oc, kernel, stride, dilation, pads, groups, .. } = *self;
        ConvShape::new(shape, oc, kernel, stride, dilation, pads, groups)
    }

    fn run<T: taper_kernels::Real>(&self, device: &mut impl Device<T>) -> Outcome {
        let s = self.shape().expect("a legal shape");
        let mut stream = Stream(self.seed);
        let mut values = |len: usize, scale: f64, center: f64| -> Vec<T> {
            let values = stream.vec(len);
            values
                .into_iter()
                .map(|v| T::from_f64((f64::from(v) * scale + center) as f32 as f64))
                .collect()
        };
        let (c, oc) = (self.shape[3], self.oc);
        let (x, weight) = (values(s.input_len(), 3.0, 0.5), values(s.weight_len(), 0.5, 0.0));
        let (scale, shift) = (values(c, 0.5, 1.0), values(c, 0.5, 0.2));
        let (bias, residual) = (values(oc, 1.0, 0.0), values(s.output_len(), 1.0, 0.0));
        let (dz, y) = (values(s.output_len(), 1.0, 0.0), values(s.output_len(), 1.0, 0.0));
        let (a, b, k) = (values(oc, 0.5, 1.0), values(oc, 0.1, 0.0), values(oc, 0.1, 0.0));
        let (mean, share) = (values(c, 0.3, 0.0), values(s.input_len(), 1.0, 0.0));
        let affine = self.normed.then_some(Affine { scale: &scale[..], shift: &shift[..] });
        let xs = Source { data: &x, affine, activation: self.activation };

        let zeros = |len| vec![T::default(); len];
        let (mut out, mut inferred) = (zeros(s.output_len()), zeros(s.output_len()));
        let (mut mu, mut var) = (zeros(oc), zeros(oc));
        let moments = Moments { mean: &mut mu, var: &mut var };
        device.conv_forward(&s, xs, &weight, Epilogue::default(), &mut out, Some(moments));
        let epilogue = Epilogue {
            bias: Some(&bias),
            residual: self.accumulate.then_some(&residual[..]),
            activation: self.activation,
        };
        device.conv_forward(&s, xs, &weight, epilogue, &mut inferred, None);

        let norm = self.normed.then_some(NormGradient { y: &y, a: &a, b: &b, c: &k });
        let (mut d_weight, mut d_bias) = (zeros(s.weight_len()), zeros(oc));
        let mut dx = share.clone();
        let (mut sum, mut dot) = (vec![0.0; c], vec![0.0; c]);
        let sink = Sink {
            out: &mut dx,
            accumulate: self.accumulate,
            mask: self.masked.then_some(Mask { source: xs }),
            tally: self.masked.then_some(Tally {
                y: &x,
                mean: &mean,
                sum: &mut sum,
                dot: &mut dot,
            }),
        };
        let gradient = ConvGradient { dz: &dz, norm };
        device.conv_backward(
            &s,
            gradient,
            xs,
            &weight,
            Some(&mut d_weight),
            Some(&mut d_bias),
            Some(sink),
        );
        let wide = |v: &[T]| v.iter().map(|v| v.to_f64()).collect::<Vec<f64>>();
        Outcome {
            y: wide(&out),
            inferred: wide(&inferred),
            mean: wide(&mu),
            var: wide(&var),
            d_weight: wide(&d_weight),
            d_bias: wide(&d_bias),
            dx: wide(&dx),
            sum,
            dot,
        }
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let Some(s) = self.shape() else {
            return Ok(());
        };
        // Positions that sums run over: of gradients of weights and biases, and of what the norm below needs.
        let (outputs, inputs) = (s.output_len() / self.oc, s.input_len() / self.shape[3]);
        // The twin runs in the same precision where activations cut, so that both sides see the same side of each edge.
        let truth = self.run::<f32>(&mut Reference);
        // What the norm below needs sums gradients of the input, each of which is a sum over output channels already.
        let gradient = truth.dx.iter().fold(1.0_f64, |m, v| m.max(v.abs()));
        for isa in Isa::here() {
            let mut cpu =
                Cpu::with_isa(self.threads, isa).expect("an instruction set of this machine");
            let fast = self.run(&mut cpu);
            for (name, fast, truth, (terms, order)) in [
                ("y", &fast.y, &truth.y, (TERMS, 1.0)),
                ("inferred", &fast.inferred, &truth.inferred, (TERMS, 1.0)),
                ("mean", &fast.mean, &truth.mean, (TERMS, 1.0)),
                ("var", &fast.var, &truth.var, (TERMS, 1.0)),
                ("d_weight", &fast.d_weight, &truth.d_weight, (outputs, 1.0)),
                ("d_bias", &fast.d_bias, &truth.d_bias, (outputs, 1.0)),
                ("dx", &fast.dx, &truth.dx, (TERMS, 1.0)),
                ("sum", &fast.sum, &truth.sum, (inputs, gradient)),
                ("dot", &fast.dot, &truth.dot, (inputs, gradient)),
            ] {
                close_sums(&format!("{name} on {isa:?}"), fast, truth, (terms.max(TERMS), order))?;
            }
        }
        Ok(())
    }
}

/// Terms of a sum whose magnitude below a tenth counts as a tenth ([`close_sums`]).
const TERMS: usize = 25;

/// Largest difference at most 2e-5 of the largest magnitude: single precision, sums of up to a few thousand terms. Terms are of
/// order one and may cancel, so magnitudes below a tenth count as a tenth.
fn close(name: &str, fast: &[f64], truth: &[f64]) -> Result<(), TestCaseError> {
    close_sums(name, fast, truth, (TERMS, 1.0))
}

/// The same for sums of so many terms of this order. Their rounding errors add up like a random walk, however much of the sum
/// cancels, so magnitudes below a fiftieth of the root of their number, in units of a term, count as that much.
fn close_sums(
    name: &str,
    fast: &[f64],
    truth: &[f64],
    (terms, order): (usize, f64),
) -> Result<(), TestCaseError> {
    let least = (terms as f64).sqrt() / 50.0 * order;
    let scale = truth.iter().fold(least, |m, v| m.max(v.abs()));
    prop_assert!(fast.len() == truth.len());
    for (i, (f, t)) in fast.iter().zip(truth).enumerate() {
        prop_assert!(
            (f - t).abs() <= 2e-5 * scale,
            "{name}[{i}]: {f} but the twin says {t} (scale {scale})"
        );
    }
    Ok(())
}

proptest! {
    #[test]
    fn pointwise_equals_its_twin(problem in pointwise()) {
        problem.check()?;
    }

    #[test]
    fn depthwise_equals_its_twin(problem in depthwise()) {
        problem.check()?;
    }

    #[test]
    fn dense_and_grouped_equal_their_twin(problem in grouped()) {
        problem.check()?;
    }

    #[test]
    fn operations_without_weights_equal_their_twins(n in 1..4usize, positions in 1..60usize, c in 1..70usize, f in flags()) {
        let (seed, normed, masked, accumulate, activation, threads) = f;
        let run = |device: &mut dyn Device<f32>| {
            let mut stream = Stream(seed);
            let len = n * positions * c;
            let (a, b, g) = (stream.vec(len), stream.vec(len), stream.vec(n * c));
            let (scale, shift, mean) = (stream.vec(c), stream.vec(c), stream.vec(c));
            let affine = normed.then_some(Affine { scale: &scale[..], shift: &shift[..] });
            let source = Source { data: &a[..], affine, activation };
            let (mut sum, mut pooled, mut dx) = (vec![0.0; len], vec![0.0; n * c], b.clone());
            device.add(c, source, Source::plain(&b), activation, &mut sum);
            let gate = Source { data: &g[..], affine, activation };
            let (mut gated, mut dgate) = (vec![0.0; len], g.clone());
            device.mul(n, positions, c, source, gate, &mut gated);
            device.pool_forward(n, positions, c, source, &mut pooled);
            let (mut s, mut d) = (vec![0.0; c], vec![0.0; c]);
            let tally = masked.then_some(Tally { y: &a[..], mean: &mean[..], sum: &mut s, dot: &mut d });
            let mask = masked.then_some(Mask { source });
            device.pool_backward(n, positions, c, &g, Sink { out: &mut dx, accumulate, mask, tally });
            let mut passed = b.clone();
            device.pass(c, &a, Sink { out: &mut passed, accumulate, mask, tally: None });
            let (mut dgated, mut s2, mut d2) = (b.clone(), vec![0.0; c], vec![0.0; c]);
            let gate_mask = masked.then_some(Mask { source: gate });
            let tally = masked.then_some(Tally { y: &a[..], mean: &mean[..], sum: &mut s2, dot: &mut d2 });
            device.mul_backward(n, positions, c, &b, [source, gate], [
                Some(Sink { out: &mut dgated, accumulate, mask, tally }),
                Some(Sink { out: &mut dgate, accumulate, mask: gate_mask, tally: None }),
            ]);
            let (mut flat, mut dflat) = (vec![0.0; len], b.clone());
            device.flatten(n, positions, c, source, &mut flat);
            device.flatten_backward(n, positions, c, &a, Sink { out: &mut dflat, accumulate, mask, tally: None });
            let mut copied = vec![0.0; len];
            device.copy(c, source, &mut copied);
            let wide = |v: Vec<f32>| v.into_iter().map(f64::from).collect::<Vec<f64>>();
            [wide(sum), wide(pooled), wide(dx), wide(passed), s, d, wide(gated), wide(dgated), wide(dgate), s2, d2, wide(flat), wide(dflat), wide(copied)]
        };
        let truth = run(&mut Reference);
        for isa in Isa::here() {
            let fast = run(&mut Cpu::with_isa(threads, isa).expect("an instruction set of this machine"));
            for (fast, truth) in fast.iter().zip(&truth) {
                close(&format!("{isa:?}"), fast, truth)?;
            }
        }
    }
}

/// A pooling of either kind; `None` for windows that do not fit.
fn pool_shape() -> impl Strategy<Value = Option<PoolShape>> {
    let sizes = (1..4usize, 1..14usize, 1..14usize, 1..80usize);
    let pair = |r: std::ops::Range<usize>| [r.clone(), r];
    let window = (pair(1..5), pair(1..4), pair(1..3), [0..3usize, 0..3usize, 0..3usize, 0..3usize]);
    (sizes, window, pair(1..6), any::<bool>(), any::<bool>()).prop_map(
        |((n, h, w, c), (kernel, stride, dilation, pads), out, adaptive, counts_padding)| {
            if adaptive {
                return PoolShape::adaptive([n, h, w, c], out);
            }
            let window = PoolWindow { kernel, stride, dilation, pads, counts_padding };
            let outs = [0, 1].map(|axis| {
                let size = [h, w][axis] + pads[axis] + pads[axis + 2];
                let reach = (kernel[axis] - 1) * dilation[axis] + 1;
                size.checked_sub(reach).map_or(0, |room| room / stride[axis] + 1)
            });
            PoolShape::sliding([n, h, w, c], &window, outs)
        },
    )
}

proptest! {
    #[test]
    fn windows_equal_their_twin(shape in pool_shape(), f in flags(), c_ties in any::<bool>()) {
        let Some(shape) = shape else { return Ok(()) };
        let (seed, normed, masked, accumulate, activation, threads) = f;
        let (len, c) = (shape.input_len(), shape.channels());
        let run = |device: &mut dyn Device<f32>, pooling: Pooling| {
            let mut stream = Stream(seed);
            let mut x = stream.vec(len);
            if c_ties {
                x.iter_mut().for_each(|x| *x = (*x * 2.0).round());
            }
            let (scale, shift, old) = (stream.vec(c), stream.vec(c), stream.vec(len));
            let gradient = stream.vec(shape.output_len());
            let affine = normed.then_some(Affine { scale: &scale[..], shift: &shift[..] });
            let source = Source { data: &x[..], affine, activation };
            let (mut y, mut dx) = (vec![0.0; shape.output_len()], old);
            device.windows_forward(&shape, pooling, source, &mut y);
            let mask = masked.then_some(Mask { source });
            let sink = Sink { out: &mut dx, accumulate, mask, tally: None };
            device.windows_backward(&shape, pooling, &gradient, source, sink);
            let wide = |v: Vec<f32>| v.into_iter().map(f64::from).collect::<Vec<f64>>();
            [wide(y), wide(dx)]
        };
        for pooling in [Pooling::Max, Pooling::Mean, Pooling::Lp { p: 2.0 }, Pooling::Lp { p: 3.5 }] {
            // Equal values must be equal in both: a fused multiply-add or another exponential may part them. A norm's slope at
            // small values depends on their last digits in the same way.
            if pooling != Pooling::Mean && (normed || activation.is_curved()) {
                continue;
            }
            let truth = run(&mut Reference, pooling);
            for isa in Isa::here() {
                let fast = run(&mut Cpu::with_isa(threads, isa).expect("an instruction set of this machine"), pooling);
                for (fast, truth) in fast.iter().zip(&truth) {
                    close(&format!("{pooling:?} on {isa:?}"), fast, truth)?;
                }
            }
        }
    }
}

#[test]
fn the_same_threads_give_the_same_bits() {
    let problem = ConvProblem {
        shape: [3, 14, 14, 40],
        oc: 72,
        kernel: [1, 1],
        stride: [1, 1],
        dilation: [1, 1],
        pads: [0; 4],
        groups: 1,
        seed: 7,
        normed: true,
        masked: true,
        accumulate: false,
        activation: Activation::Relu6,
        threads: 2,
    };
    let run = || problem.run(&mut Cpu::new(2));
    let (first, second) = (run(), run());
    assert_eq!(first.d_weight, second.d_weight);
    assert_eq!(first.sum, second.sum);
    assert_eq!(first.var, second.var);
}

#[test]
fn a_nan_is_not_hidden_by_an_activation() {
    for isa in Isa::here() {
        let mut cpu = Cpu::with_isa(1, isa).expect("an instruction set of this machine");
        let shape = ConvShape::linear(1, 1, 1).expect("a legal shape");
        let epilogue = Epilogue { activation: Activation::Relu6, ..Epilogue::default() };
        let mut y = [0.0];
        cpu.conv_forward(&shape, Source::plain(&[f32::NAN]), &[1.0], epilogue, &mut y, None);
        assert!(y[0].is_nan(), "{isa:?}");
    }
}

#[test]
fn curved_activations_are_right_far_out_too() {
    for activation in ACTIVATIONS {
        for isa in Isa::here() {
            let mut cpu = Cpu::with_isa(1, isa).expect("an instruction set of this machine");
            let values = [
                -1e30f32, -200.0, -88.0, -20.0, -3.0, -1e-3, 0.0, 1e-3, 3.0, 6.0, 30.0, 100.0, 1e30,
            ];
            for z in values {
                let source = Source { data: &[z][..], affine: None, activation };
                let mut y = [0.0];
                cpu.pool_forward(1, 1, 1, source, &mut y);
                let truth = activation.apply(f64::from(z));
                let error = (f64::from(y[0]) - truth).abs();
                assert!(
                    error <= 1e-6 * truth.abs().max(1.0),
                    "{activation:?} of {z} on {isa:?}: {} for {truth}",
                    y[0]
                );
            }
        }
    }
}

#[test]
fn every_aarch64_machine_has_neon() {
    assert_eq!(Isa::here().contains(&Isa::Neon), cfg!(target_arch = "aarch64"));
}
