//! Features computed once: what a frozen backbone says about every image, when images do not change between epochs.
//!
//! Above: `recipes`. Below: `engine::Session`. Not here: reading images (`data`), training on the vectors (`train::Vectors`).

use taper_engine::{Session, SessionOptions};
use taper_model::Model;

use crate::error::Result;

/// Collects the `pre_logits` vectors of images, batch by batch.
///
/// # Cost
/// One inference and `4·c` bytes an image: 5 KiB for MobileNetV2.
#[derive(Debug)]
pub struct Features {
    session: Session,
    values: Vec<f32>,
}

impl Features {
    /// Compiles the backbone of a model; `threads` 0 means all cores.
    ///
    /// # Errors
    /// [`Error::Engine`](crate::Error::Engine) if the graph has no output `pre_logits` or cannot be compiled.
    pub fn new(model: &Model, threads: usize) -> Result<Self> {
        let options = SessionOptions { threads, outputs: vec!["pre_logits".to_owned()] };
        Ok(Self { session: Session::new(model, &options)?, values: Vec::new() })
    }

    /// Adds a batch.
    ///
    /// # Shapes
    /// - `xs`: `(n, h, w, c)`, contiguous   - `shape`: `[n, h, w]`
    ///
    /// # Errors
    /// [`Error::Engine`](crate::Error::Engine) if the batch does not fit the network.
    pub fn extend(&mut self, xs: &[f32], shape: [usize; 3]) -> Result<()> {
        let vectors = self.session.run(xs, shape)?;
        self.values.extend_from_slice(vectors);
        Ok(())
    }

    /// The vectors so far, `(images, c)`, in the order they were added.
    pub fn finish(self) -> Vec<f32> {
        self.values
    }

    /// The same, to go on with none: what comes next is a set of its own.
    pub fn take(&mut self) -> Vec<f32> {
        std::mem::take(&mut self.values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::tests::test_net;
    use crate::{attach_head, detach_head};
    use candle_core::{Device, Tensor};
    use taper_layers::{Network, loss::cross_entropy};

    fn images(n: u16) -> Vec<f32> {
        (0..n * 32 * 32 * 3).map(|i| (f32::from(i) * 0.013).sin()).collect()
    }

    fn logits(model: &Model, xs: &[f32], shape: [usize; 3]) -> Vec<f32> {
        let mut session = Session::new(model, &SessionOptions::default()).unwrap();
        session.run(xs, shape).unwrap().to_vec()
    }

    #[test]
    fn the_head_on_cached_features_gives_the_networks_logits() {
        let model = test_net();
        let xs = images(5);
        let (first, rest) = xs.split_at(2 * 32 * 32 * 3);
        let mut features = Features::new(&model, 0).unwrap();
        features.extend(first, [2, 32, 32]).unwrap();
        features.extend(rest, [3, 32, 32]).unwrap();
        let vectors = features.take();
        assert_eq!(vectors.len(), 5 * 12);
        features.extend(first, [2, 32, 32]).unwrap();
        assert_eq!(features.finish(), vectors[..2 * 12]);
        let whole = logits(&model, &xs, [5, 32, 32]);
        let parts = logits(&detach_head(&model).unwrap(), &vectors, [5, 1, 1]);
        for (whole, part) in whole.iter().zip(parts) {
            assert!((whole - part).abs() < 1e-5, "{whole} {part}");
        }
    }

    #[test]
    fn a_detached_head_is_trained_and_changes_the_model_it_returns_to() {
        let model = test_net();
        let xs = images(3);
        let mut features = Features::new(&model, 0).unwrap();
        features.extend(&xs, [3, 32, 32]).unwrap();
        let vectors = Tensor::from_vec(features.finish(), (3, 12, 1, 1), &Device::Cpu).unwrap();
        let targets = Tensor::new(&[0u32, 1, 2], &Device::Cpu).unwrap();
        let head = Network::new(&detach_head(&model).unwrap(), &Device::Cpu).unwrap();
        let loss = |logits: &Tensor| cross_entropy(logits, &targets, 0.0);
        let value = head.value_and_grad(&vectors, 0, loss).unwrap();
        for (name, var) in head.trainable() {
            let grad = value.grads.get(&var).unwrap();
            assert!(
                grad.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap() > 0.0,
                "{name}"
            );
            var.set(&(var.as_tensor() - grad).unwrap()).unwrap();
        }
        let trained = attach_head(&model, &head.to_model().unwrap()).unwrap();
        let [before, after] = [&model, &trained].map(|model| logits(model, &xs, [3, 32, 32]));
        assert_ne!(before, after);
        assert_eq!(trained.tensor("conv_head.weight"), model.tensor("conv_head.weight"));
    }
}
