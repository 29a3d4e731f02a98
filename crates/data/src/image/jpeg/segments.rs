//! A walk along a JPEG file's markers, for damage that decoders pass over.
//!
//! Above: `jpeg`. Below: nothing. Not here: entropy-coded data (`libjpeg-turbo-rs`).
//! Walks the segments by their lengths, so the end marker of an embedded thumbnail does not count.
//! Source: ITU-T T.81, sections B.1.1 (markers), B.2 (order of segments), C.2 (Huffman tables), G.1.1.1 (progressive scans).

use super::damaged;
use crate::error::{Error, Result};

const DHT: u8 = 0xc4;
const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;

/// What the frame's header says of the scans that follow.
struct Frame {
    is_progressive: bool,
    components: u8,
}

/// Whether the file goes to its end marker, with tables and scans that can be right.
///
/// # Errors
/// [`Error::Truncated`] if it ends early, [`Error::Damaged`] with what cannot be right.
pub(super) fn check(bytes: &[u8]) -> Result<()> {
    let mut at = 0;
    let mut frame: Option<Frame> = None;
    let mut restarts = None; // the next restart marker's number, inside of a scan
    let mut is_whole = false; // a scan was seen that needs no other
    loop {
        // Anything before the next marker is entropy-coded data (or filling).
        let marker = next_marker(bytes, &mut at, &mut restarts)?;
        if matches!(marker, SOI | 0x01) {
            continue; // markers without a segment
        }
        if marker == EOI {
            return Ok(());
        }
        let segment = segment(bytes, at).ok_or_else(cut)?;
        at += segment.len() + 2;
        match marker {
            DHT => check_tables(segment)?,
            0xc0..=0xcf if !matches!(marker, 0xc8 | 0xcc) => {
                frame = Some(check_frame(marker, segment)?);
            }
            SOS => {
                if is_whole {
                    return Err(damaged("a scan follows the one that held everything"));
                }
                if let Some(frame) = &frame {
                    is_whole = !frame.is_progressive && segment.first() == Some(&frame.components);
                    check_scan(frame, segment)?;
                }
                restarts = Some(0);
                continue;
            }
            _ => {}
        }
        restarts = None;
    }
}

fn cut() -> Error {
    Error::Truncated { format: "JPEG" }
}

/// A segment's bytes behind its length.
fn segment(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let length = usize::from(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
    bytes.get(at + 2..at + length.max(2))
}

/// The next marker's code at or after `at`, which moves behind it. Stuffed zeros are data, and so are restart markers, which must
/// be in turn inside of a scan.
fn next_marker(bytes: &[u8], at: &mut usize, restarts: &mut Option<u8>) -> Result<u8> {
    loop {
        let rest = bytes.get(*at..).ok_or_else(cut)?;
        *at += rest.iter().position(|&b| b == 0xff).ok_or_else(cut)? + 1;
        match *bytes.get(*at).ok_or_else(cut)? {
            0xff => {} // filling: the marker's code is still to come
            0x00 => *at += 1,
            code @ 0xd0..=0xd7 => {
                *at += 1;
                if let Some(expected) = restarts {
                    if code - 0xd0 != *expected {
                        return Err(damaged(format!(
                            "restart marker {} where {expected} is due",
                            code - 0xd0
                        )));
                    }
                    *expected = (*expected + 1) % 8;
                }
            }
            code => {
                *at += 1;
                return Ok(code);
            }
        }
    }
}

/// The components' numbers must differ: scans name them.
fn check_frame(marker: u8, segment: &[u8]) -> Result<Frame> {
    let &[_, _, _, _, _, components, ref rest @ ..] = segment else { return Err(cut()) };
    let numbers: Vec<u8> = rest.chunks(3).take(components.into()).map(|c| c[0]).collect();
    if let Some((_, number)) =
        numbers.iter().enumerate().find(|(i, number)| numbers[..*i].contains(number))
    {
        return Err(damaged(format!("two components have the number {number}")));
    }
    Ok(Frame { is_progressive: matches!(marker, 0xc2 | 0xc6 | 0xca | 0xce), components })
}

/// A progressive scan sends either the mean of blocks, or a band of one component's other coefficients, or one more bit of them.
fn check_scan(frame: &Frame, segment: &[u8]) -> Result<()> {
    let components = segment.first().copied().unwrap_or_default();
    let Some(&[first, last, bits]) = segment.last_chunk() else { return Err(cut()) };
    let (high, low) = (bits >> 4, bits & 15);
    let is_band = match first {
        0 => last == 0,
        _ => first <= last && last < 64 && components == 1,
    };
    if !frame.is_progressive || is_band && (high == 0 || high == low + 1) && low <= 13 {
        return Ok(());
    }
    Err(damaged(format!(
        "a scan of {components} components with the coefficients {first} to {last}, bits {high} to {low}"
    )))
}

/// No code of a Huffman table may be longer than its bits allow, and differences of means have at most 16 bits (15 where blocks are
/// transformed).
fn check_tables(mut segment: &[u8]) -> Result<()> {
    while let Some((&[id, ref counts @ ..], rest)) = segment.split_first_chunk::<17>() {
        let symbols: usize = counts.iter().map(|&count| usize::from(count)).sum();
        let mut code = 0_u32; // the first that is free, in codes of this length
        for (length, &count) in (1..).zip(counts) {
            code = code * 2 + u32::from(count);
            // No code is all ones, so one is always left.
            if code >= 1 << length {
                return Err(damaged(format!("Huffman table {} has more codes than bits", id & 15)));
            }
        }
        let Some((symbols, next)) = rest.split_at_checked(symbols) else {
            return Err(damaged(format!("Huffman table {} is cut", id & 15)));
        };
        if id >> 4 == 0 && symbols.iter().any(|&symbol| symbol > 16) {
            return Err(damaged(format!("Huffman table {} has a code for too many bits", id & 15)));
        }
        segment = next;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
