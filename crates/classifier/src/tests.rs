//! One picture, three ways in; many threads, one answer.

use std::fs;
use std::sync::{Arc, Barrier};
use std::thread;

use taper_data::random::Rng;
use taper_data::transform::Resampler;
use taper_data::{EvalTransform, Image, Interpolation, Transform, image, sample_set};
use taper_graph::{Activation, Bias, Conv, GraphBuilder, PoolKind};
use taper_model::{Confidence, Familiarity, Model, Preprocess};

use crate::{Classifier, ClassifierOptions, Error, class_names, eval_transform};

/// A small network for pictures of 40x56 pixels.
pub(crate) fn model() -> Model {
    network(3, &["ants", "bees", "wasps"], [40, 56])
}

fn network(channels: usize, classes: &[&str], input_size: [usize; 2]) -> Model {
    let mut b = GraphBuilder::new(channels).unwrap();
    let conv = |out| Conv::dense(out, 3, 2);
    let xs = b.conv("stem", b.input(), conv(8), Bias::With).unwrap();
    let xs = b.activation("act", xs, Activation::Relu).unwrap();
    let xs = b.conv("body", xs, conv(16), Bias::With).unwrap();
    let xs = b.global_pool("pool", xs, PoolKind::Avg, true).unwrap();
    b.output("pre_logits", xs).unwrap();
    let logits = b.linear("classifier", xs, 3, Bias::With).unwrap();
    b.output("logits", logits).unwrap();
    let preprocess = Preprocess { input_size, ..Preprocess::imagenet() };
    let classes = classes.iter().map(|&class| class.to_owned()).collect();
    Model::random(b.build().unwrap(), 5, preprocess, classes).unwrap()
}

fn classifier(threads: usize) -> Classifier {
    Classifier::new(&model(), &ClassifierOptions::default().with_threads(threads)).unwrap()
}

/// Encoded pictures, of several sizes.
fn pictures() -> Vec<Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    sample_set::export(dir.path()).unwrap();
    let folder = fs::read_dir(dir.path().join("val/food")).unwrap();
    let mut paths: Vec<_> = folder.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

#[test]
fn a_file_its_bytes_and_its_pixels_are_one_picture() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("picture");
    let classifier = classifier(1);
    for bytes in pictures() {
        fs::write(&path, &bytes).unwrap();
        let logits = classifier.logits(&path).unwrap();
        assert_eq!(classifier.logits(&bytes).unwrap(), logits);
        assert_eq!(classifier.logits(&image::decode(&bytes).unwrap()).unwrap(), logits);
        assert_eq!(logits.len(), 3);
        let found = classifier.classify(&bytes, 2).unwrap();
        assert!(found.len() == 2 && found[0].probability >= found[1].probability);
        assert_eq!(classifier.classes()[found[0].index], found[0].class);
    }
}

#[test]
fn threads_at_once_get_the_answers_of_one() {
    const fn serves_threads<T: Send + Sync>() {}
    const { serves_threads::<Classifier>() };
    let pictures = pictures();
    let expected: Vec<_> = {
        let classifier = classifier(1);
        pictures.iter().map(|bytes| classifier.logits(bytes).unwrap()).collect()
    };
    for threads in [1, 2] {
        let (classifier, together) = (classifier(threads), Barrier::new(4));
        thread::scope(|scope| {
            for first in 0..4 {
                let (classifier, pictures, expected) = (&classifier, &pictures, &expected);
                let together = &together;
                scope.spawn(move || {
                    together.wait();
                    for at in (0..pictures.len()).map(|i| (first * 5 + i) % pictures.len()) {
                        assert_eq!(classifier.logits(&pictures[at]).unwrap(), expected[at]);
                    }
                });
            }
        });
    }
}

