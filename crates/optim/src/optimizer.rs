//! The optimizer: parameter groups, their state, and the step.
//!
//! Above: `train`, `candle_face`. Below: `rule`. Not here: the formulas (`sgd`, `adamw`), clipping (`clip`).
//! Parameters are stepped in place through candle's in-place operations, in the order of the groups.

mod in_place;
mod state;

use candle_core::{DType, Var, backprop::GradStore};

use crate::error::{Error, Result, at, check};
use crate::{Group, Rule, Scalars};

/// Named parameters in groups, stepped by one rule.
///
/// # Examples
/// ```
/// use candle_core::{Device, Var};
/// use taper_optim::{AdamW, Group, Optimizer};
/// let w = Var::new(&[1.0f32], &Device::Cpu)?;
/// let mut optimizer = Optimizer::from_groups(vec![Group::new("all", vec![("w".into(), w.clone())])], AdamW::default())?;
/// optimizer.step_at(&w.sqr()?.sum_all()?.backward()?, 0.1)?;
/// assert!((w.to_vec1::<f32>()?[0] - 0.9).abs() < 1e-6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Optimizer<R> {
    rule: R,
    groups: Vec<Stepped>,
    pub(crate) lr: f64,
}

/// A group with the state of its parameters.
#[derive(Debug)]
struct Stepped {
    name: String,
    lr_scale: f64,
    weight_decay: f64,
    params: Vec<Param>,
}

#[derive(Debug)]
struct Param {
    name: String,
    var: Var,
    /// Steps taken with a gradient; the rule's vectors are empty as long as this is 0.
    steps: u64,
    slots: Vec<Vec<f32>>,
}

impl<R: Rule> Optimizer<R> {
    /// Makes an optimizer without history. Variables of integers, such as counts of batches, have no gradient and are passed over.
    ///
    /// # Errors
    /// [`Error::Setting`] or [`Error::Nesterov`] for a setting outside its range, [`Error::DuplicateName`] and
    /// [`Error::DuplicateVar`] for a parameter listed twice, [`Error::Unsupported`] for one that is not `f32` on the CPU.
    pub fn from_groups(mut groups: Vec<Group>, rule: R) -> Result<Self> {
        rule.check()?;
        for group in &groups {
            check("lr_scale", group.lr_scale, 0.0..f64::INFINITY, "0 or more")?;
            check("weight_decay", group.weight_decay, 0.0..f64::INFINITY, "0 or more")?;
        }
        for group in &mut groups {
            group.params.retain(|(_, var)| !var.dtype().is_int());
        }
        check_params(&groups)?;
        let n_slots = rule.slots().len();
        let groups = groups.into_iter().map(|group| Stepped::new(group, n_slots)).collect();
        Ok(Self { rule, groups, lr: 0.0 })
    }

    /// Steps every parameter that has a gradient, at learning rate `lr` times its group's factor.
    ///
    /// # Cost
    /// One pass over parameters, gradients and state; nothing is allocated after the first step.
    ///
    /// # Errors
    /// [`Error::Setting`] if `lr` is not a number from 0, [`Error::GradShape`] if a gradient does not fit; then no
    /// parameter has moved.
    pub fn step_at(&mut self, grads: &GradStore, lr: f64) -> Result<()> {
        check("lr", lr, 0.0..f64::INFINITY, "a finite number, 0 or more")?;
        for param in self.groups.iter().flat_map(|group| &group.params) {
            param.check_grad(grads)?;
        }
        for group in &mut self.groups {
            let lr = lr * group.lr_scale;
            for param in &mut group.params {
                param.step(&self.rule, grads, lr, group.weight_decay)?;
            }
        }
        Ok(())
    }

    /// The update rule with its settings.
    pub fn rule(&self) -> &R {
        &self.rule
    }

    /// The groups, as `(name, number of parameter tensors)`.
    pub fn groups(&self) -> impl Iterator<Item = (&str, usize)> {
        self.groups.iter().map(|group| (group.name.as_str(), group.params.len()))
    }

    /// The variables in the order they are stepped.
    pub fn vars(&self) -> impl Iterator<Item = &Var> {
        self.groups.iter().flat_map(|group| &group.params).map(|param| &param.var)
    }
}

impl Stepped {
    fn new(group: Group, n_slots: usize) -> Self {
        let fresh = |(name, var)| Param { name, var, steps: 0, slots: vec![Vec::new(); n_slots] };
        Self {
            name: group.name,
            lr_scale: group.lr_scale,
            weight_decay: group.weight_decay,
            params: group.params.into_iter().map(fresh).collect(),
        }
    }
}

impl Param {
    fn check_grad(&self, grads: &GradStore) -> Result<()> {
        match grads.get(&self.var) {
            Some(grad) if grad.dims() != self.var.dims() || grad.dtype() != DType::F32 => {
                Err(Error::GradShape {
                    name: self.name.clone(),
                    got_dtype: grad.dtype().as_str(),
                    got: grad.dims().to_vec(),
                    expected: self.var.dims().to_vec(),
                })
            }
            _ => Ok(()),
        }
    }

    fn step<R: Rule>(
        &mut self,
        rule: &R,
        grads: &GradStore,
        lr: f64,
        weight_decay: f64,
    ) -> Result<()> {
        let Some(grad) = grads.get(&self.var) else { return Ok(()) };
        let grad = grad.contiguous().map_err(at(&self.name))?;
        if self.steps == 0 {
            self.slots.iter_mut().for_each(|slot| *slot = vec![0.0; self.var.elem_count()]);
        }
        self.steps += 1;
        let scalars = Scalars { lr, weight_decay, step: self.steps };
        in_place::update(rule, scalars, &self.var, &grad, &mut self.slots).map_err(at(&self.name))
    }
}

fn check_params(groups: &[Group]) -> Result<()> {
    let mut names = std::collections::BTreeSet::new();
    let mut vars = std::collections::HashMap::new();
    for (name, var) in groups.iter().flat_map(|group| &group.params) {
        if !names.insert(name.as_str()) {
            return Err(Error::DuplicateName { name: name.clone() });
        }
        if let Some(first) = vars.insert(var.id(), name) {
            return Err(Error::DuplicateVar { first: first.clone(), second: name.clone() });
        }
        if var.dtype() != DType::F32 || !var.device().is_cpu() {
            return Err(Error::Unsupported {
                name: name.clone(),
                dtype: var.dtype().as_str(),
                device: format!("{:?}", var.device().location()),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
