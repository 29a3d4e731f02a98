//! A machine's times: units of networks made for the purpose, timed where they stand.
//!
//! Above: `taper-recipes`, xtask. Below: `calibrate::{machine, networks, pace, roof, turns}`, `session::timing`, `train::timing`, `taper-cost`. Not here: the model
//! that is fitted to them (`taper-cost`), files (`taper-recipes`), what a step takes beside its units (`taper-recipes`).
//! A unit alone in a loop would find its input and its weights in the nearest cache, as it never does in a network. So whole
//! networks are run, of random blocks and widths, and every unit is timed in its place.

mod machine;
mod networks;
mod pace;
mod roof;
mod turns;

use std::time::{Duration, Instant};

use taper_cost::latency::{BandSample, Mode, ModeSamples, UnitSample, around, band_shape};
use taper_cost::{Bytes, Roof, training_units, units};
use taper_graph::{NodeId, ParamSpec};
use taper_kernels::Cpu;
use taper_model::{Model, Preprocess, Provenance, Tensor};
use taper_plan::inference::ExecutionOrder;
use taper_plan::{InferencePlan, TrainingPlan};

use crate::session::{RunTimes, Timing};
use crate::{Error, Result, Session, Trainer};
pub use machine::machine;
use networks::Extent;
pub use pace::Pace;
pub use roof::{CopySizes, measure_roof};
use turns::{Turn, Turns};

/// How a machine is calibrated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CalibrateOptions {
    /// Threads.
    pub threads: usize,
    /// Decides on the networks.
    pub seed: u64,
    /// Networks for inference.
    pub networks: usize,
    /// Networks that are trained.
    pub trained: usize,
    /// Seconds for each network in each mode.
    pub seconds: f64,
    /// Seconds after which no further network begins, unless fewer than a quarter of them are done.
    pub most_seconds: f64,
}

impl CalibrateOptions {
    /// What gives a good fit in half a minute; slower machines time fewer networks.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self { threads, seed: 0, networks: 48, trained: 16, seconds: 0.02, most_seconds: 24.0 }
    }

    /// The same with so many networks for inference, one at least, and in proportion as many that are trained; more have more
    /// time.
    ///
    /// # Examples
    /// ```
    /// use taper_engine::CalibrateOptions;
    /// let usual = CalibrateOptions::new(1);
    /// let few = usual.with_networks(usual.networks / 2);
    /// assert_eq!(few.trained, usual.trained / 2);
    /// assert_eq!(usual.with_networks(usual.networks), usual);
    /// ```
    #[must_use]
    pub fn with_networks(self, networks: usize) -> Self {
        let networks = networks.max(1);
        let trained = (networks * self.trained / self.networks.max(1)).max(1);
        let more = (networks as f64 / self.networks.max(1) as f64).max(1.0);
        let most_seconds = self.most_seconds * more;
        Self { networks, trained, most_seconds, ..self }
    }
}

/// One network in so many has weights that no cache holds, and one in so many is tiny.
const LARGE: usize = 18;
const TINY: usize = 8;

/// Bytes of a training step's arena, by turns, and no more of them: a step whose tensors lie in a cache is faster than one whose tensors lie in memory, as
/// those of usual batches do.
const ARENAS: [u64; 4] = [64 << 20, 512 << 20, 128 << 20, 256 << 20];

/// Images of a training step at most, and what their forward pass multiplies: the largest networks would take seconds.
const IMAGES: u64 = 32;
const STEP_MACS: u64 = 8_000_000_000;

