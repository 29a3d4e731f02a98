//! What a run has besides its steps: the teacher, and hooks for the penalty on norms, masks, gradual unfreezing, and whatever
//! the caller adds; and the statistics of norms that are recalibrated before.
//!
//! Above: `tune`. Below: `taper_train::{Teacher, StepHook}`, `taper_classifier`. Not here: where teacher and masks come from
//! (`fine_tune`), what a hook does (`taper_train`).

use taper_classifier::class_names;
use taper_data::Dataset;
use taper_engine::{Session, SessionOptions};
use taper_graph::{Graph, Op};
use taper_layers::{Network, loss::Distillation};
use taper_model::{Model, Preprocess, Task};
use taper_train::{L1Penalty, Masks, StepHook, Teacher, Unfreeze};

use super::sizes;
use crate::error::{Error, Result};
use crate::evaluate::listed;
use crate::options::{Augment, FineTuneOptions, Norms};
use crate::recalibrate::recalibrate;
use crate::run::MasksByName;
use crate::setup;
use crate::task::{LOGITS, task_of};

/// Refuses a model that has other classes than the pictures, or the same in another order.
///
/// # Errors
/// [`Error::OtherClasses`]; [`Error::NoClasses`] where one of both has no classes but labels or numbers.
pub(crate) fn same_classes(what: &'static str, model: &Model, dataset: &Dataset) -> Result<()> {
    let [of_model, of_pictures] = [model.task(), task_of(dataset.kind())];
    for (whose, task) in [(what, of_model), ("data set", of_pictures)] {
        if task != Task::Classification {
            return Err(Error::NoClasses { what: whose, task });
        }
    }
    let classes = &dataset.classes;
    let theirs = class_names(model).map_err(setup::classifier)?;
    if theirs == *classes {
        return Ok(());
    }
    let (theirs, folder) = (listed(theirs.iter()), listed(classes.iter()));
    Err(Error::OtherClasses { what, theirs, folder })
}

/// The teacher of a student whose pictures are prepared as `student` says.
pub(super) fn teacher(
    model: &Model,
    student: &Preprocess,
    options: &FineTuneOptions,
) -> Result<Option<Teacher>> {
    let Some((temperature, weight)) = options.distillation() else { return Ok(None) };
    if weight == 0.0 {
        // It has said what it has to say of pictures without labels.
        return Ok(None);
    }
    let session = SessionOptions { threads: options.threads, outputs: vec![LOGITS.to_owned()] };
    let session = Session::new(model, &session).map_err(|source| Error::Engine { source })?;
    let own = model.preprocess();
    let seen = |size| Teacher::seen_size(own.input_size, size);
    let mut sizes = sizes::of_run(student.input_size, options).into_iter().map(seen);
    if let Some([h, w]) = sizes.find(|&[h, w]| session.output_shapes([1, h, w]).is_err()) {
        let expected =
            format!("a network that takes pictures of {h}x{w} pixels, as are trained with");
        return Err(Error::option(
            "teacher",
            &options.teacher.clone().unwrap_or_default(),
            expected,
        ));
    }
    let train = |source| Error::Train { source };
    let distillation = Distillation::new(temperature).map_err(|source| train(source.into()))?;
    let teacher = Teacher::new(session, distillation, weight).map_err(train)?;
    let teacher = teacher.with_input_size(own.input_size);
    let teacher = match model.confidence() {
        Some(confidence) => teacher.with_calibration(confidence.temperature()).map_err(train)?,
        None => teacher,
    };
    Ok(Some(match bits(own) == bits(student) {
        true => teacher,
        false => teacher.with_pixels(renormalized(student, own)),
    }))
}

/// What decides whether two networks see the same pixels.
fn bits(preprocess: &Preprocess) -> [[u32; 3]; 2] {
    [preprocess.mean, preprocess.std].map(|values| values.map(f32::to_bits))
}

/// `x · std + mean` is a pixel from 0 to 1 again, which the other network wants as `(pixel − mean) / std`.
fn renormalized(from: &Preprocess, to: &Preprocess) -> Vec<[f32; 2]> {
    let channel = |c: usize| [from.std[c] / to.std[c], (from.mean[c] - to.mean[c]) / to.std[c]];
    (0..from.mean.len()).map(channel).collect()
}

/// The hooks of a run, in their order: the penalty on norms, masks, gradual unfreezing.
pub(super) fn hooks<'a>(
    network: &Network,
    masks: Option<&MasksByName>,
    options: &FineTuneOptions,
) -> Result<Vec<Box<dyn StepHook + 'a>>> {
    let mut hooks: Vec<Box<dyn StepHook + 'a>> = Vec::new();
    if let Some(lambda) = options.bn_l1 {
        let penalty = L1Penalty::new(lambda, norm_scales(network.graph()));
        hooks.push(Box::new(penalty.map_err(|source| Error::Train { source })?));
    }
    if let Some(masks) = masks {
        let masks = Masks::new(masks.clone());
        masks.check(network).map_err(|source| Error::Train { source })?;
        hooks.push(Box::new(masks));
    }
    if let Some(unfreeze) = unfreeze(network.graph(), options)? {
        hooks.push(Box::new(unfreeze));
    }
    Ok(hooks)
}

