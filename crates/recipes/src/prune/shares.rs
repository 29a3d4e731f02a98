//! Shares as users write them, `0.3..0.9:0.2` or `0.25,0.5`, and what they may be.
//!
//! Above: `prune::{sensitivity, sweep}`, the binary's flags. Below: `taper_cost::what_if::Sweep`, which reads values and ranges. Not here: what
//! they are shares of.

use taper_cost::what_if::{Change, Sweep};

use crate::error::{Error, Result};

/// The step of a range that names none.
const STEP: &str = "0.2";

/// Shares divided by commas; a range without a step goes in steps of 0.2.
///
/// # Errors
/// [`Error::Malformed`] for what cannot be read or is not above 0 and below 1.
///
/// # Examples
/// ```
/// use taper_recipes::prune::parse_shares;
/// assert_eq!(parse_shares("0.3..0.9")?, [0.3, 0.5, 0.7, 0.9]);
/// assert_eq!(parse_shares("0.25..0.75:0.25")?, [0.25, 0.5, 0.75]);
/// assert_eq!(parse_shares("0.1,0.5")?, [0.1, 0.5]);
/// assert!(parse_shares("0.5..1.5").unwrap_err().to_string().contains("above 0 and below 1"));
/// # Ok::<(), taper_recipes::Error>(())
/// ```
pub fn parse_shares(text: &str) -> Result<Vec<f64>> {
    let malformed = || Error::Malformed {
        what: "list of shares",
        got: text.to_owned(),
        expected: "numbers above 0 and below 1, such as `0.25,0.5` or `0.3..0.9:0.2`",
    };
    let items = text.split(',').map(|item| match item.contains("..") && !item.contains(':') {
        true => format!("{item}:{STEP}"),
        false => item.to_owned(),
    });
    let items: Vec<String> = items.collect();
    // A width is a factor too, and its values are written so.
    let sweep: Sweep =
        format!("width={}", items.join(",")).parse().map_err(|_place| malformed())?;
    let values = sweep.values().iter().filter_map(|change| match change {
        Change::Width(share) => Some(*share),
        _ => None,
    });
    let shares: Vec<f64> = values.collect();
    check("shares", &shares).map_err(|_which| malformed())?;
    Ok(shares)
}

/// Refuses shares of nothing and of all, and none at all.
pub(super) fn check(field: &'static str, shares: &[f64]) -> Result<()> {
    let expected = "one share or more, each above 0 and below 1, none twice";
    let wrong = shares.iter().find(|share| !(**share > 0.0 && **share < 1.0));
    let twice = (1..shares.len()).find(|&i| shares[..i].contains(&shares[i])).map(|i| &shares[i]);
    match wrong.or(twice) {
        Some(share) => Err(Error::option(field, share, expected)),
        None if shares.is_empty() => Err(Error::option(field, &"empty", expected)),
        None => Ok(()),
    }
}

/// There is nothing to judge a network by.
pub(super) fn no_pictures() -> Error {
    Error::option("data", &"absent", "a folder of pictures: accuracy is measured on those held out")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_above_0_and_below_1_and_different() {
        for wrong in ["", "0", "1", "0.5,0.5", "0.9..0.3", "half", "0.2..0.8:0", "-0.1", "nan"] {
            let error = parse_shares(wrong).unwrap_err();
            assert!(error.is_request(), "{wrong}");
            assert!(error.to_string().contains("above 0 and below 1"), "{error}");
        }
        assert_eq!(parse_shares("0.9, 0.1..0.3:0.1").unwrap(), [0.9, 0.1, 0.2, 0.3]);
        assert!(matches!(check("shares", &[]), Err(Error::Option { field: "shares", .. })));
    }
}
