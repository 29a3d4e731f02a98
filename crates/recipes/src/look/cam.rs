//! Class-activation maps: which places of an image speak for a class.
//!
//! Above: `look::inspector`. Below: `look::layers`, `taper_engine`. Not here: the picture (`taper_report`).
//! Source: Selvaraju et al. 2017, "Grad-CAM", <https://arxiv.org/abs/1610.02391>, eqs. (1) and (2).

use taper_engine::{Cpu, Trainer};
use taper_graph::{Graph, NodeId};

use crate::error::{Error, Result};
use crate::look::layers::Layer;

/// The part of a network above the map that evidence is read from.
pub(crate) struct GradCam<'m> {
    /// The map.
    pub(crate) layer: Layer,
    /// Nodes whose values [`GradCam::heat`] takes.
    pub(crate) given: Vec<NodeId>,
    params: Vec<&'m [f32]>,
    above: Trainer<f32, Cpu>,
}

impl<'m> GradCam<'m> {
    pub(crate) fn new(
        graph: &Graph,
        params: Vec<&'m [f32]>,
        layer: Layer,
        threads: usize,
    ) -> Result<Self> {
        let (above, given) = Trainer::watching(graph, "logits", layer.node, Cpu::new(threads))
            .map_err(|source| Error::Engine { source })?;
        Ok(Self { layer, given, params, above })
    }

    /// How much each position of the map speaks for class `class`, `(h, w)`, from the values of the given nodes for one image of
    /// `size`.
    pub(crate) fn heat(
        &mut self,
        given: &[Vec<f32>],
        [h, w]: [usize; 2],
        class: usize,
    ) -> taper_engine::Result<Vec<f32>> {
        let given: Vec<&[f32]> = given.iter().map(Vec::as_slice).collect();
        let logits = self.above.forward_from(&self.params, &given, [1, h, w], 0)?;
        let one: Vec<f32> = (0..logits.len()).map(|i| if i == class { 1.0 } else { 0.0 }).collect();
        self.above.backward(&self.params, &one, &mut vec![Vec::new(); self.params.len()])?;
        let place = self.given.iter().position(|&node| node == self.layer.node);
        let features = place.map_or(&[][..], |place| given[place]);
        Ok(grad_cam(features, &self.above.watched_gradient(), self.layer.shape[2]))
    }
}

/// Grad-CAM: `relu(Σ_k α_k·A_k)`, where `α_k` is the mean over all positions of the logit's gradient with respect to channel `k`.
///
/// Where the map goes through a mean pool into a linear layer, `α_k` is the class's weight over the number of positions, and
/// this is the map of Zhou et al. 2016 (<https://arxiv.org/abs/1512.04150>), clipped at 0.
///
/// # Shapes
/// - `features`, `gradient`: `(h, w, channels)`   - returns `(h, w)`
fn grad_cam(features: &[f32], gradient: &[f32], channels: usize) -> Vec<f32> {
    let mut weights = vec![0.0; channels];
    for position in gradient.chunks_exact(channels) {
        for (weight, &slope) in weights.iter_mut().zip(position) {
            *weight += f64::from(slope);
        }
    }
    let positions = (gradient.len() / channels.max(1)).max(1) as f64;
    let heat = features.chunks_exact(channels).map(|position| {
        let pairs = weights.iter().zip(position);
        let sum: f64 = pairs.map(|(weight, &value)| weight / positions * f64::from(value)).sum();
        narrow(sum.max(0.0))
    });
    heat.collect()
}

#[expect(clippy::cast_possible_truncation, reason = "a picture needs no double precision")]
fn narrow(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use taper_engine::{Reference, Trainer};
    use taper_graph::{Bias, GraphBuilder, PoolKind};

    #[test]
    fn channels_are_weighted_by_their_mean_gradient_and_clipped() {
        // Two positions, two channels: mean gradients 1 and -1.
        let heat = grad_cam(&[3.0, 1.0, 1.0, 2.0], &[2.0, -1.0, 0.0, -1.0], 2);
        assert_eq!(heat, [2.0, 0.0]);
    }

    /// Behind a mean pool and a linear layer, the map is the classic one: the features weighted by the class's weights.
    #[test]
    fn behind_a_mean_and_a_linear_layer_it_is_the_classic_map() {
        let mut b = GraphBuilder::new(3).unwrap();
        let pooled = b.global_pool("pool", b.input(), PoolKind::Avg, true).unwrap();
        let dropped = b.dropout("drop", pooled, 0.5).unwrap();
        let logits = b.linear("classifier", dropped, 2, Bias::With).unwrap();
        b.output("logits", logits).unwrap();
        let graph = b.build().unwrap();
        let (weight, bias) = ([0.5f32, -1.0, 2.0, 1.0, 0.25, -3.0], [7.0, -7.0]);
        let params: [&[f32]; 2] = [&weight, &bias];
        let features: Vec<f32> = (0..12u8).map(|i| f32::from(i * 7 % 5) - 1.0).collect();
        let (mut trainer, _) =
            Trainer::watching(&graph, "logits", graph.input(), Reference).unwrap();
        for class in 0..2 {
            trainer.forward_from(&params, &[&features], [1, 2, 2], 0).unwrap();
            let one = [0, 1].map(|i| if i == class { 1.0 } else { 0.0 });
            trainer.backward(&params, &one, &mut vec![Vec::new(); 2]).unwrap();
            let heat = grad_cam(&features, &trainer.watched_gradient(), 3);
            for (heat, position) in heat.iter().zip(features.chunks_exact(3)) {
                let classic: f32 =
                    weight[3 * class..].iter().zip(position).map(|(w, a)| w * a).sum();
                assert!((heat - (classic / 4.0).max(0.0)).abs() < 1e-6, "{heat} {classic}");
            }
        }
    }
}
