//! Small files of segments, whole, cut and out of order.

use super::check;

const FRAME: &[u8] = &[0xff, 0xc0, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0];
const PROGRESSIVE: &[u8] = &[0xff, 0xc2, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0];
const END: &[u8] = &[0xff, 0xd9];

/// A scan of one component.
fn scan(first: u8, last: u8, bits: u8) -> Vec<u8> {
    vec![0xff, 0xda, 0, 8, 1, 1, 0, first, last, bits]
}

fn file(parts: &[&[u8]]) -> Vec<u8> {
    [&[0xff, 0xd8][..], &parts.concat()].concat()
}

fn reason(file: &[u8]) -> String {
    check(file).unwrap_err().to_string()
}

#[test]
fn the_end_marker_of_a_thumbnail_does_not_count() {
    let thumbnail: &[u8] = &[0xff, 0xe1, 0, 6, 0xff, 0xd9, 1, 2];
    let scan = scan(0, 63, 0);
    let data: &[u8] = &[7, 7, 0xff, 0, 9, 0xff];
    let cut = file(&[thumbnail, FRAME, &scan, data]);
    assert!(reason(&cut).contains("truncated"));
    let whole = [cut.as_slice(), END].concat();
    check(&whole).unwrap();
    check(&[whole.as_slice(), b"trailing bytes"].concat()).unwrap();
}

#[test]
fn every_prefix_is_incomplete() {
    let table: &[u8] = &[0xff, 0xdb, 0, 3, 1];
    let whole = file(&[table, FRAME, &scan(0, 63, 0), &[5, 0xff, 0, 5], END]);
    check(&whole).unwrap();
    for n in 0..whole.len() {
        assert!(reason(&whole[..n]).contains("truncated"), "{n}");
    }
}

#[test]
fn restart_markers_must_be_in_turn_within_a_scan() {
    let marked = |numbers: &[u8]| -> Vec<u8> {
        numbers.iter().flat_map(|number| [9, 0xff, 0xd0 + number]).collect()
    };
    let (scan, band) = (scan(0, 0, 0), scan(1, 63, 0));
    let turn = marked(&[0, 1, 2, 3, 4, 5, 6, 7, 0, 1]);
    check(&file(&[FRAME, &scan, &turn, END])).unwrap();
    check(&file(&[PROGRESSIVE, &scan, &turn, &band, &turn, END])).unwrap();
    check(&file(&[&marked(&[5]), FRAME, &scan, END])).unwrap(); // not in a scan
    for wrong in [&[1][..], &[0, 2], &[0, 0], &[0, 1, 2, 3, 4, 5, 6, 7, 1]] {
        let reason = reason(&file(&[FRAME, &scan, &marked(wrong), END]));
        assert!(reason.contains("restart marker"), "{wrong:?}: {reason}");
    }
}

#[test]
fn scans_must_be_possible() {
    check(&file(&[
        PROGRESSIVE,
        &scan(0, 0, 1),
        &scan(1, 5, 2),
        &scan(6, 63, 2),
        &scan(1, 63, 0x21),
        END,
    ]))
    .unwrap();
    for (first, last, bits) in
        [(0, 63, 0), (0, 1, 0), (5, 4, 0), (1, 64, 0), (0, 0, 14), (1, 63, 0x20)]
    {
        let reason = reason(&file(&[PROGRESSIVE, &scan(first, last, bits), END]));
        assert!(reason.contains("a scan of 1 components"), "{first} {last} {bits}: {reason}");
    }
    let two = file(&[FRAME, &scan(0, 63, 0), &scan(0, 63, 0), END]);
    assert!(reason(&two).contains("a scan follows"), "{}", reason(&two));
}

#[test]
fn components_have_different_numbers() {
    let frame = |second| [0xff, 0xc0, 0, 14, 8, 0, 8, 0, 8, 2, 1, 0x11, 0, second, 0x11, 0];
    check(&file(&[&frame(2), &scan(0, 63, 0), END])).unwrap();
    assert!(reason(&file(&[&frame(1), &scan(0, 63, 0), END])).contains("the number 1"));
}

#[test]
fn huffman_tables_must_be_possible() {
    let table = |class: u8, counts: [u8; 16], symbols: &[u8]| -> Vec<u8> {
        let length = u8::try_from(19 + symbols.len()).unwrap();
        [&[0xff, 0xc4, 0, length, class][..], &counts, symbols].concat()
    };
    let counts = |start: &[u8]| -> [u8; 16] {
        let mut counts = [0; 16];
        counts[..start.len()].copy_from_slice(start);
        counts
    };
    let reason_of = |table: &[u8]| check(&file(&[table, END])).map_err(|error| error.to_string());
    reason_of(&table(0, counts(&[1, 1, 1]), &[0, 1, 15])).unwrap();
    reason_of(&table(0x11, counts(&[0, 3]), &[0, 1, 0xf0])).unwrap();
    reason_of(&table(0, counts(&[]), &[])).unwrap();
    for (table, expected) in [
        (table(0, counts(&[2]), &[0, 1]), "more codes than bits"), // both of one bit: no code may be all ones
        (table(0, counts(&[1, 2]), &[0, 1, 2]), "more codes than bits"),
        (table(0, counts(&[0, 5]), &[0; 5]), "more codes than bits"),
        (table(0, counts(&[0, 1, 5]), &[0; 4]), "is cut"),
        (table(0, counts(&[1]), &[17]), "too many bits"),
    ] {
        let reason = reason_of(&table).unwrap_err();
        assert!(reason.contains(expected), "{reason}");
    }
}
