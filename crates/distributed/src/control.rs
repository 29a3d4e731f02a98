//! What a rank's own threads tell each other: that the job failed, that it shall end, that it is over.
//!
//! Above: `group`, engines. Below: locks of std. Not here: what ranks tell each other (engines).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use crate::Error;

/// The line between a [`Group`](crate::Group) and the thread that owns its communicator.
///
/// An engine asks it, while it waits, whether this rank wants to end the job, and tells it when the job has failed. What has failed
/// stays so: the first error is the one that every later call returns.
#[derive(Debug, Clone, Default)]
pub struct Control {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    failure: OnceLock<Error>,
    abort: Mutex<Option<String>>,
    wants_abort: AtomicBool,
    closing: AtomicBool,
    told: AtomicBool,
    over: Mutex<bool>,
    changed: Condvar,
}

impl Control {
    /// Says that the job has failed; the first error stays.
    pub fn fail(&self, error: Error) {
        // A later error is a consequence of the first one.
        drop(self.inner.failure.set(error));
        let _over = lock(&self.inner.over); // who waits has looked before, or hears it
        self.inner.changed.notify_all();
    }

    /// Why the job has failed, if it has.
    #[must_use]
    pub fn failure(&self) -> Option<Error> {
        self.inner.failure.get().cloned()
    }

    /// The message with which this rank wants to end the job; given out once.
    #[must_use]
    pub fn take_abort(&self) -> Option<String> {
        if !self.inner.wants_abort.load(Ordering::Acquire) {
            return None;
        }
        lock(&self.inner.abort).take()
    }

    /// Whether this rank has let go of its group.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.inner.closing.load(Ordering::Acquire)
    }

    /// Says that the communicator will not be used any more.
    pub fn set_over(&self) {
        *lock(&self.inner.over) = true;
        self.inner.changed.notify_all();
    }

    /// Says that the [`Error::spokesman`] has told its user why the job has failed.
    pub fn set_told(&self) {
        self.inner.told.store(true, Ordering::Release);
    }

    pub(crate) fn is_told(&self) -> bool {
        self.inner.told.load(Ordering::Acquire)
    }

    pub(crate) fn want_abort(&self, message: String) {
        *lock(&self.inner.abort) = Some(message);
        self.inner.wants_abort.store(true, Ordering::Release);
    }

    pub(crate) fn set_closing(&self) {
        self.inner.closing.store(true, Ordering::Release);
    }

    /// Waits until the job has failed or is over, at most `limit`.
    pub(crate) fn wait_failure(&self, limit: Duration) {
        let goes_on = |over: &mut bool| !*over && self.inner.failure.get().is_none();
        let over = lock(&self.inner.over);
        drop(self.inner.changed.wait_timeout_while(over, limit, goes_on));
    }

    /// Waits until [`Self::set_over`], at most `limit`.
    pub(crate) fn wait_over(&self, limit: Duration) -> bool {
        let over = lock(&self.inner.over);
        let waited = self.inner.changed.wait_timeout_while(over, limit, |over| !*over);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// A lock whose holder panicked still guards a value that is whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
