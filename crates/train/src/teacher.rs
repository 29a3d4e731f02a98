//! A teacher: another network whose answers to the very same batch are part of what is learned.
//!
//! Above: `fit`, `recipes`. Below: `layers::loss::Distillation`, the engine's `Session`. Not here: which network teaches (`recipes`), the
//! formula (`layers::loss`).
//! Source: Hinton et al. 2015, <https://arxiv.org/abs/1503.02531>; that teacher and student see the same crop:
//! Beyer et al. 2022, <https://arxiv.org/abs/2106.05237>.

use std::borrow::Cow;

use candle_core::{Device, Result as CandleResult, Tensor};
use taper_layers::loss::{Distillation, Loss};
use taper_layers::{ModuleNhwc, NamedTensors, Resampling, Session, Target, Upsample};

use crate::error::{Error, Result, at};
use crate::{Batch, Rendition};

/// How much larger than in whole pictures things are in random crops.
const AT_HOME: f64 = 1.25;

/// Whose fault it is.
const NAME: &str = "the teacher";

/// A network that teaches another one: `(1 − weight) · loss + weight · distillation` is minimized in the place of the loss.
///
/// The teacher runs in evaluation mode, once a step, on what the batch has for it ([`Paired`](crate::Paired)), or on the batch as the student sees
/// it, augmentation included. Each of its outputs is
/// compared with the student's of the same name, and the divergences are added.
///
/// # Examples
/// ```
/// use taper_layers::{Network, loss::Distillation};
/// use taper_train::Teacher;
/// # use taper_graph::{Bias, GraphBuilder, PoolKind};
/// # use taper_model::{Model, Preprocess};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut b = GraphBuilder::new(2)?;
/// # let xs = b.global_pool("pool", b.input(), PoolKind::Avg, true)?;
/// # let xs = b.linear("classifier", xs, 2, Bias::With)?;
/// # b.output("logits", xs)?;
/// # let model = Model::random(b.build()?, 0, Preprocess::imagenet(), vec![])?;
/// let session = Network::new(&model, &candle_core::Device::Cpu)?.session()?;
/// let teacher = Teacher::new(session, Distillation::new(4.0)?, 0.5)?; // for `Fit::teacher`
/// # let session = Network::new(&model, &candle_core::Device::Cpu)?.session()?;
/// assert!(Teacher::new(session, Distillation::new(4.0)?, 1.5).is_err());
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Teacher {
    session: Session,
    distillation: Distillation,
    weight: f64,
    /// By channel: factor and summand of a pixel.
    pixels: Option<Vec<[f32; 2]>>,
    /// Rows and columns of the pictures that it was made for; none for any.
    input_size: Option<[usize; 2]>,
    /// What its logits are divided by.
    calibration: f64,
}

impl Teacher {
    /// A compiled network as a teacher, whose word weighs `weight`, from 0 to 1, against the targets'.
    ///
    /// # Errors
    /// [`Error::Setting`] for another weight.
    pub fn new(session: Session, distillation: Distillation, weight: f64) -> Result<Self> {
        if !(0.0..=1.0).contains(&weight) {
            let (name, got) = ("weight", weight.to_string());
            return Err(Error::Setting { name, got, expected: "from 0 to 1" });
        }
        let (pixels, input_size, calibration) = (None, None, 1.0);
        Ok(Self { session, distillation, weight, pixels, input_size, calibration })
    }

    /// For a teacher whose pictures are normalized in another way than the student's: pixel `x` of channel `c` reaches it as
    /// `x · pixels[c][0] + pixels[c][1]`.
    #[must_use]
    pub fn with_pixels(mut self, pixels: Vec<[f32; 2]>) -> Self {
        self.pixels = Some(pixels);
        self
    }

    /// For a teacher that was made for pictures of `size`, rows and columns: a batch of much smaller ones is enlarged for it
    /// ([`Teacher::seen_size`], bilinear), so that it says what it knows and not what it makes of pictures as it has never seen them.
    #[must_use]
    pub fn with_input_size(mut self, size: [usize; 2]) -> Self {
        self.input_size = Some(size);
        self
    }

    /// For a teacher that was calibrated: its logits are divided by `temperature` before anything else, so that it is as sure as it is right. A
    /// classifier that learned a few pictures in a few steps is much less sure than that, and as it is, teaches to be unsure.
    ///
    /// Source: Guo et al. 2017, <https://arxiv.org/abs/1706.04599>, section 4.2.
    ///
    /// # Errors
    /// [`Error::Setting`] if the temperature is not a finite number above 0.
    pub fn with_calibration(mut self, temperature: f64) -> Result<Self> {
        if !(temperature.is_finite() && temperature > 0.0) {
            let (name, got) = ("calibration", temperature.to_string());
            return Err(Error::Setting { name, got, expected: "a finite number above 0" });
        }
        self.calibration = temperature;
        Ok(self)
    }

