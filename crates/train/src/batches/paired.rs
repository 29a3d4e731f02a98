//! Batches that a student and its teacher see each in a size of its own.
//!
//! Above: `batches`, `recipes`. Below: `taper_data::Rendition`. Not here: which sizes (`Teacher::seen_size`), what the teacher says (`teacher`).
//! Source: that teacher and student see the same crop, Beyer et al. 2022, <https://arxiv.org/abs/2106.05237>.

use taper_data::batch::Piece;
use taper_data::{Batch, Rendition};

use super::Batches;
use crate::error::{Error, Result};

/// Batches of a student, each with the same pictures as its teacher wants them, [`Batch::for_teacher`].
///
/// Both sets have the same samples in the same order. Two [`Loader`](taper_data::Loader)s are alike whose lists and options are the same and whose transforms
/// differ in size and normalization alone: their random numbers are functions of seed, epoch and sample, so that both cut the same place out of
/// a picture, each from the picture itself, where a teacher of larger pictures would otherwise see the student's enlarged. A picture that only one of them could
/// read leaves its batch without a rendition.
///
/// # Examples
/// ```
/// use taper_data::{EvalTransform, Interpolation, Loader, LoaderOptions, sample_set};
/// use taper_train::{Batches, Paired};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let samples = sample_set::emoji6()?.val;
/// let loader = |size| {
///     let transform = EvalTransform::imagenet([size, size], 1.0, Interpolation::Bilinear)?;
///     Loader::new(&samples, transform.into(), &LoaderOptions::default())
/// };
/// let paired = Paired::new(loader(32)?, loader(64)?)?;
/// let first = paired.epoch(0, 0).next().ok_or("no batch")??;
/// assert_eq!((first.shape, first.for_teacher.ok_or("nothing")?.shape), ([32, 32, 32], [32, 64, 64]));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Paired<S, T = S> {
    student: S,
    teacher: T,
}

impl<S: Batches, T: Batches> Paired<S, T> {
    /// What a student sees, and the same for its teacher.
    ///
    /// # Errors
    /// [`Error::Setting`] if an epoch has other numbers of samples or batches.
    pub fn new(student: S, teacher: T) -> Result<Self> {
        let counts = |set: &dyn Batches| [set.n_samples(), set.n_batches()];
        let [of_student, of_teacher] = [counts(&student), counts(&teacher)];
        if of_student != of_teacher {
            let got = format!("{} samples in {} batches", of_teacher[0], of_teacher[1]);
            let (name, expected) = ("the teacher's batches", "those of the student");
            return Err(Error::Setting { name, got, expected });
        }
        Ok(Self { student, teacher })
    }
}

type Iter<'a> = Box<dyn Iterator<Item = Result<Batch>> + 'a>;

/// The student's batches with the teacher's as renditions.
fn joined<'a>(student: Iter<'a>, mut teacher: Iter<'a>) -> Iter<'a> {
    Box::new(student.map(move |batch| {
        let (seen, batch) = (teacher.next().transpose()?, batch?);
        let is_same =
            |seen: &Batch| (seen.position, &seen.indices) == (batch.position, &batch.indices);
        let seen = seen.filter(is_same);
        let for_teacher = seen.map(|Batch { xs, shape, .. }| Rendition { xs, shape });
        Ok(Batch { for_teacher, ..batch })
    }))
}

impl<S: Batches, T: Batches> Batches for Paired<S, T> {
    fn n_samples(&self) -> usize {
        self.student.n_samples()
    }

    fn n_batches(&self) -> usize {
        self.student.n_batches()
    }

