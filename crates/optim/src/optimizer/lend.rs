//! The door from candle's variables to slices: the values of many variables at once, to be written in place.
//!
//! Above: `optimizer::step`. Below: candle's `InplaceOp2`. Not here: what is done with them (`optimizer::step`, `rule`).
//! candle lends the storage of one variable to one operation, so the operation of the first variable calls that of the second, and so on.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;

use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Tensor, Var, bail};

/// How many variables are lent at once: each takes some of the stack.
pub(super) const MOST: usize = 64;

/// Values of a variable and of its gradient, of equal length.
#[derive(Debug)]
pub(super) enum Lent<'a> {
    F32(&'a mut [f32], &'a [f32]),
    F64(&'a mut [f64], &'a [f64]),
}

/// What is done with the values of all.
type Work<'w> = RefCell<&'w mut dyn FnMut(Vec<Lent<'_>>)>;

/// Calls `work` with the values of all variables and gradients, in their order, of which there are [`MOST`] at most. Gradients are contiguous,
/// on the CPU and of the shape and precision of their variables.
pub(super) fn lend(pairs: &[(&Var, &Tensor)], work: &mut dyn FnMut(Vec<Lent<'_>>)) -> Result<()> {
    descend(pairs, Vec::with_capacity(pairs.len()), &RefCell::new(work))
}

fn descend(pairs: &[(&Var, &Tensor)], lent: Vec<Lent<'_>>, work: &Work<'_>) -> Result<()> {
    match pairs.split_first() {
        Some(((var, grad), rest)) => {
            var.inplace_op2(grad, &Lending { rest, lent: Cell::new(lent), work })
        }
        None => {
            (work.borrow_mut())(lent);
            Ok(())
        }
    }
}

/// Lends one variable, and then the rest.
struct Lending<'l, 'v, 'w> {
    rest: &'l [(&'l Var, &'l Tensor)],
    lent: Cell<Vec<Lent<'v>>>,
    work: &'l Work<'w>,
}

impl InplaceOp2 for Lending<'_, '_, '_> {
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
        let (Some((start, end)), Some((grad_start, grad_end))) =
            (var_l.contiguous_offsets(), grad_l.contiguous_offsets())
        else {
            bail!("an optimizer step needs contiguous parameters and gradients")
        };
        let mut lent: Vec<Lent<'_>> = self.lent.take();
        lent.push(match (var, grad) {
            (CpuStorage::F32(var), CpuStorage::F32(grad)) => {
                Lent::F32(&mut var[start..end], &grad[grad_start..grad_end])
            }
            (CpuStorage::F64(var), CpuStorage::F64(grad)) => {
                Lent::F64(&mut var[start..end], &grad[grad_start..grad_end])
            }
            _ => bail!("an optimizer step needs parameters and gradients of one precision"),
        });
        descend(self.rest, lent, self.work)
    }
}

/// Where a tensor's values lie: equal for tensors that share them.
pub(super) fn place(tensor: &Tensor) -> usize {
    let (storage, _) = tensor.storage_and_layout();
    std::ptr::from_ref(&*storage).addr()
}

/// A contiguous gradient that shares no memory with any variable: what is lent to be written cannot be read at the same time.
pub(super) fn apart(grad: &Tensor, vars: &HashSet<usize>) -> Result<Tensor> {
    let grad = grad.contiguous()?;
    if vars.contains(&place(&grad)) { grad.copy() } else { Ok(grad) }
}
