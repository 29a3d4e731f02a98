//! What a run keeps in its folder besides its state: a model that was handed over in memory, its teacher, the masks it began with.
//!
//! Above: `fine_tune`. Below: `taper_train::RunFolder`, `taper_model`. Not here: checkpoints (`taper_train`), what is done with them
//! (`tune`).
//! They lie there before `config.json` does, which has their fingerprints: a run that can go on has all of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use taper_model::Model;
use taper_train::RunFolder;

use super::Run;
use crate::error::{Error, Result};

/// By parameter: whether an entry is kept, row by row.
pub(crate) type MasksByName = BTreeMap<String, Vec<bool>>;

/// What a run keeps.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kept {
    /// The model it began with, if no option names it: its head and classes stay.
    pub(crate) start: Option<Model>,
    pub(crate) teacher: Option<Model>,
    pub(crate) masks: Option<MasksByName>,
}

/// Fingerprints of what a run keeps.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptPrints {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    teacher: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    masks: Option<String>,
}

impl KeptPrints {
    /// Whether a run keeps nothing, as most.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the model that the run began with is one of the files.
    pub(crate) fn has_start(&self) -> bool {
        self.start.is_some()
    }
}

impl Kept {
    pub(crate) fn prints(&self) -> KeptPrints {
        KeptPrints {
            start: self.start.as_ref().map(fingerprint),
            teacher: self.teacher.as_ref().map(fingerprint),
            masks: self.masks.as_ref().map(mask_fingerprint),
        }
    }

    /// Writes what there is to the run's folder.
    pub(crate) fn save(&self, folder: &RunFolder) -> Result<()> {
        for (model, path) in [(&self.start, folder.start()), (&self.teacher, folder.teacher())] {
            if let Some(model) = model {
                model.save(path).map_err(|source| Error::Model { source })?;
            }
        }
        match &self.masks {
            Some(masks) => taper_train::save_masks(masks, &folder.masks())
                .map_err(|source| Error::Train { source }),
            None => Ok(()),
        }
    }

    /// Reads what a run keeps, and refuses files that are others than when it began.
    pub(crate) fn load(Run { folder, config, .. }: &Run) -> Result<Self> {
        let prints = &config.kept;
        let model = |print: &Option<String>, path| match print {
            Some(_) => Model::load(path).map(Some).map_err(|source| Error::Model { source }),
            None => Ok(None),
        };
        let masks = match prints.masks {
            Some(_) => Some(
                taper_train::load_masks(&folder.masks())
                    .map_err(|source| Error::Train { source })?,
            ),
            None => None,
        };
        let (start, teacher) =
            (model(&prints.start, folder.start())?, model(&prints.teacher, folder.teacher())?);
        let kept = Kept { start, teacher, masks };
        let KeptPrints { start, teacher, masks } = kept.prints();
        let compared = [
            ("model", &prints.start, start),
            ("teacher", &prints.teacher, teacher),
            ("set of masks", &prints.masks, masks),
        ];
        for (what, was, is) in compared {
            if *was != is {
                let [was, is] = [was.clone(), is].map(Option::unwrap_or_default);
                let difference = format!("the fingerprint of its file was {was} and is {is}");
                return Err(Error::Changed { run: folder.path().to_path_buf(), what, difference });
            }
        }
        Ok(kept)
    }
}

/// The 64-bit FNV-1a hash of a model's weights and graph; it tells models apart and protects from nothing.
pub(crate) fn fingerprint(model: &Model) -> String {
    let mut hash = Fnv::new();
    model.graph().to_json().bytes().for_each(|byte| hash.add(u64::from(byte)));
    let values = model.tensors().iter().flat_map(|tensor| &tensor.data);
    values.for_each(|value| hash.add(u64::from(value.to_bits())));
    hash.print()
}

fn mask_fingerprint(masks: &MasksByName) -> String {
    let mut hash = Fnv::new();
    for (name, kept) in masks {
        name.bytes().for_each(|byte| hash.add(u64::from(byte)));
        kept.iter().for_each(|&kept| hash.add(256 + u64::from(kept)));
    }
    hash.print()
}

struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0000_0100_0000_01b3);
    }

    fn print(&self) -> String {
        format!("{:016x}", self.0)
    }
}
