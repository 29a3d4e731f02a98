//! What fine-tuning needs to know, each option once: its documentation, type, default and role.
//!
//! Above: `fine_tune`, the binary's flags. Below: `fine_tune::{before, checks}`, `options::{list, cache, optimizer, schedule}`. Not here: how options
//! become a network and an optimizer (`setup`).
//! `config.json`, the line of provenance in a model file and the first lines of a run are made of this list.

mod before;
mod checks;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use taper_train::LocalSgd;
use taper_transfer::Freeze;

use super::augment::Augment;
use super::choice::{
    CacheKind, ClassWeights, HeadInit, LossKind, MatmulPrecision, Norms, OptimizerKind, Preset,
    Pretrained, Reduce, ReduceDtype, Sampling, ScheduleKind, TargetWord,
};
use super::list::{OptionValue, Role, options};
use super::numbers::Numbers;
use super::{at_least, check_size, check_threads, require};
use crate::error::{Error, Result};

options! {
    /// What fine-tuning needs to know. [`Default`] fine-tunes the embedded MobileNetV2 on the embedded pictures.
    ///
    /// ```
    /// use taper_recipes::{FineTuneOptions, Freeze};
    ///
    /// let options = FineTuneOptions { epochs: 3, freeze: Freeze::Backbone, ..FineTuneOptions::default() };
    /// assert!(options.check().is_ok());
    /// let error = FineTuneOptions { batch_size: 0, ..options }.check().unwrap_err();
    /// assert!(error.is_request());
    /// assert_eq!(error.to_string(), "`batch_size` is 0, it must be 1 or more");
    /// ```
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct FineTuneOptions {
        /// A folder of pictures, `DIR/<class>/*` or `DIR/train/<class>/*` with `DIR/val/<class>/*`, a [table](taper_data::table) of pictures
        /// and their targets, or another [source](taper_data::Source); the embedded pictures when absent.
        data: Option<PathBuf> = None => Place,
        /// A table of pictures that lie in the folder `data`, in the place of folders of classes.
        #[serde(default)]
        table: Option<PathBuf> = None => Place,
        /// The table's column of paths; told by its name when absent.
        #[serde(default)]
        image_column: Option<String> = None => Place,
        /// The table's columns of targets, between commas; told by their names when absent.
        #[serde(default)]
        target_columns: Option<String> = None => Place,
        /// What the table's targets are; told from their values when absent.
        #[serde(default)]
        targets: Option<TargetWord> = None => Place,
        /// A name of the zoo, a model file, or what [`weights_of`](crate::weights_of) says.
        model: String = "mobilenetv2_100.tv_in1k".to_owned() => Place,
        /// Whether classes of the model file that have no pictures are kept: nothing is trained then, and new classes are made of the mean features
        /// of their pictures. Otherwise they are dropped. Classes that have pictures begin with the weights that the file has of them.
        #[serde(default)]
        keep: bool = false => Recipe,
        /// A network to learn from besides, as `model` names one, of the same classes as the pictures; none when absent. It sees the very
        /// crops that are trained with, in its own size where it was made for much larger pictures, is as sure of them as it was calibrated to be,
        /// and the run's folder keeps it.
        teacher: Option<String> = None => Place,
        /// A folder of pictures without labels, which are trained with by what the `teacher` says of them; none when absent.
        #[serde(default)]
        unlabelled: Option<PathBuf> = None => Place,
        /// What the defaults of this request were; the options say all of it.
        #[serde(default = "before::usual")]
        preset: Preset = Preset::Default => Place,
        /// Whether training begins with the model's weights or with random ones.
        pretrained: Pretrained = Pretrained::Yes => Recipe,
        /// Passes over the training pictures, 1 or more.
        epochs: usize = 6 => Recipe,
        /// Pictures a step, 1 or more; the last batch of an epoch may be smaller, and takes one picture more where it would be alone
        /// and the network's batch norms need two.
        batch_size: usize = 32 => Recipe,
        /// Highest learning rate; [`FineTuneOptions::default_lr`] when absent.
        lr: Option<f64> = None => Recipe,
        /// Whether the learning rate is found before the run where `lr` is absent ([`find_lr`](crate::find_lr)); `config.json` then has it.
        #[serde(default)]
        lr_auto: bool = false => Place,
        /// Passes over the training pictures' features with which the new head is trained alone before everything is, so that the first
        /// steps do not pull trained layers after a random head (Kumar et al. 2022, <https://arxiv.org/abs/2202.10054>). 0 for none; with a
        /// frozen backbone or without pretrained weights there are none.
        head_epochs: usize = 20 => Recipe,
        /// What a new head begins with; [`FineTuneOptions::head_init`] when absent.
        #[serde(default = "before::random")]
        head_init: Option<HeadInit> = None => Recipe,
        /// Factor on the learning rate of the new head, above 0; see [`FineTuneOptions::head_scale`] when absent.
        head_lr_scale: Option<f64> = None => Recipe,
        /// The rule of a step.
        optimizer: OptimizerKind = OptimizerKind::Sgd => Recipe,
        /// Momentum of SGD, `RMSprop` and Muon, in `[0, 1)`; PyTorch's convention, without dampening. [`OptimizerKind::momentum`] when absent.
        momentum: Option<f64> = None => Recipe,
        /// Decay rates of moments, each in `[0, 1)`: two numbers, of Adan three. [`OptimizerKind::betas`] when absent.
        betas: Option<Numbers> = None => Recipe,
        /// What keeps a divisor from 0, above 0; [`OptimizerKind::eps`] when absent.
        eps: Option<f64> = None => Recipe,
        /// Decay rate of `RMSprop`'s mean square, in `[0, 1)`; [`OptimizerKind::alpha`] when absent.
        alpha: Option<f64> = None => Recipe,
        /// SGD with Nesterov's momentum.
        #[serde(default)]
        nesterov: bool = false => Recipe,
        /// After so many steps, 1 or more, the weights go half of their way back (Zhang et al. 2019,
        /// <https://arxiv.org/abs/1907.08610>, with 5 or 6); none when absent.
        lookahead: Option<u64> = None => Recipe,
        /// Weight decay of weights, 0 or more; norms and biases have none. Coupled in SGD, Adam, `NAdam` and `RMSprop`, part of the direction in
        /// LAMB, decoupled in the others.
        weight_decay: f64 = 1e-4 => Recipe,
        /// Factor on the learning rate of each block against the one behind it, in `(0, 1]`, so that the first layers move least; none when absent.
        layer_decay: Option<f64> = None => Recipe,
        /// How the learning rate falls.
        schedule: ScheduleKind = ScheduleKind::Cosine => Recipe,
        /// The rate at which it falls no further, 0 or more; 0 when absent.
        min_lr: Option<f64> = None => Recipe,
        /// What a fall multiplies by, in `(0, 1)`; [`ScheduleKind::decay_rate`] when absent.
        decay_rate: Option<f64> = None => Recipe,
        /// Epochs from one fall to the next, above 0; a third of all for stairs and 1 for an exponential when absent.
        decay_epochs: Option<f64> = None => Recipe,
        /// The epochs after which it falls, of `multi-step`.
        decay_milestones: Option<Numbers> = None => Recipe,
        /// Epochs of the first cosine of several, above 0; a third of all when absent.
        cycle_epochs: Option<f64> = None => Recipe,
        /// How many times as long as the one before each of them is, 1 or more; 1 when absent.
        cycle_mul: Option<f64> = None => Recipe,
        /// What the highest rate of the one before is multiplied by, in `(0, 1]`; 1 when absent.
        cycle_decay: Option<f64> = None => Recipe,
        /// Exponent of a polynomial, above 0; 1, a line, when absent.
        power: Option<f64> = None => Recipe,
        /// Share of one cycle in which the rate rises, in `(0, 1)`; [`FineTuneOptions::PCT_START`] when absent.
        pct_start: Option<f64> = None => Recipe,
        /// Epochs that may be no better before the rate of a plateau falls; [`FineTuneOptions::PATIENCE_EPOCHS`] when absent.
        patience_epochs: Option<u64> = None => Recipe,
        /// Steps over which the learning rate rises from 0.
        warmup: u64 = 10 => Recipe,
        /// Label smoothing, in `[0, 1)`.
        label_smoothing: f64 = 0.0 => Recipe,
        /// What is made small; numbers are in units of their standard deviation.
        #[serde(default = "before::auto")]
        loss: LossKind = LossKind::Auto => Recipe,
        /// How strongly the focal loss looks away from what is told surely, 0 or more.
        #[serde(default = "before::gamma")]
        focal_gamma: f64 = 2.0 => Recipe,
        /// How much classes, or labels that hold, count.
        #[serde(default = "before::alike")]
        class_weights: ClassWeights = ClassWeights::None => Recipe,
        /// Which pictures an epoch shows.
        #[serde(default = "before::each_once")]
        sampling: Sampling = Sampling::Auto => Recipe,
        /// The metric that picks the best epoch's model: `loss`, `top1`, `balanced_accuracy`, `f1`, `mae`, …; the usual one of the targets when absent.
        #[serde(default)]
        best_by: Option<String> = None => Recipe,
        /// Epochs without a better one after which the run ends; none: it goes on to its last epoch.
        #[serde(default)]
        patience: Option<usize> = None => Recipe,
        /// How often a run whose numbers are no numbers any more goes back to its last checkpoint, and on from there at half the rate.
        #[serde(default)]
        recoveries: u32 = 3 => Recipe,
        /// Minutes of a call, after which the step at hand is finished, the network evaluated as it is, and the run left to be gone on with; none: as
        /// long as it takes.
        #[serde(default)]
        max_minutes: Option<f64> = None => Place,
        /// Largest norm of all gradients together, 0 for no limit; [`FineTuneOptions::clip_norm`] when absent.
        clip_norm: Option<f64> = None => Recipe,
        /// Largest value of a gradient; no limit when absent.
        clip_value: Option<f64> = None => Recipe,
        /// Largest norm of a filter's gradient as a share of the filter's own (adaptive gradient clipping, Brock et al. 2021,
        /// <https://arxiv.org/abs/2102.06171>, with 0.01); no limit when absent. The new head is left out.
        agc: Option<f64> = None => Recipe,
        /// How much an exponential moving average of the weights ([`WeightAverage`](taper_train::WeightAverage)) keeps of itself a step, in `[0, 1)`:
        /// it is evaluated and saved in the place of the weights that are trained; none when absent.
        ema: Option<f64> = None => Recipe,
        /// Whether `ema` begins with a warm-up, which forgets the weights that the run begins with at once.
        #[serde(default = "before::yes")]
        ema_warmup: bool = true => Recipe,
        /// How many of the last epochs are averaged, 1 or more: the mean of their weights, with statistics of norms of its own, is evaluated and
        /// saved (stochastic weight averaging, Izmailov et al. 2018, <https://arxiv.org/abs/1803.05407>); none when absent.
        swa: Option<usize> = None => Recipe,
        /// Of how many of the best epochs a greedy soup is made at the end, 2 or more (Wortsman et al. 2022,
        /// <https://arxiv.org/abs/2203.05482>); none when absent.
        soup: Option<usize> = None => Recipe,
        /// Of how many of the best epochs the models are kept, in the run's folder `best`, 1 or more; none when absent.
        #[serde(default)]
        keep_best: Option<usize> = None => Place,
        /// Batches of training pictures, 1 or more, over which norms get exact statistics before the network is evaluated and saved, in the place of
        /// moving ones (Wu and Johnson 2021, <https://arxiv.org/abs/2105.07576>); when absent, of means over epochs alone, over
        /// [`FineTuneOptions::STATISTICS_BATCHES`].
        #[serde(default)]
        precise_bn: Option<usize> = None => Recipe,
        /// Temperature at which a student is compared with its teacher, above 0; [`FineTuneOptions::DISTILL_TEMPERATURE`] when absent.
        distill_temperature: Option<f64> = None => Recipe,
        /// Weight of the teacher against the targets, from 0 to 1; [`FineTuneOptions::DISTILL_WEIGHT`] when absent.
        distill_weight: Option<f64> = None => Recipe,
        /// An L1 penalty on the scales of batch norms, above 0, which makes channels that can be pruned (network slimming, Liu et al. 2017,
        /// <https://arxiv.org/abs/1708.06519>, with 1e-4 and 1e-5); none when absent.
        bn_l1: Option<f64> = None => Recipe,
        /// How training pictures are changed at random, one by one.
        augment: Augment = Augment::Yes => Recipe,
        /// Smallest share of a picture's area that a random crop keeps, in `(0, 1]`; torchvision's default is 0.08.
        min_crop: f64 = 0.25 => Recipe,
        /// Share of training pictures of which a random rectangle is erased, from 0 to 1 (Zhong et al. 2020,
        /// <https://arxiv.org/abs/1708.04896>).
        #[serde(default)]
        erase: f64 = 0.0 => Recipe,
        /// Parameter of the beta distribution of weights with which the pictures of a shard are mixed, 0 for never (mixup, Zhang et al. 2018,
        /// <https://arxiv.org/abs/1710.09412>, with 0.2).
        #[serde(default)]
        mixup: f64 = 0.0 => Recipe,
        /// The same for rectangles that they exchange (cutmix, Yun et al. 2019, <https://arxiv.org/abs/1905.04899>, with 1); with both, either
        /// every other batch.
        #[serde(default)]
        cutmix: f64 = 0.0 => Recipe,
        /// How often a picture that an epoch takes comes in it, one after the other and changed differently; the epoch takes as many fewer
        /// pictures.
        #[serde(default = "before::one")]
        repeats: usize = 1 => Recipe,
        /// What is not trained. A frozen norm keeps its running statistics and uses them.
        #[serde(with = "before::as_word")]
        freeze: Freeze = Freeze::None => Recipe,
        /// Augmented views of each training picture of which a frozen backbone computes the features once, so that an epoch is a matter of
        /// milliseconds: those of the first so many epochs, which later ones show again by turns. 0 for new ones in every epoch, and
        /// without augmentation for the one that there is.
        #[serde(default)]
        feature_views: usize = 0 => Recipe,
        /// After so many epochs, 1 or more, another part of the network is trained besides those before, from the classifier to the stem
        /// (Howard & Ruder 2018, <https://arxiv.org/abs/1801.06146>); all that is not frozen from the first epoch on when absent.
        #[serde(default)]
        unfreeze_every: Option<usize> = None => Recipe,
        /// What becomes of batch norms; [`FineTuneOptions::norms`] when absent.
        #[serde(default = "before::norms")]
        norms: Option<Norms> = None => Recipe,
        /// Height and width of the network's input, in pixels, 32 or more; the model's own when absent.
        image_size: Option<usize> = None => Recipe,
        /// Height and width, in pixels, 32 or more, with which training begins, to grow in steps of 32 from epoch to epoch
        /// ([`FineTuneOptions::image_sizes`]); evaluation is at the last. None when absent.
        #[serde(default)]
        image_size_from: Option<usize> = None => Recipe,
        /// Share of each class held out when the folder has no `val`, in `(0, 1)`.
        val_fraction: f64 = 0.2 => Recipe,
        /// Refuse a folder with files that are no pictures, instead of skipping them.
        strict: bool = false => Place,
        /// Where decoded pictures are kept, so that each is decoded once; no bit depends on it.
        #[serde(default = "before::ram")]
        cache: CacheKind = CacheKind::Ram => Place,
        /// Bytes of them at most: in memory of each process, on disk of the folder. When absent, in memory a [share](Self::CACHE_SHARE) of what is
        /// free, which all ranks share; on disk half of what is free and of what the folder holds already.
        #[serde(default)]
        cache_size: Option<u64> = None => Place,
        /// The folder that they are kept in on disk, which several runs and ranks may share; one of the user's own when absent.
        #[serde(default)]
        cache_dir: Option<PathBuf> = None => Place,
        /// What convolutions and linear layers multiply while everything is trained.
        #[serde(default = "before::matmul_f32")]
        matmul_precision: MatmulPrecision = MatmulPrecision::F32 => Recipe,
        /// Parts that a step is cut into, each with its own forward and backward pass and batch statistics, for ranks to share: a multiple of
        /// their number. What is learned depends on it, and not on the number of ranks. 0 for one a rank.
        #[serde(default = "before::one")]
        shards: usize = 0 => Recipe,
        /// How gradients are summed over shards and ranks.
        #[serde(default = "before::exact")]
        reduce: Reduce = Reduce::Exact => Recipe,
        /// What travels between ranks for it.
        #[serde(default = "before::f32")]
        reduce_dtype: ReduceDtype = ReduceDtype::F32 => Recipe,
        /// Whether batch norms use the statistics of all shards of a step, as if it were one batch.
        #[serde(default)]
        sync_bn: bool = false => Recipe,
        /// Steps that each shard trains alone, with weights of its own, before all meet; 1 for none: they share the gradient of every step. An
        /// epoch ends with a meeting.
        #[serde(default = "before::one")]
        sync_every: usize = 1 => Recipe,
        /// The learning rate with which weights follow what shards moved on average, above 0; when absent 1, which makes them the mean of all, and
        /// with momentum [`LocalSgd::DILOCO_LR`].
        #[serde(default)]
        outer_lr: Option<f64> = None => Recipe,
        /// Nesterov's momentum of that outer step, from 0 to below 1; 0.9 in `DiLoCo` (Douillard et al. 2023,
        /// <https://arxiv.org/abs/2311.08105>).
        #[serde(default)]
        outer_momentum: f64 = 0.0 => Recipe,
        /// Decides the new head's weights, the split, the order and the crops.
        seed: u64 = 0 => Recipe,
        /// A file for what all ranks computed and sent, and when, as Chrome's viewer and Perfetto open it; none when absent. The group must keep it
        /// ([`GroupOptions::trace`](crate::GroupOptions)).
        trace: Option<PathBuf> = None => Place,
        /// Whether the run's folder gets `report.html`, a page about the run, and `predictions.jsonl`, what the best model answers to the held-out
        /// pictures.
        #[serde(default = "before::yes")]
        report: bool = true => Place,
        /// Whether the run's folder gets event files for `TensorBoard`, in `tensorboard`.
        #[serde(default)]
        tensorboard: bool = false => Place,
        /// The run's folder; the first free one of `runs/finetune-1`, `runs/finetune-2`, … when absent.
        out: Option<PathBuf> = None => Place,
        /// Keep little of the forward pass for the backward pass, and compute the rest again (gradient checkpointing, Chen et al. 2016,
        /// <https://arxiv.org/abs/1604.06174>): the same bits from less memory, in more time.
        #[serde(default)]
        grad_checkpointing: bool = false => Place,
        /// Bytes that the process may take: where it would take more, `grad_checkpointing` is switched on, and then `shards` are raised until it
        /// does not; no limit when absent. The run remembers what was chosen, and pictures are kept in what is left. Of several ranks, each.
        #[serde(default)]
        memory: Option<u64> = None => Place,
        /// Threads of computing and of reading pictures; 0 for all there are.
        threads: usize = 0 => Place,
    }
}