/// Times units of inference and of training on so many threads; tells `observe` after every network how much is done, from 0 to 1 and never less than
/// before, and stops when it returns `false`. What `observe` takes is not counted.
///
/// A network beside which the machine was slower than at its best ([`Pace`]) is timed again as long as there is time, and in the end left out, unless
/// more than half of them are such.
///
/// # Errors
/// Never for the networks made here, short of a bug.
pub fn calibrate(
    options: &CalibrateOptions,
    mut observe: impl FnMut(f64) -> bool,
) -> Result<Vec<ModeSamples>> {
    let mut began = Instant::now();
    let threads = Cpu::new(options.threads).threads();
    let roof = measure_roof(threads, CopySizes::Few);
    let mut pace = Pace::new(threads)?;
    let mut turns = Turns::new(options);
    let mut timed: Vec<Modes> = Vec::new();
    let mut before = pace.now()?;
    while let Some((place, turn)) = turns.next(|seconds| pace.is_usual(seconds)) {
        let mut modes = Modes::new(threads, &roof);
        modes.time(turn, options)?;
        let after = pace.now()?;
        if turns.put(place, before.max(after)) {
            match timed.get_mut(place) {
                Some(slower) => *slower = modes,
                None => timed.push(modes),
            }
        }
        before = after;
        let is_usual = |seconds| pace.is_usual(seconds);
        let spent = began.elapsed().as_secs_f64() / options.most_seconds;
        let is_late = spent >= 1.0 && turns.are_enough();
        let is_last = is_late || turns.next(is_usual).is_none();
        let observed = Instant::now();
        let done = if is_last { 1.0 } else { turns.done(is_usual, spent) };
        if !observe(done) || is_late {
            break;
        }
        began += observed.elapsed();
    }
    let mut all = Modes::new(threads, &roof);
    let kept = turns.kept(|seconds| pace.is_usual(seconds));
    timed.into_iter().zip(kept).filter(|(_, is_kept)| *is_kept).for_each(|(it, _)| all.append(it));
    Ok(all.finish())
}

/// How large the `index`-th network for inference is.
fn extent(index: usize) -> Extent {
    match index {
        _ if index % LARGE == LARGE / 2 => Extent::Large,
        _ if index % TINY == TINY / 2 => Extent::Tiny,
        _ => Extent::Usual,
    }
}

/// All modes of so many threads, being filled.
struct Modes {
    threads: usize,
    together: Growing,
    beside: Growing,
    forward: Growing,
    backward: Growing,
}

/// The samples of a mode, and the overheads of which the median counts.
struct Growing {
    samples: ModeSamples,
    overheads: Vec<f64>,
    scales: Vec<f64>,
}

impl Growing {
    fn new(mode: Mode, threads: usize, roof: &Roof) -> Self {
        let (units, bands, roof) = (Vec::new(), Vec::new(), roof.clone());
        let samples = ModeSamples { mode, threads, roof, units, bands, overhead: 0.0, scale: 1.0 };
        Self { samples, overheads: Vec::new(), scales: Vec::new() }
    }

    fn append(&mut self, mut other: Self) {
        self.samples.units.append(&mut other.samples.units);
        self.samples.bands.append(&mut other.samples.bands);
        self.overheads.append(&mut other.overheads);
        self.scales.append(&mut other.scales);
    }

    fn finish(mut self) -> ModeSamples {
        self.samples.overhead = median(&mut self.overheads).max(0.0);
        if !self.scales.is_empty() {
            self.samples.scale = median(&mut self.scales);
        }
        self.samples
    }
}

impl Modes {
    fn new(threads: usize, roof: &Roof) -> Self {
        let [together, beside, forward, backward] =
            [Mode::Together, Mode::ImageAThread, Mode::Forward, Mode::Backward]
                .map(|mode| Growing::new(mode, threads, roof));
        Self { threads, together, beside, forward, backward }
    }

    fn append(&mut self, other: Self) {
        self.together.append(other.together);
        self.beside.append(other.beside);
        self.forward.append(other.forward);
        self.backward.append(other.backward);
    }

    fn finish(self) -> Vec<ModeSamples> {
        let is_used = |samples: &ModeSamples| !samples.units.is_empty();
        let all = [self.together, self.beside, self.forward, self.backward].map(Growing::finish);
        all.into_iter().filter(is_used).collect()
    }

