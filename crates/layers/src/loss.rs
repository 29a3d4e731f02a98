//! Losses as candle operations on logits.
//!
//! Above: `train::step`, users of `Network::value_and_grad`. Below: candle. Not here: metrics (`train::metrics`).
//! Logits are `(n, k)` for `k` classes, targets `(n)` in `u32`; a loss is a scalar in nats, the mean over `n`.

use candle_core::{D, Result, Tensor, bail};
use candle_nn::ops::log_softmax;

/// Softmax cross-entropy with label smoothing, mean over the batch.
///
/// `loss = −mean_i ((1 − s) · log p[i, target_i] + s / k · Σ_j log p[i, j])`, `p = softmax(logits)`, `s = label_smoothing`.
///
/// # Shapes
/// - `logits`: `(n, k)`, floating point   - `targets`: `(n)`, `u32`   - returns a scalar of the logits' type
///
/// # Numerics
/// The largest logit of a row is subtracted first, so no exponential overflows. Agrees with
/// `torch.nn.functional.cross_entropy` within rtol 1e-5 and atol 1e-6, gradients too (`tests/golden.rs`).
///
/// # Errors
/// candle's error if shapes or types differ from the above, a batch is empty, a target is not below `k`, or
/// `label_smoothing` lies outside `[0, 1]`.
///
/// # Source
/// Szegedy et al. 2016, section 7, <https://arxiv.org/abs/1512.00567>.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// let logits = Tensor::new(&[[0.0f32, 0.0], [0.0, 0.0]], &Device::Cpu)?;
/// let targets = Tensor::new(&[0u32, 1], &Device::Cpu)?;
/// let loss = taper_layers::loss::cross_entropy(&logits, &targets, 0.1)?;
/// assert!((loss.to_scalar::<f32>()? - 2f32.ln()).abs() < 1e-6);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn cross_entropy(logits: &Tensor, targets: &Tensor, label_smoothing: f64) -> Result<Tensor> {
    let (n, k) = logits.dims2()?;
    if n == 0 || k == 0 {
        bail!("cross-entropy of {n} rows of {k} logits is not defined")
    }
    if targets.dims() != [n] {
        bail!("cross-entropy got targets {:?}, expected one for each of {n} rows", targets.dims())
    }
    if !(0.0..=1.0).contains(&label_smoothing) {
        bail!("label smoothing is {label_smoothing}, expected a number from 0 to 1")
    }
    let largest = targets.max(0)?.to_scalar::<u32>()?;
    if largest as usize >= k {
        bail!("target {largest} is not below {k}, the number of classes")
    }
    let log_p = log_softmax(logits, D::Minus1)?;
    let hits = log_p.gather(&targets.unsqueeze(1)?, 1)?.mean_all()?.neg()?;
    if label_smoothing == 0.0 {
        return Ok(hits);
    }
    let spread = log_p.mean_all()?.neg()?;
    (hits * (1.0 - label_smoothing))? + (spread * label_smoothing)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};
    use proptest::prelude::*;

    fn loss(logits: &[f64], k: usize, targets: &[u32], smoothing: f64) -> (f64, Vec<f64>) {
        let n = targets.len();
        let logits = Var::from_slice(logits, (n, k), &Device::Cpu).unwrap();
        let targets = Tensor::new(targets, &Device::Cpu).unwrap();
        let loss = cross_entropy(&logits, &targets, smoothing).unwrap();
        let grads = loss.backward().unwrap();
        let grad = grads.get(&logits).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        (loss.to_scalar().unwrap(), grad)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases / 2))]
        #[test]
        fn gradients_are_central_differences(
            rows in proptest::collection::vec((proptest::collection::vec(-4.0f64..4.0, 5), 0u32..5), 1..4),
            smoothing in 0.0f64..0.5,
        ) {
            let targets: Vec<u32> = rows.iter().map(|(_, target)| *target).collect();
            let logits: Vec<f64> = rows.into_iter().flat_map(|(row, _)| row).collect();
            let (_, grad) = loss(&logits, 5, &targets, smoothing);
            for (i, g) in grad.iter().enumerate() {
                let at = |delta: f64| {
                    let mut moved = logits.clone();
                    moved[i] += delta;
                    loss(&moved, 5, &targets, smoothing).0
                };
                let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
                prop_assert!((difference - g).abs() < 1e-8, "{i}: {difference} {g}");
            }
        }
    }

    #[test]
    fn a_sure_and_right_answer_costs_nothing_and_a_wrong_one_its_margin() {
        let (right, _) = loss(&[80.0, 0.0], 2, &[0], 0.0);
        let (wrong, _) = loss(&[80.0, 0.0], 2, &[1], 0.0);
        assert!(right.abs() < 1e-12 && (wrong - 80.0).abs() < 1e-12);
    }

    #[test]
    fn what_is_not_defined_is_refused() {
        let logits = Tensor::zeros((2, 3), candle_core::DType::F32, &Device::Cpu).unwrap();
        let targets = |values: &[u32]| Tensor::new(values, &Device::Cpu).unwrap();
        assert!(cross_entropy(&logits, &targets(&[0, 3]), 0.0).is_err()); // no class 3
        assert!(cross_entropy(&logits, &targets(&[0]), 0.0).is_err());
        assert!(cross_entropy(&logits, &targets(&[0, 1]), 1.5).is_err());
        assert!(cross_entropy(&logits.narrow(0, 0, 0).unwrap(), &targets(&[]), 0.0).is_err());
        assert!(cross_entropy(&logits, &targets(&[0, 1]), 0.0).is_ok());
    }
}
