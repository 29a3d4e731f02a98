//! The optimizer: parameter groups, their state, and the step.
//!
//! Above: `train`, `candle_face`. Below: `optimizer::{lend, state, step}`, `rule`. Not here: the formulas (`rules`), clipping (`clip`).
//! Parameters are stepped in place through candle's in-place operations, on all cores.

mod lend;
mod state;
mod step;

use std::collections::HashSet;

use candle_core::{DType, Tensor, Var, backprop::GradStore};
use taper_kernels::Team;

use crate::clip::sum_of_squares;
use crate::error::{Error, Result, at, check};
use crate::rule::{Begins, ParamInfo, Slot};
use crate::{Group, Role, Rule};
use step::Job;

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
    /// 0: all cores.
    threads: usize,
    /// Made by the first step.
    team: Option<Team>,
}

/// A group with the state of its parameters.
#[derive(Debug)]
struct Stepped {
    name: String,
    lr_scale: f64,
    weight_decay: f64,
    role: Role,
    params: Vec<Param>,
}

#[derive(Debug)]
struct Param {
    name: String,
    var: Var,
    /// Steps taken with a gradient; the rule's vectors are empty as long as this is 0.
    steps: u64,
    /// The rule's, as [`Rule::numbers`] names them.
    numbers: Vec<f64>,
    slots: Vec<Slot>,
    /// By slot.
    values: Values,
}

/// The vectors of a parameter, in its precision.
#[derive(Debug)]
enum Values {
    F32(Vec<Vec<f32>>),
    F64(Vec<Vec<f64>>),
}

impl<R: Rule> Optimizer<R> {
    /// Makes an optimizer without history. Variables of integers, such as counts of batches, have no gradient and are passed over.
    ///
    /// # Errors
    /// [`Error::Setting`] or [`Error::Nesterov`] for a setting outside its range, [`Error::DuplicateName`] and
    /// [`Error::DuplicateVar`] for a parameter listed twice, [`Error::Unsupported`] for one that is not `f32` or `f64` on the CPU.
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
        let groups = groups.into_iter().map(|group| Stepped::new(group, &rule)).collect();
        Ok(Self { rule, groups, lr: 0.0, threads: 0, team: None })
    }

    /// Steps on so many threads; 0, the default, for as many as the machine allows. Results do not depend on it.
    #[must_use]
    pub fn with_threads(self, threads: usize) -> Self {
        Self { threads, team: None, ..self }
    }

    /// Steps every parameter that has a gradient, at learning rate `lr` times its group's factor.
    ///
    /// # Cost
    /// One pass over parameters, gradients and state by all threads, for most rules; LAMB makes two, and Muon multiplies matrices.
    ///
    /// # Errors
    /// [`Error::Setting`] if `lr` is not a number from 0, [`Error::GradShape`] if a gradient does not fit; then no
    /// parameter has moved.
    pub fn step_at(&mut self, grads: &GradStore, lr: f64) -> Result<()> {
        check("lr", lr, 0.0..f64::INFINITY, "a finite number, 0 or more")?;
        let mut places = HashSet::new();
        for param in self.groups.iter().flat_map(|group| &group.params) {
            param.check_grad(grads)?;
            places.insert(lend::place(&param.var));
        }
        let grad_norm = if self.rule.needs_grad_norm() { self.norm(grads)? } else { 0.0 };
        let mut jobs = Vec::new();
        for group in &mut self.groups {
            let (lr, weight_decay, role) = (lr * group.lr_scale, group.weight_decay, group.role);
            for param in &mut group.params {
                let Some(grad) = grads.get(&param.var) else { continue };
                let grad = lend::apart(grad, &places).map_err(at(&param.name))?;
                jobs.push(Job { param, grad, lr, weight_decay, role, grad_norm });
            }
        }
        for Job { param, .. } in &mut jobs {
            param.begin_step(&self.rule)?;
        }
        let team = self.team.get_or_insert_with(|| Team::new(self.threads));
        step::run(&self.rule, &mut jobs, team)
    }

    /// Of the gradients of all parameters together.
    fn norm(&self, grads: &GradStore) -> Result<f64> {
        let grads = self.vars().filter_map(|var| grads.get(var));
        let squares = grads.map(|grad| sum_of_squares(grad).map_err(at("the norm of gradients")));
        Ok(squares.sum::<Result<f64>>()?.sqrt())
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

    /// What rules know of the parameters, with their variables, in the order they are stepped.
    pub fn params(&self) -> impl Iterator<Item = (ParamInfo<'_>, &Var)> {
        self.groups
            .iter()
            .flat_map(|group| group.params.iter().map(|param| (param.info(group.role), &param.var)))
    }
}

impl Stepped {
    fn new(group: Group, rule: &impl Rule) -> Self {
        let Group { name, params, lr_scale, weight_decay, role } = group;
        let fresh = |(name, var): (String, Var)| {
            let info = ParamInfo { name: &name, shape: var.dims(), role };
            let slots = rule.slots(&info);
            let numbers = vec![1.0; rule.numbers().len()];
            let values = Values::empty(var.dtype(), slots.len());
            Param { name, var, steps: 0, numbers, slots, values }
        };
        let params = params.into_iter().map(fresh).collect();
        Self { name, lr_scale, weight_decay, role, params }
    }
}

impl Values {
    fn empty(dtype: DType, n: usize) -> Self {
        match dtype {
            DType::F64 => Values::F64(vec![Vec::new(); n]),
            _ => Values::F32(vec![Vec::new(); n]), // `check_params` lets no other type in
        }
    }
}

impl Param {
    fn info(&self, role: Role) -> ParamInfo<'_> {
        ParamInfo { name: &self.name, shape: self.var.dims(), role }
    }

    fn check_grad(&self, grads: &GradStore) -> Result<()> {
        match grads.get(&self.var) {
            Some(grad) if grad.dims() != self.var.dims() || grad.dtype() != self.var.dtype() => {
                Err(Error::GradShape {
                    name: self.name.clone(),
                    got_dtype: grad.dtype().as_str(),
                    got: grad.dims().to_vec(),
                    expected_dtype: self.var.dtype().as_str(),
                    expected: self.var.dims().to_vec(),
                })
            }
            _ => Ok(()),
        }
    }

    /// Counts the step and makes what the rule keeps, if it is the first.
    fn begin_step(&mut self, rule: &impl Rule) -> Result<()> {
        if self.steps == 0 {
            let var = self.var.as_detached_tensor();
            match &mut self.values {
                Values::F32(values) => begin(values, &self.slots, &var, [0.0, 1.0]),
                Values::F64(values) => begin(values, &self.slots, &var, [0.0, 1.0]),
            }
            .map_err(at(&self.name))?;
        }
        self.steps += 1;
        rule.advance(self.steps, &mut self.numbers);
        Ok(())
    }
}

fn begin<T: candle_core::WithDType>(
    values: &mut [Vec<T>],
    slots: &[Slot],
    var: &Tensor,
    [zero, one]: [T; 2],
) -> candle_core::Result<()> {
    for (values, slot) in values.iter_mut().zip(slots) {
        *values = match slot.begins {
            Begins::Zeros => vec![zero; var.elem_count()],
            Begins::Ones => vec![one; var.elem_count()],
            Begins::Parameter => var.flatten_all()?.to_vec1()?,
        };
    }
    Ok(())
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
        if !matches!(var.dtype(), DType::F32 | DType::F64) || !var.device().is_cpu() {
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
