//! Which network is timed next: every one once, then again those beside which the machine was slow.
//!
//! Above: `calibrate`. Below: nothing. Not here: how slow it was (`calibrate::pace`), the networks (`calibrate::networks`).

use super::CalibrateOptions;

/// Of the networks, those that are timed however long they take.
const LEAST_DONE: f64 = 0.25;

/// Of the networks that were timed, those that must have been timed in usual seconds if the others are to be left out.
const ENOUGH: f64 = 0.5;

/// How often a network is timed, on average, at most.
const TRIES: usize = 2;

/// A network to time, by its number among those of its mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Inference(usize),
    Training(usize),
}

/// All networks in their order, and how slow the machine was beside those that were timed, in seconds of its pace.
#[derive(Debug)]
pub(super) struct Turns {
    all: Vec<Turn>,
    slowness: Vec<f64>,
    tries: usize,
    /// What was said to be done.
    done: f64,
}

impl Turns {
    /// Both modes by turns, so that a machine that is slow for a while is slow for both.
    pub(super) fn new(options: &CalibrateOptions) -> Self {
        let CalibrateOptions { networks, trained, .. } = *options;
        let (mut all, mut inferred) = (Vec::new(), 0);
        while all.len() < networks + trained {
            let done = all.len() - inferred;
            if inferred * trained <= done * networks && inferred < networks {
                all.push(Turn::Inference(inferred));
                inferred += 1;
            } else {
                all.push(Turn::Training(done));
            }
        }
        Self { all, slowness: Vec::new(), tries: 0, done: 0.0 }
    }

    /// The next one, and its place; none when all were timed in usual seconds, or often enough.
    pub(super) fn next(&self, is_usual: impl Fn(f64) -> bool) -> Option<(usize, Turn)> {
        let place = if self.slowness.len() < self.all.len() {
            self.slowness.len()
        } else {
            let (place, &slowest) =
                self.slowness.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1))?;
            if is_usual(slowest) || self.tries >= TRIES * self.all.len() {
                return None;
            }
            place
        };
        Some((place, self.all[place]))
    }

    /// Notes how slow the machine was beside the one at `place`, and says whether that is what counts: the first time, or a better one.
    pub(super) fn put(&mut self, place: usize, seconds: f64) -> bool {
        self.tries += 1;
        match self.slowness.get_mut(place) {
            None => {
                self.slowness.push(seconds);
                true
            }
            Some(before) if seconds < *before => {
                *before = seconds;
                true
            }
            Some(_) => false,
        }
    }

    /// Whether a calibration may end for want of time.
    pub(super) fn are_enough(&self) -> bool {
        let timed = &self.all[..self.slowness.len()];
        let is_training = |turn: &Turn| matches!(turn, Turn::Training(_));
        timed.len() as f64 >= LEAST_DONE * self.all.len() as f64 && timed.iter().any(is_training)
    }

    /// The share of those that were timed in usual seconds, or of the time that is spent, whichever is more; what was done stays done where a faster second
    /// says that those before it were slow.
    pub(super) fn done(&mut self, is_usual: impl Fn(f64) -> bool, spent: f64) -> f64 {
        let usual = self.slowness.iter().filter(|&&it| is_usual(it)).count();
        self.done = self.done.max(usual as f64 / self.all.len().max(1) as f64).max(spent.min(1.0));
        self.done
    }

    /// Of those that were timed, by place, whether they count: those of usual seconds where these are enough and of both modes, and all otherwise.
    pub(super) fn kept(&self, is_usual: impl Fn(f64) -> bool) -> Vec<bool> {
        let usual: Vec<bool> = self.slowness.iter().map(|&it| is_usual(it)).collect();
        let has = |is_training: bool| {
            let mut turns = self.all.iter().zip(&usual);
            turns.any(|(turn, &usual)| usual && matches!(turn, Turn::Training(_)) == is_training)
        };
        let count = usual.iter().filter(|&&it| it).count();
        if count as f64 >= ENOUGH * usual.len() as f64 && has(true) && has(false) {
            usual
        } else {
            vec![true; usual.len()]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(networks: usize, trained: usize) -> Turns {
        Turns::new(&CalibrateOptions { networks, trained, ..CalibrateOptions::new(1) })
    }

    fn is_usual(seconds: f64) -> bool {
        seconds < 1.5
    }

    #[test]
    fn both_modes_take_turns() {
        let turns = turns(6, 2);
        let trained: Vec<usize> =
            (0..8).filter(|&i| matches!(turns.all[i], Turn::Training(_))).collect();
        assert_eq!(trained, [1, 5]);
        assert_eq!(turns.all[5..7], [Turn::Training(1), Turn::Inference(4)]);
    }

    #[test]
    fn slow_ones_are_timed_again_the_slowest_first_and_keep_their_best() {
        let mut turns = turns(3, 1);
        for (place, slowness) in [1.0, 3.0, 1.2, 2.0].into_iter().enumerate() {
            assert_eq!(turns.next(is_usual), Some((place, turns.all[place])));
            assert!(turns.put(place, slowness));
        }
        assert!((turns.done(is_usual, 0.1) - 0.5).abs() < 1e-12);
        // The machine can do better than it had until now.
        assert!((turns.done(|seconds| seconds < 1.1, 0.2) - 0.5).abs() < 1e-12);
        assert!((turns.done(is_usual, 0.7) - 0.7).abs() < 1e-12);
        assert!((turns.done(is_usual, 7.0) - 1.0).abs() < 1e-12);
        assert_eq!(turns.next(is_usual).unwrap().0, 1);
        assert!(!turns.put(1, 4.0), "it was slower than before");
        assert_eq!(turns.next(is_usual).unwrap().0, 1);
        assert!(turns.put(1, 1.1));
        assert_eq!(turns.next(is_usual).unwrap().0, 3);
        assert!(turns.put(3, 1.9));
        assert_eq!(turns.kept(is_usual), [true, true, true, false]);
        assert!(!turns.put(3, 2.0));
        assert_eq!(turns.next(is_usual), None, "four were timed eight times");
    }

    #[test]
    fn where_most_were_slow_or_none_of_a_mode_was_not_all_count() {
        let slow = |all: [f64; 4]| {
            let mut turns = turns(3, 1);
            all.into_iter().enumerate().for_each(|(place, it)| assert!(turns.put(place, it)));
            turns.kept(is_usual)
        };
        assert_eq!(slow([1.0, 2.0, 2.0, 2.0]), [true; 4]);
        assert_eq!(slow([1.0, 2.0, 1.0, 1.0]), [true; 4], "the second is the one that is trained");
        assert_eq!(slow([1.0, 1.0, 2.0, 2.0]), [true, true, false, false]);
    }
}
