//! `Network`: a graph with its weights as candle variables, evaluated and trained by the engine.
//!
//! Above: `train`, `transfer`, users of candle. Below: `network::{executor, pixels, training}`, `parameter`, `engine`.
//! Not here: losses (`loss`), which parameters to freeze (`transfer::Freeze`).
//! Images are candle's `(n, c, h, w)`; one whose memory is channels-last is used as it is, any other is copied once.

mod executor;
mod pixels;
mod training;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{DType, Device, Module, Tensor, Var, backprop::GradStore};
use taper_engine::{Session, SessionOptions};
use taper_graph::Graph;
use taper_model::{Model, Preprocess, Provenance};

use crate::Parameter;
use crate::error::{Error, Result, at};
use crate::parameter::with_values;
use executor::{Executor, Forward, Runner};
use pixels::{as_pixels, with_pixels};

pub use training::Training;

/// The output that is trained and evaluated.
const OUTPUT: &str = "logits";

/// A graph as a candle module.
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
#[derive(Debug)]
pub struct Network {
    runner: Arc<Runner>,
    preprocess: Preprocess,
    classes: Vec<String>,
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
pub struct Value {
    /// What the loss function returned, detached.
    pub loss: Tensor,
    /// The logits `(n, k)` it was given, detached.
    pub logits: Tensor,
    /// Gradients by the variables of the trained parameters.
    pub grads: GradStore,
}

impl Network {
    /// Copies a model's weights into variables; nothing is frozen.
    ///
    /// # Errors
    /// [`Error::Device`] if the device is not the CPU, [`Error::Graph`] if the graph has no output `logits`.
    pub fn new(model: &Model, device: &Device) -> Result<Self> {
        if !device.is_cpu() {
            return Err(Error::Device { device: format!("{:?}", device.location()) });
        }
        model.graph().output(OUTPUT)?;
        let specs = model.graph().params().iter().zip(model.tensors());
        let params: Result<_> =
            specs.map(|(spec, tensor)| Parameter::new(spec, &tensor.data)).collect();
        Ok(Self {
            runner: Arc::new(Runner::new(model.graph().clone(), 0)),
            preprocess: *model.preprocess(),
            classes: model.classes().to_vec(),
            provenance: model.provenance().clone(),
            params: Arc::new(params?),
            compiled: Mutex::default(),
        })
    }

    /// Runs on so many threads; 0, the default, means all cores. The number changes the last bits of results.
    #[must_use]
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.runner = Arc::new(Runner::new(self.graph().clone(), threads));
        self.compiled = Mutex::default();
        self
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

    /// Evaluates: running statistics, no dropout, norms folded into their convolutions, no gradients (see [`Network::training`]).
    ///
    /// # Shapes
    /// - `xs`: `(n, c, h, w)`, `f32`   - returns `(n, k)`
    ///
    /// # Cost
    /// The engine's session is kept and made again when a parameter has changed, which is looked up each time
    /// (3 ms for MobileNetV2); [`Network::session`] saves that.
    ///
    /// # Errors
    /// [`Error::Input`] if `xs` is no such batch, [`Error::TrackedInput`] if it carries gradients.
    pub fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let pixels = as_pixels(xs, self.graph().input_channels())?;
        let mut slot = lock(&self.compiled);
        let compiled = match slot.take() {
            Some(compiled) if self.is_current(&compiled)? => compiled,
            _ => self.compile()?,
        };
        let session = &mut slot.insert(compiled).session;
        with_pixels(&pixels, |values, [n, h, w]| {
            let logits = session.run(values, [n, h, w])?;
            Tensor::from_slice(logits, (n, logits.len() / n), &Device::Cpu).map_err(at(OUTPUT))
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
    /// `seed` decides which units dropout drops. `loss` is called once with the logits and may be any candle computation.
    ///
    /// # Shapes
    /// - `xs`: `(n, c, h, w)`, `f32`   - `loss`: `(n, k)` to a scalar
    ///
    /// # Errors
    /// [`Error::AllFrozen`], [`Error::Input`], [`Error::LossShape`], [`Error::LossIgnoresLogits`], or [`Error::Tensor`]
    /// if `loss` fails.
    pub fn value_and_grad(
        &self,
        xs: &Tensor,
        seed: u64,
        loss: impl FnOnce(&Tensor) -> candle_core::Result<Tensor>,
    ) -> Result<Value> {
        let pixels = as_pixels(xs, self.graph().input_channels())?;
        let Forward { logits, run } = self.with_executor(|executor| {
            with_values(&self.params, |values| {
                with_pixels(&pixels, |xs, shape| executor.forward(values, xs, shape, seed))
            })
        })?;
        let logits = Var::from_tensor(&logits).map_err(at(OUTPUT))?;
        let loss = loss(&logits).map_err(at("loss"))?;
        let grad = logits_gradient(&loss, &logits)?;
        let mut store = GradStore::default();
        self.with_executor(|executor| {
            let grads = with_values(&self.params, |values| executor.backward(values, &grad, run))?;
            for (index, grad) in grads {
                let param = &self.params[index];
                let grad = executor.shaped(index, grad).map_err(at(&param.name))?;
                store.insert(&param.var, grad);
            }
            executor.update_statistics(&self.params)
        })?;
        Ok(Value { loss: loss.detach(), logits: logits.as_detached_tensor(), grads: store })
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
        Ok(Model::new(graph, tensors, preprocess, self.classes.clone(), self.provenance.clone())?)
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
        let options = SessionOptions { threads: self.runner.threads, output: OUTPUT.to_owned() };
        let session = Session::new(&model, &options)?;
        Ok(Compiled { model, session })
    }

    fn with_executor<R>(&self, f: impl FnOnce(&mut Executor) -> Result<R>) -> Result<R> {
        self.runner.with_executor(&self.params, f)
    }
}

impl Module for Network {
    fn forward(&self, xs: &Tensor) -> candle_core::Result<Tensor> {
        Ok(self.forward(xs)?)
    }
}

/// The gradient of a scalar loss with respect to the logits.
fn logits_gradient(loss: &Tensor, logits: &Var) -> Result<Vec<f32>> {
    if loss.rank() != 0 {
        return Err(Error::LossShape { got: loss.dims().to_vec() });
    }
    let grads = loss.backward().map_err(at("loss"))?;
    let grad = grads.get(logits).ok_or(Error::LossIgnoresLogits)?;
    grad.flatten_all().and_then(|grad| grad.to_vec1()).map_err(at("loss"))
}

/// Locks; a panic of another thread while it held the lock leaves nothing that the next forward pass does not overwrite.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
