//! Formats, orientation, transparency, and files that lie.

use std::io::Cursor;
use std::path::Path;

use ::image::{DynamicImage, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};
use libjpeg_turbo_rs::{PixelFormat, Subsampling, compress};
use proptest::prelude::*;
use safetensors::SafeTensors;

use super::{MAX_PIXELS, decode, header, read, rgb_on_white};
use crate::error::Error;

static GOLDEN: &[u8] = include_bytes!("../../../../tests/fixtures/transforms.safetensors");
static JPEGS: &[u8] = include_bytes!("../../../../tests/fixtures/jpegs.safetensors");
static PICTURES: &[u8] = include_bytes!("../../../../tests/fixtures/pictures.safetensors");
static CMYK: &[u8] = include_bytes!("../../../../tests/fixtures/transforms_cmyk.jpg");
static TURNED: &[u8] = include_bytes!("../../../../tests/fixtures/transforms_turned.jpg");

fn byte(value: u32) -> u8 {
    u8::try_from(value).unwrap()
}

/// A smooth picture of 20 rows and 30 columns.
fn ramp() -> RgbImage {
    RgbImage::from_fn(30, 20, |x, y| Rgb([byte(x * 8), byte(y * 12), 100]))
}

/// A file in a format that is read.
pub(super) fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let (width, height) = (image.width() as usize, image.height() as usize);
    match format {
        ImageFormat::Jpeg if image.color().has_color() => {
            let rgb = image.to_rgb8();
            compress(&rgb, width, height, PixelFormat::Rgb, 75, Subsampling::S420).unwrap()
        }
        ImageFormat::Jpeg => {
            let grey = image.to_luma8();
            compress(&grey, width, height, PixelFormat::Grayscale, 75, Subsampling::S444).unwrap()
        }
        ImageFormat::Gif => gif(&[image.to_rgb8()]),
        _ => {
            let mut bytes = Cursor::new(Vec::new());
            image.write_to(&mut bytes, format).unwrap();
            bytes.into_inner()
        }
    }
}

fn gif(frames: &[RgbImage]) -> Vec<u8> {
    let [width, height] = [frames[0].width(), frames[0].height()].map(|n| n.try_into().unwrap());
    let mut bytes = Vec::new();
    let mut encoder = ::gif::Encoder::new(&mut bytes, width, height, &[]).unwrap();
    for frame in frames {
        encoder.write_frame(&::gif::Frame::from_rgb(width, height, frame)).unwrap();
    }
    drop(encoder);
    bytes
}

fn largest_difference(a: &[u8], b: &[u8]) -> u8 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

const FORMATS: [ImageFormat; 5] =
    [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp, ImageFormat::Gif];

#[test]
fn all_formats_are_read() {
    for format in FORMATS {
        let bytes = encoded(&ramp().into(), format);
        assert_eq!(header(&bytes).unwrap(), (20, 30), "{format:?}");
        let image = decode(&bytes).unwrap();
        assert_eq!((image.height(), image.width()), (20, 30), "{format:?}");
        let tolerance = match format {
            ImageFormat::Jpeg => 24, // quality 75, subsampled color
            ImageFormat::Gif => 48,  // 256 colors for 600
            _ => 0,
        };
        let difference = largest_difference(image.rgb(), ramp().as_raw());
        assert!(difference <= tolerance, "{format:?} differs by {difference}");
    }
}

#[test]
fn grey_and_16_bit_become_8_bit_rgb() {
    let grey = DynamicImage::from(ramp()).into_luma8();
    let expected: Vec<u8> = grey.as_raw().iter().flat_map(|&l| [l; 3]).collect();
    for format in [ImageFormat::Png, ImageFormat::Bmp] {
        let image = decode(&encoded(&grey.clone().into(), format)).unwrap();
        assert_eq!(image.rgb(), expected, "{format:?}");
    }
    let jpeg = decode(&encoded(&grey.clone().into(), ImageFormat::Jpeg)).unwrap();
    assert!(jpeg.rgb().chunks_exact(3).all(|p| p[0] == p[1] && p[1] == p[2]));

    let deep = DynamicImage::from(ramp()).into_rgb16();
    let image = decode(&encoded(&deep.into(), ImageFormat::Png)).unwrap();
    assert_eq!(image.rgb(), ramp().as_raw().as_slice());
    let deep = DynamicImage::from(grey).into_luma16();
    let image = decode(&encoded(&deep.into(), ImageFormat::Png)).unwrap();
    assert_eq!(image.rgb(), expected);
}

