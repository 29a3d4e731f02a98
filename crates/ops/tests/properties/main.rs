//! Every operation against finite differences in `f64`, and in `f32` against itself in `f64`, over random legal configurations.
#![expect(
    clippy::unwrap_used,
    clippy::float_cmp,
    clippy::cast_possible_truncation,
    reason = "a test says where it fails by failing there, and zeros and copies are exact"
)]

mod around;
mod check;
mod conv;
mod norm;
mod pool;
mod refusals;
