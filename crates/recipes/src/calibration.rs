//! A machine's times in a file: made once, found again, read on another machine where it is named.
//!
//! Above: `cost`, the binary. Below: `taper_engine::calibrate`, `taper_cost`, `taper_files`, the user's cache directory. Not here: what is
//! predicted from it (`cost`).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use taper_cost::Calibration;
use taper_cost::latency::{FORMAT, Machine, StepSample};
use taper_engine::{CalibrateOptions, Cpu, calibration_network, time_passes};
use taper_model::Model;

use crate::bench::{Training, images};
use crate::error::{Error, Result};
use crate::options::{FineTuneOptions, OptimizerKind};
use crate::report::CalibrationReport;
use crate::setup;

/// Networks of which whole steps are timed.
const STEPS: usize = 4;

/// Images of these steps.
const BATCH: usize = 4;

/// The largest file that is read: many times what a calibration takes.
const LARGEST: u64 = 64 << 20;

/// What is calibrated.
#[derive(Debug, Clone, PartialEq)]
pub struct CalibrationOptions {
    /// Threads; 0 for all cores. What the file knows about other numbers of threads stays in it.
    pub threads: usize,
    /// Where the file goes; the user's cache directory, named for the machine, if not said.
    pub out: Option<PathBuf>,
    /// Decides on the networks that are timed.
    pub seed: u64,
    /// Networks that are timed for inference; of those that are trained there are as many in proportion ([`CalibrateOptions::with_networks`]).
    pub networks: usize,
}

impl Default for CalibrationOptions {
    fn default() -> Self {
        let CalibrateOptions { threads, seed, networks, .. } = CalibrateOptions::new(0);
        Self { threads, out: None, seed, networks }
    }
}

/// Measures this machine and writes the file; tells `observe` how much of it is done, from 0 to 1.
///
/// # Errors
/// [`Error::Stopped`] when asked to stop; [`Error::File`] if the file cannot be written.
pub fn calibrate(
    options: &CalibrationOptions,
    stop: &AtomicBool,
    observe: &mut dyn FnMut(f64),
) -> Result<CalibrationReport> {
    let began = Instant::now();
    let threads = Cpu::new(options.threads).threads();
    let all = CalibrateOptions { seed: options.seed, ..CalibrateOptions::new(threads) };
    let all = all.with_networks(options.networks);
    let timed = taper_engine::calibrate(&all, |done| {
        observe(0.9 * done);
        !stop.load(Ordering::Relaxed)
    });
    let modes = timed.map_err(|source| Error::Engine { source })?;
    if stop.load(Ordering::Relaxed) {
        return Err(Error::Stopped);
    }
    let mut steps = Vec::new();
    for model in &step_networks(options.seed, all.networks + all.trained)? {
        steps.extend(step_samples(model, threads)?);
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Stopped);
        }
    }
    observe(1.0);
    let machine = taper_engine::machine();
    let path = match &options.out {
        Some(path) => path.clone(),
        None => own_path(&machine)?,
    };
    let mut calibration = Calibration { format: FORMAT, machine, modes, steps };
    let units = calibration.modes.iter().map(|mode| mode.units.len()).sum();
    keep_others(&mut calibration, &path);
    let text = calibration.to_json().map_err(|source| Error::Cost { source })?;
    let failed = |source| Error::File { action: "write", path: path.clone(), source };
    taper_files::replace(&path, |file| file.write_all(text.as_bytes())).map_err(failed)?;
    let known: BTreeSet<usize> = calibration.modes.iter().map(|mode| mode.threads).collect();
    let Machine { processor, isa, cores, .. } = calibration.machine;
    Ok(CalibrationReport {
        path,
        processor,
        isa,
        cores,
        threads: known.into_iter().collect(),
        units,
        seconds: began.elapsed().as_secs_f64(),
    })
}

