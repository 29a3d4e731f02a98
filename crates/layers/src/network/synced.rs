//! Parts of a batch differentiated together, so that their batch norms share statistics.
//!
//! Above: `train`, which has parts of a batch here and elsewhere. Below: `network::executor`. Not here: sums over parts, statistics of one
//! part alone (`network::observed`).

use candle_core::{Device, Tensor, Var};
use taper_engine::SumOverParts;

use super::executor::{ImageGradient, Pass};
use super::pixels::{as_output, as_pixels, with_pixels};
use super::{Network, output_gradients};
use crate::NamedTensors;
use crate::error::{Result, at};
use crate::parameter::with_values;

/// A part of a batch.
#[derive(Debug)]
pub struct NetworkPart {
    /// Its images `(n, c, h, w)`; none if it has none.
    pub xs: Option<Tensor>,
    /// Decides which units dropout drops.
    pub seed: u64,
}

/// What [`Network::value_and_grad_synced`] gives.
#[derive(Debug)]
pub struct SyncedValue {
    /// By part, its outputs, detached; none of a part without images.
    pub outputs: Vec<Option<NamedTensors>>,
    /// What the running statistics are after a step with all parts, by index in [`Network::params`].
    pub statistics: Vec<(usize, Vec<f32>)>,
}

/// Is told, by index in [`Network::params`], the gradient of a trained parameter by part.
type Observe<'a> = dyn FnMut(usize, &[&[f32]]) + 'a;

impl Network {
    /// As [`Network::value_and_grad_part`] for several parts of a batch, whose batch norms use the statistics of all parts that `sum`
    /// knows of: it adds up vectors of the parts here with those elsewhere. Every rank calls it as often.
    ///
    /// `loss` is called for each part that has images, by number, and gives its share of the loss: that of a mean is to be multiplied by the
    /// part's share of the images. `observe` is told gradients by part; the running statistics stay as they are.
    ///
    /// # Errors
    /// As [`Network::value_and_grad`]; [`Error::Engine`](crate::Error::Engine) if `sum` fails, or if `loss` runs the network.
    ///
    /// # Examples
    /// Two parts of one image are a batch of two:
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use taper_graph::{Bias, GraphBuilder};
    /// use taper_layers::{Network, NetworkPart};
    /// # use taper_model::{Model, Preprocess};
    /// # let mut b = GraphBuilder::new(1)?;
    /// # let xs = b.batch_norm("bn", b.input(), 0.0, 0.1)?;
    /// # b.output("xs", xs)?;
    /// # let model = Model::random(b.build()?, 0, Preprocess::imagenet(), vec![])?;
    /// let network = Network::new(&model, &Device::Cpu)?; // a batch norm
    /// let part = |value: f32| -> candle_core::Result<NetworkPart> {
    ///     Ok(NetworkPart { xs: Some(Tensor::full(value, (1, 1, 1, 1), &Device::Cpu)?), seed: 0 })
    /// };
    /// let value = network.value_and_grad_synced(
    ///     &[part(3.0)?, part(7.0)?], // mean 5, deviation 2
    ///     &mut |_, outputs| outputs.single()?.sum_all(),
    ///     &mut |sums| Ok(sums[0].iter().zip(&sums[1]).map(|(a, b)| a + b).collect()),
    ///     &mut |_, _| (),
    /// )?;
    /// let second = value.outputs[1].as_ref().expect("it has an image").single()?;
    /// assert_eq!(second.flatten_all()?.to_vec1::<f32>()?, [1.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn value_and_grad_synced(
        &self,
        parts: &[NetworkPart],
        loss: &mut dyn FnMut(usize, &NamedTensors) -> candle_core::Result<Tensor>,
        sum: &mut SumOverParts<'_>,
        observe: &mut Observe<'_>,
    ) -> Result<SyncedValue> {
        let outputs = self.forward_synced(parts, sum)?;
        let mut grads = Vec::new();
        for (part, outputs) in outputs.iter().enumerate() {
            let Some(outputs) = outputs else {
                grads.push(vec![Vec::new(); self.runner.outputs.len()]);
                continue;
            };
            let named = self.named(outputs.iter().map(|var| as_output(var)))?;
            let loss = loss(part, &named).map_err(at("loss"))?;
            grads.push(output_gradients(&loss, outputs)?.1);
        }
        let grads: Vec<Vec<&[f32]>> =
            grads.iter().map(|grads| grads.iter().map(Vec::as_slice).collect()).collect();
        let image = ImageGradient::Unwanted;
        let statistics = self.runner.with_executor(&self.params, image, |executor| {
            with_values(&self.params, |values| {
                executor.backward_synced(values, &grads, sum, observe)
            })?;
            executor.statistics(&self.params)
        })?;
        let detached = outputs.iter().map(|outputs| {
            let named = outputs.as_ref().map(|outputs| {
                self.named(outputs.iter().map(|var| as_output(&var.as_detached_tensor())))
            });
            named.transpose()
        });
        Ok(SyncedValue { outputs: detached.collect::<Result<_>>()?, statistics })
    }

    /// By part, its outputs, channels last; none of a part without images.
    fn forward_synced(
        &self,
        parts: &[NetworkPart],
        sum: &mut SumOverParts<'_>,
    ) -> Result<Vec<Option<Vec<Var>>>> {
        let (mut pixels, mut passes) = (Vec::new(), Vec::new());
        for NetworkPart { xs, seed } in parts {
            let Some(xs) = xs else {
                pixels.push(Vec::new());
                passes.push(([0; 3], *seed));
                continue;
            };
            let xs = as_pixels(&xs.detach(), self.graph().input_channels())?;
            with_pixels(&xs, |values, shape| {
                pixels.push(values.to_vec());
                passes.push((shape, *seed));
                Ok(())
            })?;
        }
        let passes = pixels.iter().zip(passes);
        let passes = passes.map(|(xs, (shape, seed))| Pass { xs, shape, seed });
        let passes: Vec<Pass<'_>> = passes.collect();
        self.runner.with_executor(&self.params, ImageGradient::Unwanted, |executor| {
            with_values(&self.params, |values| executor.forward_synced(values, &passes, sum))?;
            let outputs = passes.iter().enumerate().map(|(part, pass)| {
                if pass.shape[0] == 0 {
                    return Ok(None);
                }
                let shapes = executor.output_shapes(pass.shape)?;
                let outputs = executor.part_outputs(part).iter().zip(&shapes);
                let var = |(output, shape): (&Vec<f32>, &Vec<usize>)| {
                    Var::from_slice(output, shape.as_slice(), &Device::Cpu)
                };
                let outputs: candle_core::Result<Vec<Var>> = outputs.map(var).collect();
                outputs.map(Some).map_err(at("the outputs"))
            });
            outputs.collect()
        })
    }
}
