//! What was found, on one page with small pictures.
//!
//! Above: `doctor`. Below: `taper_report`. Not here: the page's markup (`taper_report`), finding it (`doctor`).
//! So many pictures are shown at most that the page stays below 3 MB; all are in the report and most in the list of fixes.

use taper_data::transform::{Interpolation, Rect, Resampler};
use taper_report::{Block, Cell, Figure, Page, Picture, Section, Table, Unit};

use super::findings::{DoctorReport, Shape};
use super::gather::Gathered;
use crate::options::TargetWord;

/// The longer side of a small picture, pixels.
const SIDE: usize = 116;

/// Pictures of copies, labels, strangers and shapes, at most.
const SHOWN: [usize; 4] = [24, 30, 18, 12];

/// Small pictures by name.
struct Thumbs<'g> {
    gathered: &'g Gathered,
    resampler: Resampler,
}

impl Thumbs<'_> {
    /// A figure of a picture that was found; a gray square of one that is not there any more.
    fn figure(&mut self, name: &str, caption: String) -> Option<Figure> {
        let picture = self.small(name).or_else(|| Picture::new(1, 1, vec![128; 3]).ok())?;
        Some(Figure { picture, caption })
    }

    fn small(&mut self, name: &str) -> Option<Picture> {
        let subject = self.gathered.subjects.iter().find(|subject| subject.name() == name)?;
        let image = subject.sample.image().ok()?;
        let size = [image.height(), image.width()];
        let longer = size[0].max(size[1]).max(1);
        let [h, w] = size.map(|side| (side * SIDE / longer).clamp(1, SIDE));
        if longer <= SIDE {
            return Picture::new(size[0], size[1], image.rgb().to_vec()).ok();
        }
        let (whole, all) = (Rect::whole(size), Rect::whole([h, w]));
        let rgb = self.resampler.resize(&image, whole, [h, w], all, Interpolation::Bilinear);
        Picture::new(h, w, rgb.ok()?.to_vec()).ok()
    }

    fn figures(
        &mut self,
        most: usize,
        named: impl Iterator<Item = (String, String)>,
    ) -> Vec<Figure> {
        named.take(most).filter_map(|(name, caption)| self.figure(&name, caption)).collect()
    }
}

/// The page.
pub(super) fn page(report: &DoctorReport, gathered: &Gathered) -> Page {
    let mut thumbs = Thumbs { gathered, resampler: Resampler::default() };
    let sections = [
        remarks(report),
        classes(report),
        copies(report, &mut thumbs),
        labels(report, &mut thumbs),
        unlike(report, &mut thumbs),
        shapes(report, &mut thumbs),
        unreadable(report),
    ];
    let (data, fixes) = match &report.table {
        Some(table) => (
            table,
            "rows in the list of fixes: read it, take out what you disagree with, and let “taper doctor --apply” write a table beside \
             this one, without some of them and with other labels in the others; no picture is touched",
        ),
        None => (
            &report.data,
            "files in the list of fixes: read it, take out what you disagree with, and let “taper doctor --apply” set the rest aside; \
             nothing is deleted",
        ),
    };
    let note = format!("{} in {}. {} {fixes}.", report.subject(), data.display(), report.fixes);
    Page {
        title: "Data doctor".to_owned(),
        note,
        sections: sections.into_iter().flatten().collect(),
    }
}

fn remarks(report: &DoctorReport) -> Option<Section> {
    let lines = report.remarks.clone();
    let (title, note) = ("To read first".to_owned(), String::new());
    (!lines.is_empty()).then(|| Section { title, note, blocks: vec![Block::Remarks { lines }] })
}

fn words(text: impl Into<String>) -> Cell {
    Cell::Words(text.into())
}

fn count(number: usize) -> Cell {
    Cell::Number(number as f64, Unit::Count)
}

fn classes(report: &DoctorReport) -> Option<Section> {
    let (title, one) = match report.targets {
        TargetWord::Class => ("Classes", "class"),
        TargetWord::Labels => ("Labels", "label"),
        TargetWord::Probabilities | TargetWord::Numbers => return None,
    };
    let head = [one, "to train on", "to validate on", ""].map(str::to_owned).to_vec();
    let rows = report.classes.iter().map(|of| {
        let remark = if report.rare.contains(&of.class) { "few beside the others" } else { "" };
        vec![words(&*of.class), count(of.train), count(of.val), words(remark)]
    });
    let table = Table { head, rows: rows.collect() };
    let agreement = report.agreement.map_or_else(String::new, |agreement| {
        format!(
            "A model of the other pictures gives {:.1} % of them the class that they have.",
            100.0 * agreement
        )
    });
    let mut blocks = vec![Block::Table { title: "Pictures".to_owned(), note: agreement, table }];
    if !report.confused.is_empty() {
        let head = ["class", "taken for", "pictures", "of the class"].map(str::to_owned).to_vec();
        let rows = report.confused.iter().map(|of| {
            vec![words(&*of.class), words(&*of.called), count(of.images), Cell::Share(of.share)]
        });
        let table = Table { head, rows: rows.collect() };
        let note = "Where one in twenty or more is taken for another class: more pictures of the two, or one class of both?";
        let (title, note) = ("Classes that are confused".to_owned(), note.to_owned());
        blocks.push(Block::Table { title, note, table });
    }
    Some(Section { title: title.to_owned(), note: String::new(), blocks })
}