#[test]
fn a_batch_answers_for_every_picture_in_order_also_for_broken_ones() {
    let mut pictures = pictures();
    pictures.extend(pictures.clone());
    pictures.extend(pictures.clone());
    assert!(pictures.len() > 64, "more than two rounds");
    let one = classifier(1);
    let expected: Vec<_> = pictures.iter().map(|bytes| one.classify(bytes, 2).unwrap()).collect();
    for broken in [vec![], vec![0], vec![3, 31, 32, pictures.len() - 1], (0..40).collect()] {
        let mut given = pictures.clone();
        broken.iter().for_each(|&at| given[at] = b"no picture".to_vec());
        for threads in [1, 3] {
            let answers = classifier(threads).classify_batch(&given, 2).unwrap();
            assert_eq!(answers.len(), given.len());
            for (at, answer) in answers.into_iter().enumerate() {
                match answer {
                    Ok(found) => assert_eq!(found, expected[at], "{at}"),
                    Err(error) => {
                        assert!(broken.contains(&at), "{at}");
                        let text = error.to_string();
                        assert_eq!(text, "a picture of 10 bytes cannot be classified");
                    }
                }
            }
        }
    }
    assert!(one.classify_batch(Vec::<&Image>::new(), 1).unwrap().is_empty());
}

#[test]
fn preprocessing_is_the_models_unless_another_is_given() {
    let image = Image::new(50, 90, (0..50 * 90 * 3).map(|i| (i % 251) as u8).collect()).unwrap();
    let logits = |transform: &dyn Transform, size: [usize; 2]| {
        let mut xs = vec![f32::NAN; size[0] * size[1] * 3];
        transform.apply(&image, &mut Rng::keyed([0]), &mut Resampler::default(), &mut xs).unwrap();
        let mut session = taper_engine::Session::new(&model(), &Default::default()).unwrap();
        session.run(&xs, [1, size[0], size[1]]).unwrap().to_vec()
    };
    let own = EvalTransform::imagenet([32, 32], 1.0, Interpolation::Bicubic).unwrap();
    let options = ClassifierOptions::default().with_transform(own.clone());
    let other = Classifier::new(&model(), &options).unwrap();
    assert_eq!(other.logits(&image).unwrap(), logits(&own, [32, 32]));
    let models = eval_transform(model().preprocess()).unwrap();
    assert_eq!(classifier(1).logits(&image).unwrap(), logits(&models, [40, 56]));
}

#[test]
fn what_is_no_classifier_is_refused() {
    let options = ClassifierOptions::default();
    let mut b = GraphBuilder::new(3).unwrap();
    let map = b.conv("head", b.input(), Conv::pointwise(2), Bias::With).unwrap();
    b.output("logits", map).unwrap();
    let preprocess = Preprocess { input_size: [4, 6], ..Preprocess::imagenet() };
    let segments = Model::random(b.build().unwrap(), 0, preprocess, Vec::new()).unwrap();
    let refused = Classifier::new(&segments, &options).unwrap_err();
    assert!(matches!(refused, Error::NotAClassifier { h: 4, w: 6, channels: 2 }), "{refused}");
    let grey = network(1, &[], [40, 56]);
    let refused = Classifier::new(&grey, &options).unwrap_err();
    assert!(matches!(refused, Error::Channels { expected: 1, got: 3 }), "{refused}");
    let missing = Classifier::load("no/such/model.safetensors", &options).unwrap_err();
    assert!(matches!(missing, Error::Model { .. }), "{missing}");
}

