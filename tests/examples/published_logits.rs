//! Holds the published f32 weights, which are no part of the repository, to torchvision's logits.
//!
//! `cargo run -p taper-tests --example published_logits -- mobilenet_v2-b0353104.pth`
//!
//! Above: a maintainer, `cargo xtask golden`. Below: `golden/published.rs`. Not here: the embedded f16 weights (`golden::logits`).
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that needs a file: it panics and prints as tests do"
)]

#[path = "../golden/published.rs"]
mod published;

use taper_model::{Model, Precision, tensors};

fn main() {
    let path = std::env::args().nth(1).unwrap();
    let record = taper_zoo::record("mobilenetv2_100.tv_in1k").unwrap();
    let model = record.model(&record.sources[0], tensors::read(&path).unwrap()).unwrap();
    published::check(&model, "logits");
    let copy = Model::from_bytes(&model.to_bytes(Precision::F32).unwrap()).unwrap();
    published::check(&copy, "logits");
    println!("logits agree with torchvision's to 1e-4 of their largest magnitude");
}
