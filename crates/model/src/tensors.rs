//! Tensors by name, from files of any origin and to safetensors.
//!
//! Above: `file`, checkpoints, xtask. Below: `tensors::{pth, element, wrappers}`, the safetensors crate. Not here: graph and metadata of a
//! model file (`file`), other projects' names (`keymap`).
//! A file is recognized by its content. Everything becomes `f32`.

mod element;
#[cfg(feature = "pth")]
mod pickle;
#[cfg(feature = "pth")]
mod pth;
mod wrappers;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

use half::f16;
use safetensors::{Dtype, SafeTensors};

use crate::{Error, Result, Tensor};
use element::Element;

/// Element type in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Precision {
    /// 4 bytes.
    F32,
    /// 2 bytes: 11 bits of precision, at most 65504.
    F16,
}

/// Tensors and text from a safetensors file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Archive {
    /// By name.
    pub tensors: BTreeMap<String, Tensor>,
    /// What `__metadata__` says.
    pub metadata: BTreeMap<String, String>,
}

/// Reads the tensors of a `.safetensors` file, or of one that `torch.save` wrote (zip or older; feature `pth`), whose pickle is
/// interpreted by a reader that knows tensors and nothing else.
///
/// Of a checkpoint with much beside the weights, their state dict is read, wherever it is: at the top, under `state_dict`, `model`
/// or another name, in a list, in a module that was saved whole. Optimizers, schedulers, arguments and objects of any class are
/// passed over. The names are without the wrappers of `torch.compile` (`_orig_mod.`) and `DataParallel` (`module.`).
///
/// # Errors
/// [`Error::File`], whose source says what is wrong; [`Error::StateDicts`] is in it if there are several state dicts: then
/// [`read_state_dict`] reads the one that is meant.
pub fn read(path: impl AsRef<Path>) -> Result<BTreeMap<String, Tensor>> {
    of_file(path.as_ref(), None)
}

/// As [`read`], from memory.
///
/// # Errors
/// What is wrong with the bytes.
pub fn from_bytes(bytes: &[u8]) -> Result<BTreeMap<String, Tensor>> {
    parse(bytes, None)
}

/// Reads the state dict under `key`, the names on the way to it with dots between them: `model_ema`, `0.state_dict`. A safetensors
/// file has none.
///
/// # Errors
/// As [`read`]; [`Error::NoStateDict`] is in it if there are only others.
pub fn read_state_dict(path: impl AsRef<Path>, key: &str) -> Result<BTreeMap<String, Tensor>> {
    of_file(path.as_ref(), Some(key))
}

/// As [`read_state_dict`], from memory.
///
/// # Errors
/// What is wrong with the bytes.
pub fn state_dict_from_bytes(bytes: &[u8], key: &str) -> Result<BTreeMap<String, Tensor>> {
    parse(bytes, Some(key))
}

fn of_file(path: &Path, key: Option<&str>) -> Result<BTreeMap<String, Tensor>> {
    let read = || parse(&read_file(path)?, key);
    read().map_err(|source| Error::File { path: path.to_owned(), source: Box::new(source) })
}

fn parse(bytes: &[u8], key: Option<&str>) -> Result<BTreeMap<String, Tensor>> {
    let tensors = match of_torch(bytes, key) {
        Some(tensors) => tensors?,
        None => {
            let tensors = Archive::from_safetensors(bytes)?.tensors;
            match key {
                None => tensors,
                Some(key) => {
                    let (key, names) = (key.to_owned(), vec!["the top level".to_owned()]);
                    return Err(Error::NoStateDict { key, names });
                }
            }
        }
    };
    Ok(wrappers::unwrapped(tensors))
}

#[cfg(feature = "pth")]
fn of_torch(bytes: &[u8], key: Option<&str>) -> Option<Result<BTreeMap<String, Tensor>>> {
    pth::read(bytes, key)
}

#[cfg(not(feature = "pth"))]
fn of_torch(bytes: &[u8], _: Option<&str>) -> Option<Result<BTreeMap<String, Tensor>>> {
    let is_torch = bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(&[0x80, 2, 0x8a, 10]);
    is_torch.then_some(Err(Error::NoPth))
}

/// The bytes of a regular file; a directory or a device is refused before it can block.
///
/// # Errors
/// [`Error::Read`] and [`Error::NotAFile`].
pub fn read_file(path: &Path) -> Result<Vec<u8>> {
    let metadata = fs::metadata(path).map_err(|source| Error::Read { source })?;
    if !metadata.is_file() {
        return Err(Error::NotAFile);
    }
    fs::read(path).map_err(|source| Error::Read { source })
}

