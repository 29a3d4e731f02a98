//! Pictures of squares, disks and bars, drawn as they are asked for, with the targets of each task.
//!
//! Above: `tasks`. Below: `taper-data`, `taper-train`. Not here: pictures in files (`taper_data::Loader`).

use taper_data::random::Rng;
use taper_data::{Array, Batch, Target, Targets};
use taper_train::{Batches, Result};

use super::Task;

/// A square, a disk, a bar.
pub(crate) const SHAPES: usize = 3;
/// The shapes, after the ground, which is class 0.
pub(crate) const CLASSES: usize = SHAPES + 1;

/// A set of such pictures: a function of its seed. The order of an epoch is one of the epoch, too.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shapes {
    pub(crate) task: Task,
    pub(crate) side: usize,
    pub(crate) n: usize,
    pub(crate) batch: usize,
    pub(crate) seed: u64,
}

/// One picture: pixels `(side, side, 3)`, the class of each pixel, and where the disk is: center and radius, in sides.
struct Picture {
    pixels: Vec<f32>,
    mask: Vec<u32>,
    disk: Vec<f32>,
    is_there: [bool; SHAPES],
}

impl Shapes {
    /// Later shapes cover earlier ones. The disk is always there where one may ask for its place.
    fn picture(&self, index: usize) -> Picture {
        let mut rng = Rng::keyed([self.seed, 1, index as u64]);
        let mut unit = || unit(&mut rng);
        let has_disk = self.task != Task::Labels || unit() < 0.5;
        let is_there = [unit() < 0.5, has_disk, unit() < 0.5];
        let place: [[f32; 3]; SHAPES] =
            std::array::from_fn(|_| [0.2 + 0.6 * unit(), 0.2 + 0.6 * unit(), 0.1 + 0.1 * unit()]);
        let (mut pixels, mut mask) = (Vec::new(), Vec::new());
        for i in 0..self.side * self.side {
            let at = |pixel: usize| (pixel as f32 + 0.5) / self.side as f32;
            let (y, x) = (at(i / self.side), at(i % self.side));
            let covers = |shape: usize| {
                let [cy, cx, radius] = place[shape];
                let (dy, dx) = ((y - cy).abs(), (x - cx).abs());
                is_there[shape]
                    && match shape {
                        0 => dy.max(dx) < radius,
                        1 => dy.hypot(dx) < radius,
                        _ => dy < 0.4 * radius && dx < 2.0 * radius,
                    }
            };
            let class = (0..SHAPES).rev().find(|&shape| covers(shape)).map_or(0, |shape| shape + 1);
            mask.push(u32::try_from(class).unwrap_or(0));
            // Each shape is brighter in a color of its own, on noise.
            pixels.extend((0..SHAPES).map(|color| {
                let bright = if class == color + 1 { 1.0 } else { 0.0 };
                bright + 0.6 * unit() - 0.3
            }));
        }
        Picture { pixels, mask, disk: place[1].to_vec(), is_there }
    }

    fn target(&self, picture: &Picture) -> taper_data::Result<Target> {
        let mask = || Array::new(picture.mask.clone(), vec![self.side, self.side]);
        let there: Vec<usize> = (0..SHAPES).filter(|&shape| picture.is_there[shape]).collect();
        Ok(match self.task {
            Task::Labels => Target::labels(&there, SHAPES)?,
            Task::Numbers => Target::numbers(picture.disk.clone()),
            Task::Mask => Target::ClassMap(mask()?),
            Task::MaskAndCount => Target::named([
                ("mask", Target::ClassMap(mask()?)),
                ("count", Target::numbers(vec![there.len() as f32])),
            ]),
        })
    }

    fn gather(&self, position: usize, indices: &[usize]) -> Result<Batch> {
        let pictures: Vec<Picture> = indices.iter().map(|&index| self.picture(index)).collect();
        let targets: taper_data::Result<Vec<Target>> =
            pictures.iter().map(|picture| self.target(picture)).collect();
        Ok(Batch {
            position,
            xs: pictures.into_iter().flat_map(|picture| picture.pixels).collect(),
            shape: [indices.len(), self.side, self.side],
            targets: Targets::collate(targets?)?,
            indices: indices.to_vec(),
            skipped: Vec::new(),
            for_teacher: None,
        })
    }
}

/// A number from 0 to 1.
#[expect(clippy::cast_possible_truncation, reason = "pixels are `f32`")]
fn unit(rng: &mut Rng) -> f32 {
    rng.unit() as f32
}

impl Batches for Shapes {
    fn n_samples(&self) -> usize {
        self.n
    }

    fn n_batches(&self) -> usize {
        self.n.div_ceil(self.batch)
    }

    fn epoch(
        &self,
        epoch: usize,
        start_batch: usize,
    ) -> Box<dyn Iterator<Item = Result<Batch>> + '_> {
        let mut order: Vec<usize> = (0..self.n).collect();
        Rng::keyed([self.seed, 2, epoch as u64]).shuffle(&mut order);
        let batches: Vec<Vec<usize>> = order.chunks(self.batch).map(<[usize]>::to_vec).collect();
        let batches = batches.into_iter().enumerate().skip(start_batch);
        Box::new(batches.map(|(position, indices)| self.gather(position, &indices)))
    }
}
