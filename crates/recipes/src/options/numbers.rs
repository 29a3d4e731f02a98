//! Several numbers in one option, with commas between them.
//!
//! Above: `options::fine_tune`, the binary's flags. Below: `error`. Not here: what they mean (`options::{optimizer, schedule}`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, Result};

/// Numbers that are written `0.9,0.999`.
///
/// ```
/// use taper_recipes::Numbers;
/// let betas: Numbers = "0.9, 0.999".parse()?;
/// assert_eq!((betas.0.as_slice(), betas.to_string().as_str()), (&[0.9, 0.999][..], "0.9,0.999"));
/// assert!("0.9;0.999".parse::<Numbers>().is_err());
/// # Ok::<(), taper_recipes::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Numbers(pub Vec<f64>);

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, number) in self.0.iter().enumerate() {
            write!(f, "{}{number}", if at == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl FromStr for Numbers {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let numbers = text.split(',').map(|part| part.trim().parse());
        let expected = "numbers with commas between them, such as 0.9,0.999";
        let numbers = numbers.collect::<std::result::Result<_, std::num::ParseFloatError>>();
        let refused = |_| Error::Choice { got: text.to_owned(), expected: expected.to_owned() };
        numbers.map(Numbers).map_err(refused)
    }
}

impl Serialize for Numbers {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Numbers {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}
