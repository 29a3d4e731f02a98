//! Against PyTorch: taps at three depths, losses, gradients and logits, and every operation on its own, from fixtures that `tests/generators` wrote.
//!
//! Above: `cargo xtask test`. Below: `cost`, `engine`, `layers`, `model`, `zoo`. Not here: optimizers and losses (beside their code).
#![expect(
    clippy::unwrap_used,
    reason = "a test fails where something is missing, in its helpers too"
)]

mod candle;
mod candle_layers;
mod candle_operations;
mod cost;
mod logits;
mod network;
mod networks;
mod operations;
mod published;
mod step;
mod zoo;
