//! `Network`: a graph with its weights as candle variables, evaluated and trained by the engine.
//!
//! Above: `train`, `transfer`, users of candle. Below: `network::{evaluation, executor, memory, observed, pixels, settings, synced, training}`, `parameter`, `engine`.
//! Not here: losses (`loss`), which parameters to freeze (`transfer::Freeze`).
//! Images are candle's `(n, c, h, w)`; one whose memory is channels-last is used as it is, any other is copied once.

mod evaluation;
mod executor;
mod memory;
mod min_batch;
mod observed;
mod pixels;
mod settings;
mod synced;
mod training;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{DType, Device, Module, Tensor, Var, backprop::GradStore};
use taper_engine::{Session, SessionOptions};
use taper_graph::Graph;
use taper_model::{Model, Preprocess, Provenance, Task};

use crate::error::{Error, Result, at};
use crate::parameter::with_values;
use crate::{NamedTensors, Parameter};
use executor::{ImageGradient, Mode, Observe, Pass, Runner, Statistics};
use pixels::{as_output, as_pixels, with_pixels};

pub use observed::PartValue;
pub use synced::{NetworkPart, SyncedValue};
pub use training::Training;

/// A graph as a candle module.
///
/// It gives the outputs that [`Network::with_outputs`] names: without that `logits`, or all the graph has if that is not among them. Each is
/// `(n, k)` for a vector and `(n, k, h, w)` for a map. [`Network::forward`] and [`Network::value_and_grad`] are for one output,
/// [`Network::forward_all`] and [`Network::value_and_grad_all`] for any number.
///
/// # Examples
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use taper_graph::{Bias, Conv, GraphBuilder, PoolKind};
/// use taper_layers::{Network, loss::cross_entropy};
/// use taper_model::{Model, Preprocess};
///
/// let mut b = GraphBuilder::new(3)?;
/// let xs = b.conv("conv", b.input(), Conv::dense(8, 3, 2), Bias::With)?;
/// let xs = b.global_pool("pool", xs, PoolKind::Avg, true)?;
/// let logits = b.linear("classifier", xs, 2, Bias::With)?;
/// b.output("logits", logits)?;
/// let model = Model::random(b.build()?, 0, Preprocess::imagenet(), vec!["cat".into(), "dog".into()])?;
///
/// let network = Network::new(&model, &Device::Cpu)?;
/// let xs = Tensor::ones((4, 3, 32, 32), DType::F32, &Device::Cpu)?;
/// let targets = Tensor::new(&[0u32, 1, 0, 1], &Device::Cpu)?;
/// assert_eq!(network.forward(&xs)?.dims(), [4, 2]);
/// let value = network.value_and_grad(&xs, 0, |logits| cross_entropy(logits, &targets, 0.1))?;
/// for (name, var) in network.trainable() {
///     assert_eq!(value.grads.get(&var).unwrap().dims(), var.dims(), "{name}");
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
/// Two heads on one map, trained together, and the gradient of the image:
/// ```
/// use candle_core::{DType, Device, Tensor, Var};
/// use taper_graph::{Bias, Conv, GraphBuilder, PoolKind};
/// use taper_layers::{Network, loss::{BceWithLogits, Mse}};
/// use taper_model::{Model, Preprocess};
///
/// let mut b = GraphBuilder::new(3)?;
/// let xs = b.conv("conv", b.input(), Conv::dense(8, 3, 1), Bias::With)?;
/// let mask = b.conv("mask", xs, Conv::pointwise(1), Bias::With)?;
/// b.output("mask", mask)?;
/// let xs = b.global_pool("pool", xs, PoolKind::Avg, true)?;
/// let size = b.linear("size", xs, 1, Bias::With)?;
/// b.output("size", size)?;
/// let model = Model::random(b.build()?, 0, Preprocess::imagenet(), vec![])?;
///
/// let network = Network::new(&model, &Device::Cpu)?;
/// let xs = Var::ones((2, 3, 8, 8), DType::F32, &Device::Cpu)?;
/// assert_eq!(network.forward_all(&xs.as_detached_tensor())?.get("mask")?.dims(), [2, 1, 8, 8]);
/// let (masks, sizes) = (Tensor::zeros((2, 1, 8, 8), DType::F32, &Device::Cpu)?, Tensor::new(&[[3f32], [4.0]], &Device::Cpu)?);
/// let value = network.value_and_grad_all(&xs, 0, |outputs| {
///     let mask = BceWithLogits::new().forward(outputs.get("mask")?, &masks)?;
///     mask + (Mse::new().forward(outputs.get("size")?, &sizes)? * 0.1)?
/// })?;
/// assert_eq!(value.grads.get(&xs).unwrap().dims(), [2, 3, 8, 8]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Network {
    runner: Arc<Runner>,
    preprocess: Preprocess,
    classes: Vec<String>,
    task: Task,
    provenance: Provenance,
    params: Arc<Vec<Parameter>>,
    compiled: Mutex<Option<Compiled>>,
}

