//! Batch-norm statistics computed anew: exact averages over batches in place of what training left.
//!
//! Above: `recipes`, `calibrate`, xtask. Below: `train`. Not here: which pictures (`recipes`), running averages of training (`train`).
//! After channels are cut the old statistics are those of another network. In a deep network with random weights activations vanish or
//! grow from layer to layer until its norms know them, and arithmetic on numbers next to nothing takes many times as long.
//! Source: "precise" batch norm, Wu and Johnson 2021, section 3, <https://arxiv.org/abs/2105.07576>; `torch.optim.swa_utils.update_bn`.

use taper_graph::{Graph, ParamId};
use taper_kernels::Cpu;
use taper_model::{Model, Tensor};

use crate::{Error, Recompute, Result, Trainer};

/// Replaces the running statistics of a model's batch norms by averages over batches.
///
/// Each batch runs forward in training mode, so that every norm sees what the norms below it make of the batch's own statistics, but
/// without dropout. A mean becomes the mean of the batches' means, a variance that of their unbiased variances: every batch counts the
/// same, as in PyTorch with `momentum=None`. Weights stay as they are; a network without batch norms comes back as it was.
///
/// # Numerics
/// Sums are in `f64`, in the order of the batches: the same batches on the same number of threads give the same bits.
///
/// # Examples
/// ```
/// use taper_engine::Recalibration;
/// use taper_graph::{Bias, Conv, GraphBuilder};
/// # use taper_model::{Model, Preprocess};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut b = GraphBuilder::new(1)?;
/// let xs = b.batch_norm("bn", b.input(), 1e-5, 0.1)?;
/// b.output("features", xs)?;
/// let model = Model::random(b.build()?, 0, Preprocess::imagenet(), vec![])?;
///
/// let mut recalibration = Recalibration::new(&model, 1)?;
/// recalibration.add(&[1.0, 3.0], [1, 1, 2])?; // mean 2, variance 2
/// recalibration.add(&[5.0, 5.0], [1, 1, 2])?; // mean 5, variance 0
/// let model = recalibration.finish()?;
/// assert_eq!(model.tensor("bn.running_mean").unwrap().data, [3.5]);
/// assert_eq!(model.tensor("bn.running_var").unwrap().data, [1.0]);
/// # Ok(()) }
/// ```
pub struct Recalibration<'a> {
    model: &'a Model,
    averages: Averages,
}

impl std::fmt::Debug for Recalibration<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recalibration").field("batches", &self.averages.batches).finish()
    }
}

impl<'a> Recalibration<'a> {
    /// Prepares to run a model in training mode; `threads` 0 means all cores.
    ///
    /// # Errors
    /// For an operation without a kernel.
    pub fn new(model: &'a Model, threads: usize) -> Result<Self> {
        Ok(Self { model, averages: Averages::new(model.graph(), threads)? })
    }

    /// Takes a batch into the averages.
    ///
    /// # Shapes
    /// - `xs`: `(n, h, w, c)`, contiguous, normalized   - `shape`: `[n, h, w]`
    ///
    /// # Cost
    /// A forward pass of training, whose arena is kept.
    ///
    /// # Errors
    /// As [`Trainer::forward`]: a batch and a map so small that a norm sees one value have no variance.
    pub fn add(&mut self, xs: &[f32], shape: [usize; 3]) -> Result<()> {
        let params: Vec<&[f32]> =
            self.model.tensors().iter().map(|it| it.data.as_slice()).collect();
        self.averages.add(&params, xs, shape)
    }

    /// Batches so far.
    #[must_use]
    pub fn batches(&self) -> usize {
        self.averages.batches
    }

    /// The model with the averages; without a batch, as it was.
    ///
    /// # Errors
    /// [`Error::NotFinite`] with the norm, as of a model whose weights are no numbers.
    pub fn finish(self) -> Result<Model> {
        let mut tensors: Vec<Tensor> = self.model.tensors().to_vec();
        for (param, values) in self.averages.finish() {
            if let Some(&value) = values.iter().find(|value| !value.is_finite()) {
                let name = self.model.graph().param(param).name.clone();
                return Err(Error::NotFinite { name, value });
            }
            tensors[param.index()].data = values;
        }
        Ok(self.model.clone().with_tensors(tensors)?)
    }
}

