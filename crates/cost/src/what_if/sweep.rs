//! Sweeps as users write them: `width=0.25..1:0.25`, `image-size=96..256:32`, `pool:conv_stem=stride,max,avg`.
//!
//! Above: `what_if`, `taper cost --sweep`. Below: `Piece`. Not here: single values (`piece`), what a change does (`what_if`).
//! `FACTOR=VALUES` or `FACTOR:LAYER=VALUES`; values are divided by commas, and `FIRST..LAST:STEP` is a row of them that may end with the last.

mod piece;

use std::fmt;
use std::str::FromStr;

use super::{Change, Factor};
use crate::{Error, Result};
use piece::Piece;

/// Longest text of a sweep, in bytes.
const MAX_TEXT: usize = 1 << 16;

/// One factor at several values.
///
/// # Examples
/// ```
/// use taper_cost::what_if::{Change, Factor, Sweep};
/// # fn main() -> taper_cost::Result<()> {
/// let sweep: Sweep = "width=0.25..1:0.25".parse()?;
/// assert_eq!(sweep.factor(), &Factor::Width);
/// assert_eq!(sweep.values(), [0.25, 0.5, 0.75, 1.0].map(Change::Width));
///
/// let error = "width=0.5,wide".parse::<Sweep>().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "`width=0.5,wide` is no sweep: at character 11 a number from 0.01 to 100 was expected, not `wide`"
/// );
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Sweep {
    factor: Factor,
    values: Vec<Change>,
}

impl Sweep {
    /// What is changed.
    #[must_use]
    pub fn factor(&self) -> &Factor {
        &self.factor
    }

    /// To what, in the order of the text; at least one, all of the same factor.
    #[must_use]
    pub fn values(&self) -> &[Change] {
        &self.values
    }
}

impl fmt::Display for Sweep {
    /// With every value: `width=0.5,1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values: Vec<String> = self.values.iter().map(Change::value).collect();
        write!(f, "{}={}", self.factor, values.join(","))
    }
}

impl FromStr for Sweep {
    type Err = Error;

    /// # Errors
    /// [`Error::Sweep`]: which character is wrong and what was expected there.
    fn from_str(text: &str) -> Result<Self> {
        let whole = Piece::whole(text);
        if text.len() > MAX_TEXT {
            return Err(whole.refused(format!("a text of at most {MAX_TEXT} bytes")));
        }
        // The name of a layer may hold any character, values do not.
        let Some(equals) = text.rfind('=') else {
            let expected = "`=` and values, as in `width=0.5,1`,";
            return Err(whole.end().refused(expected));
        };
        let factor = factor(whole.until(equals))?;
        let mut values = Vec::new();
        for item in whole.rest(equals + 1).split(',') {
            item.changes(&factor, &mut values)?;
        }
        Ok(Self { factor, values })
    }
}

fn factor(text: Piece<'_>) -> Result<Factor> {
    let (word, layer) = match text.find(":") {
        Some(colon) => (text.until(colon), Some(text.rest(colon + 1))),
        None => (text, None),
    };
    let layered: fn(String) -> Factor = match (word.text(), layer) {
        ("filters", _) => Factor::Filters,
        ("stride", _) => Factor::Stride,
        ("pool", _) => Factor::Pool,
        ("width", None) => return Ok(Factor::Width),
        ("depth", None) => return Ok(Factor::Depth),
        ("classes", None) => return Ok(Factor::Head),
        ("image-size", None) => return Ok(Factor::ImageSize),
        ("batch", None) => return Ok(Factor::Batch),
        ("threads", None) => return Ok(Factor::Threads),
        ("width" | "depth" | "classes" | "image-size" | "batch" | "threads", Some(layer)) => {
            return Err(layer.refused(format!("nothing between `{}` and `=`", word.text())));
        }
        _ => {
            let known = "image-size, width, depth, filters:LAYER, stride:LAYER, pool:LAYER, classes, batch or threads";
            return Err(word.refused(known));
        }
    };
    match layer.filter(|layer| !layer.text().is_empty()) {
        Some(layer) => Ok(layered(layer.text().to_owned())),
        None => {
            let expected = format!("`:` and a layer, as in `{}:conv_stem`,", word.text());
            Err(text.end().refused(expected))
        }
    }
}
