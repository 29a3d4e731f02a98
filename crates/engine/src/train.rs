//! The training executor: forward and backward of a graph on slices.
//!
//! Above: `layers`, `recalibrate`. Below: `taper-plan`, `train::{observed, prepared, norm, statistics, synced, watch}`, `taper-kernels`. Not here: losses,
//! optimizers, candle.
//! Generic over the scalar and the device: `f64` on [`crate::Reference`] is the truth that `f32` on [`crate::Cpu`] is held to.
//! One tensor is stored a unit (a convolution's bare output, an addition's sum); batch norms with a trained scale or shift use the
//! batch's statistics, all others their running ones; no gradient is computed for what is not trained, and what no trained
//! parameter lies below keeps nothing.

mod backward;
mod forward;
mod norm;
mod observed;
mod prepared;
mod statistics;
mod synced;
mod timing;
mod watch;

use taper_graph::{Graph, NodeId, ParamId};
use taper_kernels::{AlignedBuf, Device, Real};
use taper_plan::training::{GradientOrder, GradientRoutes};
use taper_plan::{FusedGraph, Recompute, TrainingPlan};

use crate::error::{check_len, check_params};
use crate::{Error, Result};
use backward::Done;
use norm::NormState;
use prepared::Prepared;
use synced::Part;

pub use synced::{BatchPart, ObserveParts, SumOverParts};

/// Runs training steps of one graph. Parameters and gradients are the caller's, by [`ParamId`].
pub struct Trainer<T: Real, D: Device<T>> {
    graph: Graph,
    fused: FusedGraph,
    routes: GradientRoutes,
    order: GradientOrder,
    trained: Vec<bool>,
    recompute: Recompute,
    device: D,
    norms: Vec<NormState<T>>,
    arena: AlignedBuf<T>,
    /// As many as any norm has channels: the weights of norms that follow no convolution.
    ones: Vec<T>,
    /// By output.
    outputs: Vec<Vec<T>>,
    prepared: Option<Prepared>,
    /// Of another shape, which was the one before.
    spare: Option<Prepared>,
    seed: u64,
    ready: bool,
    /// Those of a [`Trainer::forward_synced`], if that was the last forward.
    parts: Vec<Part<T>>,
}

impl<T: Real, D: Device<T>> Trainer<T, D> {
    /// Prepares to train the parameters marked in `trained` (by [`ParamId`]; buffers' marks do not matter) through the named output.
    ///
    /// # Errors
    /// For an unknown output, an operation without a kernel, or marks of another number than parameters.
    pub fn new(graph: &Graph, output: &str, trained: &[bool], device: D) -> Result<Self> {
        Self::of_outputs(graph, &[output], trained, device)
    }

    /// As [`Trainer::new`], through several outputs: [`Trainer::outputs`] has all of them after a forward, and
    /// [`Trainer::backward_all`] takes a gradient of each.
    ///
    /// # Errors
    /// As [`Trainer::new`].
    pub fn of_outputs(
        graph: &Graph,
        outputs: &[&str],
        trained: &[bool],
        device: D,
    ) -> Result<Self> {
        Ok(Self::of_plan(graph, TrainingPlan::new(graph, outputs, trained)?, device))
    }

    /// As [`Trainer::of_outputs`], and [`Trainer::watched_gradient`] has the gradient of the image after each backward.
    ///
    /// # Errors
    /// As [`Trainer::new`].
    pub fn with_image_gradient(
        graph: &Graph,
        outputs: &[&str],
        trained: &[bool],
        device: D,
    ) -> Result<Self> {
        let plan = TrainingPlan::with_image_gradient(graph, outputs, trained)?;
        Ok(Self::of_plan(graph, plan, device))
    }

    /// As [`Trainer::of_outputs`], but leaves out what gives the same for the same image in every step: all that no trained parameter lies
    /// below and no dropout acts on. [`Trainer::forward_from`] takes the values of the returned nodes in its place, which a
    /// [`Session::of_nodes`](crate::Session::of_nodes) computes in a fraction of the time. Without a frozen beginning the only
    /// node is the image.
    ///
    /// # Errors
    /// As [`Trainer::new`].
    pub fn above(
        graph: &Graph,
        outputs: &[&str],
        trained: &[bool],
        device: D,
    ) -> Result<(Self, Vec<NodeId>)> {
        let (plan, nodes) = TrainingPlan::above(graph, outputs, trained)?;
        Ok((Self::of_plan(graph, plan, device), nodes))
    }

