//! Presets: sets of defaults for a whole run, under what is said of single options.
//!
//! Above: `options::fine_tune`, the binary's flags. Below: `options::choice`. Not here: how an option is told from its default (the binary).

use taper_transfer::Freeze;

use super::FineTuneOptions;
use super::augment::Augment;
use super::choice::{OptimizerKind, Preset, Pretrained};

impl Preset {
    /// Everything it sets, over the defaults.
    #[must_use]
    pub fn options(self) -> FineTuneOptions {
        let usual = FineTuneOptions { preset: self, ..FineTuneOptions::default() };
        match self {
            Self::Default => usual,
            Self::Quick => FineTuneOptions {
                freeze: Freeze::Backbone,
                augment: Augment::None,
                optimizer: OptimizerKind::AdamW,
                lr: Some(1e-3),
                epochs: 20,
                ..usual
            },
            // Far, and part of the way back: the average holds 0.98 to the power of the steps of what the network knew, two thirds where pictures make 20
            // steps, nothing where they make 300 (docs/transfer.md).
            Self::Best => FineTuneOptions {
                lr: Some(6e-3),
                epochs: 20,
                ema: Some(0.98),
                ema_warmup: false,
                ..usual
            },
            // The recipe of torchvision's second weights (Vryniotis 2021,
            // <https://pytorch.org/blog/how-to-train-state-of-the-art-models-using-torchvision-latest-primitives/>), for small folders.
            Self::Scratch => FineTuneOptions {
                pretrained: Pretrained::None,
                augment: "trivial".parse().unwrap_or(Augment::Yes),
                erase: 0.1,
                mixup: 0.2,
                cutmix: 1.0,
                label_smoothing: 0.1,
                ema: Some(0.999),
                epochs: 200,
                lr: Some(0.1),
                nesterov: true,
                warmup: 100,
                weight_decay: 2e-5,
                ..usual
            },
        }
    }

    /// What it sets, as names and values: those that are other than the defaults.
    ///
    /// # Examples
    /// ```
    /// use taper_recipes::Preset;
    /// assert!(Preset::Default.sets().is_empty());
    /// assert!(Preset::Quick.sets().contains(&("freeze", "backbone".to_owned())));
    /// ```
    #[must_use]
    pub fn sets(self) -> Vec<(&'static str, String)> {
        let others = self.options().other_than_usual().into_iter();
        let others = others.map(|option| (option.name, option.value));
        others.filter(|(name, _)| *name != "preset").collect()
    }

    /// Of [`Preset::sets`], what [`FineTuneOptions::under`] takes beside what is said.
    #[must_use]
    pub fn sets_beside(
        self,
        said: &FineTuneOptions,
        is_said: &dyn Fn(&str) -> bool,
    ) -> Vec<(&'static str, String)> {
        let is_said = self.other_than_said(said, is_said);
        self.sets().into_iter().filter(|(name, _)| !self.leaves(name, &is_said)).collect()
    }

    /// What is said and is not what the preset says, too: the same said twice changes nothing.
    fn other_than_said<'a>(
        self,
        said: &FineTuneOptions,
        is_said: &'a dyn Fn(&str) -> bool,
    ) -> impl Fn(&str) -> bool + use<'a> {
        let both = said.list().into_iter().zip(self.options().list());
        let same = both.filter(|(said, set)| said.value == set.value);
        let same: Vec<&'static str> = same.map(|(said, _)| said.name).collect();
        move |name| is_said(name) && !same.contains(&name)
    }

    /// Whether an option is said, or goes with one that is: a rate is an optimizer's and of what is trained and begun with, what norms and stages are
    /// told to do needs some that are trained, one average is another's rival and begins without a warm-up with pretrained weights alone, nothing is erased
    /// from pictures that are not changed, views are of pictures that are changed and not mixed, not every loss takes targets that are smoothed or mixed,
    /// and where classes are kept there are weights and may be no training.
    fn leaves(self, name: &str, is_said: &dyn Fn(&str) -> bool) -> bool {
        let is_one_said = |names: &[&str]| names.iter().any(|name| is_said(name));
        let of_another = || self.leaves("optimizer", is_said);
        is_said(name)
            || match name {
                "optimizer" => {
                    // One that takes what is said stays.
                    let of = self.options().optimizer;
                    (of.momentum().is_none() && is_said("momentum"))
                        || (of.alpha().is_none() && is_said("alpha"))
                        || (of != OptimizerKind::Sgd && is_said("nesterov"))
                }
                "freeze" => {
                    let needs_more = || is_one_said(&["unfreeze_every", "bn_l1", "precise_bn"]);
                    self.options().freeze != Freeze::None && needs_more()
                }
                // A new classifier alone learns at a rate of its own, and so do random weights.
                "lr" => {
                    let what =
                        || ["freeze", "pretrained"].iter().any(|it| self.leaves(it, is_said));
                    is_said("lr_auto") || of_another() || what()
                }
                "nesterov" => is_said("momentum") || of_another(),
                "weight_decay" => of_another(),
                "ema" => is_one_said(&["swa", "soup", "keep"]),
                "ema_warmup" => is_one_said(&["ema", "swa", "soup", "keep", "pretrained"]),
                "pretrained" => self.options().pretrained == Pretrained::None && is_said("keep"),
                "erase" => is_said("augment"),
                "augment" => self.options().augment == Augment::None && is_said("feature_views"),
                "mixup" | "cutmix" => is_one_said(&["loss", "feature_views"]),
                "label_smoothing" => is_said("loss"),
                _ => false,
            }
    }
}

