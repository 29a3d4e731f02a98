//! Tensors by name, from files of any origin and to safetensors.
//!
//! Above: `file`, checkpoints, xtask. Below: `tensors::{pth, element}`, the safetensors crate. Not here: graph and metadata of a
//! model file (`file`), other projects' names (`keymap`).
//! A file is recognized by its content. Everything becomes `f32`.

mod element;
mod pickle;
mod pth;

use std::collections::BTreeMap;
use std::fs;
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

/// Reads the tensors of a `.safetensors` file, or of one that `torch.save` wrote (zip or older), whose pickle is
/// interpreted by a reader that knows tensors and nothing else.
///
/// # Errors
/// [`Error::File`], whose source says what is wrong.
pub fn read(path: impl AsRef<Path>) -> Result<BTreeMap<String, Tensor>> {
    let path = path.as_ref();
    let read = || from_bytes(&read_file(path)?);
    read().map_err(|source| Error::File { path: path.to_owned(), source: Box::new(source) })
}

/// As [`read`], from memory.
///
/// # Errors
/// What is wrong with the bytes.
pub fn from_bytes(bytes: &[u8]) -> Result<BTreeMap<String, Tensor>> {
    match pth::recognize(bytes) {
        Some(format) => pth::read(bytes, format),
        None => Ok(Archive::from_safetensors(bytes)?.tensors),
    }
}

/// The bytes of a regular file; a directory or a device is refused before it can block.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>> {
    let metadata = fs::metadata(path).map_err(|source| Error::Read { source })?;
    if !metadata.is_file() {
        return Err(Error::NotAFile);
    }
    fs::read(path).map_err(|source| Error::Read { source })
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