impl FineTuneOptions {
    /// Batches of training pictures, at most, that the norms of averaged weights see: as many as norms see after a cut (`prune`).
    pub const STATISTICS_BATCHES: usize = 16;

    /// The temperature of a teacher when none is given: that of Tian et al. 2020, <https://arxiv.org/abs/1910.10699>.
    pub const DISTILL_TEMPERATURE: f64 = 4.0;

    /// How many times as many pictures as the smallest the largest class has from where on [`Sampling::Auto`] shows all alike (docs/transfer.md).
    pub const UNEQUAL: usize = 5;

    /// The weight of a teacher when none is given: from the same.
    pub const DISTILL_WEIGHT: f64 = 0.9;

    /// Temperature and weight of the teacher of this request; none without one.
    pub fn distillation(&self) -> Option<(f64, f64)> {
        self.teacher.as_ref().map(|_| {
            let temperature = self.distill_temperature.unwrap_or(Self::DISTILL_TEMPERATURE);
            (temperature, self.distill_weight.unwrap_or(Self::DISTILL_WEIGHT))
        })
    }

    /// Whether a teacher sees what is trained with.
    pub(crate) fn is_taught(&self) -> bool {
        self.distillation().is_some_and(|(_, weight)| weight > 0.0)
    }

    /// Whether the pictures of a batch are mixed.
    pub fn mixes(&self) -> bool {
        self.mixup > 0.0 || self.cutmix > 0.0
    }

