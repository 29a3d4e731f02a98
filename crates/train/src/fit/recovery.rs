//! What becomes of a run that diverges: back to the last good state, and on at half the rate.
//!
//! Above: `fit`. Below: `fit`, `log`. Not here: what is no number (`step`).

use taper_optim::Rule;

use super::settings::recovery_scale;
use super::{Fit, Start};
use crate::error::{Error, Result};
use crate::log::{Line, Log};
use crate::{Event, Observer, Progress};

impl<R: Rule> Fit<'_, R> {
    /// Whether an error is one of numbers that are none, and the run may go back once more. One of several ranks may be the only one to see it, and
    /// would go back alone: there it ends the job.
    pub(super) fn can_recover(&self, error: &Error, progress: &Progress) -> bool {
        matches!(error, Error::NotFinite { .. })
            && self.shared().is_none_or(|parallel| parallel.group().is_alone())
            && progress.recoveries < self.settings.limits.recoveries
    }

    /// Goes back to the last checkpoint, and remembers that it did, so that a run that is resumed does the same.
    pub(super) fn recover(
        &mut self,
        before: u32,
        error: &Error,
        observer: &mut dyn Observer,
    ) -> Result<(Progress, Log)> {
        let (mut progress, mut log) = self.start(Start::Resume, observer)?;
        // A checkpoint that was not written again since the last recovery would forget it.
        progress.recoveries = before + 1;
        let Progress { epoch, step, recoveries, .. } = progress;
        let (scale, reason) = (recovery_scale(recoveries), error.to_string());
        log.write(&Line::Recovered { epoch, step, scale, reason: &reason })?;
        self.save(&mut progress, &mut log, observer)?;
        observer.on_event(&Event::Recovered { epoch, step, scale, reason: &reason });
        Ok((progress, log))
    }
}
