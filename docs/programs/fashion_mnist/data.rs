//! Fashion-MNIST as candle tensors: shuffled batches to train on, and the share of pictures a model gets right.
//!
//! Above: the programs beside this folder. Below: `taper-data`, candle. Not here: the files' format (`taper_data::idx`).

use std::error::Error;
use std::path::Path;

use candle_core::{D, DType, Device, Result, Tensor};
use taper_data::idx::{Mnist, Part};
use taper_data::random::Rng;

/// Mean and standard deviation of the gray values of Fashion-MNIST's training pictures, from 0 to 1.
const MEAN: f64 = 0.2860;
const STD: f64 = 0.3530;

/// Pictures evaluated at once.
const EVALUATED: usize = 1000;

/// One part of the data set.
pub(crate) struct Set {
    /// Gray values, `(n, h, w)`, `u8`.
    images: Tensor,
    /// Classes, `(n)`, `u32`.
    labels: Tensor,
}

impl Set {
    /// Reads a part from the folder of the four IDX files.
    pub(crate) fn open(dir: &Path, part: Part) -> std::result::Result<Self, Box<dyn Error>> {
        let (images, labels) = Mnist::open(dir, part)?.into_tensors(&Device::Cpu)?;
        Ok(Self { images, labels: labels.to_dtype(DType::U32)? })
    }

    /// How many pictures there are.
    pub(crate) fn len(&self) -> usize {
        self.labels.elem_count()
    }

    /// Every picture once, in an order that seed and epoch decide: `(n, 1, h, w)`, normalized, and classes `(n)`.
    pub(crate) fn shuffled(
        &self,
        seed: u64,
        epoch: u64,
        batch: usize,
    ) -> impl Iterator<Item = Result<(Tensor, Tensor)>> {
        let mut order: Vec<u32> = (0..).take(self.len()).collect();
        Rng::keyed([seed, epoch]).shuffle(&mut order);
        (0..self.len().div_ceil(batch)).map(move |i| {
            let end = order.len().min((i + 1) * batch);
            let places = Tensor::new(&order[i * batch..end], &Device::Cpu)?;
            let (images, labels) = (self.images.index_select(&places, 0)?, &self.labels);
            Ok((normalized(&images)?, labels.index_select(&places, 0)?))
        })
    }

    /// The share of pictures whose largest logit is that of their class.
    pub(crate) fn top1(&self, logits: impl Fn(&Tensor) -> Result<Tensor>) -> Result<f64> {
        let mut right = 0.0;
        for start in (0..self.len()).step_by(EVALUATED) {
            let len = EVALUATED.min(self.len() - start);
            let answers =
                logits(&normalized(&self.images.narrow(0, start, len)?)?)?.argmax(D::Minus1)?;
            let hits = answers.eq(&self.labels.narrow(0, start, len)?)?;
            right += hits.to_dtype(DType::F64)?.sum_all()?.to_scalar::<f64>()?;
        }
        Ok(right / self.len() as f64)
    }
}

/// Gray values `(n, h, w)` as what a network sees, `(n, 1, h, w)`.
fn normalized(images: &Tensor) -> Result<Tensor> {
    images.unsqueeze(1)?.to_dtype(DType::F32)?.affine(1.0 / (255.0 * STD), -MEAN / STD)
}
