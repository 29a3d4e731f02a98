//! Which columns of a table are read.
//!
//! Above: `options`, `data`. Below: `taper_data::table`. Not here: what is told of columns that nobody named (`taper_data::table`).

use std::path::Path;

use serde::{Deserialize, Serialize};
use taper_data::TargetKind;
use taper_data::folder::Options;
use taper_data::table::TableOptions;

use super::FineTuneOptions;
use super::choice::TargetWord;

/// Which columns of a table are what, as far as it is said; the rest is told from their names and values.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TableColumns {
    /// The column of the pictures' paths.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The columns of the targets, between commas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub targets: Option<String>,
    /// What the targets are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<TargetWord>,
}

impl TableColumns {
    /// The first that is said, by its name among the options.
    pub(crate) fn first(&self) -> Option<&'static str> {
        let said = [
            ("image_column", self.image.is_some()),
            ("target_columns", self.targets.is_some()),
            ("targets", self.kind.is_some()),
        ];
        said.into_iter().find(|(_, is_said)| *is_said).map(|(name, _)| name)
    }

    /// How a table is read with them.
    pub(crate) fn of(&self, root: Option<&Path>, reading: Options) -> TableOptions {
        let targets = self.targets.iter().flat_map(|names| names.split(','));
        TableOptions {
            root: root.map(Path::to_path_buf),
            image: self.image.clone(),
            targets: targets.map(|name| name.trim().to_owned()).collect(),
            likely: Vec::new(),
            kind: self.kind.map(TargetKind::from),
            reading,
        }
    }
}

impl From<TargetWord> for TargetKind {
    fn from(word: TargetWord) -> Self {
        match word {
            TargetWord::Class => TargetKind::Class,
            TargetWord::Labels => TargetKind::Labels,
            TargetWord::Probabilities => TargetKind::Probabilities,
            TargetWord::Numbers => TargetKind::Numbers,
        }
    }
}

impl From<TargetKind> for TargetWord {
    fn from(kind: TargetKind) -> Self {
        match kind {
            TargetKind::Class => TargetWord::Class,
            TargetKind::Labels => TargetWord::Labels,
            TargetKind::Probabilities => TargetWord::Probabilities,
            TargetKind::Numbers => TargetWord::Numbers,
        }
    }
}

impl FineTuneOptions {
    /// The table's columns.
    pub(crate) fn columns(&self) -> TableColumns {
        TableColumns {
            image: self.image_column.clone(),
            targets: self.target_columns.clone(),
            kind: self.targets,
        }
    }
}
