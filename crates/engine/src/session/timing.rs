//! How long every unit of a session takes in its place.
//!
//! Above: `calibrate`. Below: `session::runner`. Not here: tables of a session's own units (`session::profile`).

use std::time::{Duration, Instant};

use taper_plan::inference::ExecutionOrder;

use super::Session;
use super::compile::Program;
use super::runner::Runner;
use crate::calibrate::{median, rounds};
use crate::{Error, Result};

/// Who runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timing {
    /// All threads on one image.
    Together,
    /// Every thread on an image of its own, all at once.
    ImageAThread,
}

impl Timing {
    /// Images that so many threads run at once.
    pub(crate) fn images(self, threads: usize) -> usize {
        match self {
            Self::Together => 1,
            Self::ImageAThread => threads,
        }
    }
}

/// What a run took: medians over rounds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RunTimes {
    /// Seconds by unit, of those that ran.
    pub(crate) units: Vec<Option<f64>>,
    /// Seconds of the run.
    pub(crate) run: f64,
    /// Seconds of the run that belong to no unit.
    pub(crate) overhead: f64,
}

impl RunTimes {
    /// Of rounds, each with seconds by unit and seconds in all; a unit that never ran has none.
    pub(crate) fn of(rounds: &[(Vec<Option<f64>>, f64)]) -> Self {
        let count = rounds.first().map_or(0, |(units, _)| units.len());
        let unit = |unit: usize| {
            let mut seconds: Vec<f64> = rounds.iter().filter_map(|(all, _)| all[unit]).collect();
            (!seconds.is_empty()).then(|| median(&mut seconds))
        };
        let run = |of: fn(&(Vec<Option<f64>>, f64)) -> f64| {
            median(&mut rounds.iter().map(of).collect::<Vec<f64>>())
        };
        Self {
            units: (0..count).map(unit).collect(),
            run: run(|(_, run)| *run),
            overhead: run(|(units, run)| run - units.iter().flatten().sum::<f64>()),
        }
    }
}

impl Session {
    /// Times runs of one image after the other, and again from the first, for as long as `budget`.
    pub(crate) fn time_units(
        &mut self,
        images: &[&[f32]],
        size: [usize; 2],
        timing: Timing,
        order: ExecutionOrder,
        budget: Duration,
    ) -> Result<RunTimes> {
        let Self { program, team, lanes, .. } = self;
        match timing {
            Timing::Together => {
                Ok(RunTimes::of(&timed(team, program, images, size, order, budget)?))
            }
            Timing::ImageAThread => {
                lanes.resize_with(team.cpu.threads(), || Runner::new(1));
                let mut work: Vec<_> =
                    lanes.iter_mut().map(|lane| (lane, Ok(Vec::new()))).collect();
                team.cpu.each(&mut work, |(lane, times)| {
                    *times = timed(lane, program, images, size, order, budget);
                });
                let all: Result<Vec<_>> = work.into_iter().map(|(_, times)| times).collect();
                Ok(RunTimes::of(&all?.concat()))
            }
        }
    }
}

/// Rounds of a run, after one that is not counted.
fn timed(
    runner: &mut Runner,
    program: &Program,
    images: &[&[f32]],
    size: [usize; 2],
    order: ExecutionOrder,
    budget: Duration,
) -> Result<Vec<(Vec<Option<f64>>, f64)>> {
    runner.prepare(program, size, order)?;
    let mut all = Vec::new();
    let mut images = images.iter().cycle();
    rounds(budget, || {
        let mut units = vec![None; program.units.len()];
        let image = images.next().copied().unwrap_or_default();
        let start = Instant::now();
        let mut last = start;
        runner.run(program, image, std::iter::empty(), |unit| {
            let now = Instant::now();
            units[unit] = Some((now - last).as_secs_f64());
            last = now;
        })?;
        all.push((units, start.elapsed().as_secs_f64()));
        Ok::<(), Error>(())
    })?;
    if all.len() > 1 {
        all.remove(0);
    }
    Ok(all)
}
