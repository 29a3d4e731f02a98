//! Files that `torch.save` wrote: a pickle that names tensors, and their storages beside it.
//!
//! Above: `tensors`. Below: `pickle`, `element`, the zip crate. Not here: interpreting the pickle (`pickle`).
//! Zip (torch 1.6 and later): `<any>/data.pkl`, `<any>/data/<key>`, stored, not compressed. Older: five pickles, then for
//! each key a count and the elements. Storages are copied only when they were found to be inside the file.
//! Source: torch/serialization.py `_load` and `_legacy_load`, PyTorch 2.x.

mod legacy;
mod zipped;

use std::collections::BTreeMap;

use super::pickle::{Object, Pickle, Storage, Strided};
use crate::{Error, Result, Tensor};

/// Which way torch wrote it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Format {
    Zip,
    Legacy,
}

/// Keys under which training scripts keep the weights.
const WRAPPERS: [&str; 4] = ["state_dict", "model_state_dict", "model", "state_dict_ema"];

/// Recognizes torch's formats by their first bytes.
pub(super) fn recognize(bytes: &[u8]) -> Option<Format> {
    if bytes.starts_with(b"PK\x03\x04") {
        Some(Format::Zip)
    } else if bytes.starts_with(&legacy::MAGIC) {
        Some(Format::Legacy)
    } else {
        None
    }
}

/// Reads all tensors of the state dict.
pub(super) fn read(bytes: &[u8], format: Format) -> Result<BTreeMap<String, Tensor>> {
    match format {
        Format::Zip => {
            let mut archive = zipped::Archive::open(bytes)?;
            let text = archive.pickle()?;
            gather(&super::pickle::read(text)?, bytes.len(), &mut archive)
        }
        Format::Legacy => {
            let (pickle, mut storages) = legacy::open(bytes)?;
            gather(&pickle, bytes.len(), &mut storages)
        }
    }
}

/// Where the elements of storages are.
trait Storages<'a> {
    /// The bytes of a storage, exactly as many as it says.
    fn bytes(&mut self, name: &str, storage: Storage<'_>) -> Result<&'a [u8]>;
}

fn gather<'a>(
    pickle: &Pickle<'_>,
    file_len: usize,
    storages: &mut impl Storages<'a>,
) -> Result<BTreeMap<String, Tensor>> {
    let mut budget = file_len;
    let mut tensors = BTreeMap::new();
    for (name, view) in state_dict(pickle) {
        let count = checked_count(name, view)?;
        // A file of n bytes has at most n elements, and an honest one shares few: views must not multiply them.
        budget = budget
            .checked_sub(count)
            .ok_or_else(|| wrong(name, "the tensors have more elements than the file has bytes"))?;
        let bytes = storages.bytes(name, view.storage)?;
        let data = select(name, view, count, bytes)?;
        tensors.insert(name.to_owned(), Tensor { shape: view.shape.clone(), data });
    }
    if tensors.is_empty() { Err(Error::NoTensors) } else { Ok(tensors) }
}

/// The tensors of the dict that the pickle ends with, or of the one dict in it that a training script keeps them in.
/// Anything else in it (epoch, optimizer) is passed over.
fn state_dict<'p>(pickle: &'p Pickle<'_>) -> Vec<(&'p str, &'p Strided<'p>)> {
    let objects = &pickle.objects;
    let entries = |dict: usize| match &objects[dict] {
        Object::Dict(pairs) => pairs.as_slice(),
        _ => &[],
    };
    let tensors = |dict: usize| {
        let pairs = entries(dict).iter().filter_map(|&(key, value)| {
            match (&objects[key], &objects[value]) {
                (Object::Str(name), Object::Tensor(view)) => Some((*name, &**view)),
                _ => None,
            }
        });
        pairs.collect::<Vec<_>>()
    };
    let own = tensors(pickle.root);
    if !own.is_empty() {
        return own;
    }
    let wrapped = entries(pickle.root)
        .iter()
        .filter(|(key, _)| matches!(objects[*key], Object::Str(name) if WRAPPERS.contains(&name)));
    wrapped.map(|&(_, dict)| tensors(dict)).find(|found| !found.is_empty()).unwrap_or_default()
}

fn wrong(name: &str, reason: impl Into<String>) -> Error {
    Error::Tensor { name: name.to_owned(), reason: reason.into() }
}

/// Number of elements of a view that lies inside its storage and is not larger than it.
fn checked_count(name: &str, view: &Strided<'_>) -> Result<usize> {
    let count = view.shape.iter().try_fold(1usize, |n, &len| n.checked_mul(len));
    let last =
        view.shape.iter().zip(&view.stride).try_fold(view.offset, |last, (&len, &stride)| {
            last.checked_add(len.saturating_sub(1).checked_mul(stride)?)
        });
    let len = view.storage.len;
    match (count, last) {
        (Some(0), _) => Ok(0),
        (Some(count), Some(last)) if last < len && count <= len => Ok(count),
        _ => {
            let (shape, stride, offset) = (&view.shape, &view.stride, view.offset);
            let view = format!("shape {shape:?}, stride {stride:?}, offset {offset}");
            Err(wrong(name, format!("{view} do not lie in a storage of {len} elements")))
        }
    }
}

/// Copies the elements of a view in row-major order.
fn select(name: &str, view: &Strided<'_>, count: usize, bytes: &[u8]) -> Result<Vec<f32>> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let size = view.storage.element.size();
    if is_contiguous(view) {
        // Inside: `checked_count` saw that offset + count ≤ len, and storages give exactly len elements.
        let (start, end) = (view.offset * size, (view.offset + count) * size);
        return view.storage.element.decode(name, bytes.get(start..end).unwrap_or_default());
    }
    let mut picked = Vec::with_capacity(count * size);
    let mut place = vec![0; view.shape.len()];
    for _ in 0..count {
        let steps = place.iter().zip(&view.stride).map(|(i, stride)| i * stride);
        let start = (view.offset + steps.sum::<usize>()) * size;
        picked.extend_from_slice(bytes.get(start..start + size).unwrap_or_default());
        for axis in (0..place.len()).rev() {
            place[axis] += 1;
            if place[axis] < view.shape[axis] {
                break;
            }
            place[axis] = 0;
        }
    }
    view.storage.element.decode(name, &picked)
}

fn is_contiguous(view: &Strided<'_>) -> bool {
    let mut expected = 1;
    view.shape.iter().zip(&view.stride).rev().all(|(&len, &stride)| {
        let fits = len == 1 || stride == expected;
        expected *= len;
        fits
    })
}
