//! Inference without a framework: norms folded, weights packed once, one arena.
//!
//! Above: `transfer`, `recipes`, users who only classify. Below: `plan`, `arena`, `kernels::Cpu`. Not here: training (`train`).
//! Every unit writes what its readers need: bias, residual and activation happen in the convolution's epilogue. An addition
//! whose one operand is a convolution that nobody else reads costs nothing of its own.

mod profile;

use std::ops::Range;
use std::sync::Arc;

use taper_graph::{Extent, Graph, ParamId};
use taper_kernels::{Activation, AlignedBuf, ConvShape, Cpu, Device, Epilogue, Packed, Source};
use taper_model::Model;

use crate::arena::{Tenant, around, place};
use crate::error::check_len;
use crate::plan::{Norm, Plan, Work, conv_shape};
use crate::{Error, Result};

pub use profile::UnitTime;

/// How a session runs.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// Threads; 0 for all cores.
    pub threads: usize,
    /// The output to compute: `logits`, `pre_logits`, `features`, …
    pub output: String,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self { threads: 0, output: "logits".to_owned() }
    }
}

/// What is computed, and the packed weights: shared by all sessions forked from one.
#[derive(Debug)]
struct Program {
    graph: Graph,
    plan: Plan,
    /// By unit.
    steps: Vec<Step>,
}

/// One unit, made ready.
#[derive(Debug, Default)]
struct Step {
    weight: Option<Packed>,
    bias: Option<Vec<f32>>,
    /// The value added in the epilogue.
    residual: Option<usize>,
    /// The value written: the addition's, where one was fused.
    output: usize,
    activation: Activation,
    /// The addition that another step does.
    skipped: bool,
}

/// A compiled network. Takes normalized images, channels last.
///
/// ```
/// use taper_engine::{Session, SessionOptions};
/// use taper_graph::{Bias, GraphBuilder, PoolKind};
/// use taper_model::{Model, Preprocess};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut b = GraphBuilder::new(3)?;
/// # let xs = b.global_pool("pool", b.input(), PoolKind::Avg, true)?;
/// # let xs = b.linear("classifier", xs, 2, Bias::With)?;
/// # b.output("logits", xs)?;
/// # let classes = vec!["ants".to_owned(), "bees".to_owned()];
/// # let model = Model::random(b.build()?, 0, Preprocess::imagenet(), classes)?;
/// let mut session = Session::new(&model, &SessionOptions::default())?;
/// let logits = session.run(&[0.5; 32 * 32 * 3], [1, 32, 32])?;
/// assert_eq!(logits.len(), 2);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Session {
    program: Arc<Program>,
    cpu: Cpu,
    arena: AlignedBuf<f32>,
    layout: Option<Layout>,
}

/// Where everything lies for one batch shape.
#[derive(Debug)]
struct Layout {
    shape: [usize; 3],
    extents: Vec<Extent>,
    convs: Vec<Option<ConvShape>>,
    stored: Vec<Range<usize>>,
}

impl Session {
    /// Compiles a model: folds norms, packs weights.
    ///
    /// # Errors
    /// For an unknown output, or an operation without a kernel.
    pub fn new(model: &Model, options: &SessionOptions) -> Result<Self> {
        let plan = Plan::new(&model.graph, &options.output)?;
        let cpu = Cpu::new(options.threads);
        let steps = compile(model, &plan, &cpu)?;
        let program = Arc::new(Program { graph: model.graph.clone(), plan, steps });
        Ok(Self { program, cpu, arena: AlignedBuf::default(), layout: None })
    }

    /// Another session over the same packed weights, for another thread.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self {
            program: Arc::clone(&self.program),
            cpu: Cpu::new(self.cpu.threads()),
            arena: AlignedBuf::default(),
            layout: None,
        }
    }

    /// Bytes of the arena.
    #[must_use]
    pub fn arena_bytes(&self) -> usize {
        self.arena.len() * size_of::<f32>()
    }

    /// Computes the output of `n` images of `h` by `w`: `xs` is `(n, h, w, c)`, the result `(n, …)`, channels last.
    ///
    /// # Errors
    /// For a slice of the wrong length, or images the network cannot take.
    pub fn run(&mut self, xs: &[f32], shape: [usize; 3]) -> Result<&[f32]> {
        self.run_watched(xs, shape, |_done| ())
    }

    /// [`Session::run`], which tells what it has just done: `None` is taking the images in, then come the units by index.
    fn run_watched(
        &mut self,
        xs: &[f32],
        shape: [usize; 3],
        mut watch: impl FnMut(Option<usize>),
    ) -> Result<&[f32]> {
        if self.layout.as_ref().is_none_or(|layout| layout.shape != shape) {
            self.layout = None;
            let (layout, total) = Layout::new(&self.program, shape)?;
            self.arena.reserve(total);
            self.layout = Some(layout);
        }
        let Self { program, cpu, arena, layout: Some(layout) } = self else {
            return Err(Error::NoForward);
        };
        let image = layout.stored[0].clone();
        check_len("the batch of images", xs.len(), image.len())?;
        arena[image].copy_from_slice(xs);
        watch(None);
        for unit in (0..program.plan.units.len()).filter(|&unit| !program.steps[unit].skipped) {
            run_unit(program, layout, cpu, arena, unit);
            watch(Some(unit));
        }
        Ok(&arena[layout.stored[program.plan.output].clone()])
    }
}

