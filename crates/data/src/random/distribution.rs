//! Distributions made of uniform numbers: normal, gamma, beta, Dirichlet.
//!
//! Above: `augment`, `mix`. Below: `random`. Not here: initial weights, which come from PyTorch's streams (`model`).
//! Gamma variates are kept as logarithms, so that a beta distribution of small parameters, nearly a coin, does not become 0 / 0.
//! Source: Marsaglia and Tsang 2000, "A simple method for generating gamma variables"; Box and Muller 1958.

use super::Rng;

impl Rng {
    /// A uniform number from `low` to below `high`.
    pub fn between(&mut self, [low, high]: [f64; 2]) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Whether a thing of this probability happens.
    pub fn happens(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// A normal number of mean 0 and variance 1.
    pub fn normal(&mut self) -> f64 {
        let (radius, turn) = ((-2.0 * (1.0 - self.unit()).ln()).sqrt(), self.unit());
        radius * (std::f64::consts::TAU * turn).cos()
    }

    /// The logarithm of a gamma variate of this shape, above 0, and scale 1.
    fn ln_gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            let uniform = 1.0 - self.unit();
            return self.ln_gamma(shape + 1.0) + uniform.ln() / shape;
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            let uniform = 1.0 - self.unit();
            if v > 0.0 && uniform.ln() < 0.5 * x * x + d * (1.0 - v + v.ln()) {
                return d.ln() + v.ln();
            }
        }
    }

    /// A beta variate, from 0 to 1, of parameters above 0.
    ///
    /// # Examples
    /// ```
    /// let mut rng = taper_data::random::Rng::keyed([3]);
    /// let mean = (0..1000).map(|_| rng.beta(0.2, 0.2)).sum::<f64>() / 1000.0;
    /// assert!((mean - 0.5).abs() < 0.05);
    /// ```
    pub fn beta(&mut self, a: f64, b: f64) -> f64 {
        let [a, b] = [a, b].map(|shape| self.ln_gamma(shape));
        1.0 / (1.0 + (b - a).exp())
    }

    /// `n` shares of sum 1 from a Dirichlet distribution whose parameters are all `alpha`, above 0.
    pub fn dirichlet(&mut self, alpha: f64, n: usize) -> Vec<f64> {
        let logs: Vec<f64> = (0..n).map(|_| self.ln_gamma(alpha)).collect();
        let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let shares: Vec<f64> = logs.iter().map(|log| (log - largest).exp()).collect();
        let total: f64 = shares.iter().sum();
        shares.iter().map(|share| share / total).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::random::Rng;

    const DRAWS: usize = 10_000;
    const MANY: usize = 100_000;

    /// Mean and variance of many draws.
    fn moments(of: &mut dyn FnMut() -> f64) -> [f64; 2] {
        let draws: Vec<f64> = (0..MANY).map(|_| of()).collect();
        let mean = draws.iter().sum::<f64>() / MANY as f64;
        [mean, draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / MANY as f64]
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        let mut rng = Rng::keyed([17]);
        let close = |got: [f64; 2], expected: [f64; 2], within: f64, what: &str| {
            for (got, expected) in got.iter().zip(expected) {
                assert!((got - expected).abs() < within, "{what}: {got} for {expected}");
            }
        };
        // Five standard deviations of the estimates, and a little.
        close(moments(&mut || rng.normal()), [0.0, 1.0], 0.03, "normal");
        for (shape, within) in [(0.3, 0.03), (1.0, 0.05), (4.5, 0.15)] {
            close(moments(&mut || rng.ln_gamma(shape).exp()), [shape, shape], within, "gamma");
        }
        for (a, b) in [(0.2, 0.2), (1.0, 1.0), (0.8, 0.8), (2.0, 5.0)] {
            let sum: f64 = a + b;
            let variance = a * b / (sum * sum * (sum + 1.0));
            close(moments(&mut || rng.beta(a, b)), [a / sum, variance], 0.007, "beta");
        }
    }

    /// The share of a beta distribution below a bound: for (1, 1) the bound, for (1/2, 1/2) the arc sine.
    #[test]
    fn beta_has_the_right_quantiles() {
        let mut rng = Rng::keyed([5]);
        for bound in [0.02, 0.1, 0.5, 0.9] {
            for (a, expected) in
                [(1.0, bound), (0.5, 2.0 / std::f64::consts::PI * f64::asin(f64::sqrt(bound)))]
            {
                let below =
                    (0..DRAWS).filter(|_| rng.beta(a, a) < bound).count() as f64 / DRAWS as f64;
                assert!(
                    (below - expected).abs() < 0.02,
                    "({a}, {a}) below {bound}: {below}, not {expected}"
                );
            }
        }
    }

    #[test]
    fn small_parameters_are_nearly_a_coin() {
        let mut rng = Rng::keyed([1]);
        let draws: Vec<f64> = (0..1000).map(|_| rng.beta(1e-4, 1e-4)).collect();
        assert!(draws.iter().all(|draw| (0.0..=1.0).contains(draw)));
        let extreme = draws.iter().filter(|&&draw| !(1e-6..=1.0 - 1e-6).contains(&draw)).count();
        assert!(extreme > 990, "{extreme}");
        let shares = rng.dirichlet(1e-4, 3);
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn shares_are_alike_and_sum_to_one() {
        let mut rng = Rng::keyed([2]);
        let mut sums = [0.0; 3];
        for _ in 0..DRAWS {
            let shares = rng.dirichlet(1.0, 3);
            assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            sums.iter_mut().zip(shares).for_each(|(sum, share)| *sum += share / DRAWS as f64);
        }
        assert!(sums.iter().all(|mean| (mean - 1.0 / 3.0).abs() < 0.01), "{sums:?}");
    }
}
