//! `taper embed` and `taper similar`: features as files of three formats, neighbors by them, and every mistake with its message.

use std::fs;
use std::path::Path;

use safetensors::SafeTensors;

use crate::pictures;
use crate::taper::{arg, small_model, taper};

/// Two classes of pictures with a file that is none, and a model.
fn made(dir: &Path) -> [String; 2] {
    let data = pictures::folder(dir, 2, 4);
    fs::write(data.join("red/notes.txt"), "no picture").unwrap();
    [arg(&data), arg(&small_model(dir))]
}

#[test]
fn features_are_written_in_three_formats_with_the_same_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let [data, model] = made(dir.path());
    let embed = |name: &str| {
        let out = dir.path().join(name);
        let args = ["embed", "--data", &data, "--model", &model, "--out", &arg(&out), "--json"];
        (out, taper(&args).succeeds().json())
    };
    let (safe, report) = embed("f.safetensors");
    let width = usize::try_from(report["features"].as_u64().unwrap()).unwrap();
    assert_eq!((report["images"].as_u64(), report["skipped"].as_u64()), (Some(8), Some(1)));
    let bytes = fs::read(safe).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let features = tensors.tensor("features").unwrap();
    assert_eq!(features.shape(), [8, width]);

    let (npy, report) = embed("f.npy");
    let file = fs::read(npy).unwrap();
    assert!(file.starts_with(b"\x93NUMPY\x01\x00"));
    assert!(file.ends_with(features.data()), "the same numbers, row by row");
    let paths = fs::read_to_string(report["paths"].as_str().unwrap()).unwrap();
    let rows: Vec<&str> = paths.lines().collect();
    assert_eq!((rows[0], rows[1], rows.len()), ("path,class", "green/000.png,green", 9));

    let (csv, _) = embed("f.csv");
    let csv = fs::read_to_string(csv).unwrap();
    let last = csv.lines().last().unwrap();
    assert!(last.starts_with("red/003.png,red,"), "{last}");
    let numbers: Vec<u8> = last
        .split(',')
        .skip(2)
        .flat_map(|number| number.parse::<f32>().unwrap().to_le_bytes())
        .collect();
    assert_eq!(numbers, features.data()[7 * width * 4..]);
}

#[test]
fn the_most_similar_pictures_are_named_from_a_folder_or_from_features() {
    let dir = tempfile::tempdir().unwrap();
    let [data, model] = made(dir.path());
    let image = arg(&Path::new(&data).join("red/001.png"));
    let copy = dir.path().join("copy.png");
    fs::copy(&image, &copy).unwrap();
    let similar = |image: &str, within: &str| {
        let args = ["similar", image, "--in", within, "--model", &model, "--top", "3", "--json"];
        taper(&args)
    };
    let report = similar(&arg(&copy), &data).succeeds().json();
    let first = &report["neighbors"][0];
    assert_eq!(first["path"].as_str(), Some(&*image));
    assert_eq!(first["class"], "red");
    assert!((first["similarity"].as_f64().unwrap() - 1.0).abs() < 1e-6);
    assert_eq!(report["neighbors"].as_array().unwrap().len(), 3);
    // Not compared with itself.
    let report = similar(&image, &data).succeeds().json();
    let others = report["neighbors"].as_array().unwrap();
    assert!(others.iter().all(|other| other["path"].as_str() != Some(&*image)), "{report}");

    let features = arg(&dir.path().join("f.safetensors"));
    taper(&["embed", "--data", &data, "--model", &model, "--out", &features]).succeeds();
    let again = similar(&arg(&copy), &features).succeeds().json();
    assert_eq!(again["neighbors"][0]["path"], "red/001.png");

    let other = ["similar", &image, "--in", &features, "--model", "mobilenetv2_100"];
    taper(&other).refuses(2, &["f.safetensors", "another model"]);
    similar(&image, &model).refuses(2, &["no features of pictures", "`paths`"]);
    similar(&arg(&dir.path().join("absent.png")), &data).refuses(2, &["absent.png"]);
}

#[test]
fn what_cannot_be_embedded_is_refused_before_any_work() {
    let dir = tempfile::tempdir().unwrap();
    let [data, model] = made(dir.path());
    let embed = |data: &str, out: &str| {
        taper(&["embed", "--data", data, "--model", &model, "--out", &arg(&dir.path().join(out))])
    };
    embed(&data, "f.txt").refuses(2, &["--out", ".safetensors, .npy or .csv"]);
    let empty = dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    embed(&arg(&empty), "f.csv").refuses(2, &["empty"]);
    embed(&arg(&dir.path().join("absent")), "f.csv").refuses(2, &["absent"]);
    // A folder without classes.
    let ran = embed(&arg(&Path::new(&data).join("green")), "flat.csv").succeeds();
    assert!(ran.stdout.contains("4 pictures"), "{}", ran.stdout);
    let csv = fs::read_to_string(dir.path().join("flat.csv")).unwrap();
    assert!(csv.lines().nth(1).unwrap().starts_with("000.png,,"), "{csv}");
}
