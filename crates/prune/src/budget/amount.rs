//! How much of something: a share of what there is, or a number.
//!
//! Above: `budget`. Below: `error`. Not here: what is counted.

use std::fmt;
use std::str::FromStr;

use crate::{Error, Result};

/// A part of what the network has, or a number of its own. As text, `0.5` and `50%` are shares, `150M` and `8000` are numbers (`k`, `M`, `G`
/// for thousands, millions, billions): a number without a letter is a share up to 1 and itself above.
///
/// # Examples
/// ```
/// use taper_prune::Amount;
/// assert_eq!("50%".parse::<Amount>()?, Amount::Share(0.5));
/// assert_eq!("0.5".parse::<Amount>()?, Amount::Share(0.5));
/// assert_eq!("150M".parse::<Amount>()?, Amount::Absolute(150e6));
/// assert_eq!(Amount::Absolute(150e6).to_string(), "150M");
/// assert_eq!(Amount::Share(0.5).to_string(), "50%");
/// # Ok::<(), taper_prune::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Amount {
    /// Of the network before the cut.
    Share(f64),
    /// In the unit of what is counted.
    Absolute(f64),
}

impl Amount {
    /// In the unit of what is counted, where the network has `dense` of it.
    #[must_use]
    pub fn of(self, dense: f64) -> f64 {
        match self {
            Self::Share(share) => share * dense,
            Self::Absolute(amount) => amount,
        }
    }
}

const LETTERS: [(&str, f64); 3] = [("G", 1e9), ("M", 1e6), ("k", 1e3)];

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Share(share) => write!(f, "{}%", rounded(share * 100.0)),
            Self::Absolute(amount) => {
                let fits = LETTERS.iter().find(|(_, factor)| amount >= *factor);
                let (letter, factor) = fits.copied().unwrap_or(("", 1.0));
                write!(f, "{}{letter}", rounded(amount / factor))
            }
        }
    }
}

/// Without the last digits, which are noise of a quotient.
fn rounded(x: f64) -> f64 {
    (x * 1e6).round() / 1e6
}

impl FromStr for Amount {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::Amount { got: text.to_owned() };
        let number = |digits: &str| {
            let number = digits.trim().parse::<f64>().ok();
            number.filter(|number| number.is_finite() && *number > 0.0).ok_or_else(wrong)
        };
        if let Some(percent) = text.trim().strip_suffix('%') {
            return Ok(Self::Share(number(percent)? / 100.0));
        }
        let letters = LETTERS.iter().chain(&[("K", 1e3)]);
        for (letter, factor) in letters {
            if let Some(digits) = text.trim().strip_suffix(letter) {
                return Ok(Self::Absolute(number(digits)? * factor));
            }
        }
        let number = number(text)?;
        Ok(if number <= 1.0 { Self::Share(number) } else { Self::Absolute(number) })
    }
}