    /// The same without dropout, for statistics and gradients that no draw decides.
    #[must_use]
    pub fn without_dropout(self) -> Self {
        self.replanned(TrainingPlan::without_dropout)
    }

    /// The same in evaluation mode: norms use their running statistics, as constants, also where scale and shift are trained, and
    /// nothing is dropped. As in PyTorch after `module.eval()`, every trained parameter has its gradient.
    #[must_use]
    pub fn in_evaluation_mode(self) -> Self {
        self.replanned(TrainingPlan::in_evaluation_mode)
    }

    /// The same, with this computed again in the backward pass instead of kept from the forward pass: outputs, gradients and statistics
    /// have the same bits. What is computed again does not count as another forward pass: no statistics move, and what was dropped is
    /// dropped again.
    ///
    /// # Examples
    /// ```
    /// use taper_engine::{Recompute, Reference, Trainer};
    /// use taper_graph::{Activation, Bias, Conv, GraphBuilder};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut b = GraphBuilder::new(1)?;
    /// let mut xs = b.input();
    /// for i in 0..16 {
    ///     xs = b.conv(&format!("conv{i}"), xs, Conv::dense(1, 3, 1), Bias::Without)?;
    ///     xs = b.activation(&format!("act{i}"), xs, Activation::Silu)?;
    /// }
    /// b.output("xs", xs)?;
    /// let graph = b.build()?;
    ///
    /// let (params, images) = (vec![&[0.1; 9][..]; 16], [0.5; 64]);
    /// let step = |recompute| -> taper_engine::Result<(usize, Vec<Vec<f64>>)> {
    ///     let mut trainer = Trainer::new(&graph, "xs", &[true; 16], Reference)?.recomputing(recompute);
    ///     let mut gradients = vec![Vec::new(); 16];
    ///     trainer.forward(&params, &images, [1, 8, 8], 0)?;
    ///     trainer.backward(&params, &[1.0; 64], &mut gradients)?;
    ///     Ok((trainer.arena_bytes(), gradients))
    /// };
    /// let (kept, again) = (step(Recompute::Nothing)?, step(Recompute::Segments)?);
    /// assert_eq!(again.1, kept.1);
    /// assert!(2 * again.0 < kept.0 + kept.0 / 4);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn recomputing(self, recompute: Recompute) -> Self {
        self.replanned(|plan| plan.recomputing(recompute))
    }

    fn replanned(self, change: impl FnOnce(TrainingPlan) -> TrainingPlan) -> Self {
        let Self { graph, fused, routes, trained, recompute, device, .. } = self;
        let plan = TrainingPlan { fused, routes, trained, recompute };
        Self::of_plan(&graph, change(plan), device)
    }

    fn of_plan(graph: &Graph, plan: TrainingPlan, device: D) -> Self {
        let order = GradientOrder::new(graph, &plan);
        let TrainingPlan { fused, routes, trained, recompute } = plan;
        let channels = |id: ParamId| graph.param(id).len();
        let norms = fused
            .values
            .iter()
            .map(|v| NormState::new(v.norm.map_or(0, |n| channels(n.params[0]))));
        let norms: Vec<NormState<T>> = norms.collect();
        let most = norms.iter().map(NormState::channels).max().unwrap_or(0);
        Self {
            ones: vec![T::from_f64(1.0); most],
            norms,
            graph: graph.clone(),
            fused,
            routes,
            order,
            trained,
            recompute,
            device,
            arena: AlignedBuf::default(),
            outputs: Vec::new(),
            prepared: None,
            spare: None,
            seed: 0,
            ready: false,
            parts: Vec::new(),
        }
    }

    /// Bytes of the arena: all that is kept between steps, but for scratch of the device.
    #[must_use]
    pub fn arena_bytes(&self) -> usize {
        self.arena.len() * size_of::<T>()
    }

    /// The device.
    #[must_use]
    pub fn device(&self) -> &D {
        &self.device
    }

    /// The parameters that get a gradient, by [`ParamId`].
    #[must_use]
    pub fn trained(&self) -> &[bool] {
        &self.trained
    }

    /// The shapes of the outputs for images of which `shape` is `[n, h, w]`: `(n, c)` of vectors, `(n, h, w, c)` of maps.
    ///
    /// # Errors
    /// For an image the graph cannot take.
    pub fn output_shapes(&self, shape: [usize; 3]) -> Result<Vec<Vec<usize>>> {
        Ok(self.fused.output_shapes(&self.graph, shape)?)
    }

    /// All outputs of the last forward, `(n, …)`, channels last, in the order they were asked for.
    #[must_use]
    pub fn outputs(&self) -> &[Vec<T>] {
        &self.outputs
    }

    /// Runs the graph in training mode on images `xs` `(n, h, w, c)`, `shape` being `[n, h, w]`; returns the (first) output `(n, …)`.
    ///
    /// `seed` decides what dropout drops; with nothing trained, nothing is dropped.
    ///
    /// # Errors
    /// For slices of wrong lengths, an image the graph cannot take, or batch statistics of a single value.
    pub fn forward(
        &mut self,
        params: &[&[T]],
        xs: &[T],
        shape: [usize; 3],
        seed: u64,
    ) -> Result<&[T]> {
        self.forward_from(params, &[xs], shape, seed)
    }

    /// [`Trainer::forward`] of a trainer made by [`Trainer::above`]: `given` are the values of its nodes, `(n, …)`, channels last, for
    /// images of which `shape` is `[n, h, w]`.
    ///
    /// # Errors
    /// As [`Trainer::forward`].
    pub fn forward_from(
        &mut self,
        params: &[&[T]],
        given: &[&[T]],
        shape: [usize; 3],
        seed: u64,
    ) -> Result<&[T]> {
        self.forward_observed(params, given, shape, seed, &mut |_| ())
    }

    /// [`Trainer::forward_from`], which tells `done` the units by index when they are done.
    fn forward_observed(
        &mut self,
        params: &[&[T]],
        given: &[&[T]],
        shape: [usize; 3],
        seed: u64,
        done: &mut dyn FnMut(usize),
    ) -> Result<&[T]> {
        check_params(&self.graph, params)?;
        self.ready = false;
        self.parts.clear();
        if shape[0] == 0 {
            return self.forward_nothing(given, shape);
        }
        let prepared = self.prepared_again(shape)?;
        self.arena.reserve(prepared.memory.total);
        self.seed = seed;
        let ran = self.run_forward(&prepared, params, given, done);
        self.prepared = Some(prepared);
        ran?;
        self.ready = true;
        Ok(self.first_output())
    }

    /// What follows from the shape of a batch. That of the last two shapes is kept, for the parts of a batch that cannot be shared out evenly have two.
    fn prepared_again(&mut self, shape: [usize; 3]) -> Result<Prepared> {
        let (last, spare) = (self.prepared.take(), self.spare.take());
        let (kept, spare) = match &last {
            Some(last_one) if last_one.memory.shape != shape => (spare, last),
            _ => (last, spare),
        };
        self.spare = spare;
        self.prepared_for(kept, shape)
    }

    /// What follows from the shape of a batch, which the last one may have had, too.
    fn prepared_for(&self, last: Option<Prepared>, shape: [usize; 3]) -> Result<Prepared> {
        match last.filter(|last| last.memory.shape == shape) {
            Some(last) => Ok(last),
            None => Prepared::new(&self.graph, &self.fused, &self.routes, self.recompute, shape),
        }
    }

    fn first_output(&self) -> &[T] {
        self.outputs.first().map_or(&[], Vec::as_slice)
    }

    /// Computes the gradient of every trained parameter from that of the output, and writes it to `gradients` by [`ParamId`];
    /// the vectors of all others are emptied. The parameters must be those of the last [`Trainer::forward`].
    ///
    /// # Errors
    /// Without a forward before, or for slices of wrong lengths.
    pub fn backward(
        &mut self,
        params: &[&[T]],
        grad_output: &[T],
        gradients: &mut [Vec<T>],
    ) -> Result<()> {
        self.backward_all(params, &[grad_output], gradients)
    }

    /// [`Trainer::backward`] from the gradients of all outputs, in their order; an output that nothing depends on has gradient zero.
    ///
    /// # Errors
    /// As [`Trainer::backward`].
    pub fn backward_all(
        &mut self,
        params: &[&[T]],
        grad_outputs: &[&[T]],
        gradients: &mut [Vec<T>],
    ) -> Result<()> {
        self.backward_units(params, grad_outputs, gradients, &mut |_, _| ())
    }

    /// [`Trainer::backward_all`], which tells `done` the units by index when they are done.
    fn backward_units(
        &mut self,
        params: &[&[T]],
        grad_outputs: &[&[T]],
        gradients: &mut [Vec<T>],
        done: &mut Done<'_, T>,
    ) -> Result<()> {
        check_params(&self.graph, params)?;
        if !self.parts.is_empty() || !std::mem::take(&mut self.ready) {
            return Err(Error::NoForward);
        }
        check_len("the list of gradients of outputs", grad_outputs.len(), self.outputs.len())?;
        for (gradient, output) in grad_outputs.iter().zip(&self.outputs) {
            check_len("the gradient of the output", gradient.len(), output.len())?;
        }
        check_len("the list of gradients", gradients.len(), self.graph.params().len())?;
        self.clear(gradients);
        if self.first_output().is_empty() {
            return Ok(());
        }
        let Some(prepared) = self.prepared.take() else { return Err(Error::NoForward) };
        let ran = self.run_backward(&prepared, params, grad_outputs, gradients, done);
        self.prepared = Some(prepared);
        ran
    }

    /// Makes room for the gradients of trained parameters. Those outside the plan, or never reached, stay zero.
    fn clear(&self, gradients: &mut [Vec<T>]) {
        for ((gradient, &trained), spec) in
            gradients.iter_mut().zip(&self.trained).zip(self.graph.params())
        {
            gradient.resize(if trained { spec.len() } else { 0 }, T::default());
            gradient.fill(T::default());
        }
    }

    /// A batch of no images: no output, and gradients that are zero.
    fn forward_nothing(&mut self, given: &[&[T]], [_, h, w]: [usize; 3]) -> Result<&[T]> {
        self.graph.extents(h, w)?;
        check_len("the list of given values", given.len(), self.fused.given)?;
        given.iter().try_for_each(|xs| check_len("the batch of images", xs.len(), 0))?;
        let batch_norm = self.routes.batch_norms.iter().position(|&uses_batch| uses_batch);
        if let Some(norm) = batch_norm.and_then(|v| self.fused.values[v].norm) {
            let node = self.graph.node(norm.node).name().to_owned();
            return Err(Error::SingleValue { node, batch: 0, h, w });
        }
        self.outputs = vec![Vec::new(); self.fused.outputs.len()];
        self.ready = true;
        Ok(&[])
    }
}

