//! The places where PNG keeps an orientation, and files that end early.

use std::io::Write;

use ::image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::{chunks, push_chunk, raw_length, stored};
use crate::image::decode;
use crate::image::tests::encoded;

/// EXIF that asks for a quarter turn.
const QUARTER_TURN: &[u8] =
    b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";

/// A picture of 5 columns and 3 rows, red on top.
fn picture() -> Vec<u8> {
    let image = RgbImage::from_fn(5, 3, |_, y| Rgb(if y == 0 { [255, 0, 0] } else { [0, 0, 255] }));
    encoded(&DynamicImage::from(image), ImageFormat::Png)
}

/// The picture with a chunk before its pixels, or behind them.
fn with_chunk(kind: &[u8; 4], data: &[u8], is_before: bool) -> Vec<u8> {
    let whole = picture();
    let next = if is_before { b"IDAT" } else { b"IEND" };
    let at = chunks(&whole).find(|chunk| chunk.kind == next).unwrap().at;
    let mut file = whole[..at].to_vec();
    push_chunk(&mut file, kind, data);
    file.extend(&whole[at..]);
    file
}

fn packed(text: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// The text of a raw profile, in lines of 72 digits.
fn profile(name: &str, block: &[u8]) -> Vec<u8> {
    let digits: Vec<u8> = block.iter().flat_map(|b| format!("{b:02x}").into_bytes()).collect();
    let mut text = format!("\n{name}\n{:8}", block.len()).into_bytes();
    for line in digits.chunks(72) {
        text.push(b'\n');
        text.extend(line);
    }
    text.push(b'\n');
    text
}

#[test]
fn every_place_of_an_orientation_turns_the_picture() {
    let text = profile("exif", QUARTER_TURN);
    let generic = profile("generic", QUARTER_TURN);
    let xmp = b"<rdf:Description tiff:Orientation=\"6\"/>";
    let cases: [(&[u8; 4], Vec<u8>); 9] = [
        (b"eXIf", QUARTER_TURN[6..].to_vec()),
        (b"eXIf", QUARTER_TURN.to_vec()),
        (b"tEXt", [b"Raw profile type exif\0", text.as_slice()].concat()),
        (b"zTXt", [b"Raw profile type exif\0\0", packed(&text).as_slice()].concat()),
        (b"zTXt", [b"Raw profile type APP1\0\0", packed(&generic).as_slice()].concat()),
        (b"iTXt", [b"Raw profile type exif\0\0\0\0\0", text.as_slice()].concat()),
        (b"iTXt", [b"Raw profile type exif\0\x01\0\0\0", packed(&text).as_slice()].concat()),
        (b"iTXt", [b"XML:com.adobe.xmp\0\0\0\0\0", xmp.as_slice()].concat()),
        (b"iTXt", [b"XML:com.adobe.xmp\0\x01\0en\0key\0", packed(xmp).as_slice()].concat()),
    ];
    for (kind, data) in cases {
        for is_before in [true, false] {
            let image = decode(&with_chunk(kind, &data, is_before)).unwrap();
            assert_eq!((image.height(), image.width()), (5, 3), "{:?}", data.escape_ascii());
            // Turned clockwise, what was on top is on the right.
            assert_eq!(image.rgb()[..9], [0, 0, 255, 0, 0, 255, 255, 0, 0]);
        }
    }
}

#[test]
fn metadata_that_cannot_be_read_is_passed_over() {
    for (kind, data) in [
        (b"eXIf", &b""[..]),
        (b"tEXt", b""),
        (b"tEXt", b"Raw profile type exif\0"),
        (b"tEXt", b"Raw profile type exif\0\nexif\n 9\nxyz"),
        (b"zTXt", b"Raw profile type exif\0\0no zlib"),
        (b"iTXt", b"XML:com.adobe.xmp\0\0"),
    ] {
        let image = decode(&with_chunk(kind, data, true)).unwrap();
        assert_eq!((image.height(), image.width()), (3, 5), "{:?}", data.escape_ascii());
    }
}

#[test]
fn a_packed_text_is_unpacked_only_so_far() {
    let bomb = packed(&vec![b'0'; 1 << 24]);
    let data = [b"Raw profile type exif\0\0", bomb.as_slice()].concat();
    assert_eq!(decode(&with_chunk(b"zTXt", &data, true)).unwrap().height(), 3);
}

#[test]
fn a_cut_file_is_read_if_its_last_pixel_is_there() {
    let whole = picture();
    let pixels = decode(&whole).unwrap();
    let data = chunks(&whole).find(|chunk| chunk.kind == b"IDAT").unwrap();
    let checksum = data.at + 8 + data.data.len() - 4;
    for n in checksum..whole.len() {
        assert_eq!(decode(&whole[..n]).unwrap(), pixels, "{n}");
    }
    for n in 8..checksum - 4 {
        let error = decode(&whole[..n]).unwrap_err().to_string();
        assert!(error.contains("truncated: the PNG data ends early"), "{n}: {error}");
    }
}

#[test]
fn lengths_of_interlaced_rows_are_those_of_the_passes() {
    let length = |width: u8, height: u8, depth, color, interlace| {
        let mut bytes = picture();
        bytes[16..24].copy_from_slice(&[0, 0, 0, width, 0, 0, 0, height]);
        bytes[24..29].copy_from_slice(&[depth, color, 0, 0, interlace]);
        raw_length(&bytes)
    };
    assert_eq!(length(5, 3, 8, 2, 0), Some(3 * (15 + 1)));
    assert_eq!(length(9, 2, 1, 3, 0), Some(2 * (2 + 1)));
    // One pixel is in the first pass alone; 8x8 ones are 1, 1, 2, 4, 8, 16 and 32, in rows of 1, 1, 2, 2, 4, 4 and 8.
    assert_eq!(length(1, 1, 8, 2, 1), Some(1 + 3));
    assert_eq!(length(8, 8, 8, 0, 1), Some(64 + (1 + 1 + 1 + 2 + 2 + 4 + 4)));
    assert_eq!(length(8, 8, 8, 1, 0), None);
}

#[test]
fn a_stored_stream_is_the_bytes() {
    use std::io::Read;
    for n in [1, 5, 65_535, 65_536, 200_000] {
        let raw: Vec<u8> = (0..n).map(|i: usize| i.to_le_bytes()[0] ^ i.to_le_bytes()[1]).collect();
        let mut unpacked = Vec::new();
        flate2::read::ZlibDecoder::new(stored(&raw).as_slice()).read_to_end(&mut unpacked).unwrap();
        assert!(unpacked == raw, "{n}");
    }
}
