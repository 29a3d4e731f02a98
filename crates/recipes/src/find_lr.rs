//! A learning rate from a range test: what `lr` auto trains with, and a page that shows why.
//!
//! Above: the binary, Rust users, `fine_tune`. Below: `tune::lr_range`, `cost::page`, `run`. Not here: the test's steps (`taper_train::LrRangeTest`).
//! Source: Smith 2017, <https://arxiv.org/abs/1506.01186>; the suggestions are fastai's.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};
use taper_data::Dataset;
use taper_distributed::Group;
use taper_report::{
    Block, Cell, Chart, Curve, Curves, Dimension, Look, Mark, Page, Scale, Table, Unit,
};
use taper_train::{DataParallel, LrEnd, LrRange};

use crate::cost::page;
use crate::error::{Error, Result};
use crate::extend;
use crate::fine_tune::{Begun, PreparedRun};
use crate::inputs::{inputs, teacher};
use crate::observer::{Event, Observer};
use crate::options::FineTuneOptions;
use crate::ranks;
use crate::run::{self, Kept};
use crate::tune::Tune;

/// What a range test of learning rates has found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LrReport {
    /// The suggestion: [`minimum`](Self::minimum), or [`usual`](Self::usual) where the loss did not fall. On four sets, after a head that was trained
    /// alone, the valley was 1.5 to 8 times below what trains best, and the steepest place, which is that of a noisy loss, 5 times and more.
    pub lr: f64,
    /// What is trained with when nothing is said.
    pub usual: f64,
    /// A tenth of the rate at which the loss is least.
    #[serde(default)]
    pub minimum: Option<f64>,
    /// The rate half of the way down the longest fall of the loss.
    pub valley: Option<f64>,
    /// The rate at which the loss falls fastest.
    pub steepest: Option<f64>,
    /// Why the test ended.
    pub end: LrEnd,
    /// The steps.
    pub steps: Vec<TriedLr>,
    /// The folder that has `lr.html` and `lr.json`.
    pub out: PathBuf,
}

/// A step of a range test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TriedLr {
    /// Its learning rate.
    pub lr: f64,
    /// Mean over its batch before the step, in nats.
    pub loss: f64,
    /// The mean of the losses so far, of which later ones count more.
    pub smoothed: f64,
}

/// Looks for a learning rate for what `options` ask, and trains nothing: some 100 steps with the recipe's network, after its head was
/// trained alone if it is to be, pictures and rule, at rates that grow from one to the next until the loss is lost.
///
/// The folder `out`, or the first free one of `runs/find-lr-1`, …, gets `lr.html` and `lr.json`. The options `lr` and `lr_auto` say
/// nothing here. A run with `lr_auto` does the same by itself. The same options give the same rate.
///
/// # Errors
/// As [`fine_tune`](crate::fine_tune); [`Error::Stopped`].
///
/// # Examples
/// ```
/// use std::sync::atomic::AtomicBool;
/// use taper_recipes::{Augment, FineTuneOptions, Freeze, Silent, find_lr};
///
/// # let dir = tempfile::tempdir()?;
/// # let out = Some(dir.path().join("lr"));
/// let options = FineTuneOptions {
///     freeze: Freeze::Backbone,
///     augment: Augment::None,
///     image_size: Some(32),
///     out,
///     ..FineTuneOptions::default()
/// };
/// let report = find_lr(&options, &AtomicBool::new(false), &mut Silent)?;
/// assert!(report.lr > 0.0 && report.out.join("lr.html").is_file());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn find_lr(
    options: &FineTuneOptions,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<LrReport> {
    look(None, options, stop, observer)
}

