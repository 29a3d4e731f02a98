//! What can be wrong with weights and model files.
//!
//! Above: every function of this crate. Below: `taper-graph`, safetensors, zip. Not here: impossible networks
//! (`taper_graph::Error`).
//! Tensors are named; a file is named once, by the outermost error.

use std::path::PathBuf;

use crate::StateDictMismatch;

/// Weights that cannot be read, or do not fit their network.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum Error {
    /// A file with something wrong in it; the source says what.
    #[error("cannot read `{}`", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: Box<Error>,
    },
    /// The operating system refused to read.
    #[error("reading failed")]
    Read {
        #[source]
        source: std::io::Error,
    },
    /// A directory or a device.
    #[error("it is no regular file")]
    NotAFile,
    /// The operating system refused to write.
    #[error("cannot write `{}`", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// Neither safetensors nor a torch file.
    #[error("it is neither a safetensors file nor one that torch.save wrote")]
    Safetensors {
        #[source]
        source: safetensors::SafeTensorError,
    },
    /// A torch file, for a build that does not read them.
    #[error("torch.save wrote it; the feature `pth` of taper-model reads such files")]
    NoPth,
    /// A damaged zip archive.
    #[cfg(feature = "pth")]
    #[error("the zip archive of the torch file is damaged")]
    Zip {
        #[source]
        source: zip::result::ZipError,
    },
    /// A zip archive that torch did not write.
    #[error("the zip archive is no torch file: {reason}")]
    ZipEntry { reason: String },
    /// A pickle that ends early, or says what torch does not say.
    #[error("the pickle is damaged at byte {offset}: {reason}")]
    Pickle { offset: usize, reason: String },
    /// A pickle of something other than tensors.
    #[error(
        "the pickle asks for `{name}`, which is no tensor; nothing was executed. Save a plain state_dict: torch.save(model.state_dict(), …)"
    )]
    Global { name: String },
    /// A file without tensors.
    #[error("there are no tensors in it{}", if keys.is_empty() { String::new() } else { format!("; it has {}", quoted(keys)) })]
    NoTensors { keys: Vec<String> },
    /// A checkpoint with several sets of weights.
    #[error("it has several state dicts, and none is more likely the one than another: {}; choose one by its key", names.join(", "))]
    StateDicts { names: Vec<String> },
    /// A checkpoint without the set of weights that is asked for.
    #[error("it has no state dict `{key}`, it has: {}", names.join(", "))]
    NoStateDict { key: String, names: Vec<String> },
    /// A tensor that reaches outside its storage, or shares it more than a file can.
    #[error("tensor `{name}`: {reason}")]
    Tensor { name: String, reason: String },
    /// An element type that no network here has.
    #[error("tensor `{name}` has element type {dtype}, which is not supported; convert it to f32")]
    DType { name: String, dtype: String },
    /// A safetensors file that is no model file.
    #[error("there is no `{key}` in its metadata: it holds bare weights, not a model file")]
    NoMetadata { key: &'static str },
    /// Metadata that cannot be understood.
    #[error("its `{key}` cannot be understood")]
    Metadata {
        key: &'static str,
        #[source]
        source: serde_json::Error,
    },
    /// A model file of a later version.
    #[error("it is a model file of version {got}, this program reads {expected}; upgrade")]
    Version { got: String, expected: &'static str },
    /// The network in it is impossible.
    #[error("the network is impossible")]
    Graph {
        #[source]
        source: Box<taper_graph::Error>,
    },
    /// Weights for another network.
    #[error("the weights do not fit the network: {mismatch}")]
    StateDictMismatch { mismatch: Box<StateDictMismatch> },
    /// Names of weights that were trained with other norms than the network has.
    #[error(
        "the names are those of weights trained with norms of eps {expected}, but `{node}` of the network has eps {got}, and would tell something else: make the network by `Naming::with_norms` or, in the zoo, `Record::graph_with`"
    )]
    Norms { node: String, got: f64, expected: f64 },
    /// Names of weights that were trained with other paddings than the network has.
    #[error(
        "the names are those of weights trained with padding {expected}, but that of `{node}` is {got}, and it would tell something else: take the network that the weights were trained in"
    )]
    Paddings { node: String, got: &'static str, expected: &'static str },
    /// Names for another number of classes.
    #[error("there are {got} class names, but the network tells {expected} classes apart")]
    Classes { got: usize, expected: usize },
    /// The logits do not come from a linear layer that could be replaced.
    #[error("the logits come from {op} `{node}`, a new classifier needs a linear layer there")]
    NoClassifier { node: String, op: &'static str },
    /// A classifier of nothing.
    #[error("a classifier needs at least one class")]
    NoClasses,
    /// A first layer that cannot be adapted to other channels.
    #[error(
        "{op} `{node}` reads the image, only a dense convolution there can be adapted to other channels"
    )]
    FirstLayer { node: String, op: &'static str },
    /// Preprocessing that no image survives.
    #[error("preprocessing: {what} is {got}, it must be {expected}")]
    Preprocess { what: &'static str, got: String, expected: &'static str },
    /// Confidence that no measurement gives.
    #[error("confidence: {what} is {got}, it must be {expected}; fine-tune again to measure it")]
    Confidence { what: &'static str, got: String, expected: &'static str },
    /// An initializer with a number that it is not defined for.
    #[error("initializer: {what} is {got}, expected {expected}")]
    InitNumber { what: &'static str, got: f64, expected: String },
    /// A truncated normal with nothing left.
    #[error(
        "initializer: a normal of mean {mean} and standard deviation {std} leaves nothing between {low} and {high}; move the bounds to the mean or apart"
    )]
    InitTruncation { mean: f64, std: f64, low: f64, high: f64 },
    /// A parameter without fans.
    #[error("initializer: shape {shape:?} has no fans, expected two axes or more: (out, in, ...)")]
    InitFans { shape: Vec<usize> },
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

impl From<taper_graph::Error> for Error {
    fn from(source: taper_graph::Error) -> Self {
        Self::Graph { source: Box::new(source) }
    }
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
