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
            Self::Best => FineTuneOptions { epochs: 15, lr_auto: true, soup: Some(3), ..usual },
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
        let (mine, usual) = (self.options().list(), FineTuneOptions::default().list());
        let others = mine.into_iter().zip(usual).filter(|(mine, usual)| mine.value != usual.value);
        let others = others.map(|(mine, _)| (mine.name, mine.value));
        others.filter(|(name, _)| *name != "preset").collect()
    }

    /// Of [`Preset::sets`], what [`FineTuneOptions::under`] takes beside what is said.
    #[must_use]
    pub fn sets_beside(self, is_said: &dyn Fn(&str) -> bool) -> Vec<(&'static str, String)> {
        self.sets().into_iter().filter(|(name, _)| !is_settled(name, is_said)).collect()
    }
}

/// Whether an option is said, or goes with one that is: a rate is an optimizer's, one average is another's rival, and nothing is erased from pictures that are
/// not changed.
fn is_settled(name: &str, is_said: &dyn Fn(&str) -> bool) -> bool {
    let with: &[&str] = match name {
        "lr" => &["lr_auto", "optimizer"],
        "lr_auto" => &["lr"],
        "ema" | "soup" => &["ema", "swa", "soup"],
        "nesterov" | "weight_decay" => &["optimizer"],
        "erase" => &["augment"],
        _ => &[],
    };
    is_said(name) || with.iter().any(|name| is_said(name))
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
        macro_rules! take {
            ($($field:ident),+) => {
                Self { preset, $($field: if is_settled(stringify!($field), is_said) { self.$field } else { of.$field },)+ ..self }
            };
        }
        take!(
            pretrained,
            freeze,
            augment,
            optimizer,
            lr,
            lr_auto,
            epochs,
            soup,
            ema,
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
        assert_eq!(
            (best.lr, best.lr_auto, best.ema, best.soup),
            (Some(0.5), false, Some(0.9), None)
        );
        best.check().unwrap();
        // A rate, decay and Nesterov's momentum are those of the preset's optimizer.
        let adam =
            FineTuneOptions { optimizer: OptimizerKind::AdamW, ..FineTuneOptions::default() };
        let plain = FineTuneOptions { augment: Augment::None, ..adam };
        let is_said = |name: &str| ["optimizer", "augment"].contains(&name);
        for word in Preset::WORDS {
            let preset: Preset = word.parse().unwrap();
            let options = plain.clone().under(preset, &is_said);
            options.check().unwrap_or_else(|error| panic!("{word}: {error}"));
            assert_eq!((options.lr, options.nesterov, options.erase), (None, false, 0.0), "{word}");
            let beside = preset.sets_beside(&is_said);
            assert!(beside.iter().all(|(name, _)| !["lr", "nesterov", "erase"].contains(name)));
        }
        let auto = FineTuneOptions { lr_auto: true, ..FineTuneOptions::default() };
        let scratch = auto.under(Preset::Scratch, &|name| name == "lr");
        assert_eq!((scratch.lr, scratch.lr_auto), (None, true));
    }
}
