//! What can be wrong with a network.
//!
//! Above: every function of this crate. Below: `serde_json`, `SizeFormula`. Not here: weights that do not fit (`taper-model`).
//! Every variant about a node names it.

use crate::SizeFormula;

/// A network that cannot be built, read or sized.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum Error {
    /// A name that is empty, too long, or holds control characters.
    #[error("`{name}` is no name for a {what}: use 1 to 255 characters, no control characters")]
    Name { what: &'static str, name: String },
    /// Two nodes, parameters or scopes of one name.
    #[error("there are two {what} named `{name}`")]
    Duplicate { what: &'static str, name: String },
    /// An input that is not an earlier node.
    #[error("node `{node}` takes node {input} as input, but only {known} nodes stand before it")]
    Input { node: String, input: usize, known: usize },
    /// The image not at the beginning, or twice.
    #[error("node `{node}` at position {position} is wrong: the input is node 0 and no other")]
    InputPosition { node: String, position: usize },
    /// Too many or too few inputs.
    #[error("{op} `{node}` has {got} inputs, it takes {expected}")]
    InputCount { node: String, op: &'static str, got: usize, expected: &'static str },
    /// A vector where a map is needed, or the other way round.
    #[error("{op} `{node}` takes a {expected}, its input is a {got}")]
    Rank { node: String, op: &'static str, got: &'static str, expected: &'static str },
    /// A number out of its range.
    #[error("{what} of `{node}` is {got}, it must be {expected}")]
    Range { node: String, what: &'static str, got: String, expected: String },
    /// Groups that do not divide the channels.
    #[error(
        "`{node}`: {channels} channels cannot be split into {groups} groups: {channels} mod {groups} = {}, it must be 0",
        channels.checked_rem(*groups).unwrap_or_default()
    )]
    Groups { node: String, channels: usize, groups: usize },
    /// Inputs that do not fit together.
    #[error("inputs of {op} `{node}` do not fit: {left} and {right}")]
    Mismatch { node: String, op: &'static str, left: String, right: String },
    /// An output without positions: a window larger than the padded map, or a transposed convolution that removes everything.
    #[error(
        "`{node}`: nothing is left along {}: {} = {formula}, it must be 1 or more; use a larger image, a smaller kernel or other padding",
        formula.axis(),
        formula.symbols()
    )]
    WindowSize { node: String, formula: Box<SizeFormula> },
    /// A flatten of a map whose size depends on the image.
    #[error("flatten `{node}` needs a map of fixed size; put a global or adaptive pool before it")]
    UnknownSize { node: String },
    /// A parameter that is not what its node's operation has.
    #[error("{what} of parameter `{param}` is {got}, its node's operation says {expected}")]
    Param { param: String, what: &'static str, got: String, expected: String },
    /// Too many or too few parameters.
    #[error("{op} `{node}` lists {got} parameters, it has {expected}")]
    ParamCount { node: String, op: &'static str, got: usize, expected: String },
    /// A node that vanishes but is needed.
    #[error("`{node}` cannot vanish: `{reader}` reads it")]
    Fused { node: String, reader: String },
    /// Nodes that cannot be left out, as their readers would not know what to read instead.
    #[error(
        "`{node}` cannot be left out: what vanishes with it reads {} nodes ({}), its readers can read one in its place",
        reads.len(),
        reads.join(", ")
    )]
    Bypass { node: String, reads: Vec<String> },
    /// An operation with parameters where one without is needed.
    #[error("{op} `{node}` has parameters; only an operation without any can be put in")]
    HasParams { node: String, op: &'static str },
    /// A scope that cannot follow itself.
    #[error(
        "scope `{scope}` cannot be repeated: {reason}; name one that reads one node and keeps its channels"
    )]
    Repeat { scope: String, reason: String },
    /// The name of no scope.
    #[error("the network has no scope `{scope}`")]
    UnknownScope { scope: String },
    /// The name of no parameter.
    #[error("the network has no parameter `{param}`")]
    UnknownParam { param: String },
    /// A parameter that does not exist, that no node uses, or out of build order.
    #[error(
        "`{node}` refers to parameter {got}; parameters are listed in build order, the next new one is {next}"
    )]
    ParamOrder { node: String, got: usize, next: usize },
    /// Parameters that no node uses.
    #[error("parameter `{param}` belongs to no node")]
    ParamUnused { param: String },
    /// A scope that covers no nodes, nodes that do not exist, or half of another scope.
    #[error("scope `{scope}` covers nodes {start}..{end}: {reason}")]
    Scope { scope: String, start: usize, end: usize, reason: &'static str },
    /// A network without outputs.
    #[error("the network has no outputs; name one with `output`")]
    NoOutputs,
    /// An output that points nowhere.
    #[error("output `{output}` is node {node}, but there are {known} nodes")]
    OutputNode { output: String, node: usize, known: usize },
    /// An output that is not there.
    #[error("the network has no output `{name}`; it has {}", known.join(", "))]
    UnknownOutput { name: String, known: Vec<String> },
    /// More nodes or bigger numbers than any network.
    #[error("`{node}`: {what} is too large: {got}, at most {limit}")]
    TooLarge { node: String, what: &'static str, got: String, limit: u64 },
    /// A description of another version.
    #[error("the graph has format {got}, this version reads {expected}; upgrade")]
    Format { got: u32, expected: u32 },
    /// Text that is no description of a graph.
    #[error("the text is no graph in JSON")]
    Json {
        #[source]
        source: serde_json::Error,
    },
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
