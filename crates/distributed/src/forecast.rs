//! What sums over ranks will cost, before anything is sent.
//!
//! Above: `recipes`, which knows when gradients become final. Below: `reduce`, `buckets`. Not here: what they have cost (`trace`).
//! A message takes the latency of the link, its bytes over the link's bandwidth, and until the thread that waits looks at it on average half of
//! its longest pause: the model of Hockney 1994, <https://doi.org/10.1016/S0167-8191(06)80021-9>, which Thakur et al. 2005 use for these
//! algorithms. Ranks are taken to be equally fast, and links to be nobody else's.

use crate::reduce::{Round, rounds};
use crate::{Buckets, Error, ReduceDtype, ReduceOptions, Result};

/// The longest pause of an engine between two looks at an operation, in seconds.
pub(crate) const LONGEST_PAUSE: f64 = 200e-6;

/// What connects one rank with the others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Link {
    /// Seconds that a message takes without its bytes.
    pub latency: f64,
    /// Bytes a second, both ways at once.
    pub bandwidth: f64,
    /// Seconds for adding one value that has come.
    pub seconds_per_sum: f64,
}

impl Link {
    /// Seconds until every rank has what all have given, so many bytes each, as [`Group::all_gather`](crate::Group::all_gather) does it.
    #[must_use]
    pub fn all_gather(&self, ranks: usize, bytes: usize) -> f64 {
        ranks.saturating_sub(1) as f64 * self.message(Round { bytes, sums: 0 })
    }

    fn message(&self, Round { bytes, sums }: Round) -> f64 {
        let travel = self.latency + bytes as f64 / self.bandwidth;
        travel + LONGEST_PAUSE / 2.0 + sums as f64 * self.seconds_per_sum
    }
}

/// What the sums of one step cost each rank.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct Forecast {
    /// Bytes of gradients, as f32.
    pub reduced_bytes: usize,
    /// Of those, bytes that are summed when the reverse pass ends.
    pub hidden_bytes: usize,
    /// Bytes that are sent for them.
    pub sent_bytes: usize,
    /// Seconds in which something is summed.
    pub communicating: f64,
    /// Seconds between the end of the reverse pass and the last sum.
    pub stalled: f64,
}

impl Buckets {
    /// What a step costs whose gradients are final `final_at` seconds after its beginning, in the order of the parameters, when its
    /// reverse pass ends with the last of them. `after` are lengths of vectors that are summed behind them, such as running statistics.
    ///
    /// # Errors
    /// [`Error::Call`] for another number of times than parameters; [`Error::Shards`] for ranks that cannot sum like that.
    ///
    /// ```
    /// use taper_distributed::{Buckets, Link, ReduceOptions};
    ///
    /// // Two buckets of 1 MB, final after 10 ms and 20 ms, on two ranks, which send all of it to each other.
    /// let buckets = Buckets::new(&[250_000, 250_000], 1 << 20);
    /// let link = Link { latency: 0.0, bandwidth: 125e6, seconds_per_sum: 0.0 }; // 1 Gb/s
    /// let forecast = buckets.forecast(&[0.010, 0.020], &[], (2, ReduceOptions::default()), link)?;
    /// assert_eq!(forecast.sent_bytes, 2_000_000);
    /// assert!((forecast.stalled - 0.0081).abs() < 1e-9); // the first is on its way when the second is final
    /// # Ok::<(), taper_distributed::Error>(())
    /// ```
    pub fn forecast(
        &self,
        final_at: &[f64],
        after: &[usize],
        (ranks, options): (usize, ReduceOptions),
        link: Link,
    ) -> Result<Forecast> {
        let members = self.members();
        let parameters = members.last().map_or(0, |last| last.end);
        if final_at.len() != parameters {
            let what = format!("{} times at which gradients are final", final_at.len());
            let expected = format!("one for each of {parameters} parameters");
            return Err(Error::Call { what, expected });
        }
        let latest = |times: &[f64]| times.iter().copied().fold(0.0, f64::max);
        let end = latest(final_at);
        let gradients = members.iter().zip(self.lengths());
        let gradients =
            gradients.map(|(members, length)| (length, latest(&final_at[..members.end]), options));
        // Statistics are never rounded.
        let unrounded = ReduceOptions { dtype: ReduceDtype::F32, ..options };
        let after = after.iter().map(|&length| (length, end, unrounded));
        let (mut forecast, mut free) = (Forecast::default(), 0.0_f64);
        for (length, ready, options) in gradients.chain(after) {
            let rounds = rounds(length, ranks, options)?;
            let takes: f64 = rounds.iter().map(|&round| link.message(round)).sum();
            free = free.max(ready) + takes;
            forecast.communicating += takes;
            forecast.reduced_bytes += 4 * length;
            forecast.sent_bytes += rounds.iter().map(|round| round.bytes).sum::<usize>();
            forecast.hidden_bytes += if free <= end { 4 * length } else { 0 };
        }
        forecast.stalled = (free - end).max(0.0);
        Ok(forecast)
    }
}

#[cfg(test)]
mod tests;
