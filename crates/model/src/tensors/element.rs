//! Element types of files, and their conversion to `f32`.
//!
//! Above: `tensors`, `pth`. Below: half. Not here: writing (`tensors`).
//! All little-endian. Integers beyond 2²⁴ are rounded; a finite number that `f32` cannot hold is refused.

use half::{bf16, f16};

use crate::{Error, Result};

/// How an element is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element {
    F64,
    F32,
    F16,
    BF16,
    I64,
    I32,
    I16,
    I8,
    U8,
    Bool,
}

impl Element {
    /// Bytes of one.
    #[cfg(feature = "pth")]
    pub(crate) fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::BF16 | Self::I16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// Converts whole elements; bytes beyond the last whole one are ignored (callers check lengths).
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "rounding to f32 is the point; overflow is checked"
    )]
    pub(crate) fn decode(self, name: &str, bytes: &[u8]) -> Result<Vec<f32>> {
        let data = match self {
            Self::F64 => {
                let wide = map(bytes, f64::from_le_bytes);
                let data: Vec<f32> = wide.iter().map(|&v| v as f32).collect();
                if let Some(lost) = wide.iter().find(|v| v.is_finite() && !(**v as f32).is_finite())
                {
                    let reason = format!("{lost} is too large for f32");
                    return Err(Error::Tensor { name: name.to_owned(), reason });
                }
                data
            }
            Self::F32 => map(bytes, f32::from_le_bytes),
            Self::F16 => map(bytes, |v| f16::from_le_bytes(v).to_f32()),
            Self::BF16 => map(bytes, |v| bf16::from_le_bytes(v).to_f32()),
            Self::I64 => map(bytes, |v| i64::from_le_bytes(v) as f32),
            Self::I32 => map(bytes, |v| i32::from_le_bytes(v) as f32),
            Self::I16 => map(bytes, |v| f32::from(i16::from_le_bytes(v))),
            Self::I8 => map(bytes, |v| f32::from(i8::from_le_bytes(v))),
            Self::U8 => map(bytes, |v| f32::from(u8::from_le_bytes(v))),
            Self::Bool => map(bytes, |[v]: [u8; 1]| f32::from(u8::from(v != 0))),
        };
        Ok(data)
    }
}

fn map<const N: usize, T>(bytes: &[u8], f: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|chunk| f(*chunk)).collect()
}
