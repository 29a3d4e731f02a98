//! Networks and numbers of ranks, as they are written.
//!
//! Above: `ranks`, the binary. Below: `cost::assertion`. Not here: what they cost (`ranks`).

use super::super::assertion::{Unit, quantity};
use crate::error::{Error, Result};

/// Seconds that a message takes without its bytes, where a network says its bandwidth alone: over TCP and one switch.
const LATENCY: f64 = 50e-6;

/// The most ranks that are asked about.
const MOST_RANKS: usize = 1 << 16;

/// The slowest network that is one, in bytes a second, and the longest latency, in seconds.
const LIMITS: (f64, f64) = (125.0, 60.0);

/// A network between ranks.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkLink {
    /// As it was written.
    pub name: String,
    /// Seconds that a message takes without its bytes.
    pub latency: f64,
    /// Bytes a second, both ways at once.
    pub bandwidth: f64,
}

/// A bandwidth in bits a second (`10Gb`, with a latency of 50 µs), or a latency and a bandwidth (`20us:25Gb`).
///
/// # Errors
/// [`Error::Malformed`].
///
/// # Examples
/// ```
/// let link = taper_recipes::parse_link("1ms:100Mb")?;
/// assert_eq!((link.latency, link.bandwidth), (0.001, 12.5e6));
/// assert!(taper_recipes::parse_link("fast").is_err());
/// # Ok::<(), taper_recipes::Error>(())
/// ```
pub fn parse_link(text: &str) -> Result<NetworkLink> {
    let (latency, bandwidth) = match text.split_once(':') {
        Some((latency, bandwidth)) => (quantity(latency.trim(), Unit::Time), bandwidth),
        None => (Some(LATENCY), text),
    };
    let bandwidth = quantity(bandwidth.trim(), Unit::Bits);
    let (slowest, longest) = LIMITS;
    match latency.zip(bandwidth) {
        Some((latency, bandwidth)) if latency <= longest && bandwidth >= slowest => {
            Ok(NetworkLink { name: text.trim().to_owned(), latency, bandwidth })
        }
        _ => Err(Error::Malformed {
            what: "network",
            got: text.chars().take(100).collect(),
            expected: "its bandwidth in bits a second, such as 1Gb, 10Gb or 100Mb, or its latency and bandwidth, such as 20us:25Gb",
        }),
    }
}

/// Numbers of ranks: one, several (`2,4,8`), or from one to another by doubling (`2..64`).
///
/// # Errors
/// [`Error::Malformed`].
///
/// # Examples
/// ```
/// assert_eq!(taper_recipes::parse_ranks("1,2..16")?, [1, 2, 4, 8, 16]);
/// assert!(taper_recipes::parse_ranks("0").is_err());
/// # Ok::<(), taper_recipes::Error>(())
/// ```
pub fn parse_ranks(text: &str) -> Result<Vec<usize>> {
    let number = |text: &str| {
        let number = text.trim().parse::<usize>().ok();
        number.filter(|number| (1..=MOST_RANKS).contains(number))
    };
    let part = |part: &str| match part.split_once("..") {
        None => number(part).map(|number| vec![number]),
        Some((first, last)) => {
            let (first, last) = (number(first)?, number(last)?);
            let doubled = std::iter::successors(Some(first), |number| Some(2 * number));
            let all: Vec<usize> = doubled.take_while(|&number| number <= last).collect();
            (!all.is_empty()).then_some(all)
        }
    };
    let parts: Option<Vec<Vec<usize>>> = text.split(',').map(part).collect();
    parts.map(|parts| parts.concat()).ok_or_else(|| Error::Malformed {
        what: "number of ranks",
        got: text.chars().take(100).collect(),
        expected: "numbers from 1 to 65536, such as 8, 2,4,8 or, by doubling, 2..64",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_bandwidths_with_or_without_a_latency() {
        let link = parse_link("2.5Gb").unwrap();
        assert!((link.bandwidth - 312.5e6).abs() < 1.0 && (link.latency - LATENCY).abs() < 1e-12);
        assert_eq!(link.name, "2.5Gb");
        let link = parse_link(" 0.2 ms : 1Tb").unwrap();
        assert!((link.latency - 2e-4).abs() < 1e-12 && (link.bandwidth - 125e9).abs() < 1.0);
        for wrong in [
            "",
            ":",
            "1",
            "1GB",
            "1Gb:",
            ":1Gb",
            "0Gb",
            "-1Gb",
            "NaNGb",
            "infGb",
            "1h:1Gb",
            "-1ms:1Gb",
            "1ms:1Gb:2",
            "99s:1Gb",
            "1e-9Mb",
        ] {
            let error = parse_link(wrong).unwrap_err();
            assert!(error.is_request() && error.to_string().contains("20us:25Gb"), "{wrong}");
        }
    }

    #[test]
    fn ranks_are_numbers_and_doublings() {
        assert_eq!(parse_ranks("3").unwrap(), [3]);
        assert_eq!(parse_ranks("2..64").unwrap(), [2, 4, 8, 16, 32, 64]);
        assert_eq!(parse_ranks("3..7, 9").unwrap(), [3, 6, 9]);
        for wrong in ["", "0", "-1", "a", "2..", "..4", "8..2", "2,,4", "1..2..3", "65537", "2.5"] {
            let error = parse_ranks(wrong).unwrap_err();
            assert!(error.is_request() && error.to_string().contains("2..64"), "{wrong}");
        }
    }
}
