//! What can go wrong in a run.
//!
//! Above: every file of this crate. Below: the errors of `layers`, `optim`, `data`. Not here: settings of the binary (`cli`).

use std::path::PathBuf;

use taper_data::Skipped;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// An error that says at which step or in which file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The loss, the gradients or the parameters are no longer numbers.
    #[error("{what} is {value}: training diverged, try a lower learning rate")]
    NotFinite {
        /// What was looked at: the loss, the gradient norm, a parameter.
        what: String,
        /// What it was.
        value: f64,
    },
    /// A run failed on its way.
    #[error(
        "training failed at step {} (in epoch {}); the last good checkpoint is {}",
        step + 1, epoch + 1, checkpoint.display()
    )]
    At {
        /// The step, counted from 0.
        step: u64,
        /// The epoch, counted from 0.
        epoch: usize,
        /// Where the run can go on.
        checkpoint: PathBuf,
        /// Why.
        #[source]
        source: Box<Error>,
    },
    /// A setting that cannot be trained with.
    #[error("`{name}` is {got}, expected {expected}")]
    Setting {
        /// Which one.
        name: &'static str,
        /// The value given.
        got: String,
        /// The range it must lie in.
        expected: &'static str,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried, such as `write`.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// There is nothing to resume.
    #[error("there is no checkpoint at {}; start the run without resuming", path.display())]
    NoCheckpoint {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A file that is no checkpoint.
    #[error("{} is not a checkpoint of this version: {reason}", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The checkpoint was made by another run.
    #[error(
        "the checkpoint {} was made with {key} = {saved}, this run has {current}; resume with the same settings, or start anew in another folder",
        path.display()
    )]
    OtherRun {
        /// Which file.
        path: PathBuf,
        /// The first setting that differs.
        key: String,
        /// Its value in the checkpoint.
        saved: String,
        /// Its value now.
        current: String,
    },
    /// The set has no samples.
    #[error("the {set} set is empty")]
    Empty {
        /// Which set.
        set: &'static str,
    },
    /// Not one sample of a set can be read any more.
    #[error(
        "none of the {} samples of the {set} set can be read any more{}", skipped.len(), first(skipped)
    )]
    Unreadable {
        /// Which set.
        set: &'static str,
        /// Its samples, and why.
        skipped: Vec<Skipped>,
    },
    /// No batch of an epoch was large enough for a step.
    #[error(
        "no batch has {needed} samples, as many as the network's batch norms need for a variance at this image size; use larger \
         batches or images, or freeze the norms"
    )]
    TooFew {
        /// Samples that a step needs.
        needed: usize,
    },
    /// Outputs and targets of a batch do not fit together.
    #[error("{what} has the shape {got:?}, expected {expected}")]
    Shape {
        /// Which of them.
        what: String,
        /// Its shape.
        got: Vec<usize>,
        /// What would fit.
        expected: String,
    },
    /// A metric looks at one output.
    #[error(
        "the network has the outputs {names:?} and the metric looks at one; say which with `OutputMetric`"
    )]
    SeveralOutputs {
        /// Their names.
        names: Vec<String>,
    },
    /// No output has that name.
    #[error("the network has no output `{name}`; it has {known:?}")]
    NoOutput {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// No targets have that name.
    #[error("the data has no targets `{name}`; it has {known:?}")]
    NoTarget {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// Targets that a metric cannot work with.
    #[error("{what} takes {expected} as targets, got {got}")]
    TargetKind {
        /// Which metric.
        what: String,
        /// What it takes.
        expected: &'static str,
        /// What came, with its shape but for the first axis.
        got: String,
    },
    /// A label outside the classes.
    #[error("label {target} is not below {classes}, the number of classes")]
    Target {
        /// The label.
        target: u32,
        /// How many classes.
        classes: usize,
    },
    /// A mask that does not fit the network.
    #[error("there is a mask for `{name}`, {reason}")]
    Mask {
        /// The parameter that it names.
        name: String,
        /// Why it does not fit.
        reason: String,
    },
    /// A file that holds no masks.
    #[error("{} holds no masks: {reason}", path.display())]
    MaskFile {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// State in a checkpoint that is not that of a hook.
    #[error("the checkpoint's `{key}` {what}: it was made with something else than {hook}")]
    HookState {
        /// What the hook is.
        hook: String,
        /// The key.
        key: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Averaged weights did not get statistics of their own.
    #[error("the norms of the averaged weights got no statistics")]
    Recalibration {
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// State in a checkpoint that is no average of this network's weights.
    #[error("the checkpoint's average of `{key}` {what}: it was made with another network")]
    AverageState {
        /// The parameter.
        key: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Vectors or labels of a set in memory do not fit together.
    #[error("{values} values are not {labels} vectors of {dim}")]
    Vectors {
        /// How many numbers.
        values: usize,
        /// How many labels.
        labels: usize,
        /// Length of a vector.
        dim: usize,
    },
    /// Ranks cannot go on together.
    #[error("the ranks cannot go on together")]
    Ranks {
        /// Why.
        #[source]
        source: taper_distributed::Error,
    },
    /// The network refused.
    #[error("the network failed")]
    Network {
        /// Why.
        #[source]
        source: Box<taper_layers::Error>,
    },
    /// The optimizer refused.
    #[error("the optimizer failed")]
    Optimizer {
        /// Why.
        #[source]
        source: Box<taper_optim::Error>,
    },
    /// The data could not be read.
    #[error("the data could not be read")]
    Data {
        /// Why.
        #[source]
        source: Box<taper_data::Error>,
    },
    /// A hook could not do what it does.
    #[error("{hook} failed")]
    Hook {
        /// What the hook is.
        hook: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The model file could not be written.
    #[error("cannot write the model {}", path.display())]
    Model {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// candle refused an operation.
    #[error("tensor operation failed in {what}")]
    Tensor {
        /// Where.
        what: &'static str,
        /// candle's reason.
        #[source]
        source: candle_core::Error,
    },
}

impl Error {
    /// The error of a set of which nothing was seen: [`Error::Unreadable`] if there are samples that could not be read, otherwise
    /// [`Error::Empty`].
    pub fn nothing_left(set: &'static str, skipped: Vec<Skipped>) -> Self {
        if skipped.is_empty() { Self::Empty { set } } else { Self::Unreadable { set, skipped } }
    }

    /// The samples that could not be read, if that is the error.
    pub fn skipped(&self) -> &[Skipped] {
        match self {
            Self::Unreadable { skipped, .. } => skipped,
            _ => &[],
        }
    }
}

impl Error {
    /// What ranks have to do with it, if they do.
    pub fn ranks(&self) -> Option<&taper_distributed::Error> {
        match self {
            Self::Ranks { source } => Some(source),
            Self::At { source, .. } => source.ranks(),
            _ => None,
        }
    }

    /// What is wrong and why, in one line: what other ranks are told.
    pub(crate) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }
}

/// The first of the samples that could not be read, to go on a sentence.
fn first(skipped: &[Skipped]) -> String {
    let first = skipped.first();
    first.map_or_else(String::new, |Skipped { name, reason }| {
        format!("; the first is `{name}`: {reason}")
    })
}

impl From<taper_layers::Error> for Error {
    fn from(source: taper_layers::Error) -> Self {
        Self::Network { source: Box::new(source) }
    }
}

impl From<taper_optim::Error> for Error {
    fn from(source: taper_optim::Error) -> Self {
        Self::Optimizer { source: Box::new(source) }
    }
}

impl From<taper_data::Error> for Error {
    fn from(source: taper_data::Error) -> Self {
        Self::Data { source: Box::new(source) }
    }
}

impl Error {
    pub(crate) fn shape(what: &str, got: &[usize], expected: String) -> Self {
        Self::Shape { what: what.to_owned(), got: got.to_vec(), expected }
    }

    pub(crate) fn target_kind(
        what: &str,
        expected: &'static str,
        got: &taper_data::Targets,
    ) -> Self {
        Self::TargetKind { what: format!("the metric `{what}`"), expected, got: got.describe() }
    }
}

/// Names the place at which candle refused: the bridge from its errors to ours.
pub(crate) fn at(what: &'static str) -> impl FnOnce(candle_core::Error) -> Error {
    move |source| Error::Tensor { what, source }
}
