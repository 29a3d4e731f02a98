//! Parts of a batch that go through the graph unit by unit together, so that batch norms share their statistics.
//!
//! Above: `layers`, for parts of which others may be elsewhere. Below: `train::{norm, prepared}`. Not here: how sums reach other
//! processes (the caller).
//! Each part has an arena of its own. A norm over all `m` values, of which a part has `m_s` with mean `μ_s` and variance `v_s`, has
//! `μ = Σ m_s·μ_s / m` and `σ² = Σ m_s·(v_s + μ_s²) / m − μ²`; on the way back the two sums of its gradient are over all parts, too.
//! Source: Ioffe and Szegedy 2015, <https://arxiv.org/abs/1502.03167>; `torch.nn.SyncBatchNorm`.

use taper_graph::ParamId;
use taper_kernels::{AlignedBuf, Device, Real};

use super::Trainer;
use super::forward::Pass;
use super::norm::NormState;
use super::prepared::Prepared;
use crate::error::{check_len, check_params};
use crate::{Error, Result};

/// Adds up vectors, one for each part here, with those of all other parts: all of the same length, which the sum has, too. It has the
/// same bits wherever parts are.
pub type SumOverParts<'a> = dyn FnMut(Vec<Vec<f64>>) -> std::result::Result<Vec<f64>, Box<dyn std::error::Error + Send + Sync>>
    + 'a;

/// Is told the gradients of a trained parameter by part.
pub type ObserveParts<'a, T> = dyn FnMut(ParamId, &[&[T]]) + 'a;

/// A part of a batch.
#[derive(Clone, Copy, Debug)]
pub struct BatchPart<'a, T> {
    /// The values that [`Trainer::forward_from`] takes.
    pub given: &'a [&'a [T]],
    /// `[n, h, w]` of its images; it may have none.
    pub shape: [usize; 3],
    /// Decides what dropout drops.
    pub seed: u64,
}

/// What a trainer holds of a part while others are run.
#[derive(Default)]
pub(super) struct Part<T: Real> {
    pub(super) norms: Vec<NormState<T>>,
    arena: AlignedBuf<T>,
    outputs: Vec<Vec<T>>,
    /// None of a part without images.
    prepared: Option<Prepared>,
    seed: u64,
}

