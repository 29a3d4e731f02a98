//! What if: the same network wider, deeper, with other strides, pools, classes; and the questions as users write them.
//!
//! Above: reports, `taper cost --sweep`. Below: `width`, `depth`, `windows`, `removable`, `sweep`. Not here: what a network costs (`count`, `memory`).

mod channels;
mod depth;
mod layers;
mod removable;
mod sweep;
#[cfg(test)]
mod tests;
mod width;
mod windows;

use std::fmt;
use std::ops::RangeInclusive;

use taper_graph::{Extent, Graph, NodeId, PoolKind, nearest};

use crate::{Error, Result};
pub use removable::{Removable, RemovablePart, removable};
pub use sweep::Sweep;

/// Factors of width and depth: from a hundredth to a hundred times.
const FACTORS: RangeInclusive<f64> = 0.01..=100.0;

/// Sides of images on which it is tried whether a network still fits together: the first that it takes.
const SIDES: [usize; 12] = [1024, 512, 384, 299, 256, 224, 192, 128, 96, 64, 32, 28];

/// One thing that is changed.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Channels of all layers times a factor, rounded to a multiple of 8 as by `taper_graph::scaling`, but never to more than before by a factor
    /// below 1, nor to fewer by one above. The image's channels and the classes stay, and so do the numbers of groups (but of depthwise
    /// convolutions) and heads, whose sizes change. Every layer is rounded for itself: ratios of neighbors are not kept to the last channel.
    Width(f64),
    /// Blocks per stage times a factor, rounded, at least one. A block that halves the map or changes its channels is neither left out nor
    /// repeated: a stage that has no other stays as it is.
    Depth(f64),
    /// The channels of a convolution or linear layer, and of all that must agree with it.
    Filters {
        /// Its name.
        node: String,
        /// How many.
        filters: usize,
    },
    /// The stride of a convolution or pool. Where ways behind it meet others and no longer fit, those of the same stride on the others get the
    /// same again: a shortcut follows its block.
    Stride {
        /// Its name.
        node: String,
        /// Along both axes; in networks of 1-D maps along the width.
        stride: usize,
    },
    /// A pool instead of a stride: the convolution gets stride 1, and behind it, its norm and its activation a pool moves as it did, with windows
    /// of that size. The map behind is as large as before.
    Pool {
        /// The convolution's name.
        node: String,
        /// Which pool; `None` leaves the stride where it is.
        kind: Option<PoolKind>,
    },
    /// The size of the classifier, the number of classes: channels of the output `logits`.
    Head(usize),
    /// Size of the image, `(h, w)`; the network stays.
    ImageSize([usize; 2]),
    /// Images at once; the network stays.
    Batch(usize),
    /// Threads; the network stays.
    Threads(usize),
}

/// What is changed, without the value. Written as users write it: `width`, `filters:conv_stem`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Factor {
    /// [`Change::Width`].
    Width,
    /// [`Change::Depth`].
    Depth,
    /// [`Change::Filters`] of that node.
    Filters(String),
    /// [`Change::Stride`] of that node.
    Stride(String),
    /// [`Change::Pool`] of that node.
    Pool(String),
    /// [`Change::Head`].
    Head,
    /// [`Change::ImageSize`].
    ImageSize,
    /// [`Change::Batch`].
    Batch,
    /// [`Change::Threads`].
    Threads,
}

/// The network after a change.
///
/// # Errors
/// [`Error::Factor`] for a factor that is none; [`Error::UnknownLayer`]; [`Error::NoFilters`], [`Error::NoStride`], [`Error::NotStrided`] and
/// [`Error::NoBlocks`] where there is nothing to change; [`Error::FilterGroups`], [`Error::ImageChannels`], [`Error::Groups`] and
/// [`Error::Change`] where it cannot be changed like that; [`Error::Size`] if of images of 1024x1024 to 28x28 the network takes none.
///
/// # Examples
/// ```
/// use taper_cost::params;
/// use taper_cost::what_if::{Change, apply};
/// use taper_graph::{Bias, Conv, GraphBuilder, PoolKind};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut b = GraphBuilder::new(3)?;
/// let xs = b.conv("conv_stem", b.input(), Conv::dense(32, 3, 2), Bias::Without)?;
/// let xs = b.global_pool("pool", xs, PoolKind::Avg, true)?;
/// let xs = b.linear("classifier", xs, 10, Bias::With)?;
/// b.output("logits", xs)?;
/// let half = apply(&b.build()?, &Change::Width(0.5))?;
/// assert_eq!(params(&half).0, 16 * 3 * 3 * 3 + 16 * 10 + 10);
/// # Ok(()) }
/// ```
pub fn apply(graph: &Graph, change: &Change) -> Result<Graph> {
    let new = match change {
        Change::Width(factor) => match checked("width", *factor)? {
            Times::One => return Ok(graph.clone()),
            Times::Other(factor) => width::scaled(graph, factor),
        },
        Change::Depth(factor) => match checked("depth", *factor)? {
            Times::One => return Ok(graph.clone()),
            Times::Other(factor) => depth::scaled(graph, factor),
        },
        Change::Filters { node, filters } => {
            width::with_filters(graph, named(graph, node)?, *filters)
        }
        Change::Stride { node, stride } => {
            windows::with_stride(graph, named(graph, node)?, *stride)
        }
        Change::Pool { node, kind: Some(kind) } => {
            windows::with_pool(graph, named(graph, node)?, *kind)
        }
        Change::Pool { node, kind: None } => {
            named(graph, node)?;
            return Ok(graph.clone());
        }
        Change::Head(classes) => {
            let logits = graph.output("logits").map_err(mismatch);
            logits.and_then(|logits| width::with_channels(graph, logits, *classes))
        }
        Change::ImageSize(_) | Change::Batch(_) | Change::Threads(_) => return Ok(graph.clone()),
    };
    let refused = |error| match error {
        Error::Change { source, .. } => Error::Change { change: change.to_string(), source },
        error => error,
    };
    let new = new.map_err(refused)?;
    if let Ok(([h, w], _)) = known_extents(graph) {
        new.extents(h, w).map_err(mismatch).map_err(refused)?;
    }
    Ok(new)
}

