//! Embedding: the features of a folder of pictures as a file.
//!
//! Above: the binary, Rust users. Below: `features`, `embed::table`, `source`. Not here: looking for neighbors (`similar`).

mod table;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use serde::Serialize;

use crate::data::SkippedFiles;
use crate::error::{Error, Result};
use crate::features::{self, Batching};
use crate::observer::Observer;
use crate::options::EmbedOptions;
use crate::report::Skipped;
use crate::run::fingerprint;
use crate::source::ModelSource;
pub(crate) use table::EmbeddingTable;
use table::Format;

/// What embedding has written.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EmbedReport {
    /// The features.
    pub out: PathBuf,
    /// Which picture each row is of, where the format has no room for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paths: Option<PathBuf>,
    /// Pictures, one a row.
    pub images: usize,
    /// Numbers of a picture.
    pub features: usize,
    /// Files that are no pictures or could not be read any more.
    pub skipped: usize,
    /// Which ones, and why, each once.
    pub skipped_files: Vec<Skipped>,
    /// Pictures a second, reading and decoding included.
    pub images_per_second: f64,
}

/// Writes what a network says of every picture of a folder before its classifier (`pre_logits`), a row each, in the order of classes and
/// names: as `.safetensors` (the tensor `features`, `(images, features)`, with `paths` and `classes` as JSON in the metadata), as `.npy`
/// (NumPy's format, version 1.0, with a table of paths and classes beside it), or as `.csv` (`path,class,f0,f1,…`).
///
/// # Errors
/// [`Error::is_request`] tells a wrong request from work that failed; [`Error::Stopped`] when `stop` is set.
///
/// # Examples
/// ```
/// use std::sync::atomic::AtomicBool;
/// use taper_recipes::{EmbedOptions, Silent, embed};
///
/// let dir = tempfile::tempdir()?;
/// taper_data::sample_set::export(dir.path())?;
/// let options = EmbedOptions::new(dir.path().join("val"), dir.path().join("features.npy"));
/// let report = embed(&options, &AtomicBool::new(false), &mut Silent)?;
/// assert_eq!((report.images, report.features), (105, 1280));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn embed(
    options: &EmbedOptions,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<EmbedReport> {
    options.check()?;
    let format = Format::of(&options.out)?;
    let source = ModelSource::resolve(&options.model)?;
    let dataset = features::all_pictures(&options.data, options.threads)?;
    let model = source.load(stop, observer)?;
    let started = Instant::now();
    let mut skipped = SkippedFiles::new(Some(&options.data));
    skipped.tell(&dataset.skipped, observer);
    let samples: Vec<_> = dataset.train.iter().chain(&dataset.val).cloned().collect();
    let batching = Batching { batch_size: options.batch_size, threads: options.threads };
    let found = features::embedded(&model, &samples, batching, stop, observer)?;
    skipped.tell(&found.skipped, observer);
    if found.indices.is_empty() {
        return Err(Error::NothingLeft { path: options.data.clone() });
    }
    let seen = found.indices.iter().filter_map(|&index| samples.get(index));
    let (paths, classes) = seen
        .map(|sample| {
            let class = features::class_of(sample, &dataset.classes);
            (sample.name().to_owned(), class.to_owned())
        })
        .unzip();
    let table = EmbeddingTable {
        vectors: found.vectors,
        width: found.width,
        paths,
        classes,
        model: fingerprint(&model),
    };
    let paths = table.write(&options.out, format)?;
    let skipped_files = skipped.into_files();
    Ok(EmbedReport {
        out: options.out.clone(),
        paths,
        images: table.paths.len(),
        features: table.width,
        skipped: skipped_files.len(),
        skipped_files,
        images_per_second: table.paths.len() as f64 / started.elapsed().as_secs_f64(),
    })
}
