//! What must hold across crates.

mod files;
mod frozen;
mod zoo;
