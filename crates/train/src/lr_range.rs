//! The range test of learning rates: steps at rates that grow from one to the next, until the loss is lost or a tenth of it is left.
//!
//! Above: `recipes`. Below: `step`, `teacher`, `hook`. Not here: which rates are tried, what is drawn of it (`recipes`), the run itself (`fit`).
//! Source: Smith 2017, <https://arxiv.org/abs/1506.01186>, with rates that grow by a factor, the loss as a mean that forgets, and three
//! suggestions of fastai (`LRFinder`, `minimum`, `valley` and `steep`).

use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use taper_layers::{Network, loss::Loss};
use taper_optim::{Clip, Optimizer, Rule};

use crate::error::{Error, Result};
use crate::step::{Participants, StepSettings, step};
use crate::{Batch, Batches, StepHook, Teacher};

/// What the mean keeps of itself with each step; fastai's.
const KEEPS: f64 = 0.98;

/// How many times the least mean ends the test; fastai's.
const LOST: f64 = 4.0;

/// What a mean of the last ten losses or so keeps of itself with each step.
const KEEPS_RECENT: f64 = 0.9;

/// The share of the first losses at which the test ends: the pictures are known by heart then, and what can fall no further says nothing of
/// rates. Of ten photographs of two classes, the loss of a pretrained MobileNetV2 was still falling at a rate of 10.
const LEARNED: f64 = 0.1;

/// Steps at the end that no suggestion looks at, when so many come before them: there the loss is being lost.
const AT_THE_END: usize = 5;

/// How many times below the rate of the least mean a run has its rate; fastai's.
const BELOW_LEAST: f64 = 10.0;

/// A range test, ready to run. It moves the network's parameters: give it a network of its own.
pub struct LrRangeTest<'a, R> {
    /// The network, with the weights that training would begin with.
    pub network: &'a Network,
    /// Steps its trained parameters.
    pub optimizer: Optimizer<R>,
    /// What is minimized.
    pub loss: &'a dyn Loss,
    /// Whose answers are learned besides.
    pub teacher: Option<Teacher>,
    /// What else takes part in each step.
    pub hooks: Vec<Box<dyn StepHook + 'a>>,
    /// What it is trained on, as often as it takes.
    pub train: &'a dyn Batches,
    /// How gradients are clipped.
    pub clip: Option<Clip>,
    /// Decides what dropout drops.
    pub seed: u64,
    /// The first rate and the last, above 0.
    pub rates: [f64; 2],
    /// Steps from one to the other, 2 or more.
    pub steps: usize,
}

/// One step of a range test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LrPoint {
    /// Its learning rate.
    pub lr: f64,
    /// The loss before the step.
    pub loss: f64,
    /// The mean of the losses so far, of which later ones count more.
    pub smoothed: f64,
}

/// What a range test has found.
#[derive(Debug, Clone, PartialEq)]
pub struct LrRange {
    /// The steps taken.
    pub points: Vec<LrPoint>,
    /// Why there were no more.
    pub end: LrEnd,
}

/// Why a range test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LrEnd {
    /// The last rate was tried.
    LastRate,
    /// The loss was lost: it is no number, or has grown to a multiple of the least.
    Lost,
    /// A tenth of the loss was left: the pictures are known by heart.
    Learned,
}

impl<R> std::fmt::Debug for LrRangeTest<'_, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { rates, steps, .. } = self;
        f.debug_struct("LrRangeTest")
            .field("rates", rates)
            .field("steps", steps)
            .finish_non_exhaustive()
    }
}

