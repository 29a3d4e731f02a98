//! Attention, forward and backward: one head of keys and values of one picture at a time, in cache.
//!
//! Above: `cpu::device`. Below: `cpu::{views, curves}`, `simd`. Not here: the twin (`reference::attention`).
//! Keys and values are copied once, as rows and transposed, so that scores, weights and all gradients are sums of whole vectors. The
//! weights of a query are recomputed in the backward pass: nothing of the size of queries times keys is stored.

use super::curves;
use super::team::{SendMutPtr, SendPtr};
use super::views::SourceView;
use crate::simd::{Kernel, Simd};
use crate::{AlignedBuf, AttentionShape};

/// Forward, for some of the `n · kv_heads` pairs of picture and head of keys.
pub(super) struct Attend<'a> {
    pub(super) shape: AttentionShape,
    pub(super) qkv: [SourceView; 3],
    pub(super) y: SendMutPtr<f32>,
    pub(super) tasks: std::ops::Range<usize>,
    pub(super) scratch: &'a mut AlignedBuf<f32>,
}

/// Backward; gradients of queries, keys and values, all overwritten.
pub(super) struct Differentiate<'a> {
    pub(super) shape: AttentionShape,
    pub(super) qkv: [SourceView; 3],
    pub(super) gradient: SendPtr<f32>,
    pub(super) d: [SendMutPtr<f32>; 3],
    pub(super) tasks: std::ops::Range<usize>,
    pub(super) scratch: &'a mut AlignedBuf<f32>,
}

/// Copies of one head, and room for one query. All rows are whole vectors, zeros behind.
struct Room {
    /// `(keys, key_dim)`, and transposed.
    k: [*mut f32; 2],
    /// `(keys, value_dim)`, and transposed.
    v: [*mut f32; 2],
    dk: *mut f32,
    dv: *mut f32,
    q: *mut f32,
    dy: *mut f32,
    p: *mut f32,
    dp: *mut f32,
    keys: usize,
    key_dim: usize,
    value_dim: usize,
}

impl Room {
    fn sizes(s: &AttentionShape, lanes: usize) -> [usize; 3] {
        [s.keys, s.key_dim, s.value_dim].map(|len| len.next_multiple_of(lanes))
    }

    fn new(s: &AttentionShape, lanes: usize, scratch: &mut AlignedBuf<f32>) -> Self {
        let [keys, key_dim, value_dim] = Self::sizes(s, lanes);
        let lens = [
            s.keys * key_dim,
            s.key_dim * keys,
            s.keys * value_dim,
            s.value_dim * keys,
            s.keys * key_dim,
            s.keys * value_dim,
            key_dim,
            value_dim,
            keys,
            keys,
        ];
        scratch.reserve(lens.iter().sum());
        scratch.fill(0.0);
        let mut next = scratch.as_mut_ptr();
        let [k, kt, v, vt, dk, dv, q, dy, p, dp] = lens.map(|len| {
            let here = next;
            next = next.wrapping_add(len);
            here
        });
        Self { k: [k, kt], v: [v, vt], dk, dv, q, dy, p, dp, keys, key_dim, value_dim }
    }
}

/// Copies `len` values of `source` from flat index `at`, channel `channel`, to `to`.
#[inline(always)]
unsafe fn copy<S: Simd>(source: &SourceView, at: usize, channel: usize, len: usize, to: *mut f32) {
    for i in (0..len).step_by(S::LANES) {
        let lanes = S::LANES.min(len - i);
        // SAFETY: the values exist; `to` has room for whole vectors.
        unsafe {
            let k = source.channel::<S>(channel + i, lanes);
            S::store_some(to.add(i), source.read_straight::<S>(at + i, lanes, &k), lanes);
        }
    }
    // SAFETY: likewise.
    unsafe { source.activate_rows::<S>(to, [1, 0, len]) };
}

/// `to[i] = Σ_r factors[r] · rows[r, i]` for `len` whole vectors, rows `stride` apart.
#[inline(always)]
unsafe fn combine<S: Simd>(
    factors: *const f32,
    count: usize,
    rows: *const f32,
    stride: usize,
    to: *mut f32,
) {
    for i in (0..stride).step_by(S::LANES) {
        // SAFETY: `count` rows of `stride` values; `to` has as many.
        unsafe {
            let mut sum = S::zero();
            for r in 0..count {
                sum = S::fma(S::splat(*factors.add(r)), S::load(rows.add(r * stride + i)), sum);
            }
            S::store(to.add(i), sum);
        }
    }
}

/// `to[r, i] += factors[r] · row[i]`.
#[inline(always)]
unsafe fn spread<S: Simd>(
    factors: *const f32,
    count: usize,
    row: *const f32,
    stride: usize,
    to: *mut f32,
) {
    for r in 0..count {
        // SAFETY: `count` rows of `stride` values; `row` has as many.
        unsafe {
            let factor = S::splat(*factors.add(r));
            for i in (0..stride).step_by(S::LANES) {
                let to = to.add(r * stride + i);
                S::store(to, S::fma(factor, S::load(row.add(i)), S::load(to)));
            }
        }
    }
}

/// Where a head lies: the first channel of a position, and the flat index of it at position 0.
fn place(image: usize, positions: usize, channels: usize, head: usize, dim: usize) -> [usize; 2] {
    [image * positions * channels + head * dim, head * dim]
}

