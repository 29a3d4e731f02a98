//! Weights that come over the network, told as events.
//!
//! Above: `source`. Below: `taper_zoo::hub`. Not here: servers, caches and variables (`taper_zoo`).

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use taper_zoo::hub::{Environment, Hub, Progress};

use crate::error::{Error, Result};
use crate::observer::{Event, Observer};

/// Where the variables of the environment say that weights are.
pub(crate) fn environment() -> Result<Environment> {
    Environment::from_env().map_err(of_hub)
}

pub(crate) fn hub() -> Result<Hub> {
    Hub::new(environment()?).map_err(of_hub)
}

pub(crate) fn of_hub(source: taper_zoo::hub::Error) -> Error {
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
                observer.on_event(&Event::Downloading { file, bytes, total });
            }
            Progress::Arrived { file, check } => {
                observer.on_event(&Event::Downloaded { file, check: &check.to_string() });
            }
            Progress::Waiting { file } => observer.on_event(&Event::DownloadingElsewhere { file }),
            Progress::Pausing { pause, reason } => {
                observer.on_event(&Event::DownloadPaused { pause, reason });
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
