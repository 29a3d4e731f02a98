//! Batch norm, by the statistics of the batch or by frozen ones.
//!
//! Above: users of candle, `layers`. Below: `affine`, `operation`. Not here: who keeps the running statistics, and when (`layers`).
//! Momentum is the weight of the new statistic, as in PyTorch; variances that normalize are biased, running ones are not.
//! Source: Ioffe and Szegedy 2015, <https://arxiv.org/abs/1502.03167>; `torch.nn.functional.batch_norm`, PyTorch 2.x.

use std::sync::{Arc, OnceLock};

use candle_core::Tensor;
use taper_kernels::{Activation, Affine, ConvShape, Device, Epilogue, Moments, Source};

use crate::affine::{channel_affine, check_affine, tally, write};
use crate::element::Element;
use crate::error::{Error, Result, within};
use crate::input::check_channels;
use crate::map::{Map, check_vector};
use crate::operation::{InputGrads, Operation, apply, read};

/// The name of the frozen form in messages.
const FROZEN: &str = "batch_norm_frozen";

/// Mean and variance of the channels of a batch, without a tape.
#[derive(Clone, Debug)]
pub struct BatchStatistics {
    /// `(c)`.
    pub mean: Tensor,
    /// `(c)`, biased: divided by the count.
    pub var: Tensor,
    /// Values a channel, `n·h·w`; zero for an empty batch, whose mean and variance are zeros that mean nothing.
    pub count: usize,
}

impl BatchStatistics {
    /// Running statistics after this batch: `(1 − momentum)·running + momentum·new`, where the new variance is unbiased. An empty batch
    /// changes nothing. For a cumulative mean, the momentum of the k-th batch is 1/k.
    ///
    /// # Shapes
    /// - `mean`, `var`: `(c)`, running   - returns the next mean and variance, `(c)`
    ///
    /// # Errors
    /// [`Error::Shape`] if running statistics are of other channels, [`Error::Tensor`] if they have another element type.
    ///
    /// # Examples
    /// ```
    /// use candle_core::{Device, Tensor};
    /// let xs = Tensor::new(&[[0f32], [2.0]], &Device::Cpu)?;
    /// let (one, zero) = (Tensor::new(&[1f32], &Device::Cpu)?, Tensor::new(&[0f32], &Device::Cpu)?);
    /// let (_, batch) = taper_ops::nhwc::batch_norm(&xs, &one, &zero, 1e-5)?;
    /// let (mean, var) = batch.running(&zero, &one, 0.5)?;
    /// assert_eq!(mean.to_vec1::<f32>()?, [0.5]); // half of 0 and half of 1
    /// assert_eq!(var.to_vec1::<f32>()?, [1.5]); // half of 1 and half of 2
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn running(&self, mean: &Tensor, var: &Tensor, momentum: f64) -> Result<(Tensor, Tensor)> {
        let op = "BatchStatistics::running";
        check_vector(op, "mean", mean, self.mean.elem_count())?;
        check_vector(op, "var", var, self.var.elem_count())?;
        if self.count < 2 {
            return Ok((mean.detach(), var.detach()));
        }
        let unbiased = self.count as f64 / (self.count - 1) as f64;
        let mix = |old: &Tensor, new: &Tensor, factor: f64| {
            (old.detach() * (1.0 - momentum))? + (new * (momentum * factor))?
        };
        let mean = mix(mean, &self.mean, 1.0).map_err(within(op))?;
        Ok((mean, mix(var, &self.var, unbiased).map_err(within(op))?))
    }
}