#[test]
fn transparency_is_composed_on_white() {
    let mut image = RgbaImage::from_pixel(4, 1, Rgba([0, 100, 200, 0]));
    image.put_pixel(1, 0, Rgba([0, 100, 200, 255]));
    image.put_pixel(2, 0, Rgba([0, 100, 200, 128]));
    image.put_pixel(3, 0, Rgba([255, 255, 255, 1]));
    let expected = [255, 255, 255, 0, 100, 200, 127, 177, 227, 255, 255, 255];
    for format in [ImageFormat::Png, ImageFormat::WebP] {
        let decoded = decode(&encoded(&image.clone().into(), format)).unwrap();
        assert_eq!(decoded.rgb(), expected, "{format:?}");
    }
    let deep = DynamicImage::from(image.clone()).into_rgba16();
    assert_eq!(decode(&encoded(&deep.into(), ImageFormat::Png)).unwrap().rgb(), expected);
    let grey = DynamicImage::from(image).into_luma_alpha8();
    let decoded = decode(&encoded(&grey.into(), ImageFormat::Png)).unwrap();
    assert_eq!(decoded.rgb()[..3], [255; 3]);
}

#[test]
fn an_animation_gives_its_first_frame() {
    let frames = [[255, 0, 0], [0, 0, 255]].map(|color| RgbImage::from_pixel(5, 4, Rgb(color)));
    let bytes = gif(&frames);
    let image = decode(&bytes).unwrap();
    assert_eq!((image.height(), image.width()), (4, 5));
    assert!(image.rgb().chunks_exact(3).all(|p| p == [255, 0, 0]), "{:?}", &image.rgb()[..3]);
}

#[test]
fn cmyk_and_orientation_agree_with_pillow() {
    let golden = SafeTensors::deserialize(GOLDEN).unwrap();
    for (name, bytes, shape) in [("cmyk", CMYK, [40, 24, 3]), ("turned", TURNED, [24, 40, 3])] {
        let expected = golden.tensor(name).unwrap();
        assert_eq!(expected.shape(), shape);
        let image = decode(bytes).unwrap();
        assert_eq!([image.height(), image.width(), 3], shape);
        assert!(image.rgb() == expected.data(), "{name}");
    }
}

#[test]
fn odd_files_give_the_pixels_of_pillow_and_damaged_ones_a_reason() {
    let golden = SafeTensors::deserialize(PICTURES).unwrap();
    let files = golden.names().into_iter().filter_map(|name| name.strip_suffix("/file"));
    let (mut read, mut refused) = (0, 0);
    for name in files {
        let outcome = decode(golden.tensor(&format!("{name}/file")).unwrap().data());
        if let Ok(expected) = golden.tensor(&format!("{name}/pixels")) {
            let image = outcome.unwrap_or_else(|error| panic!("{name}: {}", error.chain()));
            assert_eq!([image.height(), image.width(), 3], expected.shape(), "{name}");
            let difference = largest_difference(image.rgb(), expected.data());
            let tolerance = if name.starts_with("jpeg") { 0 } else { 2 };
            assert!(difference <= tolerance, "{name} differs by {difference}");
            read += 1;
        } else {
            let error = outcome.expect_err(name);
            assert!(!matches!(error, Error::Decoder { .. }), "{name}: {error}");
            refused += 1;
        }
    }
    assert_eq!((read, refused), (119, 25));
}

