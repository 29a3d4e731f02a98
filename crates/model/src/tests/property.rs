//! What holds for any bytes and any numbers.
//!
//! Above: `cargo test`. Below: `tensors`, `file`. Not here: single cases (`file`, `pickle`).

use std::collections::BTreeMap;

use half::{bf16, f16};
use proptest::prelude::*;

use super::model;
use crate::tensors::{self, Archive, to_safetensors};
use crate::{Model, Precision, Tensor};

/// A safetensors file of one vector of a type whose elements are these bytes.
fn file(dtype: &str, n: usize, data: &[u8]) -> Vec<u8> {
    let end = data.len();
    let header = format!(r#"{{"t":{{"dtype":"{dtype}","shape":[{n}],"data_offsets":[0,{end}]}}}}"#);
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

fn read(bytes: &[u8]) -> Vec<u32> {
    tensors::from_bytes(bytes).unwrap()["t"].data.iter().map(|v| v.to_bits()).collect()
}

proptest! {
    #[test]
    fn any_bytes_are_refused_without_a_panic(
        kind in 0usize..4, bytes in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let magic: [&[u8]; 4] = [
            b"", b"PK\x03\x04", b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", b"\x20\0\0\0\0\0\0\0{",
        ];
        prop_assert!(tensors::from_bytes(&[magic[kind], &bytes].concat()).is_err());
    }

    #[test]
    fn an_altered_model_file_is_refused_or_is_a_model(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = model().to_bytes(Precision::F32).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(read) = Model::from_bytes(&bytes) {
            prop_assert!(read.to_bytes(Precision::F32).is_ok());
        }
    }

    #[test]
    fn f32_survives_bit_for_bit(bits in proptest::collection::vec(any::<u32>(), 0..50)) {
        let data: Vec<f32> = bits.iter().map(|&bits| f32::from_bits(bits)).collect();
        let tensor = Tensor { shape: vec![data.len()], data };
        let bytes = to_safetensors([("t", &tensor, Precision::F32)], &BTreeMap::new());
        prop_assert_eq!(read(&bytes), bits);
    }

    #[test]
    fn f16_is_rounded_to_nearest(values in proptest::collection::vec(-60000.0f32..60000.0, 1..50)) {
        let tensor = Tensor { shape: vec![values.len()], data: values.clone() };
        let bytes = to_safetensors([("t", &tensor, Precision::F16)], &BTreeMap::new());
        let back = &Archive::from_safetensors(&bytes).unwrap().tensors["t"].data;
        for (value, back) in values.iter().zip(back) {
            // Half of the last of 11 bits; below 2⁻¹⁴, half of 2⁻²⁴.
            prop_assert!((value - back).abs() <= (value.abs() / 2048.0).max(2f32.powi(-25)), "{value} {back}");
        }
    }

    #[test]
    fn every_element_type_is_converted_exactly(bits in proptest::collection::vec(any::<u16>(), 1..50)) {
        let bytes: Vec<u8> = bits.iter().flat_map(|bits| bits.to_le_bytes()).collect();
        let expect = |f: fn(u16) -> f32| bits.iter().map(|&bits| f(bits).to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(read(&file("F16", bits.len(), &bytes)), expect(|bits| f16::from_bits(bits).to_f32()));
        prop_assert_eq!(read(&file("BF16", bits.len(), &bytes)), expect(|bits| bf16::from_bits(bits).to_f32()));
        prop_assert_eq!(read(&file("I16", bits.len(), &bytes)), expect(|bits| f32::from(bits.cast_signed())));
        let halves: Vec<u32> = bytes.iter().map(|&byte| f32::from(byte).to_bits()).collect();
        prop_assert_eq!(read(&file("U8", bytes.len(), &bytes)), halves);
    }

    #[test]
    fn f64_that_f32_cannot_hold_is_refused(value in any::<f64>()) {
        let read = tensors::from_bytes(&file("F64", 1, &value.to_le_bytes()));
        let too_large = value.is_finite() && value.abs() > f64::from(f32::MAX) * (1.0 + 2f64.powi(-25));
        prop_assert_eq!(read.is_err(), too_large);
    }
}
