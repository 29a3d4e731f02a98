//! Logits in eval mode against PyTorch's, through `Session`, through `Network`, and after a trip through a file.
//!
//! Above: `main`. Below: `engine::Session`, `layers::Network`, `model`, `zoo`. Not here: training mode (`step`).
//! The published f32 weights are no part of the repository: `examples/published_logits.rs` holds them to the same goldens.

use taper_model::{Model, Precision};
use taper_tests::close::{Tolerance, assert_close, largest};

use crate::networks::{Problem, full, short};
use crate::published;

/// Of the largest magnitude.
const LOGITS: f64 = 1e-4;

#[test]
fn random_networks_agree_through_every_door() {
    for problem in [short("f32"), full("f32")] {
        check_doors(&problem, &problem.model());
    }
}

#[test]
fn random_networks_agree_after_a_trip_through_a_file() {
    for problem in [short("f32"), full("f32")] {
        let bytes = problem.model().to_bytes(Precision::F32).unwrap();
        check_doors(&problem, &Model::from_bytes(&bytes).unwrap());
    }
}

#[test]
fn embedded_weights_agree_with_torchvisions_rounded_to_f16() {
    let model = taper_zoo::pretrained("mobilenetv2_100.tv_in1k").unwrap();
    published::check(&model, "f16/logits");
}

fn check_doors(problem: &Problem, model: &Model) {
    let (xs, shape) = problem.inputs::<f32>();
    let golden = &problem.fixture.get("eval/logits").data;
    let tolerance = Tolerance { rtol: 0.0, atol: LOGITS * largest(golden) };
    for (door, logits) in published::logits(model, &xs, shape) {
        assert_close(&format!("logits through {door}"), &logits, golden, tolerance);
    }
}
