//! What a session fuses beyond norms and activations, and where its tensors lie.
//!
//! Above: `taper-engine`, `taper-cost`. Below: `fused`, `memory`, `inference::bands`. Not here: packed weights and kernels
//! (`taper-engine`).
//! An addition whose one operand is a convolution that nobody else reads is done by that convolution; a gate before a pointwise
//! convolution by the convolution that reads the product. Sizes are those of one image, since a session runs images one by one.

mod bands;

use taper_graph::{Activation, Extent, Graph, NodeId};

use crate::{Error, FusedGraph, LiveRange, MemoryPlan, Result, Unit, UnitOp};
pub use bands::{BandPlan, ConvSize};

/// What one unit does in inference, with what is fused into it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    /// Map and gate, where the input is their product and is never written.
    pub gated: Option<[usize; 2]>,
    /// The value added to the output.
    pub residual: Option<usize>,
    /// The value written: the addition's, where one was fused.
    pub output: usize,
    /// What is applied to the output.
    pub activation: Option<Activation>,
    /// The addition or gate that another step does.
    pub skipped: bool,
}

impl Step {
    /// The values that a unit's step reads.
    pub fn reads<'a>(&'a self, unit: &'a Unit) -> impl Iterator<Item = usize> + 'a {
        let inputs = self.gated.as_ref().map_or(unit.inputs.as_slice(), |both| both.as_slice());
        inputs.iter().chain(&self.residual).copied()
    }
}

/// In which order values are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecutionOrder {
    /// One unit after the other, so that each has a time of its own.
    Units,
    /// Some convolutions in bands of rows that threads share, where that is faster.
    Bands {
        /// Threads that work on one image.
        threads: usize,
    },
}

/// The units of a session, and what is fused into them.
#[derive(Clone, Debug, PartialEq)]
pub struct InferencePlan {
    /// The units.
    pub fused: FusedGraph,
    /// By unit.
    pub steps: Vec<Step>,
    /// Convolutions in a row, of which only the last one's output is read by others.
    pub chains: Vec<Vec<usize>>,
}

/// Where everything lies for one size of image.
#[derive(Clone, Debug, PartialEq)]
pub struct InferenceMemory {
    /// By value.
    pub extents: Vec<Extent>,
    /// By unit: what runs in bands when it is reached.
    pub bands: Vec<Option<BandPlan>>,
    /// By unit: whether another one does its work.
    pub skipped: Vec<bool>,
    /// By value: when it is written and last read, counted in units. The image has no length: it is read where the caller has it.
    pub lives: Vec<LiveRange>,
    /// By value.
    pub arena: MemoryPlan,
    /// Elements of scratch that every thread needs for bands.
    pub scratch: usize,
}

/// Images of a batch that every thread runs on its own; those left are run by all threads together.
#[must_use]
pub fn images_a_thread(batch: usize, threads: usize) -> usize {
    if threads > 1 { batch / threads } else { 0 }
}

impl InferencePlan {
    /// Plans the inference of some nodes; `size` is the height and width of any image the graph can take.
    ///
    /// # Errors
    /// If the graph does not take such an image.
    pub fn new(graph: &Graph, nodes: &[NodeId], size: [usize; 2]) -> Result<Self> {
        let fused = FusedGraph::new(graph, nodes)?;
        let extents = fused.extents(graph, size)?;
        let step = |unit: &Unit| Step {
            output: unit.output,
            activation: fused.values[unit.output].activation,
            ..Step::default()
        };
        let mut steps: Vec<Step> = fused.units.iter().map(step).collect();
        fuse_additions(&fused, &mut steps);
        let convs: Vec<_> = fused.units.iter().map(|unit| ConvSize::new(unit, &extents)).collect();
        fuse_gates(&fused, &extents, &convs, &mut steps);
        let chains = chains(&fused, &convs, &steps);
        Ok(Self { fused, steps, chains })
    }

    /// Lays out the arena for images of this height and width.
    ///
    /// # Errors
    /// If the graph does not take such an image, or no address can reach all of it.
    pub fn memory(
        &self,
        graph: &Graph,
        size: [usize; 2],
        order: ExecutionOrder,
    ) -> Result<InferenceMemory> {
        let fused = &self.fused;
        let extents = fused.extents(graph, size)?;
        let (bands, skipped) = self.in_bands(&extents, order);
        let none = |extent: &Extent| LiveRange { len: extent.len(), first: usize::MAX, last: 0 };
        let mut lives: Vec<LiveRange> = extents.iter().map(none).collect();
        let mut live = |v: usize, time: usize| {
            lives[v].first = lives[v].first.min(time);
            lives[v].last = lives[v].last.max(time);
        };
        for (u, (unit, step)) in fused.units.iter().zip(&self.steps).enumerate() {
            if skipped[u] {
                continue;
            }
            live(step.output, u);
            // What runs in bands reads what its first stage reads.
            let unit = bands[u].as_ref().map_or(unit, |bands| &fused.units[bands.units[0]]);
            step.reads(unit).for_each(|v| live(v, u));
        }
        fused.outputs.iter().for_each(|&v| live(v, fused.units.len()));
        for live in &mut lives {
            // A value that an addition, a gate or a band swallowed.
            if live.first > live.last {
                *live = LiveRange { len: 0, first: 0, last: 0 };
            }
        }
        // The image is read where the caller has it.
        lives[0].len = 0;
        let [h, w] = size;
        let arena = MemoryPlan::new(&lives).ok_or(Error::Batch { batch: 1, h, w })?;
        let scratch = bands.iter().flatten().map(BandPlan::scratch).max().unwrap_or(0);
        Ok(InferenceMemory { extents, bands, skipped, lives, arena, scratch })
    }

