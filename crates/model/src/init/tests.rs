//! Initializers: moments, bounds, seeds, and what is refused.

use proptest::prelude::*;

use super::*;

/// Mean and standard deviation.
fn moments(values: &[f32]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().map(|w| f64::from(*w)).sum::<f64>() / n;
    let variance = values.iter().map(|w| (f64::from(*w) - mean).powi(2)).sum::<f64>() / n;
    (mean, variance.sqrt())
}

/// Asserts that both moments of `n` values are within five of their own standard errors.
fn assert_moments(initializer: Initializer, shape: &[usize], mean: f64, std: f64) {
    let values = initializer.values(shape, 11, "weight").unwrap();
    let (got_mean, got_std) = moments(&values);
    let tolerance = 5.0 * std / (values.len() as f64).sqrt();
    assert!((got_mean - mean).abs() < tolerance, "{initializer:?}: mean {got_mean} for {mean}");
    assert!((got_std - std).abs() < tolerance, "{initializer:?}: std {got_std} for {std}");
}

#[test]
fn kaiming_keeps_the_variance_of_the_pass_it_is_asked_to() {
    let shape = [48, 24, 3, 3];
    for spread in [Distribution::Normal, Distribution::Uniform] {
        let kaiming = |fan, nonlinearity| Initializer::kaiming(fan, spread, nonlinearity).unwrap();
        let of = |variance: f64| variance.sqrt();
        assert_moments(kaiming(Fan::In, Nonlinearity::Relu), &shape, 0.0, of(2.0 / 216.0));
        assert_moments(kaiming(Fan::Out, Nonlinearity::Relu), &shape, 0.0, of(2.0 / 432.0));
        assert_moments(kaiming(Fan::In, Nonlinearity::Linear), &shape, 0.0, of(1.0 / 216.0));
        let xavier = Initializer::xavier(spread, 2.0).unwrap();
        assert_moments(xavier, &shape, 0.0, 2.0 * of(2.0 / 648.0));
    }
}

#[test]
fn pytorchs_layers_begin_within_one_over_the_root_of_their_inputs() {
    let slope = 5f64.sqrt();
    let nonlinearity = Nonlinearity::LeakyRelu { slope };
    let linear = Initializer::kaiming(Fan::In, Distribution::Uniform, nonlinearity).unwrap();
    let values = linear.values(&[100, 64], 3, "fc.weight").unwrap();
    let largest = values.iter().fold(0.0, |largest: f32, w| largest.max(w.abs()));
    assert!((0.1249..=0.125).contains(&largest), "{largest}");
}

#[test]
fn zeros_ones_and_kaiming_of_a_graph_are_those_of_the_initializers() {
    let spec = |init| ParamSpec {
        name: "conv.weight".into(),
        shape: vec![8, 4, 3, 3],
        dtype: taper_graph::DType::F32,
        role: taper_graph::ParamRole::Weight,
        axes: Vec::new(),
        init,
    };
    let kaiming = Initializer::kaiming(Fan::Out, Distribution::Normal, Nonlinearity::Relu);
    let pairs = [
        (Init::Zeros, Initializer::constant(0.0).unwrap()),
        (Init::Ones, Initializer::constant(1.0).unwrap()),
        (Init::Normal { std: 0.1 }, Initializer::normal(0.0, 0.1).unwrap()),
        (Init::Uniform { bound: 0.1 }, Initializer::uniform(-0.1, 0.1).unwrap()),
        (Init::KaimingFanOut, kaiming.unwrap()),
    ];
    for (init, initializer) in pairs {
        let spec = spec(init);
        let values = initializer.values(&spec.shape, 5, &spec.name).unwrap();
        assert_eq!(sample(&spec, 5).data, values, "{init:?}");
    }
}

/// Up to the last bits of the platform's logarithm and sine.
#[test]
fn the_first_numbers_of_a_stream_never_change() {
    let cases = [
        (Initializer::uniform(0.0, 1.0), [0.5615999, 0.12898274, 0.99666244]),
        (Initializer::normal(0.0, 1.0), [0.8850816, 0.9305253, 0.24793503]),
        (Initializer::truncated_normal(0.0, 1.0, -1.0, 4.0), [0.8850816, -0.595415, 0.030059118]),
        (Initializer::truncated_normal(0.0, 1.0, -1.0, 1.0), [0.12319987, 0.9933249, -0.2011098]),
        (Initializer::truncated_normal(0.0, 1.0, 1.0, 4.0), [1.5035034, 1.3119397, 1.0207043]),
    ];
    for (initializer, expected) in cases {
        let values = initializer.unwrap().values(&[3], 1, "a").unwrap();
        let is_close =
            values.iter().zip(expected).all(|(w, it): (&f32, f32)| (w - it).abs() < 1e-6);
        assert!(is_close, "{values:?}");
    }
}

