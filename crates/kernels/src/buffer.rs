//! Memory whose first element lies on a cache line.
//!
//! Above: `cpu`, `engine`'s arenas. Below: nothing. Not here: who uses which part of it (`taper-plan`).

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
    ///
    /// # Panics
    /// If there is no memory for it.
    #[must_use]
    pub fn zeroed(len: usize) -> Self {
        let lines = len.saturating_mul(size_of::<T>()).div_ceil(64);
        Self { lines: zeroed_lines(lines), len, marker: std::marker::PhantomData }
    }

    /// Makes the buffer at least `len` long. What it held is lost if it has to grow.
    ///
    /// # Panics
    /// If there is no memory for it.
    pub fn reserve(&mut self, len: usize) {
        if self.len < len {
            *self = Self::zeroed(0);
            *self = Self::zeroed(len);
        }
    }
}

/// Zeroed memory straight from the allocator, so that untouched pages cost nothing. A size may be that of a window nobody has memory
/// for, so that is a panic and does not end the process.
fn zeroed_lines(lines: usize) -> Vec<Line> {
    let layout = std::alloc::Layout::array::<Line>(lines);
    assert!(layout.is_ok(), "a buffer of {lines} cache lines is larger than the address space");
    let Some(layout) = layout.ok().filter(|layout| layout.size() > 0) else { return Vec::new() };
    // SAFETY: the layout is not empty.
    let pointer = unsafe { std::alloc::alloc_zeroed(layout) };
    assert!(!pointer.is_null(), "no memory for a buffer of {} bytes", layout.size());
    // SAFETY: the layout is that of `[Line; lines]`; capacity and length are those the pointer was allocated with, and every byte is
    // zero, which is a valid `Line`.
    unsafe { Vec::from_raw_parts(pointer.cast::<Line>(), lines, lines) }
}

impl<T: crate::Real> Default for AlignedBuf<T> {
    fn default() -> Self {
        Self::zeroed(0)
    }
}

impl<T: crate::Real> Deref for AlignedBuf<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: `lines` holds at least `len` scalars, aligned to 64 bytes, initialized to zero bytes or by safe writes; `Real` is
        // sealed, and zero bytes are a number of each of its types.
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

#[cfg(test)]
mod tests {
    use super::AlignedBuf;

    /// The process goes on: what panics can be caught, what the allocator aborts cannot.
    #[test]
    fn a_buffer_nobody_has_memory_for_is_a_panic_that_says_so() {
        // Miri has no allocator that refuses.
        let refused = (!cfg!(miri)).then_some((1 << 58, "no memory"));
        for (len, words) in refused.into_iter().chain([(usize::MAX, "address space")]) {
            let panic = std::panic::catch_unwind(|| AlignedBuf::<f32>::zeroed(len)).unwrap_err();
            let message = panic.downcast_ref::<String>().unwrap();
            assert!(message.contains(words), "{len}: {message}");
        }
    }
}
