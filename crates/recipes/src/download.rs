//! Weights that come over the network, told as events.
//!
//! Above: `source`, the binary, Rust users. Below: `taper_zoo::hub`. Not here: servers, caches and variables (`taper_zoo`).

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use taper_zoo::hub::{Environment, Hub, Progress};
use taper_zoo::record;

use crate::bare_weights::BareWeights;
use crate::error::{Error, Result};
use crate::observer::{Event, Observer};
use crate::source;

/// Makes sure that the weights of a name are on this machine, for recipes that have nobody to tell of a download. A file or
/// weights that are here need nothing.
///
/// # Errors
/// [`Error::Zoo`] for a name that is not known or weights that cannot be had; [`Error::Stopped`].
///
/// # Examples
/// ```
/// use std::sync::atomic::AtomicBool;
/// use taper_recipes::{Silent, download};
/// download("mobilenetv2_100", &AtomicBool::new(false), &mut Silent)?; // it is in the binary
/// # Ok::<(), taper_recipes::Error>(())
/// ```
pub fn download(name_or_file: &str, stop: &AtomicBool, observer: &mut dyn Observer) -> Result<()> {
    if BareWeights::parse(name_or_file)?.is_some() || source::is_file(name_or_file) {
        return Ok(());
    }
    let record = record(name_or_file).map_err(zoo)?;
    if taper_zoo::embedded(record).is_some() {
        return Ok(());
    }
    record.fetch(&hub()?, &mut listener(stop, observer)).map(drop).map_err(zoo)
}

/// Where the variables of the environment say that weights are.
pub(crate) fn environment() -> Result<Environment> {
    Environment::from_env().map_err(of_hub)
}

pub(crate) fn hub() -> Result<Hub> {
    Hub::new(environment()?).map_err(of_hub)
}

fn of_hub(source: taper_zoo::hub::Error) -> Error {
    zoo(taper_zoo::Error::Hub { source: Box::new(source) })
}

pub(crate) fn zoo(source: taper_zoo::Error) -> Error {
    match source {
        taper_zoo::Error::Hub { source } if matches!(*source, taper_zoo::hub::Error::Stopped) => {
            Error::Stopped
        }
        source => Error::Zoo { source },
    }
}

/// Tells the observer, and stops when it is asked to.
pub(crate) fn listener<'a>(
    stop: &'a AtomicBool,
    observer: &'a mut dyn Observer,
) -> impl FnMut(Progress<'_>) -> ControlFlow<()> + 'a {
    move |progress| {
        match progress {
            Progress::Received { file, bytes, total } => {
                observer.event(&Event::Downloading { file, bytes, total });
            }
            Progress::Arrived { file, check } => {
                observer.event(&Event::Downloaded { file, check: &check.to_string() });
            }
            Progress::Waiting { file } => observer.event(&Event::DownloadingElsewhere { file }),
            Progress::Pausing { pause, reason } => {
                observer.event(&Event::DownloadPaused { pause, reason });
            }
            _ => {}
        }
        if stop.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}
