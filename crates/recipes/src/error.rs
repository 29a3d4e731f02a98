//! What can go wrong in a recipe, and whether the request or the work is to blame.
//!
//! Above: every recipe, the binary's exit code. Below: the errors of the crates that do the work. Not here: their texts.

use std::path::PathBuf;

/// The result of a recipe.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a recipe did not give a report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option has a value that cannot be meant.
    #[error("`{field}` is {got}, it must be {expected}")]
    Option {
        /// The field of the options.
        field: &'static str,
        /// The value.
        got: String,
        /// What is allowed.
        expected: String,
    },
    /// A word is not one of a list.
    #[error("`{got}` is not one of {expected}")]
    Choice {
        /// The word.
        got: String,
        /// The list.
        expected: String,
    },
    /// Runs are named that cannot be laid side by side: too few, or too many.
    #[error("{} named: name from 2 to {most} folders of runs to compare", runs(*got))]
    Runs {
        /// How many are named.
        got: usize,
        /// How many may be.
        most: usize,
    },
    /// There is nothing to predict.
    #[error("no picture is named: give one or more files")]
    NoImages,
    /// A path does not exist.
    #[error("`{}` does not exist{}", path.display(), hint)]
    Missing {
        /// The path.
        path: PathBuf,
        /// What to do, beginning with a separator, or nothing.
        hint: &'static str,
    },
    /// The output folder already holds a run.
    #[error("`{}` already holds a run: choose another folder for `out`, or resume that one", path.display())]
    OutExists {
        /// The folder.
        path: PathBuf,
    },
    /// Nothing can listen at a port.
    #[error(
        "port {port} of this machine cannot be listened at: choose another one, or 0 for any that is free"
    )]
    Port {
        /// The port.
        port: u16,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The output file is there already.
    #[error("`{}` is there already: choose another file for `out`, or remove it first", path.display())]
    FileExists {
        /// The file.
        path: PathBuf,
    },
    /// The folder to go on with holds no run.
    #[error("`{}` holds no run to go on with or to look at: {reason}", path.display())]
    NoRun {
        /// The folder.
        path: PathBuf,
        /// What is missing or wrong there.
        reason: String,
    },
    /// The run was made with something else.
    #[error("`{}` was made with another {what}: {difference}", run.display())]
    Changed {
        /// The run's folder.
        run: PathBuf,
        /// `data` or `model`.
        what: &'static str,
        /// What differs.
        difference: String,
    },
    /// Classes of a folder are not among the model's.
    #[error(
        "the model does not know {unknown}; it knows {known}; with `labels` by order, classes go by position instead of by name"
    )]
    UnknownClasses {
        /// The folder's classes that the model lacks.
        unknown: String,
        /// Some of the model's classes.
        known: String,
    },
    /// A network that is to keep its classes, or to teach them, has others than the pictures.
    #[error(
        "the {what} knows {theirs}, and the pictures are of {folder}: fine-tune it on the same classes first"
    )]
    OtherClasses {
        /// `model` or `teacher`.
        what: &'static str,
        /// Some of its classes.
        theirs: String,
        /// Some of the folder's.
        folder: String,
    },
    /// Pictures with targets of another kind than the model's outputs.
    #[error("the pictures' targets are those of {data}, the model is one of {model}")]
    OtherTask {
        /// What the targets are for.
        data: taper_model::Task,
        /// What the model does.
        model: taper_model::Task,
    },
    /// A folder has more classes than the model.
    #[error("the folder has {folder} classes and the model {model}")]
    TooManyClasses {
        /// Classes of the folder.
        folder: usize,
        /// Classes of the model.
        model: usize,
    },
    /// A model or a data set without classes, where classes are needed.
    #[error("the {what} is one of {task}; classes are needed here")]
    NoClasses {
        /// What has none.
        what: &'static str,
        /// What it does instead.
        task: taper_model::Task,
    },
    /// A layer that the network does not have.
    #[error("the network has no layer `{name}`; did you mean `{nearest}`?")]
    UnknownLayer {
        /// The name.
        name: String,
        /// A node, scope or output that it has.
        nearest: String,
    },
    /// A layer without positions, which cannot be shown as a map.
    #[error(
        "layer `{layer}` gives {elements} numbers without a place; the last layer with a map is `{last}`"
    )]
    NoMap {
        /// The node.
        layer: String,
        /// Elements of its output.
        elements: usize,
        /// The last node whose output is a map.
        last: String,
    },
    /// A class that the model does not have.
    #[error(
        "the model has no class `{name}`; did you mean `{nearest}`? Numbers go from 0 to {last}"
    )]
    UnknownClass {
        /// The name or number.
        name: String,
        /// A class that it has.
        nearest: String,
        /// The last class's index.
        last: usize,
    },
    /// A file could not be read or written.
    #[error("cannot {action} `{}`", path.display())]
    File {
        /// `read`, `write`, `create`, …
        action: &'static str,
        /// The path.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// A configuration file is no configuration.
    #[error("`{}` is not the configuration of a run", path.display())]
    Config {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A file of tensors that is no model file and no published weights.
    #[error("`{}` holds tensors without a network, and they are none of the published weights that are known by name (sha256 {sha256}); say which network they are of: `NETWORK@{}`", path.display(), path.display())]
    UnknownWeights {
        /// The file.
        path: PathBuf,
        /// Of its bytes.
        sha256: String,
    },
    /// A network is named for a file that has one.
    #[error("`{}` is a model file, which has its network: name the file alone", path.display())]
    HasNetwork {
        /// The file.
        path: PathBuf,
    },
    /// A checkpoint with several state dicts.
    #[error("say which weights of `{}` are meant: `{}#KEY`", path.display(), path.display())]
    StateDicts {
        /// The file.
        path: PathBuf,
        /// Which there are.
        source: taper_model::Error,
    },
    /// The pictures cannot be used.
    #[error(transparent)]
    Data {
        /// Why.
        source: taper_data::Error,
    },
    /// The model classifies no pictures.
    #[error("the model cannot classify pictures")]
    Classifier {
        /// Why.
        #[source]
        source: taper_classifier::Error,
    },
    /// A picture cannot be looked at.
    #[error("cannot look at `{}`", path.display())]
    Picture {
        /// The file, or its name in a file of many.
        path: PathBuf,
        /// Why.
        #[source]
        source: taper_data::Error,
    },
    /// Pictures of which none could be read.
    #[error("no picture of `{}` could be read; each is named above with its reason", path.display())]
    NothingLeft {
        /// The folder.
        path: PathBuf,
    },
    /// A list of fixes that is not followed.
    #[error("nothing was changed by `{}`: {reason}", path.display())]
    FixList {
        /// The list.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file that does not hold what is compared.
    #[error("`{}` holds no features of pictures that can be compared: {reason}", path.display())]
    NoEmbeddings {
        /// The file.
        path: PathBuf,
        /// What is missing or wrong there.
        reason: String,
    },
    /// A search that finds nothing.
    #[error("no network is called anything like `{query}`; the nearest name is `{nearest}`")]
    NoModel {
        /// What was looked for.
        query: String,
        /// A name that there is.
        nearest: String,
    },
    /// A recipe was stopped.
    #[error(
        "stopped; what was downloaded or saved by then, if anything, is kept, and the same request goes on with it"
    )]
    Stopped,
    /// No such model in the zoo, or its weights cannot be had.
    #[error(transparent)]
    Zoo {
        /// Why.
        source: taper_zoo::Error,
    },
    /// A network cannot be pruned so.
    #[error(transparent)]
    Prune {
        /// Why.
        source: Box<taper_prune::Error>,
    },
    /// A model file cannot be used.
    #[error(transparent)]
    Model {
        /// Why.
        source: taper_model::Error,
    },
    /// A layer that cannot be.
    #[error(transparent)]
    Graph {
        /// Why, with the formula that failed.
        source: taper_graph::Error,
    },
    /// A file that holds no network.
    #[error("`{}` holds no network", path.display())]
    GraphFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<taper_graph::Error>,
    },
    /// A network that cannot be counted.
    #[error(transparent)]
    Cost {
        /// Why.
        source: taper_cost::Error,
    },
    /// A file of times that cannot be used.
    #[error("the calibration `{}` {reason}", path.display())]
    Calibration {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// The system tells no directory for caches.
    #[error("this system has no cache directory for its user: say where the calibration shall lie")]
    NoCache,
    /// A bound on a time that nobody knows.
    #[error(
        "`{assertion}` needs a time: calibrate this machine first, name the calibration of another, or measure"
    )]
    NotPredicted {
        /// The bound.
        assertion: String,
    },
    /// A word of the request that cannot be read.
    #[error("`{got}` is no {what}: expected {expected}")]
    Malformed {
        /// What it was to be.
        what: &'static str,
        /// The word.
        got: String,
        /// How it is written.
        expected: &'static str,
    },
    /// The network cannot be changed as asked.
    #[error(transparent)]
    Transfer {
        /// Why.
        source: taper_transfer::Error,
    },
    /// A launcher has started several of this program, which cannot work together.
    #[error("{launcher} has started {} of this program, and {reason}", number(*ranks))]
    Launch {
        /// What has started them.
        launcher: &'static str,
        /// How many, if it says so.
        ranks: Option<usize>,
        /// Why not, and what to do.
        reason: String,
    },
    /// Ranks cannot work together, or not any more.
    #[error(transparent)]
    Ranks {
        /// Why.
        #[from]
        source: taper_distributed::Error,
    },
    /// Training failed.
    #[error(transparent)]
    Train {
        /// Why.
        source: taper_train::Error,
    },
    /// The network could not be run.
    #[error(transparent)]
    Engine {
        /// Why.
        source: taper_engine::Error,
    },
    /// A picture or page could not be drawn.
    #[error("what was seen cannot be drawn")]
    Draw {
        /// Why.
        #[source]
        source: taper_report::Error,
    },
}

