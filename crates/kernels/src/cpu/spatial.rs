//! Weighted sums of positions, and channels moved about: a vector of channels at a time.
//!
//! Above: `cpu::device`. Below: `cpu::views`, `simd`. Not here: which positions and channels (`spatial_map`, `channel_map`).
//! Twins: `reference::around`.

use super::team::SendMutPtr;
use super::views::SourceView;
use crate::simd::{Kernel, Simd};
use crate::{ChannelMap, SpatialMap};

/// Output rows of a map; a row has all its columns and channels.
pub(super) struct ResampleRows<'a> {
    pub(super) map: &'a SpatialMap,
    pub(super) xs: SourceView,
    pub(super) y: SendMutPtr<f32>,
    pub(super) rows: std::ops::Range<usize>,
}

impl Kernel for ResampleRows<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { map, xs, y, rows } = self;
        let ([h, w], [oh, ow], channels) = (map.size, map.out(), map.c);
        for row in rows {
            let (image, i) = (row / oh, row % oh);
            for j in 0..ow {
                let to = (row * ow + j) * channels;
                for c in (0..channels).step_by(S::LANES) {
                    let lanes = S::LANES.min(channels - c);
                    // SAFETY: taps lie in the map; parts write rows of their own.
                    unsafe {
                        let k = xs.channel::<S>(c, lanes);
                        let mut sum = S::zero();
                        for &(u, a) in map.axes[0].taps(i) {
                            for &(v, b) in map.axes[1].taps(j) {
                                let at = ((image * h + u) * w + v) * channels + c;
                                let factor = S::splat((a * b) as f32);
                                sum = S::fma(xs.read_straight::<S>(at, lanes, &k), factor, sum);
                            }
                        }
                        S::store_some(y.get().add(to + c), sum, lanes);
                    }
                }
            }
        }
    }
}

/// Positions of a channel map.
pub(super) struct MoveRows<'a> {
    pub(super) map: &'a ChannelMap,
    pub(super) xs: SourceView,
    pub(super) y: SendMutPtr<f32>,
    pub(super) rows: std::ops::Range<usize>,
}

impl Kernel for MoveRows<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { map, xs, y, rows } = self;
        for m in &map.moves {
            for i in (0..m.count).step_by(S::LANES) {
                let lanes = S::LANES.min(m.count - i);
                // SAFETY: moves lie in both tensors; parts write rows of their own.
                unsafe {
                    let k = xs.channel::<S>(m.from + i, lanes);
                    let step = xs.strip(rows.len());
                    for first in rows.clone().step_by(step) {
                        let strip = first..(first + step).min(rows.end);
                        let to = y.get().add(first * map.out_channels + m.to + i);
                        for (j, row) in strip.clone().enumerate() {
                            let at = row * map.in_channels + m.from + i;
                            let x = xs.read_straight::<S>(at, lanes, &k);
                            S::store_some(to.add(j * map.out_channels), x, lanes);
                        }
                        xs.activate_rows::<S>(to, [strip.len(), map.out_channels, lanes]);
                    }
                }
            }
        }
    }
}
