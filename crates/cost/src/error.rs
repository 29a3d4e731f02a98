//! What can be wrong when counting, and with what-if questions.
//!
//! Above: every function of this crate. Below: `taper-graph`, `taper-plan`. Not here: impossible networks (`taper_graph::Error`).

/// A network that cannot be counted at that size, or cannot be changed like that.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum Error {
    /// The network does not take an image of that size.
    #[error("the network does not take an image of {h}x{w}")]
    Size {
        h: usize,
        w: usize,
        #[source]
        source: Box<taper_graph::Error>,
    },
    /// The network's memory cannot be planned.
    #[error("the memory for images of {h}x{w} cannot be planned")]
    Plan {
        h: usize,
        w: usize,
        #[source]
        source: Box<taper_plan::Error>,
    },
    /// A change after which the network does not fit together; the cause names the layer.
    #[error("the network cannot be changed to {change}")]
    Change {
        change: String,
        #[source]
        source: Box<taper_graph::Error>,
    },
    /// A factor that is none, or beyond any network.
    #[error("{what} is {got}, it must be {expected}")]
    Factor { what: &'static str, got: f64, expected: String },
    /// The name of no layer.
    #[error("the network has no layer `{node}`; the nearest name is `{nearest}`")]
    UnknownLayer { node: String, nearest: String },
    /// Filters of something that has none.
    #[error("`{node}` ({op}) has no filters; name a convolution or a linear layer")]
    NoFilters { node: String, op: &'static str },
    /// A number of filters that groups, or those who read a share of them, cannot divide.
    #[error(
        "`{node}` cannot have {filters} filters: they are divided further on, so they must be a multiple of {step}"
    )]
    FilterGroups { node: String, filters: usize, step: usize },
    /// Other channels where they are those of the image.
    #[error("`{node}` must have as many channels as the image, {channels}")]
    ImageChannels { node: String, channels: usize },
    /// More groups of channels than can be followed.
    #[error(
        "up to `{node}` the network divides its channels into too many groups to change their number"
    )]
    Groups { node: String },
    /// A stride of something that has none.
    #[error("`{node}` ({op}) has no stride; name a convolution or a pool")]
    NoStride { node: String, op: &'static str },
    /// A pool in the place of a stride that is not there.
    #[error(
        "`{node}` ({op}) has no stride that a pool could replace; name a convolution with a stride of 2 or more"
    )]
    NotStrided { node: String, op: &'static str },
    /// No block that could be left out or repeated.
    #[error(
        "the network has no block that makes as much as it reads, so its depth cannot be changed"
    )]
    NoBlocks,
    /// Text that is no sweep.
    #[error("`{sweep}` is no sweep: at character {at} {expected} was expected, not {found}")]
    Sweep { sweep: String, at: usize, expected: String, found: String },
    /// A file that holds no times that can be used.
    #[error("the calibration {what}")]
    Calibration { what: String },
    /// Times on another number of threads than were measured.
    #[error(
        "the calibration has no times on {threads} threads; it has them on {}. `taper cost --calibrate --threads {threads}` adds them",
        listed(known)
    )]
    NotCalibrated { threads: usize, known: Vec<usize> },
}

fn listed(threads: &[usize]) -> String {
    let numbers: Vec<String> = threads.iter().map(ToString::to_string).collect();
    if numbers.is_empty() { "none".to_owned() } else { numbers.join(", ") }
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
