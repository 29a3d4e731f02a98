//! Predicting: what pictures show.
//!
//! Above: the binary, Rust users. Below: `source`, `taper_classifier`. Not here: comparing with the truth (`evaluate`), the same for
//! bytes and many threads (`taper_classifier::Classifier`).

use std::path::Path;
use std::sync::atomic::AtomicBool;

use taper_classifier::{Classifier, ClassifierOptions};

use crate::error::{Error, Result};
use crate::observer::{Observer, Silent};
use crate::options::PredictOptions;
use crate::report::Prediction;
use crate::setup;
use crate::source::Source;

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
    let model = Source::resolve(&options.model)?.load(stop, observer)?;
    let classifying = ClassifierOptions::default().with_threads(options.threads);
    let classifier = Classifier::new(&model, &classifying).map_err(setup::classifier)?;
    let (images, top) = (options.images.clone(), options.top);
    Ok(images.into_iter().map(move |path| look_at(&classifier, &path, top)))
}

fn look_at(classifier: &Classifier, path: &Path, top: usize) -> Result<Prediction> {
    match classifier.classify(path, top) {
        Ok(predictions) => Ok(Prediction { image: path.display().to_string(), predictions }),
        Err(taper_classifier::Error::Picture { source, .. }) => {
            Err(Error::Picture { path: path.to_path_buf(), source: *source })
        }
        Err(error) => Err(setup::classifier(error)),
    }
}
