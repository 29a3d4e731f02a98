//! The network in training mode as one candle operation, for a loop that calls `loss.backward()`.
//!
//! Above: users of candle. Below: `network::executor`. Not here: `Network::value_and_grad`, which saves the copies made here.
//! The operation takes the image and all trained parameters, flattened and concatenated: candle's tape hands their
//! gradients on to the variables.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use candle_core::{CpuStorage, CustomOp2, Device, Layout, Module, Result, Shape, Tensor, bail};

use super::executor::Runner;
use super::pixels::as_pixels;
use crate::Parameter;
use crate::error::Error;
use crate::parameter::with_values;

/// A network whose forward pass uses batch statistics and dropout and records gradients.
///
/// Each forward pass updates the running statistics. `backward` must come before the next forward pass of the network.
///
/// # Cost
/// Two copies of the trained parameters a step (13 ms for MobileNetV2) more than
/// [`Network::value_and_grad`](crate::Network::value_and_grad).
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
}

impl Module for Training {
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let pixels = as_pixels(xs, self.runner.graph.input_channels())?;
        let trained: Vec<Tensor> = self
            .params
            .iter()
            .filter(|param| param.is_trained())
            .map(|param| param.var.flatten_all())
            .collect::<Result<_>>()?;
        if trained.is_empty() {
            return Err(Error::AllFrozen.into());
        }
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let step = Step {
            runner: Arc::clone(&self.runner),
            params: Arc::clone(&self.params),
            seed: self.seed.wrapping_add(call.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            run: AtomicU64::new(0),
        };
        pixels.apply_op2(&Tensor::cat(&trained, 0)?, step)
    }
}

/// One forward pass and, later, its backward pass.
struct Step {
    runner: Arc<Runner>,
    params: Arc<Vec<Parameter>>,
    seed: u64,
    /// The forward pass that the backward pass belongs to.
    run: AtomicU64,
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
        let logits = self.runner.with_executor(&self.params, |executor| {
            let forward =
                self.with_flat(flat, |values| executor.forward(values, xs, [n, h, w], self.seed))?;
            executor.update_statistics(&self.params)?;
            self.run.store(forward.run, Ordering::Relaxed);
            Ok(forward.logits)
        })?;
        let shape = logits.shape().clone();
        Ok((CpuStorage::F32(logits.flatten_all()?.to_vec1()?), shape))
    }

    fn bwd(
        &self,
        _xs: &Tensor,
        flat: &Tensor,
        _logits: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad: Vec<f32> = grad.flatten_all()?.to_vec1()?;
        let run = self.run.load(Ordering::Relaxed);
        let (storage, layout) = flat.storage_and_layout();
        let candle_core::Storage::Cpu(storage) = &*storage else {
            bail!("parameters left the CPU")
        };
        let flat = contiguous(storage, layout)?;
        let grads = self.runner.with_executor(&self.params, |executor| {
            self.with_flat(flat, |values| executor.backward(values, &grad, run))
        })?;
        let grads: Vec<f32> = grads.into_iter().flat_map(|(_, grad)| grad).collect();
        let n = grads.len();
        Ok((None, Some(Tensor::from_vec(grads, n, &Device::Cpu)?)))
    }
}

fn contiguous<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("a network needs contiguous memory"),
    }
}
