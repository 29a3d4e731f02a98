//! A network with its weights, and what is needed to use them.
//!
//! Above: `taper-engine`, `taper-layers`, `taper-zoo`. Below: `mismatch`, `keymap`, `init`. Not here: the file (`file`).
//! Passes that change graph and weights together are functions from a `Model` to a new one.

use std::collections::BTreeMap;

use taper_graph::{Extent, Graph};

use crate::{
    Confidence, Error, Familiarity, KeyMap, Preprocess, Provenance, Result, StateDictMismatch,
    Task, Tensor, init,
};

/// Graph, weights, preprocessing, class names, and where they come from.
///
/// # Examples
/// ```
/// use taper_graph::{Bias, GraphBuilder, PoolKind};
/// use taper_model::{Model, Preprocess};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut b = GraphBuilder::new(3)?;
/// let xs = b.global_pool("pool", b.input(), PoolKind::Avg, true)?;
/// let xs = b.linear("classifier", xs, 2, Bias::With)?;
/// b.output("logits", xs)?;
/// let classes = vec!["ants".to_owned(), "bees".to_owned()];
/// let model = Model::random(b.build()?, 0, Preprocess::imagenet(), classes)?;
/// assert_eq!(model.tensor("classifier.weight").map(|t| t.shape.clone()), Some(vec![2, 3]));
/// let file = model.to_bytes(taper_model::Precision::F32)?;
/// assert_eq!(Model::from_bytes(&file)?, model);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    graph: Graph,
    tensors: Vec<Tensor>,
    preprocess: Preprocess,
    classes: Vec<String>,
    task: Task,
    provenance: Provenance,
    confidence: Option<Confidence>,
}

/// What a [`Model`] is made of, no longer known to fit: [`Model::into_parts`] takes it apart, [`Model::new`] puts it together.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelParts {
    /// The network.
    pub graph: Graph,
    /// Weights by [`ParamId`](taper_graph::ParamId) index, in the shapes of [`Graph::params`].
    pub tensors: Vec<Tensor>,
    /// What the weights expect of images.
    pub preprocess: Preprocess,
    /// Name of each logit, or none.
    pub classes: Vec<String>,
    /// Where the weights come from.
    pub provenance: Provenance,
}

impl Model {
    /// Puts the parts together if they fit; they stay so, and nobody need check them again.
    ///
    /// # Errors
    /// [`Error::StateDictMismatch`] with every tensor that is missing, surplus or misshapen; [`Error::Classes`] if there are names,
    /// but not one for each logit; [`Error::Preprocess`]; [`Error::Graph`] if the network cannot take an image of the input size.
    pub fn new(
        graph: Graph,
        tensors: Vec<Tensor>,
        preprocess: Preprocess,
        classes: Vec<String>,
        provenance: Provenance,
    ) -> Result<Self> {
        check_tensors(&graph, &tensors)?;
        check_use(&graph, &preprocess, classes.len())?;
        let (task, confidence) = (Task::default(), None);
        Ok(Self { graph, tensors, preprocess, classes, task, provenance, confidence })
    }

    /// Puts a network and tensors from a file together, their names translated by `keymap`. PyTorch's
    /// `num_batches_tracked` is dropped.
    ///
    /// # Errors
    /// As [`Model::new`]; [`Error::Norms`] and [`Error::Paddings`] if the names are those of weights that were trained in a network
    /// with others.
    pub fn from_tensors(
        graph: Graph,
        tensors: BTreeMap<String, Tensor>,
        keymap: &KeyMap,
        preprocess: Preprocess,
        classes: Vec<String>,
        provenance: Provenance,
    ) -> Result<Self> {
        let mut named = keymap.apply(tensors, &graph)?;
        let mismatch = StateDictMismatch::of(&graph, &named, keymap);
        if !mismatch.is_empty() {
            return Err(Error::StateDictMismatch { mismatch: Box::new(mismatch) });
        }
        let in_order = graph.params().iter().filter_map(|param| named.remove(&param.name));
        let tensors = in_order.collect();
        Self::new(graph, tensors, preprocess, classes, provenance)
    }

    /// A network with the initial weights of a seed.
    ///
    /// # Errors
    /// As [`Model::new`].
    pub fn random(
        graph: Graph,
        seed: u64,
        preprocess: Preprocess,
        classes: Vec<String>,
    ) -> Result<Self> {
        let tensors = graph.params().iter().map(|spec| init::sample(spec, seed)).collect();
        let provenance = Provenance { source: "random".to_owned(), ..Provenance::default() };
        Self::new(graph, tensors, preprocess, classes, provenance)
    }

    /// The network.
    #[must_use]
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Weights by [`ParamId`](taper_graph::ParamId) index, in the shapes of [`Graph::params`].
    #[must_use]
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// What the weights expect of images.
    #[must_use]
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// What its logits mean; [`Task::Classification`] unless [`Model::with_task`] said otherwise.
    #[must_use]
    pub fn task(&self) -> Task {
        self.task
    }

