//! How long, how often and how much.
//!
//! Above: `hub`. Below: nothing. Not here: where (`environment`).

use std::time::Duration;

/// What a download may take. The defaults suit the public hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest time to a connection. Default: 10 s.
    pub connect: Duration,
    /// Longest silence of a server, before its answer and within it; a slow one that goes on sending is waited for.
    /// Default: 30 s.
    pub silence: Duration,
    /// Failures that are borne without a byte in between; another one for each MiB that came. Default: 5.
    pub attempts: usize,
    /// Pause after the first failure; doubled after each further one. Default: 0.5 s.
    pub pause: Duration,
    /// Longest pause, also if a server asks for a longer one with `Retry-After`: then it is given up. Default: 60 s.
    pub longest_pause: Duration,
    /// Redirects that are followed. Default: 10.
    pub redirects: usize,
    /// Connections for one file. Default: 4.
    pub connections: usize,
    /// Bytes that are asked for at once; a larger file is asked for over several connections. Default: 4 MiB.
    pub window: u64,
    /// Bytes of the largest file. Default: 2 GiB; the largest weights of the records have 0.6 GB.
    pub largest: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            silence: Duration::from_secs(30),
            attempts: 5,
            pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(60),
            redirects: 10,
            connections: 4,
            window: 4 << 20,
            largest: 2 << 30,
        }
    }
}

impl Limits {
    /// The pause after the `failures`-th failure in a row, from 1.
    pub(super) fn pause_after(&self, failures: usize) -> Duration {
        let doublings = u32::try_from(failures.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
        self.pause.saturating_mul(1 << doublings).min(self.longest_pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let limits = Limits::default();
        let ms = |failures| limits.pause_after(failures).as_millis();
        assert_eq!([1, 2, 3, 4].map(ms), [500, 1000, 2000, 4000]);
        assert_eq!([8, 100, usize::MAX].map(ms), [60_000; 3]);
    }
}
