//! Pictures that grow from epoch to epoch, progressive resizing, and the size in which a teacher sees them.
//!
//! Above: `tune`, `fine_tune::fitting`. Below: `setup`, `taper_train::{Batches, Paired}`. Not here: the sizes of an option (`options::sizes`).
//! Early epochs on small pictures take a fraction of the time, and the last ones see what the network will see (Howard 2018,
//! <https://www.fast.ai/posts/2018-08-10-fastai-diu-imagenet.html>; Tan and Le 2021, <https://arxiv.org/abs/2104.00298>, section 4).

use taper_data::batch::Piece;
use taper_data::{Batch, Dataset};
use taper_layers::Network;
use taper_model::Preprocess;
use taper_train::{Batches, Paired, Teacher};

use crate::error::{Error, Result};
use crate::options::FineTuneOptions;
use crate::setup;

/// Training batches whose pictures have in each epoch a size of its own, in the same order and of the same samples as with one; and the same for a teacher.
pub(super) struct Growing {
    /// One a size.
    loaders: Vec<Box<dyn Batches>>,
    /// The loader of each epoch.
    of_epoch: Vec<usize>,
}

impl Growing {
    /// `teacher` says what one that looks at the batches expects of pictures.
    pub(super) fn new(
        dataset: &Dataset,
        preprocess: &Preprocess,
        teacher: Option<&Preprocess>,
        min_batch: usize,
        options: &FineTuneOptions,
    ) -> Result<Self> {
        let sizes = options.image_sizes(preprocess.input_size[0]);
        let mut distinct = sizes.clone();
        distinct.dedup();
        let loader =
            |preprocess: &Preprocess| setup::train_loader(dataset, preprocess, min_batch, options);
        let loader = |&size: &usize| -> Result<Box<dyn Batches>> {
            let batches = loader(&Preprocess { input_size: [size; 2], ..*preprocess })?;
            let Some(seen) = teacher.and_then(|own| for_teacher(own, [size; 2])) else {
                return Ok(Box::new(batches));
            };
            let paired = Paired::new(batches, loader(&seen)?);
            Ok(Box::new(paired.map_err(|source| Error::Train { source })?))
        };
        let loaders = distinct.iter().map(loader).collect::<Result<_>>()?;
        let place = |size: &usize| distinct.iter().position(|other| other == size).unwrap_or(0);
        Ok(Growing { loaders, of_epoch: sizes.iter().map(place).collect() })
    }

    /// The loader of an epoch; behind the last, of the last.
    fn of(&self, epoch: usize) -> &dyn Batches {
        let place = self.of_epoch.get(epoch).or(self.of_epoch.last()).copied().unwrap_or(0);
        &*self.loaders[place]
    }
}

impl Batches for Growing {
    fn n_samples(&self) -> usize {
        self.of(0).n_samples()
    }

    fn n_batches(&self) -> usize {
        self.of(0).n_batches()
    }

    fn epoch(
        &self,
        epoch: usize,
        start_batch: usize,
    ) -> Box<dyn Iterator<Item = taper_train::Result<Batch>> + '_> {
        self.of(epoch).epoch(epoch, start_batch)
    }

    fn pieces(
        &self,
        epoch: usize,
        pieces: Vec<Piece>,
    ) -> Box<dyn Iterator<Item = taper_train::Result<Batch>> + '_> {
        self.of(epoch).pieces(epoch, pieces)
    }
}

/// How pictures are prepared for a teacher where it sees others than the student, whose pictures have this size.
pub(crate) fn for_teacher(own: &Preprocess, size: [usize; 2]) -> Option<Preprocess> {
    let input_size = Teacher::seen_size(own.input_size, size);
    (input_size != size).then_some(Preprocess { input_size, ..*own })
}

/// Height and width of the pictures that a run trains with, each once, in the order in which it comes to them.
pub(super) fn of_run([height, width]: [usize; 2], options: &FineTuneOptions) -> Vec<[usize; 2]> {
    if options.image_size_from.is_none() {
        return vec![[height, width]];
    }
    let mut sizes = options.image_sizes(height);
    sizes.dedup();
    sizes.into_iter().map(|size| [size; 2]).collect()
}

/// The fewest pictures of a step at any of the sizes that a run comes to.
///
/// # Errors
/// [`Error::Option`] for sizes that do not grow, and for a network that takes pictures of one size alone.
pub(crate) fn min_batch(
    network: &Network,
    input_size: [usize; 2],
    options: &FineTuneOptions,
) -> Result<usize> {
    let least =
        |size| network.min_batch(size).map_err(|source| Error::Train { source: source.into() });
    let Some(from) = options.image_size_from else { return least(input_size) };
    let [height, width] = input_size;
    if height != width {
        let expected = format!(
            "absent: this network takes pictures of {height}x{width} pixels, which are not square"
        );
        return Err(Error::option("image_size_from", &from, expected));
    }
    if from >= height {
        let expected = format!("less than the {height} that pictures grow to");
        return Err(Error::option("image_size_from", &from, expected));
    }
    let mut most = least(input_size)?;
    for [h, w] in of_run(input_size, options) {
        most = most.max(network.min_batch([h, w]).map_err(|_other_size| {
            let expected = format!("absent: this network takes pictures of {height}x{width} pixels alone, and none of {h}x{w}");
            Error::option("image_size_from", &from, expected)
        })?);
    }
    Ok(most)
}

#[cfg(test)]
mod tests {
    use taper_data::sample_set;

    use super::*;

    #[test]
    fn a_teacher_of_much_larger_pictures_has_its_own_of_every_batch_of_each_size() {
        let dataset = sample_set::emoji6().unwrap();
        let of_size = |size| Preprocess { input_size: [size; 2], ..Preprocess::imagenet() };
        let (student, own) = (of_size(64), of_size(72));
        let options = FineTuneOptions {
            epochs: 2,
            image_size_from: Some(32),
            batch_size: 8,
            ..FineTuneOptions::default()
        };
        let first = |teacher, epoch| {
            let growing = Growing::new(&dataset, &student, teacher, 1, &options).unwrap();
            growing.epoch(epoch, 0).next().unwrap().unwrap()
        };
        let seen = |batch: Batch| batch.for_teacher.map(|seen| seen.shape);
        assert_eq!(seen(first(None, 0)), None);
        assert_eq!(seen(first(Some(&own), 0)), Some([8, 72, 72]));
        // In the second epoch pictures have 64 pixels, which it knows.
        assert_eq!(seen(first(Some(&own), 1)), None);
        assert_eq!(first(Some(&own), 0).xs, first(None, 0).xs);
    }
}