/// The bytes that a safetensors file has by its own header, which is all that is read of it; none if that is no header.
///
/// # Errors
/// What reading says.
///
/// # Examples
/// ```
/// use taper_model::tensors::{announced_len, to_safetensors};
/// let file = to_safetensors([], &Default::default());
/// assert_eq!(announced_len(&file[..])?, Some(file.len() as u64));
/// assert_eq!(announced_len(&b"half a head"[..])?, None);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn announced_len(mut file: impl Read) -> std::io::Result<Option<u64>> {
    /// As the safetensors crate.
    const LONGEST: u64 = 100_000_000;
    let mut start = Vec::new();
    file.by_ref().take(8).read_to_end(&mut start)?;
    let Ok(len) = start.try_into().map(u64::from_le_bytes) else { return Ok(None) };
    if len > LONGEST {
        return Ok(None);
    }
    let mut header = Vec::new();
    file.take(len).read_to_end(&mut header)?;
    let Ok(header) = serde_json::from_slice::<BTreeMap<String, serde_json::Value>>(&header) else {
        return Ok(None);
    };
    let ends = header.values().filter_map(|entry| entry.get("data_offsets")?.get(1)?.as_u64());
    Ok((8 + len).checked_add(ends.max().unwrap_or(0)))
}

impl Archive {
    /// Reads a safetensors file from memory.
    ///
    /// # Errors
    /// [`Error::Safetensors`] for damaged bytes, [`Error::DType`] for an element type that is no number's.
    pub fn from_safetensors(bytes: &[u8]) -> Result<Self> {
        let damaged = |source| Error::Safetensors { source };
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
        let metadata = header.metadata().iter().flatten();
        let metadata = metadata.map(|(key, text)| (key.clone(), text.clone())).collect();
        let mut tensors = BTreeMap::new();
        for (name, view) in SafeTensors::deserialize(bytes).map_err(damaged)?.iter() {
            let Some(element) = element_of(view.dtype()) else {
                let (name, dtype) = (name.to_owned(), view.dtype().to_string());
                return Err(Error::DType { name, dtype });
            };
            let data = element.decode(name, view.data())?;
            tensors.insert(name.to_owned(), Tensor { shape: view.shape().to_vec(), data });
        }
        Ok(Self { tensors, metadata })
    }
}

fn element_of(dtype: Dtype) -> Option<Element> {
    Some(match dtype {
        Dtype::F64 => Element::F64,
        Dtype::F32 => Element::F32,
        Dtype::F16 => Element::F16,
        Dtype::BF16 => Element::BF16,
        Dtype::I64 => Element::I64,
        Dtype::I32 => Element::I32,
        Dtype::I16 => Element::I16,
        Dtype::I8 => Element::I8,
        Dtype::U8 => Element::U8,
        Dtype::BOOL => Element::Bool,
        _ => return None,
    })
}

/// Whether every element stays finite in half precision, or is not finite anyway.
pub(crate) fn fits_f16(data: &[f32]) -> bool {
    data.iter().all(|&v| f16::from_f32(v).is_finite() || !v.is_finite())
}

/// A safetensors file. Equal arguments give equal bytes, which the safetensors crate's own writer does not promise: it keeps
/// metadata in a hash map. Tensors come in the order given, those of 4 bytes first, so that all are aligned.
///
/// # Examples
/// ```
/// use std::collections::BTreeMap;
/// use taper_model::Tensor;
/// use taper_model::tensors::{Archive, Precision, to_safetensors};
/// # fn main() -> taper_model::Result<()> {
/// let tensor = Tensor { shape: vec![2], data: vec![0.5, -2.0] };
/// let metadata = BTreeMap::from([("step", "12".to_owned())]);
/// let bytes = to_safetensors([("momentum", &tensor, Precision::F32)], &metadata);
/// let archive = Archive::from_safetensors(&bytes)?;
/// assert_eq!(archive.tensors["momentum"], tensor);
/// assert_eq!(archive.metadata["step"], "12");
/// # Ok(()) }
/// ```
#[must_use]
pub fn to_safetensors<'a>(
    tensors: impl IntoIterator<Item = (&'a str, &'a Tensor, Precision)>,
    metadata: &BTreeMap<&str, String>,
) -> Vec<u8> {
    let mut entries: Vec<_> = tensors.into_iter().collect();
    entries.sort_by_key(|(.., precision)| *precision == Precision::F16); // stable
    let mut header = serde_json::Map::new();
    header.insert("__metadata__".to_owned(), serde_json::json!(metadata));
    let mut data = Vec::new();
    for (name, tensor, precision) in entries {
        let start = data.len();
        let dtype = encode(&mut data, &tensor.data, precision);
        let (shape, offsets) = (&tensor.shape, [start, data.len()]);
        let entry = serde_json::json!({"dtype": dtype, "shape": shape, "data_offsets": offsets});
        header.insert(name.to_owned(), entry);
    }
    let mut header = serde_json::Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut file = Vec::with_capacity(8 + header.len() + data.len());
    file.extend((header.len() as u64).to_le_bytes());
    file.extend(header);
    file.extend(data);
    file
}

/// Appends little-endian elements; returns their name in safetensors.
fn encode(file: &mut Vec<u8>, data: &[f32], precision: Precision) -> &'static str {
    match precision {
        Precision::F32 => {
            file.extend(data.iter().flat_map(|v| v.to_le_bytes()));
            "F32"
        }
        Precision::F16 => {
            file.extend(data.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()));
            "F16"
        }
    }
}
