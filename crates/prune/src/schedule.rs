//! How a share grows over rounds: a little at the end, much at the start.
//!
//! Above: iterative pruning and gradual sparsity in `taper-recipes`. Below: nothing. Not here: what is done in a round.
//! Source: Zhu and Gupta 2017, <https://arxiv.org/abs/1710.01878>, equation 1.

/// What is kept, or how sparse weights are, after each of several rounds: from `start` to `end` along
/// `end + (start − end) · (1 − t)³`, where `t` goes from 0 to 1.
///
/// # Examples
/// ```
/// use taper_prune::CubicSchedule;
/// let macs = CubicSchedule { start: 1.0, end: 0.5, rounds: 2 };
/// assert_eq!([0, 1, 2, 9].map(|round| macs.at(round)), [1.0, 0.5625, 0.5, 0.5]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CubicSchedule {
    /// Before the first round.
    pub start: f64,
    /// After the last.
    pub end: f64,
    /// How many; 0 is at the end at once.
    pub rounds: usize,
}

impl CubicSchedule {
    /// The value after `round` rounds: [`CubicSchedule::start`] after none, [`CubicSchedule::end`] after the last and beyond.
    #[must_use]
    pub fn at(&self, round: usize) -> f64 {
        if round >= self.rounds {
            return self.end;
        }
        let left = 1.0 - round as f64 / self.rounds as f64;
        self.end + (self.start - self.end) * left.powi(3)
    }

    /// The value after each round.
    pub fn values(self) -> impl ExactSizeIterator<Item = f64> {
        (1..self.rounds.max(1) + 1).map(move |round| self.at(round))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_falls_fast_and_then_slowly() {
        let values: Vec<f64> =
            CubicSchedule { start: 0.0, end: 0.9, rounds: 10 }.values().collect();
        assert_eq!((values.len(), values[9]), (10, 0.9));
        let steps: Vec<f64> = values.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(steps.iter().all(|step| *step > 0.0));
        assert!(steps.windows(2).all(|pair| pair[1] < pair[0]), "{steps:?}");
        // 0.9 (1 − 0.9³)
        assert!((values[0] - 0.2439).abs() < 1e-12);
    }

    #[test]
    fn no_rounds_are_one_at_the_end() {
        let values = CubicSchedule { start: 1.0, end: 0.5, rounds: 0 }.values();
        assert_eq!(values.collect::<Vec<_>>(), [0.5]);
    }
}
