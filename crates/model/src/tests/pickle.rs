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
    for (offset, shape, stride) in [(1, [2, 3], [3, 1]), (0, [2, 3], [4, 1]), (6, [1, 1], [1, 1])] {
        let refused = read(offset, &shape, &stride);
        assert!(matches!(refused, Err(Error::Tensor { .. })), "{offset} {shape:?} {stride:?}");
    }
    assert!(read(0, &[2, 3], &[1]).is_err());
}

#[test]
fn an_expanded_view_repeats_elements_but_not_without_end() {
    let data = storage(6, &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    let read = |offset, shape: &[u8], stride: &[u8]| {
        tensors::from_bytes(&one_tensor(offset, shape, stride, 6, &data))
            .map(|all| all["w"].data.clone())
    };
    assert_eq!(read(4, &[2, 2], &[0, 1]).unwrap(), [4.0, 5.0, 4.0, 5.0]);
    assert_eq!(read(3, &[200, 200], &[0, 0]).unwrap(), vec![3.0; 40_000]);
    for shape in [&[200, 200, 200][..], &[255; 7], &[255; 12]] {
        let refused = read(0, shape, &vec![0; shape.len()]);
        assert!(matches!(refused, Err(Error::Tensor { .. })), "{shape:?}");
    }
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
fn what_is_no_tensor_is_refused_by_name() {
    for (name, pickle) in [
        ("os.system", b"\x80\x02cos\nsystem\n.".as_slice()),
        ("posix.system", b"\x80\x02cposix\nsystem\n."),
        ("builtins.eval", b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93."),
        ("collections.namedtuple", b"\x80\x02ccollections\nnamedtuple\n."),
        ("os.system", b"\x80\x02cos\nsystem\nU\x04true\x85R."),
        ("os.system", b"\x80\x02cos\nsystem\nU\x04true\x85R)R)R."),
        ("os.system", b"(S'true'\nios\nsystem\n."),
        ("posix.system", b"(cposix\nsystem\nU\x04trueo."),
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
    assert!(refusal(b"\x80\x02K\x01}b.").contains("a state is set"));
}

#[test]
fn opcodes_of_what_is_not_in_the_file_are_unknown() {
    for opcode in [b'P', 0x82, 0x83, 0x84, 0x97, 0x98, b'Z', 0x00, 0xff] {
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
    for opcode in [0x8d, 0x8e, 0x96] {
        let text = refusal(&[&[0x80, 4, opcode], [0xff; 8].as_slice(), b"abc."].concat());
        assert!(text.contains("ends early") || text.contains("too large"), "{text}");
    }
    for opcode in [b'T', b'B', 0x8b] {
        let text = refusal(&[&[0x80, 3, opcode], [0xff; 4].as_slice(), b"abc."].concat());
        assert!(text.contains("ends early"), "{text}");
    }
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

/// A pickle of a dict with `entries`, each of which puts a key and a value on the stack.
fn dict(entries: &[&[u8]]) -> Vec<u8> {
    [b"\x80\x02}(".as_slice(), &entries.concat(), b"u."].concat()
}

/// `w: (1 element)`, a key and a tensor on the stack.
const TENSOR: &[u8] = b"U\x01wctorch._utils\n_rebuild_tensor_v2\n((U\x07storagectorch\nFloatStorage\nU\x01kU\x03cpuK\x01tQK\x00K\x01\x85K\x01\x85\x89}tR";

fn read(pickle: &[u8]) -> crate::Result<Vec<String>> {
    let file = legacy(pickle, b"\x80\x02]U\x01ka.", &storage(1, &[2.5]));
    Ok(tensors::from_bytes(&file)?.into_keys().collect())
}

#[test]
fn calls_beside_tensors_are_passed_over_and_not_made() {
    for value in [
        b"cos\nsystem\nU\x04true\x85R".as_slice(),
        b"cos\nsystem\nU\x04true\x85\x81",
        b"cos\nsystem\n)}\x92",
        b"(S'true'\nios\nsystem\n",
        b"(cos\nsystem\nU\x04trueo",
        b"cbuiltins\ngetattr\ncos\nsystem\nU\x06system\x86R)R",
        b"ccollections\ndeque\n)R(K\x01K\x02e",
        b"cmine\nDict\n)R(U\x01aK\x02u}b",
        b"cmine\nDict\n)R}U\x01aK\x01s\x85b",
        b"\x8f(K\x01\x90",
        b"(K\x01\x91",
        b"(K\x010d",
        b"K\x012\x86",
        b"(K\x011K\x02\x85",
        b"I01\n",
        b"I-12\n",
        b"L123456789012345678901234567890L\n",
        b"F1.5\n",
        b"V\\u00e9\\U0001f600 \xe9\n",
        b"S'\\x41\\101\\n\\'\\q'\n",
        b"U\x02\xff\xfe",
    ] {
        let pickle = dict(&[b"U\x01x", value, b"U\x0astate_dict}(", TENSOR, b"u"]);
        assert_eq!(read(&pickle).unwrap(), ["w"], "{}", value.escape_ascii());
    }
}

#[test]
fn names_are_told_in_every_spelling() {
    for (name, key) in [
        ("aé.b", b"V\x61\\u00e9.b\n".as_slice()),
        ("aé.b", b"V\x61\xe9.b\n"),
        ("aé.b", b"S'a\\xc3\\xa9.b'\n"),
        ("aé.b", b"U\x05a\xc3\xa9.b"),
        ("aé.b", b"T\x05\x00\x00\x00a\xc3\xa9.b"),
        ("aé.b", b"C\x05a\xc3\xa9.b"),
        ("aé.b", b"\x8d\x05\x00\x00\x00\x00\x00\x00\x00a\xc3\xa9.b"),
        ("a\\b", b"S\"a\\\\b\"\n"),
        ("a\\u1", b"Va\\u1\n"),
    ] {
        assert_eq!(read(&dict(&[key, &TENSOR[3..]])).unwrap(), [name], "{}", key.escape_ascii());
    }
    assert!(refusal(b"S'abc\n.").contains("no quotes"));
    assert!(refusal(b"Iabc\n.").contains("no digits"));
    assert!(refusal(b"N\x80\x02p-1\n.").contains("no index"));
}

#[test]
fn small_files_cannot_grow_without_end() {
    // A list of 2,000 pairs, of which a dict is made 100,000 times.
    let list = [b"]q\x00(".as_slice(), &b"NN\x86".repeat(2000), b"e0"].concat();
    let copies = b"ccollections\nOrderedDict\nh\x00\x85R0".repeat(100_000);
    let refused = refusal(&[b"\x80\x02", &list[..], &copies, b"N."].concat());
    assert!(refused.contains("more objects"), "{refused}");
    // A name of a megabyte, used a hundred thousand times.
    let name = [b"X\x40\x42\x0f\x00".as_slice(), &[b'a'; 1_000_000], b"q\x01"].concat();
    let entries = b"h\x01}(h\x01h\x02us".repeat(1000);
    let pickle = [b"\x80\x02}", TENSOR, b"q\x02s", &name, b"h\x02s", &entries, b"."].concat();
    assert_eq!(read(&pickle).unwrap(), ["w"]);
    // A module that has the same one twice, sixty times over: 2^60 parameters.
    let module = |inner: &[u8]| {
        let parts = [b"U\x0b_parameters}U\x08_buffers}U\x08_modules}(".as_slice(), inner, b"u"];
        [b"cmine\nNet\n)R}(".as_slice(), &parts.concat(), b"ub"].concat()
    };
    let mut bomb = module(&[b"U\x01m", &module(&[])[..]].concat());
    for level in 0..60u8 {
        let twice = [b"U\x01a", &bomb[..], &[b'q', level, b'U', 1, b'b', b'h', level]].concat();
        bomb = module(&twice);
    }
    let refused = refusal(&[b"\x80\x02", &bomb[..], b"."].concat());
    assert!(refused.contains("`mine.Net`"), "{refused}");
    // 30,000 objects, all of which have the same 30,000 attributes.
    let state = [b"}q\x00(".as_slice(), &b"K\x01N".repeat(30_000), b"u0"].concat();
    let objects = b"cmine\nNet\n)Rh\x00b".repeat(30_000);
    let refused = refusal(&[b"\x80\x02", &state[..], b"(", &objects, b"l."].concat());
    assert!(refused.contains("`mine.Net`"), "{refused}");
    // A name in bytes, as long and as often.
    let name = [b"B\x40\x42\x0f\x00".as_slice(), &[b'a'; 1_000_000], b"q\x01"].concat();
    let pickle =
        [b"\x80\x03}", TENSOR, b"q\x02s", &name, b"h\x02s(", &b"h\x01h\x02".repeat(100_000), b"u."];
    assert_eq!(read(&pickle.concat()).unwrap(), ["w"]);
    // Calls in calls in calls.
    let function = b"ctorch._tensor\n_rebuild_from_type_v2\n";
    let deep = [&function[..], b"N".as_slice()].concat().repeat(50);
    let deep = [b"\x80\x02", &function[..], &deep, b"N", &b"\x87".repeat(50), b"R."].concat();
    assert!(refusal(&deep).contains("without end"), "{}", refusal(&deep));
}
