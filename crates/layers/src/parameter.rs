//! The parameter registry: every tensor of a network as a candle variable, by name, in graph order.
//!
//! Above: `network`. Below: candle's `Var`. Not here: initial values (`taper-model`), optimizer state (`optim`).
//! Values are `f32`, contiguous, on the CPU; they are read through candle's storage guards and never copied for a step.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{CpuStorage, Device, Storage, Tensor, Var};
use taper_graph::ParamRole;

use crate::error::{Error, Result, at};

/// A parameter or buffer of a network.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// Its name in the graph, `blocks.0.0.conv_dw.weight`.
    pub name: String,
    /// Its values; clones share them.
    pub var: Var,
    /// What it is for; buffers such as running statistics are never trained.
    pub role: ParamRole,
    /// Whether training leaves it as it is. A norm whose scale and shift are frozen keeps its running statistics too.
    pub frozen: bool,
    /// Whether it is left as it is for the time being; clones share it.
    held: Arc<AtomicBool>,
}

impl Parameter {
    pub(crate) fn new(spec: &taper_graph::ParamSpec, values: &[f32]) -> Result<Self> {
        let var =
            Var::from_slice(values, spec.shape.as_slice(), &Device::Cpu).map_err(at(&spec.name))?;
        let held = Arc::default();
        Ok(Self { name: spec.name.clone(), var, role: spec.role, frozen: false, held })
    }

    /// Whether gradients reach it.
    pub fn is_trained(&self) -> bool {
        self.role.is_trained() && !self.frozen && !self.held.load(Ordering::Relaxed)
    }

    pub(crate) fn hold(&self, is_held: bool) {
        self.held.store(is_held, Ordering::Relaxed);
    }

    /// Whether it counts batches, so that its values are whole numbers.
    pub fn is_count(&self) -> bool {
        self.role == ParamRole::BatchesTracked
    }

    /// Overwrites the values; the shape is the parameter's.
    pub(crate) fn set(&self, values: &[f32]) -> Result<()> {
        Tensor::from_slice(values, self.var.dims(), &Device::Cpu)
            .and_then(|values| self.var.set(&values))
            .map_err(at(&self.name))
    }
}

/// Calls `f` with the values of every parameter, in order, while their storages are held for reading.
pub(crate) fn with_values<R>(
    params: &[Parameter],
    f: impl FnOnce(&[&[f32]]) -> Result<R>,
) -> Result<R> {
    let guards: Vec<_> = params.iter().map(|param| param.var.storage_and_layout()).collect();
    let mut values = Vec::with_capacity(params.len());
    for (param, (storage, layout)) in params.iter().zip(&guards) {
        values.push(values_of(storage, layout).ok_or_else(|| Error::Storage {
            name: param.name.clone(),
            dtype: param.var.dtype().as_str(),
            device: format!("{:?}", param.var.device().location()),
        })?);
    }
    f(&values)
}

/// The elements of a contiguous `f32` tensor on the CPU.
pub(crate) fn values_of<'a>(
    storage: &'a Storage,
    layout: &candle_core::Layout,
) -> Option<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (Storage::Cpu(CpuStorage::F32(values)), Some((start, end))) => values.get(start..end),
        _ => None,
    }
}
