//! What can be asked of the recipes: options with their defaults, checked before any work begins.
//!
//! Above: `fine_tune`, `evaluate`, `predict`, the binary's flags. Below: `error`. Not here: how options become a network
//! and an optimizer (`setup`).
//! The defaults are written here and nowhere else: `--help` and the first lines of a run read them from here.

mod look;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use taper_transfer::Freeze;

use crate::error::{Error, Result};

pub use look::LookOptions;

/// What fine-tuning needs to know. [`Default`] fine-tunes the embedded MobileNetV2 on the embedded pictures.
///
/// ```
/// use taper_recipes::{FineTuneOptions, Freeze};
///
/// let options = FineTuneOptions { epochs: 3, freeze: Freeze::Backbone, ..FineTuneOptions::default() };
/// assert!(options.check().is_ok());
/// let error = FineTuneOptions { batch_size: 0, ..options }.check().unwrap_err();
/// assert!(error.is_request());
/// assert_eq!(error.to_string(), "--batch-size is 0, it must be 1 or more");
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FineTuneOptions {
    /// A folder of pictures, `DIR/<class>/*` or `DIR/train/<class>/*` with `DIR/val/<class>/*`; the embedded pictures
    /// when absent.
    pub data: Option<PathBuf>,
    /// A name of the zoo, a model file, or what [`weights_of`](crate::weights_of) says.
    pub model: String,
    /// Whether training begins with the model's weights or with random ones.
    pub pretrained: Pretrained,
    /// Passes over the training pictures, 1 or more.
    pub epochs: usize,
    /// Pictures a step, 1 or more; the last batch of an epoch may be smaller.
    pub batch_size: usize,
    /// Highest learning rate; [`FineTuneOptions::default_lr`] when absent.
    pub lr: Option<f64>,
    /// Passes over the training pictures' features with which the new head is trained alone before everything is, so that the first
    /// steps do not pull trained layers after a random head (Kumar et al. 2022, <https://arxiv.org/abs/2202.10054>). 0 for none; with a
    /// frozen backbone or without pretrained weights there are none.
    pub head_epochs: usize,
    /// Factor on the learning rate of the new head, above 0; see [`FineTuneOptions::head_scale`] when absent.
    pub head_lr_scale: Option<f64>,
    /// The rule of a step.
    pub optimizer: OptimizerKind,
    /// SGD's momentum, in `[0, 1)`; PyTorch's convention, without dampening.
    pub momentum: f64,
    /// Weight decay of weights, 0 or more; norms and biases have none. Coupled in SGD, decoupled in AdamW.
    pub weight_decay: f64,
    /// How the learning rate falls.
    pub schedule: ScheduleKind,
    /// Steps over which the learning rate rises from 0.
    pub warmup: u64,
    /// Label smoothing, in `[0, 1)`.
    pub label_smoothing: f64,
    /// Largest norm of all gradients together; no limit when absent.
    pub clip_norm: Option<f64>,
    /// Whether training pictures are cropped and flipped at random.
    pub augment: Augment,
    /// Smallest share of a picture's area that a random crop keeps, in `(0, 1]`; torchvision's default is 0.08.
    pub min_crop: f64,
    /// What is not trained. A frozen norm keeps its running statistics and uses them.
    #[serde(with = "as_word")]
    pub freeze: Freeze,
    /// Height and width of the network's input, in pixels, 32 or more; the model's own when absent.
    pub image_size: Option<usize>,
    /// Share of each class held out when the folder has no `val`, in `(0, 1)`.
    pub val_fraction: f64,
    /// Refuse a folder with files that are no pictures, instead of skipping them.
    pub strict: bool,
    /// Decides the new head's weights, the split, the order and the crops.
    pub seed: u64,
    /// The run's folder; the first free one of `runs/finetune-1`, `runs/finetune-2`, … when absent.
    pub out: Option<PathBuf>,
    /// Threads of computing and of reading pictures; 0 for all there are.
    pub threads: usize,
}

impl Default for FineTuneOptions {
    fn default() -> Self {
        FineTuneOptions {
            data: None,
            model: "mobilenetv2_100.tv_in1k".to_owned(),
            pretrained: Pretrained::Yes,
            epochs: 6,
            batch_size: 32,
            lr: None,
            head_epochs: 20,
            head_lr_scale: None,
            optimizer: OptimizerKind::Sgd,
            momentum: 0.9,
            weight_decay: 1e-4,
            schedule: ScheduleKind::Cosine,
            warmup: 10,
            label_smoothing: 0.0,
            clip_norm: None,
            augment: Augment::Yes,
            min_crop: 0.25,
            freeze: Freeze::None,
            image_size: None,
            val_fraction: 0.2,
            strict: false,
            seed: 0,
            out: None,
            threads: 0,
        }
    }
}

