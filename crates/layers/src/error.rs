//! What can be wrong with a network or a layer at candle's door.
//!
//! Above: every file of this crate. Below: the errors of `model`, `ops`, `engine`, `graph`. Not here: a loss that is not finite (`train`).

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A refusal that names the parameter or the shape.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Networks run on the CPU only.
    #[error("a network runs on the CPU, got the device {device}; make it with `&Device::Cpu`")]
    Device {
        /// The device asked for.
        device: String,
    },
    /// The input is not a batch of images of this network.
    #[error(
        "the input is {got_dtype} {got:?} on {device}, expected f32 (n, {channels}, h, w) on the CPU with no zero but n; \
         `to_dtype(DType::F32)` and `to_device(&Device::Cpu)` convert"
    )]
    Input {
        /// The input's element type.
        got_dtype: &'static str,
        /// The input's shape.
        got: Vec<usize>,
        /// Where it lives.
        device: String,
        /// The channels of the network's image.
        channels: usize,
    },
    /// Evaluation records nothing.
    #[error(
        "the input is part of a computation with gradients, and evaluation passes none on to it; detach it, or use `training` or `value_and_grad`"
    )]
    TrackedInput,
    /// The loss is not a number for the whole batch.
    #[error("the loss has shape {got:?}, expected a scalar")]
    LossShape {
        /// Its shape.
        got: Vec<usize>,
    },
    /// The loss has nothing to do with the outputs.
    #[error("the loss does not depend on any output, so there is nothing to train")]
    LossIgnoresOutputs,
    /// One output was asked for.
    #[error(
        "the network has the outputs {names:?}; `forward_all` and `value_and_grad_all` take them all, `with_outputs` chooses"
    )]
    SeveralOutputs {
        /// Their names.
        names: Vec<String>,
    },
    /// A network without outputs.
    #[error("no output was named; a network gives at least one")]
    NoOutputs,
    /// The machine has no products of that precision.
    #[error(
        "this machine has no means to multiply in {precision}: x86-64 with AMX-BF16 under Linux has; use f32 here"
    )]
    MatmulPrecision {
        /// What was asked for.
        precision: taper_engine::MatmulPrecision,
    },
    /// Nothing to train.
    #[error("every parameter is frozen, so there is nothing to train")]
    AllFrozen,
    /// A variable no longer holds what the network put there.
    #[error(
        "parameter `{name}` is {dtype} on {device}, expected contiguous f32 on the CPU; call `to_device(&Device::Cpu)`"
    )]
    Storage {
        /// The parameter.
        name: String,
        /// Its element type.
        dtype: &'static str,
        /// Where it lives.
        device: String,
    },
    /// Tensors to load are not those of this network.
    #[error(
        "the tensors do not fit the network: missing {missing:?}, surplus {surplus:?}, misshapen {misshapen:?}"
    )]
    Tensors {
        /// Parameters without a tensor.
        missing: Vec<String>,
        /// Tensors without a parameter.
        surplus: Vec<String>,
        /// Parameters whose tensor has another shape or element type.
        misshapen: Vec<String>,
    },
    /// A number in the settings of a loss is not one that its formula allows.
    #[error("{setting} is {got}, expected {expected}")]
    Setting {
        /// What the number is.
        setting: &'static str,
        /// The number.
        got: f64,
        /// What it may be.
        expected: String,
    },
    /// Class weights are not a list.
    #[error("the class weights have shape {got:?}, expected (k), one for each class")]
    ClassWeights {
        /// Their shape.
        got: Vec<usize>,
    },
    /// A node that the graph does not have.
    #[error("the network has no node `{name}`; `Network::graph` lists them")]
    UnknownNode {
        /// The name.
        name: String,
    },
    /// The graph has no such output or cannot take the image.
    #[error("the graph refused")]
    Graph {
        /// Why.
        #[source]
        source: Box<taper_graph::Error>,
    },
    /// The model is not consistent.
    #[error("the model refused")]
    Model {
        /// Why.
        #[source]
        source: Box<taper_model::Error>,
    },
    /// The engine cannot run the graph.
    #[error("the engine refused")]
    Engine {
        /// Why.
        #[source]
        source: Box<taper_engine::Error>,
    },
    /// A layer cannot be built like that.
    #[error("the layer `{path}` refused")]
    Layer {
        /// The place in the model, as its `VarBuilder` has it, or the kind of layer if it has no parameters.
        path: String,
        /// Why, with the formula that failed.
        #[source]
        source: Box<taper_ops::Error>,
    },
    /// candle refused an operation.
    #[error("tensor operation failed at `{name}`")]
    Tensor {
        /// The parameter or the place.
        name: String,
        /// candle's reason.
        #[source]
        source: candle_core::Error,
    },
}

impl From<taper_graph::Error> for Error {
    fn from(source: taper_graph::Error) -> Self {
        Self::Graph { source: Box::new(source) }
    }
}

impl From<taper_model::Error> for Error {
    fn from(source: taper_model::Error) -> Self {
        Self::Model { source: Box::new(source) }
    }
}

impl From<taper_engine::Error> for Error {
    fn from(source: taper_engine::Error) -> Self {
        Self::Engine { source: Box::new(source) }
    }
}

/// Names the tensor at which candle refused: the bridge from its errors to ours.
pub(crate) fn at(name: &str) -> impl FnOnce(candle_core::Error) -> Error + '_ {
    move |source| Error::Tensor { name: name.to_owned(), source }
}

/// The way back into candle, whose traits know no other errors: the whole chain as text.
impl From<Error> for candle_core::Error {
    fn from(error: Error) -> Self {
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(source) = cause {
            text = format!("{text}: {source}");
            cause = source.source();
        }
        Self::msg(text)
    }
}
