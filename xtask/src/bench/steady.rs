//! Turns in which the machine is as fast as at its best.
//!
//! Above: `cost`. Below: `taper_engine::Pace`. Not here: what is measured.
//! A machine that shares a computer with others changes its pace within seconds, and a network whose turn comes then is measured, not
//! the network.

use std::time::Duration;

use anyhow::Result;
use taper_engine::Pace;

/// How often something is measured until the machine was as usual before and behind it.
const TRIES: usize = 3;

/// Seconds between two looks, and seconds of waiting that a round has.
const BETWEEN: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_mins(1);

/// Measures when the machine is as fast as at its best.
pub(super) struct Steady {
    pace: Pace,
    patience: Duration,
}

/// What was measured, and how long the machine's [`Pace`] took beside it: the longer of before and behind, in seconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn<T> {
    pub(super) measured: T,
    slowness: f64,
}

impl Steady {
    pub(super) fn new(threads: usize) -> Result<Self> {
        Ok(Self { pace: Pace::new(threads)?, patience: PATIENCE })
    }

    /// Begins a round: there is patience again.
    pub(super) fn begin(&mut self) -> Result<()> {
        self.patience = PATIENCE;
        self.wait().map(|_| ())
    }

    /// What `once` measures.
    pub(super) fn measure<T>(&mut self, mut once: impl FnMut() -> Result<T>) -> Result<Turn<T>> {
        let mut tries = 0;
        loop {
            let before = self.wait()?;
            let measured = once()?;
            let turn = Turn { measured, slowness: before.max(self.pace.now()?) };
            tries += 1;
            if self.is_usual(&turn) || tries == TRIES {
                return Ok(turn);
            }
        }
    }

    /// Whether the machine was nearly as fast then as it ever was, so far.
    pub(super) fn is_usual<T>(&self, turn: &Turn<T>) -> bool {
        self.pace.is_usual(turn.slowness)
    }

    /// Waits for the machine, as long as patience lasts, and says its pace.
    fn wait(&mut self) -> Result<f64> {
        loop {
            let now = self.pace.now()?;
            if self.pace.is_usual(now) || self.patience.is_zero() {
                return Ok(now);
            }
            std::thread::sleep(BETWEEN);
            self.patience = self.patience.saturating_sub(BETWEEN);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_again_and_again_comes_back_once() {
        let mut steady = Steady::new(1).unwrap();
        steady.patience = Duration::ZERO; // a test does not wait
        let mut count = 0;
        let once = || {
            count += 1;
            Ok(count)
        };
        let turn = steady.measure(once).unwrap();
        assert!(turn.measured == count && (1..=TRIES).contains(&count));
        assert!(steady.is_usual(&turn) || count == TRIES);
        let slow = Turn { slowness: 3.0 * turn.slowness, ..turn };
        assert!(!steady.is_usual(&slow));
        assert!(steady.measure(|| -> Result<()> { anyhow::bail!("no") }).is_err());
    }
}