    /// Times the network of a turn.
    fn time(&mut self, turn: Turn, options: &CalibrateOptions) -> Result<()> {
        match turn {
            Turn::Inference(index) => {
                let network = networks::random(options.seed, index as u64, extent(index))?;
                self.infer(&network, options)
            }
            Turn::Training(index) => {
                let number = (options.networks + index) as u64;
                let is_tiny = index % TINY == TINY / 2;
                let extent = if is_tiny { Extent::Tiny } else { Extent::Usual };
                self.train(&networks::random(options.seed, number, extent)?, options, index)
            }
        }
    }

    fn infer(&mut self, network: &networks::Network, options: &CalibrateOptions) -> Result<()> {
        let networks::Network { graph, size, .. } = network;
        let params = network.normalized_params(self.threads)?;
        let params: Vec<&[f32]> = params.iter().map(Vec::as_slice).collect();
        let nodes: Vec<NodeId> = graph.outputs().values().copied().collect();
        let mut session = Session::of_nodes(graph, &params, &nodes, *size, self.threads)?;
        let image = networks::image(graph, *size, 1);
        let plan = InferencePlan::new(graph, &nodes, *size)?;
        let costs = units(graph, &plan, *size)?;
        let budget = Duration::from_secs_f64(options.seconds);
        let both =
            [(Timing::Together, &mut self.together), (Timing::ImageAThread, &mut self.beside)];
        for (timing, growing) in both {
            let threads = match timing {
                Timing::Together => self.threads,
                Timing::ImageAThread if self.threads == 1 => continue,
                Timing::ImageAThread => 1,
            };
            let order = ExecutionOrder::Bands { threads };
            warm_up(&mut session, &image, *size, timing.images(self.threads), budget)?;
            let several = match timing {
                Timing::Together => image.clone(),
                Timing::ImageAThread => image.repeat(FRESH),
            };
            let several: Vec<&[f32]> = several.chunks_exact(image.len()).collect();
            let by_unit =
                session.time_units(&several, *size, timing, ExecutionOrder::Units, budget)?;
            let run = session.time_units(&several, *size, timing, order, budget)?;
            let memory = plan.memory(graph, *size, order)?;
            let around = around(graph, Bytes::of_elements(memory.arena.total));
            growing.overheads.push(run.overhead);
            // Images, and how many of them every thread or the team runs: as few as two would be waited for longer than a batch's.
            let runs = match timing {
                Timing::Together => 1,
                Timing::ImageAThread => images_in(budget, run.run),
            };
            let images = runs * timing.images(self.threads);
            let going_on = whole_run(&mut session, &image, *size, images, budget)?;
            let units = run.units.iter().flatten().sum::<f64>() * runs as f64;
            if units > 0.0 {
                growing.scales.push(going_on / units);
            }
            for unit in &costs {
                let is_banded = memory.skipped[unit.unit] || memory.bands[unit.unit].is_some();
                // What a run times itself is nearer to a run.
                let times: &RunTimes = if is_banded { &by_unit } else { &run };
                if let Some(seconds) = times.units[unit.unit] {
                    let sample = UnitSample::of_inference(unit, around, seconds);
                    growing.samples.units.push(sample);
                }
            }
            for band in memory.bands.iter().flatten() {
                let last = band.units.last().copied().unwrap_or_default();
                let parts = band.units.iter().map(|&u| by_unit.units[u]).sum::<Option<f64>>();
                if let (Some(banded), Some(parts)) = (run.units[last], parts) {
                    let shape = band_shape(band, &costs);
                    growing.samples.bands.push(BandSample { shape, ratio: banded / parts });
                }
            }
        }
        Ok(())
    }