    /// What held-out pictures say about it, if that was measured since its weights have changed.
    #[must_use]
    pub fn confidence(&self) -> Option<&Confidence> {
        self.confidence.as_ref()
    }

    /// One number for each logit of a picture: probabilities as calibrated on held-out pictures, if they were, or the numbers themselves.
    #[must_use]
    pub fn probabilities(&self, logits: &[f32]) -> Vec<f64> {
        let temperature = self.confidence.as_ref().map_or(1.0, Confidence::temperature);
        self.task.probabilities_at(logits, temperature)
    }

    /// Name of each logit, or none.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Where the weights come from.
    #[must_use]
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// The same network with other weights, of which no [confidence](Model::confidence) is known.
    ///
    /// # Errors
    /// [`Error::StateDictMismatch`] with every tensor that is missing, surplus or misshapen.
    pub fn with_tensors(self, tensors: Vec<Tensor>) -> Result<Self> {
        check_tensors(&self.graph, &tensors)?;
        Ok(Self { tensors, confidence: None, ..self })
    }

    /// The same network for images that are prepared in another way, of which no [confidence](Model::confidence) is known.
    ///
    /// # Errors
    /// [`Error::Preprocess`]; [`Error::Graph`] if the network cannot take an image of that size.
    pub fn with_preprocess(self, preprocess: Preprocess) -> Result<Self> {
        check_use(&self.graph, &preprocess, self.classes.len())?;
        Ok(Self { preprocess, confidence: None, ..self })
    }

    /// The same network with other names of its logits, or none.
    ///
    /// # Errors
    /// [`Error::Classes`] if there are names, but not one for each logit.
    pub fn with_classes(self, classes: Vec<String>) -> Result<Self> {
        check_use(&self.graph, &self.preprocess, classes.len())?;
        Ok(Self { classes, ..self })
    }

    /// The same network with logits that mean something else.
    #[must_use]
    pub fn with_task(self, task: Task) -> Self {
        Self { task, ..self }
    }

    /// The same network with what held-out pictures say about it.
    ///
    /// # Errors
    /// [`Error::Confidence`] if it is about features that the network does not have.
    pub fn with_confidence(self, confidence: Option<Confidence>) -> Result<Self> {
        let width = confidence.as_ref().and_then(Confidence::familiarity).map(Familiarity::width);
        if let Some(expected) = width {
            let [h, w] = self.preprocess.input_size;
            let extents = self.graph.extents(h, w)?;
            let features = self.graph.outputs().get("pre_logits");
            match features.and_then(|id| extents.get(id.index())) {
                Some(Extent::Vector { c }) if *c == expected => {}
                other => {
                    let (what, got) = ("features", format!("{expected} for {other:?}"));
                    return Err(Error::Confidence { what, got, expected: "those of `pre_logits`" });
                }
            }
        }
        Ok(Self { confidence, ..self })
    }

    /// The same network with another origin.
    #[must_use]
    pub fn with_provenance(self, provenance: Provenance) -> Self {
        Self { provenance, ..self }
    }

    /// The parts but for the [task](Model::task) and the [confidence](Model::confidence), to be changed and put together again.
    #[must_use]
    pub fn into_parts(self) -> ModelParts {
        let Self { graph, tensors, preprocess, classes, task: _, provenance, confidence: _ } = self;
        ModelParts { graph, tensors, preprocess, classes, provenance }
    }

    /// The weights of that parameter.
    #[must_use]
    pub fn tensor(&self, name: &str) -> Option<&Tensor> {
        self.graph.param_id(name).and_then(|id| self.tensors.get(id.index()))
    }
}

fn check_tensors(graph: &Graph, tensors: &[Tensor]) -> Result<()> {
    let mut mismatch = StateDictMismatch::default();
    for (param_idx, param) in graph.params().iter().enumerate() {
        match tensors.get(param_idx) {
            None => mismatch.missing.push(param.name.clone()),
            Some(tensor) => mismatch.compare(&param.name, tensor, &param.shape),
        }
    }
    for extra_idx in graph.params().len()..tensors.len() {
        mismatch.surplus.push(format!("tensor number {extra_idx}"));
    }
    if mismatch.is_empty() {
        Ok(())
    } else {
        Err(Error::StateDictMismatch { mismatch: Box::new(mismatch) })
    }
}

/// The network takes an image of its own input size, and has a logit for each of `got` names.
fn check_use(graph: &Graph, preprocess: &Preprocess, got: usize) -> Result<()> {
    preprocess.validate()?;
    let [h, w] = preprocess.input_size;
    let extents = graph.extents(h, w)?;
    let logits = graph.outputs().get("logits").and_then(|id| extents.get(id.index()));
    match logits.map(Extent::channels) {
        Some(expected) if got != 0 && got != expected => Err(Error::Classes { got, expected }),
        _ => Ok(()),
    }
}
