//! Weights that `cargo xtask weights add` found on the hub, as a table.
//!
//! Above: `record`. Below: nothing. Not here: those that timm and torchvision list (`published`).
//! The command checks a file against the network before it writes its line here; columns as in `published`.

use super::Record;

#[rustfmt::skip]
pub(super) const ADDED: &[Record] = &[
];