impl<R: Rule> LrRangeTest<'_, R> {
    /// Steps until the loss is lost, a tenth of it is left, or the last rate was tried; nothing if `stop` is set before. `told` hears of each step.
    ///
    /// # Errors
    /// [`Error::Setting`] for rates or steps that cannot be meant, [`Error::Empty`] without a batch, and what a step says, except that a loss
    /// which is no number is an end.
    pub fn run(
        mut self,
        stop: &AtomicBool,
        told: &mut dyn FnMut(&LrPoint),
    ) -> Result<Option<LrRange>> {
        self.check()?;
        for hook in &mut self.hooks {
            hook.begin(self.network)?;
        }
        let (mut points, mut least) = (Vec::new(), f64::INFINITY);
        let (mut mean, mut recent) = (Mean::keeping(KEEPS), Mean::keeping(KEEPS_RECENT));
        let mut first = None;
        let mut epoch = 0;
        loop {
            let before = points.len();
            for hook in &mut self.hooks {
                hook.before_epoch(epoch, self.network)?;
            }
            let train = self.train;
            for batch in train.epoch(epoch, 0) {
                if stop.load(Ordering::Relaxed) {
                    return Ok(None);
                }
                let batch = batch?;
                let [n, h, w] = batch.shape;
                if n < self.network.min_batch([h, w])? {
                    continue;
                }
                let lr = self.rate(points.len());
                let loss = match self.step(batch, lr, points.len() as u64) {
                    Ok(loss) => loss,
                    Err(Error::NotFinite { .. }) => {
                        return Ok(Some(LrRange { points, end: LrEnd::Lost }));
                    }
                    Err(error) => return Err(error),
                };
                let smoothed = mean.with(loss);
                let point = LrPoint { lr, loss, smoothed };
                told(&point);
                points.push(point);
                least = least.min(smoothed);
                let last = recent.with(loss);
                if points.len() > self.steps / 10 {
                    first.get_or_insert(last);
                }
                let end = if smoothed > LOST * least {
                    LrEnd::Lost
                } else if first.is_some_and(|first| last < LEARNED * first) {
                    LrEnd::Learned
                } else if points.len() == self.steps {
                    LrEnd::LastRate
                } else {
                    continue;
                };
                return Ok(Some(LrRange { points, end }));
            }
            if points.len() == before {
                return Err(Error::nothing_left("training", Vec::new()));
            }
            epoch += 1;
        }
    }

    fn check(&self) -> Result<()> {
        let [first, last] = self.rates;
        let refused = |name, got: String, expected| Err(Error::Setting { name, got, expected });
        if !(first > 0.0 && first < last && last.is_finite()) {
            return refused("rates", format!("{first} to {last}"), "positive numbers that rise");
        }
        match self.steps {
            0 | 1 => refused("steps", self.steps.to_string(), "2 or more"),
            _ if self.train.n_batches() == 0 => Err(Error::Empty { set: "training" }),
            _ => Ok(()),
        }
    }

    /// Rates grow by the same factor from step to step.
    #[expect(clippy::cast_precision_loss, reason = "step counts stay far below 2^53")]
    fn rate(&self, step: usize) -> f64 {
        let [first, last] = self.rates;
        first * (last / first).powf(step as f64 / (self.steps - 1) as f64)
    }

    fn step(&mut self, batch: Batch, lr: f64, number: u64) -> Result<f64> {
        let taught = self.teacher.as_mut().map(|teacher| teacher.outputs(&batch)).transpose()?;
        let taught = self.teacher.as_ref().zip(taught);
        let taught = taught.map(|(teacher, outputs)| teacher.loss(self.loss, outputs));
        let loss = taught.as_ref().map_or(self.loss, |taught| taught as &dyn Loss);
        let participants = Participants { metric: None, hooks: &mut self.hooks };
        let seed = self.seed.wrapping_add(number);
        let settings = StepSettings { lr, clip: self.clip, seed, step: number };
        Ok(step(self.network, &mut self.optimizer, batch, loss, participants, settings)?.loss)
    }
}

/// A mean that forgets, without the pull of its beginning.
struct Mean {
    keeps: f64,
    sum: f64,
    weight: f64,
}

impl Mean {
    const fn keeping(keeps: f64) -> Self {
        Self { keeps, sum: 0.0, weight: 0.0 }
    }

    fn with(&mut self, value: f64) -> f64 {
        self.sum = self.keeps * self.sum + (1.0 - self.keeps) * value;
        self.weight = self.keeps * self.weight + (1.0 - self.keeps);
        self.sum / self.weight
    }
}

impl LrRange {
    /// The steps that suggestions look at: neither the first tenth nor the end, where a loss that is lost says nothing.
    fn middle(&self) -> &[LrPoint] {
        let n = self.points.len();
        let is_lost = self.end == LrEnd::Lost && n > 2 * AT_THE_END;
        let end = if is_lost { n - AT_THE_END } else { n };
        &self.points[(n / 10).min(end)..end]
    }

