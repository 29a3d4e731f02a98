//! Parts of a batch behind candle's types, whose batch norms share statistics.
//!
//! Above: `network::synced`. Below: `engine::{BatchPart, SumOverParts}`. Not here: one batch or one part alone (`network::executor`).

use taper_engine::{BatchPart, SumOverParts};
use taper_graph::ParamId;

use super::{Executor, Pass, Prefix};
use crate::error::Result;

impl Executor {
    /// Runs them in training mode; those without images have empty values.
    pub(in crate::network) fn forward_synced(
        &mut self,
        values: &[&[f32]],
        passes: &[Pass<'_>],
        sum: &mut SumOverParts<'_>,
    ) -> Result<()> {
        self.pass = None;
        let mut given: Vec<Vec<Vec<f32>>> = Vec::new();
        let begins_with_image = self.begins_with_image();
        for Pass { xs, shape, .. } in passes.iter().filter(|_| !begins_with_image) {
            let Self { graph, nodes, prefix, threads, .. } = self;
            let of = (&*graph, &nodes[..], *threads);
            given.push(match shape[0] {
                0 => Vec::new(),
                _ => Prefix::current(prefix, of, values, *shape)?.run_all(xs, *shape)?.to_vec(),
            });
        }
        let given: Vec<Vec<&[f32]>> = match begins_with_image {
            true => passes.iter().map(|pass| vec![pass.xs]).collect(),
            false => given.iter().map(|given| given.iter().map(Vec::as_slice).collect()).collect(),
        };
        let parts = passes.iter().zip(&given);
        let parts =
            parts.map(|(pass, given)| BatchPart { given, shape: pass.shape, seed: pass.seed });
        Ok(self.trainer.forward_synced(values, &parts.collect::<Vec<_>>(), sum)?)
    }

    /// The outputs of a part, channels last.
    pub(in crate::network) fn part_outputs(&self, part: usize) -> &[Vec<f32>] {
        self.trainer.part_outputs(part)
    }

    /// Tells gradients by part, from those of the outputs by part.
    pub(in crate::network) fn backward_synced(
        &mut self,
        values: &[&[f32]],
        grad_outputs: &[Vec<&[f32]>],
        sum: &mut SumOverParts<'_>,
        observe: &mut dyn FnMut(usize, &[&[f32]]),
    ) -> Result<()> {
        let observe = &mut |id: ParamId, by_part: &[&[f32]]| observe(id.index(), by_part);
        Ok(self.trainer.backward_synced(values, grad_outputs, sum, observe)?)
    }
}
