//! Looking for faults in a folder or a table of pictures before somebody trains on it, and setting them aside.
//!
//! Above: the binary, Rust users. Below: `doctor::{opening, gather, twins, labels, ridge, findings, fixes, page}`, `features`. Not here:
//! faults that end a run (`taper_data`).

mod findings;
mod fixes;
mod gather;
mod labels;
mod opening;
mod page;
mod ridge;
mod twins;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;

use taper_data::{Dataset, Sample, Target, TargetKind};

use crate::data;
use crate::error::{Error, Result};
use crate::features::Batching;
use crate::observer::Observer;
use crate::options::{DoctorOptions, FineTuneOptions, TableColumns};
use crate::report::Skipped;
use crate::run;
use crate::source::ModelSource;
pub use findings::{
    ClassCount, ConfusedClasses, Copies, DoctorReport, LabelSuspect, OddShape, Shape, Unlike,
};
use fixes::FixList;
pub use fixes::{ApplyReport, apply_fixes};
use gather::Gathered;
use opening::Origin;

/// A shorter side below which a picture is tiny, pixels: what networks of ImageNet reduce to a single position.
const TINY: usize = 32;

/// How often the shorter side goes into the longer one of a long picture, at least.
const LONG: usize = 3;

/// A class is rare that has less than this share of the median class's pictures.
const RARE: f64 = 1.0 / 3.0;

/// Looks at every picture of a folder in classes, or of a table, and finds the same picture more than once, files that cannot be read, odd
/// sizes and shapes, rare classes or labels, and where each picture has a class, labels that are likely to be wrong, pictures that are unlike
/// their class, and classes that are confused; writes `doctor.html` and `fixes.json` into [`DoctorOptions::out`]. Nothing else is touched; [`apply_fixes`] sets aside
/// what the list of a folder names, or writes the table that the list of a table asks for.
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
    run::must_be_no_class(&options.out, Some(&options.data), options.table.as_deref())?;
    let source = ModelSource::resolve(&options.model)?;
    let (dataset, origin) = opening::opened(options)?;
    let model = source.load(stop, observer)?;
    let counts = counts(&dataset);
    let batching = Batching { batch_size: options.batch_size, threads: options.threads };
    let gathered = gather::gather(&model, dataset, batching, stop, observer)?;
    if gathered.subjects.is_empty() {
        return Err(Error::NothingLeft { path: options.data.clone() });
    }
    let mut report = found(&gathered, &counts, options, &origin)?;
    let faults = faults(&report, &gathered);
    report.remarks.extend(untrainable(options));
    let (list, left_out) = FixList::new(origin, faults, &gathered);
    let left_out = left_out.into_iter().map(|why| format!("not in the list of fixes: {why}"));
    report.remarks.extend(emptied(&gathered, &list));
    report.remarks.extend(left_out);
    report.fixes = list.len();
    list.write(&report.list)?;
    let html = page::page(&report, &gathered).to_html();
    let html = html.map_err(|source| Error::Draw { source })?;
    let page = report.page.clone();
    taper_files::replace(&page, |file| file.write_all(html.as_bytes()))
        .map_err(|source| Error::File { action: "write", path: page.clone(), source })?;
    Ok(report)
}

fn found(
    gathered: &Gathered,
    counts: &[ClassCount],
    options: &DoctorOptions,
    origin: &Origin,
) -> Result<DoctorReport> {
    let groups = twins::groups(gathered);
    let labels = labels::disputed(gathered, &groups)?;
    let copies: Vec<Copies> =
        groups.iter().map(|group| twins::told(group, &gathered.subjects)).collect();
    let unreadable: Vec<Skipped> = gathered
        .unreadable
        .iter()
        .map(|it| Skipped { path: origin.root.join(&it.name), reason: it.reason.clone() })
        .collect();
    let grave = copies.iter().filter(|it| it.across_parts || it.across_classes).count();
    Ok(DoctorReport {
        data: options.data.clone(),
        table: origin.table.as_ref().map(|table| table.path.clone()),
        images: gathered.subjects.len(),
        targets: gathered.kind.into(),
        rare: rare(counts),
        classes: counts.to_vec(),
        grave: grave + unreadable.len(),
        copies,
        labels: labels.suspects.into_iter().map(|(_, suspect)| suspect).collect(),
        unlike: labels::unlike(gathered).into_iter().map(|(_, unlike)| unlike).collect(),
        shapes: shapes(gathered),
        unreadable,
        confused: labels.confused,
        agreement: labels.agreement,
        remarks: Vec::new(),
        fixes: 0,
        page: options.out.join("doctor.html"),
        list: options.out.join("fixes.json"),
    })
}

