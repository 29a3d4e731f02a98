//! Weights that come over the network: a bar on a terminal, plain lines elsewhere.
//!
//! Above: `progress`. Below: `indicatif`. Not here: training (`progress`).

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::Output;

/// How often plain lines tell of bytes.
const EVERY: Duration = Duration::from_secs(10);

/// Shows one download after the other.
#[derive(Debug)]
pub(crate) struct Download {
    output: Output,
    bar: Option<ProgressBar>,
    /// What comes, and its bytes.
    file: Option<(String, u64)>,
    last_line: Instant,
    /// Whether it was said that another process is waited for.
    has_waited: bool,
}

impl Download {
    pub(crate) fn new(output: Output) -> Self {
        Download { output, bar: None, file: None, last_line: Instant::now(), has_waited: false }
    }

    /// Bytes are here.
    pub(crate) fn came(&mut self, file: &str, bytes: u64, total: Option<u64>) {
        if self.file.as_ref().is_none_or(|(known, _)| known != file) {
            self.end();
            self.begin(file, total);
        }
        self.file = Some((file.to_owned(), bytes));
        if let Some(bar) = &self.bar {
            total.iter().for_each(|&total| bar.set_length(total));
            bar.set_position(bytes);
        } else if self.last_line.elapsed() >= EVERY {
            self.last_line = Instant::now();
            let of = total.map_or_else(String::new, |total| format!(" of {}", megabytes(total)));
            self.output.say(format!("  {}{of} of {file}", megabytes(bytes)));
        }
    }

    /// Another process downloads it.
    pub(crate) fn elsewhere(&mut self, file: &str) {
        if !self.has_waited {
            self.has_waited = true;
            self.output.say(format!("another process is downloading {file}: waiting for it"));
        }
    }

    /// It failed and is tried again.
    pub(crate) fn paused(&mut self, pause: Duration, reason: &str) {
        let line = format!("{reason}; trying again in {:.1} s", pause.as_secs_f64());
        match &self.bar {
            Some(bar) => bar.suspend(|| self.output.warn(line)),
            None => self.output.warn(line),
        }
    }

    /// The file is whole.
    pub(crate) fn whole(&mut self, file: &str, check: &str) {
        let bytes = self.file.as_ref().filter(|(known, _)| known == file).map(|(_, bytes)| *bytes);
        self.clear();
        let bytes = bytes.map_or_else(|| "it is".to_owned(), |it| format!("{} are", megabytes(it)));
        self.output.say(format!("{file}: {bytes} here, checked against {check}"));
    }

    /// No more bytes come.
    pub(crate) fn end(&mut self) {
        let file = self.file.take();
        self.clear();
        if let Some((file, bytes)) = file {
            self.output.say(format!("{file}: {} are here", megabytes(bytes)));
        }
    }

    fn clear(&mut self) {
        self.file = None;
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn begin(&mut self, file: &str, total: Option<u64>) {
        let size = total.map_or_else(String::new, |total| format!(", {}", megabytes(total)));
        self.output.say(format!("downloading {file}{size}"));
        self.last_line = Instant::now();
        if io::stderr().is_terminal() {
            let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
            let template = "{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta} left";
            self.bar = Some(match ProgressStyle::with_template(template) {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            });
        }
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