    /// Whether all that steps need of a picture is what a frozen backbone makes of it, always the same or in so many views.
    pub(crate) fn may_see_features(&self) -> bool {
        let is_counted = self.augment == Augment::None || self.feature_views > 0;
        let is_same = is_counted && self.image_size_from.is_none();
        self.freeze == Freeze::Backbone
            && is_same
            && !self.mixes()
            && self.sampling != Sampling::Balanced
            && self.teacher.is_none()
    }

    /// How often a frozen backbone looks at each training picture before the first step, where it does so at all: views that no epoch would
    /// come to are not computed.
    pub(crate) fn looks(&self) -> usize {
        self.feature_views.min(self.epochs).max(1)
    }

    /// Learning rate and momentum of the step in which shards that train alone meet; none where they share every step's gradient.
    pub fn outer_step(&self) -> Option<(f64, f64)> {
        let default = if self.outer_momentum > 0.0 { LocalSgd::DILOCO_LR } else { 1.0 };
        (self.sync_every > 1).then(|| (self.outer_lr.unwrap_or(default), self.outer_momentum))
    }

    /// Whether the new head is trained alone first.
    pub fn warms_head(&self) -> bool {
        self.head_epochs > 0
            && self.pretrained == Pretrained::Yes
            && self.freeze != Freeze::Backbone
    }

