//! What training scripts leave in torch's files, written by PyTorch (`tests/generators/checkpoints.py`).
//!
//! Above: `cargo test`. Below: `tensors::pth`. Not here: hand-written pickles (`pickle`), the formats themselves (`pth`).

use std::collections::BTreeMap;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::chain;
use crate::tensors::{self, Archive};
use crate::{Error, Tensor};

/// Files by case, what must be read of them, and what their refusals say.
struct Cases {
    files: BTreeMap<String, Vec<u8>>,
    expected: BTreeMap<String, BTreeMap<String, Tensor>>,
    refusals: BTreeMap<String, String>,
}

static CASES: LazyLock<Cases> = LazyLock::new(|| {
    let file = include_bytes!("../../tests/fixtures/checkpoints.safetensors");
    let Archive { tensors, metadata } = Archive::from_safetensors(file).unwrap();
    let refusals = serde_json::from_str(&metadata["refusals"]).unwrap();
    let (mut files, mut expected) = (BTreeMap::new(), BTreeMap::new());
    for (name, tensor) in tensors {
        if let Some(case) = name.strip_prefix("file/") {
            files.insert(case.to_owned(), bytes(&tensor));
        } else if let Some((case, name)) =
            name.strip_prefix("is/").and_then(|it| it.split_once('/'))
        {
            let of: &mut BTreeMap<_, _> = expected.entry(case.to_owned()).or_default();
            of.insert(name.to_owned(), tensor);
        }
    }
    Cases { files, expected, refusals }
});

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "they are bytes")]
fn bytes(tensor: &Tensor) -> Vec<u8> {
    tensor.data.iter().map(|byte| *byte as u8).collect()
}

#[test]
fn what_torch_loads_is_read() {
    for (case, expected) in &CASES.expected {
        let read = tensors::from_bytes(&CASES.files[case]);
        let read = read.unwrap_or_else(|error| panic!("{case}: {}", chain(&error)));
        assert_eq!(&read, expected, "{case}");
    }
    assert!(CASES.expected.len() > 60, "{}", CASES.expected.len());
}

#[test]
fn what_is_not_read_is_named() {
    for (case, word) in &CASES.refusals {
        let error = chain(&tensors::from_bytes(&CASES.files[case]).unwrap_err());
        assert!(error.contains(word), "{case}: {error}");
    }
    assert!(CASES.refusals.len() > 10, "{}", CASES.refusals.len());
}

#[test]
fn of_several_state_dicts_one_is_chosen_by_its_key() {
    let state = &CASES.expected["zip protocol 2"];
    let read = |case: &str, key| tensors::state_dict_from_bytes(&CASES.files[case], key);
    for (case, first, second) in [
        ("two wrappers", "state_dict", "state_dict_ema"),
        ("two names of one's own", "generator", "critic"),
        ("two in a list", "0", "1"),
        ("two in a wrapper", "model.student", "model.teacher"),
        ("a network and a wrapper", "", "ema"),
    ] {
        assert_eq!(&read(case, first).unwrap(), state, "{case}");
        assert_eq!(read(case, second).unwrap()["kept"].data, [1.0, 2.0], "{case}");
        let error = read(case, "other").unwrap_err();
        assert!(matches!(&error, Error::NoStateDict { names, .. } if names.len() == 2), "{error}");
    }
    assert_eq!(&read("under net", "net").unwrap(), state);
    // A tensor beside the state dict is there too.
    assert_eq!(read("best_acc1 beside it", "").unwrap()["best_acc1"].data, [77.5]);
}

proptest! {
    #[test]
    fn damaged_checkpoints_never_panic_and_never_grow(
        case in any::<prop::sample::Index>(),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let files: Vec<&Vec<u8>> = CASES.files.values().collect();
        let mut file = files[case.index(files.len())].clone();
        for (at, byte) in edits {
            let at = at.index(file.len());
            file[at] = byte;
        }
        if let Some(cut) = cut {
            file.truncate(cut.index(file.len()));
        }
        if let Ok(read) = tensors::from_bytes(&file) {
            let elements: usize = read.values().map(|tensor| tensor.data.len()).sum();
            prop_assert!(elements <= file.len() + (1 << 22));
            let is_whole = |t: &Tensor| t.data.len() == t.shape.iter().product::<usize>();
            prop_assert!(read.values().all(is_whole));
        }
    }
}
