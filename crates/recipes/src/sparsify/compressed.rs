//! How many bytes are left of a file that is compressed.
//!
//! Above: `sparsify`. Below: `flate2`. Not here: the file (`taper_model`).

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::DeflateEncoder;

/// Bytes that DEFLATE makes of `bytes`, at its default level.
///
/// # Errors
/// None that is known: nothing is written anywhere.
pub(super) fn deflated(bytes: &[u8]) -> io::Result<u64> {
    let mut encoder = DeflateEncoder::new(Counted(0), Compression::default());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?.0)
}

/// Counts what is written.
struct Counted(u64);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn the_bytes_are_those_of_the_stream_that_gives_the_file_back() {
        let noise = (0u32..50_000).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8);
        let bytes: Vec<u8> =
            noise.enumerate().map(|(i, it)| if i % 4 == 0 { it } else { 0 }).collect();
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&bytes).unwrap();
        let stream = encoder.finish().unwrap();
        let mut back = Vec::new();
        flate2::read::DeflateDecoder::new(&stream[..]).read_to_end(&mut back).unwrap();
        assert!(back == bytes);
        assert_eq!(deflated(&bytes).unwrap(), stream.len() as u64);
        assert!(stream.len() < bytes.len() / 2);
    }
}
