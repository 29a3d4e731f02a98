//! The linear layer: every output is a weighted sum of all inputs.
//!
//! Above: users of candle. Below: `ops::nhwc::conv2d`, whose 1x1 kernel is a matrix product with a bias. Not here: maps, where this is a
//! pointwise convolution (`conv`).
//! Source: `torch.nn.Linear`, PyTorch 2.x.

use candle_core::{D, Tensor};
use candle_nn::VarBuilder;
use taper_graph::{Bias, Window};

use super::{ModuleNhwc, refuse, variables};
use crate::error::Result;

/// Sizes of a linear layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinearConfig {
    /// Numbers that come in.
    pub in_features: usize,
    /// Numbers that go out.
    pub out_features: usize,
    /// Whether a number is added to each.
    pub bias: Bias,
}

impl LinearConfig {
    /// A linear layer with a bias.
    #[must_use]
    pub fn new(in_features: usize, out_features: usize) -> Self {
        Self { in_features, out_features, bias: Bias::With }
    }
}

/// `y = x·weightᵀ + bias`, along the last axis.
///
/// # Shapes
/// `(…, in_features)` to `(…, out_features)`, in `forward` and in `forward_nhwc`: as PyTorch's, it knows no channels.
///
/// # Examples
/// ```
/// use candle_core::{DType, Device, Module, Tensor};
/// use candle_nn::VarMap;
/// use taper_layers::{Linear, LinearConfig, init::var_builder};
/// let vars = VarMap::new();
/// let fc = Linear::new(LinearConfig::new(84, 10), var_builder(&vars, 0, DType::F32, &Device::Cpu))?;
/// assert_eq!(fc.forward(&Tensor::zeros((32, 84), DType::F32, &Device::Cpu)?)?.dims(), [32, 10]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Linear {
    /// `(out_features, in_features)`.
    weight: Tensor,
    /// `(out_features)`.
    bias: Option<Tensor>,
}

impl Linear {
    /// Takes `weight` and, if there is one, `bias` from `vb`; new ones are uniform in `±1/√in_features`, as PyTorch's.
    ///
    /// # Errors
    /// [`Error::Layer`](crate::Error::Layer) if a size is 0; [`Error::Tensor`](crate::Error::Tensor) if `vb` has no such parameters.
    pub fn new(config: LinearConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let LinearConfig { in_features, out_features, bias } = config;
        let shape = [out_features, in_features];
        let checked = refuse::positive("Linear", "features (out, in)", &shape);
        checked.map_err(refuse::within(vb.prefix()))?;
        let (weight, bias) = variables::weight_and_bias(&vb, &shape, out_features, bias)?;
        Ok(Self { weight, bias })
    }

    /// `(out_features, in_features)`.
    #[must_use]
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// `(out_features)`.
    #[must_use]
    pub fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
    }
}

impl ModuleNhwc for Linear {
    fn forward_nhwc(&self, xs: &Tensor, _train: bool) -> candle_core::Result<Tensor> {
        let (out, features) = self.weight.dims2()?;
        if xs.dim(D::Minus1)? != features {
            candle_core::bail!(
                "`Linear`: the input has shape {:?}, expected (…, {features})",
                xs.dims()
            )
        }
        let mut shape = xs.dims().to_vec();
        shape.pop();
        let rows = shape.iter().product::<usize>();
        shape.push(out);
        let weight = self.weight.reshape((out, features, 1, 1))?;
        let xs = xs.reshape((rows, 1, 1, features))?;
        let ys = taper_ops::nhwc::conv2d(&xs, &weight, self.bias.as_ref(), &Window::point(), 1)?;
        ys.reshape(shape)
    }
}

impl candle_core::Module for Linear {
    fn forward(&self, xs: &Tensor) -> candle_core::Result<Tensor> {
        self.forward_nhwc(xs, false)
    }
}
