//! Looking for faults in a folder of pictures before somebody trains on it, and setting them aside.
//!
//! Above: the binary, Rust users. Below: `doctor::{gather, twins, labels, ridge, findings, fixes, page}`, `features`. Not here: faults that
//! end a run (`taper_data`).

mod findings;
mod fixes;
mod gather;
mod labels;
mod page;
mod ridge;
mod twins;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use taper_data::folder::Options;
use taper_data::image::read_bytes;
use taper_data::{Check, Dataset, ImageFolder};

use crate::error::{Error, Result};
use crate::features::Batching;
use crate::observer::Observer;
use crate::options::DoctorOptions;
use crate::report::Skipped;
use crate::setup;
use crate::source::ModelSource;
pub use findings::{
    ClassCount, ConfusedClasses, Copies, DoctorReport, LabelSuspect, OddShape, Shape, Unlike,
};
pub use fixes::{ApplyReport, apply_fixes};
use fixes::{Fix, FixList};
use gather::{Gathered, file_print};

/// A shorter side below which a picture is tiny, pixels: what networks of ImageNet reduce to a single position.
const TINY: usize = 32;

/// How often the shorter side goes into the longer one of a long picture, at least.
const LONG: usize = 3;

/// A class is rare that has less than this share of the median class's pictures.
const RARE: f64 = 1.0 / 3.0;

/// Looks at every picture of a folder in classes and finds the same picture more than once, labels that are likely to be wrong, pictures
/// that are unlike their class, files that cannot be read, odd sizes and shapes, rare classes and such as are confused; writes
/// `doctor.html` and `fixes.json` into [`DoctorOptions::out`]. Nothing else is touched; [`apply_fixes`] sets aside what the list names.
///
/// # Errors
/// [`Error::is_request`] tells a wrong request from work that failed; [`Error::Stopped`] when `stop` is set.
///
/// # Examples
/// ```
/// use std::sync::atomic::AtomicBool;
/// use taper_recipes::{DoctorOptions, Silent, doctor};
///
/// let dir = tempfile::tempdir()?;
/// let data = dir.path().join("emoji6");
/// taper_data::sample_set::export(&data)?;
/// std::fs::copy(data.join("train/food/pizza.png"), data.join("val/food/again.png"))?;
/// let report = doctor(&DoctorOptions::new(&data, dir.path().join("out")), &AtomicBool::new(false), &mut Silent)?;
/// let copies = report.copies.iter().find(|copies| copies.exact).unwrap();
/// assert_eq!(copies.images, ["val/food/again.png", "train/food/pizza.png"]);
/// assert!(copies.across_parts && report.page.is_file());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn doctor(
    options: &DoctorOptions,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<DoctorReport> {
    options.check()?;
    let source = ModelSource::resolve(&options.model)?;
    let reading = Options { check: Check::Headers, threads: options.threads, ..Options::default() };
    let dataset = ImageFolder::open_whole(&options.data, &reading).map_err(setup::data)?;
    let model = source.load(stop, observer)?;
    let counts = [&dataset.train, &dataset.val].map(|part| dataset.count_by_class(part));
    let set_aside = |skipped: &taper_data::Skipped| !skipped.name.contains('/');
    let dataset = Dataset {
        // Folders that are no part of the data are no faults of files.
        skipped: dataset.skipped.into_iter().filter(|skipped| !set_aside(skipped)).collect(),
        ..dataset
    };
    let batching = Batching { batch_size: options.batch_size, threads: options.threads };
    let gathered = gather::gather(&model, dataset, batching, stop, observer)?;
    if gathered.subjects.is_empty() {
        return Err(Error::NothingLeft { path: options.data.clone() });
    }
    let mut report = found(&gathered, &counts, options)?;
    let fixes = fixes(&report, &gathered, &options.data);
    report.fixes = fixes.len();
    FixList::new(&options.data, fixes).write(&report.list)?;
    let html = page::page(&report, &gathered, &options.data).to_html();
    let html = html.map_err(|source| Error::Draw { source })?;
    let page = report.page.clone();
    taper_files::replace(&page, |file| file.write_all(html.as_bytes()))
        .map_err(|source| Error::File { action: "write", path: page.clone(), source })?;
    Ok(report)
}