/// A session and the weights it was made from.
#[derive(Debug)]
struct Compiled {
    model: Model,
    session: Session,
}

/// A loss and its gradients.
#[derive(Debug)]
pub struct LossAndGrads {
    /// What the loss function returned, detached.
    pub loss: Tensor,
    /// The outputs it was given, detached.
    pub outputs: NamedTensors,
    /// Gradients by variable: those of the trained parameters, of the image if it is one or was made of some, and of those in the
    /// loss itself.
    pub grads: GradStore,
}

impl Network {
    /// Copies a model's weights into variables; nothing is frozen.
    ///
    /// # Errors
    /// [`Error::Device`] if the device is not the CPU.
    pub fn new(model: &Model, device: &Device) -> Result<Self> {
        if !device.is_cpu() {
            return Err(Error::Device { device: format!("{:?}", device.location()) });
        }
        let outputs = model.graph().main_outputs().map(str::to_owned).collect();
        let specs = model.graph().params().iter().zip(model.tensors());
        let params: Result<_> =
            specs.map(|(spec, tensor)| Parameter::new(spec, &tensor.data)).collect();
        Ok(Self {
            runner: Arc::new(Runner::new(model.graph().clone(), outputs, 0, Mode::Training)),
            preprocess: *model.preprocess(),
            classes: model.classes().to_vec(),
            task: model.task(),
            provenance: model.provenance().clone(),
            params: Arc::new(params?),
            compiled: Mutex::default(),
        })
    }

    /// The names of the outputs it gives, in order.
    pub fn output_names(&self) -> &[String] {
        &self.runner.outputs
    }

    /// The graph it runs.
    pub fn graph(&self) -> &Graph {
        &self.runner.graph
    }

    /// The names of its classes.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Every parameter and buffer, in graph order.
    pub fn params(&self) -> &[Parameter] {
        &self.params
    }

    /// The trained parameters with their variables, in graph order.
    pub fn trainable(&self) -> Vec<(String, Var)> {
        let trained = self.params.iter().filter(|param| param.is_trained());
        trained.map(|param| (param.name.clone(), param.var.clone())).collect()
    }

    /// Freezes the parameters whose name satisfies `is_frozen`, and thaws all others.
    pub fn set_frozen(&mut self, is_frozen: impl Fn(&str) -> bool) {
        for param in Arc::make_mut(&mut self.params) {
            param.frozen = is_frozen(&param.name);
        }
    }

    /// Holds the parameters whose name satisfies `is_held`: until they are let go they are as frozen ones, whatever else is frozen. Lets all
    /// others go. A module that [`Network::training`] made knows of it, too: not to be called between its passes.
    pub fn hold(&self, is_held: impl Fn(&str) -> bool) {
        self.params.iter().for_each(|param| param.hold(is_held(&param.name)));
    }