impl Error {
    pub(crate) fn option(
        field: &'static str,
        got: &impl ToString,
        expected: impl Into<String>,
    ) -> Self {
        Error::Option { field, got: got.to_string(), expected: expected.into() }
    }

    /// What ranks have to do with it, if they do.
    pub fn ranks(&self) -> Option<&taper_distributed::Error> {
        match self {
            Error::Ranks { source } => Some(source),
            Error::Train { source } => source.ranks(),
            _ => None,
        }
    }

    /// Whether the request was wrong (exit code 2 of the binary) and not the work (exit code 1).
    pub fn is_request(&self) -> bool {
        match self {
            Error::File { source, .. } => source.kind() != std::io::ErrorKind::StorageFull,
            Error::Zoo { source: taper_zoo::Error::NotObtained { .. } } => false,
            Error::Ranks { source } => matches!(
                source,
                taper_distributed::Error::Disagreement { .. }
                    | taper_distributed::Error::Shards { .. }
            ),
            Error::Stopped | Error::Train { .. } | Error::Engine { .. } | Error::Draw { .. } => {
                false
            }
            _ => true,
        }
    }
}

/// An error with all its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// How many runs are named.
fn runs(got: usize) -> String {
    match got {
        0 => "no run is".to_owned(),
        1 => "one run is".to_owned(),
        _ => format!("{got} runs are"),
    }
}

/// How many processes there are.
fn number(ranks: Option<usize>) -> String {
    ranks.map_or_else(|| "an unknown number".to_owned(), |ranks| ranks.to_string())
}
