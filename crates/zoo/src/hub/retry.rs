//! Which failures are borne, how often, and the pauses in between.
//!
//! Above: `remote`, `transfer`. Below: `limits`. Not here: what failed (`client`).

use std::time::Duration;

use super::error::{Error, Result};
use super::limits::Limits;

/// What went wrong with one request.
#[derive(Debug)]
pub(super) enum Failure {
    /// It may go better next time; some servers say when.
    Again { url: String, reason: String, after: Option<Duration> },
    /// The server contradicts itself about a part of the file: only the whole, in one piece, can be right.
    Ranges,
    /// It will not.
    Fatal(Error),
}

impl Failure {
    /// The error for trouble that nothing can be done about.
    pub(super) fn into_error(self) -> Error {
        match self {
            Failure::Again { url, reason, .. } => Error::Broken { url, reason, attempts: 1 },
            Failure::Ranges => Error::Broken {
                url: "the server".to_owned(),
                reason: "it contradicts itself".to_owned(),
                attempts: 1,
            },
            Failure::Fatal(error) => error,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Fatal(error)
    }
}

/// Counts failures.
#[derive(Debug)]
pub(super) struct RetryPolicy {
    limits: Limits,
    /// All.
    failures: usize,
    /// Without a byte in between.
    in_a_row: usize,
    received: u64,
}

impl RetryPolicy {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, failures: 0, in_a_row: 0, received: 0 }
    }

    /// The pause after a failure up to which `received` bytes came.
    ///
    /// # Errors
    /// What is fatal, or once too often.
    pub(super) fn pause(
        &mut self,
        url: String,
        reason: String,
        after: Option<Duration>,
        received: u64,
    ) -> Result<Duration> {
        self.failures += 1;
        self.in_a_row = if received > self.received { 1 } else { self.in_a_row + 1 };
        self.received = self.received.max(received);
        let earned = usize::try_from(received >> 20).unwrap_or(usize::MAX);
        if self.failures >= self.limits.attempts.saturating_add(earned) {
            return Err(Error::Broken { url, reason, attempts: self.failures });
        }
        match after {
            Some(after) if after > self.limits.longest_pause => Err(Error::Busy { url, after }),
            Some(after) => Ok(after),
            None => Ok(self.limits.pause_after(self.in_a_row)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause(retry: &mut RetryPolicy, after: Option<u64>, received: u64) -> Result<u128> {
        let after = after.map(Duration::from_secs);
        let pause = retry.pause("http://a".to_owned(), "cut".to_owned(), after, received)?;
        Ok(pause.as_millis())
    }

    #[test]
    fn bytes_make_the_next_pause_short_again_and_earn_attempts() {
        let mut retry = RetryPolicy::new(Limits { attempts: 3, ..Limits::default() });
        let pauses = [0, 0, 1 << 20].map(|received| pause(&mut retry, None, received).unwrap());
        assert_eq!(pauses, [500, 1000, 500]);
        let error = pause(&mut retry, None, 1 << 20).unwrap_err().to_string();
        assert!(error.contains("cut, 4 times"), "{error}");
    }

    #[test]
    fn a_server_says_when_to_come_back_within_bounds() {
        let mut retry = RetryPolicy::new(Limits::default());
        assert_eq!(pause(&mut retry, Some(7), 0).unwrap(), 7000);
        let error = pause(&mut retry, Some(3600), 0).unwrap_err().to_string();
        assert!(error.contains("3600 s"), "{error}");
    }
}