/// Why a run would refuse these pictures, if it would.
fn untrainable(options: &DoctorOptions) -> Option<String> {
    let TableColumns { image, targets, kind } = options.columns.clone();
    let asked = FineTuneOptions {
        data: Some(options.data.clone()),
        table: options.table.clone(),
        image_column: image,
        target_columns: targets,
        targets: kind,
        threads: options.threads,
        ..FineTuneOptions::default()
    };
    let refused = data::to_count(&asked).err()?;
    Some(format!("these pictures cannot be trained with: {}", crate::error::chain(&refused)))
}

/// Classes of whose pictures, to train with or to validate on, files that are set aside would leave none.
fn emptied(gathered: &Gathered, list: &FixList) -> Vec<String> {
    let gone: BTreeSet<&str> = list.set_aside().collect();
    if gathered.kind != TargetKind::Class || gone.is_empty() {
        return Vec::new();
    }
    // By class: pictures to train with and to validate on, and those that would be left.
    let mut counts = vec![[[0usize; 2]; 2]; gathered.classes.len()];
    for subject in &gathered.subjects {
        let Some(of_class) = counts.get_mut(subject.class) else { continue };
        let [there, left] = &mut of_class[usize::from(subject.is_val)];
        *there += 1;
        *left += usize::from(!gone.contains(subject.name()));
    }
    let line = |(name, parts): (&String, [[usize; 2]; 2])| {
        let words = ["to train with", "to validate on"].into_iter().zip(parts);
        let emptied = words.filter(|(_, [there, left])| *there > 0 && *left == 0);
        let emptied: Vec<&str> = emptied.map(|(part, _)| part).collect();
        let part = emptied.join(" and ");
        (!emptied.is_empty())
            .then(|| format!("the fixes would leave no picture of `{name}` {part}"))
    };
    gathered.classes.iter().zip(counts).filter_map(line).collect()
}

/// Pictures of each class, or for which each label holds.
fn counts(dataset: &Dataset) -> Vec<ClassCount> {
    let count = |part: &[Sample]| match dataset.kind() {
        TargetKind::Class => dataset.count_by_class(part),
        TargetKind::Labels => {
            let mut counts = vec![0; dataset.classes.len()];
            for sample in part {
                let Target::Labels(holds) = sample.target() else { continue };
                let holds = holds.values().iter().map(|&holds| usize::from(holds >= 0.5));
                counts.iter_mut().zip(holds).for_each(|(count, holds)| *count += holds);
            }
            counts
        }
        TargetKind::Probabilities | TargetKind::Numbers => Vec::new(),
    };
    let counts = count(&dataset.train).into_iter().zip(count(&dataset.val));
    let named = dataset.classes.iter().zip(counts);
    named.map(|(class, (train, val))| ClassCount { class: class.clone(), train, val }).collect()
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

/// A picture that is not to be left as it is.
#[derive(Debug)]
struct Fault {
    image: String,
    reason: String,
    /// The class that it looks like, where its label is likely to be wrong and nothing else is.
    suggested: Option<String>,
}

/// What is not to be left as it is, each picture once: copies but the one to keep, all of a picture in several classes, labels that are
/// likely to be wrong, and files that cannot be read.
fn faults(report: &DoctorReport, gathered: &Gathered) -> Vec<Fault> {
    let mut found: BTreeMap<&str, Fault> = BTreeMap::new();
    for copies in &report.copies {
        let kept = copies.images.first().cloned().unwrap_or_default();
        let (skip, reason) = match copies.across_classes {
            true => {
                let several = report.several();
                (0, format!("the same picture with {several}: {}", copies.images.join(", ")))
            }
            false => (1, format!("a copy of {kept}")),
        };
        for image in copies.images.iter().skip(skip) {
            let fault = Fault { image: image.clone(), reason: reason.clone(), suggested: None };
            found.entry(image).or_insert(fault);
        }
    }
    for suspect in report.labels.iter().filter(|suspect| suspect.likely) {
        found.entry(&suspect.image).or_insert_with(|| Fault {
            image: suspect.image.clone(),
            reason: format!("labelled {}, looks like {}", suspect.class, suspect.suggested),
            suggested: Some(suspect.suggested.clone()),
        });
    }
    let unreadable = gathered.unreadable.iter().map(|skipped| Fault {
        image: skipped.name.clone(),
        reason: format!("cannot be used: {}", skipped.reason),
        suggested: None,
    });
    found.into_values().chain(unreadable).collect()
}

#[cfg(test)]
mod tests;
