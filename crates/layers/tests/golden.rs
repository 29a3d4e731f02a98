//! The loss and its gradient against PyTorch.
//!
//! The fixture is written by `tests/generators/loss.py`, which documents its keys.

use candle_core::{DType, Device, Tensor, Var};
use taper_layers::loss::cross_entropy;

type Test = Result<(), Box<dyn std::error::Error>>;

/// Asserts `|actual − expected| ≤ 1e-6 + 1e-5 · |expected|` everywhere; a failure names the worst element.
fn assert_close(what: &str, actual: &Tensor, expected: &Tensor) -> Test {
    assert_eq!(actual.dims(), expected.dims(), "{what}");
    let [actual, expected]: [Vec<f32>; 2] =
        [actual.flatten_all()?.to_vec1()?, expected.flatten_all()?.to_vec1()?];
    let excess = |i: usize| (actual[i] - expected[i]).abs() - 1e-5 * expected[i].abs() - 1e-6;
    if let Some(i) = (0..actual.len()).max_by(|&i, &j| excess(i).total_cmp(&excess(j))) {
        assert!(excess(i) <= 0.0, "{what}[{i}]: got {}, expected {}", actual[i], expected[i]);
    }
    Ok(())
}

#[test]
fn cross_entropy_agrees_with_pytorch_in_value_and_gradient() -> Test {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/loss.safetensors");
    let golden = candle_core::safetensors::load(path, &Device::Cpu)?;
    let targets = golden["targets"].to_dtype(DType::U32)?;
    for prefix in ["", "large/"] {
        for smoothing in ["0", "0.1", "0.3"] {
            let key = format!("{prefix}smoothing_{smoothing}");
            let logits = Var::from_tensor(&golden[&format!("{prefix}logits")])?;
            let loss = cross_entropy(&logits, &targets, smoothing.parse()?)?;
            assert_close(&key, &loss, &golden[&format!("{key}/loss")])?;
            let grads = loss.backward()?;
            let grad = grads.get(&logits).ok_or("no gradient")?;
            assert_close(&key, grad, &golden[&format!("{key}/grad")])?;
        }
    }
    Ok(())
}
