//! What options are in the configuration of a run that was begun before there were such, and words of old in it.
//!
//! Above: `options::fine_tune`. Below: `options::choice`. Not here: the defaults of a new run (`options::fine_tune`).

use super::FineTuneOptions;
use crate::options::choice::{
    CacheKind, ClassWeights, HeadInit, LossKind, MatmulPrecision, Norms, Preset, Reduce,
    ReduceDtype, Sampling,
};

/// Pictures were kept in memory.
pub(super) fn ram() -> CacheKind {
    CacheKind::Ram
}

/// The shards, and the repeats, of a run that was begun before there were any.
pub(super) fn one() -> usize {
    1
}

/// How its gradients were summed.
pub(super) fn exact() -> Reduce {
    Reduce::Exact
}

/// What its networks multiplied.
pub(super) fn matmul_f32() -> MatmulPrecision {
    MatmulPrecision::F32
}

/// What travelled for it.
pub(super) fn f32() -> ReduceDtype {
    ReduceDtype::F32
}

/// What a new head began with.
pub(super) fn random() -> Option<HeadInit> {
    Some(HeadInit::Random)
}

/// The loss there was before there were others.
pub(super) fn auto() -> LossKind {
    LossKind::Auto
}

pub(super) fn gamma() -> f64 {
    FineTuneOptions::default().focal_gamma
}

pub(super) fn alike() -> ClassWeights {
    ClassWeights::None
}

pub(super) fn usual() -> Preset {
    Preset::Default
}

pub(super) fn norms() -> Option<Norms> {
    Some(Norms::Train)
}

pub(super) fn each_once() -> Sampling {
    Sampling::Shuffle
}

/// Spells [`Freeze`] in `config.json` as on the command line.
pub(super) mod as_word {
    use serde::{Deserialize, Deserializer, Serializer};
    use taper_transfer::Freeze;

    pub(in super::super) fn serialize<S: Serializer>(
        freeze: &Freeze,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_str(freeze)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Freeze, D::Error> {
        let word = String::deserialize(from)?;
        word.parse().map_err(serde::de::Error::custom)
    }
}

/// Whether it has a page.
pub(super) fn yes() -> bool {
    true
}