#[test]
fn jpeg_pixels_are_those_of_pillow_to_the_bit() {
    let golden = SafeTensors::deserialize(JPEGS).unwrap();
    let files: Vec<&str> =
        golden.names().into_iter().filter_map(|name| name.strip_suffix("/file")).collect();
    for name in &files {
        let expected = golden.tensor(&format!("{name}/pixels")).unwrap();
        let image = decode(golden.tensor(&format!("{name}/file")).unwrap().data()).unwrap();
        assert_eq!([image.height(), image.width(), 3], expected.shape(), "{name}");
        assert!(image.rgb() == expected.data(), "{name}");
    }
    assert_eq!(files.len(), 26);
}

#[test]
fn half_a_file_is_an_error_in_every_format() {
    for format in FORMATS {
        let bytes = encoded(&ramp().into(), format);
        for cut in [2, bytes.len() / 2, bytes.len() - 30] {
            let error = decode(&bytes[..cut]).unwrap_err();
            assert!(!matches!(error, Error::Decoder { .. }), "{format:?}: {error:?}");
        }
    }
    let jpeg = encoded(&ramp().into(), ImageFormat::Jpeg);
    let error = decode(&jpeg[..jpeg.len() - 2]).unwrap_err();
    assert_eq!(error.to_string(), "it is truncated: the JPEG data ends early");
}

/// A PNG that announces a size and holds nothing.
fn png_of(width: u32, height: u32) -> Vec<u8> {
    let mut chunk = b"IHDR".to_vec();
    chunk.extend(width.to_be_bytes());
    chunk.extend(height.to_be_bytes());
    chunk.extend([8, 2, 0, 0, 0]);
    let crc = chunk.iter().fold(!0_u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
    });
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec();
    bytes.extend(chunk);
    bytes.extend((!crc).to_be_bytes());
    bytes.extend(b"\0\0\0\x01IDAT\0\x9b\x1a\x99\x05"); // any chunk ends the header
    bytes
}

#[test]
fn a_giant_header_is_refused_before_memory_is_asked_for() {
    for (width, height) in [(100_000, 100_000), (0x7fff_ffff, 0x7fff_ffff), (1 << 27, 2)] {
        let error = decode(&png_of(width, height)).unwrap_err();
        assert!(matches!(error, Error::Dimensions { limit: MAX_PIXELS, .. }), "{error:?}");
        assert!(error.to_string().contains(&format!("{width}x{height} pixels")), "{error}");
        assert!(header(&png_of(width, height)).is_err());
    }
    assert_eq!(header(&png_of(1000, 2000)).unwrap(), (2000, 1000));
}

#[test]
fn what_is_no_picture_is_named() {
    for bytes in [&b""[..], b"hello, world", b"\xff", b"\xff\xd8", b"RIFF\0\0\0\0AVI "] {
        let error = decode(bytes).unwrap_err();
        assert!(matches!(error, Error::UnknownFormat), "{error:?}");
    }
    for (bytes, name) in [
        (&b"%PDF-1.7"[..], "PDF"),
        (b"II*\0 little", "TIFF"),
        (b"MM\0* big", "TIFF"),
        (b"P6 2 2 255 ", "PNM"),
        (b"\0\0\0\x20ftypheic\0\0", "HEIC"),
        (b"\0\0\0\x20ftypavif\0\0", "AVIF"),
        (b"\0\0\0\x0cJXL \r\n", "JPEG XL"),
        (b"8BPS\0\x01", "Photoshop"),
    ] {
        let error = decode(bytes).unwrap_err().to_string();
        assert!(error.starts_with(&format!("it is a {name} file; JPEG, PNG, WebP")), "{error}");
        assert_eq!(header(bytes).unwrap_err().to_string(), error);
    }
    assert!(matches!(read(Path::new("/")).unwrap_err(), Error::NotRegular));
    let error = read(Path::new("nowhere/at/all.png")).unwrap_err();
    assert!(error.to_string().contains("nowhere/at/all.png"), "{error}");
}

