//! Contestants take turns, so that a slow minute of the machine is everybody's.
//!
//! Above: the sections. Below: `contestant`, `taper_engine::Spread`. Not here: what they run, tables.
//! The first contestant is ours. A ratio is ours over theirs within a round, so that drift between rounds cancels.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use taper_engine::Spread;

use super::contestant::Contestant;

/// How the turns are dealt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) rounds: usize,
    /// How long a turn should be, milliseconds; it has at least one run.
    pub(super) turn_ms: f64,
}

/// Unmeasured runs before a turn bring back into the caches what others have evicted, for this long.
const WARM_MS: f64 = 20.0;

/// Runs longer than this evict the caches themselves.
const COLD_MS: f64 = 200.0;

/// A pause before each turn, in which the threads of the last contestant stop spinning.
const PAUSE: Duration = Duration::from_millis(100);

/// What one contestant has shown.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    pub(super) name: String,
    pub(super) version: String,
    /// Milliseconds a run, of all rounds.
    pub(super) ms: Spread,
    /// Ours over theirs, of rounds; of ours none.
    pub(super) ratio: Option<Spread>,
    /// The most memory the process has held, bytes.
    pub(super) peak_bytes: u64,
}

/// Lets everybody run `rules.rounds` times in turn.
pub(super) fn race(contestants: &mut [Contestant], rules: Rules) -> Result<Vec<Outcome>> {
    let mut turns = Vec::with_capacity(contestants.len());
    for contestant in &mut *contestants {
        let first = contestant.run(1, 2)?;
        let ms = first.iter().copied().fold(f64::INFINITY, f64::min);
        turns.push(turn(ms, rules.turn_ms));
    }
    let mut measured: Vec<Vec<Vec<f64>>> = vec![Vec::new(); contestants.len()];
    for _ in 0..rules.rounds {
        for ((contestant, turn), rounds) in contestants.iter_mut().zip(&turns).zip(&mut measured) {
            sleep(PAUSE);
            rounds.push(contestant.run(turn.warmups, turn.times)?);
        }
    }
    let ours = measured.first().cloned().unwrap_or_default();
    let mut outcomes = Vec::with_capacity(contestants.len());
    for (idx, (contestant, rounds)) in contestants.iter_mut().zip(&measured).enumerate() {
        outcomes.push(Outcome {
            name: contestant.name().to_owned(),
            version: contestant.ready()["version"].as_str().unwrap_or_default().to_owned(),
            ms: Spread::of(&rounds.concat()).context("no round was run")?,
            ratio: if idx == 0 { None } else { ratio(&ours, rounds) },
            peak_bytes: contestant.peak_bytes()?,
        });
    }
    Ok(outcomes)
}

/// The runs of one turn.
#[derive(Debug, PartialEq, Eq)]
struct Turn {
    warmups: usize,
    times: usize,
}

/// As many runs of `ms` as fit into `turn_ms`, at most 100.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to small positive numbers"
)]
fn turn(ms: f64, turn_ms: f64) -> Turn {
    let runs = |budget: f64, most: f64| (budget / ms).ceil().clamp(1.0, most) as usize;
    let warmups = if ms > COLD_MS { 0 } else { runs(WARM_MS, 10.0) };
    Turn { warmups, times: runs(turn_ms, 100.0) }
}

/// Median over median, round by round.
fn ratio(ours: &[Vec<f64>], theirs: &[Vec<f64>]) -> Option<Spread> {
    let median = |round: &Vec<f64>| Spread::of(round).map(|spread| spread.median);
    let rounds = ours.iter().zip(theirs);
    let ratios: Option<Vec<f64>> =
        rounds.map(|(ours, theirs)| Some(median(ours)? / median(theirs)?)).collect();
    Spread::of(&ratios?)
}

impl Outcome {
    pub(super) fn json(&self) -> Value {
        let mut value = json!({
            "name": self.name,
            "version": self.version,
            "ms": spread(self.ms),
            "peak_bytes": self.peak_bytes,
        });
        if let Some(ratio) = self.ratio {
            value["ratio"] = spread(ratio);
        }
        value
    }
}

fn spread(spread: Spread) -> Value {
    json!({ "median": spread.median, "p10": spread.p10, "p90": spread.p90 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_runs_are_repeated_and_long_ones_are_not() {
        assert_eq!(turn(3.0, 300.0), Turn { warmups: 7, times: 100 });
        assert_eq!(turn(100.0, 300.0), Turn { warmups: 1, times: 3 });
        assert_eq!(turn(1000.0, 300.0), Turn { warmups: 0, times: 1 });
    }

    #[test]
    fn drift_between_rounds_cancels_in_the_ratio() {
        let ours = [vec![2.0, 2.0, 9.0], vec![4.0], vec![8.0]];
        let theirs = [vec![1.0, 1.0, 1.0], vec![2.0], vec![4.0]];
        assert_eq!(ratio(&ours, &theirs), Some(Spread { median: 2.0, p10: 2.0, p90: 2.0 }));
        assert_eq!(ratio(&[], &[]), None);
    }
}
