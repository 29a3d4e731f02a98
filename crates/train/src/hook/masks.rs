//! Masks: entries of parameters that stay zero while the others are trained.
//!
//! Above: `hook`, `recipes`. Below: candle's `InplaceOp2`. Not here: which entries (`taper-prune`).
//! The gradient of a masked entry is zero, so that it neither counts in clipping nor moves, and after each step the entry is set to
//! zero again, whatever momentum it had when the mask came.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, DType, Device, InplaceOp2, Layout, Tensor, bail};
use taper_layers::Network;

use super::StepHook;
use crate::error::{Error, Result, at};

/// By parameter: whether an entry is kept. In the parameter's order, row by row.
type Kept = BTreeMap<String, Vec<bool>>;

/// New masks after a step, or none where they stay.
type Change<'a> = dyn FnMut(u64, &Network) -> Result<Option<Kept>> + 'a;

/// Keeps entries of parameters at zero, from before the first step on.
///
/// # Examples
/// ```
/// use std::collections::BTreeMap;
/// use taper_train::Masks;
/// // The second of three weights is zero, and stays it.
/// let kept = BTreeMap::from([("classifier.weight".to_owned(), vec![true, false, true])]);
/// let masks = Masks::new(kept); // for `Fit::hooks`
/// # let _ = masks;
/// ```
/// A schedule: after step 99 the smaller half of the weights of every linear layer goes.
/// ```
/// use taper_train::Masks;
/// let masks = Masks::changing("half after 100 steps", |step, network| {
///     if step != 99 {
///         return Ok(None);
///     }
///     let refused = |source| taper_train::Error::Tensor { what: "weights", source };
///     let weights = network.params().iter().filter(|param| param.var.rank() == 2);
///     let masks = weights.map(|param| {
///         let values: Vec<f32> = param.var.flatten_all().and_then(|it| it.to_vec1()).map_err(refused)?;
///         let mut sorted: Vec<f32> = values.iter().map(|value| value.abs()).collect();
///         sorted.sort_by(f32::total_cmp);
///         let least = sorted[sorted.len() / 2];
///         Ok((param.name.clone(), values.iter().map(|value| value.abs() >= least).collect()))
///     });
///     masks.collect::<taper_train::Result<_>>().map(Some)
/// });
/// # let _ = masks;
/// ```
pub struct Masks<'a> {
    /// What comes before the first step.
    first: Kept,
    /// By parameter, 1 where an entry is kept, in its shape.
    tensors: BTreeMap<String, Tensor>,
    change: Option<(String, Box<Change<'a>>)>,
    /// Steps after which they change no more.
    settled_after: u64,
}

impl std::fmt::Debug for Masks<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Masks").field("tensors", &self.tensors).finish_non_exhaustive()
    }
}

impl<'a> Masks<'a> {
    /// Masks that stay as they are: by parameter, `true` for each entry that is kept, row by row as its tensor is. Parameters that are
    /// not named are trained as always.
    pub fn new(kept: BTreeMap<String, Vec<bool>>) -> Self {
        Self { first: kept, tensors: BTreeMap::new(), change: None, settled_after: 0 }
    }

    /// Masks that change: after each step, counted from 0, `change` may give new ones in the place of those there are, at first none.
    /// `description` says how, for a resumed run to know whether it does the same; the masks themselves are in the checkpoint.
    pub fn changing(
        description: impl Into<String>,
        change: impl FnMut(u64, &Network) -> Result<Option<BTreeMap<String, Vec<bool>>>> + 'a,
    ) -> Self {
        let change: Box<Change<'a>> = Box::new(change);
        Self { change: Some((description.into(), change)), ..Self::new(BTreeMap::new()) }
    }

    /// The same that begin with these masks.
    #[must_use]
    pub fn beginning_with(mut self, kept: BTreeMap<String, Vec<bool>>) -> Self {
        self.first = kept;
        self
    }

    /// The same that are what they shall be after so many steps: no epoch before can have the best model.
    #[must_use]
    pub fn settled_after(self, steps: u64) -> Self {
        Self { settled_after: steps, ..self }
    }

    /// Refuses masks to begin with that do not fit a network, as [`StepHook::begin`] does, when nothing has been written yet.
    ///
    /// # Errors
    /// [`Error::Mask`] with the first that is of no parameter, or of another number of entries.
    pub fn check(&self, network: &Network) -> Result<()> {
        tensors_of(&self.first, network).map(drop)
    }

