//! What holds of every layer, one table of layers and one test a property.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says where it fails by failing there"
)]

mod cases;
mod properties;
mod refusals;
