//! What must hold across crates.
#![expect(clippy::unwrap_used, reason = "a test says where it fails by failing there")]

mod executors;
mod files;
mod frozen;
mod preprocess;
mod prune;
mod prune_criteria;
mod zoo;
