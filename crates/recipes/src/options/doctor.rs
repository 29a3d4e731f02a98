//! What looking for faults in a folder or a table of pictures needs to know.
//!
//! Above: `doctor`, the binary's flags. Below: `at_least`. Not here: how it is done (`doctor`).

use std::path::PathBuf;

use super::{FineTuneOptions, TableColumns, at_least, check_threads};
use crate::error::Result;

/// What looking for faults needs to know.
///
/// ```
/// use taper_recipes::DoctorOptions;
///
/// let options = DoctorOptions::new("photos", "doctor");
/// assert_eq!(options.model, "mobilenetv2_100.tv_in1k");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct DoctorOptions {
    /// A name of the zoo, a model file, or what [`weights_of`](crate::weights_of) says: whose features pictures are compared by. One that
    /// was trained on the pictures themselves has learned their wrong labels, too.
    pub model: String,
    /// A folder of pictures in classes, with parts to train and to validate on or without; or a [table](taper_data::table) of pictures
    /// with a class a row.
    pub data: PathBuf,
    /// A table of pictures that lie in the folder `data`.
    pub table: Option<PathBuf>,
    /// The table's columns; what is not said is told from their names and values.
    pub columns: TableColumns,
    /// A folder for the page and the list of fixes; it is made, and files of the same names in it are replaced.
    pub out: PathBuf,
    /// Pictures a batch, 1 or more.
    pub batch_size: usize,
    /// Threads of computing and of reading pictures; 0 for all there are.
    pub threads: usize,
}

impl DoctorOptions {
    /// With the network that is fine-tuned by default, on all threads.
    pub fn new(data: impl Into<PathBuf>, out: impl Into<PathBuf>) -> Self {
        DoctorOptions {
            model: FineTuneOptions::default().model,
            data: data.into(),
            table: None,
            columns: TableColumns::default(),
            out: out.into(),
            batch_size: 32,
            threads: 0,
        }
    }

    /// Refuses what cannot be meant.
    ///
    /// # Errors
    /// [`Error::Option`](crate::Error::Option) for a batch of nothing.
    pub fn check(&self) -> Result<()> {
        check_threads(self.threads)?;
        at_least("batch_size", self.batch_size, 1)
    }
}