impl<T: Real, D: Device<T>> Trainer<T, D> {
    /// [`Trainer::forward_from`] for parts of a batch, whose batch norms use the statistics of all parts that `sum` knows of. It is called
    /// once for each of these norms, in the same order wherever parts are. [`Trainer::part_outputs`] has what comes out.
    ///
    /// # Errors
    /// As [`Trainer::forward`], but that one value of each part is enough for a norm; [`Error::Sum`] if `sum` fails.
    ///
    /// # Examples
    /// Two parts of one image have the norm of a batch of two:
    /// ```
    /// use taper_engine::{BatchPart, Reference, Trainer};
    /// use taper_graph::GraphBuilder;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut b = GraphBuilder::new(1)?;
    /// let xs = b.batch_norm("bn", b.input(), 0.0, 0.1)?;
    /// b.output("xs", xs)?;
    /// let mut trainer = Trainer::new(&b.build()?, "xs", &[true; 4], Reference)?;
    /// let params: [&[f64]; 4] = [&[1.0], &[0.0], &[0.0], &[1.0]];
    ///
    /// let given: [[&[f64]; 1]; 2] = [[&[3.0]], [&[7.0]]]; // mean 5, variance 4
    /// let parts = [0, 1].map(|i| BatchPart { given: &given[i], shape: [1, 1, 1], seed: 0 });
    /// let mut sum = |sums: Vec<Vec<f64>>| Ok(sums[0].iter().zip(&sums[1]).map(|(a, b)| a + b).collect());
    /// trainer.forward_synced(&params, &parts, &mut sum)?;
    /// assert_eq!([trainer.part_outputs(0), trainer.part_outputs(1)], [[[-1.0]], [[1.0]]]);
    /// # Ok(()) }
    /// ```
    pub fn forward_synced(
        &mut self,
        params: &[&[T]],
        parts: &[BatchPart<'_, T>],
        sum: &mut SumOverParts<'_>,
    ) -> Result<()> {
        check_params(&self.graph, params)?;
        self.ready = false;
        self.prepare_parts(parts)?;
        self.each_part(|trainer, i, prepared| trainer.begin(prepared, params, parts[i].given))?;
        for unit in 0..self.fused.units.len() {
            self.each_part(|trainer, _, prepared| {
                trainer.forward_unit(prepared, unit, params, Pass::Forward)
            })?;
            self.share_moments(self.fused.units[unit].output, params, sum)?;
        }
        self.each_part(|trainer, _, prepared| {
            trainer.read_outputs(prepared);
            Ok(())
        })?;
        self.ready = true;
        Ok(())
    }

    /// All outputs of a part after [`Trainer::forward_synced`], as [`Trainer::outputs`] has them; empty ones of a part without images.
    #[must_use]
    pub fn part_outputs(&self, part: usize) -> &[Vec<T>] {
        self.parts.get(part).map_or(&[], |part| &part.outputs)
    }

    /// [`Trainer::backward_all_observed`] after [`Trainer::forward_synced`]: from the gradients of the outputs by part, those of the
    /// parameters by part, whose sum over all parts is the gradient of the whole.
    ///
    /// A part weighs as much as its gradients do: those of a loss that is a mean are to be multiplied by the part's share.
    ///
    /// # Errors
    /// As [`Trainer::backward`]; [`Error::Sum`] if `sum` fails.
    pub fn backward_synced(
        &mut self,
        params: &[&[T]],
        grad_outputs: &[Vec<&[T]>],
        sum: &mut SumOverParts<'_>,
        observe: &mut ObserveParts<'_, T>,
    ) -> Result<()> {
        check_params(&self.graph, params)?;
        if self.parts.is_empty() || !std::mem::take(&mut self.ready) {
            return Err(Error::NoForward);
        }
        check_len("the list of parts", grad_outputs.len(), self.parts.len())?;
        for (part, gradients) in self.parts.iter().zip(grad_outputs) {
            check_len("the list of gradients of outputs", gradients.len(), part.outputs.len())?;
            for (gradient, output) in gradients.iter().zip(&part.outputs) {
                check_len("the gradient of the output", gradient.len(), output.len())?;
            }
        }
        let mut gradients = vec![vec![Vec::new(); params.len()]; grad_outputs.len()];
        gradients.iter_mut().for_each(|of_part| self.clear(of_part));
        let mut told = vec![false; self.trained.len()];
        let mut tell = |id: ParamId, gradients: &[Vec<Vec<T>>]| {
            let by_part: Vec<&[T]> = gradients.iter().map(|of| of[id.index()].as_slice()).collect();
            told[id.index()] = true;
            observe(id, &by_part);
        };
        self.each_part(|trainer, i, prepared| {
            trainer.backward_outputs(prepared, &grad_outputs[i]);
            Ok(())
        })?;
        for unit in (0..self.fused.units.len()).rev() {
            let output = self.fused.units[unit].output;
            if self.routes.needs[output] {
                self.share_gradient_sums(output, sum)?;
                self.each_part(|trainer, i, prepared| {
                    trainer.backward_adding(prepared, unit, params, &mut gradients[i])
                })?;
                self.order.finished[unit].iter().for_each(|&id| tell(id, &gradients));
            }
        }
        let order = self.order.clone();
        order.unreached.iter().for_each(|&id| tell(id, &gradients));
        Ok(())
    }

    fn prepare_parts(&mut self, parts: &[BatchPart<'_, T>]) -> Result<()> {
        let mut kept = std::mem::take(&mut self.parts);
        kept.resize_with(parts.len(), Part::default);
        for (kept, part) in kept.iter_mut().zip(parts) {
            if kept.norms.is_empty() {
                kept.norms =
                    self.norms.iter().map(|norm| NormState::new(norm.channels())).collect();
            }
            kept.seed = part.seed;
            kept.prepared = match part.shape {
                [0, ..] => None,
                shape => Some(self.prepared_for(kept.prepared.take(), shape)?),
            };
            match &kept.prepared {
                Some(prepared) => kept.arena.reserve(prepared.memory.total),
                None => kept.outputs = vec![Vec::new(); self.fused.outputs.len()],
            }
        }
        self.parts = kept;
        Ok(())
    }

    /// Calls `work` with each part that has images in this trainer's own place.
    fn each_part(
        &mut self,
        mut work: impl FnMut(&mut Self, usize, &Prepared) -> Result<()>,
    ) -> Result<()> {
        let mut parts = std::mem::take(&mut self.parts);
        let mut ran = Ok(());
        for (i, part) in parts.iter_mut().enumerate() {
            let Some(prepared) = part.prepared.take() else { continue };
            if ran.is_ok() {
                self.exchange(part);
                ran = work(self, i, &prepared);
                self.exchange(part);
            }
            part.prepared = Some(prepared);
        }
        self.parts = parts;
        ran
    }

    fn exchange(&mut self, part: &mut Part<T>) {
        std::mem::swap(&mut self.norms, &mut part.norms);
        std::mem::swap(&mut self.arena, &mut part.arena);
        std::mem::swap(&mut self.outputs, &mut part.outputs);
        std::mem::swap(&mut self.seed, &mut part.seed);
    }

    /// Gives all parts the moments that a norm has over all of them, if value `v` has one that uses the batch's.
    fn share_moments(
        &mut self,
        v: usize,
        params: &[&[T]],
        sum: &mut SumOverParts<'_>,
    ) -> Result<()> {
        let Some(norm) = self.fused.values[v].norm.filter(|_| self.routes.batch_norms[v]) else {
            return Ok(());
        };
        let moments = self.parts.iter().map(|part| match part.prepared {
            Some(_) => part.norms[v].moments(),
            None => vec![0.0; 1 + 2 * part.norms[v].channels()],
        });
        let total = summed(moments.collect(), sum)?;
        let count = total[0];
        if count < 2.0 {
            let node = self.graph.node(norm.node).name().to_owned();
            let batch = usize::from(count > 0.0);
            return Err(Error::SingleValue { node, batch, h: 1, w: 1 });
        }
        for part in &mut self.parts {
            part.norms[v].set_moments(&total);
            part.norms[v].prepare(&norm, params);
        }
        Ok(())
    }

    /// Gives all parts the sums that the gradient of such a norm needs.
    fn share_gradient_sums(&mut self, v: usize, sum: &mut SumOverParts<'_>) -> Result<()> {
        if self.fused.values[v].norm.is_none() || !self.routes.batch_norms[v] {
            return Ok(());
        }
        let sums = self.parts.iter().map(|part| match (&part.prepared, &part.norms[v]) {
            (Some(_), norm) => [norm.sum.as_slice(), &norm.dot].concat(),
            (None, norm) => vec![0.0; 2 * norm.channels()],
        });
        let mut total = summed(sums.collect(), sum)?;
        let dot = total.split_off(total.len() / 2);
        for part in &mut self.parts {
            part.norms[v].of_all = Some((total.clone(), dot.clone()));
        }
        Ok(())
    }
}

fn summed(parts: Vec<Vec<f64>>, sum: &mut SumOverParts<'_>) -> Result<Vec<f64>> {
    let length = parts.first().map_or(0, Vec::len);
    let total = sum(parts).map_err(|source| Error::Sum { source })?;
    check_len("a sum over parts", total.len(), length)?;
    Ok(total)
}

impl<T: Real> NormState<T> {
    /// `m`, then `m·μ`, then `m·(σ² + μ²)`.
    fn moments(&self) -> Vec<f64> {
        let count = self.count as f64;
        let means = self.mean.iter().map(|mean| count * mean.to_f64());
        let squares = self.mean.iter().zip(&self.var).map(|(mean, var)| {
            let mean = mean.to_f64();
            count * (var.to_f64() + mean * mean)
        });
        std::iter::once(count).chain(means).chain(squares).collect()
    }

    /// Takes up sums of [`Self::moments`].
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a sum of counts is a count"
    )]
    fn set_moments(&mut self, total: &[f64]) {
        let channels = self.channels();
        let (means, squares) = total[1..].split_at(channels);
        for c in 0..channels {
            let mean = means[c] / total[0];
            let var = squares[c] / total[0] - mean * mean;
            self.mean[c] = T::from_f64(mean);
            // Not `max`, which makes a number of what is none.
            self.var[c] = T::from_f64(if var < 0.0 { 0.0 } else { var });
        }
        self.count = total[0] as usize;
    }
}