/// [`find_lr`] on a data set of your own, as [`fine_tune_on`](crate::fine_tune_on) takes it.
///
/// # Errors
/// As [`find_lr`].
pub fn find_lr_on(
    dataset: &Dataset,
    options: &FineTuneOptions,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<LrReport> {
    look(Some(dataset), options, stop, observer)
}

fn look(
    dataset: Option<&Dataset>,
    options: &FineTuneOptions,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<LrReport> {
    let options = FineTuneOptions { lr: None, ..options.clone() };
    options.check()?;
    let out = run::vacant_for("find-lr", options.out.as_deref())?;
    run::must_be_no_class(out.path(), options.data.as_deref(), options.table.as_deref())?;
    let kept = Kept { teacher: teacher(&options, stop, observer)?, ..Kept::default() };
    let cache = options.open_cache(1)?;
    let (model, dataset) = inputs(dataset, &kept, &cache, stop, &options, observer)?;
    let (model, kept) = match extend::extend(&model, &dataset, &options, stop, observer)? {
        Some(extended) if !extended.is_whole => {
            let expected = "false where a rate is looked for: classes without pictures are kept, and nothing is trained";
            return Err(Error::option("keep", &true, expected));
        }
        Some(extended) => extended.begin(kept),
        None => (model, kept),
    };
    let options = FineTuneOptions { lr_auto: true, shards: 1, ..options };
    let prepared = PreparedRun::with(model, dataset, kept, &options, stop, observer)?;
    let alone = (&Group::alone(), Begun::Before); // steps stay whole
    let (prepared, fitted) = prepared.keeping(&cache).fitted(&options, alone, observer)?;
    let found = search(prepared, &fitted, stop, observer)?;
    let report = LrReport { out: out.path().to_path_buf(), ..found };
    let failed = |source| Error::File { action: "create", path: report.out.clone(), source };
    fs::create_dir_all(&report.out).map_err(failed)?;
    report.write(&report.out)?;
    observer.on_event(&Event::FoundLr(&report));
    Ok(report)
}

/// The rate of a run that asks for one and is prepared: the first rank looks for it, on a batch as a whole, and tells the others.
pub(crate) fn found(
    parallel: &DataParallel,
    begins: Option<PreparedRun<'_>>,
    options: &FineTuneOptions,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<Option<LrReport>> {
    let Some(begins) = begins else { return Ok(None) };
    let unreadable = |source| Error::Config { path: PathBuf::from(FILES[1]), source };
    let bytes = match parallel.group().is_first() {
        true => {
            serde_json::to_vec(&search(begins, options, stop, observer)?).map_err(unreadable)?
        }
        false => Vec::new(),
    };
    let bytes = parallel.group().broadcast(0, bytes)?;
    let report: LrReport = serde_json::from_slice(&bytes).map_err(unreadable)?;
    observer.on_event(&Event::FoundLr(&report));
    Ok(Some(report))
}

/// The test on a run that is prepared, with steps that are whole.
fn search(
    prepared: PreparedRun<'_>,
    options: &FineTuneOptions,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<LrReport> {
    let alone = &FineTuneOptions {
        shards: 1,
        sync_bn: false,
        sync_every: 1,
        outer_lr: None,
        outer_momentum: 0.0,
        ..options.clone()
    };
    let parallel = ranks::share(Group::alone().into(), alone)?;
    let range = Tune::new(prepared, alone, &parallel)?.lr_range(stop, observer)?;
    Ok(LrReport::of(&range.ok_or(Error::Stopped)?, alone))
}

/// The page, and the numbers.
const FILES: [&str; 2] = ["lr.html", "lr.json"];

impl LrReport {
    fn of(range: &LrRange, options: &FineTuneOptions) -> Self {
        let usual = FineTuneOptions::default_lr(options.optimizer, &options.freeze);
        let [minimum, valley, steepest] =
            [range.minimum(), range.valley(), range.steepest()].map(|lr| lr.map(rounded));
        let steps = range.points.iter().map(|point| {
            let taper_train::LrPoint { lr, loss, smoothed } = *point;
            TriedLr { lr, loss, smoothed }
        });
        LrReport {
            lr: minimum.unwrap_or(usual),
            usual,
            minimum,
            valley,
            steepest,
            end: range.end,
            steps: steps.collect(),
            out: PathBuf::new(),
        }
    }

    /// Writes both files into a folder that is there.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(FILES[1]);
        let failed = |source| Error::File { action: "write", path: path.clone(), source };
        let text = serde_json::to_string_pretty(self)
            .map_err(|source| Error::Config { path: path.clone(), source })?;
        taper_files::replace(&path, |file| writeln!(file, "{text}")).map_err(failed)?;
        page::write(&folder.join(FILES[0]), &self.page())
    }

    /// Where the test ended, in words; none if that was at the last rate.
    #[must_use]
    pub fn ended(&self) -> Option<&'static str> {
        match self.end {
            LrEnd::Lost => Some("where the loss was lost"),
            LrEnd::Learned => Some("where a tenth of the loss was left"),
            _ => None,
        }
    }

    fn page(&self) -> Page {
        let curve = |name: &str, look, of: fn(&TriedLr) -> f64| Curve {
            name: name.to_owned(),
            points: self.steps.iter().map(|step| [step.lr, of(step)]).collect(),
            look,
        };
        let dimension = |name: &str, scale| {
            let (name, unit) = (name.to_owned(), Unit::Number);
            Dimension { name, unit, scale }
        };
        // The suggestion is one of them, or the usual rate.
        let places = [("valley", self.valley), ("steepest", self.steepest)];
        let others = places.into_iter().filter_map(|(name, lr)| Some((name, lr?)));
        let marks = [("suggestion", self.lr)].into_iter().chain(others);
        let mark = |(name, at): (&str, f64)| Mark { name: name.to_owned(), at };
        let chart = Chart::from(Curves {
            title: "Loss over the learning rate".to_owned(),
            across: dimension("learning rate", Scale::Log10),
            upward: dimension("loss", Scale::Log10),
            curves: vec![
                curve("loss of the step", Look::Faint, |step| step.loss),
                curve("mean of the losses so far", Look::Line, |step| step.smoothed),
            ],
            marks: marks.map(mark).collect(),
        });
        let number = |value: f64| Cell::Number(value, Unit::Number);
        let row = |step: &TriedLr| {
            vec![Cell::Words(format!("{:.2e}", step.lr)), number(step.loss), number(step.smoothed)]
        };
        let head = ["learning rate", "loss of the step", "mean so far"].map(str::to_owned).to_vec();
        let table = Table { head, rows: self.steps.iter().map(row).collect() };
        let steps = Block::Folded { summary: "Steps as a table".to_owned(), table };
        let said = |name: &str, lr: Option<f64>| match lr {
            Some(lr) => format!("{name} {lr}"),
            None => format!("{name} none: the loss does not fall"),
        };
        let note = [
            format!("suggestion {}", self.lr),
            said("minimum", self.minimum),
            said("valley", self.valley),
            said("steepest", self.steepest),
            format!("usual {}", self.usual),
        ];
        let end = self.ended().map_or_else(String::new, |how| format!("the test ended {how}"));
        Page {
            title: "Which learning rate".to_owned(),
            note: note.join(", "),
            sections: vec![page::section(
                "Range test",
                &end,
                vec![page::charts("", vec![chart], None), steps],
            )],
        }
    }
}

/// With two digits: the place of a fall is not known better.
fn rounded(lr: f64) -> f64 {
    format!("{lr:.1e}").parse().unwrap_or(lr)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Augment;
    use crate::{Freeze, Silent, fine_tune};

    fn options(dir: &Path, name: &str) -> FineTuneOptions {
        FineTuneOptions {
            freeze: Freeze::Backbone,
            augment: Augment::None,
            image_size: Some(32),
            epochs: 2,
            out: Some(dir.join(name)),
            ..FineTuneOptions::default()
        }
    }

    fn trained(options: &FineTuneOptions) -> Vec<u8> {
        let stop = AtomicBool::new(false);
        let report = fine_tune(options, &stop, &mut Silent).unwrap();
        fs::read(report.model.unwrap()).unwrap()
    }

    #[test]
    fn a_run_that_finds_its_rate_is_the_run_with_that_rate() {
        let dir = tempfile::tempdir().unwrap();
        let auto = FineTuneOptions { lr_auto: true, ..options(dir.path(), "auto") };
        let model = trained(&auto);
        let run = dir.path().join("auto");
        let config: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(run.join("config.json")).unwrap()).unwrap();
        let text = fs::read_to_string(run.join("lr.json")).unwrap();
        let report: LrReport = serde_json::from_str(&text).unwrap();
        assert_eq!(config["options"]["lr"].as_f64(), Some(report.lr));
        let html = fs::read_to_string(run.join("lr.html")).unwrap();
        assert!(html.contains("<svg") && html.contains(">suggestion</text>"), "{html}");
        assert!(report.steps.len() > 20 && report.steps[0].lr < report.usual);
        let said = FineTuneOptions { lr: Some(report.lr), ..options(dir.path(), "said") };
        assert_eq!(model, trained(&said));
        let usual = options(dir.path(), "usual");
        assert!((report.lr - usual.peak_lr()).abs() > 1e-9, "{}", report.lr);
        assert_ne!(model, trained(&usual));
    }

    #[test]
    fn a_test_with_pictures_of_a_warmed_head_is_the_same_again_and_leaves_its_folder_alone() {
        let dir = tempfile::tempdir().unwrap();
        let options = |name: &str| FineTuneOptions {
            freeze: Freeze::None,
            augment: Augment::Yes,
            model: "mobilenetv2_035".to_owned(),
            pretrained: crate::Pretrained::None,
            ..options(dir.path(), name)
        };
        let look = |name| find_lr(&options(name), &AtomicBool::new(false), &mut Silent);
        let (first, again) = (look("a").unwrap(), look("b").unwrap());
        assert_eq!(first.steps, again.steps);
        fs::write(dir.path().join("a/config.json"), "{}").unwrap();
        assert!(matches!(look("a"), Err(Error::OutExists { .. })));
        let stopped = find_lr(&options("c"), &AtomicBool::new(true), &mut Silent);
        assert!(matches!(stopped, Err(Error::Stopped)));
        assert!(!dir.path().join("c").exists());
    }

    fn steps(options: &FineTuneOptions) -> Vec<TriedLr> {
        find_lr(options, &AtomicBool::new(false), &mut Silent).unwrap().steps
    }

    #[test]
    fn parts_that_wait_for_their_turn_are_frozen_in_a_test_too() {
        let dir = tempfile::tempdir().unwrap();
        let with = |name: &str, freeze: Freeze, unfreeze_every| {
            let small = "mobilenetv2_035".to_owned();
            let pretrained = crate::Pretrained::None;
            let usual = options(dir.path(), name);
            steps(&FineTuneOptions { freeze, unfreeze_every, model: small, pretrained, ..usual })
        };
        let head = with("head", Freeze::AllBut(Vec::new()), None);
        assert_eq!(with("late", Freeze::None, Some(1000)), head);
        assert_ne!(with("all", Freeze::None, None), head);
        // 425 pictures are 14 steps, after which a second part is trained.
        let soon = with("soon", Freeze::None, Some(1));
        assert_eq!(soon[..14], head[..14]);
        assert_ne!(soon[15..], head[15..]);
    }

    #[test]
    fn pictures_that_grow_have_in_a_test_the_size_of_the_first_epochs() {
        let dir = tempfile::tempdir().unwrap();
        let with = |name: &str, image_size, image_size_from, epochs| {
            let usual = FineTuneOptions { freeze: Freeze::None, ..options(dir.path(), name) };
            let usual = FineTuneOptions { head_epochs: 0, image_size_from, epochs, ..usual };
            let pretrained = crate::Pretrained::None;
            let model = "mobilenetv2_035".to_owned();
            steps(&FineTuneOptions { image_size: Some(image_size), model, pretrained, ..usual })
        };
        let small = with("small", 32, None, 6);
        assert_eq!(with("slowly", 64, Some(32), 1000), small);
        let growing = with("growing", 64, Some(32), 2);
        assert_eq!(growing[..14], small[..14]);
        assert_ne!(growing[15..], small[15..]);
    }

    #[test]
    fn rows_of_classes_that_a_model_file_knows_are_kept_in_a_test() {
        let dir = tempfile::tempdir().unwrap();
        let run = options(dir.path(), "run");
        trained(&run);
        let model = dir.path().join("run/model.safetensors").display().to_string();
        let known = steps(&FineTuneOptions { model, ..options(dir.path(), "known") });
        let new = steps(&options(dir.path(), "new"));
        assert!(known[0].loss < 0.9 * new[0].loss, "{} {}", known[0].loss, new[0].loss);
    }

    #[test]
    fn rates_have_two_digits() {
        assert!((rounded(0.001_234) - 0.0012).abs() < 1e-12);
        assert!((rounded(98.7) - 99.0).abs() < 1e-9);
    }
}
