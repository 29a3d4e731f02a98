//! Groups: named parameters that share a learning-rate factor and a weight decay.
//!
//! Above: `train`, `recipes`. Below: `rule::Role`, candle's `Var` and `VarMap`. Not here: what a parameter is for (`graph::ParamRole`); the caller
//! says by a flag whether a parameter is decayed.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use candle_core::Var;
use candle_nn::VarMap;

use crate::Role;

/// Parameters stepped with one learning-rate factor and one weight decay.
#[derive(Debug, Clone)]
pub struct Group {
    /// What the group is called in reports, such as `decayed`.
    pub name: String,
    /// The parameters by name, in the order they are stepped.
    pub params: Vec<(String, Var)>,
    /// Factor on the learning rate of the step. Default 1, at least 0.
    pub lr_scale: f64,
    /// Weight decay per step and unit of learning rate. Default 0 for every rule (PyTorch's `AdamW` has 0.01), at least 0.
    pub weight_decay: f64,
    /// What the parameters are for, to rules that care. Default [`Role::Weight`], of which the shape decides.
    pub role: Role,
}

impl Group {
    /// Makes a group at the full learning rate, without weight decay.
    pub fn new(name: impl Into<String>, params: Vec<(String, Var)>) -> Self {
        Self { name: name.into(), params, lr_scale: 1.0, weight_decay: 0.0, role: Role::Weight }
    }

    /// Makes a group of all variables of a `VarMap`, under their names there and in the order of the names, so that errors speak of
    /// them and saved state finds them again; `VarMap::all_vars` has neither. Integers are passed over.
    ///
    /// # Examples
    /// ```
    /// use candle_core::{DType, Device};
    /// use candle_nn::{VarBuilder, VarMap};
    /// use taper_optim::{Group, Optimizer, Sgd};
    /// let vars = VarMap::new();
    /// let vb = VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu);
    /// candle_nn::linear(2, 1, vb.pp("fc"))?;
    /// let group = Group::from_var_map("all", &vars).with_weight_decay(1e-4);
    /// assert_eq!((group.params[0].0.as_str(), group.params[1].0.as_str()), ("fc.bias", "fc.weight"));
    /// let optimizer = Optimizer::from_groups(vec![group], Sgd::default())?;
    /// assert_eq!(optimizer.vars().count(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_var_map(name: impl Into<String>, vars: &VarMap) -> Self {
        let data = vars.data().lock().unwrap_or_else(PoisonError::into_inner);
        let floats = data.iter().filter(|(_, var)| !var.dtype().is_int());
        let params: BTreeMap<String, Var> = floats.map(|(k, v)| (k.clone(), v.clone())).collect();
        Self::new(name, params.into_iter().collect())
    }

    /// Sets the weight decay.
    #[must_use]
    pub fn with_weight_decay(mut self, weight_decay: f64) -> Self {
        self.weight_decay = weight_decay;
        self
    }

    /// Says what the parameters are for.
    #[must_use]
    pub fn with_role(mut self, role: Role) -> Self {
        self.role = role;
        self
    }

    /// Sets the factor on the learning rate.
    #[must_use]
    pub fn with_lr_scale(mut self, lr_scale: f64) -> Self {
        self.lr_scale = lr_scale;
        self
    }
}

/// Splits parameters into a group `decayed` and a group `undecayed`; empty groups are left out.
///
/// `is_decayed` travels with each parameter, because a name does not tell: weights of convolutions and linear layers
/// are decayed, biases and the scales and shifts of normalizations are not.
///
/// # Examples
/// ```
/// use candle_core::{Device, Var};
/// let var = || Var::new(&[1.0f32], &Device::Cpu);
/// let params = vec![("conv.weight".to_owned(), var()?, true), ("bn.weight".to_owned(), var()?, false)];
/// let groups = taper_optim::split_by_decay(params, 4e-5);
/// assert_eq!((groups[0].weight_decay, groups[1].weight_decay), (4e-5, 0.0));
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn split_by_decay(
    params: impl IntoIterator<Item = (String, Var, bool)>,
    weight_decay: f64,
) -> Vec<Group> {
    let mut decayed = Group::new("decayed", Vec::new()).with_weight_decay(weight_decay);
    let mut undecayed = Group::new("undecayed", Vec::new()).with_role(Role::Other);
    for (name, var, is_decayed) in params {
        let group = if is_decayed { &mut decayed } else { &mut undecayed };
        group.params.push((name, var));
    }
    [decayed, undecayed].into_iter().filter(|group| !group.params.is_empty()).collect()
}
