//! Predicting: what pictures show.
//!
//! Above: the binary, Rust users. Below: `source`, `taper_classifier`, `taper_data`. Not here: comparing with the truth (`evaluate`), the same for
//! bytes and many threads (`taper_classifier::Classifier`).

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use taper_classifier::{Classifier, ClassifierOptions, Input, eval_views};
use taper_data::Sample;
use taper_data::folder::{Listing, list_pictures_below};
use taper_model::{Model, Task};

use crate::data::{self, SkippedFiles};
use crate::error::{Error, Result};
use crate::observer::{Observer, Silent};
use crate::options::PredictOptions;
use crate::report::{PredictedNumber, Prediction};
use crate::setup;
use crate::source::ModelSource;

/// Loads a model and returns what it sees in each picture, one after the other as the iterator is drawn: in the files first, then in the
/// pictures of `data`. Weights that are not on this machine are downloaded without a word, and what a source leaves out by itself, such as
/// a part for tests, is not told; [`predict_observed`] tells of both.
///
/// # Errors
/// For the request as a whole, such as a source that cannot be opened; a picture that cannot be read is [`Error::Picture`] of its own item.
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

/// As [`predict`], and tells an observer when weights have to be downloaded, which ends when `stop` is set, and what a source leaves out.
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
    if options.unknown {
        setup::must_be_measured(&model, "unknown", options.image_size)?;
    }
    let model = setup::told_at_size(model, options.image_size, observer)?;
    let views = eval_views(model.preprocess(), options.tta.views()).map_err(setup::classifier)?;
    let classifying = ClassifierOptions::default().with_threads(options.threads).with_views(views);
    let classifier = Classifier::new(&model, &classifying).map_err(setup::classifier)?;
    let can_tell = classifier.confidence().is_some_and(|it| it.familiarity().is_some());
    if options.unknown && !can_tell {
        return Err(setup::classifier(taper_classifier::Error::NoFamiliarity));
    }
    let mut samples = files(&options.images)?;
    if let Some(path) = &options.data {
        samples.append(&mut of_source(path, options, &model, observer)?);
    }
    let (top, unknown) = (options.top, options.unknown);
    Ok(samples.into_iter().map(move |sample| look_at(&classifier, &sample, top, unknown)))
}

/// The files as they are, and in the place of a folder what lies in it and in folders in it, by name; what is no picture will say so.
fn files(images: &[PathBuf]) -> Result<Vec<Sample>> {
    let mut files = Vec::new();
    for path in images {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let Listing { mut pictures, skipped } = list_pictures_below(path).map_err(setup::data)?;
        pictures.extend(skipped.iter().map(|skipped| path.join(&skipped.name)));
        pictures.sort_unstable();
        files.append(&mut pictures);
    }
    let sample = |path: PathBuf| Sample::from_file(path.display().to_string(), 0, path);
    Ok(files.into_iter().map(sample).collect())
}

/// The pictures of a source, each of which will say whether it is one; what the source leaves out is told at once.
fn of_source(
    path: &Path,
    options: &PredictOptions,
    model: &Model,
    observer: &mut dyn Observer,
) -> Result<Vec<Sample>> {
    let dataset = match data::to_predict(path, options, model) {
        Err(Error::Data { source: taper_data::Error::FlatFolder { path: flat, .. } }) => {
            return files(&[flat]);
        }
        opened => opened?,
    };
    let root = data::root(Some(path), options.table.as_deref());
    SkippedFiles::new(root).tell(&dataset.skipped, observer);
    Ok(dataset.val)
}

