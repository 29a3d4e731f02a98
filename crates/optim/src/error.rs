//! What can be wrong with a group, a setting, a gradient or a saved state.
//!
//! Above: every file of this crate. Below: nothing. Not here: a loss that is not finite (`train`).

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A refusal that names the parameter or the setting.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting lies outside its range.
    #[error("`{name}` is {got}, expected {expected}")]
    Setting {
        /// The setting, as its field is spelled.
        name: &'static str,
        /// The value given.
        got: f64,
        /// The range it must lie in.
        expected: &'static str,
    },
    /// Nesterov momentum is defined for a momentum above 0 and no dampening only.
    #[error(
        "nesterov needs a momentum above 0 and no dampening, got momentum {momentum} and dampening {dampening}"
    )]
    Nesterov {
        /// The momentum given.
        momentum: f64,
        /// The dampening given.
        dampening: f64,
    },
    /// Two parameters have one name.
    #[error("parameter `{name}` is listed twice, list each parameter in one group")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// One variable has two names, and would be stepped twice.
    #[error("parameters `{first}` and `{second}` are the same variable, list it once")]
    DuplicateVar {
        /// Its name where it was first listed.
        first: String,
        /// Its name where it was listed again.
        second: String,
    },
    /// Only `f32` and `f64` parameters on the CPU are stepped.
    #[error(
        "parameter `{name}` is {dtype} on {device}, the optimizers step f32 and f64 on the CPU; make its `VarBuilder` with `DType::F32` and \
         `&Device::Cpu`, or call `to_dtype` and `to_device(&Device::Cpu)`"
    )]
    Unsupported {
        /// The parameter.
        name: String,
        /// Its element type.
        dtype: &'static str,
        /// Where it lives.
        device: String,
    },
    /// A gradient does not fit its parameter.
    #[error(
        "the gradient of `{name}` is {got_dtype} {got:?}, the parameter is {expected_dtype} {expected:?}"
    )]
    GradShape {
        /// The parameter.
        name: String,
        /// The gradient's element type.
        got_dtype: &'static str,
        /// The gradient's shape.
        got: Vec<usize>,
        /// The parameter's element type.
        expected_dtype: &'static str,
        /// The parameter's shape.
        expected: Vec<usize>,
    },
    /// A saved state belongs to a parameter or a rule that is not here.
    #[error("optimizer state `{key}` belongs to no parameter of this optimizer")]
    UnknownState {
        /// The key in the saved state.
        key: String,
    },
    /// A parameter's saved state lacks a part.
    #[error("optimizer state of `{name}` lacks `{key}`")]
    MissingState {
        /// The parameter.
        name: String,
        /// The key that is absent.
        key: String,
    },
    /// A saved state has another shape or element type than its parameter needs.
    #[error(
        "optimizer state `{key}` is {got_dtype} {got:?}, expected {expected_dtype} {expected:?}"
    )]
    StateShape {
        /// The key in the saved state.
        key: String,
        /// The element type found.
        got_dtype: &'static str,
        /// The shape found.
        got: Vec<usize>,
        /// The element type needed.
        expected_dtype: &'static str,
        /// The shape needed.
        expected: Vec<usize>,
    },
    /// A saved step count is not positive.
    #[error("optimizer state `{key}` is {got}, a saved step count is 1 or more")]
    StateStep {
        /// The key in the saved state.
        key: String,
        /// The value found.
        got: i64,
    },
    /// candle refused an operation on a parameter.
    #[error("tensor operation failed at `{name}`")]
    Tensor {
        /// The parameter or state key.
        name: String,
        /// candle's reason.
        #[source]
        source: candle_core::Error,
    },
}

/// Names the tensor at which candle refused: the bridge from its errors to ours.
pub(crate) fn at(name: &str) -> impl FnOnce(candle_core::Error) -> Error + '_ {
    move |source| Error::Tensor { name: name.to_owned(), source }
}

/// Refuses a setting that is not a number in `[min, max)`.
pub(crate) fn check(
    name: &'static str,
    got: f64,
    within: std::ops::Range<f64>,
    expected: &'static str,
) -> Result<()> {
    if within.contains(&got) { Ok(()) } else { Err(Error::Setting { name, got, expected }) }
}
