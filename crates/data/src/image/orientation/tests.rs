//! EXIF and XMP as cameras, phones and programs write them, and as they do not.

use ::image::metadata::Orientation;

use super::{in_exif, of};

/// A TIFF block with one entry, in either byte order, of the value's bytes, which stand behind the directory if they are many.
fn exif(is_little: bool, kind: u16, count: u32, value: &[u8]) -> Vec<u8> {
    let u16 = |n: u16| if is_little { n.to_le_bytes() } else { n.to_be_bytes() };
    let u32 = |n: u32| if is_little { n.to_le_bytes() } else { n.to_be_bytes() };
    let mut block = if is_little { b"II*\0".to_vec() } else { b"MM\0*".to_vec() };
    block.extend(u32(8));
    block.extend(u16(1));
    block.extend(u16(274));
    block.extend(u16(kind));
    block.extend(u32(count));
    if value.len() <= 4 {
        block.extend(value);
        block.extend(vec![0; 4 - value.len()]);
        block.extend(u32(0));
    } else {
        block.extend(u32(26));
        block.extend(u32(0));
        block.extend(value);
    }
    block
}

#[test]
fn every_type_of_whole_number_is_read_in_both_byte_orders() {
    for is_little in [true, false] {
        for value in 1..=8_u8 {
            let short = if is_little { vec![value, 0] } else { vec![0, value] };
            let long = if is_little { vec![value, 0, 0, 0] } else { vec![0, 0, 0, value] };
            let expected = Orientation::from_exif(value).unwrap();
            for (kind, bytes) in
                [(3, &short), (8, &short), (4, &long), (9, &long), (13, &long), (6, &vec![value])]
            {
                let block = exif(is_little, kind, 1, bytes);
                assert_eq!(of(Some(&block), None), expected, "{kind} {is_little}");
                for prefix in [&b"Exif\0\0"[..], b"Exif\0\0Exif\0\0"] {
                    let block = [prefix, &block].concat();
                    assert_eq!(of(Some(&block), None), expected, "{kind} {is_little}");
                }
            }
            let many = exif(is_little, 3, 3, &[&*short, &*short, &*short].concat());
            assert_eq!(of(Some(&many), None), expected);
        }
    }
}

#[test]
fn what_pillow_does_not_turn_is_not_turned() {
    let none = Orientation::NoTransforms;
    for (kind, count, value) in [
        (1, 1, &[6_u8][..]),
        (2, 1, b"6"),
        (7, 1, &[6]),
        (3, 0, &[6, 0]),
        (3, 1, &[9, 0]),
        (3, 1, &[0, 0]),
    ] {
        assert_eq!(of(Some(&exif(true, kind, count, value)), None), none, "{kind} {count}");
    }
    assert_eq!(of(None, None), none);
    assert_eq!(of(Some(b"Exif\0\0"), Some(b"")), none);
}

#[test]
fn xmp_counts_where_exif_is_silent() {
    let packets: [&[u8]; 3] = [
        br#"<x:xmpmeta><rdf:Description tiff:Make="A" tiff:Orientation="6"/>"#,
        b"<tiff:Orientation>6</tiff:Orientation>",
        b"<!-- tiff:Orientation? --><tiff:Orientation>6</tiff:Orientation>",
    ];
    for packet in packets {
        assert_eq!(of(None, Some(packet)), Orientation::Rotate90);
        assert_eq!(of(Some(b"Exif\0\0"), Some(packet)), Orientation::Rotate90);
        assert_eq!(of(Some(&exif(true, 3, 1, &[3, 0])), Some(packet)), Orientation::Rotate180);
        assert_eq!(of(Some(&exif(true, 3, 1, &[1, 0])), Some(packet)), Orientation::NoTransforms);
    }
}

#[test]
fn a_cut_or_damaged_block_is_passed_over() {
    let block = exif(false, 3, 3, &[0, 6, 0, 6, 0, 6]);
    for n in 0..block.len() {
        let _ = in_exif(&block[..n]);
        for value in [0, 1, 0x7f, 0xff] {
            let mut damaged = block.clone();
            damaged[n] = value;
            let _ = in_exif(&damaged);
        }
    }
    // 65,535 entries, of which one is there.
    let mut block = exif(true, 3, 1, &[6, 0]);
    block[8..10].fill(0xff);
    assert_eq!(in_exif(&block), Some(6));
}