impl FineTuneOptions {
    /// The learning rate when none is given.
    pub fn default_lr(optimizer: OptimizerKind, freeze: &Freeze) -> f64 {
        match (optimizer, freeze) {
            (OptimizerKind::Sgd, Freeze::Backbone) => 0.01,
            (OptimizerKind::Sgd, _) => 1e-3,
            (OptimizerKind::AdamW, Freeze::Backbone) => 3e-3,
            (OptimizerKind::AdamW, _) => 1e-4,
        }
    }

    /// The learning rate of this request.
    pub fn peak_lr(&self) -> f64 {
        self.lr.unwrap_or_else(|| Self::default_lr(self.optimizer, &self.freeze))
    }

    /// Whether the new head is trained alone first.
    pub fn warms_head(&self) -> bool {
        self.head_epochs > 0
            && self.pretrained == Pretrained::Yes
            && self.freeze != Freeze::Backbone
    }

    /// The factor of this request: 10 for a new head over trained layers that was not trained alone first, for it has
    /// further to go than they; otherwise 1.
    pub fn head_scale(&self) -> f64 {
        let is_new = self.pretrained == Pretrained::Yes && self.freeze != Freeze::Backbone;
        let default = if is_new && !self.warms_head() { 10.0 } else { 1.0 };
        self.head_lr_scale.unwrap_or(default)
    }

    /// Refuses what cannot be meant, before anything is read or written.
    ///
    /// # Errors
    /// [`Error::Option`] with the flag, what came and what is expected.
    pub fn check(&self) -> Result<()> {
        let positive = |value: f64| value.is_finite() && value > 0.0;
        at_least("--epochs", self.epochs, 1)?;
        at_least("--batch-size", self.batch_size, 1)?;
        check_size(self.image_size)?;
        if let Some(lr) = self.lr {
            require("--lr", lr, positive(lr), "a positive number")?;
        }
        if let Some(scale) = self.head_lr_scale {
            require("--head-lr-scale", scale, positive(scale), "a positive number")?;
        }
        let crop = self.min_crop;
        require("--min-crop", crop, crop > 0.0 && crop <= 1.0, "above 0 and at most 1")?;
        if let Some(norm) = self.clip_norm {
            require("--clip-norm", norm, positive(norm), "a positive number")?;
        }
        let share = |value: f64| (0.0..1.0).contains(&value);
        require("--momentum", self.momentum, share(self.momentum), "from 0 to below 1")?;
        let smoothing = self.label_smoothing;
        require("--label-smoothing", smoothing, share(smoothing), "from 0 to below 1")?;
        let decay = self.weight_decay;
        require("--weight-decay", decay, decay.is_finite() && decay >= 0.0, "0 or more")?;
        let fraction = self.val_fraction;
        require(
            "--val-fraction",
            fraction,
            share(fraction) && fraction > 0.0,
            "between 0 and 1, both excluded",
        )
    }
}

/// What evaluating needs to know.
#[derive(Debug, Clone, PartialEq)]
pub struct EvaluateOptions {
    /// A name of the zoo, a model file, or what [`weights_of`](crate::weights_of) says.
    pub model: String,
    /// A folder of pictures: its `val` if it has one, otherwise all of it.
    pub data: PathBuf,
    /// How the folder's classes are matched with the model's.
    pub labels: Labels,
    /// Pictures a batch, 1 or more.
    pub batch_size: usize,
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
            labels: Labels::Name,
            batch_size: 32,
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
    /// [`Error::Option`] for a batch of nothing.
    pub fn check(&self) -> Result<()> {
        at_least("--batch-size", self.batch_size, 1)
    }
}

/// What predicting needs to know.
#[derive(Debug, Clone, PartialEq)]
pub struct PredictOptions {
    /// A name of the zoo, a model file, or what [`weights_of`](crate::weights_of) says.
    pub model: String,
    /// Files to look at.
    pub images: Vec<PathBuf>,
    /// Classes to name for each picture, 1 or more; fewer if the model has fewer.
    pub top: usize,
    /// Threads of computing; 0 for all there are.
    pub threads: usize,
}

impl PredictOptions {
    /// The five likeliest classes of each picture, on all threads.
    pub fn new(model: impl Into<String>, images: Vec<PathBuf>) -> Self {
        PredictOptions { model: model.into(), images, top: 5, threads: 0 }
    }

    /// Refuses what cannot be meant.
    ///
    /// # Errors
    /// [`Error::Option`] for no classes, [`Error::NoImages`] for no pictures.
    pub fn check(&self) -> Result<()> {
        if self.images.is_empty() {
            return Err(Error::NoImages);
        }
        at_least("--top", self.top, 1)
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
            threads: 0,
        }
    }

    /// Refuses what cannot be meant.
    ///
    /// # Errors
    /// [`Error::Option`] for a batch of nothing, images too small or too large, or a time that is none.
    pub fn check(&self) -> Result<()> {
        at_least("--batch", self.batch, 1)?;
        check_size(self.image_size)?;
        let seconds = self.seconds;
        require("--seconds", seconds, (0.0..=86_400.0).contains(&seconds), "from 0 to a day")
    }
}

