//! A few threads over a list, results in the list's order.
//!
//! Above: `dataset` (decoding all pictures once), `loader` (one batch). Below: `std::thread`. Not here: rayon's pool,
//! which belongs to training: a blocked or busy loader must not take its threads.

use std::sync::Mutex;
use std::thread;

use crate::error::{Error, Result};

/// The most threads that can be asked for; no machine has use for more.
pub const MAX_THREADS: usize = 1024;

/// Refuses a number of threads that no machine has.
pub(crate) fn check_threads(asked: usize) -> Result<()> {
    if asked > MAX_THREADS {
        let got = asked.to_string();
        return Err(Error::Setting { setting: "threads", got, expected: "from 0 to 1024" });
    }
    Ok(())
}

/// The number of threads to use: `asked`, or all cores if it is 0.
pub(crate) fn resolve_threads(asked: usize) -> usize {
    match asked {
        0 => thread::available_parallelism().map_or(1, usize::from),
        n => n,
    }
}

/// Runs `work(state, item)` for every item on `threads` threads; each thread makes its own `state`, items are handed
/// out in order.
pub(crate) fn for_each<I, S>(
    threads: usize,
    items: I,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, I::Item) + Sync,
) where
    I: Iterator + Send,
{
    let items = Mutex::new(items);
    let run = || {
        let mut state = state();
        loop {
            let item = match items.lock() {
                Ok(mut items) => items.next(),
                Err(_poisoned) => None, // another thread panicked in `next`; the scope passes the panic on
            };
            let Some(item) = item else { break };
            work(&mut state, item);
        }
    };
    if threads <= 1 {
        return run();
    }
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(run);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::for_each;

    #[test]
    fn every_item_is_worked_on_once() {
        for threads in [1, 2, 5] {
            let mut squares = vec![0; 100];
            for_each(threads, squares.iter_mut().enumerate(), || (), |(), (i, out)| *out += i * i);
            assert!(squares.iter().enumerate().all(|(i, &s)| s == i * i));
        }
    }
}