    /// A tenth of the rate at which the mean is least. None if the loss does not fall.
    #[must_use]
    pub fn minimum(&self) -> Option<f64> {
        let points = self.middle();
        let least = points.iter().min_by(|a, b| a.smoothed.total_cmp(&b.smoothed))?;
        let falls = points.first().is_some_and(|first| least.smoothed < first.smoothed);
        falls.then_some(least.lr / BELOW_LEAST)
    }

    /// The rate in the middle of the longest fall: of the longest sequence of steps, not all neighbors, of which each has a smaller mean
    /// than the one before, the place half of the way, in steps. None if the loss does not fall.
    #[must_use]
    pub fn valley(&self) -> Option<f64> {
        let points = self.middle();
        // By step: how long the longest fall that ends there is, and where it begins.
        let mut falls: Vec<(usize, usize)> = Vec::with_capacity(points.len());
        for (at, point) in points.iter().enumerate() {
            let before =
                points[..at].iter().zip(&falls).filter(|(it, _)| it.smoothed > point.smoothed);
            let longest = before
                .map(|(_, fall)| *fall)
                .max_by_key(|(length, first)| (*length, usize::MAX - first));
            falls.push(longest.map_or((1, at), |(length, first)| (length + 1, first)));
        }
        let (end, &(length, first)) =
            falls.iter().enumerate().max_by_key(|(at, (length, _))| (*length, usize::MAX - at))?;
        if length < 2 {
            return None;
        }
        points.get(first + (end - first) / 2).map(|point| point.lr)
    }

