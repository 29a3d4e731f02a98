//! Predicting: what pictures show.
//!
//! Above: the binary, Rust users, `look`. Below: `source`, `taper_data`, `taper_engine`. Not here: comparing with the truth
//! (`evaluate`).

use std::path::Path;
use std::sync::atomic::AtomicBool;

use taper_data::random::Rng;
use taper_data::transform::Resampler;
use taper_data::{Image, Transform, image};
use taper_engine::{Session, SessionOptions};
use taper_model::Preprocess;

use crate::classification::LOGITS;
use crate::error::{Error, Result};
use crate::evaluate::names;
use crate::observer::Silent;
use crate::options::PredictOptions;
use crate::report::{ClassProbability, Prediction};
use crate::{setup, source};

/// Loads a model and returns what it sees in each picture, one after the other as the iterator is drawn. Weights that are not
/// on this machine are downloaded without a word; [`download`](crate::download) them before to hear of it.
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
    options.check()?;
    let model = source::load(&options.model, &AtomicBool::new(false), &mut Silent)?;
    let session = SessionOptions { threads: options.threads, outputs: vec![LOGITS.to_owned()] };
    let mut predictor = Predictor {
        session: Session::new(&model, &session).map_err(|source| Error::Engine { source })?,
        reader: Reader::new(model.preprocess())?,
        classes: names(&model),
        top: options.top,
    };
    let images = options.images.clone();
    Ok(images.into_iter().map(move |path| predictor.look_at(&path)))
}

struct Predictor {
    session: Session,
    reader: Reader,
    classes: Vec<String>,
    top: usize,
}

impl Predictor {
    fn look_at(&mut self, path: &Path) -> Result<Prediction> {
        let xs = self.reader.read(path)?;
        let [h, w] = self.reader.transform.size();
        let logits = self.session.run(&xs, [1, h, w]).map_err(|source| Error::Engine { source })?;
        let predictions = likeliest(logits, &self.classes, self.top);
        Ok(Prediction { image: path.display().to_string(), predictions })
    }
}

/// Pictures as a network sees them when it is not trained.
pub(crate) struct Reader {
    transform: Transform,
    resampler: Resampler,
}

impl Reader {
    pub(crate) fn new(preprocess: &Preprocess) -> Result<Self> {
        let transform = setup::eval_transform(preprocess)?;
        Ok(Self { transform, resampler: Resampler::default() })
    }

    /// The network's input for a file, `(h, w, 3)`, normalized.
    pub(crate) fn read(&mut self, path: &Path) -> Result<Vec<f32>> {
        let image = image::read(path)
            .map_err(|source| Error::Picture { path: path.to_path_buf(), source })?;
        Ok(self.see(&image))
    }

    /// The same for a picture.
    pub(crate) fn see(&mut self, image: &Image) -> Vec<f32> {
        let [h, w] = self.transform.size();
        let mut xs = vec![0.0; h * w * 3];
        let mut rng = Rng::keyed([0, 0, 0]); // evaluation draws nothing
        self.transform.apply(image, &mut rng, &mut self.resampler, &mut xs);
        xs
    }
}

/// The `top` largest logits as probabilities; of equal ones, the lower index first.
pub(crate) fn likeliest(logits: &[f32], classes: &[String], top: usize) -> Vec<ClassProbability> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exps: Vec<f64> = logits.iter().map(|logit| f64::from(logit - largest).exp()).collect();
    let total: f64 = exps.iter().sum();
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    let classes = |index: usize| classes.get(index).cloned().unwrap_or_else(|| index.to_string());
    order
        .into_iter()
        .take(top)
        .map(|index| ClassProbability {
            class: classes(index),
            index,
            probability: exps[index] / total,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_a_softmax_in_falling_order() {
        let classes = ["a", "b", "c"].map(str::to_owned);
        let found = likeliest(&[0.0, 2.0_f32.ln(), 0.0], &classes, 2);
        assert_eq!((found[0].class.as_str(), found[0].index), ("b", 1));
        assert!((found[0].probability - 0.5).abs() < 1e-6);
        assert_eq!((found[1].class.as_str(), found.len()), ("a", 2));
    }

    #[test]
    fn more_classes_than_there_are_gives_all() {
        assert_eq!(likeliest(&[1.0, 2.0], &[], 5).len(), 2);
    }
}
