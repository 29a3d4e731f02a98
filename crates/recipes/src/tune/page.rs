//! The page about a run, and what the call took, at its end.
//!
//! Above: `tune`. Below: `run_report`. Not here: what is on it (`run_report`).

use std::path::PathBuf;

use taper_model::Model;

use super::Tune;
use crate::error::{Error, Result};
use crate::observer::Observer;
use crate::report::FineTuneReport;
use crate::run::Run;
use crate::run_report::answers::Answer;
use crate::run_report::calls::{Call, Ended};
use crate::run_report::{Of, at_end, or_told};

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
            let page = self.page(&report, run, answers);
            report.page = or_told(&run.folder.report(), page, observer).flatten();
        }
        report
    }

    /// Whether there will be a page.
    pub(super) fn has_page(&self) -> bool {
        self.options.report
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
        let call = Call::of(report, ended, self.options.threads, self.parallel.group().size());
        let model = report.model.as_ref().filter(|_| self.has_page()).map(Model::load).transpose();
        let model = model.map_err(|source| Error::Model { source })?;
        let of = Of {
            folder: &run.folder,
            config: &run.config,
            options: self.options,
            model: model.as_ref(),
            dataset: Some(&self.prepared.dataset),
        };
        at_end(&of, call, answers)
    }
}