    /// Rows and columns in which a teacher that was made for pictures of `own` size sees a batch of another: as they are, unless they are smaller by
    /// more than 1.25 times, then the larger of both. A network is at home between what random crops show it, things 1.25 times as large as in
    /// whole pictures, and whole pictures.
    ///
    /// Source: Touvron et al. 2019, <https://arxiv.org/abs/1906.06423>, section 3.1.
    ///
    /// # Examples
    /// ```
    /// use taper_train::Teacher;
    /// assert_eq!(Teacher::seen_size([224, 224], [192, 192]), [192, 192]);
    /// assert_eq!(Teacher::seen_size([224, 224], [160, 160]), [224, 224]);
    /// assert_eq!(Teacher::seen_size([224, 224], [256, 128]), [256, 224]);
    /// ```
    #[must_use]
    pub fn seen_size(own: [usize; 2], batch: [usize; 2]) -> [usize; 2] {
        let is_at_home =
            own.iter().zip(batch).all(|(&own, batch)| own as f64 <= AT_HOME * batch as f64);
        if is_at_home { batch } else { [own[0].max(batch[0]), own[1].max(batch[1])] }
    }

    /// What it says of a batch, by output: `(n, k)`.
    pub(crate) fn outputs(&mut self, batch: &Batch) -> Result<NamedTensors> {
        let (xs, shape) = self.seen(batch)?;
        let network = taper_layers::Error::from;
        let names = self.session.output_names().to_vec();
        let shapes = self.session.output_shapes(shape).map_err(network)?;
        let values = self.session.run_all(&xs, shape).map_err(network)?;
        let tensor = |(values, shape): (&Vec<f32>, &Vec<usize>)| {
            Tensor::from_slice(values, shape.as_slice(), &Device::Cpu)? / self.calibration
        };
        let tensors: CandleResult<Vec<Tensor>> = values.iter().zip(&shapes).map(tensor).collect();
        Ok(NamedTensors::new(names.into_iter().zip(tensors.map_err(at(NAME))?)))
    }

    /// What it sees of a batch.
    fn seen<'b>(&self, batch: &'b Batch) -> Result<(Cow<'b, [f32]>, [usize; 3])> {
        if let Some(Rendition { xs, shape }) = &batch.for_teacher {
            return Ok((Cow::Borrowed(xs), *shape));
        }
        let mut xs = Cow::Borrowed(&batch.xs[..]);
        if let Some(pixels) = &self.pixels {
            let pixel = |(x, [scale, shift]): (&f32, &[f32; 2])| x * scale + shift;
            xs = Cow::Owned(batch.xs.iter().zip(pixels.iter().cycle()).map(pixel).collect());
        }
        let (mut shape, [n, h, w]) = (batch.shape, batch.shape);
        let [rows, columns] = Self::seen_size(self.input_size.unwrap_or([h, w]), [h, w]);
        if [rows, columns] != [h, w] {
            xs = Cow::Owned(enlarged(&xs, batch.shape, [rows, columns]).map_err(at(NAME))?);
            shape = [n, rows, columns];
        }
        Ok((xs, shape))
    }

    /// The loss of a batch of which the teacher said `taught`.
    pub(crate) fn loss<'a>(&'a self, targets: &'a dyn Loss, taught: NamedTensors) -> Taught<'a> {
        Taught { targets, teacher: self, taught }
    }
}

/// Pictures `(n, h, w, c)` with more rows and columns: `size`.
fn enlarged(xs: &[f32], [n, h, w]: [usize; 3], size: [usize; 2]) -> CandleResult<Vec<f32>> {
    let xs = Tensor::from_slice(xs, (n, h, w, ()), &Device::Cpu)?;
    let upsample = Upsample::new(Target::Size(size), Resampling::Bilinear)?;
    upsample.forward_nhwc(&xs, false)?.flatten_all()?.to_vec1()
}

/// The loss of one batch: that of its targets, and the divergence from what the teacher said.
pub(crate) struct Taught<'a> {
    targets: &'a dyn Loss,
    teacher: &'a Teacher,
    taught: NamedTensors,
}

impl Loss for Taught<'_> {
    fn loss(&self, outputs: &NamedTensors, targets: &NamedTensors) -> CandleResult<Tensor> {
        let Teacher { distillation, weight, .. } = self.teacher;
        let mut loss = (self.targets.loss(outputs, targets)? * (1.0 - weight))?;
        for (name, taught) in self.taught.iter() {
            let soft = distillation.forward(outputs.get(name)?, taught)?;
            loss = (loss + (soft * *weight)?)?;
        }
        Ok(loss)
    }
}