/// Keeps what an earlier calibration of this machine, if its file can be read, has for other numbers of threads.
fn keep_others(calibration: &mut Calibration, path: &Path) {
    let is_new = |threads: usize| calibration.modes.iter().any(|mode| mode.threads == threads);
    let Ok(mut before) = read(path) else { return };
    if before.machine.is_like(&calibration.machine) {
        before.modes.retain(|mode| !is_new(mode.threads));
        before.steps.retain(|step| !is_new(step.threads));
        calibration.modes.extend(before.modes);
        calibration.steps.extend(before.steps);
    }
}

/// The networks of which whole steps are timed, from a number on: those of so many that compute least, since what a step takes beside its passes is a
/// difference, which long passes hide.
fn step_networks(seed: u64, first: usize) -> Result<Vec<Model>> {
    let engine = |source| Error::Engine { source };
    let drawn = (0..2 * STEPS).map(|index| calibration_network(seed, first + index));
    let mut models = drawn.collect::<taper_engine::Result<Vec<Model>>>().map_err(engine)?;
    let work = |model: &Model| {
        let [h, w] = model.preprocess().input_size;
        taper_cost::macs(model.graph(), h, w).map_or(u64::MAX, |macs| macs.0)
    };
    models.sort_by_cached_key(work);
    models.truncate(STEPS);
    Ok(models)
}

/// What steps of a network take beside its units, with each optimizer.
fn step_samples(model: &Model, threads: usize) -> Result<Vec<StepSample>> {
    let engine = |source| Error::Engine { source };
    let [h, w] = model.preprocess().input_size;
    let shape = [BATCH, h, w];
    let xs = images(model, shape);
    let budget = Duration::from_millis(50);
    let passes = time_passes(model, &xs, shape, threads, budget).map_err(engine)?;
    let mut samples = Vec::new();
    for optimizer in [OptimizerKind::Sgd, OptimizerKind::AdamW] {
        let options = FineTuneOptions { optimizer, ..FineTuneOptions::default() };
        let slots = setup::slots(&options);
        let mut training = Training::new(model, shape, threads, &options)?;
        let step = training.median_seconds(budget)?;
        samples.push(step_sample(model, shape, threads, slots, step - passes));
    }
    Ok(samples)
}

fn step_sample(
    model: &Model,
    [n, h, w]: [usize; 3],
    threads: usize,
    slots: usize,
    seconds: f64,
) -> StepSample {
    let trained = model.graph().params().iter().filter(|spec| spec.role.is_trained());
    StepSample {
        threads,
        slots,
        params: trained.clone().map(|spec| spec.len() as u64).sum(),
        tensors: trained.count(),
        images: (n * h * w * model.graph().input_channels()) as u64,
        seconds: seconds.max(0.0),
    }
}

/// A calibration that holds on this machine, if there is one.
pub(crate) fn own() -> Result<Option<Calibration>> {
    let machine = taper_engine::machine();
    own_at(own_path(&machine)?, &machine)
}

/// The calibration in a file, if it is there and was made on such a machine.
fn own_at(path: PathBuf, machine: &Machine) -> Result<Option<Calibration>> {
    if !path.exists() {
        return Ok(None);
    }
    let calibration = read(&path)?;
    if !calibration.machine.is_like(machine) {
        let found = told(&calibration.machine);
        let reason = format!(
            "was measured on {found}, this machine is {}; calibrate again, or name the file to predict for that machine",
            told(machine)
        );
        return Err(Error::Calibration { path, reason });
    }
    Ok(Some(calibration))
}

/// The calibration in a file, of any machine.
pub(crate) fn read(path: &Path) -> Result<Calibration> {
    let failed = |source| Error::File { action: "read", path: path.to_owned(), source };
    let refused = |reason: String| Error::Calibration { path: path.to_owned(), reason };
    let len = fs::metadata(path).map_err(failed)?.len();
    if len > LARGEST {
        return Err(refused(format!("has {len} bytes, a calibration has {LARGEST} at most")));
    }
    let bytes = fs::read(path).map_err(failed)?;
    let text =
        String::from_utf8(bytes).map_err(|source| refused(format!("is no text: {source}")))?;
    Calibration::from_json(&text).map_err(|error| match error {
        taper_cost::Error::Calibration { what } => refused(what),
        source => Error::Cost { source },
    })
}

