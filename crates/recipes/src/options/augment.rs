//! How training pictures are changed at random, as one word of the command line: `trivial`, `rand-m9-n2,color-jitter=0.4`.
//!
//! Above: `options::fine_tune`, the binary's flags, `setup`. Below: `augment::table`, `taper_data::augment`. Not here: erasing and mixing, which are
//! options of their own.

mod table;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use taper_data::augment::Augmentation;

use crate::error::{Error, Result};
use table::{ENTRIES, Entry, Numbers};

/// How training pictures are changed at random. Spelled the same on the command line and in `config.json`.
///
/// # Examples
/// ```
/// use taper_recipes::Augment;
/// let augment: Augment = "rand-m9,color-jitter=0.4".parse()?;
/// assert_eq!(augment.to_string(), "rand-m9-n2,color-jitter=0.4");
/// assert_eq!("yes".parse::<Augment>()?, Augment::Yes);
/// let error = "trivail".parse::<Augment>().unwrap_err().to_string();
/// assert!(error.ends_with("(did you mean `trivial`?)"), "{error}");
/// # Ok::<(), taper_recipes::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum Augment {
    /// A random crop of a random shape, resized, and a flip every other time.
    Yes,
    /// Resized and cropped in the middle, as for evaluating.
    None,
    /// As [`Augment::Yes`], and these afterwards, in order.
    With(Vec<AugmentStep>),
}

/// One augmentation by its name, with its numbers.
#[derive(Clone)]
pub struct AugmentStep {
    entry: &'static Entry,
    numbers: Vec<f64>,
}

/// What can be asked for, for a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AugmentHelp {
    /// How it is spelled, numbers at their defaults.
    pub spelling: String,
    /// What it does.
    pub about: &'static str,
}

const CROP_AND_FLIP: &str = "yes";
const NOTHING: &str = "none";

impl Augment {
    /// Everything that can be asked for, in the order in which it is told.
    pub fn help() -> Vec<AugmentHelp> {
        let fixed = [
            (CROP_AND_FLIP, "random crop and horizontal flip; the others below come after both"),
            (NOTHING, "resized and cropped in the middle, as for evaluating"),
        ];
        let fixed = fixed.into_iter().map(|(word, about)| (word.to_owned(), about));
        let others = ENTRIES.iter().map(|entry| {
            let step = AugmentStep { entry, numbers: entry.numbers.defaults() };
            (step.to_string(), entry.about)
        });
        fixed.chain(others).map(|(spelling, about)| AugmentHelp { spelling, about }).collect()
    }

    /// The augmentations after crop and flip.
    pub(crate) fn steps(&self) -> &[AugmentStep] {
        match self {
            Augment::With(steps) => steps,
            Augment::Yes | Augment::None => &[],
        }
    }
}

impl AugmentStep {
    /// What it does to pictures.
    pub(crate) fn make(&self) -> Result<Arc<dyn Augmentation>> {
        (self.entry.make)(&self.numbers).map_err(|source| match source {
            taper_data::Error::Setting { expected, .. } => Error::option("augment", self, expected),
            source => Error::Data { source },
        })
    }

    fn parse(word: &str) -> Result<Self> {
        let matching = ENTRIES.iter().find_map(|entry| entry.parse(word).map(|it| (entry, it)));
        let Some((entry, numbers)) = matching else { return Err(unknown(word)) };
        let numbers = numbers.ok_or_else(|| {
            let example = AugmentStep { entry, numbers: entry.numbers.defaults() };
            Error::option("augment", &word, format!("written like `{example}`"))
        })?;
        let step = AugmentStep { entry, numbers };
        step.make()?;
        Ok(step)
    }
}

/// The words that can be, and the nearest to one that cannot.
fn unknown(word: &str) -> Error {
    let names = || [CROP_AND_FLIP, NOTHING].into_iter().chain(ENTRIES.iter().map(|it| it.name));
    let name = word.split(['=', '(']).next().unwrap_or(word);
    let hint = taper_graph::nearest(name, names());
    let hint = hint.map_or(String::new(), |nearest| format!(" (did you mean `{nearest}`?)"));
    let expected = format!("{}{hint}", names().collect::<Vec<_>>().join(", "));
    Error::Choice { got: word.to_owned(), expected }
}

/// Refuses two that cannot both be meant.
fn agree(steps: &[AugmentStep], text: &str) -> Result<()> {
    for (i, step) in steps.iter().enumerate() {
        for other in &steps[..i] {
            let expected = if other.entry.name == step.entry.name {
                format!("one of `{other}` and `{step}`, not both")
            } else if other.entry.is_policy && step.entry.is_policy {
                format!("one policy: `{other}` and `{step}` are two")
            } else {
                continue;
            };
            return Err(Error::option("augment", &text, expected));
        }
    }
    Ok(())
}

impl FromStr for Augment {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let words: Vec<&str> = text.split(',').map(str::trim).collect();
        if let Some(&other) = words.iter().find(|&&word| word != NOTHING) {
            if words.contains(&NOTHING) {
                let expected = format!("either `{NOTHING}` or `{other}`, not both");
                return Err(Error::option("augment", &text, expected));
            }
        } else {
            return Ok(Augment::None);
        }
        let others = words.into_iter().filter(|&word| word != CROP_AND_FLIP);
        let steps = others.map(AugmentStep::parse).collect::<Result<Vec<_>>>()?;
        agree(&steps, text)?;
        Ok(if steps.is_empty() { Augment::Yes } else { Augment::With(steps) })
    }
}

