//! What fits into so many minutes: a network, a size of pictures, epochs.
//!
//! Above: the binary, Rust users. Below: `bench`, `data`, `source`, `taper_zoo`. Not here: a run that ends when time is up (`tune::clock`).
//! A few batches of each candidate are run here and now, the best first, until one is fast enough. What a whole run takes besides is a share.

use std::time::Instant;

use serde::Serialize;

use crate::bench::{bench, bench_of};
use crate::data;
use crate::error::{Error, Result};
use crate::options::{BenchMode, BenchOptions, FineTuneOptions};
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
/// [`Error::Option`] if there is no time for one epoch of any; as [`bench()`] and reading the pictures.
pub fn fit_minutes(
    minutes: f64,
    options: &FineTuneOptions,
    is_said: &dyn Fn(&str) -> bool,
) -> Result<(FineTuneOptions, FittedRun)> {
    let began = Instant::now();
    let options = FineTuneOptions { max_minutes: Some(minutes), ..options.clone() };
    options.check()?;
    let dataset = data::to_count(&options)?;
    let images = [dataset.train.len(), dataset.val.len()];
    let models = match is_said("model") {
        true => vec![options.model.clone()],
        false => family(&options.model)?,
    };
    let sizes = sizes(&options, is_said("image_size"));
    let picked = pick(60.0 * minutes * PLANNED, &models, &sizes, &mut |model, size| {
        pace(model, size, images, &options)
    })?;
    let Some(fitted) = picked else {
        let faster = match options.may_see_features() {
            true => "pictures, a smaller --model or --image-size",
            false => {
                "pictures: give more, or `--freeze backbone --augment none`, which takes seconds"
            }
        };
        let expected = format!("enough for an epoch of {} {faster}", images[0]);
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

/// The first of the models, at the largest of the sizes, that leaves time for enough epochs; the one with the most where none does, and nothing where
/// there is no time for one.
fn pick(
    seconds: f64,
    models: &[String],
    sizes: &[usize],
    pace: &mut dyn FnMut(&str, usize) -> Result<Pace>,
) -> Result<Option<FittedRun>> {
    let mut best: Option<FittedRun> = None;
    for model in models {
        for &image_size in sizes {
            let pace = pace(model, image_size)?;
            let epochs = pace.epochs_in(seconds);
            if epochs > best.as_ref().map_or(0, |best| best.epochs) {
                let model = model.clone();
                best = Some(FittedRun { model, image_size, epochs, seconds: pace.seconds(epochs) });
            }
            if epochs >= ENOUGH {
                return Ok(best);
            }
        }
    }
    Ok(best)
}

/// The size that is said, or those that may be picked: larger than the one that pictures grow from.
fn sizes(options: &FineTuneOptions, is_said: bool) -> Vec<usize> {
    match options.image_size.filter(|_| is_said) {
        Some(size) => vec![size],
        None => {
            let from = options.image_size_from.unwrap_or(0);
            SIZES.into_iter().filter(|&size| size > from).collect()
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
        threads: options.threads,
        ..BenchOptions::new(model)
    };
    let of_one = |ms: f64| ms / 1e3 / BATCH as f64;
    let look = of_one(bench(&timing(BenchMode::Infer))?.median_ms);
    if options.may_see_features() {
        return Ok(Pace { before: (train + val) as f64 * look, epoch: 0.0 });
    }
    let step = of_one(bench_of(&timing(BenchMode::Train), options)?.median_ms);
    let before = if options.warms_head() { train as f64 * look } else { 0.0 };
    Ok(Pace { before, epoch: train as f64 * step + val as f64 * look })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Augment, Freeze};

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
        let of = |seconds| {
            let picked = pick(seconds, &models, &[200, 100], &mut { pace }).unwrap();
            picked.map(|it| (it.model, it.image_size, it.epochs))
        };
        assert_eq!(of(120.0), Some(("large".to_owned(), 200, 6)));
        assert_eq!(of(119.0), Some(("large".to_owned(), 100, 11)));
        assert_eq!(of(59.0), Some(("small".to_owned(), 200, 11)));
        assert_eq!(of(14.0), Some(("small".to_owned(), 100, 5)));
        assert_eq!(of(2.0), None);
    }

    #[test]
    fn kept_features_are_computed_once_and_sizes_lie_above_where_they_grow_from() {
        let frozen = FineTuneOptions { freeze: Freeze::Backbone, ..FineTuneOptions::default() };
        let features = FineTuneOptions { augment: Augment::None, ..frozen.clone() };
        let epoch = |options| pace("mobilenetv2_035", 64, [1000, 0], options).unwrap();
        let (frozen, features) = (epoch(&frozen), epoch(&features));
        assert!(frozen.epoch > 0.0 && frozen.before <= 0.0);
        assert!(features.epoch <= 0.0 && features.before > 0.0);
        assert_eq!(features.epochs_in(1e6), MOST);
        let growing = FineTuneOptions { image_size_from: Some(128), ..FineTuneOptions::default() };
        assert_eq!(sizes(&growing, false), [224, 192, 160]);
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
