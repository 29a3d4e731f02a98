//! Vectors of `f32` behind one trait, and which of them this machine has.
//!
//! Above: `cpu`. Below: `simd::{aarch64, x86_64, portable}`. Not here: what is computed with them.
//! A kernel is written once, generic over [`Simd`] and always inlined; [`Isa::run`] enters it with the instruction set's features
//! enabled, so that every intrinsic inlines too.

#[cfg(target_arch = "aarch64")]
mod aarch64;
mod peak;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
pub(crate) use aarch64::Neon;
pub(crate) use portable::Portable;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::{Avx2, Avx512};

/// Lanes of the longest vectors.
const MOST_LANES: usize = 16;

/// Vectors of `LANES` floats.
///
/// # Safety
/// Every method may only be called where the instruction set is available ([`Isa::run`] sees to it). Pointers must be valid for
/// the lanes read or written; `lanes` is in `1..=LANES`.
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    type V: Copy;
    const LANES: usize;
    /// Vectors in a panel of a matrix, at most: what the registers hold beside enough rows of accumulators.
    const PANEL: usize;
    /// Whether a machine that has these vectors may have a matrix unit besides (`cpu::gemm::tiles`).
    const TILES: bool = false;
    unsafe fn splat(x: f32) -> Self::V;
    unsafe fn load(p: *const f32) -> Self::V;
    unsafe fn store(p: *mut f32, v: Self::V);
    /// The first `lanes` elements, zeros behind them. Does not touch memory behind them.
    unsafe fn load_first(p: *const f32, lanes: usize) -> Self::V;
    /// Writes the first `lanes` elements alone.
    unsafe fn store_first(p: *mut f32, v: Self::V, lanes: usize);
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    /// `a·b + c`.
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `min(max(z, low), high)`; a NaN in `z` stays.
    unsafe fn clamp(z: Self::V, low: Self::V, high: Self::V) -> Self::V;
    /// `g` where `low < z < high`, else 0.
    unsafe fn gate(g: Self::V, z: Self::V, low: Self::V, high: Self::V) -> Self::V;

    /// The larger; NaN when either is.
    unsafe fn larger(a: Self::V, b: Self::V) -> Self::V;
    /// `g` where `a = b`, else 0.
    unsafe fn where_equal(g: Self::V, a: Self::V, b: Self::V) -> Self::V;
    /// Whether any lane is a NaN.
    unsafe fn has_nan(a: Self::V) -> bool;
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V;
    /// The nearest integer.
    unsafe fn round(a: Self::V) -> Self::V;
    /// `2ⁿ` for an integer `n` in `-126..=127`.
    unsafe fn power_of_two(n: Self::V) -> Self::V;

    /// Runs a task in a function of its own, with this instruction set's features enabled: kernels inline all they use, and without
    /// such borders grow to where the compiler takes minutes.
    unsafe fn call<T: Task<Self>>(task: T);

    /// Four columns of a matrix: lane `i` of vector `j` is element `j` of row `i`, rows `stride` elements apart.
    #[inline(always)]
    unsafe fn columns(p: *const f32, stride: usize) -> [Self::V; 4] {
        let mut columns = [[0.0; MOST_LANES]; 4];
        for (j, column) in columns.iter_mut().enumerate() {
            for (i, element) in column[..Self::LANES].iter_mut().enumerate() {
                // SAFETY: four elements of every row can be read.
                *element = unsafe { *p.add(i * stride + j) };
            }
        }
        // SAFETY: passed on to the caller.
        columns.map(|column| unsafe { Self::load(column.as_ptr()) })
    }

    #[inline(always)]
    unsafe fn zero() -> Self::V {
        // SAFETY: passed on to the caller.
        unsafe { Self::splat(0.0) }
    }
    /// [`Simd::load`] when all lanes are there.
    #[inline(always)]
    unsafe fn load_some(p: *const f32, lanes: usize) -> Self::V {
        // SAFETY: passed on to the caller.
        unsafe { if lanes == Self::LANES { Self::load(p) } else { Self::load_first(p, lanes) } }
    }
    /// [`Simd::store`] when all lanes are there.
    #[inline(always)]
    unsafe fn store_some(p: *mut f32, v: Self::V, lanes: usize) {
        // SAFETY: passed on to the caller.
        unsafe {
            if lanes == Self::LANES {
                Self::store(p, v);
            } else {
                Self::store_first(p, v, lanes);
            }
        }
    }
}

/// A piece of work, generic over the instruction set it runs on. `run` and all it calls are `#[inline(always)]`.
pub(crate) trait Kernel {
    /// # Safety
    /// Called by [`Isa::run`] alone; the implementor argues for its pointers.
    unsafe fn run<S: Simd>(self);
}

/// A part of a kernel, on one instruction set; see [`Simd::call`].
pub(crate) trait Task<S: Simd> {
    /// # Safety
    /// The implementor argues for its pointers.
    unsafe fn run(self);
}

