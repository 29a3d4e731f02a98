//! A model made ready to run: norms folded into weights, weights packed, additions joined with the convolution before them, gates with
//! the one behind.
//!
//! Above: `session`. Below: `plan`, `kernels::Cpu`. Not here: where tensors lie (`session::runner`).

use taper_graph::{Extent, Graph, NodeId, ParamId};
use taper_kernels::{Activation, ConvShape, Cpu, Packed};

use crate::Result;
use crate::plan::{Form, Norm, Plan, Unit, Value, Work, forms};

/// What is computed, and the packed weights: shared by all sessions forked from one.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) graph: Graph,
    pub(super) plan: Plan,
    /// By unit.
    pub(super) steps: Vec<Step>,
    /// Convolutions in a row, of which only the last one's output is read by others.
    pub(super) chains: Vec<Vec<usize>>,
}

/// One unit, made ready.
#[derive(Debug, Default)]
pub(super) struct Step {
    pub(super) weight: Option<Packed>,
    pub(super) bias: Option<Vec<f32>>,
    /// Its parameters as they are, where no convolution's kernel runs it.
    pub(super) params: Vec<Vec<f32>>,
    /// Map and gate, where the input is their product and is never written.
    pub(super) gated: Option<[usize; 2]>,
    /// The value added in the epilogue.
    pub(super) residual: Option<usize>,
    /// The value written: the addition's, where one was fused.
    pub(super) output: usize,
    pub(super) activation: Activation,
    /// The addition or gate that another step does.
    pub(super) skipped: bool,
}

impl Step {
    /// The values that a unit's step reads.
    pub(super) fn reads<'a>(&'a self, unit: &'a Unit) -> impl Iterator<Item = usize> + 'a {
        let inputs = self.gated.as_ref().map_or(unit.inputs.as_slice(), |both| both.as_slice());
        inputs.iter().chain(&self.residual).copied()
    }
}

impl Program {
    /// Compiles what some nodes depend on, for the instruction set of `cpu`. `params` are those of the graph; `size` is that of any
    /// image the network can take.
    pub(super) fn new(
        graph: &Graph,
        params: &[&[f32]],
        nodes: &[NodeId],
        [h, w]: [usize; 2],
        cpu: &Cpu,
    ) -> Result<Self> {
        let plan = Plan::of_nodes(graph, nodes)?;
        let extents = plan.extents(graph, [h, w])?;
        let mut steps: Vec<Step> = Vec::with_capacity(plan.units.len());
        for unit in &plan.units {
            steps.push(compile(graph, params, &plan.values[unit.output], unit, &extents, cpu)?);
        }
        fuse_additions(&plan, &mut steps);
        let convs = convs(graph, &plan, &extents)?;
        fuse_gates(&plan, &extents, &convs, &mut steps);
        let chains = chains(&plan, &convs, &steps);
        Ok(Self { graph: graph.clone(), plan, steps, chains })
    }

    /// The parameters and buffers that were compiled in.
    pub(super) fn params(&self) -> Vec<ParamId> {
        let weights = self.plan.units.iter().flat_map(|unit| unit.work.params());
        let norms = self.plan.values.iter().filter_map(|value| value.norm);
        weights.flatten().chain(norms.flat_map(|norm| norm.params)).collect()
    }
}