    /// Evaluates: running statistics, no dropout, norms folded into their convolutions, no gradients (see [`Network::training`]).
    ///
    /// # Shapes
    /// - `xs`: `(n, c, h, w)`, `f32`   - returns `(n, k)` of a vector, `(n, k, h, w)`, a channels-last view, of a map
    ///
    /// # Cost
    /// The engine's session is kept and made again when a parameter has changed, which is looked up each time
    /// (3 ms for MobileNetV2); [`Network::session`] saves that.
    ///
    /// # Errors
    /// [`Error::Input`] if `xs` is no such batch, [`Error::TrackedInput`] if it carries gradients, [`Error::SeveralOutputs`] if it has
    /// more than one output.
    pub fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        self.check_single()?;
        Ok(self.forward_all(xs)?.single().map_err(at("the output"))?.clone())
    }

    /// As [`Network::forward`]: all outputs.
    ///
    /// # Errors
    /// [`Error::Input`] if `xs` is no such batch, [`Error::TrackedInput`] if it carries gradients.
    pub fn forward_all(&self, xs: &Tensor) -> Result<NamedTensors> {
        if xs.track_op() {
            return Err(Error::TrackedInput);
        }
        let pixels = as_pixels(xs, self.graph().input_channels())?;
        let mut slot = lock(&self.compiled);
        let compiled = match slot.take() {
            Some(compiled) if self.is_current(&compiled)? => compiled,
            _ => self.compile()?,
        };
        let session = &mut slot.insert(compiled).session;
        with_pixels(&pixels, |values, shape| {
            let shapes = session.output_shapes(shape)?;
            let outputs = session.run_all(values, shape)?;
            self.named(outputs.iter().zip(&shapes).map(|(output, shape)| {
                as_output(&Tensor::from_slice(output, shape.as_slice(), &Device::Cpu)?)
            }))
        })
    }

    /// A compiled copy of the network as it is now, for evaluation.
    ///
    /// # Errors
    /// [`Error::Engine`] if the engine cannot compile the graph.
    pub fn session(&self) -> Result<Session> {
        Ok(self.compile()?.session)
    }

    /// Runs a batch forward in training mode and a loss backward, then updates the running statistics of norms that are trained.
    ///
    /// `seed` decides which units dropout drops. `loss` is called once with the output and may be any candle computation. If `xs` is a
    /// `Var`, or was computed from some, these get their gradients too.
    ///
    /// # Shapes
    /// - `xs`: `(n, c, h, w)`, `f32`   - `loss`: `(n, k)`, or `(n, k, h, w)` of a map, to a scalar
    ///
    /// # Errors
    /// [`Error::AllFrozen`], [`Error::Input`], [`Error::LossShape`], [`Error::LossIgnoresOutputs`], [`Error::SeveralOutputs`], or
    /// [`Error::Tensor`] if `loss` fails.
    pub fn value_and_grad(
        &self,
        xs: &Tensor,
        seed: u64,
        loss: impl FnOnce(&Tensor) -> candle_core::Result<Tensor>,
    ) -> Result<LossAndGrads> {
        self.check_single()?;
        self.value_and_grad_all(xs, seed, |outputs| loss(outputs.single()?))
    }

    /// As [`Network::value_and_grad`], with a loss of all outputs.
    ///
    /// # Errors
    /// As [`Network::value_and_grad`].
    pub fn value_and_grad_all(
        &self,
        xs: &Tensor,
        seed: u64,
        loss: impl FnOnce(&NamedTensors) -> candle_core::Result<Tensor>,
    ) -> Result<LossAndGrads> {
        let (value, statistics) = self.differentiate(xs, seed, &mut once(loss), None)?;
        self.set_values(&statistics)?;
        Ok(value)
    }

    fn differentiate(
        &self,
        xs: &Tensor,
        seed: u64,
        loss: &mut dyn FnMut(&NamedTensors) -> candle_core::Result<Tensor>,
        observe: Option<&mut Observe<'_>>,
    ) -> Result<(LossAndGrads, Statistics)> {
        let image = ImageGradient::of(xs);
        let pixels = as_pixels(&xs.detach(), self.graph().input_channels())?;
        let (number, outputs) = self.runner.with_executor(&self.params, image, |executor| {
            let number = with_values(&self.params, |values| {
                with_pixels(&pixels, |xs, shape| executor.forward(values, Pass { xs, shape, seed }))
            })?;
            let (n, h, w, _) = pixels.dims4().map_err(at("input"))?;
            let shapes = executor.output_shapes([n, h, w])?;
            let outputs = executor.outputs().iter().zip(&shapes);
            let var = |(output, shape): (&Vec<f32>, &Vec<usize>)| {
                Var::from_slice(output, shape.as_slice(), &Device::Cpu)
            };
            let outputs: candle_core::Result<Vec<Var>> = outputs.map(var).collect();
            Ok((number, outputs.map_err(at("the outputs"))?))
        })?;
        let named = self.named(outputs.iter().map(|var| as_output(var)))?;
        let loss = loss(&named).map_err(at("loss"))?;
        let (mut grads, of_outputs) = output_gradients(&loss, &outputs)?;
        let (image, statistics) = self.runner.with_executor(&self.params, image, |executor| {
            let of_outputs: Vec<&[f32]> = of_outputs.iter().map(Vec::as_slice).collect();
            let of_params = with_values(&self.params, |values| {
                with_pixels(&pixels, |xs, shape| {
                    executor.backward(
                        values,
                        &of_outputs,
                        number,
                        Pass { xs, shape, seed },
                        observe,
                    )
                })
            })?;
            for (index, grad) in of_params {
                let param = &self.params[index];
                let grad = executor.shaped(index, grad).map_err(at(&param.name))?;
                grads.insert(&param.var, grad);
            }
            let image = with_pixels(&pixels, |_, shape| executor.image_gradient(shape))?;
            Ok((image, executor.statistics(&self.params)?))
        })?;
        if let Some(image) = image {
            let more = chain(xs, &image).map_err(at("the gradient of the image"))?;
            grads.extend(more).map_err(at("the gradient of the image"))?;
        }
        let outputs = self.named(outputs.iter().map(|var| as_output(&var.as_detached_tensor())))?;
        Ok((LossAndGrads { loss: loss.detach(), outputs, grads }, statistics))
    }

    fn named(
        &self,
        tensors: impl Iterator<Item = candle_core::Result<Tensor>>,
    ) -> Result<NamedTensors> {
        let tensors: candle_core::Result<Vec<Tensor>> = tensors.collect();
        let tensors = tensors.map_err(at("the outputs"))?;
        Ok(NamedTensors::new(self.runner.outputs.iter().zip(tensors)))
    }

    fn check_single(&self) -> Result<()> {
        match self.runner.outputs.len() {
            1 => Ok(()),
            _ => Err(Error::SeveralOutputs { names: self.runner.outputs.clone() }),
        }
    }

    /// The network in training mode as a candle module, for a loop that calls `loss.backward()`.
    ///
    /// `seed` decides which units dropout drops, anew in every forward pass.
    pub fn training(&self, seed: u64) -> Training {
        Training::new(&self.runner, &self.params, seed)
    }

    /// A model with the weights as they are now.
    ///
    /// # Errors
    /// [`Error::Storage`] if a variable was replaced by another type, [`Error::Model`] if the parts do not fit.
    pub fn to_model(&self) -> Result<Model> {
        let tensors = with_values(&self.params, |values| {
            let tensor = |(spec, values): (&taper_graph::ParamSpec, &&[f32])| taper_model::Tensor {
                shape: spec.shape.clone(),
                data: values.to_vec(),
            };
            Ok(self.graph().params().iter().zip(values).map(tensor).collect())
        })?;
        let (graph, preprocess) = (self.graph().clone(), self.preprocess);
        let (classes, provenance) = (self.classes.clone(), self.provenance.clone());
        Ok(Model::new(graph, tensors, preprocess, classes, provenance)?.with_task(self.task))
    }

    /// Overwrites all parameters and buffers by name.
    ///
    /// # Errors
    /// [`Error::Tensors`] with every name that is missing, surplus or misshapen; then nothing has changed.
    pub fn load(&self, tensors: &BTreeMap<String, Tensor>) -> Result<()> {
        let missing = |param: &&Parameter| !tensors.contains_key(&param.name);
        let misshapen = |param: &&Parameter| {
            tensors.get(&param.name).is_some_and(|tensor| {
                tensor.dims() != param.var.dims() || tensor.dtype() != DType::F32
            })
        };
        let name = |param: &Parameter| param.name.clone();
        let missing: Vec<_> = self.params.iter().filter(missing).map(name).collect();
        let misshapen: Vec<_> = self.params.iter().filter(misshapen).map(name).collect();
        let is_known = |key: &&String| self.graph().param_id(key).is_some();
        let surplus: Vec<_> = tensors.keys().filter(|key| !is_known(key)).cloned().collect();
        if !(missing.is_empty() && misshapen.is_empty() && surplus.is_empty()) {
            return Err(Error::Tensors { missing, surplus, misshapen });
        }
        for param in self.params.iter() {
            param.var.set(&tensors[&param.name]).map_err(at(&param.name))?;
        }
        Ok(())
    }

    /// The first parameter or buffer that holds a NaN or an infinity, with that value.
    ///
    /// # Errors
    /// [`Error::Storage`] if a variable was replaced by another type.
    pub fn first_not_finite(&self) -> Result<Option<(String, f32)>> {
        with_values(&self.params, |values| {
            let found = self.params.iter().zip(values).find_map(|(param, values)| {
                let value = values.iter().find(|value| !value.is_finite())?;
                Some((param.name.clone(), *value))
            });
            Ok(found)
        })
    }

    fn is_current(&self, compiled: &Compiled) -> Result<bool> {
        with_values(&self.params, |values| {
            Ok(values.iter().zip(compiled.model.tensors()).all(|(now, then)| *now == then.data))
        })
    }

    fn compile(&self) -> Result<Compiled> {
        let model = self.to_model()?;
        let Runner { outputs, threads, .. } = &*self.runner;
        let options = SessionOptions { threads: *threads, outputs: outputs.clone() };
        let session = Session::new(&model, &options)?;
        Ok(Compiled { model, session })
    }
}

