//! What a run does to gradients and parameters besides its step: masks, penalties, projections.
//!
//! Above: `fit`, `step`, `recipes`. Below: `hook::{l1, mask_file, masks, unfreeze}`, `layers::Network`. Not here: losses (`layers::loss`), teachers (`teacher`),
//! what only listens (`event`).

mod l1;
mod mask_file;
mod masks;
mod unfreeze;

use std::collections::BTreeMap;

use candle_core::Tensor;
use candle_core::backprop::GradStore;
use taper_layers::Network;

use crate::error::{Error, Result};

pub use l1::L1Penalty;
pub use mask_file::{load_masks, save_masks};
pub use masks::Masks;
pub use unfreeze::Unfreeze;

/// Takes part in every step of a run: before clipping with its gradients, and after the optimizer with the parameters.
///
/// A run goes on with the same bits only if what a hook does is a function of the step, of the network and of its
/// [`state`](StepHook::state), which checkpoints hold.
///
/// # Examples
/// Weights that stay in the unit ball, coordinate by coordinate:
/// ```
/// use taper_layers::Network;
/// use taper_train::StepHook;
///
/// struct Clamped;
///
/// impl StepHook for Clamped {
///     fn describe(&self) -> String {
///         "weights from -1 to 1".to_owned()
///     }
///
///     fn after_step(&mut self, _step: u64, network: &Network) -> taper_train::Result<()> {
///         for (_, var) in network.trainable() {
///             let clamped = var.as_detached_tensor().clamp(-1f32, 1f32);
///             let refused = |source| taper_train::Error::Tensor { what: "clamping", source };
///             clamped.and_then(|values| var.set(&values)).map_err(refused)?;
///         }
///         Ok(())
///     }
/// }
/// ```
pub trait StepHook {
    /// What it is, with its settings, in a few words: a run is resumed only with hooks of the same description.
    fn describe(&self) -> String;

    /// Called before the first step of a run, and not when it is resumed. The default does nothing.
    ///
    /// # Errors
    /// If the hook does not fit the network: then nothing has been written.
    fn begin(&mut self, network: &Network) -> Result<()> {
        let _ = network;
        Ok(())
    }

    /// Called before the steps of epoch `epoch`, counted from 0, and again when a run goes on in the middle of it. The default does nothing.
    ///
    /// # Errors
    /// Whatever ends the run.
    fn before_epoch(&mut self, epoch: usize, network: &Network) -> Result<()> {
        let _ = (epoch, network);
        Ok(())
    }

    /// Changes the gradients of step `step`, counted from 0, before they are clipped. The default leaves them.
    ///
    /// # Errors
    /// Whatever ends the run.
    fn on_gradients(
        &mut self,
        step: u64,
        network: &Network,
        gradients: &mut GradStore,
    ) -> Result<()> {
        let _ = (step, network, gradients);
        Ok(())
    }

    /// Changes the parameters after step `step`, counted from 0. The default leaves them.
    ///
    /// # Errors
    /// Whatever ends the run.
    fn after_step(&mut self, step: u64, network: &Network) -> Result<()> {
        let _ = (step, network);
        Ok(())
    }

    /// Makes the parameters what this hook wants of them wherever they come from: called with an average of weights in their place, before
    /// it is evaluated and saved. The default leaves them.
    ///
    /// # Errors
    /// Whatever ends the run.
    fn constrain(&self, network: &Network) -> Result<()> {
        let _ = network;
        Ok(())
    }

    /// Whether what it does from step to step follows the weights of one network, as masks do that change: shards that train alone
    /// ([`Synchronization::Weights`](crate::Synchronization)) have several, each with steps of its own, and are refused then. The default
    /// says no.
    fn follows_weights(&self) -> bool {
        false
    }

    /// Whether the network is, after `steps` steps, what it shall be in the end: only then can an epoch's model be the best. The default
    /// says so always.
    fn is_settled(&self, steps: u64) -> bool {
        let _ = steps;
        true
    }

    /// What a checkpoint must hold of it. The default has nothing.
    ///
    /// # Errors
    /// [`Error::Tensor`] if candle refuses a copy.
    fn state(&self) -> Result<BTreeMap<String, Tensor>> {
        Ok(BTreeMap::new())
    }

    /// Takes back what [`state`](StepHook::state) gave, when a run is resumed.
    ///
    /// # Errors
    /// [`Error::HookState`] if it is not that of this hook and this network.
    fn load_state(&mut self, network: &Network, state: BTreeMap<String, Tensor>) -> Result<()> {
        let _ = network;
        match state.into_keys().next() {
            Some(key) => Err(Error::HookState { hook: self.describe(), key, what: "is unknown" }),
            None => Ok(()),
        }
    }
}
