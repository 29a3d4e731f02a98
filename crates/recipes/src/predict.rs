//! Predicting: what pictures show.
//!
//! Above: the binary, Rust users. Below: `source`, `taper_classifier`, `taper_data`. Not here: comparing with the truth (`evaluate`), the same for
//! bytes and many threads (`taper_classifier::Classifier`).

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use taper_classifier::{Classifier, ClassifierOptions, eval_views};
use taper_data::folder::{Listing, list_pictures};
use taper_model::Task;

use crate::error::{Error, Result};
use crate::observer::{Observer, Silent};
use crate::options::PredictOptions;
use crate::report::{PredictedNumber, Prediction};
use crate::setup;
use crate::source::ModelSource;

/// Loads a model and returns what it sees in each picture, one after the other as the iterator is drawn. Weights that are not
/// on this machine are downloaded without a word; [`predict_observed`] tells of it.
///
/// # Errors
/// For the request as a whole; a picture that cannot be read is an error of its own item.
///
/// # Examples
/// ```
/// use taper_recipes::{PredictOptions, predict};
///
/// let dir = tempfile::tempdir()?;
/// taper_data::sample_set::export(dir.path())?;
/// let image = dir.path().join("train/vehicle/anchor.png");
/// for prediction in predict(&PredictOptions::new("mobilenetv2_100", vec![image]))? {
///     let prediction = prediction?;
///     assert_eq!(prediction.predictions.len(), 5);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn predict(
    options: &PredictOptions,
) -> Result<impl Iterator<Item = Result<Prediction>> + use<>> {
    predict_observed(options, &AtomicBool::new(false), &mut Silent)
}

/// As [`predict`], and tells an observer when weights have to be downloaded, which ends when `stop` is set.
///
/// # Errors
/// As [`predict`]; [`Error::Stopped`].
pub fn predict_observed(
    options: &PredictOptions,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<impl Iterator<Item = Result<Prediction>> + use<>> {
    options.check()?;
    let model = ModelSource::resolve(&options.model)?.load(stop, observer)?;
    let model = setup::at_size(model, options.image_size)?;
    let views = eval_views(model.preprocess(), options.tta.views()).map_err(setup::classifier)?;
    let classifying = ClassifierOptions::default().with_threads(options.threads).with_views(views);
    let classifier = Classifier::new(&model, &classifying).map_err(setup::classifier)?;
    let can_tell = classifier.confidence().is_some_and(|it| it.familiarity().is_some());
    if options.unknown && !can_tell {
        return Err(setup::classifier(taper_classifier::Error::NoFamiliarity));
    }
    let (images, top, unknown) = (files(&options.images)?, options.top, options.unknown);
    Ok(images.into_iter().map(move |path| look_at(&classifier, &path, top, unknown)))
}

/// The files as they are, and in the place of a folder what lies in it, by name; what is no picture will say so.
fn files(images: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in images {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let Listing { mut pictures, skipped } = list_pictures(path).map_err(setup::data)?;
        pictures.extend(skipped.iter().map(|skipped| path.join(&skipped.name)));
        pictures.sort_unstable();
        files.append(&mut pictures);
    }
    Ok(files)
}

fn look_at(classifier: &Classifier, path: &Path, top: usize, unknown: bool) -> Result<Prediction> {
    let plain = Prediction {
        image: path.display().to_string(),
        predictions: Vec::new(),
        numbers: Vec::new(),
        familiarity: None,
        unknown: None,
    };
    let found = match classifier.task() {
        Task::Classification | Task::MultiLabel if unknown => {
            classifier.recognize(path, top).map(|found| Prediction {
                predictions: found.predictions,
                familiarity: Some(found.familiarity),
                unknown: Some(!found.is_known),
                ..plain
            })
        }
        Task::Classification | Task::MultiLabel => {
            let found = classifier.classify(path, top);
            found.map(|predictions| Prediction { predictions, ..plain })
        }
        Task::Regression => classifier.logits(path).map(|values| {
            let named = classifier.classes().iter().cloned().zip(values);
            let numbers =
                named.map(|(name, value)| PredictedNumber { name, value: f64::from(value) });
            Prediction { numbers: numbers.collect(), ..plain }
        }),
    };
    match found {
        Ok(prediction) => Ok(prediction),
        Err(taper_classifier::Error::Picture { source, .. }) => {
            Err(Error::Picture { path: path.to_path_buf(), source: *source })
        }
        Err(error) => Err(setup::classifier(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_folder_stands_for_the_files_in_it() {
        let dir = tempfile::tempdir().unwrap();
        taper_data::sample_set::export(dir.path()).unwrap();
        let flat = dir.path().join("flat");
        fs::create_dir(&flat).unwrap();
        let pictures = fs::read_dir(dir.path().join("val/food")).unwrap();
        let mut names: Vec<_> = pictures.map(|entry| entry.unwrap().path()).collect();
        names.sort();
        let one = names[2].clone();
        for (name, from) in ["b.png", "a.jpg"].iter().zip(&names) {
            fs::copy(from, flat.join(name)).unwrap();
        }
        fs::write(flat.join("notes.txt"), "b, then a").unwrap();
        let options = PredictOptions::new("mobilenetv2_100", vec![one.clone(), flat.clone()]);
        let found: Vec<_> = predict(&options).unwrap().collect();
        let shown = |path: &Path| path.display().to_string();
        let images: Vec<_> = found.iter().flatten().map(|found| found.image.clone()).collect();
        assert_eq!(images, [shown(&one), shown(&flat.join("a.jpg")), shown(&flat.join("b.png"))]);
        let refused = found.last().and_then(|last| last.as_ref().err()).unwrap();
        assert!(matches!(refused, Error::Picture { path, .. } if path.ends_with("notes.txt")));

        let empty = dir.path().join("empty");
        fs::create_dir(&empty).unwrap();
        let refused = predict(&PredictOptions::new("mobilenetv2_100", vec![empty])).err().unwrap();
        assert!(refused.is_request(), "{refused}");
    }
}
