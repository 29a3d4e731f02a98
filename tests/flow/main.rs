//! The binary as a user runs it: pictures in, model file out, and one clear message for everything that can be wrong.
//!
//! Compiled by `crates/cli`, see docs/decisions/0002-flow-tests-belong-to-the-binary.md.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says where it fails by failing there"
)]

mod augment;
mod bad_data;
mod bad_models;
mod bad_requests;
mod bench;
mod compare;
mod cost;
mod demo;
mod doctor;
mod embed;
mod explain;
mod families;
mod finetune;
mod going_on;
mod look;
mod models;
mod pictures;
mod predict;
mod prune;
mod prune_sweep;
mod ranks;
mod reading;
mod report;
mod sparse;
mod stopping;
mod streams;
mod taper;
mod tasks;
mod teaching;
mod unknown;
mod ways;
mod weights;
