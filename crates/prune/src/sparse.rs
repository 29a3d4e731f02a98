//! Single weights made zero: by magnitude, or so many of every few along the input.
//!
//! Above: `taper-recipes`. Below: `sparse::report`, `taper-model`. Not here: whole channels (`cut`), keeping masks in training (a training
//! crate does), the growth of sparsity over rounds (`schedule`).
//! Shapes stay, so that a network becomes smaller when compressed, not faster.
//! Sources: magnitude: Han et al. 2015, <https://arxiv.org/abs/1506.02626>; LAMP: Lee et al. 2021, <https://arxiv.org/abs/2010.07611>;
//! N:M: Mishra et al. 2021, <https://arxiv.org/abs/2104.08378>.

mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use taper_graph::{Graph, ParamId, ParamRole};
use taper_model::{Model, Tensor};

use crate::words::{parse_word, word_of};
use crate::{Error, Normalizer, Protect, Result};
pub use report::{ParamSparsity, SparsityReport};

/// Which weights are compared with one another. LAMP is the default: on MobileNetV2 it recovers more than magnitude alone, see
/// `docs/pruning.md`, "Single weights", and empties no layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SparseRanking {
    /// All, by magnitude: layers with small weights lose most, or all.
    Global,
    /// Those of a layer, by magnitude: every layer becomes as sparse.
    Local,
    /// All, by magnitude squared over that of the weights of the layer that are as large: every layer keeps its largest.
    #[default]
    Lamp,
}

const WORDS: [(&str, SparseRanking); 3] = [
    ("global", SparseRanking::Global),
    ("local", SparseRanking::Local),
    ("lamp", SparseRanking::Lamp),
];

impl fmt::Display for SparseRanking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(word_of(self, &WORDS))
    }
}

impl FromStr for SparseRanking {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        parse_word("ranking of weights", word, &WORDS)
    }
}

/// Which elements of each parameter stay. Only weights of convolutions and linear layers have a mask, and not those of layers that are
/// protected by name; the first layer and the classifier have one like the others, as in Lee et al. 2021.
///
/// # Examples
/// ```
/// use taper_graph::{Bias, GraphBuilder, PoolKind};
/// use taper_model::{Model, Preprocess};
/// use taper_prune::{Masks, Protect, SparseRanking, SparsityReport};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut b = GraphBuilder::new(8)?;
/// let xs = b.global_pool("pool", b.input(), PoolKind::Avg, true)?;
/// let xs = b.linear("classifier", xs, 10, Bias::With)?;
/// b.output("logits", xs)?;
/// let model = Model::random(b.build()?, 0, Preprocess::imagenet(), vec![])?;
///
/// let all = Protect::default();
/// let sparse = Masks::by_magnitude(&model, &all, SparseRanking::Global, 0.75)?.apply(&model)?;
/// assert_eq!(SparsityReport::of(&sparse).weights.zeros, 60); // of 80 weights
/// let two_of_four = Masks::n_of_m(&model, &all, 2, 4)?.apply(&model)?;
/// assert_eq!(SparsityReport::of(&two_of_four).weights.zeros, 40);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Masks {
    by_param: Vec<Option<Vec<bool>>>,
}

impl Masks {
    /// Zeros for the smallest `sparsity` of all weights that are not protected, rounded down to whole weights; equal ones in the order of
    /// elements.
    ///
    /// # Errors
    /// [`Error::Limit`] for a sparsity that is not from 0 to below 1; [`Error::NotFinite`] names a weight that holds NaN or infinite
    /// numbers; [`Error::UnknownName`] of what is protected.
    pub fn by_magnitude(
        model: &Model,
        protect: &Protect,
        ranking: SparseRanking,
        sparsity: f64,
    ) -> Result<Self> {
        if !(0.0..1.0).contains(&sparsity) {
            let (what, got) = ("the sparsity", sparsity.to_string());
            return Err(Error::Limit { what, got, expected: "from 0 to below 1" });
        }
        let mut layers = magnitudes(model, protect)?;
        match ranking {
            SparseRanking::Global => keep_largest(&mut layers, sparsity),
            SparseRanking::Local => {
                layers
                    .iter_mut()
                    .for_each(|layer| keep_largest(std::slice::from_mut(layer), sparsity));
            }
            SparseRanking::Lamp => {
                for layer in &mut layers {
                    layer.scores.iter_mut().for_each(|score| *score *= *score);
                    Normalizer::Lamp.normalize(&mut layer.scores);
                }
                keep_largest(&mut layers, sparsity);
            }
        }
        Ok(Self::of(model.graph(), layers))
    }

