//! Gradients of parameters told as soon as they are final, while the backward pass goes on below.
//!
//! Above: `layers`, whose users send gradients away while the rest is computed. Below: `train`. Not here: what is done with them.

use taper_graph::ParamId;
use taper_kernels::{Device, Real};

use super::Trainer;
use crate::Result;

impl<T: Real, D: Device<T>> Trainer<T, D> {
    /// The trained parameters in the order in which [`Trainer::backward_all_observed`] tells their gradients: the last layers first.
    #[must_use]
    pub fn gradient_order(&self) -> Vec<ParamId> {
        self.order.sequence().collect()
    }

    /// [`Trainer::backward_all`], which calls `observe` with every trained parameter once, as soon as its gradient is final: nothing is
    /// added to it any more. The order is that of [`Trainer::gradient_order`] in every step; parameters on which no output depends
    /// come last, with zeros.
    ///
    /// # Errors
    /// As [`Trainer::backward_all`]; what has been told by then is not to be used.
    ///
    /// # Examples
    /// ```
    /// use taper_engine::{Reference, Trainer};
    /// use taper_graph::{Bias, GraphBuilder, PoolKind};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut b = GraphBuilder::new(1)?;
    /// let pooled = b.global_pool("pool", b.input(), PoolKind::Avg, true)?;
    /// let hidden = b.linear("hidden", pooled, 1, Bias::Without)?;
    /// let logits = b.linear("classifier", hidden, 1, Bias::Without)?;
    /// b.output("logits", logits)?;
    /// let graph = b.build()?;
    ///
    /// // 5 · 3 · x
    /// let mut trainer = Trainer::new(&graph, "logits", &[true; 2], Reference)?;
    /// let params: [&[f64]; 2] = [&[3.0], &[5.0]];
    /// trainer.forward(&params, &[2.0], [1, 1, 1], 0)?;
    /// let (mut told, mut gradients) = (Vec::new(), vec![Vec::new(); 2]);
    /// trainer.backward_all_observed(&params, &[&[1.0]], &mut gradients, &mut |id, gradient| {
    ///     told.push((graph.param(id).name.clone(), gradient[0]));
    /// })?;
    /// assert_eq!(told, [("classifier.weight".to_owned(), 6.0), ("hidden.weight".to_owned(), 10.0)]);
    /// # Ok(()) }
    /// ```
    pub fn backward_all_observed(
        &mut self,
        params: &[&[T]],
        grad_outputs: &[&[T]],
        gradients: &mut [Vec<T>],
        observe: &mut dyn FnMut(ParamId, &[T]),
    ) -> Result<()> {
        let order = self.order.clone();
        let mut told = vec![false; self.trained.len()];
        let done = &mut |unit: usize, gradients: &mut [Vec<T>]| {
            for &id in &order.finished[unit] {
                told[id.index()] = true;
                observe(id, &gradients[id.index()]);
            }
        };
        self.backward_units(params, grad_outputs, gradients, done)?;
        // Those that are not reached, and, of a batch of no images, all.
        for id in order.sequence().filter(|id| !told[id.index()]) {
            observe(id, &gradients[id.index()]);
        }
        Ok(())
    }
}
