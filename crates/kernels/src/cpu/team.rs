//! Work for all cores: static parts, so that every sum has the same order on every run.
//!
//! Above: every kernel of `cpu`, `optim`. Below: `std::thread`. Not here: scheduling by stealing, which would make sums depend on luck.
//! A layer of a small network lasts 20 µs, and waking a sleeping thread costs 5 µs and more: helpers watch for the next piece of work
//! for a while before they sleep, and a hand-off is one store and one load of a cache line.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// How often a thread looks before it lets others run, and how often it does that before it sleeps.
const SPINS: usize = 4_000;
const YIELDS: usize = 16;

/// A team of threads: the caller and `threads - 1` helpers, who end with it.
///
/// # Examples
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// let sums: Vec<AtomicU64> = (0..2).map(|_| AtomicU64::new(0)).collect();
/// taper_kernels::Team::new(2).run(|part| sums[part].store((0..100).skip(50 * part).take(50).sum(), Ordering::Relaxed));
/// assert_eq!(sums.iter().map(|sum| sum.load(Ordering::Relaxed)).sum::<u64>(), 99 * 100 / 2);
/// ```
pub struct Team {
    board: Arc<Board>,
    helpers: Vec<JoinHandle<()>>,
    threads: usize,
}

/// What callers and helpers tell each other.
struct Board {
    /// Counts pieces of work; a helper that sees a new number looks for a part to do.
    round: Line<AtomicUsize>,
    /// By part: the last round in which somebody took it. Every part is taken in every round, by its own thread or, if
    /// that one is late, by whoever is done first: who does a part changes nothing in its result.
    taken: Vec<Line<AtomicUsize>>,
    /// Parts of this round that are not done.
    left: Line<AtomicUsize>,
    /// The work of this round; written by the caller when all parts of the last one are done.
    job: Mutex<Option<Job>>,
    sleeping: AtomicUsize,
    ended: AtomicBool,
    panicked: Mutex<Option<Box<dyn Any + Send>>>,
}

/// Keeps what one side writes away from what the other side watches.
#[derive(Default)]
#[repr(align(128))]
struct Line<T>(T);

/// A borrowed `Fn(part)` with its lifetime erased.
#[derive(Clone, Copy)]
struct Job {
    work: SendPtr<()>,
    call: unsafe fn(*const (), usize),
}

impl Team {
    /// A team of `threads`, or of as many as the machine allows when it is 0. Parts of helpers that cannot be started are done by the
    /// others, so that results stay the same.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        let all = || std::thread::available_parallelism().map_or(1, usize::from);
        let threads = if threads == 0 { all() } else { threads };
        let board = Arc::new(Board::new(threads));
        let start = |i| {
            let board = Arc::clone(&board);
            let builder = std::thread::Builder::new().name(format!("taper-{i}"));
            builder.spawn(move || board.help(i)).ok()
        };
        let helpers = (1..threads).map_while(start).collect();
        Self { board, helpers, threads }
    }

    /// How many they are, the caller with them: as many parts as a piece of work has.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Calls `work(part)` once for every part, of which there are as many as threads, and returns when all are done.
    ///
    /// # Panics
    /// With what the first part panicked with that did; all parts have ended then.
    pub fn run<F: Fn(usize) + Sync>(&mut self, work: F) {
        #[cfg(test)]
        if super::trace::is_on() {
            return (0..self.threads).for_each(work);
        }
        if self.helpers.is_empty() {
            return (0..self.threads).for_each(work);
        }
        unsafe fn call<F: Fn(usize)>(work: *const (), part: usize) {
            // SAFETY: `run` erased an `F` that outlives the round.
            unsafe { (*work.cast::<F>())(part) }
        }
        let job = Job { work: SendPtr((&raw const work).cast()), call: call::<F> };
        let board = &self.board;
        let round = board.start(job);
        if board.sleeping.load(Ordering::SeqCst) > 0 {
            self.helpers.iter().for_each(|helper| helper.thread().unpark());
        }
        board.work(0, round);
        // `work` is borrowed until every part is done; parts do not unwind past `Board::work`.
        board.wait_for_parts();
        let panic = board.panicked.lock().map_or(None, |mut panic| panic.take());
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }
}

impl std::fmt::Debug for Team {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Team({} threads)", self.threads)
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.board.ended.store(true, Ordering::Release);
        self.board.round.0.fetch_add(1, Ordering::SeqCst);
        for helper in self.helpers.drain(..) {
            helper.thread().unpark();
            // A helper catches its panics: there is nothing to learn from how it ended.
            let _ = helper.join();
        }
    }
}

