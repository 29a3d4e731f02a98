//! Random choices of several changes, by published policies.
//!
//! Above: `augment`. Below: `augment::policy::{space, rand_augment, trivial, auto_augment, aug_mix}`. Not here: single random changes
//! (`augment::random`).
//! Source: torchvision 0.26 `transforms.v2` classes of the same names, whose tables of magnitudes these are.

mod aug_mix;
mod auto_augment;
mod rand_augment;
mod space;
mod trivial;

pub use aug_mix::AugMix;
pub use auto_augment::AutoAugment;
pub use rand_augment::RandAugment;
pub use space::{Choice, Space};
pub use trivial::TrivialAugmentWide;

#[cfg(test)]
mod tests;
