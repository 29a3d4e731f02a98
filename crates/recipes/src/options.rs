//! What can be asked of the recipes: options with their defaults, checked before any work begins.
//!
//! Above: `fine_tune`, `evaluate`, `predict`, the binary's flags. Below: `error`. Not here: how options become a network
//! and an optimizer (`setup`).
//! The defaults are written here and nowhere else: `--help` and the first lines of a run read them from here.

mod augment;
mod cache;
mod choice;
mod demo;
mod doctor;
mod embed;
mod fine_tune;
mod list;
mod look;
mod numbers;
mod optimizer;
mod preset;
mod prune;
mod schedule;
mod sizes;
mod sparsify;
mod table;

use std::path::PathBuf;

use taper_engine::Cpu;

use crate::error::{Error, Result};

pub use augment::{Augment, AugmentHelp, AugmentStep};
pub use choice::{
    BenchMode, CacheKind, ClassWeights, HeadInit, Labels, LossKind, MatmulPrecision, Norms,
    OptimizerKind, Preset, Pretrained, Reduce, ReduceDtype, Sampling, Scaling, ScheduleKind,
    TargetWord, Tta,
};
pub use demo::DemoOptions;
pub use doctor::DoctorOptions;
pub use embed::{EmbedOptions, SimilarOptions};
pub use fine_tune::FineTuneOptions;
pub use list::{OptionValue, Role};
pub use look::LookOptions;
pub use numbers::Numbers;
pub use prune::PruneOptions;
pub use sparsify::{NOfM, SparsifyOptions, Zeros};
pub use table::TableColumns;

/// The most threads that can be asked for.
pub const MAX_THREADS: usize = Cpu::MOST_THREADS;

/// What evaluating needs to know.
#[derive(Debug, Clone, PartialEq)]
pub struct EvaluateOptions {
    /// A name of the zoo, a model file, or what [`weights_of`](crate::weights_of) says.
    pub model: String,
    /// A folder of pictures: its `val` if it has one, otherwise all of it; a [table](taper_data::table) of pictures and their targets; or
    /// another [source](taper_data::Source).
    pub data: PathBuf,
    /// A table of pictures that lie in the folder `data`.
    pub table: Option<PathBuf>,
    /// The table's columns; what is not said is told from the model and the columns.
    pub columns: TableColumns,
    /// A folder of pictures of other things, in classes or not: how well are they told from those of `data`?
    pub others: Option<PathBuf>,
    /// How the folder's classes are matched with the model's.
    pub labels: Labels,
    /// Pictures a batch, 1 or more.
    pub batch_size: usize,
    /// Height and width of the network's input, in pixels; the model's own when absent.
    pub image_size: Option<usize>,
    /// Which views of a picture are looked at.
    pub tta: Tta,
    /// Refuse a folder with files that are no pictures, instead of skipping them.
    pub strict: bool,
    /// Threads of computing and of reading pictures; 0 for all there are.
    pub threads: usize,
}

impl EvaluateOptions {
    /// Everything but the two things that have no default.
    pub fn new(model: impl Into<String>, data: impl Into<PathBuf>) -> Self {
        EvaluateOptions {
            model: model.into(),
            data: data.into(),
            table: None,
            columns: TableColumns::default(),
            others: None,
            labels: Labels::Name,
            batch_size: 32,
            image_size: None,
            tta: Tta::None,
            strict: false,
            threads: 0,
        }
    }

    /// For a data set that is given to [`evaluate_on`](crate::evaluate_on).
    pub fn of_model(model: impl Into<String>) -> Self {
        Self::new(model, PathBuf::new())
    }

    /// Refuses what cannot be meant.
    ///
    /// # Errors
    /// [`Error::Option`] for a batch of nothing, and for several views with `others`, whose familiarity is that of one.
    pub fn check(&self) -> Result<()> {
        check_threads(self.threads)?;
        check_size(self.image_size)?;
        if self.others.is_some() && self.tta != Tta::None {
            let expected =
                "none with `others`: what is familiar is told from one view of a picture";
            return Err(Error::option("tta", &self.tta, expected));
        }
        at_least("batch_size", self.batch_size, 1)
    }
}

