//! The optimizer's state by name: what a checkpoint saves and loads.
//!
//! Above: `train::checkpoint`. Below: `Optimizer`. Not here: files (`train::checkpoint`), the settings of groups and rule.
//! Keys are `<parameter>.<slot>` with PyTorch's slot names, `f32` in the parameter's shape, and `<parameter>.step`, an
//! `i64` scalar. A parameter that was never stepped has no keys.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};

use super::{Optimizer, Param};
use crate::Rule;
use crate::error::{Error, Result, at};

impl<R: Rule> Optimizer<R> {
    /// Copies the state of every parameter that has been stepped.
    ///
    /// # Errors
    /// [`Error::Tensor`] if candle refuses a copy.
    pub fn state(&self) -> Result<BTreeMap<String, Tensor>> {
        let mut state = BTreeMap::new();
        for param in
            self.groups.iter().flat_map(|group| &group.params).filter(|param| param.steps > 0)
        {
            let step = i64::try_from(param.steps).unwrap_or(i64::MAX);
            let step = Tensor::new(step, &Device::Cpu).map_err(at(&param.name))?;
            state.insert(format!("{}.step", param.name), step);
            for (slot, values) in self.rule.slots().iter().zip(&param.slots) {
                let tensor = Tensor::from_slice(values, param.var.dims(), &Device::Cpu);
                state.insert(format!("{}.{slot}", param.name), tensor.map_err(at(&param.name))?);
            }
        }
        Ok(state)
    }

    /// Replaces the state by one that [`Optimizer::state`] returned, so that the next step is the same as it would have been.
    ///
    /// # Errors
    /// [`Error::UnknownState`], [`Error::MissingState`], [`Error::StateShape`] or [`Error::StateStep`] if the state is
    /// not of these parameters and this rule; then nothing has changed.
    pub fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        let slots = self.rule.slots();
        let mut loaded = Vec::new();
        let mut n_used = 0;
        for param in self.groups.iter().flat_map(|group| &group.params) {
            let entry = param.read(state, slots)?;
            n_used += if entry.0 > 0 { slots.len() + 1 } else { 0 };
            loaded.push(entry);
        }
        if n_used != state.len() {
            return Err(self.first_unknown(state));
        }
        for (param, (steps, values)) in
            self.groups.iter_mut().flat_map(|group| &mut group.params).zip(loaded)
        {
            param.steps = steps;
            param.slots = values;
        }
        Ok(())
    }

    fn first_unknown(&self, state: &BTreeMap<String, Tensor>) -> Error {
        let names: Vec<&str> = self
            .groups
            .iter()
            .flat_map(|group| &group.params)
            .map(|param| param.name.as_str())
            .collect();
        let is_known = |key: &String| {
            key.rsplit_once('.').is_some_and(|(name, slot)| {
                names.contains(&name)
                    && (slot == "step" || self.rule.slots().contains(&slot))
                    && state.contains_key(&format!("{name}.step"))
            })
        };
        let key = state.keys().find(|key| !is_known(key)).cloned();
        Error::UnknownState { key: key.unwrap_or_default() }
    }
}

impl Param {
    fn read(
        &self,
        state: &BTreeMap<String, Tensor>,
        slots: &[&str],
    ) -> Result<(u64, Vec<Vec<f32>>)> {
        let step_key = format!("{}.step", self.name);
        let Some(step) = state.get(&step_key) else {
            return Ok((0, vec![Vec::new(); slots.len()]));
        };
        check_shape(&step_key, step, DType::I64, &[])?;
        let step: i64 = step.to_scalar().map_err(at(&step_key))?;
        let steps = match u64::try_from(step) {
            Ok(steps) if steps > 0 => steps,
            _ => return Err(Error::StateStep { key: step_key, got: step }),
        };
        let values = slots.iter().map(|slot| {
            let key = format!("{}.{slot}", self.name);
            let Some(tensor) = state.get(&key) else {
                return Err(Error::MissingState { name: self.name.clone(), key });
            };
            check_shape(&key, tensor, DType::F32, self.var.dims())?;
            tensor.flatten_all().and_then(|flat| flat.to_vec1::<f32>()).map_err(at(&key))
        });
        Ok((steps, values.collect::<Result<_>>()?))
    }
}

fn check_shape(key: &str, tensor: &Tensor, dtype: DType, shape: &[usize]) -> Result<()> {
    if tensor.dtype() == dtype && tensor.dims() == shape {
        return Ok(());
    }
    Err(Error::StateShape {
        key: key.to_owned(),
        got_dtype: tensor.dtype().as_str(),
        got: tensor.dims().to_vec(),
        expected_dtype: dtype.as_str(),
        expected: shape.to_vec(),
    })
}
