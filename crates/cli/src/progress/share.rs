//! How much of some work is done: a bar on a terminal, plain lines elsewhere.
//!
//! Above: `cost`. Below: `indicatif`. Not here: runs with epochs and steps (`progress`).

use std::cell::Cell;
use std::io::{self, IsTerminal};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::EVERY;
use crate::output::Output;

/// Parts that the bar tells apart.
const PARTS: u64 = 1000;

/// Work of which a share is done.
#[derive(Debug)]
pub(crate) struct Share {
    output: Output,
    what: &'static str,
    bar: Option<ProgressBar>,
    last_line: Cell<Instant>,
}

impl Share {
    pub(crate) fn new(output: &Output, what: &'static str) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(PARTS), ProgressDrawTarget::stderr());
            // A template that is written here is a template.
            let style = ProgressStyle::with_template("{msg} {wide_bar} {percent} %  {eta}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_message(what);
            bar
        });
        Self { output: output.clone(), what, bar, last_line: Cell::new(Instant::now()) }
    }

    /// Tells of a share, from 0 to 1.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a part of a thousand"
    )]
    pub(crate) fn set(&self, share: f64) {
        let share = share.clamp(0.0, 1.0);
        if let Some(bar) = &self.bar {
            bar.set_position((share * PARTS as f64) as u64);
        } else if self.last_line.get().elapsed() >= EVERY {
            self.last_line.set(Instant::now());
            self.output.say(format!("{}: {:.0} %", self.what, 100.0 * share));
        }
    }

    /// Takes the bar away.
    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