#[test]
fn seeds_and_names_have_numbers_of_their_own() {
    let normal = Initializer::normal(0.0, 1.0).unwrap();
    let values = |seed, name| normal.values(&[16], seed, name).unwrap();
    assert_eq!(values(1, "a"), values(1, "a"));
    assert_ne!(values(1, "a"), values(2, "a"));
    assert_ne!(values(1, "a"), values(1, "b"));
}

/// The share of a standard normal below `z`, by Simpson's rule.
fn share_below(z: f64) -> f64 {
    let (from, n) = (-12.0, 400);
    let h = (z - from) / f64::from(n);
    let bell = |x: f64| (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt();
    let inner: f64 =
        (1..n).map(|i| f64::from(2 + 2 * (i % 2)) * bell(from + f64::from(i) * h)).sum();
    (bell(from) + inner + bell(z)) * h / 3.0
}

proptest! {
    /// The largest distance to the empirical distribution is below Kolmogorov's bound for a chance of 1e-6, `√(ln(2e6) / 2)`.
    #[test]
    fn truncated_normals_are_in_bounds_and_distributed_as_they_should(
        mean in -2.0f64..2.0, std in 0.3f64..2.0, from in -4.0f64..4.0, width in 0.01f64..6.0, seed: u64,
    ) {
        let (low, high) = (mean + std * from, mean + std * (from + width));
        let truncated = Initializer::truncated_normal(mean, std, low, high).unwrap();
        let mut values = truncated.values(&[2000], seed, "weight").unwrap();
        prop_assert!(values.iter().all(|w| (low..=high).contains(&f64::from(*w))));
        values.sort_by(f32::total_cmp);
        let (below, above) = (share_below(from), share_below(from + width));
        let distance = values.iter().enumerate().fold(0.0f64, |distance, (i, w)| {
            let z = (f64::from(*w) - mean) / std;
            let expected = (share_below(z) - below) / (above - below);
            distance.max((expected - i as f64 / 2000.0).abs())
        });
        prop_assert!(distance * 2000f64.sqrt() < 2.7, "{}", distance);
    }
}

#[test]
fn a_tail_far_out_is_drawn_from_and_not_searched() {
    let truncated = Initializer::truncated_normal(0.0, 1.0, 1000.0, 2000.0).unwrap();
    let (mean, _) = moments(&truncated.values(&[1000], 0, "weight").unwrap());
    assert!((mean - 1000.001).abs() < 2e-4, "{mean}"); // the tail is exponential, of mean 1 / 1000
    let truncated = Initializer::truncated_normal(0.0, 1.0, -2000.0, -1000.0).unwrap();
    assert!(truncated.values(&[1000], 0, "weight").unwrap().iter().all(|w| *w <= -1000.0));
}

#[test]
fn what_is_not_defined_is_refused() {
    let message = |result: Result<Initializer>| result.unwrap_err().to_string();
    assert_eq!(
        message(Initializer::normal(0.0, -1.0)),
        "initializer: the standard deviation is -1, expected a finite number, 0 or more"
    );
    assert_eq!(
        message(Initializer::constant(f64::NAN)),
        "initializer: the constant is NaN, expected a finite number"
    );
    assert!(Initializer::uniform(1.0, 0.0).is_err());
    assert!(Initializer::xavier(Distribution::Normal, f64::INFINITY).is_err());
    let gain =
        |gain| Initializer::kaiming(Fan::In, Distribution::Normal, Nonlinearity::Other { gain });
    assert!(gain(f64::NAN).is_err() && gain(-1.0).is_err() && gain(3.0).is_ok());
    let truncated = |mean, std, low, high| Initializer::truncated_normal(mean, std, low, high);
    assert!(truncated(0.0, 0.0, -2.0, 2.0).is_err());
    assert!(truncated(0.0, 1.0, 2.0, -2.0).is_err());
    assert!(truncated(0.0, 1e-9, 1.0, 2.0).is_err()); // 1e9 standard deviations away
    assert!(truncated(0.0, 1.0, 0.100000001, 0.100000001).is_err()); // no f32 there
    let xavier = Initializer::xavier(Distribution::Normal, 1.0).unwrap();
    assert_eq!(
        xavier.values(&[8], 0, "bias").unwrap_err().to_string(),
        "initializer: shape [8] has no fans, expected two axes or more: (out, in, ...)"
    );
}

#[test]
fn a_parameter_of_no_elements_has_no_values() {
    let kaiming = Initializer::kaiming(Fan::In, Distribution::Uniform, Nonlinearity::Selu).unwrap();
    assert!(kaiming.values(&[8, 0, 3, 3], 0, "weight").unwrap().is_empty());
}
