//! A limit on a run's time.
//!
//! Above: `tune`. Below: threads. Not here: what a run does when time is up (`taper_train::Fit`).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Works, while somebody watches the clock and sets `time_up` when so many minutes have passed since `started`.
pub(super) fn within<T>(
    minutes: f64,
    started: Instant,
    time_up: &AtomicBool,
    work: impl FnOnce() -> T,
) -> T {
    let limit = Duration::try_from_secs_f64(60.0 * minutes).unwrap_or(Duration::MAX);
    let left = limit.saturating_sub(started.elapsed());
    thread::scope(|scope| {
        let (working, ended) = channel::<()>();
        scope.spawn(move || {
            if ended.recv_timeout(left) == Err(RecvTimeoutError::Timeout) {
                time_up.store(true, Ordering::Relaxed);
            }
        });
        let done = work();
        drop(working);
        done
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_ends_in_time_is_not_told_and_other_work_is() {
        let time_up = AtomicBool::new(false);
        assert_eq!(within(60.0, Instant::now(), &time_up, || 7), 7);
        assert!(!time_up.load(Ordering::Relaxed));
        within(0.0, Instant::now(), &time_up, || {
            while !time_up.load(Ordering::Relaxed) {
                thread::yield_now();
            }
        });
    }
}
