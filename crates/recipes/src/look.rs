//! Looking into a network: its filters, its feature maps, and what speaks for a class, as pictures and one page.
//!
//! Above: the binary, Rust users. Below: `source`, `look::{inspector, files, page}`, `taper_report`. Not here: numbers alone (`predict`).

mod cam;
mod files;
mod inspector;
mod layers;
mod page;
mod reader;

use std::sync::atomic::{AtomicBool, Ordering};

use taper_model::Model;
use taper_report::{Page, Section};

use crate::error::{Error, Result};
use crate::observer::{Observer, Silent};
use crate::options::LookOptions;
use crate::report::{LookReport, Skipped};
use crate::source::ModelSource;
pub(crate) use inspector::{Inspector, picture_of};

/// Filters that are drawn at most.
const MOST_FILTERS: usize = 256;

/// Looks at pictures with a model and writes what it finds into [`LookOptions::out`]: `look.html`, one page with everything on it;
/// `filters.png`, the stem's filters; and for picture `I` a folder `I-<name>` with `input.png`, the picture as the network sees
/// it, `heat-map.png`, the places that speak for a class (Grad-CAM), and a sheet of feature maps for each layer. Other files
/// in the folder are left alone.
///
/// # Errors
/// For the request as a whole; a picture that cannot be read is in [`LookReport::skipped`], and the others are looked at.
///
/// # Examples
/// ```
/// use taper_recipes::{LookOptions, look};
///
/// let dir = tempfile::tempdir()?;
/// taper_data::sample_set::export(dir.path())?;
/// let image = dir.path().join("train/animal/ant.png");
/// let report = look(&LookOptions::new("mobilenetv2_100", vec![image], dir.path().join("look")))?;
/// assert_eq!(report.images[0].layers[0].shape, [112, 112, 32]);
/// assert!(report.images[0].heat_map.is_file() && report.page.is_some_and(|page| page.is_file()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn look(options: &LookOptions) -> Result<LookReport> {
    look_observed(options, &AtomicBool::new(false), &mut Silent)
}

/// As [`look`], and tells an observer when weights have to be downloaded. Ends before the next picture when `stop` is set.
///
/// # Errors
/// As [`look`]; [`Error::Stopped`].
pub fn look_observed(
    options: &LookOptions,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<LookReport> {
    options.check()?;
    let model = ModelSource::resolve(&options.model)?.load(stop, observer)?;
    let mut inspector = Inspector::new(&model, options)?;
    let mut report =
        LookReport { page: None, filters: None, images: Vec::new(), skipped: Vec::new() };
    let mut sections = Vec::new();
    for (number, image) in (1..).zip(&options.images) {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Stopped);
        }
        let seen = match inspector.look_at(image) {
            Ok(seen) => seen,
            Err(Error::Picture { path, source }) => {
                report.skipped.push(Skipped { path, reason: source.chain() });
                continue;
            }
            Err(error) => return Err(error),
        };
        let (graph, layers) = (model.graph(), &inspector.layers);
        let look = files::write(&options.out, number, image, graph, layers, &seen)?;
        sections.push(page::picture(&look.image, graph, layers, &inspector.evidence.layer, &seen));
        report.images.push(look);
    }
    if !sections.is_empty() {
        let filters = filters(&model, options, &mut report)?;
        let page = page::page(&options.model, &model, filters, sections);
        report.page = Some(write_page(options, &page)?);
    }
    Ok(report)
}

/// Draws the stem's filters, if they have colors.
fn filters(
    model: &Model,
    options: &LookOptions,
    report: &mut LookReport,
) -> Result<Option<Section>> {
    let Some(stem) = layers::stem(model.graph(), model.tensors()) else { return Ok(None) };
    let mut pictures =
        taper_report::filters(stem.weight, stem.shape).map_err(|source| Error::Draw { source })?;
    pictures.truncate(MOST_FILTERS);
    let sheet = files::sheet(pictures.iter());
    report.filters = Some(files::png(options.out.join("filters.png"), &sheet)?);
    Ok(Some(page::filters(&stem, &pictures)))
}

fn write_page(options: &LookOptions, page: &Page) -> Result<std::path::PathBuf> {
    let html = page.to_html().map_err(|source| Error::Draw { source })?;
    files::replace(options.out.join("look.html"), html.as_bytes())
}
