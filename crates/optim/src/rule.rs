//! The contract of an update rule: what one step does to one parameter.
//!
//! Above: `optimizer`, and the rules `sgd`, `adamw`. Below: nothing. Not here: groups and saved state (`optimizer`).
//! A rule sees slices of equal length: the parameter, its gradient, and one vector per entry of [`Rule::slots`].

use crate::Result;

/// The numbers of one step of one parameter.
#[derive(Debug, Clone, Copy)]
pub struct Scalars {
    /// Learning rate, the group's factor included.
    pub lr: f64,
    /// The group's weight decay.
    pub weight_decay: f64,
    /// Which step of this parameter this is, counted from 1; steps without a gradient do not count.
    pub step: u64,
}

/// How a parameter moves along its gradient.
pub trait Rule {
    /// Names of the vectors kept per parameter, as PyTorch's `state_dict` spells them; they start as zeros.
    fn slots(&self) -> &'static [&'static str];

    /// Refuses settings outside their range.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) with the field's name.
    fn check(&self) -> Result<()>;

    /// Moves `param` by one step. `slots` holds one vector per name of [`Rule::slots`]; all slices have `param`'s length.
    fn update(&self, scalars: Scalars, param: &mut [f32], grad: &[f32], slots: &mut [Vec<f32>]);
}

impl<R: Rule + ?Sized> Rule for Box<R> {
    fn slots(&self) -> &'static [&'static str] {
        (**self).slots()
    }

    fn check(&self) -> Result<()> {
        (**self).check()
    }

    fn update(&self, scalars: Scalars, param: &mut [f32], grad: &[f32], slots: &mut [Vec<f32>]) {
        (**self).update(scalars, param, grad, slots);
    }
}

/// Rounds a setting to the precision of the parameters, as PyTorch does when it multiplies a tensor by a Python number.
#[expect(clippy::cast_possible_truncation, reason = "settings are small decimal numbers")]
pub(crate) fn round(value: f64) -> f32 {
    value as f32
}
