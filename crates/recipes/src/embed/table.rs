//! Features with the pictures they are of, as files: safetensors, NPY, CSV.
//!
//! Above: `embed`, `similar`. Below: `taper_model::tensors`, `taper_files`. Not here: computing them (`features`).
//! Source of NPY: NumPy's `numpy.lib.format`, version 1.0: a magic word, the header's length, a Python literal that is padded to a
//! multiple of 64 bytes, then the numbers, little-endian and row by row.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use taper_model::Tensor;
use taper_model::tensors::{Archive, Precision, read_file, to_safetensors};

use crate::cost::csv::quoted;
use crate::error::{Error, Result};

/// The tensor's name.
const FEATURES: &str = "features";

/// How a file of features is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Safetensors,
    Npy,
    Csv,
}

impl Format {
    /// What the extension says.
    pub(super) fn of(out: &Path) -> Result<Self> {
        let extension = out.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        match extension.as_str() {
            "safetensors" => Ok(Self::Safetensors),
            "npy" => Ok(Self::Npy),
            "csv" => Ok(Self::Csv),
            _ => {
                let expected = "a file that ends in .safetensors, .npy or .csv";
                Err(Error::option("out", &out.display(), expected))
            }
        }
    }
}

/// A row of features for each picture.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct EmbeddingTable {
    /// `(paths, width)`.
    pub(crate) vectors: Vec<f32>,
    pub(crate) width: usize,
    /// Within the folder; `/` on every system.
    pub(crate) paths: Vec<String>,
    /// By picture; empty where there are none.
    pub(crate) classes: Vec<String>,
    /// Fingerprint of the model.
    pub(crate) model: String,
}

impl EmbeddingTable {
    /// Writes the file, and a table of paths beside it where it has no room for them, which is returned.
    pub(super) fn write(&self, out: &Path, format: Format) -> Result<Option<PathBuf>> {
        match format {
            Format::Safetensors => replace(out, &self.safetensors()?).map(|()| None),
            Format::Csv => replace(out, self.csv().as_bytes()).map(|()| None),
            Format::Npy => {
                let paths = out.with_extension("paths.csv");
                replace(&paths, self.paths_csv().as_bytes())?;
                replace(out, &npy(&self.vectors, [self.paths.len(), self.width]))?;
                Ok(Some(paths))
            }
        }
    }

    fn safetensors(&self) -> Result<Vec<u8>> {
        let json = |words: &[String]| {
            let failed = |source: serde_json::Error| Error::Model {
                source: taper_model::Error::Metadata { key: "paths", source },
            };
            serde_json::to_string(words).map_err(failed)
        };
        let metadata = BTreeMap::from([
            ("classes", json(&self.classes)?),
            ("model", self.model.clone()),
            ("paths", json(&self.paths)?),
        ]);
        let shape = vec![self.paths.len(), self.width];
        let tensor = Tensor { shape, data: self.vectors.clone() };
        Ok(to_safetensors([(FEATURES, &tensor, Precision::F32)], &metadata))
    }

    fn rows(&self) -> impl Iterator<Item = (&String, &String, &[f32])> {
        let named = self.paths.iter().zip(&self.classes);
        let rows = self.vectors.chunks_exact(self.width.max(1));
        named.zip(rows).map(|((path, class), row)| (path, class, row))
    }

    fn csv(&self) -> String {
        let mut text = String::from("path,class");
        (0..self.width).for_each(|feature| text.push_str(&format!(",f{feature}")));
        text.push('\n');
        for (path, class, row) in self.rows() {
            text.push_str(&format!("{},{}", quoted(path), quoted(class)));
            row.iter().for_each(|value| text.push_str(&format!(",{value}")));
            text.push('\n');
        }
        text
    }

    fn paths_csv(&self) -> String {
        let rows =
            self.rows().map(|(path, class, _)| format!("{},{}\n", quoted(path), quoted(class)));
        std::iter::once("path,class\n".to_owned()).chain(rows).collect()
    }

