//! Pruning: which channels of a network go together, which matter least, and a smaller model without them.
//!
//! Above: `taper-recipes`. Below: `taper-graph`, `taper-model`, `taper-cost`. Not here: running a network (`taper-engine`), training it
//! again (`taper-train`): scores of data, times and recovery are handed in.
//!
//! A channel cannot be removed alone. What adds it to another, scales it, gates it or reads it must lose it too, and the sum of a residual
//! block ties the last layers of a whole stage to one another. [`Groups::of`] finds what goes together: *units*, each a set of channels
//! and of the indices of parameters that stand for them, and *groups* of units that touch the same places and can be compared.
//!
//! ```
//! use taper_graph::{Bias, Conv, GraphBuilder, PoolKind};
//! use taper_prune::{Groups, Protect};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut b = GraphBuilder::new(3)?;
//! let xs = b.conv("stem", b.input(), Conv::dense(8, 3, 2), Bias::Without)?;
//! let xs = b.batch_norm("bn", xs, 1e-5, 0.1)?;
//! let xs = b.conv("dw", xs, Conv::depthwise(8, 3, 1), Bias::Without)?;
//! let xs = b.global_pool("pool", xs, PoolKind::Avg, true)?;
//! let xs = b.linear("classifier", xs, 10, Bias::With)?;
//! b.output("logits", xs)?;
//! let graph = b.build()?;
//!
//! let groups = Groups::of(&graph, &Protect::default())?;
//! let [image, middle, classes] = groups.groups() else { panic!("three groups") };
//! assert_eq!(image.protected.as_ref().map(ToString::to_string).as_deref(), Some("channels of the image"));
//! // The stem's filters, the norm's scales, shifts and statistics, the depthwise filters, the classifier's columns.
//! assert_eq!((middle.n_units(), middle.members.len()), (8, 7));
//! assert!(classes.protected.is_some());
//! # Ok(()) }
//! ```

mod budget;
mod criterion;
mod cut;
mod depth;
mod error;
mod explain;
mod groups;
mod mask;
mod protect;
mod ranking;
mod schedule;
mod sparse;
#[cfg(test)]
mod testing;
mod words;

pub use budget::{
    Amount, FileSize, GroupWidth, Limits, Metric, Plan, Price, Problem, Reached, TOLERANCE, Target,
    Widths, check_targets, cut_of_group, solve,
};
pub use criterion::{Criterion, Evidence, Normalizer, Readers, Reduction, Scoring, scores};
pub use cut::{Cut, cut, cut_graph};
pub use depth::{ResidualBlock, remove_block, residual_blocks};
pub use error::{Error, Result};
pub use explain::{GroupRow, MemberRow, explain};
pub use groups::{Group, Groups, Member, UnitId};
pub use mask::{Silence, mask};
pub use protect::{Protect, Protected};
pub use ranking::Ranking;
pub use schedule::CubicSchedule;
pub use sparse::{Masks, ParamSparsity, SparseRanking, SparsityReport};
