//! What the losses ask of their settings and tensors.
//!
//! Above: the files of `loss`. Below: candle. Not here: what they compute.
//! Settings are refused with our errors, when a loss is made; tensors with candle's, in `forward`.

use std::ops::RangeInclusive;

use candle_core::{DType, Result, Tensor, bail};

use crate::Error;
use crate::error::at;

/// A number in a closed range.
pub(super) fn within(
    setting: &'static str,
    got: f64,
    range: RangeInclusive<f64>,
) -> crate::Result<f64> {
    if range.contains(&got) {
        return Ok(got);
    }
    let expected = format!("a number from {} to {}", range.start(), range.end());
    Err(Error::Setting { setting, got, expected })
}

/// A finite number above 0.
pub(super) fn positive(setting: &'static str, got: f64) -> crate::Result<f64> {
    if got > 0.0 && got.is_finite() {
        return Ok(got);
    }
    Err(Error::Setting { setting, got, expected: "a finite number above 0".into() })
}

/// A finite number, 0 or more.
pub(super) fn not_negative(setting: &'static str, got: f64) -> crate::Result<f64> {
    if got >= 0.0 && got.is_finite() {
        return Ok(got);
    }
    Err(Error::Setting { setting, got, expected: "a finite number, 0 or more".into() })
}

/// Constant factors, each finite and not negative.
pub(super) fn factors(setting: &'static str, factors: &Tensor) -> crate::Result<Tensor> {
    let flat = factors.to_dtype(DType::F64).and_then(|factors| factors.flatten_all());
    for factor in flat.and_then(|flat| flat.to_vec1()).map_err(at(setting))? {
        not_negative(setting, factor)?;
    }
    Ok(factors.detach())
}

/// Factors of the classes: one axis of [`factors`].
pub(super) fn class_weights(weights: &Tensor) -> crate::Result<Tensor> {
    if weights.rank() != 1 || weights.elem_count() == 0 {
        return Err(Error::ClassWeights { got: weights.dims().to_vec() });
    }
    factors("a class weight", weights)
}

/// Number of rows and classes of logits, neither of them 0.
pub(super) fn rows(loss: &str, logits: &Tensor) -> Result<(usize, usize)> {
    let (n, k) = logits.dims2()?;
    if n == 0 || k == 0 {
        bail!("{loss} of {n} rows of {k} logits is not defined")
    }
    if !logits.dtype().is_float() {
        bail!("{loss} got logits of {:?}, expected floating point", logits.dtype())
    }
    Ok((n, k))
}

/// Logits and targets of maps as rows, one for each position: `(n, k, h, w)` as `(n · h · w, k)`, targets `(n, h, w)` as `(n · h · w)`, or
/// `(n, k, h, w)` as the logits. Also the shape of the losses of single rows; of what is no map, all stays as it is.
pub(super) fn as_rows(
    loss: &str,
    logits: &Tensor,
    targets: &Tensor,
) -> Result<(Tensor, Tensor, Vec<usize>)> {
    let &[n, k, h, w] = logits.dims() else {
        return Ok((
            logits.clone(),
            targets.clone(),
            logits.dims().iter().take(1).copied().collect(),
        ));
    };
    let rows = |maps: &Tensor| maps.permute((0, 2, 3, 1))?.contiguous()?.reshape((n * h * w, k));
    let targets = match targets.dims() {
        dims if dims == [n, h, w] => targets.flatten_all()?,
        dims if dims == logits.dims() => rows(targets)?,
        dims => {
            bail!(
                "{loss} got targets {dims:?}, expected [{n}, {h}, {w}] classes or {:?}",
                logits.dims()
            )
        }
    };
    Ok((rows(logits)?, targets, vec![n, h, w]))
}

/// A class for each of `n` rows, each below `k`; contiguous.
pub(super) fn classes(loss: &str, targets: &Tensor, (n, k): (usize, usize)) -> Result<Tensor> {
    if targets.dims() != [n] || targets.dtype() != DType::U32 {
        let (dtype, dims) = (targets.dtype(), targets.dims());
        bail!("{loss} got targets {dtype:?} {dims:?}, expected U32 [{n}], one for each row")
    }
    let largest = targets.max(0)?.to_scalar::<u32>()?;
    if largest as usize >= k {
        bail!("target {largest} is not below {k}, the number of classes")
    }
    targets.contiguous()
}

/// The factor of each class, in the type of the logits and where they are.
pub(super) fn weights_like(weights: &Tensor, logits: &Tensor, k: usize) -> Result<Tensor> {
    if weights.dims() != [k] {
        bail!("got {} class weights, expected one for each of {k} classes", weights.elem_count())
    }
    weights.to_dtype(logits.dtype())?.to_device(logits.device())
}

/// Targets of the same shape as `xs`, in its type.
pub(super) fn same(loss: &str, xs: &Tensor, targets: &Tensor) -> Result<Tensor> {
    if xs.dims() != targets.dims() {
        bail!("{loss} got targets {:?}, expected the shape {:?}", targets.dims(), xs.dims())
    }
    if xs.elem_count() == 0 {
        bail!("{loss} of no elements is not defined")
    }
    if !xs.dtype().is_float() {
        bail!("{loss} got {:?}, expected floating point", xs.dtype())
    }
    targets.to_dtype(xs.dtype())
}

/// [`same`], and if a NaN is to be ignored, 0 in its place with what is known: 1 where a target is, 0 where it is not.
pub(super) fn targets(
    loss: &str,
    (xs, targets): (&Tensor, &Tensor),
    ignore_nan: bool,
) -> Result<(Tensor, Option<Tensor>)> {
    let targets = same(loss, xs, targets)?;
    if !ignore_nan {
        return Ok((targets, None));
    }
    // A NaN alone is not equal to itself.
    let is_known = targets.eq(&targets)?;
    let known = is_known.to_dtype(targets.dtype())?;
    Ok((is_known.where_cond(&targets, &targets.zeros_like()?)?, Some(known)))
}

/// Factors stretched to the shape of `xs`, in its type and where it is.
pub(super) fn factors_like(setting: &str, factors: &Tensor, xs: &Tensor) -> Result<Tensor> {
    let (got, wanted) = (factors.dims(), xs.dims());
    let is_stretched = |(from, to): (&usize, &usize)| from == to || *from == 1;
    if got.len() > wanted.len() || !got.iter().rev().zip(wanted.iter().rev()).all(is_stretched) {
        bail!("{setting} has shape {got:?}, which does not broadcast to {wanted:?}")
    }
    factors.to_dtype(xs.dtype())?.to_device(xs.device())?.broadcast_as(wanted)
}