fn section(title: &str, all: usize, note: &str, figures: Vec<Figure>) -> Option<Section> {
    if figures.is_empty() {
        return None;
    }
    let shown = figures.len();
    let beside = if shown < all { format!("{shown} of {all}") } else { all.to_string() };
    let block = Block::Tiles { title: String::new(), note: note.to_owned(), figures };
    Some(Section { title: title.to_owned(), note: beside, blocks: vec![block] })
}

fn copies(report: &DoctorReport, thumbs: &mut Thumbs<'_>) -> Option<Section> {
    let all = report.copies.iter().map(|group| group.images.len()).sum();
    let named = (1..).zip(&report.copies).flat_map(|(number, group)| {
        let mut kind = vec![if group.exact { "equal" } else { "alike" }];
        kind.extend(group.mirrored.then_some("mirrored"));
        kind.extend(group.across_parts.then_some("train and val"));
        kind.extend(group.across_classes.then_some(report.several()));
        let kind = kind.join(", ");
        let captioned =
            move |image: &String| (image.clone(), format!("{number}: {image} ({kind})"));
        group.images.iter().map(captioned).collect::<Vec<_>>()
    });
    let note = "The same picture more than once, also resized, compressed again or mirrored: those with the same number. Across \
                train and val they make the measure too good; with several classes, labels or numbers, at most one is right.";
    let figures = thumbs.figures(SHOWN[0], named);
    section("Copies", all, note, figures)
}

fn labels(report: &DoctorReport, thumbs: &mut Thumbs<'_>) -> Option<Section> {
    let named = report.labels.iter().map(|of| {
        let likely = if of.likely { "likely " } else { "perhaps " };
        let caption =
            format!("{}: {}, {likely}{} (by {:.2})", of.image, of.class, of.suggested, of.margin);
        (of.image.clone(), caption)
    });
    let note = "A model that has learned from the other pictures alone favors another class. Likely: as sure of it as it mostly is; \
                perhaps: the picture may only be hard. Likely ones are in the list of fixes.";
    let figures = thumbs.figures(SHOWN[1], named);
    section("Labels to look at", report.labels.len(), note, figures)
}

fn unlike(report: &DoctorReport, thumbs: &mut Thumbs<'_>) -> Option<Section> {
    let named = report.unlike.iter().map(|of| {
        let caption = format!("{}: {:.1} deviations away", of.image, of.deviations);
        (of.image.clone(), caption)
    });
    let note = "Far from the mean of their class beside the others of it: something else, or something rare?";
    let figures = thumbs.figures(SHOWN[2], named);
    section("Unlike their class", report.unlike.len(), note, figures)
}

fn shapes(report: &DoctorReport, thumbs: &mut Thumbs<'_>) -> Option<Section> {
    let named = report.shapes.iter().map(|of| {
        let kind = match of.shape {
            Shape::Tiny => "tiny",
            Shape::Long => "long: the middle leaves most of it out",
            Shape::Turned => "turned by its file; other programs may not",
            Shape::Flat => "one color",
        };
        (of.image.clone(), format!("{}: {}x{}, {kind}", of.image, of.width, of.height))
    });
    let figures = thumbs.figures(SHOWN[3], named);
    section("Odd sizes and shapes", report.shapes.len(), "", figures)
}

fn unreadable(report: &DoctorReport) -> Option<Section> {
    if report.unreadable.is_empty() {
        return None;
    }
    let rows = report.unreadable.iter().take(200);
    let rows =
        rows.map(|it| vec![words(it.path.display().to_string()), words(&*it.reason)]).collect();
    let table = Table { head: ["file", "why"].map(str::to_owned).to_vec(), rows };
    let block = Block::Table { title: String::new(), note: String::new(), table };
    Some(Section {
        title: "Files that cannot be read".to_owned(),
        note: report.unreadable.len().to_string(),
        blocks: vec![block],
    })
}