impl fmt::Display for Augment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Augment::Yes => f.write_str(CROP_AND_FLIP),
            Augment::None => f.write_str(NOTHING),
            Augment::With(steps) => {
                for (i, step) in steps.iter().enumerate() {
                    let comma = if i > 0 { "," } else { "" };
                    write!(f, "{comma}{step}")?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for AugmentStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.entry.name)?;
        match self.entry.numbers {
            Numbers::None => Ok(()),
            Numbers::One(_) => write!(f, "={}", self.numbers[0]),
            Numbers::Letters(letters) => {
                let mut pairs = letters.iter().zip(&self.numbers);
                pairs.try_for_each(|((letter, _), number)| write!(f, "-{letter}{number}"))
            }
        }
    }
}

impl fmt::Debug for AugmentStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AugmentStep({self})")
    }
}

impl PartialEq for AugmentStep {
    fn eq(&self, other: &Self) -> bool {
        self.entry.name == other.entry.name && self.numbers == other.numbers
    }
}

impl Serialize for Augment {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Augment {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::Augment;
    use super::table::ENTRIES;

    fn refused(text: &str) -> String {
        text.parse::<Augment>().unwrap_err().to_string()
    }

    #[test]
    fn what_is_listed_is_read_and_spelled_the_same() {
        let help = Augment::help();
        assert_eq!(help.len(), ENTRIES.len() + 2);
        for line in help {
            let augment: Augment = line.spelling.parse().unwrap();
            assert_eq!(augment.to_string(), line.spelling);
            let json = serde_json::to_string(&augment).unwrap();
            assert_eq!(json, format!("\"{}\"", line.spelling));
            assert_eq!(serde_json::from_str::<Augment>(&json).unwrap(), augment);
            assert!(augment.steps().iter().all(|step| step.make().is_ok()));
            let name = line.spelling.split(['=', '-']).next().unwrap();
            assert!(
                ENTRIES.iter().all(|entry| entry.name != name) || name.parse::<Augment>().is_ok()
            );
        }
    }

    #[test]
    fn numbers_may_be_left_out_and_lists_keep_their_order() {
        for (text, spelled) in [
            ("rand", "rand-m9-n2"),
            ("rand-n3", "rand-m9-n3"),
            ("rand-n1-m20", "rand-m20-n1"),
            ("augmix", "augmix-m3"),
            ("yes, trivial", "trivial"),
            ("color-jitter,grayscale=0.5", "color-jitter=0.4,grayscale=0.5"),
            ("grayscale=0.5,color-jitter", "grayscale=0.5,color-jitter=0.4"),
            ("none,none", "none"),
            ("yes,yes", "yes"),
        ] {
            assert_eq!(text.parse::<Augment>().unwrap().to_string(), spelled, "{text}");
        }
    }

    #[test]
    fn unknown_names_get_the_nearest() {
        for (text, nearest) in [
            ("trivail", "trivial"),
            ("colour-jitter=0.4", "color-jitter"),
            ("greyscale", "grayscale"),
            ("rotation=15", "rotate"),
            ("ja", "yes"),
        ] {
            let refused = refused(text);
            assert!(refused.contains("is not one of yes, none, trivial, rand"), "{refused}");
            if text != "ja" {
                assert!(refused.ends_with(&format!("(did you mean `{nearest}`?)")), "{refused}");
            }
        }
        assert!(refused("").contains("`` is not one of"));
        assert!(refused("trivial,").contains("`` is not one of"));
    }

    #[test]
    fn contradictions_are_refused_with_both_named() {
        assert_eq!(
            refused("none,trivial"),
            "`augment` is none,trivial, it must be either `none` or `trivial`, not both"
        );
        assert!(refused("yes,none").ends_with("either `none` or `yes`, not both"));
        assert!(
            refused("trivial,rand").ends_with("one policy: `trivial` and `rand-m9-n2` are two")
        );
        assert!(
            refused("rotate=5,rotate=9").ends_with("one of `rotate=5` and `rotate=9`, not both")
        );
    }

    #[test]
    fn numbers_out_of_range_or_unreadable_are_refused() {
        assert_eq!(refused("rand-m31"), "`augment` is rand-m31-n2, it must be 0 to 30");
        assert!(refused("grayscale=1.5").ends_with("grayscale=1.5, it must be 0 to 1"));
        assert!(refused("color-jitter=-1").contains("`augment` is color-jitter=-1, it must be"));
        for text in ["rotate=", "rotate=x", "rotate=1=2", "rotate=nan", "rotate=inf"] {
            assert!(refused(text).contains("it must be"), "{text}: {}", refused(text));
        }
        for text in ["rand-m", "rand-x3", "rand-m1-m2", "rand-m1.5", "rand--m1"] {
            assert!(refused(text).ends_with("written like `rand-m9-n2`"), "{}", refused(text));
        }
        assert!(refused("trivial=3").ends_with("written like `trivial`"));
    }
}
