//! Model files that are broken, or meant to break something.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use safetensors::tensor::TensorView;

use crate::pictures;
use crate::taper::{Ran, arg, small_model, taper};

fn predict(dir: &Path, model: &Path) -> Ran {
    let image = dir.join("image.png");
    pictures::picture([1, 2, 3], 1).save(&image).unwrap();
    taper(&["predict", "--model", &arg(model), &arg(&image)])
}

/// The small model with its tensors changed and its metadata as it was.
fn changed(dir: &Path, change: impl FnOnce(&mut BTreeMap<String, TensorView<'_>>)) -> PathBuf {
    let bytes = fs::read(small_model(dir)).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors: BTreeMap<String, TensorView<'_>> = file.tensors().into_iter().collect();
    change(&mut tensors);
    let path = dir.join("changed.safetensors");
    fs::write(&path, safetensors::serialize(&tensors, header.metadata().clone()).unwrap()).unwrap();
    path
}

#[test]
fn the_small_model_itself_is_fine() {
    let dir = tempfile::tempdir().unwrap();
    predict(dir.path(), &changed(dir.path(), |_| {})).succeeds();
}

#[test]
fn a_missing_tensor_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = changed(dir.path(), |tensors| {
        tensors.remove("conv_stem.weight").unwrap();
    });
    predict(dir.path(), &path).refuses(2, &["conv_stem.weight"]);
}

#[test]
fn a_surplus_tensor_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = changed(dir.path(), |tensors| {
        let extra = tensors["bn1.weight"].clone();
        tensors.insert("surplus.weight".into(), extra);
    });
    predict(dir.path(), &path).refuses(2, &["surplus.weight"]);
}

#[test]
fn a_misshapen_tensor_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = changed(dir.path(), |tensors| {
        let other = tensors["classifier.bias"].clone();
        tensors.insert("bn1.weight".into(), other);
    });
    predict(dir.path(), &path).refuses(2, &["bn1.weight", "1000"]);
}

#[test]
fn a_truncated_file_is_refused_wherever_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = fs::read(small_model(dir.path())).unwrap();
    let path = dir.path().join("cut.safetensors");
    for length in [0, 4, 8, 100, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&path, &bytes[..length]).unwrap();
        predict(dir.path(), &path).refuses(2, &["cut.safetensors"]);
    }
}

#[test]
fn a_header_that_claims_to_be_enormous_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("long.safetensors");
    for length in [u64::MAX, 1 << 40, 1 << 20] {
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend(b"{}");
        fs::write(&path, bytes).unwrap();
        predict(dir.path(), &path).refuses(2, &["long.safetensors"]);
    }
}

#[test]
fn a_pickle_is_not_executed() {
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("executed");
    let pickle = format!("cos\nsystem\n(S'touch {}'\ntR.", trace.display());
    for name in ["evil.pth", "evil.safetensors", "evil.pt"] {
        let path = dir.path().join(name);
        fs::write(&path, &pickle).unwrap();
        predict(dir.path(), &path).refuses(2, &[name]);
    }
    assert!(!trace.exists());
}

#[test]
fn noise_and_folders_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("noise.pth");
    for bytes in [
        &b"PK\x03\x04"[..],
        &[0xff; 64],
        b"PK\x05\x06\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0",
    ] {
        fs::write(&path, bytes).unwrap();
        predict(dir.path(), &path).refuses(2, &["noise.pth"]);
    }
    let folder = dir.path().join("folder.safetensors");
    fs::create_dir(&folder).unwrap();
    predict(dir.path(), &folder).refuses(2, &["folder.safetensors"]);
    predict(dir.path(), &dir.path().join("gone.safetensors")).refuses(2, &["gone.safetensors"]);
}
