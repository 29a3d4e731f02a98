//! What fits into so many minutes: a network, a size of pictures, epochs.
//!
//! Above: the binary, Rust users. Below: `bench`, `data`, `source`, `taper_zoo`. Not here: a run that ends when time is up (`tune::clock`).
//! A few batches of each candidate are run here and now, the best first, until one is fast enough. What a whole run takes besides is a share.

use std::time::Instant;

use serde::Serialize;

use crate::bench::{bench, bench_of};
use crate::data;
use crate::error::{Error, Result};
use crate::options::{BenchMode, BenchOptions, FineTuneOptions, MatmulPrecision};
use crate::source::ModelSource;

/// Sizes of pictures, from the one that weights are trained at to the smallest that fine-tuning still makes something of.
const SIZES: [usize; 5] = [224, 192, 160, 128, 96];

/// Epochs that a smaller network or size is taken for: those of the default.
const ENOUGH: usize = 6;

/// Epochs that more time is not spent on: a small folder is learned by then.
const MOST: usize = 30;

/// Share of the time that is planned with; the rest is for reading pictures, saving, and other work of the machine.
const PLANNED: f64 = 0.75;

/// Pictures of a batch that is timed.
const BATCH: usize = 8;

/// What was picked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FittedRun {
    /// The network.
    pub model: String,
    /// Height and width of its input, pixels.
    pub image_size: usize,
    /// Epochs.
    pub epochs: usize,
    /// How long they take, in seconds, as a few timed batches tell.
    pub seconds: f64,
}

/// What a candidate takes, in seconds.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// Once: the features that the new head is trained on.
    before: f64,
    epoch: f64,
}

impl Pace {
    fn epochs_in(self, seconds: f64) -> usize {
        let fit = ((seconds - self.before) / self.epoch.max(1e-9)).floor();
        (0..=MOST).rev().find(|&epochs| epochs as f64 <= fit).unwrap_or(0)
    }

    fn seconds(self, epochs: usize) -> f64 {
        self.before + epochs as f64 * self.epoch
    }
}

/// The request with a network, a size of pictures and epochs that fit into so many `minutes` on this machine, after which it ends in any case:
/// the best network of its family whose weights are on this machine, at the largest size that leaves time for six epochs, and as many epochs as
/// fit, 30 at most. `is_said` is asked by the names of fields which of `model` and `image_size` stay as they are.
///
/// # Errors
/// [`Error::Option`] if there is no time for the fewest epochs of any, if no size is left to pick, and with a teacher, whose time is not known; as [`bench()`]
/// and reading the pictures.
pub fn fit_minutes(
    minutes: f64,
    options: &FineTuneOptions,
    is_said: &dyn Fn(&str) -> bool,
) -> Result<(FineTuneOptions, FittedRun)> {
    let began = Instant::now();
    let options = FineTuneOptions { max_minutes: Some(minutes), ..options.clone() };
    check(&options)?;
    let least = fewest_epochs(&options);
    let sizes = sizes(&options, is_said("image_size"))?;
    let dataset = data::to_count(&options)?;
    let images = [dataset.train.len(), dataset.val.len()];
    let models = match is_said("model") {
        true => vec![options.model.clone()],
        false => family(&options.model)?,
    };
    let seconds = 60.0 * minutes * PLANNED;
    let picked = pick((seconds, least), &models, &sizes, &mut |model, size| {
        pace(model, size, images, &options)
    })?;
    let Some(fitted) = picked else {
        let faster = match options.may_see_features() {
            true => "pictures, a smaller --model or --image-size",
            false => {
                "pictures: give more, or `--freeze backbone` with `--augment none` or `--feature-views`, which takes seconds"
            }
        };
        let epochs = match least {
            1 => "an epoch".to_owned(),
            _ => format!("the {least} epochs that this request needs,"),
        };
        let expected = format!("enough for {epochs} of {} {faster}", images[0]);
        return Err(Error::option("minutes", &minutes, expected));
    };
    // What has been spent on picking is spent.
    let left = (minutes - began.elapsed().as_secs_f64() / 60.0).max(minutes * (1.0 - PLANNED));
    let FittedRun { model, image_size, epochs, .. } = fitted.clone();
    let options = FineTuneOptions {
        model,
        image_size: Some(image_size),
        epochs,
        max_minutes: Some(left),
        ..options
    };
    Ok((options, fitted))
}

/// Refuses what cannot be meant, and whose time is not known.
fn check(options: &FineTuneOptions) -> Result<()> {
    if let Some(teacher) = &options.teacher {
        let expected = "absent with `minutes`, which knows nothing of a teacher's time: give `model`, `image_size` and `epochs`, and `max_minutes`";
        return Err(Error::option("teacher", teacher, expected));
    }
    if let Some(swa) = options.swa.filter(|&swa| swa > MOST) {
        let expected = format!("at most {MOST} with `minutes`, which picks no more epochs");
        return Err(Error::option("swa", &swa, expected));
    }
    // Epochs are picked.
    let epochs = fewest_epochs(options).max(options.epochs);
    FineTuneOptions { epochs, ..options.clone() }.check()
}

