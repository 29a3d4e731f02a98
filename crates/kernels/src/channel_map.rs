//! Channels moved as they are: concatenation, slices, shuffles.
//!
//! Above: `device`, `engine`, `ops`. Below: nothing. Not here: anything that adds channels up (`shape`).

use crate::sizes::listed;

/// `count` channels from `from` on become those from `to` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) count: usize,
}

/// Which channels of an output are which channels of an input. Each output channel is written at most once; others stay as they are.
///
/// ```
/// use taper_kernels::{ChannelMap, Cpu, Device, Source};
/// let mut y = [0.0; 4];
/// let shuffle = ChannelMap::shuffle(4, 2).unwrap();
/// Cpu::new(1).move_channels(1, &shuffle, Source::plain(&[0.0, 1.0, 2.0, 3.0]), &mut y);
/// assert_eq!(y, [0.0, 2.0, 1.0, 3.0]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelMap {
    pub(crate) in_channels: usize,
    pub(crate) out_channels: usize,
    pub(crate) moves: Vec<Move>,
}

impl ChannelMap {
    /// `count` channels from `from` on of `in_channels` become those from `to` on of `out_channels`; `None` if they do not fit, or a
    /// count is zero.
    #[must_use]
    pub fn part(
        in_channels: usize,
        from: usize,
        count: usize,
        out_channels: usize,
        to: usize,
    ) -> Option<Self> {
        let fits =
            |start: usize, all: usize| start.checked_add(count).is_some_and(|end| end <= all);
        let fits = count > 0 && fits(from, in_channels) && fits(to, out_channels);
        fits.then(|| Self { in_channels, out_channels, moves: vec![Move { from, to, count }] })
    }

    /// Output channel `i · groups + g` is input channel `g · channels / groups + i`; `None` if the groups do not divide the channels, or
    /// there are too many to list.
    #[must_use]
    pub fn shuffle(channels: usize, groups: usize) -> Option<Self> {
        if channels == 0 || groups == 0 || !channels.is_multiple_of(groups) {
            return None;
        }
        let per_group = channels / groups;
        let origin = |to: usize| to % groups * per_group + to / groups;
        let moves = listed(channels, |to| Some(Move { from: origin(to), to, count: 1 }))?;
        Some(Self { in_channels: channels, out_channels: channels, moves })
    }

    /// The moves back, for gradients.
    #[must_use]
    pub fn reversed(&self) -> Self {
        let back = |m: &Move| Move { from: m.to, to: m.from, count: m.count };
        let moves = self.moves.iter().map(back).collect();
        Self { in_channels: self.out_channels, out_channels: self.in_channels, moves }
    }
}
