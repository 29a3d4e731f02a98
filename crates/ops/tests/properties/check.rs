//! What every property here asks of an operation.
//!
//! `loss = Σ weight · y` with random weights makes one number of an output, so that one backward pass gives every gradient and two
//! forward passes a difference.

use candle_core::{DType, Device, Tensor, Var};
use taper_ops::{Result, with_threads};

/// Step of a central difference.
const STEP: f64 = 1e-5;

/// Largest difference to a central difference, relative to the largest gradient, or to one.
const DIFFERENCES: f64 = 1e-6;

/// Largest difference of `f32` to `f64`, relative to the largest value.
const SINGLE: f64 = 1e-5;

/// Coordinates of each argument whose difference is taken.
const PROBES: usize = 12;

/// Numbers in no order, the same for the same seed.
#[derive(Clone, Debug)]
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number between -1 and 1, exact in `f32`.
    fn unit(&mut self) -> f64 {
        (self.next() >> 42) as f64 / f64::from(1 << 21) - 1.0
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// Numbers between -1 and 1.
    pub(crate) fn tensor(&mut self, shape: &[usize]) -> Tensor {
        let values: Vec<f64> = (0..shape.iter().product()).map(|_| self.unit()).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    /// Numbers of both signs, no two nearer than 1/16 to each other, none nearer than 1/64 to an integer: for operations with corners.
    pub(crate) fn apart(&mut self, shape: &[usize]) -> Tensor {
        let len: usize = shape.iter().product();
        let center = len as f64 / 2.0 + 0.25;
        let mut values: Vec<f64> = (0..len).map(|i| (i as f64 - center) / 16.0).collect();
        (1..len).rev().for_each(|i| values.swap(i, self.below(i + 1)));
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }
}

/// An output, and the gradients of all arguments for `Σ weight · y`.
struct Passes {
    y: Tensor,
    gradients: Vec<Tensor>,
}

fn passes(args: &[Tensor], dtype: DType, op: &dyn Fn(&[Tensor]) -> Result<Tensor>) -> Passes {
    let vars: Vec<Var> =
        args.iter().map(|arg| Var::from_tensor(&arg.to_dtype(dtype).unwrap()).unwrap()).collect();
    let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let y = op(&tensors).unwrap();
    let grads = loss(&y).backward().unwrap();
    let gradients = vars.iter().map(|var| grads.get(var).unwrap().clone()).collect();
    Passes { y: y.detach(), gradients }
}

fn loss(y: &Tensor) -> Tensor {
    let weights = Numbers::new(7).tensor(y.dims()).to_dtype(y.dtype()).unwrap();
    (y * weights).unwrap().sum_all().unwrap()
}

pub(crate) fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |max, v| v.abs().max(max))
}

/// Asserts that two tensors differ by at most [`SINGLE`] of the largest value of the second, which is `f64`.
pub(crate) fn assert_near(got: &Tensor, expected: &Tensor, what: &str) {
    assert_eq!(got.dims(), expected.dims(), "{what}: shape");
    let (got, expected) = (values(got), values(expected));
    let bound = SINGLE * largest(&expected).max(1.0);
    for (i, (a, b)) in got.iter().zip(&expected).enumerate() {
        assert!((a - b).abs() <= bound, "{what}[{i}]: {a} instead of {b}, bound {bound}");
    }
}

/// The central difference of the loss by one coordinate of one argument.
fn difference(
    args: &[Tensor],
    (arg, at): (usize, usize),
    op: &dyn Fn(&[Tensor]) -> Result<Tensor>,
) -> f64 {
    let moved = |step: f64| {
        let mut args = args.to_vec();
        let mut all = values(&args[arg]);
        all[at] += step;
        args[arg] = Tensor::from_vec(all, args[arg].shape(), &Device::Cpu).unwrap();
        loss(&op(&args).unwrap()).to_scalar::<f64>().unwrap()
    };
    (moved(STEP) - moved(-STEP)) / (2.0 * STEP)
}

/// Asserts of an operation on `f64` arguments that its gradients are its differences, that `f32` gives the same, on one thread and
/// three, that arguments which are views give the same, and that an empty batch gives an empty output and no gradient.
pub(crate) fn assert_differentiates(args: &[Tensor], op: &dyn Fn(&[Tensor]) -> Result<Tensor>) {
    let truth = passes(args, DType::F64, op);
    let mut numbers = Numbers::new(3);
    for (arg, gradient) in truth.gradients.iter().enumerate() {
        let gradient = values(gradient);
        let bound = DIFFERENCES * largest(&gradient).max(1.0);
        for _ in 0..PROBES.min(gradient.len()) {
            let at = numbers.below(gradient.len());
            let (got, expected) = (gradient[at], difference(args, (arg, at), op));
            assert!(
                (got - expected).abs() <= bound,
                "argument {arg}[{at}]: gradient {got}, difference {expected}"
            );
        }
    }
    for threads in [1, 3] {
        let single = with_threads(threads, || passes(args, DType::F32, op));
        assert_near(&single.y, &truth.y, "output in f32");
        for (arg, (got, expected)) in single.gradients.iter().zip(&truth.gradients).enumerate() {
            assert_near(got, expected, &format!("gradient {arg} in f32"));
        }
    }
    assert_same_of_views(args, &truth, op);
    assert_empty(args, op);
}

/// The first argument as a view of a tensor with its first and last axes exchanged.
fn assert_same_of_views(args: &[Tensor], truth: &Passes, op: &dyn Fn(&[Tensor]) -> Result<Tensor>) {
    let last = args[0].rank() - 1;
    let mut turned = args.to_vec();
    turned[0] = args[0].transpose(0, last).unwrap().contiguous().unwrap();
    let passes = passes(&turned, DType::F64, &|args| {
        let mut args = args.to_vec();
        args[0] = args[0].transpose(0, last).unwrap();
        op(&args)
    });
    assert_eq!(values(&passes.y), values(&truth.y), "output of a view");
    let gradient = passes.gradients[0].transpose(0, last).unwrap();
    assert_near(&gradient, &truth.gradients[0], "gradient of a view");
}

fn assert_empty(args: &[Tensor], op: &dyn Fn(&[Tensor]) -> Result<Tensor>) {
    let mut empty = args.to_vec();
    empty[0] = args[0].narrow(0, 0, 0).unwrap();
    let passes = passes(&empty, DType::F32, op);
    assert_eq!(passes.y.elem_count(), 0, "output of an empty batch");
    for gradient in &passes.gradients {
        assert_eq!(largest(&values(gradient)), 0.0, "gradient of an empty batch");
    }
}