#[test]
fn a_transform_that_refuses_a_picture_is_an_error_of_that_picture() {
    #[derive(Debug)]
    struct Choosy(EvalTransform);

    impl Transform for Choosy {
        fn size(&self) -> [usize; 2] {
            self.0.size()
        }

        fn apply(
            &self,
            image: &Image,
            rng: &mut Rng,
            resampler: &mut Resampler,
            out: &mut [f32],
        ) -> taper_data::Result<()> {
            match image.width() {
                0..20 => Err(taper_data::Error::other("too narrow")),
                _ => self.0.apply(image, rng, resampler, out),
            }
        }
    }

    let choosy: Arc<dyn Transform> =
        Arc::new(Choosy(eval_transform(model().preprocess()).unwrap()));
    let options = ClassifierOptions::default().with_transform(choosy);
    let classifier = Classifier::new(&model(), &options).unwrap();
    let image = |width: usize| Image::new(10, width, vec![9; 30 * width]).unwrap();
    assert!(classifier.logits(&image(20)).is_ok());
    let refused = classifier.logits(&image(19)).unwrap_err();
    assert_eq!(refused.to_string(), "a picture of 19x10 pixels cannot be classified");
}

#[test]
fn probabilities_are_those_of_the_models_temperature_and_the_order_stays() {
    let plain = classifier(1);
    let softer = model().with_confidence(Some(Confidence::new(4.0, 9).unwrap())).unwrap();
    let softer = Classifier::new(&softer, &ClassifierOptions::default()).unwrap();
    for bytes in pictures() {
        let (before, after) = (plain.classify(&bytes, 3).unwrap(), softer.classify(&bytes, 3));
        let after = after.unwrap();
        let order = |found: &[crate::ClassProbability]| -> Vec<usize> {
            found.iter().map(|class| class.index).collect()
        };
        assert_eq!(order(&before), order(&after));
        let logits = plain.logits(&bytes).unwrap();
        assert_eq!(softer.logits(&bytes).unwrap(), logits, "logits are as they are");
        let expected = taper_model::Task::Classification.probabilities_at(&logits, 4.0);
        assert!(
            after
                .iter()
                .all(|found| found.probability.to_bits() == expected[found.index].to_bits())
        );
        assert!(after[0].probability < before[0].probability);
    }
    assert!(matches!(plain.recognize(&pictures()[0], 1), Err(Error::NoFamiliarity)));
}

#[test]
fn pictures_of_other_things_are_told() {
    let image = |color: [u8; 3]| Image::new(40, 56, color.repeat(40 * 56)).unwrap();
    let features = |image: &Image| {
        let outputs = vec!["pre_logits".to_owned()];
        let options = taper_engine::SessionOptions { threads: 1, outputs };
        let mut session = taper_engine::Session::new(&model(), &options).unwrap();
        let mut xs = vec![0.0; 40 * 56 * 3];
        let transform = eval_transform(model().preprocess()).unwrap();
        transform.apply(image, &mut Rng::keyed([0]), &mut Resampler::default(), &mut xs).unwrap();
        session.run(&xs, [1, 40, 56]).unwrap().to_vec()
    };
    let (red, blue) = (image([220, 20, 20]), image([10, 20, 230]));
    let of_red = features(&red);
    let length = of_red.iter().map(|x| x * x).sum::<f32>().sqrt();
    let mean: Vec<f32> = of_red.iter().map(|x| x / length).collect();
    let known = Familiarity::new(&mean, 16).unwrap();
    let between = f64::midpoint(known.score(&features(&red)), known.score(&features(&blue)));
    let known = known.with_threshold(between, 0.95).unwrap();
    let confidence = Confidence::new(1.0, 1).unwrap().with_familiarity(known);
    let model = model().with_confidence(Some(confidence)).unwrap();
    let classifier = Classifier::new(&model, &ClassifierOptions::default()).unwrap();
    let [red, blue] = [red, blue].map(|image| classifier.recognize(&image, 2).unwrap());
    assert!(red.is_known && !blue.is_known, "{red:?} {blue:?}");
    assert!((red.familiarity - 1.0).abs() < 1e-3 && red.predictions.len() == 2);
}

#[test]
fn classes_without_names_are_numbers() {
    assert_eq!(class_names(&network(3, &[], [40, 56])).unwrap(), ["0", "1", "2"]);
    assert_eq!(class_names(&model()).unwrap(), ["ants", "bees", "wasps"]);
}
