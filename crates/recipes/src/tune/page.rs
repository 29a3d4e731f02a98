//! The page about a run, and what the call took, at its end.
//!
//! Above: `tune`. Below: `run_report`. Not here: what is on it (`run_report`).

use std::path::PathBuf;
use std::thread;

use taper_model::Model;

use super::Tune;
use crate::bench::peak_bytes;
use crate::error::{Error, Result};
use crate::observer::{Event, Observer};
use crate::report::FineTuneReport;
use crate::run::Run;
use crate::run_report::answers::Answer;
use crate::run_report::calls::{self, Call, Ended};
use crate::run_report::{Of, at_end};

impl Tune<'_> {
    /// Writes the page, if it is asked for, with what the best model answers if that is known. The run is done: what goes wrong here is told and costs nothing else.
    pub(super) fn with_page(
        &self,
        mut report: FineTuneReport,
        run: &Run,
        answers: Option<Vec<Answer>>,
        observer: &mut dyn Observer,
    ) -> FineTuneReport {
        if self.parallel.group().is_first() {
            match self.page(&report, run, answers) {
                Ok(page) => report.page = page,
                Err(error) => {
                    let reason = crate::error::chain(&error);
                    observer.on_event(&Event::Unwritten { file: "report.html", reason: &reason });
                }
            }
        }
        report
    }

    /// Whether there will be a page. A model that was handed over in memory belongs to other work, which has its own.
    pub(super) fn has_page(&self) -> bool {
        self.options.report && self.prepared.kept.start.is_none()
    }

    fn page(
        &self,
        report: &FineTuneReport,
        run: &Run,
        answers: Option<Vec<Answer>>,
    ) -> Result<Option<PathBuf>> {
        let ended = match (report.stopped, report.time_up) {
            (true, _) => Ended::Stopped,
            (_, true) => Ended::TimeUp,
            _ if report.epochs < self.options.epochs => Ended::Patience,
            _ => Ended::Finished,
        };
        let call = Call {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ended,
            epochs: report.epochs,
            seconds: report.seconds,
            images_per_second: report.images_per_second,
            threads: self.options.threads,
            cores: thread::available_parallelism().map_or(1, usize::from),
            ranks: self.parallel.group().size(),
            peak_bytes: peak_bytes(),
            model: None,
        };
        if !self.has_page() {
            return calls::add(&run.folder.calls(), &call).map(|()| None);
        }
        let model = report.model.as_ref().map(Model::load).transpose();
        let model = model.map_err(|source| Error::Model { source })?;
        let of = Of {
            folder: &run.folder,
            config: &run.config,
            options: self.options,
            model: model.as_ref(),
            dataset: Some(&self.prepared.dataset),
        };
        at_end(&of, call, answers).map(Some)
    }
}