/// Normalizes channels by the statistics of the batch, as in training: `y = weight·(x − mean) / √(var + eps) + bias`.
///
/// Gradients go through the statistics too.
///
/// # Shapes
/// - `xs`: `(n, h, w, c)`, `(n, l, c)` or `(n, c)`   - `weight`, `bias`: `(c)`   - returns the shape of `xs`, and the statistics
///
/// # Cost
/// Two passes over the map forward, two backward.
///
/// # Errors
/// [`Error::Statistics`] for one value a channel, [`Error::Shape`], [`Error::Number`] if `eps` is not positive and finite,
/// [`Error::DType`], [`Error::Device`].
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// let xs = Tensor::new(&[[1f32], [3.0]], &Device::Cpu)?;
/// let (weight, bias) = (Tensor::new(&[1f32], &Device::Cpu)?, Tensor::new(&[5f32], &Device::Cpu)?);
/// let (ys, batch) = taper_ops::nhwc::batch_norm(&xs, &weight, &bias, 1e-12)?;
/// assert_eq!(ys.to_vec2::<f32>()?, [[4.0], [6.0]]);
/// assert_eq!((batch.mean.to_vec1::<f32>()?, batch.var.to_vec1::<f32>()?), (vec![2.0], vec![1.0]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn batch_norm(
    xs: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    eps: f64,
) -> Result<(Tensor, BatchStatistics)> {
    let op = BatchNorm::NAME;
    let map = Map::of_any(op, xs)?;
    check_eps(op, eps)?;
    check_affine(op, xs, [("weight", weight), ("bias", bias)])?;
    let count = map.n * map.positions();
    if count == 1 {
        return Err(Error::Statistics { op, count });
    }
    let identity = ConvShape::new(map.sizes(), map.c, [1; 2], [1; 2], [1; 2], [0; 4], map.c);
    let identity = identity.ok_or(Error::TooLarge { op })?;
    let norm = Arc::new(BatchNorm { identity, c: map.c, eps, statistics: OnceLock::new() });
    let ys = apply(Arc::clone(&norm), xs, [Some(weight), Some(bias)], xs.shape())?;
    let none = || [vec![0.0; map.c], vec![0.0; map.c]];
    let [mean, var] = norm.statistics.get().cloned().unwrap_or_else(none);
    let vector =
        |values: Vec<f64>| Tensor::from_vec(values, map.c, xs.device())?.to_dtype(xs.dtype());
    let (mean, var) = (vector(mean).map_err(within(op))?, vector(var).map_err(within(op))?);
    Ok((ys, BatchStatistics { mean, var, count }))
}

/// Normalizes channels by given statistics, as in evaluation and in frozen layers: `y = weight·(x − mean) / √(var + eps) + bias`.
///
/// # Shapes
/// - `xs`: `(…, c)`   - `weight`, `bias`, `mean`, `var`: `(c)`   - returns the shape of `xs`
///
/// # Errors
/// [`Error::Shape`], [`Error::Number`] if `eps` is not positive and finite, [`Error::DType`], [`Error::Device`].
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// let vector = |x: f32| Tensor::new(&[x], &Device::Cpu);
/// let xs = Tensor::new(&[[5f32]], &Device::Cpu)?;
/// let (mean, var) = (vector(1.0)?, vector(3.0)?);
/// let ys = taper_ops::nhwc::batch_norm_frozen(&xs, [&vector(1.0)?, &vector(0.0)?], [&mean, &var], 1.0)?;
/// assert_eq!(ys.to_vec2::<f32>()?, [[2.0]]); // (5 - 1) / √(3 + 1)
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn batch_norm_frozen(
    xs: &Tensor,
    [weight, bias]: [&Tensor; 2],
    [mean, var]: [&Tensor; 2],
    eps: f64,
) -> Result<Tensor> {
    check_eps(FROZEN, eps)?;
    let c = weight.elem_count();
    for (name, vector) in [("weight", weight), ("bias", bias), ("mean", mean), ("var", var)] {
        check_vector(FROZEN, name, vector, c)?;
    }
    let folded = || {
        let scale = (weight / (var + eps)?.sqrt()?)?;
        let shift = (bias - (mean * &scale)?)?;
        Ok((scale, shift))
    };
    check_channels(FROZEN, xs, c, ("weight", weight))?;
    let (scale, shift) = folded().map_err(within(FROZEN))?;
    channel_affine(xs, &scale, &shift)
}

pub(crate) fn check_eps(op: &'static str, eps: f64) -> Result<()> {
    if eps > 0.0 && eps.is_finite() {
        return Ok(());
    }
    Err(Error::Number { op, what: "eps", got: eps, expected: "positive and finite" })
}