/// What a picture shows.
fn look_at(
    classifier: &Classifier,
    sample: &Sample,
    top: usize,
    unknown: bool,
) -> Result<Prediction> {
    let path = data::path_or_name(sample);
    let refused = |source| Error::Picture { path: path.to_path_buf(), source };
    let image;
    let input: Input<'_> = match sample.path() {
        Some(file) => file.into(),
        None => {
            image = sample.image().map_err(|error| match error {
                taper_data::Error::Sample { source, .. } => refused(*source),
                error => refused(error),
            })?;
            (&*image).into()
        }
    };
    let plain = Prediction {
        image: path.display().to_string(),
        predictions: Vec::new(),
        numbers: Vec::new(),
        familiarity: None,
        unknown: None,
    };
    let found = match classifier.task() {
        Task::Classification | Task::MultiLabel if unknown => {
            classifier.recognize(input, top).map(|found| Prediction {
                predictions: found.predictions,
                familiarity: Some(found.familiarity),
                unknown: Some(!found.is_known),
                ..plain
            })
        }
        Task::Classification | Task::MultiLabel => {
            let found = classifier.classify(input, top);
            found.map(|predictions| Prediction { predictions, ..plain })
        }
        Task::Regression => classifier.logits(input).map(|values| {
            let named = classifier.classes().iter().cloned().zip(values);
            let numbers =
                named.map(|(name, value)| PredictedNumber { name, value: f64::from(value) });
            Prediction { numbers: numbers.collect(), ..plain }
        }),
    };
    match found {
        Ok(prediction) => Ok(prediction),
        Err(taper_classifier::Error::Picture { source, .. }) => Err(refused(*source)),
        Err(error) => Err(setup::classifier(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::observer::Told;

    #[test]
    fn a_source_is_looked_at_picture_by_picture() {
        let dir = tempfile::tempdir().unwrap();
        let record = |label: u8| [&[label][..], &[label * 20; 3072]].concat();
        fs::write(dir.path().join("data_batch_1.bin"), record(0)).unwrap();
        fs::write(dir.path().join("test_batch.bin"), [record(1), record(0)].concat()).unwrap();
        fs::write(dir.path().join("batches.meta.txt"), "airplane\nautomobile\n").unwrap();
        let of = |data: &Path| PredictOptions {
            data: Some(data.to_path_buf()),
            ..PredictOptions::new("mobilenetv2_100", Vec::new())
        };
        let found = predict(&of(dir.path())).unwrap().map(|found| found.unwrap().image);
        let found: Vec<String> = found.collect();
        assert_eq!(found, ["test_batch/00000", "test_batch/00001"], "those of the test file");
    }

    #[test]
    fn a_broken_picture_has_its_turn_and_what_is_set_aside_has_none() {
        let dir = tempfile::tempdir().unwrap();
        taper_data::sample_set::export(&dir.path().join("all")).unwrap();
        let pictures = fs::read_dir(dir.path().join("all/val/food")).unwrap();
        let picture = pictures.map(|entry| entry.unwrap().path()).min().unwrap();
        let photos = dir.path().join("photos");
        for part in ["train", "val", "test"] {
            let class = photos.join(part).join("food");
            fs::create_dir_all(&class).unwrap();
            fs::copy(&picture, class.join("b.png")).unwrap();
        }
        let food = photos.join("val/food");
        fs::write(food.join("a.png"), "no picture").unwrap();
        // As parts, as classes, and as a folder without classes.
        for (data, set_aside) in
            [(&photos, vec![photos.join("test")]), (&photos.join("val"), vec![]), (&food, vec![])]
        {
            let options = PredictOptions {
                data: Some(data.clone()),
                ..PredictOptions::new("mobilenetv2_100", vec![picture.clone()])
            };
            let mut told = Told::default();
            let found = predict_observed(&options, &AtomicBool::new(false), &mut told).unwrap();
            let found: Vec<_> = found
                .map(|found| match found {
                    Ok(found) => (PathBuf::from(found.image), true),
                    Err(Error::Picture { path, .. }) => (path, false),
                    Err(error) => panic!("{error}"),
                })
                .collect();
            let expected =
                [(picture.clone(), true), (food.join("a.png"), false), (food.join("b.png"), true)];
            assert_eq!(
                (&found[..], told.skipped),
                (&expected[..], set_aside),
                "{}",
                data.display()
            );
        }
    }

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
        for folder in ["deep", ".hidden"] {
            fs::create_dir(flat.join(folder)).unwrap();
            fs::copy(&names[0], flat.join(folder).join("c.png")).unwrap();
        }
        let options = PredictOptions::new("mobilenetv2_100", vec![one.clone(), flat.clone()]);
        let found: Vec<_> = predict(&options).unwrap().collect();
        let shown = |path: &Path| path.display().to_string();
        let images: Vec<_> = found.iter().flatten().map(|found| found.image.clone()).collect();
        let within = ["a.jpg", "b.png", "deep/c.png"].map(|name| shown(&flat.join(name)));
        assert_eq!((&images[0], &images[1..]), (&shown(&one), &within[..]));
        let refused = found.last().and_then(|last| last.as_ref().err()).unwrap();
        assert!(matches!(refused, Error::Picture { path, .. } if path.ends_with("notes.txt")));

        let empty = dir.path().join("empty");
        fs::create_dir(&empty).unwrap();
        let refused = predict(&PredictOptions::new("mobilenetv2_100", vec![empty])).err().unwrap();
        assert!(refused.is_request(), "{refused}");
    }
}
