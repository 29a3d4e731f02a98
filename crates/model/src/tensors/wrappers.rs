//! What wrappers of modules add to the names of tensors.
//!
//! Above: `tensors`. Below: nothing. Not here: names of other projects (`crate::keymap`).
//! Source: `OptimizedModule`, `DataParallel`, `FullyShardedDataParallel` and `CheckpointWrapper` of PyTorch 2.

use std::collections::BTreeMap;

use crate::Tensor;

/// Modules of torch that stand anywhere in a network and hold one other module.
const ANYWHERE: [&str; 3] = ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"];
/// A wrapper of whole networks, whose name a network may have for something else.
const OUTSIDE: &str = "module.";

/// The tensors under the names that they have in the network itself.
pub(super) fn unwrapped(mut tensors: BTreeMap<String, Tensor>) -> BTreeMap<String, Tensor> {
    let is_wrapped = |name: &String| name.split('.').any(|part| ANYWHERE.contains(&part));
    if tensors.keys().any(is_wrapped) {
        let without = |name: &String| -> String {
            let parts = name.split('.').filter(|part| !ANYWHERE.contains(part));
            parts.collect::<Vec<_>>().join(".")
        };
        tensors = renamed(tensors, without);
    }
    while tensors.keys().all(|name| name.len() > OUTSIDE.len() && name.starts_with(OUTSIDE))
        && !tensors.is_empty()
    {
        tensors = renamed(tensors, |name| name[OUTSIDE.len()..].to_owned());
    }
    tensors
}

/// All tensors under other names, or under the old ones if two would have the same.
fn renamed(
    tensors: BTreeMap<String, Tensor>,
    rename: impl Fn(&String) -> String,
) -> BTreeMap<String, Tensor> {
    let mut names: Vec<String> = tensors.keys().map(&rename).collect();
    names.sort_unstable();
    names.dedup();
    match names.len() == tensors.len() {
        true => tensors.into_iter().map(|(name, tensor)| (rename(&name), tensor)).collect(),
        false => tensors,
    }
}