    fn apply(&self, network: &Network) -> Result<()> {
        for param in network.params() {
            if let Some(mask) = self.tensors.get(&param.name) {
                param.var.inplace_op2(mask, &ZeroMasked).map_err(at("a mask"))?;
            }
        }
        Ok(())
    }
}

/// Masks in the shapes of their parameters.
fn tensors_of(kept: &Kept, network: &Network) -> Result<BTreeMap<String, Tensor>> {
    let mut tensors = BTreeMap::new();
    for (name, kept) in kept {
        let Some(param) = network.params().iter().find(|param| param.name == *name) else {
            return Err(refused(name, "which is no parameter of the network".to_owned()));
        };
        let (got, expected) = (kept.len(), param.var.elem_count());
        if got != expected {
            return Err(refused(name, format!("which has {expected} entries, not {got}")));
        }
        let bytes: Vec<u8> = kept.iter().map(|&kept| u8::from(kept)).collect();
        let tensor = Tensor::from_vec(bytes, param.var.dims(), &Device::Cpu);
        tensors.insert(name.clone(), tensor.map_err(at("a mask"))?);
    }
    Ok(tensors)
}

fn refused(name: &str, reason: String) -> Error {
    Error::Mask { name: name.to_owned(), reason }
}

impl StepHook for Masks<'_> {
    fn describe(&self) -> String {
        match &self.change {
            Some((how, _)) => format!("masks that change: {how}"),
            None => "masks".to_owned(),
        }
    }

    fn begin(&mut self, network: &Network) -> Result<()> {
        self.tensors = tensors_of(&self.first, network)?;
        self.apply(network)
    }

    fn on_gradients(
        &mut self,
        _step: u64,
        network: &Network,
        gradients: &mut GradStore,
    ) -> Result<()> {
        for param in network.params() {
            let mask = self.tensors.get(&param.name);
            let Some((mask, gradient)) = mask.zip(gradients.get(&param.var)) else { continue };
            gradient.inplace_op2(mask, &ZeroMasked).map_err(at("a mask"))?;
        }
        Ok(())
    }

    fn after_step(&mut self, step: u64, network: &Network) -> Result<()> {
        let new = match &mut self.change {
            Some((_, change)) => change(step, network)?,
            None => None,
        };
        if let Some(kept) = new {
            self.tensors = tensors_of(&kept, network)?;
        }
        self.apply(network)
    }

    fn constrain(&self, network: &Network) -> Result<()> {
        self.apply(network)
    }

    fn follows_weights(&self) -> bool {
        self.change.is_some()
    }

    fn is_settled(&self, steps: u64) -> bool {
        steps >= self.settled_after
    }

    fn state(&self) -> Result<BTreeMap<String, Tensor>> {
        Ok(self.tensors.clone())
    }

    fn load_state(&mut self, network: &Network, state: BTreeMap<String, Tensor>) -> Result<()> {
        for (key, mask) in &state {
            let param = network.params().iter().find(|param| param.name == *key);
            let fits = param
                .is_some_and(|param| param.var.dims() == mask.dims() && mask.dtype() == DType::U8);
            if !fits {
                let (hook, key) = (self.describe(), key.clone());
                return Err(Error::HookState { hook, key, what: "is no mask of this network" });
            }
        }
        self.tensors = state;
        Ok(())
    }
}

/// Sets every `f32` to zero whose `u8` of the mask is 0.
struct ZeroMasked;

impl InplaceOp2 for ZeroMasked {
    fn name(&self) -> &'static str {
        "mask"
    }

    fn cpu_fwd(
        &self,
        values: &mut CpuStorage,
        values_l: &Layout,
        mask: &CpuStorage,
        mask_l: &Layout,
    ) -> candle_core::Result<()> {
        let (CpuStorage::F32(values), CpuStorage::U8(mask)) = (values, mask) else {
            bail!("masks are u8 and what they mask is f32")
        };
        let (Some((start, end)), Some((mask_start, mask_end))) =
            (values_l.contiguous_offsets(), mask_l.contiguous_offsets())
        else {
            bail!("a mask needs contiguous tensors")
        };
        let masked = values[start..end].iter_mut().zip(&mask[mask_start..mask_end]);
        masked.filter(|(_, kept)| **kept == 0).for_each(|(value, _)| *value = 0.0);
        Ok(())
    }
}
