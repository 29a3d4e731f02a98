//! The models of the best epochs, as files beside the best one's.
//!
//! Above: `fit`. Below: `average::best_first`. Not here: the weights that a soup is made of (`average`), which checkpoints hold.

use std::fs;
use std::io::ErrorKind;

use taper_optim::{Rule, Scores};

use super::Fit;
use crate::average::best_first;
use crate::error::{Error, Result};
use crate::parallel::is_first;
use crate::{Observer, Progress};

impl<R: Rule> Fit<'_, R> {
    /// Keeps the model of the epoch at hand, whose score is the last, if it is among the best of those that are kept, and removes what is no
    /// longer.
    ///
    /// What is kept follows from the checkpoint alone, so that a run that was killed behind this does the same again, with the same bits.
    pub(super) fn keep_best(
        &self,
        progress: &mut Progress,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        let (most, epoch) = (self.settings.keep_best, progress.epoch);
        if most == 0 {
            return Ok(());
        }
        let values = progress.main_scores();
        let scores = Scores { values: &values, better: self.better() };
        let mut kept = std::mem::take(&mut progress.kept);
        kept.push(epoch);
        let mut order = best_first(kept, scores);
        let go = order.split_off(most.min(order.len()));
        order.sort_unstable();
        progress.kept = order;
        if !is_first(self.shared()) {
            return Ok(());
        }
        let folder = &self.settings.out;
        if progress.kept.contains(&epoch) {
            let failed = |source| Error::File { action: "create", path: folder.best(), source };
            fs::create_dir_all(folder.best()).map_err(failed)?;
            self.save_model(&folder.best_of(epoch), observer)?;
        }
        for path in go.into_iter().filter(|&it| it != epoch).map(|it| folder.best_of(it)) {
            match fs::remove_file(&path) {
                Err(source) if source.kind() != ErrorKind::NotFound => {
                    return Err(Error::File { action: "remove", path, source });
                }
                Ok(()) | Err(_) => (),
            }
        }
        Ok(())
    }
}
