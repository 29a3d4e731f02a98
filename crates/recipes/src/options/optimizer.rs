//! What each optimizer takes, its defaults, and what cannot be asked of it.
//!
//! Above: `options::fine_tune`, `setup`. Below: `taper_optim`'s defaults. Not here: the rules (`taper_optim`), schedules (`options::schedule`).

use taper_optim::{Adan, Lamb, Lion, Muon, RmsProp, RmsPropTf};
use taper_transfer::Freeze;

use super::choice::{Norms, OptimizerKind, Pretrained};
use super::numbers::Numbers;
use super::{FineTuneOptions, require};
use crate::error::{Error, Result};

impl OptimizerKind {
    /// The momentum when none is given; none of a rule that has no such number. Of SGD and TensorFlow's `RMSprop` that of Sandler et al. 2018,
    /// <https://arxiv.org/abs/1801.04381>, of the others PyTorch's.
    pub fn momentum(self) -> Option<f64> {
        match self {
            Self::Sgd | Self::RmsPropTf => Some(0.9),
            Self::RmsProp => Some(RmsProp::default().momentum),
            Self::Muon => Some(Muon::default().momentum),
            Self::Adam | Self::AdamW | Self::NAdam | Self::Lamb | Self::Lion | Self::Adan => None,
        }
    }

    /// The decay rates of moments when none are given: PyTorch's, of `Lion` and `Adan` their papers'. Of `Muon` those of its `AdamW`.
    pub fn betas(self) -> Option<Numbers> {
        match self {
            Self::Sgd | Self::RmsProp | Self::RmsPropTf => None,
            Self::Adam | Self::AdamW | Self::NAdam | Self::Lamb => {
                Some(pair(Lamb::default().betas))
            }
            Self::Muon => Some(pair(Muon::default().rest.betas)),
            Self::Lion => Some(pair(Lion::default().betas)),
            Self::Adan => {
                let (gradient, difference, square) = Adan::default().betas;
                Some(Numbers(vec![gradient, difference, square]))
            }
        }
    }

    /// What keeps a divisor from 0 when nothing is given: PyTorch's or timm's, of TensorFlow's `RMSprop` that of Howard et al. 2019,
    /// <https://arxiv.org/abs/1905.02244>. Of `Muon` that of its `AdamW`.
    pub fn eps(self) -> Option<f64> {
        match self {
            Self::Sgd | Self::Lion => None,
            Self::RmsPropTf => Some(1e-3),
            Self::Lamb => Some(Lamb::default().eps),
            Self::RmsProp => Some(RmsProp::default().eps),
            Self::Adan => Some(Adan::default().eps),
            Self::Adam | Self::AdamW | Self::NAdam | Self::Muon => Some(Muon::default().rest.eps),
        }
    }

    /// The decay rate of the mean square when none is given: PyTorch's and timm's.
    pub fn alpha(self) -> Option<f64> {
        match self {
            Self::RmsProp => Some(RmsProp::default().alpha),
            Self::RmsPropTf => Some(RmsPropTf::default().alpha),
            Self::Sgd | Self::Adam | Self::AdamW | Self::NAdam => None,
            Self::Lamb | Self::Lion | Self::Adan | Self::Muon => None,
        }
    }
}

fn pair((first, second): (f64, f64)) -> Numbers {
    Numbers(vec![first, second])
}

impl FineTuneOptions {
    /// The learning rate when none is given. SGD and `AdamW` are measured; the other rules stand to `AdamW` as their papers say: Adam, `NAdam`,
    /// `RMSprop` and `Muon`, whose steps are matched to it, the same; TensorFlow's `RMSprop` a tenth, for its momentum of 0.9 adds up ten
    /// steps; `Lion` a third (Chen et al. 2023: 3 to 10 times smaller), `Adan` five times (Xie et al. 2022: 5 to 10 times larger), `LAMB` ten
    /// times, for a step of it is measured in the length of the weights (You et al. 2020).
    pub fn default_lr(optimizer: OptimizerKind, freeze: &Freeze) -> f64 {
        let is_head = *freeze == Freeze::Backbone;
        let adamw = if is_head { 3e-3 } else { 1e-4 };
        match optimizer {
            OptimizerKind::Sgd if is_head => 0.01,
            OptimizerKind::Sgd => 1e-3,
            OptimizerKind::Adam | OptimizerKind::AdamW | OptimizerKind::NAdam => adamw,
            OptimizerKind::RmsProp | OptimizerKind::Muon => adamw,
            OptimizerKind::RmsPropTf => adamw / 10.0,
            OptimizerKind::Lion => adamw / 3.0,
            OptimizerKind::Adan => adamw * 5.0,
            OptimizerKind::Lamb => adamw * 10.0,
        }
    }

    /// The learning rate of this request.
    pub fn peak_lr(&self) -> f64 {
        self.lr.unwrap_or_else(|| Self::default_lr(self.optimizer, &self.freeze))
    }