/// The parameters of a graph with the running statistics of batch norms replaced by those of these images, `shape` being `[n, h, w]`:
/// [`Recalibration`] on one batch, without a model.
///
/// # Errors
/// As [`Trainer::new`] and [`Trainer::forward`]: a batch and a map so small that a norm sees one value have no variance.
pub fn with_batch_statistics(
    graph: &Graph,
    params: &[Vec<f32>],
    images: &[f32],
    shape: [usize; 3],
    threads: usize,
) -> Result<Vec<Vec<f32>>> {
    let slices: Vec<&[f32]> = params.iter().map(Vec::as_slice).collect();
    let mut averages = Averages::new(graph, threads)?;
    averages.add(&slices, images, shape)?;
    let mut normalized = params.to_vec();
    for (param, values) in averages.finish() {
        normalized[param.index()] = values;
    }
    Ok(normalized)
}

/// Sums over batches, and what runs them.
struct Averages {
    trainer: Trainer<f32, Cpu>,
    /// Counts of batches, of norms that keep one.
    tracked: Vec<ParamId>,
    sums: Vec<(ParamId, Vec<f64>)>,
    batches: usize,
}

impl Averages {
    fn new(graph: &Graph, threads: usize) -> Result<Self> {
        let outputs: Vec<&str> = graph.main_outputs().collect();
        let trained = vec![true; graph.params().len()];
        let trainer = Trainer::of_outputs(graph, &outputs, &trained, Cpu::new(threads))?;
        // Nothing goes backward, so that nothing is computed again either.
        let trainer = trainer.without_dropout().recomputing(Recompute::Segments);
        let tracked = trainer.tracked_counts();
        Ok(Self { trainer, tracked, sums: Vec::new(), batches: 0 })
    }

    fn add(&mut self, params: &[&[f32]], xs: &[f32], shape: [usize; 3]) -> Result<()> {
        self.trainer.forward(params, xs, shape, 0)?;
        let batch = self.trainer.batch_statistics();
        if self.sums.is_empty() {
            self.sums = batch;
        } else {
            for ((_, sum), (_, batch)) in self.sums.iter_mut().zip(batch) {
                sum.iter_mut().zip(batch).for_each(|(sum, value)| *sum += value);
            }
        }
        self.batches += 1;
        Ok(())
    }

    /// The averages by parameter; none without a batch.
    #[expect(clippy::cast_possible_truncation, reason = "buffers are f32")]
    fn finish(self) -> Vec<(ParamId, Vec<f32>)> {
        let batches = self.batches as f64;
        let mean = |(id, sum): (ParamId, Vec<f64>)| {
            (id, sum.into_iter().map(|sum| (sum / batches) as f32).collect())
        };
        let counts = self.tracked.into_iter().filter(|_| batches > 0.0);
        let counts = counts.map(|id| (id, vec![batches as f32]));
        self.sums.into_iter().map(mean).chain(counts).collect()
    }
}

#[cfg(test)]
mod tests {
    use taper_graph::{Activation, Bias, Conv, GraphBuilder};
    use taper_model::Preprocess;

    use super::*;

    #[test]
    fn norms_take_the_mean_and_the_variance_of_the_batch() {
        let mut b = GraphBuilder::new(1).unwrap();
        let xs = b.conv("conv", b.input(), Conv::pointwise(1), Bias::Without).unwrap();
        let xs = b.batch_norm("bn", xs, 1e-5, 0.1).unwrap();
        b.output("ys", xs).unwrap();
        let graph = b.build().unwrap();
        // Twice 1, 2, 3, 4: mean 5, unbiased variance 20 / 3.
        let params = [vec![2.0], vec![1.0], vec![0.0], vec![7.0], vec![9.0]];
        let images = [1.0, 2.0, 3.0, 4.0];
        let new = with_batch_statistics(&graph, &params, &images, [1, 2, 2], 1).unwrap();
        assert_eq!(new[..3], params[..3]);
        assert_eq!(new[3], [5.0]);
        assert!((new[4][0] - 20.0 / 3.0).abs() < 1e-6, "{new:?}");
    }