/// An image size that a network can take and a machine can hold.
fn check_size(image_size: Option<usize>) -> Result<()> {
    let Some(size) = image_size else { return Ok(()) };
    at_least("--image-size", size, 32)?;
    if size > 4096 {
        return Err(Error::option("--image-size", &size, "4096 or less"));
    }
    Ok(())
}

fn at_least(flag: &'static str, got: usize, least: usize) -> Result<()> {
    if got < least {
        return Err(Error::option(flag, &got, format!("{least} or more")));
    }
    Ok(())
}

fn require(flag: &'static str, got: f64, holds: bool, expected: &str) -> Result<()> {
    if !holds {
        return Err(Error::option(flag, &got, expected));
    }
    Ok(())
}

/// Declares an enum that is spelled the same on the command line and in `config.json`.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// Every choice by the word it has on the command line.
            pub const WORDS: &'static [&'static str] = &[$($word),+];
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $($name::$variant => $word,)+ })
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(word: &str) -> Result<Self> {
                match word {
                    $($word => Ok($name::$variant),)+
                    _ => Err(Error::Choice { got: word.to_owned(), expected: Self::WORDS.join(", ") }),
                }
            }
        }
    };
}

choice! {
    /// What training begins with.
    Pretrained {
        /// The model's weights, with a new head.
        Yes = "yes",
        /// Random weights.
        None = "none",
    }
}

choice! {
    /// The rule of a step.
    OptimizerKind {
        /// Stochastic gradient descent with momentum.
        Sgd = "sgd",
        /// Adam with decoupled weight decay.
        AdamW = "adamw",
    }
}

choice! {
    /// How the learning rate falls after the warm-up.
    ScheduleKind {
        /// Half a cosine, to 0 at the last step.
        Cosine = "cosine",
        /// To a tenth after each third of the steps.
        Step = "step",
        /// Not at all.
        Constant = "constant",
    }
}

choice! {
    /// Whether training pictures are changed at random.
    Augment {
        /// A random crop of a random shape, resized, and a flip every other time.
        Yes = "yes",
        /// Resized and cropped in the middle, as for evaluating.
        None = "none",
    }
}

choice! {
    /// How the classes of a folder are matched with a model's.
    Labels {
        /// By name; every class of the folder must be one of the model's.
        Name = "name",
        /// By position: the folder's first class in sorted order is the model's first.
        Order = "order",
    }
}

choice! {
    /// What is measured.
    BenchMode {
        /// A batch through the compiled network.
        Infer = "infer",
        /// A step that trains everything: forward, backward, SGD with momentum.
        Train = "train",
    }
}

/// Spells [`Freeze`] in `config.json` as on the command line.
mod as_word {
    use serde::{Deserialize, Deserializer, Serializer};
    use taper_transfer::Freeze;

    pub(super) fn serialize<S: Serializer>(freeze: &Freeze, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(freeze)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Freeze, D::Error> {
        let word = String::deserialize(from)?;
        word.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
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
    fn options_that_cannot_be_meant_are_refused_with_their_flag() {
        assert_eq!(refusal(|o| o.epochs = 0), "--epochs is 0, it must be 1 or more");
        assert_eq!(refusal(|o| o.batch_size = 0), "--batch-size is 0, it must be 1 or more");
        for lr in [f64::NAN, f64::INFINITY, 0.0, -0.1] {
            assert_eq!(
                refusal(|o| o.lr = Some(lr)),
                format!("--lr is {lr}, it must be a positive number")
            );
        }
        assert!(refusal(|o| o.momentum = 1.0).starts_with("--momentum is 1"));
        assert!(refusal(|o| o.weight_decay = f64::NAN).starts_with("--weight-decay is NaN"));
        assert!(refusal(|o| o.label_smoothing = 1.0).starts_with("--label-smoothing is 1"));
        assert!(refusal(|o| o.head_lr_scale = Some(0.0)).starts_with("--head-lr-scale is 0"));
        assert!(refusal(|o| o.min_crop = f64::NAN).starts_with("--min-crop is NaN"));
        assert!(refusal(|o| o.clip_norm = Some(0.0)).starts_with("--clip-norm is 0"));
        assert!(refusal(|o| o.image_size = Some(31)).starts_with("--image-size is 31"));
        assert!(refusal(|o| o.image_size = Some(100_000)).starts_with("--image-size is 100000"));
        assert!(refusal(|o| o.val_fraction = 0.0).starts_with("--val-fraction is 0"));
        assert!(refusal(|o| o.val_fraction = 1.0).starts_with("--val-fraction is 1"));
        for seconds in [f64::NAN, -1.0, f64::INFINITY] {
            let error = BenchOptions { seconds, ..BenchOptions::new("a") }.check().unwrap_err();
            assert!(error.to_string().starts_with("--seconds is "), "{error}");
        }
        let error = PredictOptions::new("a", Vec::new()).check().unwrap_err();
        assert!(error.is_request());
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
        let error = "adam".parse::<OptimizerKind>().unwrap_err();
        assert_eq!(error.to_string(), "`adam` is not one of sgd, adamw");
    }
}