/// The map as a convolution that copies it: its kernel gathers mean and variance of what it writes, and knows when it must look twice.
struct BatchNorm {
    identity: ConvShape,
    c: usize,
    eps: f64,
    /// Mean and variance of the forward pass.
    statistics: OnceLock<[Vec<f64>; 2]>,
}

impl BatchNorm {
    /// `1 / √(var + eps)`.
    fn inverse(&self, var: f64) -> f64 {
        1.0 / (var + self.eps).sqrt()
    }

    /// `dx = weight/σ · (dy − mean(dy) − x̂ · mean(dy·x̂))` with `x̂ = (x − mean)/σ`, as `a·dy + b·x + c`; `sum` is `Σ dy` and `dot`
    /// `Σ dy·x̂`.
    fn factors<T: Element>(
        &self,
        weight: &[T],
        len: usize,
        [sum, dot]: [&[f64]; 2],
        [mean, var]: [&[f64]; 2],
    ) -> [Vec<T>; 3] {
        let count = (len / self.c) as f64;
        let mut factors = [(); 3].map(|()| Vec::with_capacity(self.c));
        for c in 0..self.c {
            let inverse = self.inverse(var[c]);
            let a = weight[c].to_f64() * inverse;
            let b = -a * dot[c] * inverse / count;
            let constant = -a * sum[c] / count - b * mean[c];
            factors.iter_mut().zip([a, b, constant]).for_each(|(all, f)| all.push(T::from_f64(f)));
        }
        factors
    }
}

impl Operation for BatchNorm {
    const NAME: &'static str = "batch_norm";

    fn forward<T: Element>(&self, device: &mut T::Device, inputs: &[&[T]], y: &mut [T]) {
        let [mut mean, mut var] = [vec![T::default(); self.c], vec![T::default(); self.c]];
        let (ones, xs) = (vec![T::from_f64(1.0); self.c], Source::plain(inputs[0]));
        let moments = Some(Moments { mean: &mut mean, var: &mut var });
        device.conv_forward(&self.identity, xs, &ones, Epilogue::default(), y, moments);
        let [mean, var] = [mean, var].map(|all| all.iter().map(|v| v.to_f64()).collect::<Vec<_>>());
        let factors = inputs[1].iter().zip(&var);
        let scale: Vec<f64> = factors.map(|(w, &var)| w.to_f64() * self.inverse(var)).collect();
        let shift = inputs[2].iter().zip(mean.iter().zip(&scale));
        let shift: Vec<T> = shift.map(|(b, (m, s))| T::from_f64(b.to_f64() - m * s)).collect();
        let scale: Vec<T> = scale.into_iter().map(T::from_f64).collect();
        let affine = Some(Affine { scale: &scale, shift: &shift });
        read(device, self.c, Source { affine, ..xs }, y);
        self.statistics.get_or_init(|| [mean, var]);
    }

    fn backward<T: Element>(
        &self,
        device: &mut T::Device,
        inputs: &[&[T]],
        gradient: &[T],
        [mut d_xs, d_weight, d_bias]: InputGrads<'_, T>,
    ) {
        let Some([mean, var]) = self.statistics.get() else { return };
        let center: Vec<T> = mean.iter().map(|&m| T::from_f64(m)).collect();
        let [sum, dot] = tally(device, [gradient, inputs[0], &center], d_xs.as_deref_mut());
        let d_scale = dot.iter().zip(var).map(|(dot, &var)| dot * self.inverse(var));
        let d_scale: Vec<f64> = d_scale.collect();
        write(&d_scale, d_weight);
        write(&sum, d_bias);
        if let Some(out) = d_xs {
            let [a, b, c] = self.factors(inputs[1], gradient.len(), [&sum, &d_scale], [mean, var]);
            let pending = |data, scale, shift| Source {
                affine: Some(Affine { scale, shift }),
                ..Source::plain(data)
            };
            let zeros = vec![T::default(); self.c];
            let (dy, xs) = (pending(gradient, &a, &zeros), pending(inputs[0], &b, &c));
            device.add(self.c, dy, xs, Activation::Identity, out);
        }
    }
}