    /// Two norms behind each other, dropout between them, and one that counts its batches.
    fn two_norms() -> Model {
        let mut b = GraphBuilder::new(1).unwrap();
        let xs = b.batch_norm("bn1", b.input(), 0.0, 0.1).unwrap();
        let xs = b.activation("act", xs, Activation::Relu).unwrap();
        let xs = b.dropout("drop", xs, 0.5).unwrap();
        let momentum = taper_graph::Op::BatchNorm { eps: 0.0, momentum: None };
        let xs = b.push("bn2", momentum, &[xs], Bias::Without).unwrap();
        b.output("ys", xs).unwrap();
        let model = Model::random(b.build().unwrap(), 0, Preprocess::imagenet(), vec![]).unwrap();
        let mut tensors = model.tensors().to_vec();
        for tensor in &mut tensors {
            tensor.data.iter_mut().for_each(|value| *value += 0.25);
        }
        model.with_tensors(tensors).unwrap()
    }

    /// Mean and unbiased variance, by hand.
    fn moments(values: &[f64]) -> [f64; 2] {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        [mean, values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0)]
    }

    #[test]
    fn statistics_are_exact_averages_over_the_batches_in_training_mode_without_dropout() {
        let model = two_norms();
        let value = |name: &str| f64::from(model.tensor(name).unwrap().data[0]);
        let batches: [&[f32]; 3] = [&[1.0, 2.0, 4.0, 9.0], &[-3.0, 0.5, 0.25, 7.0], &[2.0, -8.0]];
        let mut expected = [[0.0; 2]; 2];
        for batch in batches {
            let xs: Vec<f64> = batch.iter().map(|&x| f64::from(x)).collect();
            let [mean, var] = moments(&xs);
            let biased = var * (xs.len() as f64 - 1.0) / xs.len() as f64;
            let normed = |x: &f64| {
                (value("bn1.weight") * (x - mean) / biased.sqrt() + value("bn1.bias")).max(0.0)
            };
            let ys: Vec<f64> = xs.iter().map(normed).collect();
            for (sum, of_batch) in expected.iter_mut().zip([[mean, var], moments(&ys)]) {
                (0..2).for_each(|i| sum[i] += of_batch[i] / 3.0);
            }
        }
        let run = || {
            let mut recalibration = Recalibration::new(&model, 2).unwrap();
            for batch in batches {
                recalibration.add(batch, [batch.len() / 2, 1, 2]).unwrap();
            }
            recalibration.finish().unwrap()
        };
        let new = run();
        assert_eq!(new, run());
        for (name, expected) in ["bn1", "bn2"].into_iter().zip(expected) {
            for (which, expected) in ["running_mean", "running_var"].into_iter().zip(expected) {
                let got = f64::from(new.tensor(&format!("{name}.{which}")).unwrap().data[0]);
                assert!((got - expected).abs() < 1e-5, "{name}.{which}: {got} {expected}");
            }
        }
        assert_eq!(new.tensor("bn2.num_batches_tracked").unwrap().data, [3.0]);
        for name in ["bn1.weight", "bn1.bias", "bn2.weight", "bn2.bias"] {
            assert_eq!(new.tensor(name), model.tensor(name));
        }
        assert_eq!(Recalibration::new(&model, 1).unwrap().finish().unwrap(), model);
    }

    #[test]
    fn a_batch_of_one_value_a_channel_is_refused() {
        let model = two_norms();
        let mut recalibration = Recalibration::new(&model, 1).unwrap();
        let refused = recalibration.add(&[1.0], [1, 1, 1]).unwrap_err();
        assert!(matches!(refused, Error::SingleValue { .. }), "{refused}");
        assert_eq!(recalibration.batches(), 0);
        recalibration.add(&[f32::NAN, 1.0], [1, 1, 2]).unwrap();
        let refused = recalibration.finish().unwrap_err();
        assert!(refused.to_string().starts_with("`bn1.running_mean` comes to NaN"), "{refused}");
    }
}
