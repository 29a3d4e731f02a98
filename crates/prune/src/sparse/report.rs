//! How many numbers of a model are zero.
//!
//! Above: `sparse`, `taper-recipes`. Below: `taper-model`. Not here: the size of a compressed file, which the compressor says.

use serde::Serialize;
use taper_graph::ParamRole;
use taper_model::Model;

/// Zeros of a model: it is smaller when compressed, not faster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SparsityReport {
    /// Every weight of a convolution or linear layer, in order.
    pub params: Vec<ParamSparsity>,
    /// All of them.
    pub weights: ParamSparsity,
    /// All numbers of the model, norms, biases and statistics too.
    pub all: ParamSparsity,
}

/// Zeros of a parameter, or of several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ParamSparsity {
    /// The parameter's name.
    pub name: String,
    /// Elements.
    pub elements: usize,
    /// Those that are zero.
    pub zeros: usize,
}

impl ParamSparsity {
    /// The share of zeros, from 0 to 1.
    #[must_use]
    pub fn sparsity(&self) -> f64 {
        self.zeros as f64 / self.elements.max(1) as f64
    }
}

impl SparsityReport {
    /// Counts.
    #[must_use]
    pub fn of(model: &Model) -> Self {
        let count = |(spec, tensor): (&taper_graph::ParamSpec, &taper_model::Tensor)| {
            let zeros = tensor.data.iter().filter(|value| **value == 0.0).count();
            let name = spec.name.clone();
            (spec.role, ParamSparsity { name, elements: tensor.data.len(), zeros })
        };
        let params = model.graph().params().iter().zip(model.tensors());
        let counted: Vec<(ParamRole, ParamSparsity)> = params.map(count).collect();
        let sum = |name: &str, is: &dyn Fn(ParamRole) -> bool| {
            let those = || counted.iter().filter(|(role, _)| is(*role)).map(|(_, it)| it);
            ParamSparsity {
                name: name.to_owned(),
                elements: those().map(|it| it.elements).sum(),
                zeros: those().map(|it| it.zeros).sum(),
            }
        };
        let weights = sum("weights", &|role| role == ParamRole::Weight);
        let all = sum("all", &|_| true);
        let params = counted.into_iter().filter(|(role, _)| *role == ParamRole::Weight);
        Self { params: params.map(|(_, it)| it).collect(), weights, all }
    }
}