/// A machine in words.
pub(crate) fn told(machine: &Machine) -> String {
    let Machine { processor, isa, cores, .. } = machine;
    format!("{processor} ({isa}, {cores} cores)")
}

/// Where this machine's calibration lies: `taper/calibration-….json` in the user's cache directory.
fn own_path(machine: &Machine) -> Result<PathBuf> {
    let folder = dirs::cache_dir().ok_or(Error::NoCache)?;
    let told = format!("{} {} {}", machine.processor, machine.isa, machine.cores);
    let words = told.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let words: Vec<String> = words.map(str::to_lowercase).collect();
    Ok(folder.join("taper").join(format!("calibration-{}.json", words.join("-"))))
}

#[cfg(test)]
mod tests {
    use taper_cost::LatencyModel;

    use super::*;
    use crate::{CostNetwork, CostOptions, cost_of};

    #[test]
    fn a_machine_is_measured_and_predicts_any_network() {
        let dir = tempfile::tempdir().unwrap();
        let out = Some(dir.path().join("deep/in/machine.json"));
        let options = CalibrationOptions { threads: 1, out, networks: 2, seed: 5 };
        let mut shares = Vec::new();
        let report =
            calibrate(&options, &AtomicBool::new(false), &mut |share| shares.push(share)).unwrap();
        assert_eq!(report.threads, [1]);
        assert!(shares.windows(2).all(|pair| pair[0] <= pair[1]) && shares.last() == Some(&1.0));
        let calibration = read(&report.path).unwrap();
        assert!(calibration.machine.is_like(&taper_engine::machine()));
        let network = CostNetwork::open("mobilenetv2_035").unwrap();
        let options = CostOptions { threads: 1, ..CostOptions::new("mobilenetv2_035") };
        let cost = cost_of(&network, &options, Some(&calibration)).unwrap();
        let time = cost.time.unwrap();
        assert!(time.ms > 0.0 && time.training_ms > time.ms && time.ms.is_finite());
        assert!(cost.units.iter().all(|unit| unit.ms.is_some_and(f64::is_finite)));
        // It knows one number of threads.
        assert!(LatencyModel::new(&calibration, 7).is_err());
    }

    #[test]
    fn what_is_known_of_other_threads_and_no_other_machine_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("machine.json");
        let options =
            |threads| CalibrationOptions { threads, out: Some(path.clone()), networks: 1, seed: 5 };
        let run =
            |threads| calibrate(&options(threads), &AtomicBool::new(false), &mut |_| ()).unwrap();
        assert_eq!(run(1).threads, [1]);
        assert_eq!(run(2).threads, [1, 2]);
        let both = read(&path).unwrap();

        // As if this file had come from another machine.
        let machine = taper_engine::machine();
        assert!(own_at(path.clone(), &machine).unwrap().is_some());
        let other = Machine { processor: "Cortex-A76".to_owned(), ..both.machine.clone() };
        let other = Calibration { machine: other, ..both };
        fs::write(&path, other.to_json().unwrap()).unwrap();
        let refused = own_at(path.clone(), &machine).unwrap_err().to_string();
        for part in [path.to_str().unwrap(), "Cortex-A76", &machine.processor, "calibrate again"] {
            assert!(refused.contains(part), "{refused}");
        }
        assert_eq!(run(1).threads, [1]);
        assert!(own_at(dir.path().join("none.json"), &machine).unwrap().is_none());
    }

    #[test]
    fn one_that_is_stopped_writes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("machine.json");
        let options =
            CalibrationOptions { threads: 1, out: Some(out.clone()), networks: 50, seed: 0 };
        let stopped = calibrate(&options, &AtomicBool::new(true), &mut |_| ());
        assert!(matches!(stopped, Err(Error::Stopped)));
        assert!(!out.exists());
    }

    #[test]
    fn files_are_named_for_their_machine() {
        let machine = taper_engine::machine();
        if let Ok(path) = own_path(&machine) {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            assert!(name.starts_with("calibration-") && name.ends_with(".json"), "{name}");
        }
    }
}