impl FineTuneOptions {
    /// The same request where options that were not said are those of the preset: `is_said` is asked by the names of fields.
    ///
    /// # Examples
    /// ```
    /// use taper_recipes::{FineTuneOptions, Freeze, Preset};
    /// let said = FineTuneOptions { epochs: 2, ..FineTuneOptions::default() };
    /// let options = said.under(Preset::Quick, &|name| name == "epochs");
    /// assert_eq!((options.epochs, options.freeze), (2, Freeze::Backbone));
    /// ```
    #[must_use]
    pub fn under(self, preset: Preset, is_said: &dyn Fn(&str) -> bool) -> Self {
        let of = preset.options();
        let is_said = &preset.other_than_said(&self, is_said);
        macro_rules! take {
            ($($field:ident),+) => {
                Self { preset, $($field: if preset.leaves(stringify!($field), is_said) { self.$field } else { of.$field },)+ ..self }
            };
        }
        take!(
            pretrained,
            freeze,
            augment,
            optimizer,
            lr,
            epochs,
            ema,
            ema_warmup,
            erase,
            mixup,
            cutmix,
            label_smoothing,
            nesterov,
            warmup,
            weight_decay
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::LossKind;

    #[test]
    fn all_that_a_preset_sets_is_taken_where_nothing_is_said_and_can_be_meant() {
        for word in Preset::WORDS {
            let preset: Preset = word.parse().unwrap();
            let taken = FineTuneOptions::default().under(preset, &|_| false);
            assert_eq!(taken, preset.options(), "{word}");
            taken.check().unwrap();
        }
    }

    #[test]
    fn what_is_said_wins_and_takes_its_rivals_along() {
        let said = FineTuneOptions { lr: Some(0.5), ema: Some(0.9), ..FineTuneOptions::default() };
        let best = said.clone().under(Preset::Best, &|name| ["lr", "ema"].contains(&name));
        assert!(best.ema_warmup, "an average of one's own is the usual one");
        assert_eq!(
            (best.lr, best.optimizer, best.ema, best.epochs),
            (Some(0.5), OptimizerKind::Sgd, Some(0.9), 20)
        );
        best.check().unwrap();
        let head = FineTuneOptions { freeze: Freeze::Backbone, ..FineTuneOptions::default() };
        let best = head.under(Preset::Best, &|name| name == "freeze");
        assert_eq!((best.lr, best.epochs), (None, 20));
        // A rate, decay and Nesterov's momentum are those of the preset's optimizer.
        let adam =
            FineTuneOptions { optimizer: OptimizerKind::AdamW, ..FineTuneOptions::default() };
        let plain = FineTuneOptions { augment: Augment::None, ..adam };
        let is_said = |name: &str| ["optimizer", "augment"].contains(&name);
        for word in Preset::WORDS {
            let preset: Preset = word.parse().unwrap();
            let options = plain.clone().under(preset, &is_said);
            options.check().unwrap_or_else(|error| panic!("{word}: {error}"));
            // The quick one says AdamW itself: its rate stays.
            let lr = (preset == Preset::Quick).then_some(1e-3);
            assert_eq!((options.lr, options.nesterov, options.erase), (lr, false, 0.0), "{word}");
            let beside = preset.sets_beside(&plain, &is_said);
            let gone =
                |name: &str| name == "lr" && lr.is_none() || ["nesterov", "erase"].contains(&name);
            assert!(beside.iter().all(|(name, _)| !gone(name)));
        }
        let auto = FineTuneOptions { lr_auto: true, ..FineTuneOptions::default() };
        let scratch = auto.under(Preset::Scratch, &|name| name == "lr");
        assert_eq!((scratch.lr, scratch.lr_auto), (None, true));
    }

    #[test]
    fn a_rate_is_of_what_is_trained_and_begun_with() {
        let usual = FineTuneOptions::default;
        let all = || FineTuneOptions { freeze: Freeze::None, ..usual() };
        let quick = all().under(Preset::Quick, &|name| name == "freeze");
        assert_eq!((quick.freeze, quick.lr, quick.epochs), (Freeze::None, None, 20));
        let gradual = FineTuneOptions { unfreeze_every: Some(1), ..usual() };
        let quick = gradual.clone().under(Preset::Quick, &|name| name == "unfreeze_every");
        quick.check().unwrap();
        assert_eq!((quick.freeze, quick.lr), (Freeze::None, None));
        let best = gradual.under(Preset::Best, &|name| name == "unfreeze_every");
        assert_eq!(best.lr, Some(6e-3), "all is trained before the end");
        let random = FineTuneOptions { pretrained: Pretrained::None, ..usual() };
        let best = random.under(Preset::Best, &|name| name == "pretrained");
        assert_eq!((best.lr, best.ema, best.ema_warmup), (None, Some(0.98), true));
        let pretrained = usual().under(Preset::Scratch, &|name| name == "pretrained");
        assert_eq!((pretrained.lr, pretrained.pretrained), (None, Pretrained::Yes));
    }

    #[test]
    fn what_a_preset_says_too_changes_nothing() {
        for preset in [Preset::Quick, Preset::Best, Preset::Scratch] {
            let all = preset.options();
            assert_eq!(all.clone().under(preset, &|_| true), all, "{preset}");
            assert_eq!(preset.sets_beside(&all, &|_| true), preset.sets(), "{preset}");
        }
    }

    #[test]
    fn views_of_features_are_of_pictures_that_are_changed() {
        let views = FineTuneOptions { feature_views: 4, ..FineTuneOptions::default() };
        let quick = views.clone().under(Preset::Quick, &|name| name == "feature_views");
        quick.check().unwrap();
        assert_eq!((quick.augment, quick.freeze), (Augment::Yes, Freeze::Backbone));
        let frozen = FineTuneOptions { freeze: Freeze::Backbone, ..views };
        let is_said = |name: &str| ["feature_views", "freeze"].contains(&name);
        frozen.under(Preset::Scratch, &is_said).check().unwrap();
    }

    #[test]
    fn a_momentum_a_loss_and_classes_that_are_kept_take_along_what_they_go_with() {
        let under = |preset: Preset, said: FineTuneOptions, name: &'static str| {
            let options = said.under(preset, &|field| field == name);
            options.check().unwrap_or_else(|error| panic!("{preset} {name}: {error}"));
            options
        };
        let usual = FineTuneOptions::default;
        let heavy = || FineTuneOptions { momentum: Some(0.5), ..usual() };
        let best = under(Preset::Best, heavy(), "momentum");
        assert_eq!((best.lr, best.momentum, best.epochs), (Some(6e-3), Some(0.5), 20));
        let quick = under(Preset::Quick, heavy(), "momentum");
        assert_eq!((quick.optimizer, quick.lr), (OptimizerKind::Sgd, None));
        assert_eq!((quick.epochs, quick.momentum), (20, Some(0.5)));
        let none = FineTuneOptions { momentum: Some(0.0), ..usual() };
        let scratch = under(Preset::Scratch, none, "momentum");
        assert_eq!((scratch.nesterov, scratch.lr), (false, Some(0.1)));
        let nesterov = FineTuneOptions { nesterov: true, ..usual() };
        assert_eq!(under(Preset::Quick, nesterov, "nesterov").optimizer, OptimizerKind::Sgd);
        let focal = FineTuneOptions { loss: LossKind::Focal, ..usual() };
        let scratch = under(Preset::Scratch, focal, "loss");
        assert_eq!((scratch.label_smoothing, scratch.mixes(), scratch.erase), (0.0, false, 0.1));
        let keep = || FineTuneOptions { keep: true, ..usual() };
        let best = under(Preset::Best, keep(), "keep");
        assert_eq!((best.ema, best.ema_warmup, best.epochs), (None, true, 20));
        let scratch = under(Preset::Scratch, keep(), "keep");
        assert_eq!((scratch.pretrained, scratch.ema), (Pretrained::Yes, None));
        for preset in [Preset::Quick, Preset::Best, Preset::Scratch] {
            for name in ["momentum", "loss", "keep"] {
                let said = FineTuneOptions {
                    momentum: Some(0.5),
                    loss: LossKind::Focal,
                    keep: true,
                    ..usual()
                };
                let taken = preset.sets_beside(&said, &|field| field == name);
                let of = said.under(preset, &|field| field == name).list();
                let is_taken = |(field, value): &(&str, String)| {
                    of.iter().any(|option| option.name == *field && option.value == *value)
                };
                assert!(taken.iter().all(is_taken), "{preset} {name}: {taken:?}");
            }
        }
    }
}