    pub(crate) fn resolved_momentum(&self) -> Option<f64> {
        let default = self.optimizer.momentum();
        default.map(|default| self.momentum.unwrap_or(default))
    }

    pub(crate) fn resolved_betas(&self) -> Option<Numbers> {
        let default = self.optimizer.betas();
        default.map(|default| self.betas.clone().unwrap_or(default))
    }

    pub(crate) fn resolved_eps(&self) -> Option<f64> {
        let default = self.optimizer.eps();
        default.map(|default| self.eps.unwrap_or(default))
    }

    pub(crate) fn resolved_alpha(&self) -> Option<f64> {
        let default = self.optimizer.alpha();
        default.map(|default| self.alpha.unwrap_or(default))
    }

    /// Refuses what the optimizer does not take, and numbers outside of their range.
    pub(super) fn check_optimizer(&self) -> Result<()> {
        let kind = self.optimizer;
        let absent = || format!("absent with `optimizer` {kind}, which has none");
        // A run of a version that knew no other rules says SGD's momentum of `AdamW`, too.
        let is_old = |momentum| {
            kind == OptimizerKind::AdamW && Some(momentum) == OptimizerKind::Sgd.momentum()
        };
        let single = [
            (
                "momentum",
                self.momentum,
                kind.momentum().is_some() || self.momentum.is_some_and(is_old),
            ),
            ("alpha", self.alpha, kind.alpha().is_some()),
        ];
        for (field, value, is_taken) in single {
            let Some(value) = value else { continue };
            require(field, value, is_taken, &absent())?;
            require(field, value, (0.0..1.0).contains(&value), "from 0 to below 1")?;
        }
        if let Some(eps) = self.eps {
            require("eps", eps, kind.eps().is_some(), &absent())?;
            require("eps", eps, eps.is_finite() && eps > 0.0, "a positive number")?;
        }
        if let Some(betas) = &self.betas {
            let refused = |expected: String| Err(Error::option("betas", betas, expected));
            let Some(default) = kind.betas() else { return refused(absent()) };
            let n = default.0.len();
            if betas.0.len() != n || !betas.0.iter().all(|beta| (0.0..1.0).contains(beta)) {
                return refused(format!("{n} numbers from 0 to below 1 for `optimizer` {kind}"));
            }
        }
        if self.nesterov && kind != OptimizerKind::Sgd {
            return Err(Error::option("nesterov", &true, "false for any `optimizer` but sgd"));
        }
        if self.nesterov && self.momentum.is_some_and(|momentum| momentum <= 0.0) {
            return Err(Error::option("nesterov", &true, "false with a `momentum` of 0"));
        }
        if self.lookahead == Some(0) {
            return Err(Error::option("lookahead", &0, "1 or more"));
        }
        let decay = self.weight_decay;
        require("weight_decay", decay, decay.is_finite() && decay >= 0.0, "0 or more")?;
        match self.layer_decay {
            Some(decay) => {
                let is_fine = decay > 0.0 && decay <= 1.0;
                require("layer_decay", decay, is_fine, "above 0 and at most 1")
            }
            None => Ok(()),
        }
    }

    /// Refuses several averages at once, and averages of nothing.
    pub(super) fn check_average(&self) -> Result<()> {
        if let Some(decay) = self.ema {
            require("ema", decay, (0.0..1.0).contains(&decay), "from 0 to below 1")?;
        } else if !self.ema_warmup {
            let expected = "a number from 0 to below 1 where `ema_warmup` is false";
            return Err(Error::option("ema", &"none", expected));
        }
        if let Some(swa) = self.swa {
            if let Some(decay) = self.ema {
                return Err(Error::option("ema", &decay, "absent with `swa`"));
            }
            if swa == 0 || swa > self.epochs {
                let expected = format!("from 1 to the {} `epochs`", self.epochs);
                return Err(Error::option("swa", &swa, expected));
            }
        }
        let Some(soup) = self.soup else { return Ok(()) };
        for (other, is_given) in [("ema", self.ema.is_some()), ("swa", self.swa.is_some())] {
            if is_given {
                return Err(Error::option("soup", &soup, format!("absent with `{other}`")));
            }
        }
        super::at_least("soup", soup, 2)
    }

    /// What becomes of batch norms in this request: what is said; else those of a pretrained network are frozen, unless another option is about norms
    /// that are trained, and random ones are trained.
    pub fn norms(&self) -> Norms {
        let of_trained = self.bn_l1.is_some() || self.precise_bn.is_some() || self.sync_bn;
        let is_frozen = self.pretrained == Pretrained::Yes && !of_trained;
        self.norms.unwrap_or(if is_frozen { Norms::Freeze } else { Norms::Train })
    }

    /// The largest norm of gradients when none is given, where they are limited.
    pub const CLIP_NORM: f64 = 1.0;

