//! What a model is told by a few batches before it is judged: statistics of its norms, and evidence for what may go.
//!
//! Above: Rust users. Below: `setup`, `taper_engine::Recalibration`, `taper_train::evidence`. Not here: averages and sums (those),
//! training (`fine_tune`).

use candle_core::Device;
use taper_data::{Dataset, Loader};
use taper_engine::Recalibration;
use taper_layers::Network;
use taper_model::Model;
use taper_train::{Batches, Evidence};

use crate::error::{Error, Result};
use crate::options::{FineTuneOptions, at_least};
use crate::setup;
use crate::task::Objective;
use crate::tune::new_network;

/// The model with statistics of its batch norms that are exact averages over `batches` batches of `dataset.train`, or as many as an
/// epoch has ([`taper_engine::Recalibration`]); all else stays. Due whenever channels were cut.
///
/// Of the options, `batch_size`, `seed`, `threads` and those of augmentation decide: the batches are the first that training with them
/// would see, or, with [`Augment::None`](crate::Augment::None), pictures as they are evaluated. The same options give the same bits.
///
/// # Errors
/// [`Error::Option`] for no batch, and what training says of pictures or of a batch that is too small.
///
/// # Examples
/// ```
/// use taper_data::{Dataset, Image, Sample};
/// use taper_model::{Model, Preprocess};
/// use taper_recipes::{FineTuneOptions, recalibrate};
///
/// let drawn = |class: u32, level: u8| Sample::from_image(format!("{level}"), class, Image::new(16, 16, vec![level; 16 * 16 * 3]).unwrap());
/// let samples: Vec<Sample> = (0..8).map(|i| drawn(u32::from(i % 2), 30 * i)).collect();
/// let dataset = Dataset::new(["dark", "bright"], samples.clone(), samples)?;
/// let preprocess = Preprocess { input_size: [32, 32], ..Preprocess::imagenet() };
/// let graph = taper_zoo::architecture("mobilenetv2_035")?.graph(2)?;
/// let model = Model::random(graph, 0, preprocess, dataset.classes.clone())?;
/// let options = FineTuneOptions { batch_size: 4, ..FineTuneOptions::default() };
/// let new = recalibrate(&model, &dataset, 2, &options)?;
/// assert_ne!(new.tensor("bn1.running_mean"), model.tensor("bn1.running_mean"));
/// assert_eq!(new.tensor("bn1.weight"), model.tensor("bn1.weight"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn recalibrate(
    model: &Model,
    dataset: &Dataset,
    batches: usize,
    options: &FineTuneOptions,
) -> Result<Model> {
    let (loader, least) = first_batches(model, dataset, batches, options)?;
    let engine = |source| Error::Engine { source };
    let mut recalibration = Recalibration::new(model, options.threads).map_err(engine)?;
    let mut skipped = Vec::new();
    for batch in loader.epoch(0, 0).take(batches) {
        let mut batch = batch.map_err(setup::data)?;
        skipped.append(&mut batch.skipped);
        if batch.indices.len() >= least {
            recalibration.add(&batch.xs, batch.shape).map_err(engine)?;
        }
    }
    if recalibration.batches() == 0 {
        let source = taper_train::Error::nothing_left("training", skipped);
        return Err(Error::Train { source });
    }
    recalibration.finish().map_err(engine)
}

/// What `batches` batches of `dataset.train`, or as many as an epoch has, say of a model's parameters and of the channels of the nodes
/// `watched`, with the loss that training has ([`taper_train::evidence`]). The options decide as for [`recalibrate`].
///
/// # Errors
/// As [`recalibrate`]; [`Error::Train`] for a node that the model does not have.
pub fn gather_evidence(
    model: &Model,
    dataset: &Dataset,
    watched: &[&str],
    batches: usize,
    options: &FineTuneOptions,
) -> Result<Evidence> {
    let (loader, _) = first_batches(model, dataset, batches, options)?;
    let (network, objective) = (new_network(model, options)?, Objective::new(dataset, options)?);
    let batches = Batches::epoch(&loader, 0, 0).take(batches);
    taper_train::evidence(network, batches, objective.loss(), watched)
        .map_err(|source| Error::Train { source })
}

/// Normalized images, channels last, and their `[n, h, w]`.
pub(crate) type Images = (Vec<f32>, [usize; 3]);

/// The images of those batches, one batch after the other, and how many there are at most.
pub(crate) fn training_images(
    model: &Model,
    dataset: &Dataset,
    batches: usize,
    options: &FineTuneOptions,
) -> Result<(impl Iterator<Item = Result<Images>>, usize)> {
    let (loader, _) = first_batches(model, dataset, batches, options)?;
    let most = batches.saturating_mul(options.batch_size).min(dataset.train.len());
    let images = loader.epoch(0, 0).take(batches).map(|batch| {
        let batch = batch.map_err(setup::data)?;
        Ok((batch.xs, batch.shape))
    });
    Ok((images, most))
}