/// What predicting needs to know.
#[derive(Debug, Clone, PartialEq)]
pub struct PredictOptions {
    /// A name of the zoo, a model file, or what [`weights_of`](crate::weights_of) says.
    pub model: String,
    /// Files to look at; in the place of a folder, the files that lie in it, by name.
    pub images: Vec<PathBuf>,
    /// Pictures besides, as [`EvaluateOptions::data`] says them: what validates if there is such, otherwise all; also a folder of pictures
    /// without classes. A table and shards say what pictures show as they do for evaluating, though nobody compares.
    pub data: Option<PathBuf>,
    /// A table of pictures that lie in the folder `data`.
    pub table: Option<PathBuf>,
    /// The table's columns; what is not said is told from the model and the columns.
    pub columns: TableColumns,
    /// Classes to name for each picture, 1 or more; fewer if the model has fewer.
    pub top: usize,
    /// Whether pictures of other things are told as such, for which the model file has to have a threshold.
    pub unknown: bool,
    /// Height and width of the network's input, in pixels; the model's own when absent.
    pub image_size: Option<usize>,
    /// Which views of a picture are looked at.
    pub tta: Tta,
    /// Threads of computing; 0 for all there are.
    pub threads: usize,
}

impl PredictOptions {
    /// The five likeliest classes of each picture, on all threads.
    pub fn new(model: impl Into<String>, images: Vec<PathBuf>) -> Self {
        PredictOptions {
            model: model.into(),
            images,
            data: None,
            table: None,
            columns: TableColumns::default(),
            top: 5,
            unknown: false,
            image_size: None,
            tta: Tta::None,
            threads: 0,
        }
    }

    /// Refuses what cannot be meant.
    ///
    /// # Errors
    /// [`Error::Option`] for no classes, and for a table or its columns without `data`; [`Error::NoImages`] for neither `images` nor `data`.
    pub fn check(&self) -> Result<()> {
        if self.data.is_none() {
            let said = self.table.is_some().then_some("table").or(self.columns.first());
            if let Some(name) = said {
                return Err(Error::option(name, &"given", "absent without `data`"));
            }
            if self.images.is_empty() {
                return Err(Error::NoImages);
            }
        }
        check_threads(self.threads)?;
        check_size(self.image_size)?;
        at_least("top", self.top, 1)
    }
}

/// What measuring needs to know.
#[derive(Debug, Clone, PartialEq)]
pub struct BenchOptions {
    /// A name of the zoo, a model file, or what [`weights_of`](crate::weights_of) says.
    pub model: String,
    /// What is measured.
    pub mode: BenchMode,
    /// Images a batch, 1 or more. Training needs as many as batch norm needs for a variance: 2 or more for small images.
    pub batch: usize,
    /// Height and width of the images, pixels; the model's own when absent.
    pub image_size: Option<usize>,
    /// How long is measured, at least, in seconds; 0 or more. There are at least five runs.
    pub seconds: f64,
    /// What a training step multiplies.
    pub matmul_precision: MatmulPrecision,
    /// Threads; 0 for all there are.
    pub threads: usize,
}

impl BenchOptions {
    /// Inference of one image of the model's own size, on all threads, for three seconds.
    pub fn new(model: impl Into<String>) -> Self {
        BenchOptions {
            model: model.into(),
            mode: BenchMode::Infer,
            batch: 1,
            image_size: None,
            seconds: 3.0,
            matmul_precision: MatmulPrecision::F32,
            threads: 0,
        }
    }

    /// Refuses what cannot be meant.
    ///
    /// # Errors
    /// [`Error::Option`] for a batch of nothing, images too small or too large, or a time that is none.
    pub fn check(&self) -> Result<()> {
        check_threads(self.threads)?;
        at_least("batch", self.batch, 1)?;
        check_size(self.image_size)?;
        let seconds = self.seconds;
        let precision = self.matmul_precision;
        precision.check()?;
        if (self.mode, precision) == (BenchMode::Infer, MatmulPrecision::Bf16) {
            let expected = "f32 with `mode` infer: bf16 is for training steps";
            return Err(Error::option("matmul_precision", &precision, expected));
        }
        require("seconds", seconds, (0.0..=86_400.0).contains(&seconds), "from 0 to a day")
    }
}

/// An image size that a network can take and a machine can hold.
fn check_size(image_size: Option<usize>) -> Result<()> {
    let Some(size) = image_size else { return Ok(()) };
    at_least("image_size", size, 32)?;
    if size > 4096 {
        return Err(Error::option("image_size", &size, "4096 or less"));
    }
    Ok(())
}

pub(crate) fn at_least(field: &'static str, got: usize, least: usize) -> Result<()> {
    if got < least {
        return Err(Error::option(field, &got, format!("{least} or more")));
    }
    Ok(())
}

fn require(field: &'static str, got: f64, holds: bool, expected: &str) -> Result<()> {
    if !holds {
        return Err(Error::option(field, &got, expected));
    }
    Ok(())
}