fn run_unit(
    program: &Program,
    layout: &Layout,
    cpu: &mut Cpu,
    arena: &mut AlignedBuf<f32>,
    unit_idx: usize,
) {
    let (unit, step) = (&program.plan.units[unit_idx], &program.steps[unit_idx]);
    let (y, others) = around(arena, &layout.stored[step.output]);
    let source = |v: usize| Source::plain(others.get(&layout.stored[v]));
    let xs = source(unit.inputs[0]);
    let extent = layout.extents[unit.inputs[0]];
    let ([h, w], c, n) = (extent.size(), extent.channels(), layout.shape[0]);
    match unit.work {
        Work::Conv { .. } | Work::Linear { .. } => {
            if let (Some(shape), Some(weight)) = (&layout.convs[unit_idx], &step.weight) {
                let epilogue = Epilogue {
                    bias: step.bias.as_deref(),
                    residual: step.residual.map(|v| source(v).data),
                    activation: step.activation,
                };
                cpu.conv_packed(shape, xs, weight, epilogue, y, None);
            }
        }
        Work::Add => cpu.add(c, xs, source(unit.inputs[1]), step.activation, y),
        Work::Pool => cpu.pool_forward(n, h * w, c, xs, y),
        // Nothing is dropped.
        Work::Dropout { .. } => y.copy_from_slice(xs.data),
    }
}

fn compile(model: &Model, plan: &Plan, cpu: &Cpu) -> Result<Vec<Step>> {
    let tensor = |id: ParamId| model.tensors[id.index()].data.as_slice();
    let mut steps: Vec<Step> = Vec::with_capacity(plan.units.len());
    // Any size will do to pack a weight; the model's own fits.
    let [h, w] = model.preprocess.input_size;
    let extents = model.graph.extents(h, w)?;
    for unit in &plan.units {
        let value = &plan.values[unit.output];
        let (output, activation) = (unit.output, value.activation);
        let mut step = Step { output, activation, ..Step::default() };
        if let Work::Conv { weight, bias, .. } | Work::Linear { weight, bias, .. } = unit.work {
            let input = extents[plan.values[unit.inputs[0]].node.index()];
            let mut folded = tensor(weight).to_vec();
            step.bias = bias.map(|b| tensor(b).to_vec());
            if let Some(norm) = &value.norm {
                step.bias = Some(fold(norm, &mut folded, tensor));
            }
            if let Some(shape) = conv_shape(&model.graph, unit, input, 1)? {
                step.weight = Some(cpu.pack(&shape, &folded));
            }
        }
        steps.push(step);
    }
    fuse_additions(plan, &mut steps);
    Ok(steps)
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
                && operand != plan.output
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

impl Layout {
    fn new(program: &Program, shape @ [n, h, w]: [usize; 3]) -> Result<(Self, usize)> {
        let too_large = || Error::Batch { batch: n, h, w };
        let plan = &program.plan;
        if n == 0 {
            return Err(too_large());
        }
        let all = program.graph.extents(h, w)?;
        let extents: Vec<Extent> = plan.values.iter().map(|v| all[v.node.index()]).collect();
        let convs =
            plan.units.iter().map(|u| conv_shape(&program.graph, u, extents[u.inputs[0]], n));
        let convs = convs.collect::<Result<Vec<_>>>()?;
        let mut tenants = Vec::with_capacity(extents.len());
        for extent in &extents {
            let len = extent.len().checked_mul(n).ok_or_else(too_large)?;
            tenants.push(Tenant { len, first: usize::MAX, last: 0 });
        }
        let mut live = |v: usize, time: usize| {
            tenants[v].first = tenants[v].first.min(time);
            tenants[v].last = tenants[v].last.max(time);
        };
        live(0, 0);
        for (u, (unit, step)) in plan.units.iter().zip(&program.steps).enumerate() {
            if step.skipped {
                continue;
            }
            live(step.output, u);
            unit.inputs.iter().chain(&step.residual).for_each(|&v| live(v, u));
        }
        live(plan.output, plan.units.len());
        for tenant in &mut tenants {
            // A value that a fused addition swallowed.
            if tenant.first > tenant.last {
                *tenant = Tenant { len: 0, first: 0, last: 0 };
            }
        }
        let (stored, total) = place(&tenants).ok_or_else(too_large)?;
        Ok((Self { shape, extents, convs, stored }, total))
    }
}
