//! The model file keeps everything, and equal models give equal files.

use taper_engine::{Session, SessionOptions};
use taper_model::{Model, Precision, Preprocess};
use taper_zoo::mobilenet_v2::{Scaling, mobilenet_v2};

fn small() -> Model {
    let graph = mobilenet_v2(Scaling::width(0.1), 3).unwrap();
    let preprocess = Preprocess { input_size: [32, 32], ..Preprocess::imagenet() };
    let classes = ["ant", "bee", "wasp"].map(str::to_owned).to_vec();
    Model::random(graph, 5, preprocess, classes).unwrap()
}

fn logits(model: &Model) -> Vec<f32> {
    let xs: Vec<f32> = (0..2 * 32 * 32 * 3).map(|i| (i % 23) as f32 / 11.0 - 1.0).collect();
    let mut session = Session::new(model, &SessionOptions::default()).unwrap();
    session.run(&xs, [2, 32, 32]).unwrap().to_vec()
}

#[test]
fn a_model_survives_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let (model, path) = (small(), dir.path().join("model.safetensors"));
    model.save(&path).unwrap();
    let read = Model::load(&path).unwrap();
    assert_eq!(read, model);
    assert_eq!(logits(&read), logits(&model));
}

#[test]
fn equal_models_give_equal_files() {
    for precision in [Precision::F32, Precision::F16] {
        assert_eq!(small().to_bytes(precision).unwrap(), small().to_bytes(precision).unwrap());
    }
}

#[test]
fn half_precision_rounds_once() {
    let once = Model::from_bytes(&small().to_bytes(Precision::F16).unwrap()).unwrap();
    let twice = Model::from_bytes(&once.to_bytes(Precision::F16).unwrap()).unwrap();
    assert_eq!(once, twice);
}
