//! Parallel linear branches become one convolution: MobileOne and RepViT as they are meant to be run.
//!
//! Above: whoever exports or runs such a network. Below: `branches`, `kernel`, `Graph::fuse`. Not here: folding norms while running
//! (`taper-engine` does that for every network).
//! For inference: norms are taken with their running statistics, and a network cannot be trained back.
//! Source: Ding et al. 2021, Section 3.3, <https://arxiv.org/abs/2101.03697>; timm's `reparameterize_model`.

mod branches;
mod kernel;

use std::collections::BTreeMap;

use taper_graph::{Bias, Fusion, Graph, NodeId};

use crate::{Model, Result, Tensor};
use branches::{Branch, Branches};
use kernel::Kernel;

/// The same network with one convolution (or linear layer) in the place of parallel ones that are added, with the norms
/// before, between and after them; and, if there are any such branches, in the place of every convolution and its norm.
///
/// A network without parallel branches is returned as it is. The new layers have biases, are computed in f64, and are called as the
/// module they replace, or `reparam` inside it.
///
/// # Errors
/// Those of [`Model::new`]: never, for a model that was checked.
///
/// # Examples
/// ```
/// use taper_graph::blocks::{MobileOneBlock, Style};
/// use taper_graph::{Activation, Conv, GraphBuilder};
/// use taper_model::{Model, Preprocess, reparameterize};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let style = Style { activation: Activation::Relu, eps: 1e-5, momentum: 0.1, tf_padding: false };
/// let mut b = GraphBuilder::new(3)?;
/// let block = MobileOneBlock { conv: Conv::dense(8, 3, 2), branches: 4, squeeze_excite: None };
/// let xs = b.input();
/// let xs = block.build(&mut b, "stem", xs, &style)?;
/// b.output("features", xs)?;
/// let model = Model::random(b.build()?, 0, Preprocess::imagenet(), Vec::new())?;
/// let fused = reparameterize(&model)?;
/// let names: Vec<_> = fused.graph().nodes().iter().map(|node| node.name()).collect();
/// assert_eq!(names, ["input", "stem.reparam", "stem.act"]);
/// # Ok(()) }
/// ```
pub fn reparameterize(model: &Model) -> Result<Model> {
    let graph = model.graph();
    let branches = Branches::of(graph).maximal_branches();
    if !branches.iter().any(|(_, branch)| branch.adds()) {
        return Ok(model.clone());
    }
    let mut fusions = Vec::new();
    let mut tensors = BTreeMap::new();
    for (last, branch) in branches {
        let mut nodes = branch.nodes();
        nodes.retain(|node| *node != last);
        let kernel = Kernel::of(&branch, model);
        let fusion = Fusion {
            name: name(graph, &branch, last),
            op: kernel.op(),
            bias: Bias::With,
            from: branch.source(),
            last,
            others: nodes,
        };
        let (weight, bias) = kernel.tensors();
        tensors.insert(format!("{}.weight", fusion.name), weight);
        tensors.insert(format!("{}.bias", fusion.name), bias);
        fusions.push(fusion);
    }
    let new = graph.fuse(&fusions)?;
    let kept = |name: &str| tensors.get(name).or_else(|| model.tensor(name)).cloned();
    let tensors: Vec<Tensor> = new.params().iter().filter_map(|spec| kept(&spec.name)).collect();
    let provenance = model.provenance().clone().and("reparameterized");
    Model::new(new, tensors, *model.preprocess(), model.classes().to_vec(), provenance)
        .map(|fused| fused.with_task(model.task()))?
        .with_confidence(model.confidence().cloned())
}

/// The module that all nodes of a branch are in, if nothing else is; otherwise a node `reparam` in it. A branch that adds nothing, and
/// one across the network, keep the name of a node.
fn name(graph: &Graph, branch: &Branch, last: NodeId) -> String {
    let (nodes, name) = (branch.nodes(), |id: &NodeId| graph.node(*id).name());
    let mut module = name(&last);
    while !nodes.iter().all(|node| is_in(name(node), module)) {
        module = module.rsplit_once('.').map_or("", |(module, _)| module);
    }
    let mut strangers = graph.node_ids().filter(|id| !nodes.contains(id));
    let is_shared = module.is_empty() || strangers.any(|id| is_in(name(&id), module));
    match (is_shared, branch.adds()) {
        (false, _) => module.to_owned(),
        (true, true) if module.is_empty() => name(&last).to_owned(),
        (true, true) => format!("{module}.reparam"),
        (true, false) => branch.layer().map_or_else(String::new, |(id, _)| name(&id).to_owned()),
    }
}

/// Whether a node is the module or lies in it; the module without a name is the network.
fn is_in(node: &str, module: &str) -> bool {
    module.is_empty()
        || node.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests;
