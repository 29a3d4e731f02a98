//! The network that training begins with, and what its file says of how it came to be.
//!
//! Above: `fine_tune`. Below: `taper_transfer`, `tune::same_classes`. Not here: where the model comes from (`source`).

use taper_data::{Dataset, TargetKind};
use taper_model::{Model, Task};

use crate::error::{Error, Result};
use crate::observer::{Event, Observer};
use crate::options::{FineTuneOptions, HeadInit};
use crate::setup;
use crate::tune::same_classes;

/// What becomes of a model's head.
#[derive(Debug, Clone, Copy)]
pub(super) enum Head {
    New,
    Kept,
}

/// The network that training begins with: with the asked input size, and with a new head or one of the same classes.
pub(super) fn prepare(
    model: Model,
    head: Head,
    dataset: &Dataset,
    options: &FineTuneOptions,
) -> Result<Model> {
    let model = setup::at_size(model, options.image_size)?;
    let classes = &dataset.classes;
    let model = match head {
        Head::New => taper_transfer::replace_head(&model, classes, options.seed),
        Head::Kept => same_classes("model", &model, dataset).map(|()| Ok(model))?,
    };
    model.map_err(|source| Error::Transfer { source })
}

/// The old head of a model that gets a new one, if that is to begin with it; that it cannot is told.
pub(super) fn old_head(
    model: &Model,
    head: Head,
    dataset: &Dataset,
    options: &FineTuneOptions,
    observer: &mut dyn Observer,
) -> Result<Option<Model>> {
    if options.head_init() == HeadInit::Random || matches!(head, Head::Kept) {
        return Ok(None);
    }
    let is_asked_for = options.head_init.is_some();
    let is_of_classes = model.task() == Task::Classification && dataset.kind() == TargetKind::Class;
    let old = if is_of_classes { Some(taper_transfer::detach_head(model)) } else { None };
    let why = match old {
        None => "only one of classes can begin with an old one of classes",
        // One that cannot be told from its backbone has no vectors that it could be mixed by.
        Some(Err(source)) if is_asked_for => return Err(Error::Transfer { source }),
        Some(Err(_)) => return Ok(None),
        Some(Ok(old)) if is_finite(&old) => return Ok(Some(old)),
        Some(Ok(_)) => "some weights of the old one are not finite numbers",
    };
    if is_asked_for || is_of_classes {
        let text = format!("the new head begins at random: {why} (`head_init`, --head-init)");
        observer.on_event(&Event::Warning(&text));
    }
    Ok(None)
}

fn is_finite(model: &Model) -> bool {
    model.tensors().iter().all(|tensor| tensor.data.iter().all(|weight| weight.is_finite()))
}

/// The same with a line that says how it is trained, after what was said `before`, and by whom it is taught.
pub(super) fn saying(
    model: Model,
    before: Option<String>,
    teacher: Option<&Model>,
    options: &FineTuneOptions,
) -> Model {
    let size = model.preprocess().input_size[0];
    let options = &FineTuneOptions { image_size: Some(size), ..options.clone() };
    let mut provenance = model.provenance().clone();
    provenance.training = Some(training(before, options));
    if let Some(teacher) = teacher {
        provenance = provenance.and(format!("taught by {}", teacher.provenance().source));
    }
    model.with_provenance(provenance)
}

/// How the model is trained, in one line, after what was said before.
fn training(before: Option<String>, options: &FineTuneOptions) -> String {
    let before = before.map_or_else(String::new, |before| format!("{before}; "));
    format!("{before}fine-tuned with {}", options.recipe())
}