fn found(
    gathered: &Gathered,
    [train, val]: &[Vec<usize>; 2],
    options: &DoctorOptions,
) -> Result<DoctorReport> {
    let groups = twins::groups(gathered);
    let labels = labels::disputed(gathered, &groups)?;
    let copies: Vec<Copies> =
        groups.iter().map(|group| twins::told(group, &gathered.subjects)).collect();
    let unreadable: Vec<Skipped> = gathered
        .unreadable
        .iter()
        .map(|it| Skipped { path: options.data.join(&it.name), reason: it.reason.clone() })
        .collect();
    let grave = copies.iter().filter(|it| it.across_parts || it.across_classes).count();
    let counts = gathered.classes.iter().zip(train.iter().zip(val));
    let classes: Vec<ClassCount> = counts
        .map(|(class, (&train, &val))| ClassCount { class: class.clone(), train, val })
        .collect();
    Ok(DoctorReport {
        data: options.data.clone(),
        images: gathered.subjects.len(),
        rare: rare(&classes),
        classes,
        grave: grave + unreadable.len(),
        copies,
        labels: labels.suspects.into_iter().map(|(_, suspect)| suspect).collect(),
        unlike: labels::unlike(gathered).into_iter().map(|(_, unlike)| unlike).collect(),
        shapes: shapes(gathered),
        unreadable,
        confused: labels.confused,
        agreement: labels.agreement,
        fixes: 0,
        page: options.out.join("doctor.html"),
        list: options.out.join("fixes.json"),
    })
}

/// Classes with few pictures beside the median class.
fn rare(classes: &[ClassCount]) -> Vec<String> {
    let all = |of: &ClassCount| of.train + of.val;
    let mut sorted: Vec<usize> = classes.iter().map(all).collect();
    sorted.sort_unstable();
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
    let is_rare = |of: &&ClassCount| (all(of) as f64) < RARE * median as f64;
    classes.iter().filter(is_rare).map(|of| of.class.clone()).collect()
}

fn shapes(gathered: &Gathered) -> Vec<OddShape> {
    let mut found = Vec::new();
    for subject in &gathered.subjects {
        let (height, width) = (subject.height, subject.width);
        let (short, long) = (height.min(width), height.max(width));
        let kinds = [
            (short < TINY, Shape::Tiny),
            (long > LONG * short, Shape::Long),
            (subject.is_turned, Shape::Turned),
            (subject.is_flat, Shape::Flat),
        ];
        let kinds = kinds.into_iter().filter(|(holds, _)| *holds);
        found.extend(kinds.map(|(_, shape)| OddShape {
            image: subject.name().to_owned(),
            shape,
            height,
            width,
        }));
    }
    found
}

/// What would be set aside, each file once: copies but the one to keep, all of a picture in several classes, labels that are likely to be
/// wrong, and files that cannot be read.
fn fixes(report: &DoctorReport, gathered: &Gathered, data: &Path) -> Vec<Fix> {
    let mut reasons: BTreeMap<String, String> = BTreeMap::new();
    for copies in &report.copies {
        let kept = copies.images.first().cloned().unwrap_or_default();
        let (skip, reason) = match copies.across_classes {
            true => {
                (0, format!("the same picture in several classes: {}", copies.images.join(", ")))
            }
            false => (1, format!("a copy of {kept}")),
        };
        for image in copies.images.iter().skip(skip) {
            reasons.entry(image.clone()).or_insert_with(|| reason.clone());
        }
    }
    for suspect in report.labels.iter().filter(|suspect| suspect.likely) {
        let reason = || format!("labelled {}, looks like {}", suspect.class, suspect.suggested);
        reasons.entry(suspect.image.clone()).or_insert_with(reason);
    }
    let prints: BTreeMap<&str, &gather::FilePrint> =
        gathered.subjects.iter().map(|subject| (subject.name(), &subject.file)).collect();
    let of_pictures = reasons.iter().filter_map(|(image, reason)| {
        let print = prints.get(image.as_str())?;
        Some(Fix::new(image, reason.clone(), (*print).clone()))
    });
    // What cannot even be read as a file stays where it is.
    let of_others = gathered.unreadable.iter().filter_map(|skipped| {
        let bytes = read_bytes(&data.join(&skipped.name)).ok()?;
        Some(Fix::new(
            &skipped.name,
            format!("cannot be used: {}", skipped.reason),
            file_print(&bytes),
        ))
    });
    of_pictures.chain(of_others).collect()
}

#[cfg(test)]
mod tests;
