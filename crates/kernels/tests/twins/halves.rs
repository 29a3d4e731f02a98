//! Products of bfloat16 against the scalar twin: numbers that bfloat16 holds are multiplied as they are, others after they are rounded.

use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};
use proptest::test_runner::TestCaseError;
use taper_kernels::{
    Activation, Affine, ConvGradient, ConvShape, Cpu, Device, Epilogue, MatmulPrecision, Moments,
    Reference, Sink, Source,
};

use super::{Stream, activations, windows};

/// A convolution, whose threads are 1 or 2.
#[derive(Clone, Debug)]
struct Problem {
    shape: ConvShape,
    input: [usize; 4],
    oc: usize,
    seed: u64,
    threads: usize,
}

fn pointwise() -> impl Strategy<Value = Problem> {
    let sizes = (1..3usize, 1..16usize, 1..16usize, 1..150usize, 1..150usize);
    (sizes, any::<u64>(), 1..3usize)
        .prop_map(|((n, h, w, c, oc), seed, threads)| of_one_tap([n, h, w, c], oc, seed, threads))
}

fn of_one_tap(input: [usize; 4], oc: usize, seed: u64, threads: usize) -> Problem {
    let shape = ConvShape::new(input, oc, [1; 2], [1; 2], [1; 2], [0; 4], 1).expect("a shape");
    Problem { shape, input, oc, seed, threads }
}

fn dense() -> impl Strategy<Value = Option<Problem>> {
    let sizes = (1..3usize, 1..14usize, 1..14usize, 1..40usize, 1..70usize, 1..3usize);
    (sizes, windows(), any::<u64>(), 1..3usize).prop_map(
        |((n, h, w, ic, oc, g), (kernel, stride, dilation, pads), seed, threads)| {
            let (input, oc) = ([n, h, w, ic * g], oc * g);
            let shape = ConvShape::new(input, oc, kernel, stride, dilation, pads, g)?;
            Some(Problem { shape, input, oc, seed, threads })
        },
    )
}

/// Numbers of seven bits: products of two are whole sixty-fourths, and sums of as many as these shapes have are exact in `f32`.
fn short(stream: &mut Stream, len: usize) -> Vec<f32> {
    stream.vec(len).into_iter().map(|x| (x * 15.0).round() / 8.0).collect()
}