    /// Elements that a session keeps once it has run a batch of such images: an arena for all threads together, one for each where
    /// they have images of their own, and the scratch of bands.
    ///
    /// # Errors
    /// As [`InferencePlan::memory`].
    pub fn elements(
        &self,
        graph: &Graph,
        size: [usize; 2],
        batch: usize,
        threads: usize,
    ) -> Result<usize> {
        let all = |threads: usize| {
            let memory = self.memory(graph, size, ExecutionOrder::Bands { threads })?;
            Ok::<_, Error>(
                memory.arena.total.saturating_add(memory.scratch.saturating_mul(threads)),
            )
        };
        let together = all(threads)?;
        if images_a_thread(batch, threads) == 0 {
            return Ok(together);
        }
        Ok(together.saturating_add(all(1)?.saturating_mul(threads)))
    }

    /// Which of the chains run in bands, by their last unit; and by unit, whether another one does its work.
    fn in_bands(
        &self,
        extents: &[Extent],
        order: ExecutionOrder,
    ) -> (Vec<Option<BandPlan>>, Vec<bool>) {
        let mut skipped: Vec<bool> = self.steps.iter().map(|step| step.skipped).collect();
        let mut bands: Vec<Option<BandPlan>> = skipped.iter().map(|_| None).collect();
        let ExecutionOrder::Bands { threads } = order else { return (bands, skipped) };
        for chain in &self.chains {
            let Some((&last, before)) = chain.split_last() else { continue };
            bands[last] = BandPlan::new(&self.fused, chain, extents, threads);
            before.iter().for_each(|&u| skipped[u] |= bands[last].is_some());
        }
        (bands, skipped)
    }
}

/// Lets the convolution just before an addition, read by it alone, add the other operand.
fn fuse_additions(fused: &FusedGraph, steps: &mut [Step]) {
    for (u, unit) in fused.units.iter().enumerate() {
        let (UnitOp::Add, &[a, b]) = (&unit.op, unit.inputs.as_slice()) else { continue };
        for (operand, other) in [(b, a), (a, b)] {
            let value = &fused.values[operand];
            let Some(writer) = value.writer else { continue };
            let is_conv = matches!(fused.units[writer].op, UnitOp::Conv { .. });
            let bare = value.activation.is_none() && value.readers == [u];
            // The other operand must be there when the convolution runs.
            let ready = fused.values[other].writer.is_none_or(|w| w < writer);
            if is_conv
                && bare
                && ready
                && !fused.outputs.contains(&operand)
                && steps[writer].residual.is_none()
            {
                steps[writer].residual = Some(other);
                steps[writer].output = unit.output;
                steps[writer].activation = fused.values[unit.output].activation;
                steps[u].skipped = true;
                break;
            }
        }
    }
}

/// Lets the pointwise convolution just behind a gate, the only reader of the product, multiply while it reads.
fn fuse_gates(
    fused: &FusedGraph,
    extents: &[Extent],
    convs: &[Option<ConvSize>],
    steps: &mut [Step],
) {
    let positions = |value: usize| extents[value].size().iter().product::<usize>();
    for (u, unit) in fused.units.iter().enumerate() {
        let (UnitOp::Mul, &[map, gate]) = (&unit.op, unit.inputs.as_slice()) else { continue };
        let product = &fused.values[unit.output];
        let bare = product.activation.is_none() && product.norm.is_none();
        let &[reader] = product.readers.as_slice() else { continue };
        let by_channel = positions(gate) == 1 && positions(map) > 1;
        let is_pointwise = convs[reader].is_some_and(|size| size.is_pointwise());
        if bare && by_channel && is_pointwise && !fused.outputs.contains(&unit.output) {
            steps[reader].gated = Some([map, gate]);
            steps[u].skipped = true;
        }
    }
}

/// Every depthwise convolution with the convolution before it and the pointwise one behind it, where nobody else reads what is between
/// them.
fn chains(fused: &FusedGraph, convs: &[Option<ConvSize>], steps: &[Step]) -> Vec<Vec<usize>> {
    let mut taken = vec![false; fused.units.len()];
    let between = |value: usize, reader: usize| {
        fused.values[value].readers == [reader] && !fused.outputs.contains(&value)
    };
    let is_plain = |u: usize| convs[u].is_some() && steps[u].gated.is_none();
    let mut chains = Vec::new();
    for (u, unit) in fused.units.iter().enumerate() {
        if !convs[u].is_some_and(|size| size.is_depthwise()) {
            continue;
        }
        let mut chain = vec![u];
        let input = unit.inputs[0];
        if let Some(before) = fused.values[input].writer {
            let ends = steps[before].output == input && steps[before].residual.is_none();
            if ends && is_plain(before) && !taken[before] && between(input, u) {
                chain.insert(0, before);
            }
        }
        if let &[behind] = fused.values[unit.output].readers.as_slice() {
            let goes_on = steps[u].residual.is_none() && between(unit.output, behind);
            let is_pointwise = convs[behind].is_some_and(|size| size.is_pointwise());
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
