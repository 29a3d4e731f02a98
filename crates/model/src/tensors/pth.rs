//! Files that `torch.save` wrote: a pickle that names tensors, and their storages beside it.
//!
//! Above: `tensors`. Below: `pickle`, `search`, `legacy`, `zipped`. Not here: interpreting the pickle (`pickle`).
//! Zip (torch 1.6 and later): `<any>/data.pkl`, `<any>/data/<key>`, stored, not compressed. Older: five pickles, then for
//! each key a count and the elements. Storages are copied only when they were found to be inside the file.
//! Source: torch/serialization.py `_load` and `_legacy_load`, PyTorch 2.x.

mod legacy;
mod search;
mod zipped;

use std::collections::BTreeMap;

use super::pickle::{Object, Odd, Pickle, Storage, Strided};
use crate::{Error, Result, Tensor};

/// Elements that views may have beyond the bytes of the file: an expanded tensor has many of one.
const EXPANDED: usize = 1 << 22;

/// Reads the tensors of the state dict, or of the one under `key`, if torch wrote these bytes.
pub(super) fn read(bytes: &[u8], key: Option<&str>) -> Option<Result<BTreeMap<String, Tensor>>> {
    if bytes.starts_with(b"PK\x03\x04") {
        return Some(zip(bytes, key));
    }
    let start = legacy::recognize(bytes)?;
    Some(
        legacy::open(bytes, start)
            .and_then(|(pickle, mut storages)| gather(&pickle, key, bytes.len(), &mut storages)),
    )
}

fn zip(bytes: &[u8], key: Option<&str>) -> Result<BTreeMap<String, Tensor>> {
    let mut archive = zipped::Archive::open(bytes)?;
    let text = archive.pickle()?;
    gather(&super::pickle::read(text)?, key, bytes.len(), &mut archive)
}

/// Where the elements of storages are.
trait Storages<'a> {
    /// The bytes of a storage, exactly as many as it says.
    fn bytes(&mut self, name: &str, storage: &Storage<'_>) -> Result<&'a [u8]>;
}

fn gather<'a>(
    pickle: &Pickle<'_>,
    key: Option<&str>,
    file_len: usize,
    storages: &mut impl Storages<'a>,
) -> Result<BTreeMap<String, Tensor>> {
    let mut budget = file_len.saturating_add(EXPANDED);
    let mut tensors = BTreeMap::new();
    for (name, tensor) in search::state_dict(pickle, key)? {
        let view = match &pickle.objects[tensor] {
            Object::Tensor(view) => view,
            Object::OddTensor(odd) => return Err(refused(name.into_owned(), *odd, pickle)),
            _ => continue,
        };
        let count = checked_count(&name, view)?;
        // A file of n bytes has at most n elements, and an honest one shares few: views must not multiply them.
        budget = budget.checked_sub(count).ok_or_else(|| {
            wrong(&name, "the tensors have many more elements than the file has bytes")
        })?;
        let bytes = storages.bytes(&name, &view.storage)?;
        let data = select(&name, view, count, bytes)?;
        tensors.insert(name.into_owned(), Tensor { shape: view.shape.clone(), data });
    }
    Ok(tensors)
}

fn refused(name: String, odd: Odd, pickle: &Pickle<'_>) -> Error {
    match odd {
        Odd::Kind(kind) => Error::Tensor { name, reason: format!("it is {kind}") },
        Odd::DType(dtype) => Error::DType { name, dtype: pickle.name(dtype) },
    }
}

fn wrong(name: &str, reason: impl Into<String>) -> Error {
    Error::Tensor { name: name.to_owned(), reason: reason.into() }
}

/// Elements that a view's storage has, and where it begins, in elements of the view.
fn extent(view: &Strided<'_>) -> (usize, usize) {
    let (stored, element) = (view.storage.stored.size(), view.element.size());
    let of = |elements: usize| elements.saturating_mul(stored) / element;
    (of(view.storage.len), of(view.storage.start).saturating_add(view.offset))
}

/// Number of elements of a view that lies inside its storage.
fn checked_count(name: &str, view: &Strided<'_>) -> Result<usize> {
    let count = view.shape.iter().try_fold(1usize, |n, &len| n.checked_mul(len));
    let (len, start) = extent(view);
    let last = view.shape.iter().zip(&view.stride).try_fold(start, |last, (&len, &stride)| {
        last.checked_add(len.saturating_sub(1).checked_mul(stride)?)
    });
    match (count, last) {
        (Some(0), _) => Ok(0),
        (Some(count), Some(last)) if last < len => Ok(count),
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
    let (size, (_, first)) = (view.element.size(), extent(view));
    if is_contiguous(view) {
        // Inside: `checked_count` saw that first + count ≤ len, and storages give exactly len elements.
        let (start, end) = (first * size, (first + count) * size);
        return view.element.decode(name, bytes.get(start..end).unwrap_or_default());
    }
    let mut picked = Vec::with_capacity(count * size);
    let mut place = vec![0; view.shape.len()];
    for _ in 0..count {
        let steps = place.iter().zip(&view.stride).map(|(i, stride)| i * stride);
        let start = (first + steps.sum::<usize>()) * size;
        picked.extend_from_slice(bytes.get(start..start + size).unwrap_or_default());
        for axis in (0..place.len()).rev() {
            place[axis] += 1;
            if place[axis] < view.shape[axis] {
                break;
            }
            place[axis] = 0;
        }
    }
    view.element.decode(name, &picked)
}

fn is_contiguous(view: &Strided<'_>) -> bool {
    let mut expected = 1;
    view.shape.iter().zip(&view.stride).rev().all(|(&len, &stride)| {
        let fits = len == 1 || stride == expected;
        expected *= len;
        fits
    })
}