    /// Of every `m` weights that follow one another along the input channels of a filter, at the same tap, the `n` largest stay. A rest of
    /// fewer than `m` keeps `n` too; filters with fewer than `m` input channels, such as depthwise ones, stay whole.
    ///
    /// # Errors
    /// [`Error::Limit`] unless `0 < n < m`; [`Error::NotFinite`]; [`Error::UnknownName`] of what is protected.
    pub fn n_of_m(model: &Model, protect: &Protect, n: usize, m: usize) -> Result<Self> {
        if n == 0 || n >= m {
            let (what, got) = ("the pattern", format!("{n}:{m}"));
            return Err(Error::Limit { what, got, expected: "N:M with 0 < N < M, such as 2:4" });
        }
        let mut layers = magnitudes(model, protect)?;
        for layer in &mut layers {
            let shape = &model.graph().param(layer.param).shape;
            let channels = shape.get(1).copied().unwrap_or(1);
            let taps: usize = shape.iter().skip(2).product();
            if channels < m {
                continue;
            }
            for filter in 0..layer.scores.len() / (channels * taps) {
                for tap in 0..taps {
                    let at = |channel: usize| (filter * channels + channel) * taps + tap;
                    let all: Vec<usize> = (0..channels).map(at).collect();
                    for some in all.chunks(m) {
                        let mut order = some.to_vec();
                        order.sort_by(|&a, &b| layer.scores[b].total_cmp(&layer.scores[a]));
                        order.iter().skip(n).for_each(|&index| layer.kept[index] = false);
                    }
                }
            }
        }
        Ok(Self::of(model.graph(), layers))
    }

    fn of(graph: &Graph, layers: Vec<Layer>) -> Self {
        let mut by_param = vec![None; graph.params().len()];
        for layer in layers {
            by_param[layer.param.index()] = Some(layer.kept);
        }
        Self { by_param }
    }

    /// The elements of a parameter that stay, in its shape; `None` for one without a mask: all stay.
    #[must_use]
    pub fn of_param(&self, param: ParamId) -> Option<&[bool]> {
        self.by_param.get(param.index()).and_then(Option::as_deref)
    }

    /// By name of the parameter, the elements that stay, of those with a mask.
    #[must_use]
    pub fn by_name(&self, graph: &Graph) -> BTreeMap<String, Vec<bool>> {
        let params = graph.params().iter().zip(&self.by_param);
        params.filter_map(|(spec, mask)| Some((spec.name.clone(), mask.clone()?))).collect()
    }

    /// How many elements have to be zero, of how many that have a mask.
    #[must_use]
    pub fn zeros(&self) -> (usize, usize) {
        let kept = || self.by_param.iter().flatten().flatten();
        (kept().filter(|kept| !**kept).count(), kept().count())
    }

    /// The same model with zeros where the masks say so.
    ///
    /// # Errors
    /// [`Error::OtherGraph`] if the masks are of a network with other parameters.
    pub fn apply(&self, model: &Model) -> Result<Model> {
        if self.by_param.len() != model.tensors().len() {
            return Err(Error::OtherGraph);
        }
        let masked = |(tensor, mask): (&Tensor, &Option<Vec<bool>>)| {
            let Some(mask) = mask else { return Ok(tensor.clone()) };
            if mask.len() != tensor.data.len() {
                return Err(Error::OtherGraph);
            }
            let data = tensor.data.iter().zip(mask).map(|(w, kept)| if *kept { *w } else { 0.0 });
            Ok(Tensor { shape: tensor.shape.clone(), data: data.collect() })
        };
        let tensors = model.tensors().iter().zip(&self.by_param).map(masked);
        Ok(model.clone().with_tensors(tensors.collect::<Result<_>>()?)?)
    }
}

/// A weight, how much each element counts, and whether it stays.
struct Layer {
    param: ParamId,
    scores: Vec<f64>,
    kept: Vec<bool>,
}

fn magnitudes(model: &Model, protect: &Protect) -> Result<Vec<Layer>> {
    let graph = model.graph();
    let protected = protect.nodes(graph)?.into_iter().flat_map(|(_, nodes)| nodes);
    let dense: BTreeSet<ParamId> =
        protected.flat_map(|node| graph.node(node).params().iter().copied()).collect();
    let is_weight = |id: &ParamId| graph.param(*id).role == ParamRole::Weight;
    let weights = graph.param_ids().filter(|id| is_weight(id) && !dense.contains(id));
    let layer = |param: ParamId| {
        let data = crate::criterion::finite(model, param)?;
        let scores = data.iter().map(|w| f64::from(w.abs())).collect();
        Ok(Layer { param, scores, kept: vec![true; data.len()] })
    };
    weights.map(layer).collect()
}

/// Drops the lowest scores of all layers together.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length")]
fn keep_largest(layers: &mut [Layer], sparsity: f64) {
    let mut all: Vec<f64> = layers.iter().flat_map(|layer| &layer.scores).copied().collect();
    // A hundredth of a millionth is the noise of the product, no weight.
    let zeros = (sparsity * all.len() as f64 + 1e-8).floor() as usize;
    if zeros == 0 {
        return;
    }
    let (below, threshold, _) = all.select_nth_unstable_by(zeros - 1, f64::total_cmp);
    let threshold = *threshold;
    // Of those at the threshold, as many go as are missing.
    let mut missing = zeros - below.iter().filter(|score| **score < threshold).count();
    for layer in layers {
        for (score, kept) in layer.scores.iter().zip(&mut layer.kept) {
            let at = score.total_cmp(&threshold).is_eq() && missing > 0;
            missing -= usize::from(at);
            *kept = !at && *score >= threshold;
        }
    }
}

#[cfg(test)]
mod tests;
