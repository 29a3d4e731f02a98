//! Files of `torch.save`, written by PyTorch (`tests/generators/pth.py`).
//!
//! Above: `cargo test`. Below: `tensors::pth`. Not here: hand-written pickles (`pickle`).

use super::chain;
use crate::{Error, tensors};

const ZIP: &[u8] = include_bytes!("../../tests/fixtures/zip.pth");
const PROTOCOL_4: &[u8] = include_bytes!("../../tests/fixtures/zip_protocol4.pth");
const LEGACY: &[u8] = include_bytes!("../../tests/fixtures/legacy.pth");
const CHECKPOINT: &[u8] = include_bytes!("../../tests/fixtures/checkpoint.pth");
const EVIL: &[u8] = include_bytes!("../../tests/fixtures/evil.pth");
const EXPECTED: &[u8] = include_bytes!("../../tests/fixtures/expected.safetensors");

#[test]
fn every_format_of_torch_gives_the_same_tensors() {
    let expected = tensors::from_bytes(EXPECTED).unwrap();
    assert_eq!(expected.len(), 11);
    for (name, file) in [("zip", ZIP), ("protocol 4", PROTOCOL_4), ("legacy", LEGACY)] {
        assert_eq!(tensors::from_bytes(file).unwrap(), expected, "{name}");
    }
}

#[test]
fn a_training_checkpoint_gives_its_state_dict() {
    let expected = tensors::from_bytes(EXPECTED).unwrap();
    let read = tensors::from_bytes(CHECKPOINT).unwrap();
    assert_eq!(read.len(), 1);
    assert_eq!(read["plain"], expected["plain"]);
}

#[test]
fn a_pickle_that_would_run_a_command_is_refused_by_name() {
    let error = tensors::from_bytes(EVIL).unwrap_err();
    assert!(matches!(&error, Error::Global { name } if name == "os.system"), "{error}");
}

#[test]
fn every_cut_is_refused() {
    for file in [ZIP, LEGACY] {
        for len in (0..file.len()).step_by(3) {
            assert!(tensors::from_bytes(&file[..len]).is_err(), "{len}");
        }
    }
}

#[test]
fn altered_bytes_never_panic_and_never_invent_tensors() {
    for file in [ZIP, LEGACY, CHECKPOINT] {
        for at in 0..file.len() {
            for bit in [0x01, 0x80] {
                let mut altered = file.to_vec();
                altered[at] ^= bit;
                if let Ok(read) = tensors::from_bytes(&altered) {
                    let elements: usize = read.values().map(|tensor| tensor.data.len()).sum();
                    assert!(elements <= file.len() + (1 << 22)); // expanded views
                    let whole =
                        |t: &crate::Tensor| t.data.len() == t.shape.iter().product::<usize>();
                    assert!(read.values().all(whole));
                }
            }
        }
    }
}

#[test]
fn damaged_storages_are_found_by_their_checksum() {
    let needle = 0.875f32.to_le_bytes(); // an element of `plain`
    let at = ZIP.windows(4).position(|bytes| bytes == needle).unwrap();
    let mut altered = ZIP.to_vec();
    altered[at] ^= 1;
    let error = chain(&tensors::from_bytes(&altered).unwrap_err());
    assert!(error.to_lowercase().contains("checksum"), "{error}");
}

#[test]
fn other_zips_and_pickles_are_refused() {
    let not_torch = chain(&tensors::from_bytes(b"PK\x03\x04 no zip at all").unwrap_err());
    assert!(not_torch.contains("zip"), "{not_torch}");
    let plain_pickle = tensors::from_bytes(b"\x80\x02}q\x00.");
    assert!(matches!(plain_pickle, Err(Error::Safetensors { .. })));
}