    fn train(
        &mut self,
        network: &networks::Network,
        options: &CalibrateOptions,
        index: usize,
    ) -> Result<()> {
        let networks::Network { graph, size: [h, w], .. } = network;
        let params = network.params();
        let params: Vec<&[f32]> = params.iter().map(Vec::as_slice).collect();
        let outputs: Vec<&str> = graph.outputs().keys().map(String::as_str).collect();
        // A third of the networks have a frozen beginning.
        let frozen = if index % 3 == 2 { graph.params().len() / 3 } else { 0 };
        let trained: Vec<bool> = (0..graph.params().len()).map(|param| param >= frozen).collect();
        let plan = TrainingPlan::new(graph, &outputs, &trained)?;
        let (shape, arena) = step_of(network, &plan, ARENAS[index % ARENAS.len()])?;
        let around = around(graph, arena);
        let mut trainer = Trainer::of_outputs(graph, &outputs, &trained, Cpu::new(self.threads))?;
        let images = networks::image(graph, [*h, *w], shape[0]);
        let budget = Duration::from_secs_f64(2.0 * options.seconds);
        let [forward, backward] = trainer.time_units(&params, &images, shape, budget)?;
        for (growing, times) in [(&mut self.forward, &forward), (&mut self.backward, &backward)] {
            growing.overheads.push(times.overhead);
        }
        for unit in training_units(graph, &plan, [*h, *w])? {
            if let Some(seconds) = forward.units[unit.unit] {
                let sample = UnitSample::of_forward(&unit, shape[0], around, seconds);
                self.forward.samples.units.push(sample);
            }
            if let Some(seconds) = backward.units[unit.unit] {
                let sample = UnitSample::of_backward(&plan, &unit, shape[0], around, seconds);
                self.backward.samples.units.push(sample);
            }
        }
        Ok(())
    }
}

/// A step of as many images as `most` bytes hold, [`IMAGES`] and [`STEP_MACS`] allow, and two at least: its shape, and its arena.
fn step_of(
    network: &networks::Network,
    plan: &TrainingPlan,
    most: u64,
) -> Result<([usize; 3], Bytes)> {
    let networks::Network { graph, size: [h, w], .. } = network;
    let macs: u64 = training_units(graph, plan, [*h, *w])?.iter().map(|it| it.work.macs.0).sum();
    let mut images = (STEP_MACS / macs.max(1)).clamp(2, IMAGES) as usize;
    loop {
        let shape = [images, *h, *w];
        let arena = Bytes::of_elements(plan.memory(graph, shape)?.total);
        if arena.0 <= most || images == 2 {
            return Ok((shape, arena));
        }
        images -= 1;
    }
}

/// A network made for timing, with the size of its images: the `index`-th that [`calibrate`] makes of a seed.
///
/// # Errors
/// Never, short of a bug.
pub fn calibration_network(seed: u64, index: usize) -> Result<Model> {
    let network = networks::random(seed, index as u64, Extent::Usual)?;
    let params = network.params().into_iter().zip(network.graph.params());
    let tensor = |(data, spec): (Vec<f32>, &ParamSpec)| Tensor { shape: spec.shape.clone(), data };
    let tensors = params.map(tensor).collect();
    let preprocess = Preprocess { input_size: network.size, ..Preprocess::imagenet() };
    let provenance = Provenance::default();
    let model = Model::new(network.graph, tensors, preprocess, Vec::new(), provenance);
    model.map_err(|source| Error::Internal { node: source.to_string(), what: "is no model" })
}

/// Seconds of the forward and the backward pass of a training step of all parameters, on images `(n, h, w, c)`: the median over steps
/// for as long as `budget`.
///
/// # Errors
/// As [`Trainer::forward`] and [`Trainer::backward`].
pub fn time_passes(
    model: &Model,
    images: &[f32],
    shape: [usize; 3],
    threads: usize,
    budget: Duration,
) -> Result<f64> {
    let graph = model.graph();
    let params: Vec<&[f32]> = model.tensors().iter().map(|tensor| tensor.data.as_slice()).collect();
    let outputs: Vec<&str> = graph.main_outputs().collect();
    let trained = vec![true; params.len()];
    let mut trainer = Trainer::of_outputs(graph, &outputs, &trained, Cpu::new(threads))?;
    let [forward, backward] = trainer.time_units(&params, images, shape, budget)?;
    Ok(forward.run + backward.run)
}

