//! The optimizers behind candle's own `Optimizer` trait, for a training loop that already uses it.
//!
//! Above: users of `candle_nn`. Below: `optimizer`. Not here: names of parameters; candle passes bare variables, so they
//! are called `0`, `1`, … in their order; `Group::from_var_map` keeps their names.

use candle_core::{Result, Var, backprop::GradStore};

use crate::{Group, Optimizer, Rule, Sgd};

/// What `candle_nn`'s constructor takes beside the variables.
///
/// # Examples
/// ```
/// use candle_core::{Device, Var};
/// use candle_nn::Optimizer as _;
/// use taper_optim::{Optimizer, Settings, Sgd};
/// let w = Var::new(2.0f32, &Device::Cpu)?;
/// let settings = Settings { lr: 0.25, weight_decay: 0.0, rule: Sgd { momentum: 0.9, ..Sgd::default() } };
/// let mut optimizer = Optimizer::new(vec![w.clone()], settings)?;
/// optimizer.backward_step(&w.sqr()?)?;
/// assert_eq!(w.to_scalar::<f32>()?, 1.0);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings<R> {
    /// Learning rate of the next steps; `set_learning_rate` changes it. Default 0.01.
    pub lr: f64,
    /// Weight decay of every variable. Default 0.
    pub weight_decay: f64,
    /// The rule with its settings.
    pub rule: R,
}

impl Default for Settings<Sgd> {
    fn default() -> Self {
        Self { lr: 0.01, weight_decay: 0.0, rule: Sgd::default() }
    }
}

impl<R: Rule> candle_nn::Optimizer for Optimizer<R> {
    type Config = Settings<R>;

    fn new(vars: Vec<Var>, config: Settings<R>) -> Result<Self> {
        let params = vars.into_iter().enumerate().map(|(i, var)| (i.to_string(), var)).collect();
        let group = Group::new("all", params).with_weight_decay(config.weight_decay);
        let mut optimizer =
            Self::from_groups(vec![group], config.rule).map_err(candle_core::Error::wrap)?;
        optimizer.set_learning_rate(config.lr);
        Ok(optimizer)
    }

    fn step(&mut self, grads: &GradStore) -> Result<()> {
        self.step_at(grads, self.lr).map_err(candle_core::Error::wrap)
    }

    fn learning_rate(&self) -> f64 {
        self.lr
    }

    fn set_learning_rate(&mut self, lr: f64) {
        self.lr = lr;
    }
}