impl<T: Real, D: Device<T>> Trainer<T, D> {
    /// A unit that does not fit what it is to be run with.
    fn internal(&self, unit: usize, what: &'static str) -> Error {
        let node = self.graph.node(self.fused.units[unit].node);
        Error::Internal { node: node.name().to_owned(), what }
    }
}

#[cfg(test)]
mod tests {
    use taper_graph::{Bias, Conv, GraphBuilder};

    use super::Trainer;
    use crate::Reference;

    #[test]
    fn two_shapes_that_take_turns_are_laid_out_once() {
        let mut b = GraphBuilder::new(1).unwrap();
        let xs = b.conv("conv", b.input(), Conv::dense(1, 3, 1), Bias::Without).unwrap();
        b.output("xs", xs).unwrap();
        let graph = b.build().unwrap();
        let mut trainer = Trainer::<f64, _>::new(&graph, "xs", &[true], Reference).unwrap();
        let params = [&[0.5; 9][..]];
        let mut step = |n: usize| {
            let (xs, mut gradients) = (vec![1.0; 16 * n], [Vec::new()]);
            trainer.forward(&params, &xs, [n, 4, 4], 0).unwrap();
            trainer.backward(&params, &xs, &mut gradients).unwrap();
            let place = |it: &Option<super::Prepared>| {
                it.as_ref().map(|it| (it.memory.shape[0], it.kernels.as_ptr()))
            };
            ([place(&trainer.prepared), place(&trainer.spare)], gradients)
        };
        let [([three, none], _), ([two, _], of_two)] = [3, 2].map(&mut step);
        assert_eq!((three.map(|it| it.0), two.map(|it| it.0), none), (Some(3), Some(2), None));
        assert_eq!(step(3).0, [three, two], "the very same, in the same place");
        assert_eq!(step(3).0, [three, two]);
        assert_eq!(step(2), ([two, three], of_two));
        assert_eq!(step(1).0[1], two);
    }
}
