//! All that is kept of each picture while a folder is looked at.
//!
//! Above: `doctor`. Below: `taper_data`, `features`. Not here: what it means (`doctor::{twins, labels, shapes}`).

use std::path::Path;
use std::sync::atomic::AtomicBool;

use sha2::{Digest, Sha256};
use taper_data::likeness::Print;
use taper_data::{Dataset, Sample, TargetKind, image};
use taper_model::Model;

use crate::error::Result;
use crate::features::{self, Batching};
use crate::observer::Observer;

/// A file as a list of fixes knows it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FilePrint {
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

/// A picture that can be read.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) sample: Sample,
    pub(crate) class: usize,
    /// Whether it is there to validate on.
    pub(crate) is_val: bool,
    pub(crate) file: FilePrint,
    pub(crate) height: usize,
    pub(crate) width: usize,
    /// Whether the file asks for its pixels to be turned.
    pub(crate) is_turned: bool,
    pub(crate) is_flat: bool,
    pub(crate) print: Print,
}

impl Subject {
    pub(crate) fn name(&self) -> &str {
        self.sample.name()
    }
}

/// A folder's pictures with their features.
#[derive(Debug)]
pub(crate) struct Gathered {
    /// None where pictures have other targets.
    pub(crate) classes: Vec<String>,
    pub(crate) kind: TargetKind,
    pub(crate) subjects: Vec<Subject>,
    /// `(subjects, width)`, rows of length 1.
    pub(crate) features: Vec<f32>,
    pub(crate) width: usize,
    /// What cannot be read: name and reason.
    pub(crate) unreadable: Vec<taper_data::Skipped>,
}

impl Gathered {
    pub(crate) fn row(&self, subject: usize) -> &[f32] {
        self.features.get(subject * self.width..(subject + 1) * self.width).unwrap_or_default()
    }
}

/// Reads every picture twice: once for what its file and its pixels say, once as the network sees it.
pub(crate) fn gather(
    model: &Model,
    dataset: Dataset,
    batching: Batching,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<Gathered> {
    let kind = dataset.kind();
    let Dataset { classes, train, val, skipped: mut unreadable } = dataset;
    let classes = if kind == TargetKind::Class { classes } else { Vec::new() };
    let parts = [(train, false), (val, true)];
    let samples: Vec<(Sample, bool)> = parts
        .into_iter()
        .flat_map(|(samples, is_val)| samples.into_iter().map(move |it| (it, is_val)))
        .collect();
    let mut subjects = Vec::with_capacity(samples.len());
    for looked in in_parallel(&samples, batching.threads) {
        match looked {
            Ok(subject) => subjects.push(subject),
            Err(skipped) => unreadable.push(skipped),
        }
    }
    let readable: Vec<Sample> = subjects.iter().map(|subject| subject.sample.clone()).collect();
    let found = features::embedded(model, &readable, batching, stop, observer)?;
    unreadable.extend(found.skipped);
    let subjects: Vec<Subject> =
        found.indices.iter().filter_map(|&index| subjects.get(index).cloned()).collect();
    let mut features = found.vectors;
    for row in features.chunks_exact_mut(found.width.max(1)) {
        let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        // What is no number, or has no direction, is like nothing.
        let scale = if length.is_finite() && length > 0.0 { 1.0 / length } else { 0.0 };
        row.iter_mut().for_each(|x| *x = if scale > 0.0 { *x * scale } else { 0.0 });
    }
    unreadable.sort_by(|a, b| a.name.cmp(&b.name));
    unreadable.dedup_by(|a, b| a.name == b.name);
    Ok(Gathered { classes, kind, subjects, features, width: found.width, unreadable })
}

/// Looks at all samples, in their order, on so many threads.
fn in_parallel(
    samples: &[(Sample, bool)],
    threads: usize,
) -> Vec<std::result::Result<Subject, taper_data::Skipped>> {
    let available = || std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if threads == 0 { available() } else { threads };
    let share = samples.len().div_ceil(threads).max(1);
    let run = |samples: &[(Sample, bool)]| samples.iter().map(look_at).collect::<Vec<_>>();
    std::thread::scope(|scope| {
        let started: Vec<_> =
            samples.chunks(share).map(|samples| scope.spawn(move || run(samples))).collect();
        let joined = started.into_iter().map(|share| match share.join() {
            Ok(looked) => looked,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        joined.flatten().collect()
    })
}

fn look_at((sample, is_val): &(Sample, bool)) -> std::result::Result<Subject, taper_data::Skipped> {
    let skipped = |error: &taper_data::Error| {
        let (name, reason) = (sample.name().to_owned(), error.chain());
        taper_data::Skipped { name, reason }
    };
    let path = sample.path().unwrap_or(Path::new(""));
    let bytes = image::read_bytes(path).map_err(|error| skipped(&error))?;
    let (image, is_turned) = image::decode_turned(&bytes).map_err(|error| skipped(&error))?;
    let first = image.rgb().first_chunk::<3>().copied().unwrap_or_default();
    let is_flat = image.rgb().as_chunks::<3>().0.iter().all(|pixel| *pixel == first);
    Ok(Subject {
        sample: sample.clone(),
        class: sample.class().map_or(0, |class| class as usize),
        is_val: *is_val,
        file: file_print(&bytes),
        height: image.height(),
        width: image.width(),
        is_turned,
        is_flat,
        print: Print::of(&image),
    })
}

/// The length and the SHA-256 of a file's bytes.
pub(crate) fn file_print(bytes: &[u8]) -> FilePrint {
    let sha256 = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    FilePrint { bytes: bytes.len() as u64, sha256 }
}