    fn epoch(&self, epoch: usize, start_batch: usize) -> Iter<'_> {
        joined(self.student.epoch(epoch, start_batch), self.teacher.epoch(epoch, start_batch))
    }

    fn pieces(&self, epoch: usize, pieces: Vec<Piece>) -> Iter<'_> {
        joined(self.student.pieces(epoch, pieces.clone()), self.teacher.pieces(epoch, pieces))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use taper_data::{
        Image, Interpolation, Loader, LoaderOptions, Mix, Normalize, Order, Sample, TrainTransform,
        sample_set,
    };

    use super::*;

    fn loader(samples: &[Sample], size: usize, mix: Option<Mix>) -> Loader {
        let transform =
            TrainTransform::new([size; 2], Interpolation::Bilinear, Normalize::imagenet()).unwrap();
        let options = LoaderOptions {
            batch_size: 4,
            order: Order::Shuffled,
            seed: 5,
            threads: 1,
            mix,
            ..LoaderOptions::default()
        };
        Loader::new(samples, Arc::new(transform), &options).unwrap()
    }

    /// Pictures that rise from left to right and from top to bottom, so that a pixel says where it comes from.
    fn slopes() -> Vec<Sample> {
        let picture = |i: u8| {
            let pixel = |at: usize| {
                let [x, y] = [at % 128, at / 128].map(|it| u8::try_from(it).unwrap());
                [2 * x, 2 * y, 20 * i]
            };
            let image = Image::new(128, 128, (0..128 * 128).flat_map(pixel).collect()).unwrap();
            Sample::from_image(format!("{i}"), u32::from(i % 2), image)
        };
        (0..10).map(picture).collect()
    }

    /// Every other row and column, each the mean of two by two.
    fn halved(xs: &[f32], [n, h, w]: [usize; 3]) -> Vec<f32> {
        let at = |i: usize, y: usize, x: usize, c: usize| xs[((i * h + y) * w + x) * 3 + c];
        let mut out = Vec::new();
        for i in 0..n {
            for (y, x) in (0..h / 2).flat_map(|y| (0..w / 2).map(move |x| (2 * y, 2 * x))) {
                for c in 0..3 {
                    let four = [(0, 0), (0, 1), (1, 0), (1, 1)];
                    let sum: f32 = four.iter().map(|(dy, dx)| at(i, y + dy, x + dx, c)).sum();
                    out.push(sum / 4.0);
                }
            }
        }
        out
    }

    #[test]
    fn a_teacher_sees_the_places_that_the_student_sees_with_more_pixels_whole_and_in_parts() {
        let samples = slopes();
        for mix in [None, Some(Mix::new(0.5, 0.0, 2).unwrap())] {
            let of = |size| loader(&samples, size, mix.clone());
            let paired = Paired::new(of(16), of(32)).unwrap();
            assert_eq!((paired.n_samples(), paired.n_batches()), (10, 3));
            let pieces = |part| vec![Piece { position: 1, part, of: 2 }];
            let batches =
                [paired.epoch(1, 1), paired.pieces(1, pieces(0)), paired.pieces(1, pieces(1))];
            for batch in batches.into_iter().flatten() {
                let batch = batch.unwrap();
                let seen = batch.for_teacher.unwrap();
                assert_eq!(seen.shape, [batch.shape[0], 32, 32]);
                // A byte is 0.017, and a slope is a line in both sizes.
                let both = halved(&seen.xs, seen.shape).into_iter().zip(&batch.xs);
                let apart = both.map(|(a, b)| (a - b).abs()).fold(0.0f32, f32::max);
                assert!(apart < 0.08, "{apart}");
            }
        }
    }

    #[test]
    fn sets_that_are_not_alike_are_refused_and_a_picture_that_one_lost_leaves_no_rendition() {
        let samples = slopes();
        let refused = Paired::new(loader(&samples, 8, None), loader(&samples[1..], 16, None));
        assert!(matches!(refused, Err(Error::Setting { .. })), "{refused:?}");
        let dir = tempfile::tempdir().unwrap();
        sample_set::export(dir.path()).unwrap();
        let files = fs::read_dir(dir.path().join("val")).unwrap().flatten();
        let mut files: Vec<_> =
            files.flat_map(|class| fs::read_dir(class.path()).unwrap().flatten()).collect();
        files.sort_by_key(fs::DirEntry::path);
        let samples: Vec<Sample> = files[..4]
            .iter()
            .map(|file| Sample::from_file(file.path().display().to_string(), 0, file.path()))
            .collect();
        let whole = Paired::new(loader(&samples, 8, None), loader(&samples, 16, None)).unwrap();
        assert!(whole.epoch(0, 0).all(|batch| batch.unwrap().for_teacher.is_some()));
        let lost: Vec<Sample> = samples
            .iter()
            .enumerate()
            .map(|(i, sample)| match i {
                0 => Sample::from_file("gone".to_owned(), 0, dir.path().join("gone.png")),
                _ => sample.clone(),
            })
            .collect();
        let paired = Paired::new(loader(&samples, 8, None), loader(&lost, 16, None)).unwrap();
        let batch = paired.epoch(0, 0).next().unwrap().unwrap();
        assert_eq!((batch.shape[0], batch.for_teacher), (4, None));
    }
}
