//! What a call needs for itself: a session, a resampler, memory for pixels. Made when needed, kept for the next call.
//!
//! Above: `classifier`. Below: `engine::Session`, `data::transform::Resampler`. Not here: what a call computes (`classifier`).
//! A call that comes while no other runs has all cores; calls at the same time have one core each. Who has which changes no result.

use std::sync::{Mutex, MutexGuard, PoisonError};

use taper_data::transform::Resampler;
use taper_engine::Session;

/// A session with what belongs to it.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) session: Session,
    pub(crate) resampler: Resampler,
    /// The network's input, `(n, h, w, c)`.
    pub(crate) xs: Vec<f32>,
}

impl Worker {
    fn new(session: Session) -> Self {
        Self { session, resampler: Resampler::default(), xs: Vec::new() }
    }
}

/// The workers that are not at work.
#[derive(Debug)]
pub(crate) struct Pool(Mutex<Idle>);

#[derive(Debug)]
struct Idle {
    /// Has all threads.
    wide: Option<Worker>,
    /// Have one thread each.
    narrow: Vec<Worker>,
    /// What more of them are made from.
    template: Session,
    /// Of a wide one.
    threads: usize,
    at_work: usize,
}

impl Pool {
    /// `session` has the threads that a single call may use.
    pub(crate) fn new(session: Session) -> Self {
        let (template, threads) = (session.fork_with(1), session.threads());
        let wide = Some(Worker::new(session));
        Self(Mutex::new(Idle { wide, narrow: Vec::new(), template, threads, at_work: 0 }))
    }

    /// Runs `work` with a worker that nobody else has. If it panics, its worker is not used again.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut Worker) -> R) -> R {
        let (mut worker, is_wide) = self.lock().take();
        let leaving = AtWork(self);
        let result = work(&mut worker);
        let mut idle = self.lock();
        if is_wide {
            idle.wide = Some(worker);
        } else {
            idle.narrow.push(worker);
        }
        drop(idle); // before `leaving`, which locks
        drop(leaving);
        result
    }

    fn lock(&self) -> MutexGuard<'_, Idle> {
        // What is behind the lock is whole between any two statements.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Idle {
    /// A worker, and whether it is the wide one.
    fn take(&mut self) -> (Worker, bool) {
        self.at_work += 1;
        if self.at_work == 1 {
            let made = || Worker::new(self.template.fork_with(self.threads));
            return (self.wide.take().unwrap_or_else(made), true);
        }
        let made = || Worker::new(self.template.fork_with(1));
        (self.narrow.pop().unwrap_or_else(made), false)
    }
}

/// Counts a call out when it ends, however it ends.
struct AtWork<'p>(&'p Pool);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.lock().at_work -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use taper_engine::{Session, SessionOptions};

    use super::Pool;
    use crate::tests::model;

    fn pool() -> Pool {
        let options = SessionOptions { threads: 2, ..SessionOptions::default() };
        Pool::new(Session::new(&model(), &options).unwrap())
    }

    #[test]
    fn a_call_alone_has_all_threads_and_calls_at_once_have_one_each() {
        let pool = pool();
        let threads = pool.with(|first| {
            let inner = pool.with(|second| {
                [second.session.threads(), pool.with(|third| third.session.threads())]
            });
            [first.session.threads(), inner[0], inner[1]]
        });
        assert_eq!(threads, [2, 1, 1]);
        assert_eq!(pool.with(|alone| alone.session.threads()), 2);
        let idle = pool.lock();
        assert_eq!((idle.narrow.len(), idle.wide.is_some(), idle.at_work), (2, true, 0));
    }

    #[test]
    fn a_panic_costs_one_worker() {
        let pool = pool();
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            pool.with(|_| std::panic::panic_any("a transform of one's own"));
        }));
        assert!(panicked.is_err());
        assert!(pool.lock().wide.is_none());
        assert_eq!(pool.with(|alone| alone.session.threads()), 2);
        assert_eq!(pool.lock().at_work, 0);
    }
}