    /// The largest norm of all gradients of this request: what is said, where 0 says no limit; else [`FineTuneOptions::CLIP_NORM`] where layers of a network
    /// are trained and its norms are not, for then nothing else holds the first steps back. With another kind of clipping there is none.
    pub fn clip_norm(&self) -> Option<f64> {
        let is_held = self.norms() == Norms::Train || self.freeze == Freeze::Backbone;
        let is_other = self.clip_value.is_some() || self.agc.is_some();
        let default = (!is_held && !is_other).then_some(Self::CLIP_NORM);
        self.clip_norm.or(default).filter(|limit| *limit > 0.0)
    }

    /// Refuses several kinds of clipping at once, and limits that are none.
    pub(super) fn check_clipping(&self) -> Result<()> {
        let given =
            [("clip_norm", self.clip_norm), ("clip_value", self.clip_value), ("agc", self.agc)];
        let mut first: Option<&str> = None;
        for (field, limit) in given {
            let Some(limit) = limit else { continue };
            let (is_none, expected) = match field {
                "clip_norm" => (limit == 0.0, "0 or more"),
                _ => (false, "a positive number"),
            };
            if is_none {
                continue;
            }
            require(field, limit, limit.is_finite() && limit > 0.0, expected)?;
            if let Some(first) = first {
                return Err(Error::option(field, &limit, format!("absent with `{first}`")));
            }
            first = Some(field);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(change: impl FnOnce(&mut FineTuneOptions)) -> String {
        let mut options = FineTuneOptions::default();
        change(&mut options);
        options.check().unwrap_err().to_string()
    }

    #[test]
    fn every_optimizer_is_filled_in_and_allowed() {
        for word in OptimizerKind::WORDS {
            let optimizer: OptimizerKind = word.parse().unwrap();
            let options = FineTuneOptions { optimizer, ..FineTuneOptions::default() };
            options.check().unwrap();
            let resolved = options.resolved();
            resolved.check().unwrap();
            assert_eq!(resolved.resolved(), resolved, "{word}");
            assert!(FineTuneOptions::default_lr(optimizer, &Freeze::Backbone) > options.peak_lr());
        }
        let adan = FineTuneOptions { optimizer: OptimizerKind::Adan, ..FineTuneOptions::default() };
        assert!(
            adan.recipe().contains("momentum none, betas 0.98,0.92,0.99, eps 0.00000001,"),
            "{}",
            adan.recipe()
        );
    }

    #[test]
    fn what_an_optimizer_does_not_take_is_refused_with_both_names() {
        assert_eq!(
            refusal(|o| o.betas = Some(Numbers(vec![0.9, 0.99]))),
            "`betas` is 0.9,0.99, it must be absent with `optimizer` sgd, which has none"
        );
        let adan = refusal(|o| {
            o.optimizer = OptimizerKind::Adan;
            o.betas = Some(Numbers(vec![0.9, 0.99]));
        });
        assert!(
            adan.ends_with("it must be 3 numbers from 0 to below 1 for `optimizer` adan"),
            "{adan}"
        );
        let adam = refusal(|o| {
            o.optimizer = OptimizerKind::Adam;
            o.nesterov = true;
        });
        assert_eq!(adam, "`nesterov` is true, it must be false for any `optimizer` but sgd");
        let lion = refusal(|o| {
            o.optimizer = OptimizerKind::Lion;
            o.momentum = Some(0.9);
        });
        assert!(
            lion.starts_with("`momentum` is 0.9, it must be absent with `optimizer` lion"),
            "{lion}"
        );
        let both = refusal(|o| (o.clip_norm, o.agc) = (Some(1.0), Some(0.01)));
        assert_eq!(both, "`agc` is 0.01, it must be absent with `clip_norm`");
        assert!(refusal(|o| o.clip_value = Some(f64::NAN)).starts_with("`clip_value` is NaN"));
        let warm = refusal(|o| o.ema_warmup = false);
        let expected = "a number from 0 to below 1 where `ema_warmup` is false";
        assert_eq!(warm, format!("`ema` is none, it must be {expected}"));
        let both = refusal(|o| (o.ema, o.soup) = (Some(0.9), Some(3)));
        assert_eq!(both, "`soup` is 3, it must be absent with `ema`");
        let both = refusal(|o| (o.ema, o.swa) = (Some(0.9), Some(3)));
        assert_eq!(both, "`ema` is 0.9, it must be absent with `swa`");
        assert!(refusal(|o| o.swa = Some(7)).ends_with("from 1 to the 6 `epochs`"));
        assert!(refusal(|o| o.soup = Some(1)).starts_with("`soup` is 1"));
        assert!(refusal(|o| o.lookahead = Some(0)).starts_with("`lookahead` is 0"));
        assert!(refusal(|o| o.layer_decay = Some(0.0)).starts_with("`layer_decay` is 0"));
        // As a run of an older version says it.
        let old = FineTuneOptions {
            optimizer: OptimizerKind::AdamW,
            momentum: Some(0.9),
            ..FineTuneOptions::default()
        };
        old.check().unwrap();
    }
}