/// An instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// Whatever the compiler makes of 8-lane arrays: any CPU.
    Portable,
    /// aarch64 with NEON, 8 lanes in two registers.
    Neon,
    /// x86-64 with AVX2 and FMA, 8 lanes.
    Avx2,
    /// x86-64 with AVX-512 F, 16 lanes.
    Avx512,
}

impl Isa {
    /// The instruction sets of this machine, slowest first.
    ///
    /// ```
    /// use taper_kernels::Isa;
    /// assert_eq!(Isa::here()[0], Isa::Portable);
    /// ```
    #[must_use]
    pub fn here() -> Vec<Self> {
        let mut isas = vec![Self::Portable];
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("neon") {
            isas.push(Self::Neon);
        }
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                isas.push(Self::Avx2);
                if is_x86_feature_detected!("avx512f") {
                    isas.push(Self::Avx512);
                }
            }
        }
        isas
    }

    /// The fastest instruction set of this machine.
    #[must_use]
    pub fn best() -> Self {
        Self::here().last().copied().unwrap_or(Self::Portable)
    }

    /// Lanes of a vector.
    #[must_use]
    pub fn lanes(self) -> usize {
        match self {
            #[cfg(target_arch = "aarch64")]
            Self::Neon => Neon::LANES,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => Avx512::LANES,
            _ => Portable::LANES,
        }
    }

    /// Vectors in a panel of a matrix, at most.
    pub(crate) fn panel(self) -> usize {
        match self {
            #[cfg(target_arch = "aarch64")]
            Self::Neon => Neon::PANEL,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => Avx512::PANEL,
            _ => Portable::PANEL,
        }
    }

    /// Runs a kernel with this instruction set's features enabled.
    ///
    /// # Safety
    /// The instruction set must be one of [`Isa::here`], and the kernel's own conditions hold.
    #[inline]
    pub(crate) unsafe fn run<K: Kernel>(self, kernel: K) {
        #[cfg(target_arch = "aarch64")]
        {
            #[target_feature(enable = "neon")]
            unsafe fn neon<K: Kernel>(kernel: K) {
                // SAFETY: the features are enabled here; the rest is the caller's.
                unsafe { kernel.run::<Neon>() }
            }
            if self == Self::Neon {
                // SAFETY: the caller found the instruction set on this machine.
                return unsafe { neon(kernel) };
            }
        }
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx512f,avx2,fma")]
            unsafe fn avx512<K: Kernel>(kernel: K) {
                // SAFETY: the features are enabled here; the rest is the caller's.
                unsafe { kernel.run::<Avx512>() }
            }
            #[target_feature(enable = "avx2,fma")]
            unsafe fn avx2<K: Kernel>(kernel: K) {
                // SAFETY: the features are enabled here; the rest is the caller's.
                unsafe { kernel.run::<Avx2>() }
            }
            match self {
                // SAFETY: the caller found the instruction set on this machine.
                Self::Avx512 => return unsafe { avx512(kernel) },
                // SAFETY: likewise.
                Self::Avx2 => return unsafe { avx2(kernel) },
                Self::Portable | Self::Neon => {}
            }
        }
        /// A function of its own, like those above: else it is compiled once more into everybody who calls.
        #[inline(never)]
        unsafe fn portable<K: Kernel>(kernel: K) {
            // SAFETY: plain Rust, on every machine; the rest is the caller's.
            unsafe { kernel.run::<Portable>() }
        }
        // SAFETY: the caller's promise.
        unsafe { portable(kernel) }
    }
}

/// Loops in plain Rust; `run` and all it calls are `#[inline(always)]`.
pub trait Loops {
    /// Runs them.
    fn run(self);
}

/// Runs loops compiled for the fastest instruction set of this machine. The compiler makes vectors of them and changes no result: what it has
/// on every machine are operations that round as IEEE 754 says, and it contracts none.
///
/// # Examples
/// ```
/// use taper_kernels::{Loops, vectorized};
///
/// struct Double<'a>(&'a mut [f32]);
///
/// impl Loops for Double<'_> {
///     #[inline(always)]
///     fn run(self) {
///         self.0.iter_mut().for_each(|x| *x = 2.0 * *x);
///     }
/// }
///
/// let mut xs = [1.0, 2.5];
/// vectorized(Double(&mut xs));
/// assert_eq!(xs, [2.0, 5.0]);
/// ```
pub fn vectorized(loops: impl Loops) {
    struct Plain<L>(L);

    impl<L: Loops> Kernel for Plain<L> {
        #[inline(always)]
        unsafe fn run<S: Simd>(self) {
            self.0.run();
        }
    }
    // SAFETY: the instruction set is one of this machine, and plain Rust has no conditions.
    unsafe { Isa::best().run(Plain(loops)) }
}
