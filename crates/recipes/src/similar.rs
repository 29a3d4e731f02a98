//! Finding the pictures that a network finds most similar to one.
//!
//! Above: the binary, Rust users. Below: `features`, `embed`, `source`. Not here: near-duplicates (`doctor`).
//! Similarity is the cosine of the angle between two pictures' features.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use serde::Serialize;
use taper_data::Sample;
use taper_model::Model;

use crate::data::SkippedFiles;
use crate::embed::EmbeddingTable;
use crate::error::{Error, Result};
use crate::features::{self, Batching, Embedded};
use crate::observer::Observer;
use crate::options::SimilarOptions;
use crate::report::Skipped;
use crate::run::fingerprint;
use crate::source::ModelSource;

/// The most similar pictures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SimilarReport {
    /// The picture that was compared.
    pub image: PathBuf,
    /// The most similar ones, the most similar first.
    pub neighbors: Vec<Neighbor>,
    /// Pictures that were compared with it.
    pub images: usize,
    /// Files that are no pictures or could not be read.
    pub skipped: usize,
    /// Which ones, and why, each once.
    pub skipped_files: Vec<Skipped>,
}

/// A picture that is similar.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Neighbor {
    /// The file; as it was embedded where features came from a file.
    pub path: PathBuf,
    /// Its class, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// From -1 to 1, which is the same direction.
    pub similarity: f64,
}

/// Compares a picture with those of a folder and names the most similar; the file itself is not compared with itself.
///
/// # Errors
/// [`Error::is_request`] tells a wrong request from work that failed; [`Error::Stopped`] when `stop` is set.
///
/// # Examples
/// ```
/// use std::sync::atomic::AtomicBool;
/// use taper_recipes::{Silent, SimilarOptions, similar};
///
/// let dir = tempfile::tempdir()?;
/// taper_data::sample_set::export(dir.path())?;
/// let bus = dir.path().join("val/vehicle/bus.png");
/// let options = SimilarOptions::new(bus, dir.path().join("val/vehicle"));
/// let report = similar(&options, &AtomicBool::new(false), &mut Silent)?;
/// assert_eq!(report.neighbors.len(), 5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn similar(
    options: &SimilarOptions,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<SimilarReport> {
    options.check()?;
    let source = ModelSource::resolve(&options.model)?;
    let batching = Batching { batch_size: options.batch_size, threads: options.threads };
    let picture = Sample::from_file(options.image.display().to_string(), 0, options.image.clone());
    picture.image().map_err(|error| Error::Picture {
        path: options.image.clone(),
        source: match error {
            taper_data::Error::Sample { source, .. } => *source,
            other => other,
        },
    })?;
    let model = source.load(stop, observer)?;
    let mut skipped = SkippedFiles::new(Some(&options.within));
    let table = match options.within.is_file() {
        true => written(&options.within, &model)?,
        false => of_folder(&model, options, batching, &mut skipped, (stop, &mut *observer))?,
    };
    let one = features::embedded(&model, &[picture], batching, stop, observer)?;
    if one.width != table.width {
        let reason = format!("{} numbers a picture, and the model has {}", table.width, one.width);
        return Err(Error::NoEmbeddings { path: options.within.clone(), reason });
    }
    let is_same = |path: &Path| match (fs::canonicalize(path), fs::canonicalize(&options.image)) {
        (Ok(path), Ok(image)) => path == image,
        _ => false,
    };
    let root = (!options.within.is_file()).then_some(&options.within);
    let located = |path: &String| root.map_or_else(|| PathBuf::from(path), |root| root.join(path));
    let vectors = table.vectors.chunks_exact(table.width.max(1));
    let mut order: Vec<(f64, usize)> =
        vectors.map(|vector| cosine(vector, &one.vectors)).zip(0..).collect();
    order.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let others = order.iter().map(|&(similarity, at)| Neighbor {
        path: located(&table.paths[at]),
        class: Some(table.classes[at].clone()).filter(|class| !class.is_empty()),
        similarity,
    });
    let neighbors = others.filter(|neighbor| !is_same(&neighbor.path)).take(options.top).collect();
    let skipped_files = skipped.into_files();
    Ok(SimilarReport {
        image: options.image.clone(),
        neighbors,
        images: table.paths.len(),
        skipped: skipped_files.len(),
        skipped_files,
    })
}

/// Features that were written with the same model.
fn written(path: &Path, model: &Model) -> Result<EmbeddingTable> {
    let table = EmbeddingTable::read(path)?;
    if table.model != fingerprint(model) {
        let reason = "it was written with another model: name that one, or embed again".to_owned();
        return Err(Error::NoEmbeddings { path: path.to_path_buf(), reason });
    }
    Ok(table)
}

/// Features of a folder's pictures.
fn of_folder(
    model: &Model,
    options: &SimilarOptions,
    batching: Batching,
    skipped: &mut SkippedFiles<'_>,
    (stop, observer): (&AtomicBool, &mut dyn Observer),
) -> Result<EmbeddingTable> {
    let dataset = features::all_pictures(&options.within, options.threads)?;
    skipped.tell(&dataset.skipped, observer);
    let samples: Vec<_> = dataset.train.iter().chain(&dataset.val).cloned().collect();
    let Embedded { vectors, width, indices, skipped: gone } =
        features::embedded(model, &samples, batching, stop, observer)?;
    skipped.tell(&gone, observer);
    if indices.is_empty() {
        return Err(Error::NothingLeft { path: options.within.clone() });
    }
    let seen = indices.iter().filter_map(|&index| samples.get(index));
    let classes = &dataset.classes;
    let named = seen.map(|it| (it.name().to_owned(), features::class_of(it, classes).to_owned()));
    let (paths, classes) = named.unzip();
    Ok(EmbeddingTable { vectors, width, paths, classes, model: String::new() })
}

/// The cosine of the angle between two vectors; 0 if one of them has no length.
pub(crate) fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
    };
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    // Also of what is no number.
    if lengths > 0.0 { dot(a, b) / lengths } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::cosine;

    #[test]
    fn a_cosine_knows_directions_alone() {
        assert!((cosine(&[1.0, 2.0], &[2.0, 4.0]) - 1.0).abs() < 1e-12);
        assert!(cosine(&[1.0, 0.0], &[0.0, 5.0]).abs() < 1e-12);
        assert!(cosine(&[0.0, 0.0], &[1.0, 0.0]).abs() < f64::EPSILON);
        assert!(cosine(&[f32::NAN, 0.0], &[1.0, 0.0]).abs() < f64::EPSILON);
    }
}