impl Module for Network {
    fn forward(&self, xs: &Tensor) -> candle_core::Result<Tensor> {
        Ok(self.forward(xs)?)
    }
}

/// The gradients of a scalar loss: of each output, zeros for one it does not depend on, and of whatever other variables it has.
fn output_gradients(loss: &Tensor, outputs: &[Var]) -> Result<(GradStore, Vec<Vec<f32>>)> {
    if loss.rank() != 0 {
        return Err(Error::LossShape { got: loss.dims().to_vec() });
    }
    let mut grads = loss.backward().map_err(at("loss"))?;
    let mut of_outputs = Vec::with_capacity(outputs.len());
    let mut is_used = false;
    for output in outputs {
        let grad = grads.remove(output);
        is_used |= grad.is_some();
        let values = match grad {
            Some(grad) => grad.flatten_all().and_then(|grad| grad.to_vec1()),
            None => Ok(vec![0.0; output.elem_count()]),
        };
        of_outputs.push(values.map_err(at("loss"))?);
    }
    if is_used { Ok((grads, of_outputs)) } else { Err(Error::LossIgnoresOutputs) }
}

/// A loss that is called once, as one that may be called.
fn once(
    loss: impl FnOnce(&NamedTensors) -> candle_core::Result<Tensor>,
) -> impl FnMut(&NamedTensors) -> candle_core::Result<Tensor> {
    let mut loss = Some(loss);
    move |outputs| match loss.take() {
        Some(loss) => loss(outputs),
        None => candle_core::bail!("a loss is called once"),
    }
}

/// What an image's gradient `(n, h, w, c)` says about the variables that the image `(n, c, h, w)` is, or was made of.
fn chain(xs: &Tensor, image: &Tensor) -> candle_core::Result<GradStore> {
    (xs * image.permute((0, 3, 1, 2))?)?.sum_all()?.backward()
}

/// Locks; a panic of another thread while it held the lock leaves nothing that the next forward pass does not overwrite.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