/// Epochs that the request needs: pictures that grow have two sizes at least, and an average of epochs has as many as it is of.
fn fewest_epochs(options: &FineTuneOptions) -> usize {
    let growing = options.image_size_from.map_or(1, |_| 2);
    growing.max(options.swa.unwrap_or(1))
}

/// The first of the models, at the largest of the sizes, that leaves time for enough epochs; the one with the most where none does, and nothing where
/// there is no time for the fewest.
fn pick(
    (seconds, least): (f64, usize),
    models: &[String],
    sizes: &[usize],
    pace: &mut dyn FnMut(&str, usize) -> Result<Pace>,
) -> Result<Option<FittedRun>> {
    let mut best: Option<FittedRun> = None;
    for model in models {
        for &image_size in sizes {
            let pace = pace(model, image_size)?;
            let epochs = pace.epochs_in(seconds);
            if epochs >= least && epochs > best.as_ref().map_or(0, |best| best.epochs) {
                let model = model.clone();
                best = Some(FittedRun { model, image_size, epochs, seconds: pace.seconds(epochs) });
            }
            if epochs >= ENOUGH.max(least) {
                return Ok(best);
            }
        }
    }
    Ok(best)
}

/// The size that is said, or those that may be picked: larger than the one that pictures grow from.
///
/// # Errors
/// [`Error::Option`] if there is none.
fn sizes(options: &FineTuneOptions, is_said: bool) -> Result<Vec<usize>> {
    if let Some(size) = options.image_size.filter(|_| is_said) {
        return Ok(vec![size]);
    }
    let Some(from) = options.image_size_from else { return Ok(SIZES.to_vec()) };
    let larger: Vec<usize> = SIZES.into_iter().filter(|&size| size > from).collect();
    match larger.is_empty() {
        false => Ok(larger),
        true => {
            let expected = format!(
                "less than {}, the largest size that is picked, or with an `image_size` that is given",
                SIZES[0]
            );
            Err(Error::option("image_size_from", &from, expected))
        }
    }
}

