//! Fans, gains and moments of initializers.
//!
//! The fixture is written by `tests/generators/init.py`, which documents its keys.

use std::collections::HashMap;

use candle_core::{Device, Result, Tensor};
use taper_layers::init::{Distribution, Fan, Fans, Initializer, Nonlinearity, tensor};

type Test = std::result::Result<(), Box<dyn std::error::Error>>;

fn golden() -> Result<HashMap<String, Tensor>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/init.safetensors");
    candle_core::safetensors::load(path, &Device::Cpu)
}

/// The shapes of the fixture, without the zeros that stand for no axis.
fn shapes(golden: &HashMap<String, Tensor>) -> Result<Vec<Vec<usize>>> {
    let rows = golden["shapes"].to_vec2::<i64>()?;
    let axes = |row: Vec<i64>| row.into_iter().filter_map(|it| usize::try_from(it).ok());
    Ok(rows.into_iter().map(|row| axes(row).filter(|it| *it > 0).collect()).collect())
}

/// Asserts that the mean and the standard deviation of 200,000 values or so are within five of their standard errors, which for
/// none of these distributions exceed those of a normal.
fn assert_moments(initializer: &Initializer, shape: &[usize], mean: f64, std: f64) -> Test {
    let mut values = Vec::new();
    while values.len() < 200_000 {
        let name = format!("weight{}", values.len());
        values.extend(tensor(initializer, shape, 3, &name)?.flatten_all()?.to_vec1::<f32>()?);
    }
    let n = values.len() as f64;
    let got_mean = values.iter().map(|w| f64::from(*w)).sum::<f64>() / n;
    let squares: f64 = values.iter().map(|w| (f64::from(*w) - got_mean).powi(2)).sum();
    let got_std = (squares / n).sqrt();
    let error = 5.0 * std / n.sqrt();
    assert!((got_mean - mean).abs() < error, "{initializer:?}: mean {got_mean} for {mean}");
    assert!((got_std - std).abs() < error, "{initializer:?}: std {got_std} for {std}");
    Ok(())
}

#[test]
fn fans_are_pytorchs() -> Test {
    let golden = golden()?;
    let fans = golden["fans"].to_vec2::<i64>()?;
    for (shape, expected) in shapes(&golden)?.iter().zip(fans) {
        let Fans { fan_in, fan_out } = Fans::of(shape).ok_or("no fans")?;
        assert_eq!([i64::try_from(fan_in)?, i64::try_from(fan_out)?], *expected, "{shape:?}");
    }
    Ok(())
}

#[test]
fn gains_are_pytorchs() -> Test {
    let gains = golden()?["gains"].to_vec1::<f64>()?;
    let ours = [
        Nonlinearity::Linear,
        Nonlinearity::Sigmoid,
        Nonlinearity::Tanh,
        Nonlinearity::Relu,
        Nonlinearity::LeakyRelu { slope: 0.01 },
        Nonlinearity::LeakyRelu { slope: 5f64.sqrt() },
        Nonlinearity::Selu,
    ];
    assert_eq!(ours.len(), gains.len());
    for (ours, gain) in ours.iter().zip(gains) {
        assert!((ours.gain() - gain).abs() < 1e-15, "{ours:?}: {} for {gain}", ours.gain());
    }
    Ok(())
}

#[test]
fn kaiming_and_xavier_have_pytorchs_standard_deviations() -> Test {
    let golden = golden()?;
    let kaiming = golden["kaiming"].to_vec2::<f64>()?;
    let xavier = golden["xavier"].to_vec1::<f64>()?;
    for (i, shape) in shapes(&golden)?.iter().enumerate() {
        for spread in [Distribution::Normal, Distribution::Uniform] {
            for (fan, std) in [Fan::In, Fan::Out].into_iter().zip(&kaiming[i]) {
                let kaiming = Initializer::kaiming(fan, spread, Nonlinearity::Relu)?;
                assert_moments(&kaiming, shape, 0.0, *std)?;
            }
            assert_moments(&Initializer::xavier(spread, 1.0)?, shape, 0.0, xavier[i])?;
        }
    }
    Ok(())
}

#[test]
fn truncated_normals_have_pytorchs_moments() -> Test {
    let golden = golden()?;
    let params = golden["truncated"].to_vec2::<f64>()?;
    let moments = golden["truncated/moments"].to_vec2::<f64>()?;
    for (params, moments) in params.iter().zip(moments) {
        let [mean, std, low, high] = params[..] else { return Err("not four numbers".into()) };
        let truncated = Initializer::truncated_normal(mean, std, low, high)?;
        assert_moments(&truncated, &[100, 1000], moments[0], moments[1])?;
    }
    Ok(())
}
