//! The door from candle's variables to slices: one update of one variable, in place.
//!
//! Above: `optimizer`. Below: candle's `InplaceOp2`. Not here: what the update does (`rule`).
//! candle hands a custom operation `&self`, so the state vectors travel in a `RefCell`.

use std::cell::RefCell;

use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Tensor, Var, bail};

use crate::{Rule, Scalars};

/// Runs `rule` on the variable's own storage. `grad` is contiguous and of the variable's shape, both are `f32`.
pub(super) fn update<R: Rule>(
    rule: &R,
    scalars: Scalars,
    var: &Var,
    grad: &Tensor,
    slots: &mut [Vec<f32>],
) -> Result<()> {
    var.inplace_op2(grad, &Update { rule, scalars, slots: RefCell::new(slots) })
}

struct Update<'a, R> {
    rule: &'a R,
    scalars: Scalars,
    slots: RefCell<&'a mut [Vec<f32>]>,
}

impl<R: Rule> InplaceOp2 for Update<'_, R> {
    fn name(&self) -> &'static str {
        "optimizer-step"
    }

    fn cpu_fwd(
        &self,
        var: &mut CpuStorage,
        var_l: &Layout,
        grad: &CpuStorage,
        grad_l: &Layout,
    ) -> Result<()> {
        let (CpuStorage::F32(var), CpuStorage::F32(grad)) = (var, grad) else {
            bail!("an optimizer step needs f32 parameters and gradients")
        };
        let (Some((var_start, var_end)), Some((grad_start, grad_end))) =
            (var_l.contiguous_offsets(), grad_l.contiguous_offsets())
        else {
            bail!("an optimizer step needs contiguous parameters and gradients")
        };
        let param = &mut var[var_start..var_end];
        self.rule.update(
            self.scalars,
            param,
            &grad[grad_start..grad_end],
            &mut self.slots.borrow_mut(),
        );
        Ok(())
    }
}