impl Board {
    fn new(threads: usize) -> Self {
        Self {
            round: Line::default(),
            taken: (0..threads).map(|_| Line::default()).collect(),
            left: Line::default(),
            job: Mutex::default(),
            sleeping: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
            panicked: Mutex::default(),
        }
    }

    /// Publishes a piece of work, and returns its number.
    fn start(&self, job: Job) -> usize {
        if let Ok(mut place) = self.job.lock() {
            *place = Some(job);
        }
        self.left.0.store(self.taken.len(), Ordering::Release);
        self.round.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Does part `mine`, then whatever parts nobody has taken.
    fn work(&self, mine: usize, round: usize) {
        let parts = self.taken.len();
        for part in (mine..parts).chain(0..mine) {
            // A thread that comes late for an old round finds all its parts taken.
            let taken = &self.taken[part].0;
            if taken
                .compare_exchange(round - 1, round, Ordering::AcqRel, Ordering::Relaxed)
                .is_err()
            {
                continue;
            }
            if let Some(Job { work, call }) = self.job.lock().map_or(None, |job| *job) {
                // SAFETY: this part is not done, so the caller of `run` still waits and keeps the work alive.
                let work = || unsafe { call(work.get(), part) };
                if let Err(panic) = catch_unwind(AssertUnwindSafe(work))
                    && let Ok(mut first) = self.panicked.lock()
                {
                    // Not dropped: what a panic carries may panic when it is, and nothing may unwind from here.
                    std::mem::forget(first.replace(panic));
                }
            }
            self.left.0.fetch_sub(1, Ordering::Release);
        }
    }

    fn wait_for_parts(&self) {
        let mut looks = 0;
        while self.left.0.load(Ordering::Acquire) > 0 {
            looks += 1;
            if looks < SPINS { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
    }

    /// The life of helper `me`, counted from 1.
    fn help(&self, me: usize) {
        let mut seen = 0;
        loop {
            seen = self.wait(seen);
            if self.ended.load(Ordering::Acquire) {
                return;
            }
            self.work(me, seen);
        }
    }

    /// Waits until the round is another one than `seen`: watching, then letting others run, then asleep.
    fn wait(&self, seen: usize) -> usize {
        for look in 0..SPINS + YIELDS {
            let round = self.round.0.load(Ordering::Acquire);
            if round != seen {
                return round;
            }
            if look < SPINS { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
        self.sleeping.fetch_add(1, Ordering::SeqCst);
        let mut round = self.round.0.load(Ordering::SeqCst);
        while round == seen {
            std::thread::park();
            round = self.round.0.load(Ordering::SeqCst);
        }
        self.sleeping.fetch_sub(1, Ordering::SeqCst);
        round
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
pub(crate) struct SendMutPtr<T>(pub(crate) *mut T);

// SAFETY: a bare address; whoever writes through it argues that parts do not overlap.
unsafe impl<T> Send for SendMutPtr<T> {}
// SAFETY: likewise.
unsafe impl<T> Sync for SendMutPtr<T> {}

impl<T> SendMutPtr<T> {
    pub(crate) const NULL: Self = Self(std::ptr::null_mut());
    /// The address; a method, so that closures capture the wrapper and not its field.
    #[inline(always)]
    pub(crate) fn get(&self) -> *mut T {
        self.0
    }
}

/// A pointer that parts may read through.
#[derive(Clone, Copy)]
pub(crate) struct SendPtr<T>(pub(crate) *const T);

// SAFETY: a bare address, only read while the slice it came from is borrowed.
unsafe impl<T> Send for SendPtr<T> {}
// SAFETY: likewise.
unsafe impl<T> Sync for SendPtr<T> {}

impl<T> SendPtr<T> {
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
    fn every_part_runs_once_in_every_round() {
        let mut team = Team::new(3);
        for _ in 0..500 {
            let counts: Vec<AtomicUsize> = (0..3).map(|_| AtomicUsize::new(0)).collect();
            team.run(|part| {
                counts[part].fetch_add(1, Ordering::Relaxed);
            });
            assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1));
        }
    }

    #[test]
    fn helpers_that_fell_asleep_wake_up() {
        let mut team = Team::new(2);
        std::thread::sleep(std::time::Duration::from_millis(30));
        let sum = AtomicUsize::new(0);
        team.run(|part| {
            sum.fetch_add(part + 1, Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), 3);
    }

    #[test]
    fn a_panic_of_any_part_reaches_the_caller_and_leaves_the_team_whole() {
        let mut team = Team::new(2);
        for bad in 0..2 {
            let run = std::panic::AssertUnwindSafe(|| team.run(|part| assert_ne!(part, bad)));
            assert!(std::panic::catch_unwind(run).is_err());
        }
        team.run(|_| ());
    }
}
