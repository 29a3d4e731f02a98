//! One number that logits are divided by, so that probabilities are those of being right.
//!
//! Above: `confidence`, `evaluate`. Below: `taper_train::Metric`. Not here: the error that is left (`taper_train::CalibrationError`).
//! Source: Guo et al. 2017, <https://arxiv.org/abs/1706.04599>, section 4.2. A normal prior on the logarithm, of mean 0 and deviation 1,
//! weighs as much as a picture or two: without it, pictures that are all named rightly would ask for a temperature of 0.

use taper_train::{Goal, Metric, Output, Predictions};

use super::Seen;

/// Bounds of the logarithm: temperatures from 0.05 to 20.
const BOUNDS: [f64; 2] = [-3.0, 3.0];

/// Steps of the search, each of which leaves 0.618 of the interval: far below what pictures can tell.
const STEPS: usize = 50;

/// The temperature at which the classes of these pictures are likeliest, by golden-section search: the loss is convex in its inverse,
/// so it has one minimum.
pub(super) fn fit(seen: &Seen, pictures: &[usize]) -> f64 {
    let ratio = (5f64.sqrt() - 1.0) / 2.0;
    let [mut low, mut high] = BOUNDS;
    let at = |low: f64, high: f64, share: f64| low + share * (high - low);
    let (mut a, mut b) = (at(low, high, 1.0 - ratio), at(low, high, ratio));
    let (mut of_a, mut of_b) = (loss(seen, pictures, a), loss(seen, pictures, b));
    for _ in 0..STEPS {
        if of_a <= of_b {
            (high, b, of_b) = (b, a, of_a);
            a = at(low, high, 1.0 - ratio);
            of_a = loss(seen, pictures, a);
        } else {
            (low, a, of_a) = (a, b, of_b);
            b = at(low, high, ratio);
            of_b = loss(seen, pictures, b);
        }
    }
    f64::midpoint(low, high).exp()
}

/// The negative logarithm of the likelihood and the prior, in nats.
fn loss(seen: &Seen, pictures: &[usize], log_temperature: f64) -> f64 {
    let k = seen.width(&seen.logits).max(1);
    let temperature = log_temperature.exp();
    let of_picture = |&i: &usize| {
        let row = seen.logits.get(i * k..(i + 1) * k).unwrap_or_default();
        let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let scaled = |&logit: &f32| (f64::from(logit) - f64::from(largest)) / temperature;
        let total: f64 = row.iter().map(|logit| scaled(logit).exp()).sum();
        let right = seen.classes.get(i).and_then(|&class| row.get(class as usize));
        let loss = right.map_or(0.0, |logit| total.ln() - scaled(logit));
        if loss.is_finite() { loss } else { 0.0 }
    };
    pictures.iter().map(of_picture).sum::<f64>() + log_temperature.powi(2) / 2.0
}

/// Logits at a temperature.
pub(super) fn scaled(logits: &[f32], temperature: f64) -> impl Iterator<Item = f32> {
    #[expect(clippy::cast_possible_truncation, reason = "logits are of this precision")]
    logits.iter().map(move |&logit| (f64::from(logit) / temperature) as f32)
}

/// A metric that sees logits at a temperature.
pub(crate) struct Tempered<'m> {
    inner: Box<dyn Metric + 'm>,
    temperature: f64,
    name: String,
}

impl<'m> Tempered<'m> {
    pub(crate) fn new(inner: Box<dyn Metric + 'm>, temperature: f64) -> Self {
        let name = inner.name();
        Self { inner, temperature, name }
    }

    /// The same under another name.
    pub(crate) fn called(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }
}

impl Metric for Tempered<'_> {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn goal(&self) -> Goal {
        self.inner.goal()
    }

    fn reset(&mut self) {
        self.inner.reset();
    }

    fn update(&mut self, batch: &Predictions<'_>) -> taper_train::Result<()> {
        let output = batch.single()?;
        let values: Vec<f32> = scaled(output.values, self.temperature).collect();
        let output = Output { values: &values, ..output };
        self.inner.update(&Predictions::new(vec![output], batch.targets(), batch.indices())?)
    }

    fn compute(&self) -> Option<f64> {
        self.inner.compute()
    }

    fn state(&self) -> Vec<f64> {
        self.inner.state()
    }

    fn load_state(&mut self, state: &[f64]) {
        self.inner.load_state(state);
    }
}
