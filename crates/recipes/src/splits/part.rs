//! One of several runs, seen from its own folder: which part of which pictures it trains on.
//!
//! Above: `run_report`, `compare`. Below: `splits`, `data`. Not here: training it (`splits`).
//! Its `config.json` names no pictures, for the plan of all runs does.

use taper_data::{Cache, Dataset};
use taper_train::RunFolder;

use super::{Plan, Splits, divided};
use crate::data;
use crate::error::Result;
use crate::options::FineTuneOptions;

/// One of several runs.
pub(crate) struct Part {
    plan: Plan,
    /// From 1.
    number: usize,
}

impl Part {
    /// What a run's folder is of several, if it lies where they put it, and names no pictures of its own.
    pub(crate) fn of(folder: &RunFolder, options: &FineTuneOptions) -> Option<Self> {
        if options.data.is_some() || options.table.is_some() {
            return None;
        }
        let path = folder.path().canonicalize().ok()?;
        let number = path.file_name()?.to_str()?.strip_prefix(super::RUN)?.parse().ok()?;
        let plan = Plan::read(path.parent()?).ok()??;
        (1..=plan.splits.count()).contains(&number).then_some(Self { plan, number })
    }

    /// The options with the pictures that all runs divide.
    pub(crate) fn with_pictures(&self, options: &FineTuneOptions) -> FineTuneOptions {
        let FineTuneOptions { data, table, image_column, target_columns, targets, .. } =
            self.plan.options.clone();
        FineTuneOptions { data, table, image_column, target_columns, targets, ..options.clone() }
    }

    /// The pictures that this one trains on and is judged by; `options` are [`Self::with_pictures`], or say where they are now.
    pub(crate) fn dataset(&self, options: &FineTuneOptions, cache: &Cache) -> Result<Dataset> {
        let whole = data::to_train(options, cache)?;
        divided(&whole, self.plan.splits, self.number - 1, &self.plan.options)
    }

    /// The fingerprint of the pictures that all runs divide.
    pub(crate) fn print(&self) -> &str {
        &self.plan.data
    }

    /// `fold 2 of 5`.
    pub(crate) fn name(&self) -> String {
        let kind = match self.plan.splits {
            Splits::Folds(_) => "fold",
            Splits::Random(_) => "random split",
        };
        format!("{kind} {} of {}", self.number, self.plan.splits.count())
    }

    /// The command that trains on all of them.
    pub(crate) fn command(&self) -> String {
        self.plan.command()
    }
}
