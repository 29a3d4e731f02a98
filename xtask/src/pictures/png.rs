//! Small pictures as text: an uncompressed PNG in base64, as a drawing embeds it.
//!
//! Above: `augmentation`, `edges`. Below: nothing. Not here: reading pictures (`taper_data`).
//! Source: PNG, third edition, <https://www.w3.org/TR/png-3/>; zlib, RFC 1950; stored deflate blocks, RFC 1951 §3.2.4; base64, RFC 4648.

const SIGNATURE: [u8; 8] = [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n'];

/// The longest stored block of deflate.
const BLOCK: usize = 0xffff;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Pixels `(h, w, samples)`, 8 bits a sample, of one (gray) or three samples (RGB).
pub(super) fn encode([h, w]: [usize; 2], pixels: &[u8], samples: usize) -> String {
    let color = if samples == 3 { 2 } else { 0 };
    let mut header = Vec::new();
    [w, h].iter().for_each(|&side| header.extend(be(side)));
    header.extend([8, color, 0, 0, 0]);
    // Each row begins with its filter: none.
    let rows: Vec<u8> = pixels
        .chunks_exact(w * samples)
        .flat_map(|row| std::iter::once(0).chain(row.iter().copied()))
        .collect();
    let mut bytes = SIGNATURE.to_vec();
    chunk(&mut bytes, b"IHDR", &header);
    chunk(&mut bytes, b"IDAT", &stored(&rows));
    chunk(&mut bytes, b"IEND", &[]);
    base64(&bytes)
}

/// A size as four bytes, the largest first; sizes here are small.
fn be(size: usize) -> [u8; 4] {
    u32::try_from(size).unwrap_or(u32::MAX).to_be_bytes()
}

fn chunk(bytes: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    bytes.extend(be(data.len()));
    let start = bytes.len();
    bytes.extend(kind);
    bytes.extend(data);
    let sum = crc(&bytes[start..]);
    bytes.extend(sum.to_be_bytes());
}

/// A zlib stream that compresses nothing.
fn stored(data: &[u8]) -> Vec<u8> {
    let mut stream = vec![0x78, 0x01];
    let blocks = data.chunks(BLOCK).count();
    for (i, block) in data.chunks(BLOCK).enumerate() {
        let len = u16::try_from(block.len()).unwrap_or(u16::MAX);
        stream.push(u8::from(i + 1 == blocks));
        stream.extend(len.to_le_bytes());
        stream.extend((!len).to_le_bytes());
        stream.extend(block);
    }
    let [a, b] = data.iter().fold([1_u32, 0], |[a, b], &byte| {
        let a = (a + u32::from(byte)) % 65_521;
        [a, (b + a) % 65_521]
    });
    stream.extend((b << 16 | a).to_be_bytes());
    stream
}

fn crc(bytes: &[u8]) -> u32 {
    let step = |sum: u32| if sum & 1 == 1 { 0xedb8_8320 ^ (sum >> 1) } else { sum >> 1 };
    let sum = bytes
        .iter()
        .fold(u32::MAX, |sum, &byte| (0..8).fold(sum ^ u32::from(byte), |sum, _| step(sum)));
    !sum
}

fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let word =
            (0..3).fold(0, |word, i| word << 8 | usize::from(three.get(i).copied().unwrap_or(0)));
        for i in 0..4 {
            let sextet = word >> (18 - 6 * i) & 63;
            text.push(if i <= three.len() { char::from(ALPHABET[sextet]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standards() {
        assert_eq!(crc(b"IEND"), 0xae42_6082);
        assert_eq!(crc(b"123456789"), 0xcbf4_3926);
        assert!(stored(b"Wikipedia").ends_with(&0x11e6_0398_u32.to_be_bytes()));
    }

    #[test]
    fn text_is_padded_to_fours() {
        assert_eq!(
            ["", "f", "fo", "foo", "foob"].map(|text| base64(text.as_bytes())),
            ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg=="]
        );
    }

    #[test]
    fn decoders_read_it() {
        let decoded = |samples: usize, pixels: &[u8]| {
            let text = encode([1, 2], pixels, samples);
            let mut bytes = Vec::new();
            for four in text.as_bytes().chunks(4) {
                let word = four.iter().fold(0_u32, |word, &c| {
                    let sextet = ALPHABET.iter().position(|&a| a == c).unwrap_or(0);
                    word << 6 | u32::try_from(sextet).unwrap()
                });
                bytes.extend(&word.to_be_bytes()[1..]);
            }
            taper_data::image::decode(&bytes).unwrap().rgb().to_vec()
        };
        assert_eq!(decoded(3, &[1, 2, 3, 4, 5, 6]), [1, 2, 3, 4, 5, 6]);
        assert_eq!(decoded(1, &[7, 9]), [7, 7, 7, 9, 9, 9]);
    }
}
