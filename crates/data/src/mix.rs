//! Pictures of a batch mixed with each other, and their targets with them: mixup and cutmix.
//!
//! Above: `loader`. Below: `targets`, `transform::Rect`, `parallel`. Not here: one picture mixed with versions of itself (`augment::policy`), the loss
//! of soft targets (`layers`).
//! Pictures are `(n, h, w, c)`. Row `i` is mixed with row `(i + n / 2) mod n`: rows are shuffled already, and half a batch away is never another
//! view of the same picture where samples are repeated (torchvision takes the row before, timm the one counted from the end).
//! Source: Zhang et al. 2018, <https://arxiv.org/abs/1710.09412>; Yun et al. 2019, <https://arxiv.org/abs/1905.04899>; timm 1.0 `data.Mixup` in
//! mode "batch" for what is drawn, torchvision 0.26 `transforms.v2.{MixUp, CutMix}`.

mod targets;

use crate::error::{Error, Result};
use crate::parallel::for_each;
use crate::random::Rng;
use crate::targets::{Target, Targets};
use crate::transform::{Rect, truncated};

/// How batches are mixed: one weight, and one rectangle, a batch.
///
/// # Examples
/// ```
/// use taper_data::mix::{Mix, Mixed};
/// use taper_data::random::Rng;
/// let mix = Mix::new(0.8, 1.0, 6)?; // as timm's recipes have it: either, every other time
/// match mix.draw([224, 224], &mut Rng::keyed([1])) {
///     Mixed::Mixup { weight } | Mixed::Cutmix { weight, .. } => assert!((0.0..=1.0).contains(&weight)),
///     Mixed::Nothing => unreachable!("the probability is 1"),
/// }
/// assert!(Mix::new(0.0, 0.0, 6).is_err());
/// # Ok::<(), taper_data::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Mix {
    mixup: f64,
    cutmix: f64,
    classes: usize,
    probability: f64,
    switch: f64,
}

/// What happens to one batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mixed {
    /// Pictures stay as they are.
    Nothing,
    /// Each is `weight` times itself and `1 - weight` times its partner.
    Mixup {
        /// Of the picture itself, 0 to 1.
        weight: f64,
    },
    /// A rectangle of each is its partner's.
    Cutmix {
        /// None where it is empty.
        rect: Option<Rect>,
        /// The share of the picture that is its own.
        weight: f64,
    },
}

impl Mix {
    /// Weights from beta distributions of parameters `mixup` and `cutmix`, 0 for never; where both are given, either every other batch. Classes
    /// become probabilities of `classes` of them.
    ///
    /// # Errors
    /// [`Error::Setting`] if a parameter is negative or not finite, both are 0, or there are no classes.
    pub fn new(mixup: f64, cutmix: f64, classes: usize) -> Result<Self> {
        for (setting, alpha) in [("mixup", mixup), ("cutmix", cutmix)] {
            if !(alpha.is_finite() && alpha >= 0.0) {
                let got = alpha.to_string();
                return Err(Error::Setting { setting, got, expected: "0 or more" });
            }
        }
        if mixup + cutmix <= 0.0 || classes == 0 {
            let got = format!("{mixup} and {cutmix} for {classes} classes");
            let expected = "one of both above 0, and classes";
            return Err(Error::Setting { setting: "mixup and cutmix", got, expected });
        }
        Ok(Self { mixup, cutmix, classes, probability: 1.0, switch: 0.5 })
    }

    /// Mixes a batch with this probability; 1 unless told otherwise.
    ///
    /// # Errors
    /// [`Error::Setting`] unless it is from 0 to 1.
    pub fn with_probability(self, probability: f64) -> Result<Self> {
        let probability = is_probability("the probability of mixing", probability)?;
        Ok(Self { probability, ..self })
    }

    /// Takes cutmix with this probability where there are both; 0.5 unless told otherwise.
    ///
    /// # Errors
    /// [`Error::Setting`] unless it is from 0 to 1.
    pub fn with_switch(self, switch: f64) -> Result<Self> {
        Ok(Self { switch: is_probability("the probability of cutmix", switch)?, ..self })
    }

    /// Refuses a target that cannot be mixed.
    ///
    /// # Errors
    /// [`Error::Label`] for a class beyond those there are, [`Error::NotMixed`] for a map of classes.
    pub fn check(&self, target: &Target) -> Result<()> {
        match target {
            Target::Class(class) if (*class as usize) < self.classes => Ok(()),
            Target::Class(class) => {
                Err(Error::Label { got: *class as usize, labels: self.classes })
            }
            Target::Probabilities(_) | Target::Labels(_) | Target::Numbers(_) => Ok(()),
            Target::ClassMap(_) => {
                Err(Error::NotMixed { got: Targets::from(target.clone()).describe() })
            }
            Target::Named(all) => all.values().try_for_each(|target| self.check(target)),
        }
    }

