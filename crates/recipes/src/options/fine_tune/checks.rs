//! What cannot be asked together: of teachers, of augmentation, of shards that meet, of what is frozen, of a new head, and what that begins with.
//!
//! Above: `options::fine_tune`. Below: `error`. Not here: optimizers and schedules (`options::{optimizer, schedule}`).

use taper_transfer::Freeze;

use super::FineTuneOptions;
use crate::error::{Error, Result};
use crate::options::augment::Augment;
use crate::options::choice::{ClassWeights, HeadInit, Norms, Pretrained, ReduceDtype, Sampling};
use crate::options::{at_least, require};

impl FineTuneOptions {
    pub(super) fn check_teaching(&self) -> Result<()> {
        if let Some(folder) = &self.unlabelled {
            let expected = match (&self.teacher, self.class_weights, self.sampling) {
                (None, ..) => "absent without a `teacher`, who says what is in the pictures",
                (_, ClassWeights::Balanced, _) => {
                    "absent with `class_weights` balanced: their classes are not counted"
                }
                (.., Sampling::Balanced) => {
                    "absent with `sampling` balanced: their classes are not counted"
                }
                _ => "",
            };
            if !expected.is_empty() {
                return Err(Error::option("unlabelled", &folder.display(), expected));
            }
        }
        let both = [
            ("distill_temperature", self.distill_temperature),
            ("distill_weight", self.distill_weight),
        ];
        for (field, value) in both {
            if let (Some(value), None) = (value, &self.teacher) {
                return Err(Error::option(field, &value, "absent without a `teacher`"));
            }
        }
        let Some((temperature, weight)) = self.distillation() else { return Ok(()) };
        let is_fine = temperature.is_finite() && temperature > 0.0;
        require("distill_temperature", temperature, is_fine, "a positive number")?;
        require("distill_weight", weight, (0.0..=1.0).contains(&weight), "from 0 to 1")?;
        let is_heard = weight > 0.0 || self.unlabelled.is_some();
        let expected = "more than 0, or the teacher would teach nothing";
        require("distill_weight", weight, is_heard, expected)
    }

    /// What a new head of this request begins with: what is said; else the old one where there are pretrained weights. A head of other than classes, or
    /// after one of other than classes, is random all the same.
    pub fn head_init(&self) -> HeadInit {
        let is_pretrained = self.pretrained == Pretrained::Yes;
        self.head_init.unwrap_or(if is_pretrained {
            HeadInit::Pretrained
        } else {
            HeadInit::Random
        })
    }

    /// Whether training begins with vectors of all training pictures, of which the new head is made, or on which it is trained alone first.
    pub fn begins_with_vectors(&self) -> bool {
        self.warms_head() || self.head_init() == HeadInit::Pretrained
    }

    /// Refuses an old head where there is none.
    pub(super) fn check_head(&self) -> Result<()> {
        if self.head_init == Some(HeadInit::Pretrained) && self.pretrained == Pretrained::None {
            let expected = "random with `pretrained` none: no head is there to begin from";
            return Err(Error::option("head_init", &HeadInit::Pretrained, expected));
        }
        Ok(())
    }

    pub(super) fn check_augmentation(&self) -> Result<()> {
        require("erase", self.erase, (0.0..=1.0).contains(&self.erase), "from 0 to 1")?;
        for (field, alpha) in [("mixup", self.mixup), ("cutmix", self.cutmix)] {
            require(field, alpha, alpha.is_finite() && alpha >= 0.0, "0 or more")?;
        }
        at_least("repeats", self.repeats, 1)?;
        if self.augment == Augment::None {
            let alone = "with `augment` none, which changes no picture at random";
            require("erase", self.erase, self.erase <= 0.0, &format!("0 {alone}"))?;
            if self.repeats > 1 {
                return Err(Error::option("repeats", &self.repeats, format!("1 {alone}")));
            }
        }
        Ok(())
    }

    pub(super) fn check_meetings(&self) -> Result<()> {
        at_least("sync_every", self.sync_every, 1)?;
        let (lr, momentum) = (self.outer_lr, self.outer_momentum);
        if self.sync_every == 1 {
            let expected = "absent where shards share every step (`sync_every` 1)";
            if let Some(lr) = lr {
                return Err(Error::option("outer_lr", &lr, expected));
            }
            return require("outer_momentum", momentum, momentum == 0.0, expected);
        }
        if self.sync_bn {
            let expected =
                "absent with `sync_every`: norms that see all shards need them in every step";
            return Err(Error::option("sync_bn", &true, expected));
        }
        if let Some(steps) = self.lookahead {
            let expected = "absent with `sync_every`: its slow weights would take back half of what shards agree on";
            return Err(Error::option("lookahead", &steps, expected));
        }
        if let Some(lr) = lr {
            require("outer_lr", lr, lr.is_finite() && lr > 0.0, "a positive number")?;
        }
        let is_fine = (0.0..1.0).contains(&momentum);
        require("outer_momentum", momentum, is_fine, "from 0 to below 1")
    }

    /// What else changes from epoch to epoch cannot be computed once.
    pub(super) fn check_views(&self) -> Result<()> {
        if self.feature_views == 0 {
            return Ok(());
        }
        let expected = if self.freeze != Freeze::Backbone {
            "0 without `freeze` backbone: features of layers that are trained change with every step"
        } else if self.augment == Augment::None {
            "0 with `augment` none, of which there is one view"
        } else if self.mixes() {
            "0 with `mixup` or `cutmix`, which mix the pictures themselves"
        } else if self.repeats > 1 {
            "0 with `repeats`, whose pictures are changed differently each time"
        } else if self.sampling == Sampling::Balanced {
            "0 with `sampling` balanced, which shows pictures more than once an epoch"
        } else if self.image_size_from.is_some() {
            "0 with `image_size_from`: features of another size are others"
        } else if self.teacher.is_some() {
            "0 with a `teacher`, who sees the pictures"
        } else {
            return Ok(());
        };
        Err(Error::option("feature_views", &self.feature_views, expected))
    }

    pub(super) fn check_freezing(&self) -> Result<()> {
        if let Some(lambda) = self.bn_l1 {
            let is_fine = lambda.is_finite() && lambda > 0.0;
            require("bn_l1", lambda, is_fine, "a positive number")?;
        }
        let of_norms: [(&'static str, Option<&dyn std::fmt::Display>); 2] = [
            ("bn_l1", self.bn_l1.as_ref().map(|it| it as _)),
            ("precise_bn", self.precise_bn.as_ref().map(|it| it as _)),
        ];
        let is_frozen = self.freeze == Freeze::Backbone || self.norms() != Norms::Train;
        for (field, value) in of_norms {
            if let (Some(value), true) = (value, is_frozen) {
                let expected = "absent where the backbone, or all norms, are frozen";
                return Err(Error::option(field, &value, expected));
            }
        }
        let Some(every) = self.unfreeze_every else { return Ok(()) };
        at_least("unfreeze_every", every, 1)?;
        let expected = match (&self.freeze, self.sync_every > 1, self.reduce_dtype) {
            (Freeze::Backbone, ..) => {
                "absent with a frozen backbone, of which nothing is left to unfreeze"
            }
            (_, true, _) => {
                "absent with `sync_every`: shards that train alone train the same parts throughout"
            }
            (.., ReduceDtype::Bf16) => {
                "absent with `reduce_dtype` bf16, whose rounding is made up for part by part"
            }
            _ => return Ok(()),
        };
        Err(Error::option("unfreeze_every", &every, expected))
    }
}