impl Room {
    /// Copies one head of keys and values, as rows and transposed.
    #[inline(always)]
    unsafe fn load<S: Simd>(&self, s: &AttentionShape, qkv: &[SourceView; 3], task: usize) {
        let (image, head) = (task / s.kv_heads, task % s.kv_heads);
        let channels = s.channels();
        let heads = [(&qkv[1], channels[1], s.key_dim, self.key_dim, self.k), {
            (&qkv[2], channels[2], s.value_dim, self.value_dim, self.v)
        }];
        for (source, channels, dim, stride, [rows, columns]) in heads {
            let [first, channel] = place(image, s.keys, channels, head, dim);
            for j in 0..s.keys {
                // SAFETY: the head exists; rows and columns lie in the room.
                unsafe {
                    let row = rows.add(j * stride);
                    copy::<S>(source, first + j * channels, channel, dim, row);
                    for d in 0..dim {
                        *columns.add(d * self.keys + j) = *row.add(d);
                    }
                }
            }
        }
    }

    /// The softmax over keys of query `i` of `head` into `p`.
    #[inline(always)]
    unsafe fn weigh<S: Simd>(&self, s: &AttentionShape, q: &SourceView, at: [usize; 2]) {
        // SAFETY: the query exists; everything else lies in the room.
        unsafe {
            copy::<S>(q, at[0], at[1], s.key_dim, self.q);
            combine::<S>(self.q, s.key_dim, self.k[1], self.keys, self.p);
            let mut largest = f32::NEG_INFINITY;
            for j in 0..s.keys {
                largest = largest.max(*self.p.add(j) * s.scale as f32);
            }
            let (scale, shift) = (S::splat(s.scale as f32), S::splat(-largest));
            for j in (0..self.keys).step_by(S::LANES) {
                let z = S::fma(S::load(self.p.add(j)), scale, shift);
                S::store(self.p.add(j), curves::exp::<S>(z));
            }
            let mut sum = 0.0;
            for j in 0..s.keys {
                sum += *self.p.add(j);
            }
            for j in 0..self.keys {
                *self.p.add(j) = if j < s.keys { *self.p.add(j) / sum } else { 0.0 };
            }
        }
    }
}

/// Calls `each(head)` for the query heads that read a task's keys.
fn heads_of(s: &AttentionShape, task: usize) -> std::ops::Range<usize> {
    let (shared, kv_head) = (s.heads / s.kv_heads, task % s.kv_heads);
    kv_head * shared..(kv_head + 1) * shared
}

impl Kernel for Attend<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let s = self.shape;
        let room = Room::new(&s, S::LANES, self.scratch);
        let [q_channels, _, _, channels] = s.channels();
        for task in self.tasks {
            let image = task / s.kv_heads;
            // SAFETY: heads and positions exist; parts write heads of their own.
            unsafe {
                room.load::<S>(&s, &self.qkv, task);
                for head in heads_of(&s, task) {
                    let [q, channel] = place(image, s.queries, q_channels, head, s.key_dim);
                    let [y, _] = place(image, s.queries, channels, head, s.value_dim);
                    for i in 0..s.queries {
                        room.weigh::<S>(&s, &self.qkv[0], [q + i * q_channels, channel]);
                        combine::<S>(room.p, s.keys, room.v[0], room.value_dim, room.dy);
                        let to = self.y.get().add(y + i * channels);
                        to.copy_from_nonoverlapping(room.dy, s.value_dim);
                    }
                }
            }
        }
    }
}

impl Kernel for Differentiate<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(mut self) {
        for task in self.tasks.clone() {
            // SAFETY: the task exists; parts write heads of their own.
            unsafe { self.one::<S>(task) };
        }
    }
}

impl Differentiate<'_> {
    #[inline(always)]
    unsafe fn one<S: Simd>(&mut self, task: usize) {
        let s = self.shape;
        let room = Room::new(&s, S::LANES, self.scratch);
        let [q_channels, k_channels, v_channels, channels] = s.channels();
        let image = task / s.kv_heads;
        // SAFETY: heads and positions exist; this part alone writes this head's gradients.
        unsafe {
            room.load::<S>(&s, &self.qkv, task);
            for head in heads_of(&s, task) {
                let [q, channel] = place(image, s.queries, q_channels, head, s.key_dim);
                let [dy, _] = place(image, s.queries, channels, head, s.value_dim);
                for i in 0..s.queries {
                    room.weigh::<S>(&s, &self.qkv[0], [q + i * q_channels, channel]);
                    let from = self.gradient.get().add(dy + i * channels);
                    room.dy.copy_from_nonoverlapping(from, s.value_dim);
                    spread::<S>(room.p, s.keys, room.dy, room.value_dim, room.dv);
                    combine::<S>(room.dy, s.value_dim, room.v[1], room.keys, room.dp);
                    let mut mean = 0.0;
                    for j in 0..s.keys {
                        mean += *room.p.add(j) * *room.dp.add(j);
                    }
                    for j in 0..s.keys {
                        let ds = *room.p.add(j) * (*room.dp.add(j) - mean);
                        *room.dp.add(j) = ds * s.scale as f32;
                    }
                    spread::<S>(room.dp, s.keys, room.q, room.key_dim, room.dk);
                    // The query is done with: its room takes its gradient.
                    combine::<S>(room.dp, s.keys, room.k[0], room.key_dim, room.q);
                    let to = self.d[0].get().add(q + i * q_channels);
                    to.copy_from_nonoverlapping(room.q, s.key_dim);
                }
            }
            let head = task % s.kv_heads;
            let out = [(room.dk, self.d[1], k_channels, s.key_dim, room.key_dim), {
                (room.dv, self.d[2], v_channels, s.value_dim, room.value_dim)
            }];
            for (from, to, channels, dim, stride) in out {
                let [first, _] = place(image, s.keys, channels, head, dim);
                for j in 0..s.keys {
                    let to = to.get().add(first + j * channels);
                    to.copy_from_nonoverlapping(from.add(j * stride), dim);
                }
            }
        }
    }
}
