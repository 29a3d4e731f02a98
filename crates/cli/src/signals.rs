//! Ctrl-C: once to stop with everything saved, twice to stop at once.
//!
//! Above: `finetune`. Below: `signal_hook`. Not here: what is saved (`taper_recipes`).

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// The exit code of a run that was stopped: 128 + SIGINT, as shells say it.
pub(crate) const STOPPED: u8 = 130;

/// A flag that the first SIGINT or SIGTERM sets; the second ends the program.
pub(crate) fn stop_flag() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag unset and passes by.
        flag::register_conditional_shutdown(signal, i32::from(STOPPED), Arc::clone(&stop))
            .context("cannot listen to Ctrl-C")?;
        flag::register(signal, Arc::clone(&stop)).context("cannot listen to Ctrl-C")?;
    }
    Ok(stop)
}
