//! Fixtures as the generators in `tests/generators` write them: one safetensors file, tensors by name.
//!
//! Above: the golden tests. Below: `safetensors`. Not here: comparing (`close`), making fixtures (`tests/generators/fixture.py`).

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use safetensors::{Dtype, SafeTensors};

/// A tensor of a fixture; integers and f32 are exact in f64.
#[derive(Clone, Debug, PartialEq)]
pub struct Golden {
    /// As PyTorch has it: images and maps are `(n, c, h, w)`.
    pub shape: Vec<usize>,
    /// Row-major.
    pub data: Vec<f64>,
}

impl Golden {
    /// The elements in f32: exact for tensors that the generator stored as F32.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the tensors read this way were written as F32"
    )]
    pub fn to_f32(&self) -> Vec<f32> {
        self.data.iter().map(|&v| v as f32).collect()
    }

    /// Classes, which the generator stored as integers.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the tensors read this way were written as small indices"
    )]
    pub fn to_indices(&self) -> Vec<usize> {
        self.data.iter().map(|&v| v as usize).collect()
    }

    /// A map `(n, c, h, w)` with its channels last, `(n, h, w, c)`, and `[n, h, w]`.
    ///
    /// # Panics
    /// If the tensor has not four axes.
    #[must_use]
    pub fn channels_last(&self) -> (Vec<f64>, [usize; 3]) {
        let [n, c, h, w] = self.shape[..] else {
            assert_eq!(self.shape.len(), 4, "a map has four axes");
            return (Vec::new(), [0; 3]);
        };
        let mut out = Vec::with_capacity(self.data.len());
        for image in self.data.chunks_exact((c * h * w).max(1)) {
            for pixel in 0..h * w {
                out.extend((0..c).map(|channel| image[channel * h * w + pixel]));
            }
        }
        (out, [n, h, w])
    }

    /// The elements as kernels order them: a map with its channels last, anything else as it is. Not for weights of convolutions.
    #[must_use]
    pub fn in_kernel_order(&self) -> Vec<f64> {
        if self.shape.len() == 4 { self.channels_last().0 } else { self.data.clone() }
    }
}

/// A fixture file.
#[derive(Clone, Debug)]
pub struct Fixture {
    name: String,
    tensors: BTreeMap<String, Golden>,
    metadata: HashMap<String, String>,
}

impl Fixture {
    /// Reads `tests/fixtures/<name>.safetensors`.
    ///
    /// # Panics
    /// If it is missing or broken: fixtures are part of the repository.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test without its fixture has nothing to say")]
    pub fn open(name: &str) -> Self {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/{name}.safetensors"));
        let bytes = std::fs::read(path).expect("fixture");
        let file = SafeTensors::deserialize(&bytes).expect("safetensors");
        let (_, header) = SafeTensors::read_metadata(&bytes).expect("safetensors");
        let metadata = header.metadata().clone().unwrap_or_default();
        let golden = |tensor: &safetensors::tensor::TensorView<'_>| Golden {
            shape: tensor.shape().to_vec(),
            data: to_f64(tensor.dtype(), tensor.data()),
        };
        let tensors =
            file.iter().map(|(name, tensor)| (name.to_owned(), golden(&tensor))).collect();
        Self { name: name.to_owned(), tensors, metadata }
    }

    /// The tensor of that name.
    ///
    /// # Panics
    /// If the fixture has none.
    #[must_use]
    pub fn get(&self, name: &str) -> &Golden {
        assert!(self.tensors.contains_key(name), "fixture {} has no tensor {name}", self.name);
        &self.tensors[name]
    }

    /// What the generator wrote beside the tensors.
    ///
    /// # Panics
    /// If the fixture has no such key.
    #[must_use]
    pub fn metadata(&self, key: &str) -> &str {
        assert!(self.metadata.contains_key(key), "fixture {} has no metadata {key}", self.name);
        &self.metadata[key]
    }

    /// All tensors below `prefix` by the rest of their names: `grads/` gives gradients by parameter name.
    pub fn below(&self, prefix: &str) -> impl Iterator<Item = (&str, &Golden)> {
        self.tensors
            .iter()
            .filter_map(move |(name, tensor)| Some((name.strip_prefix(prefix)?, tensor)))
    }
}

fn to_f64(dtype: Dtype, bytes: &[u8]) -> Vec<f64> {
    match dtype {
        Dtype::F64 => elements(bytes, f64::from_le_bytes),
        Dtype::F32 => elements(bytes, |b| f64::from(f32::from_le_bytes(b))),
        Dtype::U8 => bytes.iter().map(|&b| f64::from(b)).collect(),
        // Class indices and counts: far below 2^53.
        #[expect(clippy::cast_precision_loss, reason = "small integers")]
        Dtype::I64 => elements(bytes, |b| i64::from_le_bytes(b) as f64),
        other => {
            assert_eq!(other, Dtype::F64, "fixtures hold F32, F64, I64 and U8");
            Vec::new()
        }
    }
}

fn elements<const SIZE: usize>(bytes: &[u8], element: impl Fn([u8; SIZE]) -> f64) -> Vec<f64> {
    bytes.as_chunks::<SIZE>().0.iter().map(|&chunk| element(chunk)).collect()
}
