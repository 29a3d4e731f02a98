//! The engine on the networks of the zoo.
#![expect(clippy::unwrap_used, reason = "a test says where it fails by failing there")]

mod memory;
mod vgg;
