//! A training step on slices, as users of candle get it, without candle: forward, loss, backward, SGD with momentum.
//!
//! Above: `train`. Below: `taper_engine::Trainer`. Not here: `taper-optim`, whose rules work on candle's variables.
//! PyTorch's rule: `v = momentum·v + g`, `p = p − lr·v`. Source: torch.optim.SGD, PyTorch 2.x.

use std::collections::HashSet;
use std::thread;

use anyhow::{Result, bail};
use taper_engine::{Cpu, Trainer};
use taper_model::{Model, ModelParts};

/// So low that even random features of any size are learned and not jumped over.
const LR: f32 = 1e-4;
const MOMENTUM: f32 = 0.9;

/// Elements that a thread takes at once.
const PIECE: usize = 1 << 14;

/// What is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trained {
    Everything,
    /// The layer that computes the logits.
    Head,
}

/// A network in training on one batch that stays the same.
pub(super) struct Training {
    trainer: Trainer<f32, Cpu>,
    params: Vec<Vec<f32>>,
    /// Empty for what is not trained, as `gradients` are.
    velocities: Vec<Vec<f32>>,
    gradients: Vec<Vec<f32>>,
    xs: Vec<f32>,
    shape: [usize; 3],
    threads: usize,
    steps: u64,
}

impl Training {
    /// Of `model` on images `xs` `(n, h, w, 3)`, `shape` being `[n, h, w]`; image `i` is of class `i` modulo the classes.
    pub(super) fn new(
        model: Model,
        trained: Trained,
        xs: Vec<f32>,
        shape: [usize; 3],
        threads: usize,
    ) -> Result<Self> {
        let ModelParts { graph, tensors, .. } = model.into_parts();
        let head: HashSet<usize> =
            graph.node(graph.output("logits")?).params().iter().map(|id| id.index()).collect();
        let is_trained = |id: usize| trained == Trained::Everything || head.contains(&id);
        let marks: Vec<bool> = (0..graph.params().len()).map(is_trained).collect();
        let trainer = Trainer::new(&graph, "logits", &marks, Cpu::new(threads))?;
        let params: Vec<Vec<f32>> = tensors.into_iter().map(|tensor| tensor.data).collect();
        let of = |(param, &trained): (&Vec<f32>, &bool)| {
            vec![0.0; if trained { param.len() } else { 0 }]
        };
        let velocities = params.iter().zip(trainer.trained()).map(of).collect();
        let gradients = vec![Vec::new(); params.len()];
        Ok(Self { trainer, params, velocities, gradients, xs, shape, threads, steps: 0 })
    }

    /// One step; returns the loss before it, nats, mean over the batch.
    pub(super) fn step(&mut self) -> Result<f64> {
        let params: Vec<&[f32]> = self.params.iter().map(Vec::as_slice).collect();
        let logits = self.trainer.forward(&params, &self.xs, self.shape, self.steps)?;
        let (loss, gradient) = cross_entropy(logits, self.shape[0]);
        if !loss.is_finite() {
            bail!("the loss is {loss} after {} steps", self.steps);
        }
        self.trainer.backward(&params, &gradient, &mut self.gradients)?;
        for (id, statistic) in self.trainer.running_statistics(&params) {
            self.params[id.index()] = statistic;
        }
        sgd(&mut self.params, &mut self.velocities, &self.gradients, self.threads);
        self.steps += 1;
        Ok(loss)
    }
}

/// Mean loss, and its gradient, of logits `(n, k)` whose target is row modulo k.
fn cross_entropy(logits: &[f32], n: usize) -> (f64, Vec<f32>) {
    let k = logits.len() / n;
    let mut loss = 0.0;
    let mut gradient = Vec::with_capacity(logits.len());
    for (row, logits) in logits.chunks_exact(k).enumerate() {
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f32 = logits.iter().map(|z| (z - largest).exp()).sum();
        loss += f64::from(largest + sum.ln() - logits[row % k]);
        gradient.extend(logits.iter().enumerate().map(|(class, z)| {
            let target = if class == row % k { 1.0 } else { 0.0 };
            ((z - largest).exp() / sum - target) / n as f32
        }));
    }
    (loss / n as f64, gradient)
}

/// Parameters, velocities and gradients of a piece of a tensor.
type Piece<'a> = ((&'a mut [f32], &'a mut [f32]), &'a [f32]);

/// One step of all tensors together, shared out over `threads` by pieces.
fn sgd(
    params: &mut [Vec<f32>],
    velocities: &mut [Vec<f32>],
    gradients: &[Vec<f32>],
    threads: usize,
) {
    let tensors = params.iter_mut().zip(velocities).zip(gradients);
    let pieces = tensors
        .flat_map(|((p, v), g)| p.chunks_mut(PIECE).zip(v.chunks_mut(PIECE)).zip(g.chunks(PIECE)));
    let mut hands: Vec<Vec<Piece<'_>>> = (0..threads).map(|_| Vec::new()).collect();
    pieces.enumerate().for_each(|(at, piece)| hands[at % threads].push(piece));
    let work = |hand: Vec<Piece<'_>>| {
        for ((params, velocities), gradients) in hand {
            for ((p, v), g) in params.iter_mut().zip(velocities).zip(gradients) {
                *v = MOMENTUM * *v + g;
                *p -= LR * *v;
            }
        }
    };
    thread::scope(|scope| {
        let own = hands.pop();
        for hand in hands {
            scope.spawn(move || work(hand));
        }
        own.into_iter().for_each(work);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::networks;

    #[test]
    fn sgd_is_the_formula_on_any_number_of_threads() {
        for threads in [1, 3] {
            let mut params = vec![vec![1.0; 40_000], vec![5.0], vec![2.0; 3]];
            let mut velocities = vec![vec![1.0; 40_000], Vec::new(), vec![0.0; 3]];
            let gradients = vec![vec![2.0; 40_000], Vec::new(), vec![-1.0; 3]];
            sgd(&mut params, &mut velocities, &gradients, threads);
            assert!(
                params[0].iter().all(|p| (p - (1.0 - LR * 2.9)).abs() < 1e-6),
                "{threads} threads"
            );
            assert_eq!(params[1], [5.0]);
            assert_eq!(
                (velocities[2].as_slice(), params[2].as_slice()),
                (&[-1.0; 3][..], &[2.0 + LR; 3][..])
            );
        }
    }

    #[test]
    fn cross_entropy_of_equal_logits_is_the_logarithm_of_the_classes() {
        let (loss, gradient) = cross_entropy(&[3.0; 8], 2);
        assert!((loss - 4.0_f64.ln()).abs() < 1e-6);
        let close = |a: f32, b: f32| (a - b).abs() < 1e-6;
        assert!(
            close(gradient[0], -0.375) && close(gradient[1], 0.125) && close(gradient[5], -0.375)
        );
    }

    #[test]
    fn steps_lower_the_loss_and_a_frozen_backbone_stays() {
        for trained in [Trained::Everything, Trained::Head] {
            let model = networks::random("mobilenetv2_035", 2).unwrap();
            let before = model.tensors().to_vec();
            let shape = [8, 64, 64];
            let xs = networks::images(8 * 64 * 64 * 3);
            let mut training = Training::new(model, trained, xs, shape, 2).unwrap();
            let first = training.step().unwrap();
            let last = (0..8).map(|_| training.step().unwrap()).last().unwrap();
            assert!(last < first, "{trained:?}: {first} to {last}");
            let moved = before.iter().zip(&training.params).filter(|(a, b)| a.data != **b).count();
            assert_eq!(moved == 2, trained == Trained::Head, "{moved} of {}", before.len());
        }
    }
}