/// A loader of training batches, and how many pictures its batches need in training mode.
fn first_batches(
    model: &Model,
    dataset: &Dataset,
    batches: usize,
    options: &FineTuneOptions,
) -> Result<(Loader, usize)> {
    options.check()?;
    at_least("batches", batches, 1)?;
    dataset.validate_training().map_err(setup::data)?;
    let failed = |source: taper_layers::Error| Error::Train { source: source.into() };
    let network = Network::new(model, &Device::Cpu).map_err(failed)?;
    let least = network.min_batch(model.preprocess().input_size).map_err(failed)?;
    at_least("batch_size", options.batch_size, least)?;
    let loader = setup::train_loader(dataset, model.preprocess(), least, options)?;
    Ok((loader, least))
}

#[cfg(test)]
mod tests {
    use taper_data::sample_set;
    use taper_model::Preprocess;

    use super::*;
    use crate::options::Augment;

    fn small() -> (Model, Dataset) {
        let dataset = sample_set::emoji6().unwrap();
        let graph = taper_zoo::architecture("mobilenetv2_035").unwrap().graph(6).unwrap();
        let preprocess = Preprocess { input_size: [32, 32], ..Preprocess::imagenet() };
        (Model::random(graph, 7, preprocess, dataset.classes.clone()).unwrap(), dataset)
    }

    fn options() -> FineTuneOptions {
        FineTuneOptions { batch_size: 8, augment: Augment::None, ..FineTuneOptions::default() }
    }

    #[test]
    fn only_statistics_change_and_seed_and_number_of_batches_decide() {
        let (model, dataset) = small();
        let run = |batches, seed| {
            recalibrate(&model, &dataset, batches, &FineTuneOptions { seed, ..options() }).unwrap()
        };
        let new = run(3, 0);
        assert_eq!(new, run(3, 0));
        assert_ne!(new, run(2, 0));
        assert_ne!(new, run(3, 1));
        let specs = model.graph().params().iter();
        for ((spec, old), new) in specs.zip(model.tensors()).zip(new.tensors()) {
            assert_eq!(old == new, spec.role.is_trained(), "{}", spec.name);
        }
        let augmented = FineTuneOptions { augment: Augment::Yes, ..options() };
        assert_ne!(new, recalibrate(&model, &dataset, 3, &augmented).unwrap());
    }

    /// Statistics that are those of the saved weights already stay what they are.
    #[test]
    fn a_run_with_precise_norms_saves_a_model_that_needs_no_recalibration() {
        let (model, dataset) = small();
        let dir = tempfile::tempdir().unwrap();
        let start = dir.path().join("start.safetensors");
        model.save(&start).unwrap();
        let run = |precise_bn, name: &str| {
            let options = FineTuneOptions {
                model: start.display().to_string(),
                epochs: 1,
                head_epochs: 0,
                lr: Some(1e-3),
                precise_bn,
                out: Some(dir.path().join(name)),
                ..options()
            };
            let stop = std::sync::atomic::AtomicBool::new(false);
            let few = Dataset {
                train: dataset.train[..40].to_vec(),
                val: dataset.val[..10].to_vec(),
                ..dataset.clone()
            };
            let report = crate::fine_tune_on(&few, &options, &stop, &mut crate::Silent).unwrap();
            let model = Model::load(report.model.unwrap()).unwrap();
            let again = recalibrate(&model, &few, 3, &options).unwrap();
            model.tensors() == again.tensors()
        };
        assert!(run(Some(3), "precise"));
        assert!(!run(None, "moving"));
    }

    #[test]
    fn requests_that_cannot_be_meant_are_refused() {
        let (model, dataset) = small();
        let none = recalibrate(&model, &dataset, 0, &options()).unwrap_err();
        assert!(matches!(none, Error::Option { field: "batches", .. }), "{none}");
        let one = FineTuneOptions { batch_size: 1, ..options() };
        let one = recalibrate(&model, &dataset, 3, &one).unwrap_err();
        assert!(matches!(one, Error::Option { field: "batch_size", .. }), "{one}");
    }

    #[test]
    fn evidence_is_of_every_trained_parameter_and_every_watched_channel() {
        let (model, dataset) = small();
        let watched = ["bn1", "global_pool"];
        let seen = gather_evidence(&model, &dataset, &watched, 2, &options()).unwrap();
        assert_eq!((seen.batches, seen.samples), (2, 16));
        for ((spec, sum), square) in
            model.graph().params().iter().zip(&seen.gradients).zip(&seen.squared_gradients)
        {
            let expected = if spec.role.is_trained() { spec.len() } else { 0 };
            assert_eq!([sum.len(), square.len()], [expected; 2], "{}", spec.name);
        }
        let channels: Vec<usize> = seen.activations.iter().map(|of| of.absolute.len()).collect();
        assert_eq!(channels, [model.tensor("bn1.weight").unwrap().shape[0], 1280]);
        assert_eq!(seen, gather_evidence(&model, &dataset, &watched, 2, &options()).unwrap());
    }
}
