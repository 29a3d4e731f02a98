//! What was found in a folder or a table of pictures.
//!
//! Above: `doctor`, the binary, which prints it. Below: `serde`. Not here: finding it (`doctor::{twins, labels, shapes}`).
//! Pictures are named by their path within the folder, with `/` on every system, or as their table names them.

use std::path::PathBuf;

use serde::Serialize;

use crate::options::TargetWord;
use crate::report::Skipped;

/// What looking for faults came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DoctorReport {
    /// The folder that was looked at, or what was named in its place.
    pub data: PathBuf,
    /// The table of the pictures, where one says what they show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<PathBuf>,
    /// Pictures that could be read.
    pub images: usize,
    /// What is said of them. Labels that are likely to be wrong, pictures unlike their class and classes that are confused are looked for
    /// where it is a class.
    pub targets: TargetWord,
    /// Pictures of each class, or those for which each label holds; none of probabilities and numbers.
    pub classes: Vec<ClassCount>,
    /// The same picture more than once.
    pub copies: Vec<Copies>,
    /// Pictures that a model of the others gives another class, the most certain first.
    pub labels: Vec<LabelSuspect>,
    /// Pictures that are unlike those of their class, the least alike first.
    pub unlike: Vec<Unlike>,
    /// Pictures of a size or shape that a network sees little of, or that other programs see turned.
    pub shapes: Vec<OddShape>,
    /// Files that are no pictures, or damaged.
    pub unreadable: Vec<Skipped>,
    /// Classes that are taken for each other, the most often first.
    pub confused: Vec<ConfusedClasses>,
    /// Classes with few pictures beside the others.
    pub rare: Vec<String>,
    /// The share of pictures that a model of the others gives the class that they have; absent where that cannot be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agreement: Option<f64>,
    /// What should be read first: why these pictures cannot be trained with as they are, classes of which the fixes would leave nothing, and what
    /// the list of fixes cannot have.
    pub remarks: Vec<String>,
    /// What cannot be left as it is: copies across parts or classes, and files that cannot be read.
    pub grave: usize,
    /// Files that the list of fixes would set aside; pictures of a table whose rows it would leave out, or label otherwise.
    pub fixes: usize,
    /// The page with all of it.
    pub page: PathBuf,
    /// The list of fixes.
    pub list: PathBuf,
}

impl DoctorReport {
    /// What was looked at: `398 pictures of 2 classes`.
    #[must_use]
    pub fn subject(&self) -> String {
        let (images, named) = (self.images, self.classes.len());
        match self.targets {
            TargetWord::Class => format!("{images} pictures of {named} classes"),
            TargetWord::Labels => format!("{images} pictures of {named} labels"),
            TargetWord::Probabilities | TargetWord::Numbers => {
                format!("{images} pictures with {}", self.targets)
            }
        }
    }

    /// What copies with other targets than each other are said to have.
    #[must_use]
    pub fn several(&self) -> &'static str {
        match self.targets {
            TargetWord::Class => "several classes",
            TargetWord::Labels => "several sets of labels",
            TargetWord::Probabilities => "several probabilities",
            TargetWord::Numbers => "several numbers",
        }
    }
}

/// Pictures of a class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClassCount {
    /// The class.
    pub class: String,
    /// Pictures to train on, or all where there are no parts.
    pub train: usize,
    /// Pictures to validate on.
    pub val: usize,
}

/// The same picture more than once.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and a key of the JSON"
)]
pub struct Copies {
    /// All of them, the one to keep first.
    pub images: Vec<String>,
    /// Whether the files are equal to the byte.
    pub exact: bool,
    /// Whether one of them is mirrored.
    pub mirrored: bool,
    /// Whether one is there to train on and one to validate on, so that the measure is too good.
    pub across_parts: bool,
    /// Whether they are in several classes, or have other targets than each other, of which at most one is right.
    pub across_classes: bool,
    /// The smallest correlation of two that are neighbors, up to 1.
    pub likeness: f64,
}

/// A picture that a model of the others gives another class.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LabelSuspect {
    /// The picture.
    pub image: String,
    /// Its class.
    pub class: String,
    /// What it looks like to the model.
    pub suggested: String,
    /// How much the model favors the other class: the difference of their shares, above 0, up to 1.
    pub margin: f64,
    /// Whether it is as sure of the other class as it mostly is of pictures that are of it: then the label is likely to be wrong, and
    /// otherwise the picture may only be a hard one.
    pub likely: bool,
}

/// A picture that is unlike those of its class.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Unlike {
    /// The picture.
    pub image: String,
    /// Its class.
    pub class: String,
    /// The cosine of its features to the class's mean.
    pub similarity: f64,
    /// How far that is below the class's median, in standard deviations as the median deviation estimates them.
    pub deviations: f64,
}

/// Why a picture's shape is odd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Shape {
    /// Its shorter side is below 32 pixels.
    Tiny,
    /// It is more than three times as long as wide, so that the middle, which a network sees, leaves most of it out.
    Long,
    /// The file asks for its pixels to be turned, which many programs pass over; here they are turned.
    Turned,
    /// It shows one color.
    Flat,
}

/// A picture of an odd shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OddShape {
    /// The picture.
    pub image: String,
    /// What is odd.
    pub shape: Shape,
    /// Height, pixels.
    pub height: usize,
    /// Width, pixels.
    pub width: usize,
}

/// Two classes of which one is taken for the other.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConfusedClasses {
    /// The class that pictures have.
    pub class: String,
    /// What a model of the others calls them.
    pub called: String,
    /// How many.
    pub images: usize,
    /// Of all that are of the class.
    pub share: f64,
}