/// A number of threads that a machine may have; 0 is all of them.
pub(crate) fn check_threads(threads: usize) -> Result<()> {
    if threads > MAX_THREADS {
        return Err(Error::option("threads", &threads, format!("from 0 to {MAX_THREADS}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use taper_transfer::Freeze;

    use super::*;

    fn refusal(change: impl FnOnce(&mut FineTuneOptions)) -> String {
        let mut options = FineTuneOptions::default();
        change(&mut options);
        let error = options.check().unwrap_err();
        assert!(error.is_request(), "{error}");
        error.to_string()
    }

    #[test]
    fn defaults_are_allowed() {
        FineTuneOptions::default().check().unwrap();
        EvaluateOptions::new("a", "b").check().unwrap();
    }

    #[test]
    fn options_that_cannot_be_meant_are_refused_by_name() {
        assert_eq!(refusal(|o| o.epochs = 0), "`epochs` is 0, it must be 1 or more");
        assert_eq!(refusal(|o| o.batch_size = 0), "`batch_size` is 0, it must be 1 or more");
        for lr in [f64::NAN, f64::INFINITY, 0.0, -0.1] {
            assert_eq!(
                refusal(|o| o.lr = Some(lr)),
                format!("`lr` is {lr}, it must be a positive number")
            );
        }
        assert!(refusal(|o| o.momentum = Some(1.0)).starts_with("`momentum` is 1"));
        assert!(refusal(|o| o.weight_decay = f64::NAN).starts_with("`weight_decay` is NaN"));
        assert!(refusal(|o| o.label_smoothing = 1.0).starts_with("`label_smoothing` is 1"));
        assert!(refusal(|o| o.head_lr_scale = Some(0.0)).starts_with("`head_lr_scale` is 0"));
        assert!(refusal(|o| o.min_crop = f64::NAN).starts_with("`min_crop` is NaN"));
        assert!(
            refusal(|o| o.ema = Some(1.0)).starts_with("`ema` is 1, it must be from 0 to below 1")
        );
        assert!(refusal(|o| o.clip_norm = Some(-1.0)).starts_with("`clip_norm` is -1"));
        assert!(refusal(|o| o.image_size = Some(31)).starts_with("`image_size` is 31"));
        assert!(refusal(|o| o.image_size = Some(100_000)).starts_with("`image_size` is 100000"));
        assert!(refusal(|o| o.val_fraction = 0.0).starts_with("`val_fraction` is 0"));
        assert!(refusal(|o| o.val_fraction = 1.0).starts_with("`val_fraction` is 1"));
        for seconds in [f64::NAN, -1.0, f64::INFINITY] {
            let error = BenchOptions { seconds, ..BenchOptions::new("a") }.check().unwrap_err();
            assert!(error.to_string().starts_with("`seconds` is "), "{error}");
        }
        let others = EvaluateOptions { others: Some("c".into()), ..EvaluateOptions::new("a", "b") };
        others.check().unwrap();
        let error = EvaluateOptions { tta: Tta::Flip, ..others }.check().unwrap_err();
        assert!(error.to_string().starts_with("`tta` is flip, it must be none with `others`"));
        let nothing = PredictOptions::new("a", Vec::new());
        assert!(nothing.check().unwrap_err().is_request());
        let data = PredictOptions { data: Some("b".into()), ..nothing.clone() };
        data.check().unwrap();
        let table = PredictOptions { table: Some("c.csv".into()), ..data };
        table.check().unwrap();
        let error = PredictOptions { data: None, ..table }.check().unwrap_err();
        assert_eq!(error.to_string(), "`table` is given, it must be absent without `data`");
        let columns = TableColumns { image: Some("d".to_owned()), ..TableColumns::default() };
        let error = PredictOptions { columns, ..nothing }.check().unwrap_err();
        assert!(error.to_string().starts_with("`image_column` is given"), "{error}");
    }

    #[test]
    fn options_survive_json() {
        let options = FineTuneOptions {
            freeze: Freeze::Stage("blocks.3".to_owned()),
            lr: Some(0.1),
            data: Some("photos".into()),
            ..FineTuneOptions::default()
        };
        let text = serde_json::to_string(&options).unwrap();
        assert!(text.contains(r#""freeze":"blocks.3""#), "{text}");
        assert_eq!(serde_json::from_str::<FineTuneOptions>(&text).unwrap(), options);
    }

    #[test]
    fn choices_are_spelled_as_on_the_command_line() {
        assert_eq!("adamw".parse::<OptimizerKind>().unwrap(), OptimizerKind::AdamW);
        assert_eq!(OptimizerKind::AdamW.to_string(), "adamw");
        let error = "adamax".parse::<OptimizerKind>().unwrap_err();
        assert!(
            error.to_string().starts_with("`adamax` is not one of sgd, adam, adamw, "),
            "{error}"
        );
    }
}