    /// Whether a range test looks for the learning rate.
    pub fn tries_rates(&self) -> bool {
        self.lr_auto && self.lr.is_none()
    }

    /// The factor of this request: 10 for a new head over trained layers that was not trained alone first, for it has
    /// further to go than they; otherwise 1.
    pub fn head_scale(&self) -> f64 {
        let is_new = self.pretrained == Pretrained::Yes && self.freeze != Freeze::Backbone;
        let default = if is_new && !self.warms_head() { 10.0 } else { 1.0 };
        self.head_lr_scale.unwrap_or(default)
    }

    /// The same request with what depends on other options filled in: the learning rates, no epochs of the head alone where there are
    /// none, and the shards of one rank.
    #[must_use]
    pub fn resolved(&self) -> Self {
        FineTuneOptions {
            lr: Some(self.peak_lr()),
            norms: Some(self.norms()),
            head_init: Some(self.head_init()),
            momentum: self.resolved_momentum(),
            betas: self.resolved_betas(),
            eps: self.resolved_eps(),
            clip_norm: self.clip_norm.or(self.clip_norm()),
            alpha: self.resolved_alpha(),
            head_lr_scale: Some(self.head_scale()),
            head_epochs: if self.warms_head() { self.head_epochs } else { 0 },
            distill_temperature: self.distillation().map(|(temperature, _)| temperature),
            distill_weight: self.distillation().map(|(_, weight)| weight),
            shards: self.shards.max(1),
            outer_lr: self.outer_step().map(|(lr, _)| lr),
            ..self.clone()
        }
    }

