//! A model made ready to run: norms folded into weights, weights packed.
//!
//! Above: `session`. Below: `taper-plan`, `kernel`, `taper-kernels`. Not here: what is fused (`taper-plan`), where tensors lie
//! (`session::runner`).

use taper_graph::{Graph, NodeId, ParamId};
use taper_kernels::{Activation, Cpu, Packed};
use taper_plan::fused::Norm;
use taper_plan::{InferencePlan, Unit, Value};

use crate::kernel::{Kernel, activation};
use crate::{Error, Result};

/// What is computed, and the packed weights: shared by all sessions forked from one.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) graph: Graph,
    pub(super) plan: InferencePlan,
    /// By unit.
    pub(super) units: Vec<Compiled>,
}

/// One unit, made ready.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) weights: Weights,
    pub(super) activation: Activation,
}

/// What a unit reads beside values.
#[derive(Debug)]
pub(super) enum Weights {
    /// Of a convolution, a linear layer or a norm.
    Packed { weight: Packed, bias: Option<Vec<f32>> },
    /// Parameters as they are.
    Plain(Vec<Vec<f32>>),
}

impl Program {
    /// Compiles what some nodes depend on, for the instruction set of `cpu`. `params` are those of the graph; `size` is that of any
    /// image the network can take.
    pub(super) fn new(
        graph: &Graph,
        params: &[&[f32]],
        nodes: &[NodeId],
        size: [usize; 2],
        cpu: &Cpu,
    ) -> Result<Self> {
        let plan = InferencePlan::new(graph, nodes, size)?;
        let extents = plan.fused.extents(graph, size)?;
        let mut units = Vec::with_capacity(plan.steps.len());
        for (unit, step) in plan.fused.units.iter().zip(&plan.steps) {
            let kernel = Kernel::new(graph, unit, &extents, 1)?;
            let weights = compile(&kernel, params, &plan.fused.values[unit.output], unit, cpu);
            let activation = activation(graph, unit.node, step.activation)?;
            units.push(Compiled { weights, activation });
        }
        Ok(Self { graph: graph.clone(), plan, units })
    }

    /// The parameters and buffers that were compiled in.
    pub(super) fn params(&self) -> Vec<ParamId> {
        self.plan.fused.params().collect()
    }

    /// A unit that does not fit what it is to be run with.
    pub(super) fn internal(&self, unit: usize, what: &'static str) -> Error {
        let node = self.graph.node(self.plan.fused.units[unit].node);
        Error::Internal { node: node.name().to_owned(), what }
    }
}

fn compile(kernel: &Kernel, params: &[&[f32]], value: &Value, unit: &Unit, cpu: &Cpu) -> Weights {
    let tensor = |id: ParamId| params[id.index()];
    let (Kernel::Conv(shape) | Kernel::BatchNorm(shape)) = kernel else {
        let own = unit.op.params().into_iter().flatten();
        return Weights::Plain(own.map(|id| tensor(id).to_vec()).collect());
    };
    let [weight, bias] = unit.op.params();
    // A norm alone has no weight but what is folded into it.
    let ones = || vec![1.0; shape.weight_len()];
    let mut folded = weight.map_or_else(ones, |weight| tensor(weight).to_vec());
    let mut bias = bias.map(|b| tensor(b).to_vec());
    if let Some(norm) = &value.norm {
        bias = Some(fold(norm, &mut folded, tensor));
    }
    Weights::Packed { weight: cpu.pack(shape, &folded), bias }
}

/// Scales each output channel's weights by `γ/σ`, and returns `β − μ·γ/σ`.
fn fold<'a>(norm: &Norm, weight: &mut [f32], tensor: impl Fn(ParamId) -> &'a [f32]) -> Vec<f32> {
    let [gamma, beta, mean, var] = norm.params.map(tensor);
    let per_channel = weight.len() / gamma.len();
    let channels = weight.chunks_exact_mut(per_channel).enumerate();
    let fold = |(c, weight): (usize, &mut [f32])| {
        let scale = f64::from(gamma[c]) / (f64::from(var[c]) + norm.eps).sqrt();
        for w in weight {
            *w = narrow(f64::from(*w) * scale);
        }
        narrow(f64::from(beta[c]) - f64::from(mean[c]) * scale)
    };
    channels.map(fold).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "rounding to single precision is the point")]
fn narrow(value: f64) -> f32 {
    value as f32
}
