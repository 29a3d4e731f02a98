//! Logits of a model through every door, and torchvision's own on pictures made by a formula.
//!
//! Above: `logits`, `examples/published_logits.rs`. Below: `engine::Session`, `layers::Network`. Not here: getting weights.
//! The formula is that of `tests/generators/mobilenet_v2_logits.py`, which says so.

use candle_core::{Device, Tensor};
use taper_engine::{Session, SessionOptions};
use taper_layers::Network;
use taper_model::Model;
use taper_tests::close::{Tolerance, assert_close, largest};
use taper_tests::fixture::Fixture;

/// Of the largest magnitude.
const LOGITS: f64 = 1e-4;
const IMAGES: usize = 3;
const SIZE: usize = 224;
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const STD: [f32; 3] = [0.229, 0.224, 0.225];

/// Holds the logits of `model` through every door to tensor `golden` of the fixture.
pub(crate) fn check(model: &Model, golden: &str) {
    let fixture = Fixture::open("mobilenet_v2_logits");
    check_formula(&fixture);
    let golden = &fixture.get(golden).data;
    let tolerance = Tolerance { rtol: 0.0, atol: LOGITS * largest(golden) };
    for (door, logits) in logits(model, &images(), [IMAGES, SIZE, SIZE]) {
        assert_close(&format!("logits through {door}"), &logits, golden, tolerance);
    }
}

/// Logits of `xs`, `(n, h, w, 3)`, in eval mode, by the name of the door.
pub(crate) fn logits(
    model: &Model,
    xs: &[f32],
    [n, h, w]: [usize; 3],
) -> [(&'static str, Vec<f64>); 2] {
    let mut session = Session::new(model, &SessionOptions::default()).unwrap();
    let from_session = session.run(xs, [n, h, w]).unwrap().iter().map(|&v| f64::from(v)).collect();
    let network = Network::new(model, &Device::Cpu).unwrap();
    let xs = Tensor::from_slice(xs, (n, h, w, 3), &Device::Cpu).unwrap().permute((0, 3, 1, 2));
    let logits = network.forward(&xs.unwrap()).unwrap().flatten_all().unwrap();
    let from_network = logits.to_vec1::<f32>().unwrap().into_iter().map(f64::from).collect();
    [("Session", from_session), ("Network", from_network)]
}

fn pixel(image: usize, y: usize, x: usize, channel: usize) -> u8 {
    let slope = x * (image + 1) + y * (2 * image + 1);
    let value = slope + x * y / (16 * (image + 1)) + 50 * channel + 31 * image;
    value.to_le_bytes()[0] // mod 256
}

/// `(n, h, w, 3)`, normalized as ImageNet's.
fn images() -> Vec<f32> {
    let mut out = Vec::with_capacity(IMAGES * SIZE * SIZE * 3);
    for image in 0..IMAGES {
        for y in 0..SIZE {
            for x in 0..SIZE {
                let value = |c| f32::from(pixel(image, y, x, c)) / 255.0;
                out.extend((0..3).map(|c| (value(c) - MEAN[c]) / STD[c]));
            }
        }
    }
    out
}

/// The fixture has the first 4x4 corner of each picture.
fn check_formula(fixture: &Fixture) {
    let corner = fixture.get("pixels");
    assert_eq!(corner.shape, [IMAGES, 4, 4, 3]);
    for (i, &golden) in corner.data.iter().enumerate() {
        let ours = pixel(i / 48, i / 12 % 4, i / 3 % 4, i % 3);
        assert_close("pixels", &[f64::from(ours)], &[golden], Tolerance { rtol: 0.0, atol: 0.0 });
    }
}