    /// What makes the result what it is, in one line, [`resolved`](Self::resolved): `pretrained yes, epochs 6, batch size 32, …`.
    /// Without paths, so that equal runs have equal lines.
    pub fn recipe(&self) -> String {
        let is_recipe = |option: &OptionValue| option.role == Role::Recipe;
        let options = self.resolved().list().into_iter().filter(is_recipe);
        let words = options
            .map(|OptionValue { name, value, .. }| format!("{} {value}", name.replace('_', " ")));
        words.collect::<Vec<_>>().join(", ")
    }

    /// The options of the [`recipe`](Self::recipe) that are other than by default, as they were given.
    ///
    /// # Examples
    /// ```
    /// use taper_recipes::FineTuneOptions;
    /// assert!(FineTuneOptions::default().changes().is_empty());
    /// let options = FineTuneOptions { epochs: 3, threads: 1, ..FineTuneOptions::default() };
    /// let changes = options.changes();
    /// assert_eq!((changes.len(), changes[0].name, &*changes[0].value), (1, "epochs", "3"));
    /// ```
    pub fn changes(&self) -> Vec<OptionValue> {
        // One shard is what one rank has.
        let given = Self { shards: if self.shards == 1 { 0 } else { self.shards }, ..self.clone() };
        let mut changes = given.other_than_usual();
        changes.retain(|option| option.role == Role::Recipe);
        changes
    }

