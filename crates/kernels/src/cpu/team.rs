//! Work for all cores: static parts, so that every sum has the same order on every run.
//!
//! Above: every kernel of `cpu`. Below: rayon. Not here: scheduling by stealing, which would make sums depend on luck.

/// A team of threads: the caller and `threads - 1` helpers.
pub(crate) struct Team {
    helpers: Option<rayon::ThreadPool>,
    threads: usize,
}

impl Team {
    /// A team of `threads`, or of as many as the machine allows when it is 0. If helpers cannot be started, the caller works alone
    /// in as many parts, so that results stay the same.
    pub(crate) fn new(threads: usize) -> Self {
        let all = || std::thread::available_parallelism().map_or(1, usize::from);
        let threads = if threads == 0 { all() } else { threads };
        let helpers = (threads > 1).then(|| {
            let name = |i| format!("taper-{i}");
            rayon::ThreadPoolBuilder::new().num_threads(threads - 1).thread_name(name).build()
        });
        Self { helpers: helpers.and_then(Result::ok), threads }
    }

    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// Calls `work(part)` for every part, the first on the calling thread.
    pub(crate) fn run(&self, parts: usize, work: impl Fn(usize) + Sync) {
        match &self.helpers {
            Some(helpers) if parts > 1 => helpers.in_place_scope(|scope| {
                for part in 1..parts {
                    let work = &work;
                    scope.spawn(move |_| work(part));
                }
                work(0);
            }),
            _ => (0..parts).for_each(work),
        }
    }
}

/// The `part`-th of `parts` nearly equal ranges of `0..len`, each but the last a multiple of `unit`.
pub(crate) fn part_of(
    len: usize,
    unit: usize,
    part: usize,
    parts: usize,
) -> std::ops::Range<usize> {
    let units = len.div_ceil(unit);
    let at = |p: usize| (units * p / parts * unit).min(len);
    at(part)..at(part + 1)
}

/// A pointer that parts may write through, each to places of its own.
#[derive(Clone, Copy)]
pub(crate) struct Shared<T>(pub(crate) *mut T);

// SAFETY: a bare address; whoever writes through it argues that parts do not overlap.
unsafe impl<T> Send for Shared<T> {}
// SAFETY: likewise.
unsafe impl<T> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// The address; a method, so that closures capture the wrapper and not its field.
    #[inline(always)]
    pub(crate) fn get(&self) -> *mut T {
        self.0
    }
}

/// A pointer that parts may read through.
#[derive(Clone, Copy)]
pub(crate) struct Fixed<T>(pub(crate) *const T);

// SAFETY: a bare address, only read while the slice it came from is borrowed.
unsafe impl<T> Send for Fixed<T> {}
// SAFETY: likewise.
unsafe impl<T> Sync for Fixed<T> {}

impl<T> Fixed<T> {
    pub(crate) const NULL: Self = Self(std::ptr::null());
    #[inline(always)]
    pub(crate) fn get(&self) -> *const T {
        self.0
    }
    #[inline(always)]
    pub(crate) fn is_null(&self) -> bool {
        self.0.is_null()
    }
    /// The slice's address, or null.
    pub(crate) fn maybe(slice: Option<&[T]>) -> Self {
        slice.map_or(Self::NULL, |s| Self(s.as_ptr()))
    }
}

#[cfg(test)]
mod tests {
    use super::{Team, part_of};
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn parts_cover_everything_once() {
        for (len, unit, parts) in [(100, 48, 2), (5, 48, 3), (96, 6, 4), (0, 1, 2)] {
            let joined: Vec<usize> =
                (0..parts).flat_map(|p| part_of(len, unit, p, parts)).collect();
            assert_eq!(joined, (0..len).collect::<Vec<_>>());
        }
    }

    #[test]
    fn every_part_runs_once() {
        let counts: Vec<AtomicUsize> = (0..7).map(|_| AtomicUsize::new(0)).collect();
        Team::new(3).run(7, |part| {
            counts[part].fetch_add(1, Ordering::Relaxed);
        });
        assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1));
    }
}