/// The hook that unfreezes a network part by part, if that is asked for.
pub(crate) fn unfreeze(graph: &Graph, options: &FineTuneOptions) -> Result<Option<Unfreeze>> {
    let Some(every) = options.unfreeze_every else { return Ok(None) };
    let parts = taper_transfer::parts_from_the_end(graph);
    let parts = parts.map_err(|source| Error::Transfer { source })?;
    Unfreeze::new(every, parts).map(Some).map_err(|source| Error::Train { source })
}

/// What is to be said of a run that ends before each part that may be trained had its turn.
pub(super) fn never_unfrozen(
    network: &Network,
    options: &FineTuneOptions,
) -> Result<Option<String>> {
    let Some(unfreeze) = unfreeze(network.graph(), options)? else { return Ok(None) };
    let FineTuneOptions { epochs, unfreeze_every, .. } = options;
    // Parts that are frozen in any case need no turn.
    let trained = || network.params().iter().filter(|param| param.is_trained());
    let held = trained().filter(|param| unfreeze.holds(epochs.saturating_sub(1), &param.name));
    let never: usize = held.map(|param| param.var.elem_count()).sum();
    if never == 0 {
        return Ok(None);
    }
    let last = trained().map(|param| unfreeze.first_epoch(&param.name)).max().unwrap_or(0);
    let enough = last.saturating_add(1);
    let every = unfreeze_every.unwrap_or(1);
    Ok(Some(format!(
        "with one more part every {every} of {epochs} epochs (`unfreeze_every`), {never} parameters stay frozen to the end; all parts have their \
         turn in {enough} `epochs`, or with a smaller `unfreeze_every`"
    )))
}

/// The model with norms that have the statistics of the training pictures, as they are evaluated.
pub(super) fn recalibrated(
    model: &Model,
    dataset: &Dataset,
    options: &FineTuneOptions,
) -> Result<Model> {
    let plain = FineTuneOptions {
        augment: Augment::None,
        erase: 0.0,
        mixup: 0.0,
        cutmix: 0.0,
        repeats: 1,
        norms: Some(Norms::Train),
        ..options.clone()
    };
    recalibrate(model, dataset, dataset.train.len().div_ceil(plain.batch_size.max(1)), &plain)
}

/// The names of the scales of batch norms.
fn norm_scales(graph: &Graph) -> impl Iterator<Item = String> {
    let norms = graph.nodes().iter().filter(|node| matches!(node.op(), Op::BatchNorm { .. }));
    norms.filter_map(|node| node.params().first()).map(|&scale| graph.param(scale).name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_reach_a_teacher_as_its_own_preprocessing_would_have_made_them() {
        let student = Preprocess::imagenet();
        let teacher = Preprocess { mean: [0.5, 0.25, 0.75], std: [0.5, 0.25, 1.0], ..student };
        for (c, [scale, shift]) in renormalized(&student, &teacher).into_iter().enumerate() {
            for pixel in [0.0f32, 0.3, 1.0] {
                let x = (pixel - student.mean[c]) / student.std[c];
                let expected = (pixel - teacher.mean[c]) / teacher.std[c];
                assert!((x * scale + shift - expected).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn epochs_that_are_too_few_for_all_parts_are_told_with_how_many_would_do() {
        let graph = taper_zoo::architecture("mobilenetv2_035").unwrap().graph(6).unwrap();
        let model = Model::random(graph, 1, Preprocess::imagenet(), Vec::new()).unwrap();
        let told = |epochs, unfreeze_every, freeze: &str| {
            let freeze = freeze.parse().unwrap();
            let options =
                FineTuneOptions { epochs, unfreeze_every, freeze, ..FineTuneOptions::default() };
            let network = crate::tune::frozen_network(&model, &options).unwrap();
            never_unfrozen(&network, &options).unwrap()
        };
        assert_eq!(told(1, None, "none"), None);
        let text = told(6, Some(2), "none").unwrap();
        assert!(text.contains("stay frozen to the end"), "{text}");
        // Classifier, head, seven stages, stem: ten parts, the last after nine times two epochs.
        assert!(text.contains("in 19 `epochs`"), "{text}");
        assert!(told(18, Some(2), "none").is_some());
        assert_eq!(told(19, Some(2), "none"), None);
        // What is frozen in any case needs no turn.
        let text = told(2, Some(1), "blocks.3").unwrap();
        assert!(text.contains("in 5 `epochs`"), "{text}");
        assert_eq!(told(5, Some(1), "blocks.3"), None);
    }

    #[test]
    fn the_penalty_is_on_the_scales_of_batch_norms_alone() {
        let graph = taper_zoo::architecture("mobilenetv2_035").unwrap().graph(6).unwrap();
        let names: Vec<String> = norm_scales(&graph).collect();
        assert_eq!((names.len(), names[0].as_str()), (52, "bn1.weight"));
        assert!(names.iter().all(|name| name.ends_with(".weight") && name.contains("bn")));
    }
}