/// To nearest, ties to even.
fn rounded(x: f32) -> f32 {
    let bits = x.to_bits();
    f32::from_bits((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff_0000)
}

/// Output, mean and variance of its channels, and gradients of weight, bias and input.
type Outcome = [Vec<f32>; 6];

/// Both passes.
fn run(
    device: &mut impl Device<f32>,
    problem: &Problem,
    xs: Source<'_, f32>,
    [weight, dz]: [&[f32]; 2],
) -> Outcome {
    let (s, oc) = (&problem.shape, problem.oc);
    let zeros = |len| vec![0.0; len];
    let [mut y, mut mean, mut var] = [s.output_len(), oc, oc].map(zeros);
    let moments = Moments { mean: &mut mean, var: &mut var };
    device.conv_forward(s, xs, weight, Epilogue::default(), &mut y, Some(moments));
    let [mut dw, mut db, mut dx] = [s.weight_len(), oc, s.input_len()].map(zeros);
    let sink = Sink { out: &mut dx, accumulate: false, mask: None, tally: None };
    let gradient = ConvGradient { dz, norm: None };
    device.conv_backward(s, gradient, xs, weight, Some(&mut dw), Some(&mut db), Some(sink));
    [y, mean, var, dw, db, dx]
}

fn near(fast: &Outcome, truth: &Outcome, problem: &Problem) -> Result<(), TestCaseError> {
    for (i, (fast, truth)) in fast.iter().zip(truth).enumerate() {
        for (fast, truth) in fast.iter().zip(truth) {
            let most = 2e-5 * truth.abs().max(1.0);
            prop_assert!((fast - truth).abs() <= most, "{i}: {fast}, {truth} of {problem:?}");
        }
    }
    Ok(())
}

fn device(threads: usize) -> Option<Cpu> {
    Cpu::with_matmul_precision(threads, MatmulPrecision::Bf16)
}

fn check_short(problem: &Problem) -> Result<(), TestCaseError> {
    let Some(mut device) = device(problem.threads) else { return Ok(()) };
    let (s, mut stream) = (&problem.shape, Stream(problem.seed));
    let [x, weight, dz] =
        [s.input_len(), s.weight_len(), s.output_len()].map(|len| short(&mut stream, len));
    let xs = Source::plain(&x);
    let fast = run(&mut device, problem, xs, [&weight, &dz]);
    near(&fast, &run(&mut Reference, problem, xs, [&weight, &dz]), problem)
}

proptest! {
    #[test]
    fn pointwise_numbers_that_bfloat16_holds(problem in pointwise()) {
        check_short(&problem)?;
    }

    #[test]
    fn dense_numbers_that_bfloat16_holds(problem in dense()) {
        problem.map_or(Ok(()), |problem| check_short(&problem))?;
    }

    #[test]
    fn other_numbers_are_rounded_first(problem in pointwise()) {
        let Some(mut device) = device(problem.threads) else { return Ok(()) };
        // As wide as it takes for all three products.
        let [n, h, w, c] = problem.input;
        let problem = of_one_tap([n, h, w, c + 15], problem.oc + 15, problem.seed, problem.threads);
        let (s, mut stream) = (&problem.shape, Stream(problem.seed));
        let given = [s.input_len(), s.weight_len(), s.output_len()].map(|len| stream.vec(len));
        let [x, weight, dz] = given.each_ref();
        let fast = run(&mut device, &problem, Source::plain(x), [weight, dz]);
        let [x, weight, dz] = given.each_ref().map(|all| all.iter().map(|&x| rounded(x)).collect::<Vec<_>>());
        let mut truth = run(&mut Reference, &problem, Source::plain(&x), [&weight, &dz]);
        // The bias's gradient is a sum and no product.
        truth[4].clone_from(&fast[4]);
        near(&fast, &truth, &problem)?;
    }

    #[test]
    fn a_pending_norm_is_applied_before_rounding(problem in pointwise(), activation in activations()) {
        let Some(mut device) = device(problem.threads) else { return Ok(()) };
        let (s, mut stream) = (&problem.shape, Stream(problem.seed));
        let [.., c] = problem.input;
        let [x, weight, dz, scale, shift] =
            [s.input_len(), s.weight_len(), s.output_len(), c, c].map(|len| stream.vec(len));
        let affine = Some(Affine { scale: &scale, shift: &shift });
        let xs = Source { data: &x, affine, activation };
        let mut copy = vec![0.0; x.len()];
        device.copy(c, xs, &mut copy);
        let [y, mean, var, dw, ..] = run(&mut device, &problem, xs, [&weight, &dz]);
        let [y2, mean2, var2, dw2, ..] = run(&mut device, &problem, Source::plain(&copy), [&weight, &dz]);
        prop_assert_eq!([y, mean, var, dw], [y2, mean2, var2, dw2]);
    }

    #[test]
    fn a_gate_is_applied_before_rounding(problem in pointwise()) {
        let Some(mut device) = device(problem.threads) else { return Ok(()) };
        let (s, mut stream) = (&problem.shape, Stream(problem.seed));
        let [n, h, w, c] = problem.input;
        let [x, gate, weight] = [s.input_len(), n * c, s.weight_len()].map(|len| stream.vec(len));
        let packed = device.pack(s, &weight);
        let [mut gated, mut plain] = [vec![0.0; s.output_len()], vec![0.0; s.output_len()]];
        device.conv_gated(s, &x, &gate, &packed, Epilogue::default(), &mut gated);
        let mut product = vec![0.0; x.len()];
        let sources = [Source::plain(&x), Source::plain(&gate)];
        device.mul(n, h * w, c, sources[0], sources[1], &mut product);
        let epilogue = Epilogue { activation: Activation::Identity, ..Epilogue::default() };
        device.conv_packed(s, Source::plain(&product), &packed, epilogue, &mut plain);
        // Narrow products stay as they are, and then weights may take the gate.
        for (gated, plain) in gated.iter().zip(&plain) {
            prop_assert!((gated - plain).abs() <= 1e-4 * plain.abs().max(1.0), "{gated}, {plain}");
        }
    }
}

#[test]
fn a_weight_that_was_packed_in_another_precision_is_refused() {
    let Some(mut other) = device(1) else { return };
    let shape = ConvShape::linear(1, 32, 4).expect("a shape");
    let packed = Cpu::new(1).pack(&shape, &[0.0; 128]);
    let (xs, mut y) = ([0.0; 32], [0.0; 4]);
    let mut run =
        || other.conv_packed(&shape, Source::plain(&xs), &packed, Epilogue::default(), &mut y);
    let refused =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(&mut run)).expect_err("refused");
    let message = refused.downcast_ref::<String>().expect("a message");
    assert!(message.starts_with("a weight packed for"), "{message}");
}