    /// What happens to a batch of pictures of `(height, width)` pixels. Draws whether, which where there are both, the weight, and the middle of the
    /// rectangle: column, then row.
    #[must_use]
    pub fn draw(&self, size: [usize; 2], rng: &mut Rng) -> Mixed {
        if !rng.happens(self.probability) {
            return Mixed::Nothing;
        }
        let cuts = match (self.mixup > 0.0, self.cutmix > 0.0) {
            (true, true) => rng.happens(self.switch),
            (_, cuts) => cuts,
        };
        if !cuts {
            return Mixed::Mixup { weight: rng.beta(self.mixup, self.mixup) };
        }
        let half = 0.5 * (1.0 - rng.beta(self.cutmix, self.cutmix)).sqrt();
        let mut span = |side: usize| {
            let (middle, half) = (rng.below(side), truncated(half * side as f64));
            let start = middle.saturating_sub(half);
            (start, (middle + half).min(side) - start)
        };
        let ((left, width), (top, height)) = (span(size[1]), span(size[0]));
        let rect = (width > 0 && height > 0).then_some(Rect { top, left, height, width });
        let weight = 1.0 - (width * height) as f64 / (size[0] * size[1]) as f64;
        Mixed::Cutmix { rect, weight }
    }

    /// Mixes a batch of pictures `(n, h, w, c)` of `[h, w]`, `size`, on `threads` threads, and its targets. A picture that is alone stays as it is.
    ///
    /// Classes become probabilities; probabilities, labels and numbers are mixed as they are.
    ///
    /// # Errors
    /// [`Error::Label`] for a class beyond those there are, [`Error::NotMixed`] for maps of classes, [`Error::Buffer`] if there are not as many pictures
    /// as targets.
    pub fn apply(
        &self,
        mixed: Mixed,
        xs: &mut [f32],
        size: [usize; 2],
        targets: &Targets,
        threads: usize,
    ) -> Result<Targets> {
        let n = targets.len();
        let pixels = size[0] * size[1];
        if n == 0 || !xs.len().is_multiple_of((n * pixels).max(1)) {
            let expected = n * pixels * 3;
            return match xs.len() {
                0 => targets::mixed(targets, 1.0, self.classes),
                got => Err(Error::Buffer { expected, got }),
            };
        }
        let weight = match mixed {
            Mixed::Nothing => 1.0,
            Mixed::Mixup { weight } | Mixed::Cutmix { weight, .. } => weight,
        };
        let targets = targets::mixed(targets, weight, self.classes)?;
        let each = xs.len() / n;
        match mixed {
            Mixed::Nothing | Mixed::Cutmix { rect: None, .. } => {}
            Mixed::Mixup { weight } => {
                #[expect(clippy::cast_possible_truncation, reason = "pictures are `f32`")]
                let [own, other] = [weight as f32, (1.0 - weight) as f32];
                mix_rows(xs, each, threads, &|row, partner| {
                    let samples = row.iter_mut().zip(partner);
                    samples.for_each(|(x, partner)| *x = *x * own + *partner * other);
                });
            }
            Mixed::Cutmix { rect: Some(rect), .. } => {
                let (row_len, channels) = (each / size[0], each / pixels);
                mix_rows(xs, each, threads, &|row, partner| {
                    let lines = row.chunks_exact_mut(row_len).zip(partner.chunks_exact(row_len));
                    for (line, partner) in lines.skip(rect.top).take(rect.height) {
                        let part = channels * rect.left..channels * (rect.left + rect.width);
                        line[part.clone()].copy_from_slice(&partner[part]);
                    }
                });
            }
        }
        Ok(targets)
    }
}

fn is_probability(setting: &'static str, p: f64) -> Result<f64> {
    match (0.0..=1.0).contains(&p) {
        true => Ok(p),
        false => Err(Error::Setting { setting, got: p.to_string(), expected: "0 to 1" }),
    }
}

/// The row that row `i` of `n` is mixed with.
fn partner(i: usize, n: usize) -> usize {
    (i + n / 2) % n
}

/// Changes each row by its partner as it was before.
fn mix_rows(
    xs: &mut [f32],
    each: usize,
    threads: usize,
    change: &(dyn Fn(&mut [f32], &[f32]) + Sync),
) {
    let n = xs.len() / each.max(1);
    if n < 2 {
        return;
    }
    if n.is_multiple_of(2) {
        // Pairs: each is the other's partner.
        let (first, second) = xs.split_at_mut(n / 2 * each);
        let pairs = first.chunks_exact_mut(each).zip(second.chunks_exact_mut(each));
        for_each(threads, pairs, Vec::new, |kept: &mut Vec<f32>, (row, other)| {
            kept.clear();
            kept.extend_from_slice(row);
            change(row, other);
            change(other, kept);
        });
        return;
    }
    // An odd number is one cycle: every row changes before its partner does, but for the last, whose partner was the first.
    let first = xs[..each].to_vec();
    let mut row = 0;
    for _ in 1..n {
        let next = partner(row, n);
        let (low, high) = (row.min(next), row.max(next));
        let (before, from) = xs.split_at_mut(high * each);
        let (a, b) = (&mut before[low * each..(low + 1) * each], &mut from[..each]);
        if row < next {
            change(a, b);
        } else {
            change(b, a);
        }
        row = next;
    }
    change(&mut xs[row * each..(row + 1) * each], &first);
}

#[cfg(test)]
mod tests;
