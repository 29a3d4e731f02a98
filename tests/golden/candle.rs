//! What the operation cases need to go through candle: tensors and gradients, and our words for what a graph says.
//!
//! Above: `candle_operations`, `candle_layers`. Below: candle, `ops`, `taper_tests::operation`. Not here: running a case.

use std::panic::{AssertUnwindSafe, catch_unwind};

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor, Var, bail};
use taper_graph::{Activation as Curve, Padding, PoolKind, ResizeMode, Window};
use taper_ops::{Activation, Border, Resampling, Rounding};
use taper_tests::fixture::Golden;
use taper_tests::operation::{Case, FAMILIES};

/// Element types, and how far a result may be off, of the largest magnitude of its tensor.
const DTYPES: [(DType, f64); 2] = [(DType::F64, 1e-9), (DType::F32, 1e-5)];

pub(crate) fn cases() -> impl Iterator<Item = Case> {
    FAMILIES.iter().flat_map(|family| Case::all(family))
}

/// Runs a check on every case in every element type; it says whether it had anything to check. Returns how many cases had, and fails
/// with the names of those that failed; what they panicked with is in the output.
pub(crate) fn for_every_case(check: impl Fn(&Case, DType, f64) -> bool) -> usize {
    let (mut failed, mut run) = (Vec::new(), 0);
    for case in cases() {
        let mut checked = false;
        for (dtype, limit) in DTYPES {
            match catch_unwind(AssertUnwindSafe(|| check(&case, dtype, limit))) {
                Ok(had) => checked |= had,
                Err(_) => failed.push(format!("{} in {dtype:?}", case.name)),
            }
        }
        run += usize::from(checked);
    }
    assert!(failed.is_empty(), "{} checks failed: {failed:#?}", failed.len());
    run
}

pub(crate) fn variable(value: &Tensor) -> Tensor {
    Var::from_tensor(value).unwrap().into_inner()
}

/// As PyTorch has it.
pub(crate) fn tensor(golden: &Golden, dtype: DType) -> Tensor {
    let data = Tensor::from_vec(golden.data.clone(), golden.shape.clone(), &Device::Cpu).unwrap();
    data.to_dtype(dtype).unwrap()
}

pub(crate) fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

/// The gradients when `dy` arrives at `y`.
pub(crate) fn gradients(y: &Tensor, dy: Tensor) -> GradStore {
    (y * dy).unwrap().sum_all().unwrap().backward().unwrap()
}

pub(crate) fn rounding(ceil: bool) -> Rounding {
    if ceil { Rounding::Up } else { Rounding::Down }
}

pub(crate) fn border(kind: PoolKind) -> Border {
    if kind == PoolKind::AvgWithoutPadding { Border::Excluded } else { Border::Counted }
}

/// Kernel size and stride of a blur, whose padding follows from them.
pub(crate) fn blur(window: &Window) -> [usize; 2] {
    let ([kernel_size, _], [stride, _]) = (window.kernel, window.stride);
    assert_eq!(window.padding, Padding::symmetric((stride - 1 + kernel_size - 1) / 2));
    [kernel_size, stride]
}

pub(crate) fn resampling(mode: ResizeMode) -> Resampling {
    match mode {
        ResizeMode::Nearest => Resampling::Nearest,
        ResizeMode::Bilinear => Resampling::Bilinear,
        ResizeMode::BilinearAligned => Resampling::BilinearAligned,
        ResizeMode::Bicubic => Resampling::Bicubic,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the fixtures' slopes are exact in f32")]
pub(crate) fn activation(curve: Curve) -> Result<Activation> {
    Ok(match curve {
        Curve::Relu => Activation::Relu,
        Curve::Relu6 => Activation::Relu6,
        Curve::Silu => Activation::Silu,
        Curve::HardSwish => Activation::HardSwish,
        Curve::HardSigmoid => Activation::HardSigmoid,
        Curve::Sigmoid => Activation::Sigmoid,
        Curve::Tanh => Activation::Tanh,
        Curve::Gelu => Activation::Gelu,
        Curve::GeluTanh => Activation::GeluTanh,
        Curve::Mish => Activation::Mish,
        Curve::LeakyRelu { slope } => Activation::LeakyRelu { slope: slope as f32 },
        Curve::PRelu => bail!("a PReLU has a parameter"),
    })
}