    /// Reads what was written as safetensors.
    ///
    /// # Errors
    /// [`Error::NoEmbeddings`] for any other file.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let refused = |reason: String| Error::NoEmbeddings { path: path.to_path_buf(), reason };
        let archive = read_file(path).and_then(|bytes| Archive::from_safetensors(&bytes));
        let mut archive = archive.map_err(|source| refused(source.to_string()))?;
        let words = |key: &str| -> Result<Vec<String>> {
            let text = archive.metadata.get(key);
            let text = text.ok_or_else(|| refused(format!("its metadata has no `{key}`")))?;
            serde_json::from_str(text).map_err(|source| refused(format!("its `{key}`: {source}")))
        };
        let (paths, classes) = (words("paths")?, words("classes")?);
        let model = archive.metadata.get("model").cloned().unwrap_or_default();
        let Some(tensor) = archive.tensors.remove(FEATURES) else {
            return Err(refused(format!("it has no tensor `{FEATURES}`")));
        };
        match tensor.shape[..] {
            [n, width] if n == paths.len() && n == classes.len() && width > 0 => {
                Ok(Self { vectors: tensor.data, width, paths, classes, model })
            }
            _ => {
                let (shape, n, k) = (&tensor.shape, paths.len(), classes.len());
                Err(refused(format!("features of shape {shape:?} for {n} paths and {k} classes")))
            }
        }
    }
}

/// An NPY file of `f32`.
fn npy(values: &[f32], [rows, columns]: [usize; 2]) -> Vec<u8> {
    /// Magic word, version and length of the header.
    const BEFORE: usize = 10;
    let mut header =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    while !(BEFORE + header.len() + 1).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    // Two numbers of at most 20 digits: the header is far below 2^16 bytes.
    file.extend(u16::try_from(header.len()).unwrap_or(u16::MAX).to_le_bytes());
    file.extend(header.as_bytes());
    file.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    file
}

fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    taper_files::replace(path, |file| file.write_all(bytes)).map_err(|source| Error::File {
        action: "write",
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> EmbeddingTable {
        EmbeddingTable {
            vectors: vec![0.5, -2.0, 1e-8, 3.0],
            width: 2,
            paths: vec!["bees/1.jpg".to_owned(), "a \"b\",c/2.jpg".to_owned()],
            classes: vec!["bees".to_owned(), String::new()],
            model: "0123".to_owned(),
        }
    }

    #[test]
    fn an_npy_file_is_that_of_numpy() {
        let file = npy(&[1.0, -2.0], [1, 2]);
        assert_eq!(file.len(), 128 + 8);
        assert_eq!(file[..10], *b"\x93NUMPY\x01\x00\x76\x00");
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }";
        let text = String::from_utf8_lossy(&file[10..128]);
        assert_eq!(text.trim_end(), header);
        assert!(text.ends_with(" \n"));
        assert_eq!(file[128..], [0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0]);
    }

    #[test]
    fn a_table_survives_its_file_and_text_is_quoted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("features.safetensors");
        assert_eq!(table().write(&path, Format::of(&path).unwrap()).unwrap(), None);
        assert_eq!(EmbeddingTable::read(&path).unwrap(), table());
        let csv =
            "path,class,f0,f1\nbees/1.jpg,bees,0.5,-2\n\"a \"\"b\"\",c/2.jpg\",,0.00000001,3\n";
        assert_eq!(table().csv(), csv);
        let npy = dir.path().join("features.npy");
        let paths = table().write(&npy, Format::of(&npy).unwrap()).unwrap().unwrap();
        assert_eq!(paths, dir.path().join("features.paths.csv"));
        let text = std::fs::read_to_string(paths).unwrap();
        assert_eq!(text, "path,class\nbees/1.jpg,bees\n\"a \"\"b\"\",c/2.jpg\",\n");
    }

    #[test]
    fn other_files_are_refused_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.safetensors");
        let refused = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            let error = EmbeddingTable::read(&path).unwrap_err();
            assert!(error.is_request(), "{error}");
            error.to_string()
        };
        refused(b"no tensors");
        let tensor = Tensor { shape: vec![2, 2], data: vec![0.0; 4] };
        let file = |paths: &str, name: &'static str| {
            let metadata =
                BTreeMap::from([("paths", paths.to_owned()), ("classes", "[]".to_owned())]);
            to_safetensors([(name, &tensor, Precision::F32)], &metadata)
        };
        assert!(refused(&to_safetensors([], &BTreeMap::new())).contains("no `paths`"));
        assert!(refused(&file("[1]", FEATURES)).contains("its `paths`"));
        assert!(refused(&file("[]", "other")).contains("no tensor `features`"));
        assert!(refused(&file("[]", FEATURES)).contains("[2, 2] for 0 paths"));
        assert!(Format::of(Path::new("features")).unwrap_err().is_request());
    }
}
