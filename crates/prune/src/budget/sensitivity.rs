//! Cutting one group alone: what it costs in accuracy is how sensitive the network is to it.
//!
//! Above: `taper-recipes`, which evaluates the networks. Below: `levels`, `Groups`. Not here: targets.

use super::levels::Levels;
use super::{Limits, cut_of};
use crate::{Cut, Error, Groups, Result, ranking};

/// The cut that takes `share` of the units of one group, the lowest scores first, and nothing else; rounded to whole units, at least one
/// and never all. `None` for a group that cannot be cut.
///
/// # Errors
/// [`Error::Limit`] for a share that is not above 0 and below 1, or a group that does not exist; [`Error::ScoreCount`];
/// [`Error::NotFinite`].
///
/// # Examples
/// ```
/// use taper_graph::{Bias, Conv, GraphBuilder};
/// use taper_prune::{Groups, Protect, cut_graph, cut_of_group};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut b = GraphBuilder::new(3)?;
/// let xs = b.conv("conv", b.input(), Conv::dense(8, 3, 1), Bias::With)?;
/// let xs = b.conv("end", xs, Conv::pointwise(4), Bias::With)?;
/// b.output("features", xs)?;
/// let graph = b.build()?;
/// let groups = Groups::of(&graph, &Protect::default())?;
/// let scores = vec![1.0; groups.n_units()];
/// let cuts: Vec<_> = (0..groups.groups().len())
///     .map(|group| cut_of_group(&groups, &scores, group, 0.25))
///     .collect::<Result<_, _>>()?;
/// // The image and the output stay.
/// let [None, Some(cut), None] = &cuts[..] else { panic!("three groups") };
/// assert_eq!(cut_graph(&graph, &groups, cut)?.channels()?, [3, 6, 4]);
/// # Ok(()) }
/// ```
pub fn cut_of_group(
    groups: &Groups,
    scores: &[f64],
    group: usize,
    share: f64,
) -> Result<Option<Cut>> {
    ranking::check(groups, scores)?;
    if !(share > 0.0 && share < 1.0) {
        let expected = "above 0 and below 1";
        return Err(Error::Limit {
            what: "the share of a group",
            got: share.to_string(),
            expected,
        });
    }
    let limits = Limits { most_cut: 1.0, multiple: 1, ..Limits::default() };
    Limits::check_group(groups, group)?;
    let levels: Vec<Levels> = (0..groups.groups().len())
        .map(|group| Levels::of(groups, group, scores, &limits, 1))
        .collect();
    let mut kept: Vec<usize> = levels.iter().map(Levels::n).collect();
    let n = kept[group];
    let least = levels[group].kept.last().copied().unwrap_or(n);
    if least == n {
        return Ok(None);
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of n")]
    let gone = (share * n as f64).round() as usize;
    kept[group] = (n - gone.max(1)).max(least);
    cut_of(groups, &levels, &kept).map(Some)
}
