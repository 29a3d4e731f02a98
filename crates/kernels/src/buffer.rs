//! Memory whose first element lies on a cache line.
//!
//! Above: `cpu`, `engine`'s arenas. Below: nothing. Not here: who uses which part of it (`graph::plan`, `engine`).

use std::ops::{Deref, DerefMut};

/// Elements of a cache line, the unit in which memory is taken.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Line([u8; 64]);

/// A zeroed buffer of `len` scalars, aligned to 64 bytes.
///
/// ```
/// let mut buffer = taper_kernels::AlignedBuf::<f32>::zeroed(100);
/// buffer[3] = 1.0;
/// assert_eq!(buffer.len(), 100);
/// assert_eq!(buffer.as_ptr().addr() % 64, 0);
/// ```
pub struct AlignedBuf<T> {
    lines: Vec<Line>,
    len: usize,
    marker: std::marker::PhantomData<T>,
}

impl<T: crate::Real> AlignedBuf<T> {
    /// A buffer of `len` zeros.
    #[must_use]
    pub fn zeroed(len: usize) -> Self {
        let lines = len.saturating_mul(size_of::<T>()).div_ceil(64);
        Self { lines: zeroed_lines(lines), len, marker: std::marker::PhantomData }
    }

    /// Makes the buffer at least `len` long. What it held is lost if it has to grow.
    pub fn reserve(&mut self, len: usize) {
        if self.len < len {
            *self = Self::zeroed(0);
            *self = Self::zeroed(len);
        }
    }
}

/// Zeroed memory straight from the allocator, so that untouched pages cost nothing.
fn zeroed_lines(lines: usize) -> Vec<Line> {
    let mut memory = Vec::new();
    if lines == 0 {
        return memory;
    }
    let Ok(layout) = std::alloc::Layout::array::<Line>(lines) else {
        // Larger than the address space: let `Vec` report it as it reports any allocation.
        memory.reserve_exact(lines);
        return memory;
    };
    // SAFETY: the layout is that of `[Line; lines]`, not empty; the pointer is checked, and handed to `Vec` with the
    // capacity and length it was allocated with, every byte zero, which is a valid `Line`.
    unsafe {
        let pointer = std::alloc::alloc_zeroed(layout);
        if pointer.is_null() {
            std::alloc::handle_alloc_error(layout);
        }
        Vec::from_raw_parts(pointer.cast::<Line>(), lines, lines)
    }
}

impl<T: crate::Real> Default for AlignedBuf<T> {
    fn default() -> Self {
        Self::zeroed(0)
    }
}

impl<T: crate::Real> Deref for AlignedBuf<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: `lines` holds at least `len` scalars, aligned to 64 bytes, initialized to zero bytes or by safe writes.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl<T: crate::Real> DerefMut for AlignedBuf<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and the borrow is unique.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

impl<T: crate::Real> std::fmt::Debug for AlignedBuf<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AlignedBuf({} scalars)", self.len)
    }
}
