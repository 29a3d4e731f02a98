//! Masks as a file: one byte an entry, by the name of its parameter.
//!
//! Above: `recipes`, whose runs keep the masks they begin with. Below: `taper_files`, safetensors. Not here: masks of a run under way
//! (`checkpoint`).

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::error::{Error, Result};

/// Writes masks, by parameter and `true` where an entry is kept, to a file that is complete or absent.
///
/// # Errors
/// [`Error::File`] with the path, for instance on a full disk.
///
/// # Examples
/// ```
/// use std::collections::BTreeMap;
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("masks.safetensors");
/// let masks = BTreeMap::from([("classifier.weight".to_owned(), vec![true, false])]);
/// taper_train::save_masks(&masks, &path)?;
/// assert_eq!(taper_train::load_masks(&path)?, masks);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn save_masks(masks: &BTreeMap<String, Vec<bool>>, path: &Path) -> Result<()> {
    let malformed = |reason: String| Error::MaskFile { path: path.to_owned(), reason };
    let bytes = |kept: &Vec<bool>| kept.iter().map(|&kept| u8::from(kept)).collect();
    let bytes: Vec<Vec<u8>> = masks.values().map(bytes).collect();
    let mut views = Vec::with_capacity(bytes.len());
    for (name, bytes) in masks.keys().zip(&bytes) {
        let view = TensorView::new(Dtype::U8, vec![bytes.len()], bytes);
        views.push((name, view.map_err(|source| malformed(source.to_string()))?));
    }
    let file =
        safetensors::serialize(views, None).map_err(|source| malformed(source.to_string()))?;
    taper_files::replace(path, |out| out.write_all(&file)).map_err(|source| Error::File {
        action: "write",
        path: path.to_owned(),
        source,
    })
}

/// Reads what [`save_masks`] wrote.
///
/// # Errors
/// [`Error::File`] if it cannot be read, [`Error::MaskFile`] if it is something else.
pub fn load_masks(path: &Path) -> Result<BTreeMap<String, Vec<bool>>> {
    let malformed = |reason: String| Error::MaskFile { path: path.to_owned(), reason };
    let bytes = std::fs::read(path).map_err(|source| Error::File {
        action: "read",
        path: path.to_owned(),
        source,
    })?;
    let tensors =
        SafeTensors::deserialize(&bytes).map_err(|source| malformed(source.to_string()))?;
    let mut masks = BTreeMap::new();
    for (name, tensor) in tensors.tensors() {
        if tensor.dtype() != Dtype::U8 || tensor.data().iter().any(|&byte| byte > 1) {
            return Err(malformed(format!("`{name}` is not made of zeros and ones of one byte")));
        }
        masks.insert(name, tensor.data().iter().map(|&byte| byte == 1).collect());
    }
    Ok(masks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_of_masks_is_refused_with_its_path() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("masks.safetensors");
        assert!(matches!(load_masks(&path), Err(Error::File { action: "read", .. })));
        let view = |dtype, data: &'static [u8]| TensorView::new(dtype, vec![data.len()], data);
        let odd = safetensors::serialize([("a", view(Dtype::U8, &[0, 2]).unwrap())], None).unwrap();
        for (bytes, reason) in [(odd, "`a` is not made of"), (b"no".to_vec(), "holds no masks")] {
            std::fs::write(&path, bytes).unwrap();
            let error = load_masks(&path).unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains("masks.safetensors"), "{error}");
        }
    }
}
