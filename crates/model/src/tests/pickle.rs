//! Pickles written by hand, as an attacker would.
//!
//! Above: `cargo test`. Below: `tensors::pickle`, `tensors::pth`. Not here: what torch writes (`pth`).

use super::chain;
use crate::{Error, tensors};

/// A legacy file whose state dict is `pickle`, with the storages `data`.
fn legacy(pickle: &[u8], keys: &[u8], data: &[u8]) -> Vec<u8> {
    let magic =
        [0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, b'.'];
    let (version, system) = (b"\x80\x02M\xe9\x03.", b"\x80\x02}.");
    [&magic, version.as_slice(), system, pickle, keys, data].concat()
}

/// A legacy file with one tensor `w` of the given view of a storage `k` of `numel` f32 elements, and `data` for it.
fn one_tensor(offset: u8, shape: &[u8], stride: &[u8], numel: u8, data: &[u8]) -> Vec<u8> {
    let ints = |values: &[u8]| {
        let items: Vec<u8> = values.iter().flat_map(|&value| [b'K', value]).collect();
        [b"(".as_slice(), &items, b"t"].concat()
    };
    let pickle = [
        b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n(".as_slice(),
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x00kX\x03\x00\x00\x00cpuK",
        &[numel],
        b"tQK",
        &[offset],
        &ints(shape),
        &ints(stride),
        b"\x89}tRs.",
    ]
    .concat();
    legacy(&pickle, b"\x80\x02](X\x01\x00\x00\x00ke.", data)
}

fn storage(numel: u64, elements: &[f32]) -> Vec<u8> {
    let elements = elements.iter().flat_map(|v| v.to_le_bytes());
    numel.to_le_bytes().into_iter().chain(elements).collect()
}

fn refusal(pickle: &[u8]) -> String {
    chain(&tensors::from_bytes(&legacy(pickle, b"\x80\x02].", b"")).unwrap_err())
}

#[test]
fn a_view_is_read_in_row_major_order() {
    let data = storage(6, &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    let read = |offset, shape: &[u8], stride: &[u8]| {
        tensors::from_bytes(&one_tensor(offset, shape, stride, 6, &data))
            .map(|all| all["w"].data.clone())
    };
    assert_eq!(read(0, &[2, 3], &[3, 1]).unwrap(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!(read(0, &[3, 2], &[1, 3]).unwrap(), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    assert_eq!(read(1, &[2], &[4]).unwrap(), [1.0, 5.0]);
    assert_eq!(read(5, &[], &[]).unwrap(), [5.0]);
    assert_eq!(read(0, &[0, 9], &[9, 1]).unwrap(), [0.0f32; 0]);
}

#[test]
fn views_outside_of_their_storage_are_refused() {
    let data = storage(6, &[0.0; 6]);
    let read = |offset, shape: &[u8], stride: &[u8]| {
        tensors::from_bytes(&one_tensor(offset, shape, stride, 6, &data))
    };
    for (offset, shape, stride) in [
        (1, [2, 3], [3, 1]),
        (0, [2, 3], [4, 1]),
        (6, [1, 1], [1, 1]),
        (0, [200, 200], [0, 0]), // one element, forty thousand times
    ] {
        let refused = read(offset, &shape, &stride);
        assert!(matches!(refused, Err(Error::Tensor { .. })), "{offset} {shape:?} {stride:?}");
    }
    assert!(read(0, &[2, 3], &[1]).is_err());
}

#[test]
fn storages_that_lie_about_their_length_are_refused() {
    let elements = [0.0; 6];
    for numel in [0, 5, 7, u64::MAX / 4, u64::MAX] {
        let file = one_tensor(0, &[6], &[1], 6, &storage(numel, &elements));
        assert!(tensors::from_bytes(&file).is_err(), "{numel}");
    }
}

#[test]
fn every_global_but_tensors_is_refused_by_name() {
    for (name, pickle) in [
        ("os.system", b"\x80\x02cos\nsystem\n.".as_slice()),
        ("posix.system", b"\x80\x02cposix\nsystem\n."),
        ("builtins.eval", b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93."),
        ("torch._utils._rebuild_tensor_v3", b"\x80\x02ctorch._utils\n_rebuild_tensor_v3\n."),
        ("collections.namedtuple", b"\x80\x02ccollections\nnamedtuple\n."),
    ] {
        let text = refusal(pickle);
        assert!(
            text.contains(&format!("asks for `{name}`")) && text.contains("nothing was executed"),
            "{text}"
        );
    }
}

#[test]
fn known_functions_are_called_in_the_known_way_only() {
    assert!(refusal(b"\x80\x02ccollections\nOrderedDict\nK\x01\x85R.").contains("unknown way"));
    assert!(refusal(b"\x80\x02ctorch\nFloatStorage\n)R.").contains("unknown way"));
    assert!(refusal(b"\x80\x02K\x01)R.").contains("no function is called"));
    assert!(
        refusal(b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(K\x01K\x00))tR.")
            .contains("no storage")
    );
    assert!(refusal(b"\x80\x02K\x01Q.").contains("short tuple"));
    assert!(refusal(b"\x80\x02(X\x06\x00\x00\x00modulett.").contains("mark"));
    assert!(refusal(b"\x80\x02K\x01}b.").contains("no dict"));
}

#[test]
fn opcodes_that_run_code_or_build_objects_are_unknown() {
    for opcode in
        [b'i', b'o', 0x81, 0x92, b'P', 0x82, 0x83, 0x84, b'I', b'S', b'V', b'd', b'l', b'p', b'g']
    {
        let text = refusal(&[0x80, 2, opcode, b'.']);
        assert!(text.contains("not one that torch uses"), "{opcode:#x}: {text}");
    }
}

#[test]
fn huge_lengths_cost_nothing() {
    assert!(refusal(b"\x80\x02X\xff\xff\xff\xffabc").contains("ends early"));
    assert!(refusal(b"\x80\x02}r\xff\xff\xff\xff.").contains("no tensors"));
    assert!(refusal(b"\x80\x02j\xff\xff\xff\xff.").contains("memo 4294967295 is empty"));
    assert!(refusal(b"\x80\x02\x8a\xff\x01").contains("ends early"));
    assert!(
        refusal(b"\x80\x02\x8a\x09\x01\x01\x01\x01\x01\x01\x01\x01\x01.").contains("too large")
    );
    assert!(refusal(b"\x80\x02\x95\xff\xff\xff\xff\xff\xff\xff\xff.").contains("empty")); // FRAME is a hint
}

#[test]
fn depth_and_cycles_are_flat() {
    // A million tuples in one another, and a dict that contains itself.
    let deep = [b"\x80\x02)".as_slice(), &[0x85; 1_000_000], b"."].concat();
    assert!(refusal(&deep).contains("no tensors"));
    let cycle = b"\x80\x02}q\x00X\x0a\x00\x00\x00state_dicth\x00s.";
    assert!(refusal(cycle).contains("no tensors"));
    let marks = [b"\x80\x02".as_slice(), &[b'('; 1_000_000], b"."].concat();
    assert!(refusal(&marks).contains("stack is empty"));
}

#[test]
fn endless_objects_are_refused() {
    let many = [b"\x80\x02".as_slice(), &vec![b'N'; (1 << 22) + 2], b"."].concat();
    assert!(refusal(&many).contains("more objects than any network"));
}

#[test]
fn unfinished_pickles_and_broken_stacks_are_refused() {
    for pickle in [
        b"\x80\x02".as_slice(),
        b"\x80\x02.",
        b"\x80\x09N.",
        b"\x80\x02R.",
        b"\x80\x02s.",
        b"\x80\x02t.",
        b"\x80\x02}K\x01u.",
        b"\x80\x02}(K\x01u.",
        b"\x80\x02](K\x01K\x02u.",
        b"\x80\x02K\x01K\x02a.",
        b"\x80\x02cos",
        b"\x80\x02X\x02\x00\x00\x00\xff\xfe.",
    ] {
        let text = refusal(pickle);
        assert!(text.contains("damaged at byte"), "{pickle:?}: {text}");
    }
}
