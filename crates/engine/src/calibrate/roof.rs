//! What the machine can do at best: multiply-adds on registers, and copies of many sizes.
//!
//! Above: `calibrate`, xtask. Below: `taper_kernels::Isa`, threads of its own. Not here: what follows from it (`taper_cost::Roof`).

use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use taper_cost::Roof;
use taper_kernels::Isa;

/// Bytes that a copy reads and writes together, from what a core's cache holds to what none may hold.
const SIZES: [usize; 6] = [1 << 18, 1 << 20, 1 << 22, 1 << 24, 1 << 26, 1 << 29];

/// Rounds of multiply-adds before a clock stops: a few milliseconds too.
const ROUNDS: usize = 2_000_000;

/// How thoroughly memory is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopySizes {
    /// Sizes up to 64 MiB, a few tries: half a second.
    Few,
    /// All of them, many tries: ten seconds.
    All,
}

impl CopySizes {
    fn sizes(self) -> &'static [usize] {
        match self {
            Self::Few => &SIZES[..5],
            Self::All => &SIZES,
        }
    }

    /// The best of this many is taken: a limit is what happens without disturbance.
    fn tries(self) -> usize {
        match self {
            Self::Few => 4,
            Self::All => 15,
        }
    }

    /// Bytes that are moved before a clock stops: so many milliseconds that some tries are not interrupted.
    fn enough(self) -> usize {
        match self {
            Self::Few => 1 << 25,
            Self::All => 1 << 27,
        }
    }
}

/// Measures the limits of so many threads.
#[must_use]
pub fn measure_roof(threads: usize, sizes: CopySizes) -> Roof {
    let best =
        |measure: &dyn Fn() -> f64| (0..sizes.tries()).map(|_| measure()).fold(0.0, f64::max);
    let copies = sizes
        .sizes()
        .iter()
        .map(|&size| (size as u64, best(&|| copy(threads, size, sizes.enough()))));
    let flops_per_second = best(&|| flops(threads));
    Roof { threads, copies: copies.collect(), flops_per_second }
}

/// Bytes a second, read and written, of copies whose source and target are `size` bytes together.
fn copy(threads: usize, size: usize, enough: usize) -> f64 {
    let (words, times) = (size / threads / 2 / size_of::<u64>(), enough.div_ceil(size));
    let seconds = slowest(threads, || {
        let (from, mut to) = (vec![1_u64; words], vec![0_u64; words]);
        let mut once = || black_box(&mut to).copy_from_slice(black_box(&from));
        once();
        let start = Instant::now();
        (0..times).for_each(|_| once());
        start.elapsed()
    });
    (size * times) as f64 / seconds
}

/// Operations a second that touch no memory.
fn flops(threads: usize) -> f64 {
    let isa = Isa::best();
    let seconds = slowest(threads, || {
        let _ = isa.multiply_adds(ROUNDS / 10);
        let start = Instant::now();
        let _ = isa.multiply_adds(ROUNDS);
        start.elapsed()
    });
    2.0 * isa.multiply_adds(1) as f64 * ROUNDS as f64 * threads as f64 / seconds
}

/// Runs `work` on each of `threads`; seconds of the slowest.
fn slowest(threads: usize, work: impl Fn() -> Duration + Sync) -> f64 {
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(&work)).collect();
        // A thread that panicked took forever.
        let seconds = workers
            .into_iter()
            .map(|worker| worker.join().map_or(f64::INFINITY, |duration| duration.as_secs_f64()));
        seconds.fold(0.0, f64::max)
    })
}
