//! The models of the best epochs, as files beside the best one's.
//!
//! Above: `fit`. Below: `average::best_first`. Not here: the weights that a soup is made of (`average`), which checkpoints hold.

use std::fs;

use taper_optim::{Rule, Scores};

use super::Fit;
use crate::average::best_first;
use crate::error::{Error, Result};
use crate::parallel::is_first;
use crate::{Observer, Progress};

impl<R: Rule> Fit<'_, R> {
    /// Keeps the model of the epoch that is over, if it is among the best of those that are kept, and removes what is no longer.
    ///
    /// The files say which epochs are kept, and their scores are in the checkpoint: one that was written before a kill is written again, with the
    /// same bits.
    pub(super) fn keep_best(&mut self, next: &Progress, observer: &mut dyn Observer) -> Result<()> {
        let most = self.settings.keep_best;
        let Some(epoch) = next.epoch.checked_sub(1).filter(|_| most > 0) else { return Ok(()) };
        self.averaged(|fit| {
            if !is_first(fit.shared()) {
                return Ok(());
            }
            let values = next.main_scores();
            let scores = Scores { values: &values, better: fit.better() };
            let folder = fit.settings.out.clone();
            let kept = folder.best_epochs().into_iter().filter(|&other| other < epoch);
            let order = best_first(kept.chain([epoch]).collect(), scores);
            let (stay, go) = order.split_at(most.min(order.len()));
            if stay.contains(&epoch) {
                fs::create_dir_all(folder.best()).map_err(|source| Error::File {
                    action: "create",
                    path: folder.best(),
                    source,
                })?;
                fit.save_model(&folder.best_of(epoch), observer)?;
            }
            for path in go.iter().map(|&epoch| folder.best_of(epoch)).filter(|path| path.exists()) {
                fs::remove_file(&path).map_err(|source| Error::File {
                    action: "remove",
                    path,
                    source,
                })?;
            }
            Ok(())
        })
    }
}