    /// The options that are other than by default.
    pub(super) fn other_than_usual(&self) -> Vec<OptionValue> {
        let both = self.list().into_iter().zip(Self::default().list());
        both.filter(|(mine, usual)| mine.value != usual.value).map(|(mine, _)| mine).collect()
    }

    /// Refuses what cannot be meant, before anything is read or written.
    ///
    /// # Errors
    /// [`crate::Error::Option`] with the field, what came and what is expected.
    pub fn check(&self) -> Result<()> {
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let share = |value: f64| (0.0..1.0).contains(&value);
        check_threads(self.threads)?;
        at_least("epochs", self.epochs, 1)?;
        at_least("batch_size", self.batch_size, 1)?;
        check_size(self.image_size)?;
        self.check_sizes()?;
        if let Some(lr) = self.lr {
            require("lr", lr, positive(lr), "a positive number")?;
        }
        if let Some(scale) = self.head_lr_scale {
            require("head_lr_scale", scale, positive(scale), "a positive number")?;
        }
        self.check_augmentation()?;
        let crop = self.min_crop;
        require("min_crop", crop, crop > 0.0 && crop <= 1.0, "above 0 and at most 1")?;
        self.check_optimizer()?;
        self.check_schedule()?;
        self.check_clipping()?;
        self.check_average()?;
        self.check_teaching()?;
        self.check_meetings()?;
        self.check_cache()?;
        self.check_freezing()?;
        self.check_views()?;
        self.check_head()?;
        self.matmul_precision.check()?;
        for (field, number) in [("keep_best", self.keep_best), ("precise_bn", self.precise_bn)] {
            number.map_or(Ok(()), |number| at_least(field, number, 1))?;
        }
        if let Some(patience) = self.patience {
            at_least("patience", patience, 1)?;
        }
        if let Some(minutes) = self.max_minutes {
            require("max_minutes", minutes, positive(minutes), "a positive number")?;
        }
        let gamma = self.focal_gamma;
        require("focal_gamma", gamma, gamma.is_finite() && gamma >= 0.0, "0 or more")?;
        if self.sampling == Sampling::Balanced && self.class_weights == ClassWeights::Balanced {
            let expected = "none with `sampling` balanced: rare classes would count twice";
            return Err(Error::option("class_weights", &self.class_weights, expected));
        }
        let smoothing = self.label_smoothing;
        require("label_smoothing", smoothing, share(smoothing), "from 0 to below 1")?;
        let fraction = self.val_fraction;
        require(
            "val_fraction",
            fraction,
            share(fraction) && fraction > 0.0,
            "between 0 and 1, both excluded",
        )
    }
}

#[cfg(test)]
mod tests;