    /// The rate at which the mean falls fastest over the logarithm of the rate. None if it does not fall.
    #[must_use]
    pub fn steepest(&self) -> Option<f64> {
        let slopes = self.middle().windows(2).map(|pair| {
            let slope = (pair[1].smoothed - pair[0].smoothed) / (pair[1].lr / pair[0].lr).ln();
            (slope, pair[0].lr)
        });
        let steepest = slopes.min_by(|a, b| a.0.total_cmp(&b.0))?;
        (steepest.0 < 0.0).then_some(steepest.1)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use taper_graph::{Bias, GraphBuilder, PoolKind};
    use taper_layers::loss::CrossEntropy;
    use taper_model::{Model, Preprocess};
    use taper_optim::{Group, Sgd};

    use super::*;
    use crate::Vectors;

    fn of(smoothed: &[f64], end: LrEnd) -> LrRange {
        let mut lr = 1e-5;
        let point = |&smoothed: &f64| {
            lr *= 10.0;
            LrPoint { lr, loss: smoothed, smoothed }
        };
        LrRange { points: smoothed.iter().map(point).collect(), end }
    }

    fn close(got: Option<f64>, expected: f64) {
        let got = got.unwrap();
        assert!((got / expected - 1.0).abs() < 1e-9, "{got} {expected}");
    }

    #[test]
    fn suggestions_are_below_the_least_loss_in_the_middle_of_the_fall_and_where_it_falls_most() {
        let range = of(&[1.0, 1.1, 0.9, 0.95, 0.8, 0.4, 0.3, 0.5], LrEnd::LastRate);
        // The longest fall is 1.0 or 1.1, 0.9, 0.8, 0.4, 0.3: steps 0 to 6.
        close(range.minimum(), 10.0);
        close(range.valley(), 1e-1);
        close(range.steepest(), 1.0);
        let flat = of(&[1.0, 1.0, 1.2], LrEnd::LastRate);
        assert_eq!((flat.minimum(), flat.valley(), flat.steepest()), (None, None, None));
        assert_eq!((of(&[], LrEnd::Lost).minimum(), of(&[], LrEnd::Lost).valley()), (None, None));
    }

    #[test]
    fn the_first_tenth_and_a_lost_end_are_not_looked_at() {
        let mut losses = vec![9.0, 1.0];
        losses.extend((0..13).map(|i| 0.9 - 0.01 * f64::from(i)));
        losses.extend([0.7, 0.1, 5.0, 7.0, 9.0]);
        let range = of(&losses, LrEnd::Lost);
        assert_eq!(range.middle().len(), 13);
        close(range.middle().first().map(|point| point.lr), 1e-2);
        close(range.middle().last().map(|point| point.lr), 1e10);
        let whole = LrRange { end: LrEnd::LastRate, ..range };
        assert_eq!(whole.middle().len(), 18);
    }

    /// Two classes that a line tells apart.
    fn test<'a>(
        network: &'a Network,
        set: &'a Vectors,
        loss: &'a CrossEntropy,
        rates: [f64; 2],
    ) -> LrRangeTest<'a, Sgd> {
        let group = Group::new("all", network.trainable());
        let optimizer = Optimizer::from_groups(vec![group], Sgd::default()).unwrap();
        LrRangeTest {
            network,
            optimizer,
            loss,
            teacher: None,
            hooks: Vec::new(),
            train: set,
            clip: None,
            seed: 3,
            rates,
            steps: 40,
        }
    }

    fn network() -> Network {
        let mut b = GraphBuilder::new(2).unwrap();
        let xs = b.global_pool("pool", b.input(), PoolKind::Avg, true).unwrap();
        let xs = b.linear("classifier", xs, 2, Bias::With).unwrap();
        b.output("logits", xs).unwrap();
        let preprocess = Preprocess { input_size: [1, 1], ..Preprocess::imagenet() };
        let model = Model::random(b.build().unwrap(), 0, preprocess, vec![]).unwrap();
        Network::new(&model, &Device::Cpu).unwrap()
    }

    #[test]
    fn rates_grow_by_a_factor_until_the_loss_is_lost_and_equal_tests_give_equal_bits() {
        let values: Vec<f32> = (0..24).map(|i| ((i * 7 % 11) as f32 - 5.0) * 3.0).collect();
        let set =
            Vectors::new(values, (0..12).map(|i| i % 2).collect::<Vec<u32>>().into(), 4).unwrap();
        let (loss, stop) = (CrossEntropy::new(), AtomicBool::new(false));
        let run = || {
            let network = network();
            let mut told = 0;
            let range = test(&network, &set, &loss, [1e-4, 1e3])
                .run(&stop, &mut |_| told += 1)
                .unwrap()
                .unwrap();
            assert_eq!(told, range.points.len());
            range
        };
        let range = run();
        assert_eq!(range, run());
        assert!(range.end == LrEnd::Lost && range.points.len() < 40, "{range:?}");
        let factor = (1e7f64).powf(1.0 / 39.0);
        for pair in range.points.windows(2) {
            assert!((pair[1].lr / pair[0].lr / factor - 1.0).abs() < 1e-9);
        }
        assert!((range.points[0].smoothed - range.points[0].loss).abs() < 1e-12);
    }

    #[test]
    fn pictures_that_are_known_by_heart_end_the_test_and_do_not_move_its_suggestion_up() {
        let (loss, stop) = (CrossEntropy::new(), AtomicBool::new(false));
        let set = Vectors::new(vec![0.0, 1.0, 1.0, 0.0], vec![0, 1].into(), 2).unwrap();
        let network = network();
        let mut test = test(&network, &set, &loss, [1e-4, 1e4]);
        test.steps = 80;
        let range = test.run(&stop, &mut |_| ()).unwrap().unwrap();
        let (first, last) = (&range.points[0], range.points.last().unwrap());
        assert!(range.end == LrEnd::Learned && range.points.len() < 80, "{range:?}");
        assert!(last.loss < LEARNED * first.loss, "{last:?}");
        close(range.minimum(), last.lr / BELOW_LEAST);
    }

    #[test]
    fn a_test_that_is_stopped_finds_nothing_and_rates_that_fall_are_refused() {
        let set = Vectors::new(vec![0.0, 1.0, 1.0, 0.0], vec![0, 1].into(), 2).unwrap();
        let (network, loss, stop) = (network(), CrossEntropy::new(), AtomicBool::new(true));
        let stopped = test(&network, &set, &loss, [1e-4, 1.0]).run(&stop, &mut |_| ()).unwrap();
        assert_eq!(stopped, None);
        let falling = test(&network, &set, &loss, [1.0, 0.1]).run(&stop, &mut |_| ());
        assert!(matches!(falling, Err(Error::Setting { name: "rates", .. })));
    }
}