fn compile(
    graph: &Graph,
    params: &[&[f32]],
    value: &Value,
    unit: &Unit,
    extents: &[Extent],
    cpu: &Cpu,
) -> Result<Step> {
    let tensor = |id: ParamId| params[id.index()];
    let (output, activation) = (unit.output, value.activation);
    let mut step = Step { output, activation, ..Step::default() };
    if unit.work.is_conv() {
        let [weight, bias] = unit.work.params();
        let ones = || vec![1.0; extents[unit.inputs[0]].channels()];
        let mut folded = weight.map_or_else(ones, |weight| tensor(weight).to_vec());
        step.bias = bias.map(|b| tensor(b).to_vec());
        if let Some(norm) = &value.norm {
            step.bias = Some(fold(norm, &mut folded, tensor));
        }
        if let Form::Conv(shape) = Form::new(graph, unit, extents, 1)? {
            step.weight = Some(cpu.pack(&shape, &folded));
        }
    } else {
        let own = unit.work.params().into_iter().flatten();
        step.params = own.map(|id| tensor(id).to_vec()).collect();
    }
    Ok(step)
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

/// Lets the convolution just before an addition, read by it alone, add the other operand.
fn fuse_additions(plan: &Plan, steps: &mut [Step]) {
    for (u, unit) in plan.units.iter().enumerate() {
        let (Work::Add, &[a, b]) = (&unit.work, unit.inputs.as_slice()) else { continue };
        for (operand, other) in [(b, a), (a, b)] {
            let value = &plan.values[operand];
            let Some(writer) = value.writer else { continue };
            let is_conv = matches!(plan.units[writer].work, Work::Conv { .. });
            let bare = value.activation == Activation::Identity && value.readers == [u];
            // The other operand must be there when the convolution runs.
            let ready = plan.values[other].writer.is_none_or(|w| w < writer);
            if is_conv
                && bare
                && ready
                && !plan.outputs.contains(&operand)
                && steps[writer].residual.is_none()
            {
                steps[writer].residual = Some(other);
                steps[writer].output = unit.output;
                steps[writer].activation = plan.values[unit.output].activation;
                steps[u].skipped = true;
                break;
            }
        }
    }
}

/// By unit: its convolution, if it is one, for one image.
fn convs(graph: &Graph, plan: &Plan, extents: &[Extent]) -> Result<Vec<Option<ConvShape>>> {
    let forms = forms(graph, plan, extents, 1)?;
    let units = plan.units.iter().zip(&forms);
    Ok(units.map(|(unit, form)| form.conv().filter(|_| unit.work.is_conv()).copied()).collect())
}

/// Lets the pointwise convolution just behind a gate, the only reader of the product, multiply while it reads.
fn fuse_gates(plan: &Plan, extents: &[Extent], convs: &[Option<ConvShape>], steps: &mut [Step]) {
    let positions = |value: usize| extents[value].size().iter().product::<usize>();
    for (u, unit) in plan.units.iter().enumerate() {
        let (Work::Mul, &[map, gate]) = (&unit.work, unit.inputs.as_slice()) else { continue };
        let product = &plan.values[unit.output];
        let bare = product.activation == Activation::Identity && product.norm.is_none();
        let &[reader] = product.readers.as_slice() else { continue };
        let by_channel = positions(gate) == 1 && positions(map) > 1;
        let is_pointwise = convs[reader].is_some_and(|shape| shape.is_pointwise());
        if bare && by_channel && is_pointwise && !plan.outputs.contains(&unit.output) {
            steps[reader].gated = Some([map, gate]);
            steps[u].skipped = true;
        }
    }
}

/// Every depthwise convolution with the convolution before it and the pointwise one behind it, where nobody else reads what is between
/// them.
fn chains(plan: &Plan, convs: &[Option<ConvShape>], steps: &[Step]) -> Vec<Vec<usize>> {
    let mut taken = vec![false; plan.units.len()];
    let between = |value: usize, reader: usize| {
        plan.values[value].readers == [reader] && !plan.outputs.contains(&value)
    };
    let is_plain = |u: usize| convs[u].is_some() && steps[u].gated.is_none();
    let mut chains = Vec::new();
    for (u, unit) in plan.units.iter().enumerate() {
        if !convs[u].is_some_and(|shape| shape.is_depthwise()) {
            continue;
        }
        let mut chain = vec![u];
        let input = unit.inputs[0];
        if let Some(before) = plan.values[input].writer {
            let ends = steps[before].output == input && steps[before].residual.is_none();
            if ends && is_plain(before) && !taken[before] && between(input, u) {
                chain.insert(0, before);
            }
        }
        if let &[behind] = plan.values[unit.output].readers.as_slice() {
            let goes_on = steps[u].residual.is_none() && between(unit.output, behind);
            let is_pointwise = convs[behind].is_some_and(|shape| shape.is_pointwise());
            if goes_on && is_pointwise && is_plain(behind) {
                chain.push(behind);
            }
        }
        chain.iter().for_each(|&u| taken[u] = true);
        if chain.len() > 1 {
            chains.push(chain);
        }
    }
    chains
}
