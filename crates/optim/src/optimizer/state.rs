//! The optimizer's state by name: what a checkpoint saves and loads.
//!
//! Above: `train::checkpoint`. Below: `Optimizer`. Not here: files (`train::checkpoint`), the settings of groups and rule.
//! Keys are `<parameter>.<slot>` with PyTorch's slot names, in the parameter's shape and precision, `<parameter>.<number>`, `f64` scalars, and
//! `<parameter>.step`, an `i64` scalar. A parameter that was never stepped has no keys.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};

use super::{Optimizer, Param, Values};
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
            for (number, &value) in self.rule.numbers().iter().zip(&param.numbers) {
                let value = Tensor::new(value, &Device::Cpu).map_err(at(&param.name))?;
                state.insert(format!("{}.{number}", param.name), value);
            }
            for (slot, tensor) in param.slots.iter().zip(param.vectors()?) {
                state.insert(format!("{}.{}", param.name, slot.name), tensor);
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
        let numbers = self.rule.numbers();
        let mut loaded = Vec::new();
        let mut n_used = 0;
        for param in self.groups.iter().flat_map(|group| &group.params) {
            let entry = param.read(state, numbers)?;
            n_used += if entry.steps > 0 { param.slots.len() + numbers.len() + 1 } else { 0 };
            loaded.push(entry);
        }
        if n_used != state.len() {
            return Err(self.first_unknown(state));
        }
        let params = self.groups.iter_mut().flat_map(|group| &mut group.params);
        for (param, Kept { steps, numbers, values }) in params.zip(loaded) {
            param.steps = steps;
            param.numbers = numbers;
            param.values = values;
        }
        Ok(())
    }

    fn first_unknown(&self, state: &BTreeMap<String, Tensor>) -> Error {
        let params = || self.groups.iter().flat_map(|group| &group.params);
        let is_known = |key: &String| {
            key.rsplit_once('.').is_some_and(|(name, part)| {
                let is_part = |param: &Param| {
                    part == "step"
                        || self.rule.numbers().contains(&part)
                        || param.slots.iter().any(|slot| slot.name == part)
                };
                params().any(|param| param.name == name && is_part(param))
                    && state.contains_key(&format!("{name}.step"))
            })
        };
        let key = state.keys().find(|key| !is_known(key)).cloned();
        Error::UnknownState { key: key.unwrap_or_default() }
    }
}

/// What was saved of a parameter.
struct Kept {
    steps: u64,
    numbers: Vec<f64>,
    values: Values,
}

impl Param {
    /// The vectors as tensors, in the order of the slots.
    fn vectors(&self) -> Result<Vec<Tensor>> {
        let shape = self.var.dims();
        let tensors = match &self.values {
            Values::F32(slots) => {
                slots.iter().map(|it| Tensor::from_slice(it, shape, &Device::Cpu)).collect()
            }
            Values::F64(slots) => {
                slots.iter().map(|it| Tensor::from_slice(it, shape, &Device::Cpu)).collect()
            }
        };
        let tensors: candle_core::Result<_> = tensors;
        tensors.map_err(at(&self.name))
    }

    fn read(&self, state: &BTreeMap<String, Tensor>, numbers: &[&str]) -> Result<Kept> {
        let step_key = format!("{}.step", self.name);
        let Some(step) = state.get(&step_key) else {
            let values = Values::empty(self.var.dtype(), self.slots.len());
            return Ok(Kept { steps: 0, numbers: vec![1.0; numbers.len()], values });
        };
        check_shape(&step_key, step, DType::I64, &[])?;
        let step: i64 = step.to_scalar().map_err(at(&step_key))?;
        let steps = match u64::try_from(step) {
            Ok(steps) if steps > 0 => steps,
            _ => return Err(Error::StateStep { key: step_key, got: step }),
        };
        let find = |part: &str, dtype: DType, shape: &[usize]| {
            let key = format!("{}.{part}", self.name);
            let Some(tensor) = state.get(&key) else {
                return Err(Error::MissingState { name: self.name.clone(), key });
            };
            check_shape(&key, tensor, dtype, shape)?;
            tensor.flatten_all().map_err(at(&key))
        };
        let scalar = |number: &&str| find(number, DType::F64, &[])?.to_vec1().map_err(at(number));
        let scalars: Vec<Vec<f64>> = numbers.iter().map(scalar).collect::<Result<_>>()?;
        let vectors = self.slots.iter().map(|slot| {
            let flat = find(slot.name, self.var.dtype(), self.var.dims())?;
            Ok((slot.name, flat))
        });
        let vectors: Vec<(&str, Tensor)> = vectors.collect::<Result<_>>()?;
        let values = match self.values {
            Values::F32(_) => Values::F32(each(&vectors)?),
            Values::F64(_) => Values::F64(each(&vectors)?),
        };
        Ok(Kept { steps, numbers: scalars.concat(), values })
    }
}

fn each<T: candle_core::WithDType>(vectors: &[(&str, Tensor)]) -> Result<Vec<Vec<T>>> {
    vectors.iter().map(|(name, flat)| flat.to_vec1().map_err(at(name))).collect()
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
