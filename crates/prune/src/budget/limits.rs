//! What a cut must leave, whatever the target.
//!
//! Above: `budget`, `levels`. Below: `Groups`. Not here: groups that may not be cut at all (`Protect`).

use std::collections::BTreeMap;

use crate::{Error, Groups, Result};

/// Channels that a group may be left with, by the index of the group: those that were measured to be fast, say.
pub type Widths = BTreeMap<usize, Vec<usize>>;

/// Limits of every layer.
///
/// # Examples
/// ```
/// use taper_prune::Limits;
/// let limits = Limits { least_channels: 16, ..Limits::default() };
/// assert_eq!((limits.multiple, limits.most_cut), (8, 0.9));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Channels that a layer keeps at least, if it has as many. Default: 1.
    pub least_channels: usize,
    /// The largest share of its channels that a layer may lose, from 0 to 1. Default: 0.9.
    pub most_cut: f64,
    /// A layer that is cut is left with a multiple of so many channels; one with less than twice as many, with a multiple of half of it, and
    /// so on. Default: 8, a vector of `f32`.
    pub multiple: usize,
    /// Channels to choose from, in the place of multiples, for the groups that are listed.
    pub widths: Widths,
}

impl Default for Limits {
    fn default() -> Self {
        Self { least_channels: 1, most_cut: 0.9, multiple: 8, widths: Widths::new() }
    }
}

impl Limits {
    pub(super) fn check(&self, groups: &Groups) -> Result<()> {
        let wrong = |what, got: String, expected| Err(Error::Limit { what, got, expected });
        if !(self.most_cut > 0.0 && self.most_cut <= 1.0) {
            let expected = "above 0 and at most 1: the share of its channels that a layer may lose";
            return wrong("the largest cut", self.most_cut.to_string(), expected);
        }
        if self.multiple == 0 {
            return wrong("the multiple of channels", "0".to_owned(), "at least 1");
        }
        self.widths.keys().try_for_each(|group| Self::check_group(groups, *group))
    }

    pub(super) fn check_group(groups: &Groups, group: usize) -> Result<()> {
        if group < groups.groups().len() {
            return Ok(());
        }
        let expected = "the index of a group of this network";
        Err(Error::Limit { what: "a group", got: group.to_string(), expected })
    }

    /// Units that a group of `n` keeps at least, never none.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of n")]
    pub(super) fn least_units(&self, n: usize, channels: usize) -> usize {
        // A hundredth of a millionth is the noise of the product, no channel.
        let most = (n as f64 * self.most_cut + 1e-8).floor() as usize;
        let least = self.least_channels.div_ceil(channels).min(n);
        n.saturating_sub(most).max(least).max(1).min(n)
    }
}