#[test]
fn blending_rounds_to_nearest() {
    for alpha in 0..=255_u8 {
        let image = RgbaImage::from_pixel(1, 1, Rgba([10, 128, 250, alpha]));
        let rgb = rgb_on_white(image.into());
        for (c, got) in [10.0, 128.0, 250.0].into_iter().zip(rgb) {
            let a = f64::from(alpha);
            let exact = (c * a + 255.0 * (255.0 - a)) / 255.0;
            assert!((f64::from(got) - exact).abs() <= 0.5, "{got} for {exact}");
        }
    }
}

/// A WebP file with a chunk of metadata.
fn webp_with(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let simple = encoded(&ramp().into(), ImageFormat::WebP);
    let mut chunks = b"VP8X\x0a\0\0\0\x00\0\0\0\x1d\0\0\x13\0\0".to_vec(); // 30 by 20
    chunks.extend(&simple[12..]);
    chunks.extend(kind);
    chunks.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
    chunks.extend(data);
    chunks.extend(vec![0; data.len() % 2]);
    let length = u32::try_from(chunks.len() + 4).unwrap().to_le_bytes();
    [b"RIFF", &length[..], b"WEBP", &chunks].concat()
}

#[test]
fn webp_is_turned_by_exif_with_and_without_prefix_and_by_xmp() {
    let exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x04\0\0\0\x01\0\0\0\x06\0\0\0\0";
    let xmp = b"<tiff:Orientation>6</tiff:Orientation>";
    for (kind, data) in [
        (b"EXIF", exif.to_vec()),
        (b"EXIF", [b"Exif\0\0", &exif[..]].concat()),
        (b"XMP ", xmp.to_vec()),
    ] {
        let image = decode(&webp_with(kind, &data)).unwrap();
        assert_eq!((image.height(), image.width()), (30, 20), "{:?}", data.escape_ascii());
        assert_eq!(image.rgb()[..3], [0, 228, 100]); // the lower left corner is first
    }
    let other = decode(&webp_with(b"ABCD", exif)).unwrap();
    assert_eq!((other.height(), other.width()), (20, 30));
}

#[test]
fn jpeg_is_turned_by_exif_of_any_type_and_by_xmp() {
    let plain = encoded(&ramp().into(), ImageFormat::Jpeg);
    let with = |data: &[u8]| {
        let length = u16::try_from(data.len() + 2).unwrap().to_be_bytes();
        [&plain[..2], &[0xff, 0xe1], &length, data, &plain[2..]].concat()
    };
    let long = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x04\0\x01\0\0\0\x08\0\0\0\0\0\0\0";
    let xmp = b"http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation=\"5\"/>";
    for data in [&long[..], xmp] {
        let image = decode(&with(data)).unwrap();
        assert_eq!((image.height(), image.width()), (30, 20), "{:?}", data.escape_ascii());
    }
}

#[test]
fn a_bomb_of_empty_scans_is_refused_at_once() {
    let mut bytes = encoded(&ramp().into(), ImageFormat::Jpeg);
    let frame = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    bytes[frame + 1] = 0xc2;
    let scan = bytes.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap();
    bytes.truncate(scan);
    for _ in 0..501 {
        bytes.extend([0xff, 0xda, 0, 8, 1, 1, 0, 0, 0, 0]);
    }
    bytes.extend([0xff, 0xd9]);
    let error = decode(&bytes).unwrap_err().to_string();
    assert!(error.contains("scan count") && error.contains("500"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::default())]
    /// Any damage gives a picture or an error; the process goes on.
    #[test]
    fn damaged_files_never_panic(
        format in 0_usize..5,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut: Option<prop::sample::Index>,
    ) {
        let mut bytes = encoded(&ramp().into(), FORMATS[format]);
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(image) = decode(&bytes) {
            prop_assert_eq!(image.rgb().len(), image.height() * image.width() * 3);
        }
    }
}
