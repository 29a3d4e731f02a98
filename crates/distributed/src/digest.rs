//! A number that differs when bits differ.
//!
//! Above: `agreement`, the training. Below: nothing. Not here: anything secret: whoever wants to can make two texts with the same digest.
//! Bytes and values are written with their number, so that two pieces are not the one that they make.
//! FNV-1a on words of 64 bits instead of bytes, with a shift, so that high bits reach low ones. Source: Fowler, Noll and Vo,
//! <http://www.isthe.com/chongo/tech/comp/fnv/>.

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// A digest that grows with what is written.
///
/// ```
/// use taper_distributed::{Digest, digest_f32};
///
/// let mut digest = Digest::new();
/// digest.write_f32(&[1.0, 2.0]);
/// assert_eq!(digest.finish(), digest_f32(&[1.0, 2.0]));
/// assert_ne!(digest_f32(&[0.0]), digest_f32(&[-0.0]));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    state: u64,
}

impl Default for Digest {
    fn default() -> Digest {
        Digest::new()
    }
}

impl Digest {
    /// Of nothing.
    #[must_use]
    pub fn new() -> Digest {
        Digest { state: OFFSET }
    }

    /// Adds one number.
    pub fn write_u64(&mut self, word: u64) {
        let mixed = (self.state ^ word).wrapping_mul(PRIME);
        self.state = mixed ^ (mixed >> 29);
    }

    /// Adds bytes with their length.
    pub fn write_sized(&mut self, bytes: &[u8]) {
        self.write_u64(bytes.len() as u64);
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.write_u64(u64::from_le_bytes(*word)));
        if !rest.is_empty() {
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    /// Adds the bits of values with their number.
    pub fn write_f32(&mut self, values: &[f32]) {
        self.write_u64(values.len() as u64);
        let (pairs, rest) = values.as_chunks::<2>();
        for [low, high] in pairs {
            self.write_u64(u64::from(low.to_bits()) | u64::from(high.to_bits()) << 32);
        }
        rest.iter().for_each(|value| self.write_u64(u64::from(value.to_bits())));
    }

    /// The digest of all that was written.
    #[must_use]
    pub fn finish(&self) -> u64 {
        self.state
    }
}

/// The digest of one tensor's bits.
#[must_use]
pub fn digest_f32(values: &[f32]) -> u64 {
    let mut digest = Digest::new();
    digest.write_f32(values);
    digest.finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_same_bytes_in_other_pieces_differ() {
        let mut pieces = Digest::new();
        pieces.write_sized(b"ab");
        pieces.write_sized(b"c");
        let mut whole = Digest::new();
        whole.write_sized(b"abc");
        assert_ne!(pieces, whole);
    }

    proptest! {
        #[test]
        fn one_bit_changes_the_digest(
            values in prop::collection::vec(any::<u32>(), 1..50), at in any::<prop::sample::Index>(), bit in 0_u32..32,
        ) {
            let before: Vec<f32> = values.iter().map(|&bits| f32::from_bits(bits)).collect();
            let mut after = before.clone();
            let value = &mut after[at.index(before.len())];
            *value = f32::from_bits(value.to_bits() ^ 1 << bit);
            prop_assert_ne!(digest_f32(&before), digest_f32(&after));
        }
    }
}
