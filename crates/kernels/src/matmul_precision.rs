//! In which numbers products are computed.
//!
//! Above: `cpu`; whoever chooses. Below: `cpu`. Not here: the products.

/// The numbers that convolutions and linear layers multiply. Sums, and all that is stored, are `f32` in any case.
///
/// # Examples
/// ```
/// use taper_kernels::{Cpu, MatmulPrecision};
/// assert!(MatmulPrecision::F32.is_here());
/// // A machine with the means for it computes in bf16, any other one says that it does not.
/// assert_eq!(Cpu::with_matmul_precision(1, MatmulPrecision::Bf16).is_some(), MatmulPrecision::Bf16.is_here());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MatmulPrecision {
    /// As they are.
    #[default]
    F32,
    /// Both factors rounded to bfloat16, to nearest, ties to even: the exponent of `f32` and eight bits of its mantissa. On x86-64 with AMX,
    /// under Linux, where a core multiplies about sixteen times as many of them as `f32`
    /// ([Kalamkar et al. 2019](https://arxiv.org/abs/1905.12322)). Depthwise and grouped convolutions of few channels stay as they are, as
    /// does the weight's gradient of narrow windows.
    Bf16,
}

impl MatmulPrecision {
    /// Whether this machine has the means for it.
    #[must_use]
    pub fn is_here(self) -> bool {
        match self {
            Self::F32 => true,
            Self::Bf16 => crate::cpu::has_bf16(),
        }
    }
}

impl std::fmt::Display for MatmulPrecision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        })
    }
}
