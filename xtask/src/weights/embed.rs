//! Makes the weights that are compiled into the zoo, and says what rounding to half precision cost.
//!
//! Above: `weights`. Below: `taper_model`, the zoo's records. Not here: downloading (`taper_zoo::hub`).

use std::path::Path;

use anyhow::{Context, Result};
use taper_model::{Model, Precision, tensors};
use taper_zoo::{Record, WeightsSource};

use crate::shell;

const PATH: &str = "crates/weights-mobilenet-v2/weights.safetensors";

/// Writes the model file of `record` from its published file. The same file gives the same bytes.
pub(super) fn embed(record: &Record, source: &WeightsSource, file: &Path) -> Result<()> {
    let model = record.model(source, tensors::read(file)?)?;
    let bytes = model.to_bytes(Precision::F16)?;
    let read_back = Model::from_bytes(&bytes).context("the file that was made is wrong")?;
    let (worst, name) = worst_error(&model, &read_back);
    println!("largest rounding error: {worst:.1e} of the largest weight, in {name}");
    taper_files::replace(shell::root().join(PATH), |file| file.write_all(&bytes))?;
    println!("{PATH}: {} bytes", bytes.len());
    Ok(())
}

/// Largest absolute difference of a tensor over its largest magnitude; half precision has 11 bits, so at most 2⁻¹¹ = 4.9e-4.
fn worst_error(exact: &Model, rounded: &Model) -> (f32, String) {
    let pairs = exact.tensors().iter().zip(rounded.tensors()).zip(exact.graph().params());
    let errors = pairs.map(|((exact, rounded), spec)| {
        let scale = exact.data.iter().fold(0.0f32, |max, v| max.max(v.abs()));
        let differences = exact.data.iter().zip(&rounded.data).map(|(a, b)| (a - b).abs());
        let worst = differences.fold(0.0f32, f32::max);
        (if scale > 0.0 { worst / scale } else { worst }, spec.name.clone())
    });
    errors.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or_default()
}
