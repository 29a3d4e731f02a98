//! Numbers as the bytes that travel: little-endian, whatever the machine.
//!
//! Above: `communicator`, `reduce`, `bf16`, `digest`. Below: nothing. Not here: rounding to bf16 (`bf16`).

use crate::{Error, Result};

/// Four bytes a value.
pub(crate) fn to_bytes(values: &[f32]) -> Vec<u8> {
    let mut bytes = vec![0; 4 * values.len()];
    for (four, value) in bytes.chunks_exact_mut(4).zip(values) {
        four.copy_from_slice(&value.to_le_bytes());
    }
    bytes
}

/// The values behind bytes of [`to_bytes`] that `rank` sent, which are to be `expected` values.
pub(crate) fn f32s<'b>(
    bytes: &'b [u8],
    rank: usize,
    expected: usize,
    what: &str,
) -> Result<impl Iterator<Item = f32> + use<'b>> {
    expect_bytes(bytes, rank, 4 * expected, what)?;
    Ok(bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])))
}

/// Refuses bytes of another length than was expected of `rank`.
pub(crate) fn expect_bytes(bytes: &[u8], rank: usize, expected: usize, what: &str) -> Result<()> {
    match bytes.len() {
        came if came == expected => Ok(()),
        came => Err(Error::Length { rank, came, expected, what: what.to_owned() }),
    }
}

/// Strings in a row, each behind its length.
pub(crate) fn join<'s>(texts: impl IntoIterator<Item = &'s str>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for text in texts {
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(text.as_bytes());
    }
    bytes
}

/// What [`join`] put together, or nothing when it is not that.
pub(crate) fn split(mut bytes: &[u8]) -> Option<Vec<String>> {
    let mut texts = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk::<8>()?;
        let (text, rest) =
            rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        texts.push(String::from_utf8(text.to_vec()).ok()?);
        bytes = rest;
    }
    Some(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_texts_come_back() {
        let values = [1.5, -0.0, f32::INFINITY, f32::MIN_POSITIVE];
        let back: Vec<f32> = f32s(&to_bytes(&values), 0, 4, "test").unwrap().collect();
        assert_eq!(back.map_bits(), values.to_vec().map_bits());
        assert_eq!(split(&join(["a", "", "länger"])).unwrap(), ["a", "", "länger"]);
    }

    #[test]
    fn what_is_cut_off_is_refused() {
        let bytes = join(["ab", "cd"]);
        for end in 1..bytes.len() {
            // Between two strings there is nothing to notice.
            assert_eq!(split(&bytes[..end]).is_none(), end != 10, "{end}");
        }
        let error = f32s(&[0; 7], 3, 2, "a sum").err().unwrap();
        assert_eq!(
            error,
            Error::Length { rank: 3, came: 7, expected: 8, what: "a sum".to_owned() }
        );
    }

    trait MapBits {
        fn map_bits(self) -> Vec<u32>;
    }

    impl MapBits for Vec<f32> {
        fn map_bits(self) -> Vec<u32> {
            self.into_iter().map(f32::to_bits).collect()
        }
    }
}