/// The networks of the family of a name whose weights are on this machine, those that are best on ImageNet first.
fn family(name: &str) -> Result<Vec<String>> {
    let family = |name: &str| name.split(['_', '.']).next().unwrap_or_default().to_owned();
    let mut found = Vec::new();
    for record in taper_zoo::records().iter().filter(|record| family(record.name) == family(name)) {
        if ModelSource::Published(record).load_here()?.is_some() {
            found.push((record.top1, record.name.to_owned()));
        }
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    match found.is_empty() {
        true => Ok(vec![name.to_owned()]),
        false => Ok(found.into_iter().map(|(_, name)| name).collect()),
    }
}

fn pace(
    model: &str,
    size: usize,
    [train, val]: [usize; 2],
    options: &FineTuneOptions,
) -> Result<Pace> {
    let timing = |mode| BenchOptions {
        mode,
        batch: BATCH,
        image_size: Some(size),
        seconds: 0.0,
        matmul_precision: match mode {
            BenchMode::Infer => MatmulPrecision::F32,
            BenchMode::Train => options.matmul_precision,
        },
        threads: options.threads,
        ..BenchOptions::new(model)
    };
    let of_one = |ms: f64| ms / 1e3 / BATCH as f64;
    let look = of_one(bench(&timing(BenchMode::Infer))?.median_ms);
    if options.may_see_features() {
        let looks = train.saturating_mul(options.looks()).saturating_add(val);
        return Ok(Pace { before: looks as f64 * look, epoch: 0.0 });
    }
    let step = of_one(bench_of(&timing(BenchMode::Train), options)?.median_ms);
    let before = if options.begins_with_vectors() { train as f64 * look } else { 0.0 };
    Ok(Pace { before, epoch: train as f64 * step + val as f64 * look })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Augment, Freeze, HeadInit};

    #[test]
    fn as_many_epochs_as_fit_and_no_more_than_are_of_use() {
        let pace = Pace { before: 4.0, epoch: 2.0 };
        assert_eq!([3.0, 6.0, 15.9, 1e6].map(|seconds| pace.epochs_in(seconds)), [0, 1, 5, MOST]);
        assert!((pace.seconds(5) - 14.0).abs() < 1e-12);
    }

    #[test]
    fn the_best_that_leaves_time_for_enough_epochs_is_picked() {
        let models = ["large", "small"].map(str::to_owned);
        let pace = |model: &str, size: usize| {
            let epoch = size as f64 / if model == "large" { 10.0 } else { 40.0 };
            Ok(Pace { before: 0.0, epoch })
        };
        let at_least = |least, seconds| {
            let picked = pick((seconds, least), &models, &[200, 100], &mut { pace }).unwrap();
            picked.map(|it| (it.model, it.image_size, it.epochs))
        };
        let of = |seconds| at_least(1, seconds);
        assert_eq!(of(120.0), Some(("large".to_owned(), 200, 6)));
        assert_eq!(of(119.0), Some(("large".to_owned(), 100, 11)));
        assert_eq!(of(59.0), Some(("small".to_owned(), 200, 11)));
        assert_eq!(of(14.0), Some(("small".to_owned(), 100, 5)));
        assert_eq!(of(2.0), None);
        // An average of more epochs than are enough takes a faster one, and fewer are none.
        assert_eq!(at_least(8, 120.0), Some(("large".to_owned(), 100, 12)));
        assert_eq!(at_least(6, 14.0), None);
        assert_eq!((of(3.0).map(|it| it.2), at_least(2, 3.0)), (Some(1), None));
    }

    #[test]
    fn kept_features_are_computed_once_and_sizes_lie_above_where_they_grow_from() {
        let frozen = FineTuneOptions { freeze: Freeze::Backbone, ..FineTuneOptions::default() };
        let features = FineTuneOptions { augment: Augment::None, ..frozen.clone() };
        let epoch = |options| pace("mobilenetv2_035", 64, [1000, 0], options).unwrap();
        let random = FineTuneOptions { head_init: Some(HeadInit::Random), ..frozen.clone() };
        let (random, frozen, features) = (epoch(&random), epoch(&frozen), epoch(&features));
        assert!(random.epoch > 0.0 && random.before <= 0.0);
        assert!(frozen.epoch > 0.0 && frozen.before > 0.0, "a new head is made of features");
        assert!(features.epoch <= 0.0 && features.before > 0.0);
        assert_eq!(features.epochs_in(1e6), MOST);
        let growing = FineTuneOptions { image_size_from: Some(128), ..FineTuneOptions::default() };
        assert_eq!(sizes(&growing, false).unwrap(), [224, 192, 160]);
        let largest = FineTuneOptions { image_size_from: Some(224), ..growing };
        let refused = sizes(&largest, false).unwrap_err().to_string();
        assert!(
            refused.starts_with("`image_size_from` is 224, it must be less than 224"),
            "{refused}"
        );
        let said = FineTuneOptions { image_size: Some(256), ..largest };
        assert_eq!(sizes(&said, true).unwrap(), [256]);
    }

    #[test]
    fn epochs_that_are_picked_are_no_fewer_than_the_request_needs() {
        let usual = FineTuneOptions::default;
        let growing = FineTuneOptions { image_size_from: Some(128), ..usual() };
        let averaged = FineTuneOptions { swa: Some(9), ..growing.clone() };
        assert_eq!([&usual(), &growing, &averaged].map(fewest_epochs), [1, 2, 9]);
        // Six epochs, which nobody said, are too few for an average of nine.
        assert!(averaged.check().is_err());
        check(&averaged).unwrap();
        let said = |name: &str| name == "model";
        let none = FineTuneOptions { swa: Some(0), ..usual() };
        assert!(fit_minutes(1.0, &none, &said).is_err());
        let taught = FineTuneOptions { teacher: Some("resnet18".to_owned()), ..usual() };
        let refused = fit_minutes(1.0, &taught, &said).unwrap_err();
        assert!(matches!(refused, Error::Option { field: "teacher", .. }), "{refused}");
        let many = FineTuneOptions { swa: Some(MOST + 1), ..usual() };
        let refused = fit_minutes(1e6, &many, &said).unwrap_err();
        assert!(matches!(refused, Error::Option { field: "swa", .. }), "{refused}");
    }

    #[test]
    fn a_run_is_fitted_into_its_minutes_or_told_to_have_more() {
        let options = FineTuneOptions { image_size: Some(32), ..FineTuneOptions::default() };
        let said = |name: &str| ["model", "image_size"].contains(&name);
        let (fitted, run) = fit_minutes(60.0, &options, &said).unwrap();
        assert_eq!((fitted.epochs, fitted.image_size), (run.epochs, Some(32)));
        assert_eq!(fitted.model, options.model);
        assert!(fitted.max_minutes.is_some_and(|left| left < 60.0 && left > 59.0));
        assert!(run.epochs > ENOUGH && run.seconds < 60.0 * 60.0, "{run:?}");
        let refused = fit_minutes(1e-6, &options, &said).unwrap_err();
        assert!(matches!(refused, Error::Option { field: "minutes", .. }), "{refused}");
        assert_eq!(family("mobilenetv2_100").unwrap()[0], "mobilenetv2_100.tv_in1k");
    }
}
