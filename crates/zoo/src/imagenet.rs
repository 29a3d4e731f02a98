//! Names of ImageNet's 1000 classes, in the order of all ImageNet-1k weights.
//!
//! Above: `record`. Below: nothing. Not here: the classes of a folder (`taper-data`).
//! Source: torchvision 0.26 `torchvision/models/_meta.py` `_IMAGENET_CATEGORIES`, BSD-3-Clause, Copyright (c) Soumith
//! Chintala 2016 (`LICENSE-torchvision` in this crate). Two pairs of classes share a name: `crane`, `maillot`.

const CLASSES: &str = include_str!("imagenet_classes.txt");

/// One name a logit.
///
/// # Examples
/// ```
/// let classes = taper_zoo::imagenet::classes();
/// assert_eq!((classes.len(), classes[309].as_str()), (1000, "bee"));
/// ```
#[must_use]
pub fn classes() -> Vec<String> {
    CLASSES.lines().map(str::to_owned).collect()
}
