//! The network in training mode as one candle operation, for a loop that calls `loss.backward()`.
//!
//! Above: users of candle. Below: `network::executor`. Not here: `Network::value_and_grad`, which saves the copies made here.
//! The operation takes the image and all trained parameters, flattened and concatenated, and gives all outputs in the same way:
//! candle's tape hands the gradients on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use candle_core::{
    CpuStorage, CustomOp2, DType, Device, Layout, Module, Result, Shape, Storage, Tensor, bail,
};

use super::executor::{ImageGradient, Pass, Runner};
use super::pixels::{as_output, as_pixels};
use crate::parameter::with_values;
use crate::{NamedTensors, Parameter};

/// A network whose forward pass uses batch statistics and dropout and records gradients: of its trained parameters, and of the
/// image where candle records that too (a `Var`, or what was computed from one).
///
/// Each forward pass updates the running statistics. There may be several before a backward pass, as in a loss that compares two
/// images.
///
/// # Cost
/// Two copies of the trained parameters a step (13 ms for MobileNetV2) more than
/// [`Network::value_and_grad`](crate::Network::value_and_grad). The network keeps the values of its last forward pass only: going
/// backward through an earlier one runs it forward again.
#[derive(Debug)]
pub struct Training {
    runner: Arc<Runner>,
    params: Arc<Vec<Parameter>>,
    seed: u64,
    calls: AtomicU64,
}

impl Training {
    pub(super) fn new(runner: &Arc<Runner>, params: &Arc<Vec<Parameter>>, seed: u64) -> Self {
        let (runner, params) = (Arc::clone(runner), Arc::clone(params));
        Self { runner, params, seed, calls: AtomicU64::new(0) }
    }

    /// All outputs, in the order of [`Network::output_names`](crate::Network::output_names).
    ///
    /// # Shapes
    /// - `xs`: `(n, c, h, w)`, `f32`   - returns `(n, k)` of a vector, `(n, k, h, w)` of a map
    ///
    /// # Errors
    /// [`Error::Input`](crate::Error::Input) if `xs` is no such batch, [`Error::AllFrozen`](crate::Error::AllFrozen) if no gradient is wanted of anything, both as candle's.
    pub fn forward_all(&self, xs: &Tensor) -> Result<NamedTensors> {
        let pixels = as_pixels(xs, self.runner.graph.input_channels())?;
        let (n, h, w, _) = pixels.dims4()?;
        let image = ImageGradient::of(&pixels);
        let shapes = self
            .runner
            .with_executor(&self.params, image, |executor| executor.output_shapes([n, h, w]))?;
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let step = Step {
            runner: Arc::clone(&self.runner),
            params: Arc::clone(&self.params),
            image,
            seed: self.seed.wrapping_add(call.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            number: AtomicU64::new(0),
        };
        let flat = pixels.apply_op2(&self.flat()?, step)?;
        let mut start = 0;
        let mut named = Vec::with_capacity(shapes.len());
        for (name, shape) in self.runner.outputs.iter().zip(&shapes) {
            let len = shape.iter().product::<usize>();
            let part = if shapes.len() == 1 { flat.clone() } else { flat.narrow(0, start, len)? };
            named.push((name.as_str(), as_output(&part.reshape(shape.as_slice())?)?));
            start += len;
        }
        Ok(NamedTensors::new(named))
    }

    /// All trained parameters, one after the other.
    fn flat(&self) -> Result<Tensor> {
        let trained = self.params.iter().filter(|param| param.is_trained());
        let trained: Vec<Tensor> =
            trained.map(|param| param.var.flatten_all()).collect::<Result<_>>()?;
        if trained.is_empty() {
            return Tensor::zeros(0, DType::F32, &Device::Cpu);
        }
        Tensor::cat(&trained, 0)
    }
}

impl Module for Training {
    /// The only output, as [`Training::forward_all`] has it.
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        Ok(self.forward_all(xs)?.single()?.clone())
    }
}

/// One forward pass and, later, its backward pass.
struct Step {
    runner: Arc<Runner>,
    params: Arc<Vec<Parameter>>,
    image: ImageGradient,
    seed: u64,
    /// The forward pass that the backward pass belongs to.
    number: AtomicU64,
}

impl Step {
    /// Calls `f` with the values of every parameter: the trained ones out of `flat`, the others out of their variables.
    fn with_flat<R>(
        &self,
        flat: &[f32],
        f: impl FnOnce(&[&[f32]]) -> crate::Result<R>,
    ) -> crate::Result<R> {
        with_values(&self.params, |values| {
            let mut rest = flat;
            let mut values = values.to_vec();
            for (value, param) in values.iter_mut().zip(self.params.iter()) {
                if param.is_trained() {
                    (*value, rest) = rest.split_at(value.len());
                }
            }
            f(&values)
        })
    }
}

impl CustomOp2 for Step {
    fn name(&self) -> &'static str {
        "network"
    }

    fn cpu_fwd(
        &self,
        xs: &CpuStorage,
        xs_l: &Layout,
        flat: &CpuStorage,
        flat_l: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (n, h, w, _) = xs_l.shape().dims4()?;
        let (xs, flat) = (contiguous(xs, xs_l)?, contiguous(flat, flat_l)?);
        let pass = Pass { xs, shape: [n, h, w], seed: self.seed };
        let outputs = self.runner.with_executor(&self.params, self.image, |executor| {
            let number = self.with_flat(flat, |values| executor.forward(values, pass))?;
            executor.update_statistics(&self.params)?;
            self.number.store(number, Ordering::Relaxed);
            Ok(executor.outputs().concat())
        })?;
        let len = outputs.len();
        Ok((CpuStorage::F32(outputs), Shape::from(len)))
    }

    fn bwd(
        &self,
        xs: &Tensor,
        flat: &Tensor,
        outputs: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad: Vec<f32> = grad.flatten_all()?.to_vec1()?;
        if grad.len() != outputs.elem_count() {
            bail!("a gradient of {} values for {}", grad.len(), outputs.elem_count())
        }
        let (n, h, w, _) = xs.dims4()?;
        let ((xs, xs_l), (flat, flat_l)) = (xs.storage_and_layout(), flat.storage_and_layout());
        let (Storage::Cpu(xs), Storage::Cpu(flat)) = (&*xs, &*flat) else {
            bail!("image or parameters left the CPU")
        };
        let (xs, flat) = (contiguous(xs, xs_l)?, contiguous(flat, flat_l)?);
        let pass = Pass { xs, shape: [n, h, w], seed: self.seed };
        let number = self.number.load(Ordering::Relaxed);
        let (image, grads) = self.runner.with_executor(&self.params, self.image, |executor| {
            let mut rest = grad.as_slice();
            let mut of_outputs = Vec::new();
            for shape in executor.output_shapes(pass.shape)? {
                let (first, others) = rest.split_at(shape.iter().product());
                of_outputs.push(first);
                rest = others;
            }
            let grads = self.with_flat(flat, |values| {
                executor.backward(values, &of_outputs, number, pass, None)
            })?;
            Ok((executor.image_gradient(pass.shape)?, grads))
        })?;
        let grads: Vec<f32> = grads.into_iter().flat_map(|(_, grad)| grad).collect();
        let n = grads.len();
        let flat = if n > 0 { Some(Tensor::from_vec(grads, n, &Device::Cpu)?) } else { None };
        Ok((image, flat))
    }
}

fn contiguous<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("a network needs contiguous memory"),
    }
}