/// A cause in the network itself; `apply` says of which change.
fn mismatch(source: taper_graph::Error) -> Error {
    Error::Change { change: String::new(), source: Box::new(source) }
}

/// A factor that was checked.
enum Times {
    One,
    Other(f64),
}

fn checked(what: &'static str, factor: f64) -> Result<Times> {
    if !FACTORS.contains(&factor) {
        let expected = format!("from {} to {}", FACTORS.start(), FACTORS.end());
        return Err(Error::Factor { what, got: factor, expected });
    }
    Ok(if (factor - 1.0).abs() < f64::EPSILON { Times::One } else { Times::Other(factor) })
}

fn named(graph: &Graph, node: &str) -> Result<NodeId> {
    graph.find_node(node).ok_or_else(|| {
        let names = graph.nodes().iter().map(taper_graph::Node::name);
        let nearest = nearest(node, names).unwrap_or_default().to_owned();
        Error::UnknownLayer { node: node.to_owned(), nearest }
    })
}

/// The extents for an image as large as the network takes one, and its size.
fn known_extents(graph: &Graph) -> Result<([usize; 2], Vec<Extent>)> {
    let extents = |side| graph.extents(side, side).map(|extents| ([side; 2], extents));
    let [first @ .., last] = SIDES;
    match first.into_iter().find_map(|side| extents(side).ok()) {
        Some(known) => Ok(known),
        None => {
            extents(last).map_err(|source| Error::Size { h: last, w: last, source: source.into() })
        }
    }
}

impl Change {
    /// What is changed.
    #[must_use]
    pub fn factor(&self) -> Factor {
        match self {
            Self::Width(_) => Factor::Width,
            Self::Depth(_) => Factor::Depth,
            Self::Filters { node, .. } => Factor::Filters(node.clone()),
            Self::Stride { node, .. } => Factor::Stride(node.clone()),
            Self::Pool { node, .. } => Factor::Pool(node.clone()),
            Self::Head(_) => Factor::Head,
            Self::ImageSize(_) => Factor::ImageSize,
            Self::Batch(_) => Factor::Batch,
            Self::Threads(_) => Factor::Threads,
        }
    }

    /// To what: `0.5`, `128x192`, `max`; a square image is one number.
    #[must_use]
    pub fn value(&self) -> String {
        match self {
            Self::Width(factor) | Self::Depth(factor) => factor.to_string(),
            Self::Filters { filters: n, .. }
            | Self::Stride { stride: n, .. }
            | Self::Head(n)
            | Self::Batch(n)
            | Self::Threads(n) => n.to_string(),
            Self::Pool { kind, .. } => match kind {
                None => "stride",
                Some(PoolKind::Max) => "max",
                Some(PoolKind::Avg) => "avg",
                Some(PoolKind::AvgWithoutPadding) => "avg_without_padding",
            }
            .to_owned(),
            Self::ImageSize([h, w]) if h == w => h.to_string(),
            Self::ImageSize([h, w]) => format!("{h}x{w}"),
        }
    }
}

impl fmt::Display for Change {
    /// As users write it: `width=0.5`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.factor(), self.value())
    }
}

impl fmt::Display for Factor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Width => f.write_str("width"),
            Self::Depth => f.write_str("depth"),
            Self::Filters(node) => write!(f, "filters:{node}"),
            Self::Stride(node) => write!(f, "stride:{node}"),
            Self::Pool(node) => write!(f, "pool:{node}"),
            Self::Head => f.write_str("classes"),
            Self::ImageSize => f.write_str("image-size"),
            Self::Batch => f.write_str("batch"),
            Self::Threads => f.write_str("threads"),
        }
    }
}