/// Images that threads run by turns: those of a batch lie in no core's cache.
const FRESH: usize = 8;

/// Budgets of a network's first runs, which are not counted: they take 5 to 20 % longer, those after 20 ms still 3 %.
const WARM_UP: u32 = 3;

/// Runs so many images again and again, until memory and caches are as in use.
fn warm_up(
    session: &mut Session,
    image: &[f32],
    [h, w]: [usize; 2],
    images: usize,
    budget: Duration,
) -> Result<()> {
    let xs = image.repeat(images);
    let began = Instant::now();
    while began.elapsed() < WARM_UP * budget {
        session.run(&xs, [images, h, w])?;
    }
    Ok(())
}

/// Images that a thread runs in so much time, 2 to 16.
fn images_in(budget: Duration, seconds: f64) -> usize {
    (2..16).find(|&images| (images + 1) as f64 * seconds > budget.as_secs_f64()).unwrap_or(16)
}

/// Seconds of a run of so many images that goes on for as long as `budget`, as a user's would.
fn whole_run(
    session: &mut Session,
    image: &[f32],
    [h, w]: [usize; 2],
    images: usize,
    budget: Duration,
) -> Result<f64> {
    let xs = image.repeat(images);
    let mut seconds = Vec::new();
    session.run(&xs, [images, h, w])?;
    rounds(budget, || {
        let start = Instant::now();
        session.run(&xs, [images, h, w])?;
        seconds.push(start.elapsed().as_secs_f64());
        Ok(())
    })?;
    Ok(median(&mut seconds))
}

/// The middle of some numbers, the mean of both middles of an even count; zero of none.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let [low, high] = [values.len().saturating_sub(1) / 2, values.len() / 2];
    let at = |i: usize| values.get(i).copied().unwrap_or(0.0);
    f64::midpoint(at(low), at(high))
}

/// Runs `once` until the time is spent, three times at least and a hundred times at most.
pub(crate) fn rounds(budget: Duration, mut once: impl FnMut() -> Result<()>) -> Result<()> {
    let began = Instant::now();
    for round in 0..100 {
        if round >= 3 && began.elapsed() > budget {
            break;
        }
        once()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many networks were timed, and what was told last.
    fn timed(most_seconds: f64, networks: usize) -> (usize, f64) {
        let usual = CalibrateOptions { seconds: 1e-4, ..CalibrateOptions::new(1) };
        let options = CalibrateOptions { most_seconds, ..usual.with_networks(networks) };
        let (mut count, mut last) = (0, 0.0);
        let modes = calibrate(&options, |done| {
            (count, last) = (count + 1, done);
            true
        });
        let all = [Mode::Together, Mode::Forward, Mode::Backward];
        assert_eq!(modes.unwrap().iter().map(|mode| mode.mode).collect::<Vec<_>>(), all);
        (count, last)
    }

    #[test]
    fn the_median_of_two_is_not_the_larger() {
        let of = |values: &[f64], middle: f64| {
            let found = median(&mut values.to_vec());
            assert!((found - middle).abs() < 1e-12, "{found} of {values:?}");
        };
        of(&[], 0.0);
        of(&[3.0], 3.0);
        of(&[4.0, 2.0], 3.0);
        of(&[9.0, 1.0, 2.0], 2.0);
        of(&[9.0, 1.0, 2.0, 4.0], 3.0);
    }

    #[test]
    fn a_machine_that_is_slow_times_fewer_networks_and_some_of_each_kind() {
        assert_eq!(timed(0.0, 1), (2, 1.0));
        assert_eq!(timed(0.0, 8), (3, 1.0)); // a quarter of all
        let (count, last) = timed(f64::INFINITY, 4);
        // Four, and a third of it trained, and once more at most where the machine was slow.
        assert!((5..=10).contains(&count) && last >= 1.0, "{count}, {last}");
    }
}
