//! `taper look`: every file that is named is there and is a picture of the right size, and every mistake has its message.

use std::fs;
use std::path::Path;

use image::GenericImageView;
use serde_json::Value;

use crate::pictures;
use crate::taper::{arg, small_model, taper};

/// A built-in picture as a file.
fn ant(dir: &Path) -> String {
    let archive = dir.join("emoji6");
    taper_data::sample_set::export(&archive).unwrap();
    arg(&archive.join("train/animal/ant.png"))
}

/// Height and width of the picture that `value` names.
#[track_caller]
fn size(value: &Value) -> [u32; 2] {
    let path = value.as_str().unwrap_or_else(|| panic!("no path: {value}"));
    let (width, height) = image::open(path).unwrap_or_else(|e| panic!("{path}: {e}")).dimensions();
    [height, width]
}

#[test]
fn a_built_in_picture_is_looked_at_with_the_default_model() {
    let dir = tempfile::tempdir().unwrap();
    let (picture, out) = (ant(dir.path()), dir.path().join("look"));
    let args = ["look", "--model", "mobilenetv2_100", "--out", &arg(&out), "--json", &picture];
    let report = taper(&args).succeeds().json();
    let look = &report["images"][0];
    assert_eq!(look["image"], Value::from(picture));
    assert_eq!(look["predictions"].as_array().unwrap().len(), 5);
    assert_eq!(look["class"], look["predictions"][0]);
    assert_eq!((size(&look["input"]), size(&look["heat_map"])), ([224; 2], [224; 2]));
    // 32 filters of 3x3, as tiles of 96 with 4 between, 8 a row.
    assert_eq!(size(&report["filters"]), [404, 804]);
    let layers = look["layers"].as_array().unwrap();
    let names: Vec<&str> = layers.iter().map(|layer| layer["name"].as_str().unwrap()).collect();
    assert_eq!(names[..2], ["stem", "blocks.0"]);
    assert_eq!(names.len(), 8);
    assert_eq!(layers[0]["shape"], serde_json::json!([112, 112, 32]));
    for layer in layers {
        assert_eq!(layer["channels"].as_array().unwrap().len(), 16, "{layer}");
    }
    // 16 channels of 112x112 and of 7x7, the latter enlarged to 98.
    assert_eq!(size(&layers[0]["picture"]), [2 * 116 + 4, 8 * 116 + 4]);
    assert_eq!(size(&layers[7]["picture"]), [2 * 102 + 4, 8 * 102 + 4]);
    let page = fs::read_to_string(report["page"].as_str().unwrap()).unwrap();
    assert_eq!(page.matches("<img ").count(), 32 + 2 + 8 * 16);
    assert!(!page.contains("http"), "the page loads something");
    assert!(page.contains("ant.png") && page.contains("blocks.6"));
}

#[test]
fn layers_channels_and_class_are_chosen() {
    let dir = tempfile::tempdir().unwrap();
    let (model, out) = (arg(&small_model(dir.path())), arg(&dir.path().join("look")));
    let images = dir.path().join("images");
    pictures::class(&images, [200, 30, 30], 2);
    let [first, second] = ["000.png", "001.png"].map(|name| arg(&images.join(name)));
    let args = ["look", "--model", &model, "--out", &out, "--json", "--class", "class 7"];
    let more = ["--layer", "blocks.1", "--layer", "conv_stem", "--channels", "3", "--top", "2"];
    let report = taper(&[&args[..], &more[..], &[&first, &second]].concat()).succeeds().json();
    let images = report["images"].as_array().unwrap();
    assert_eq!(images.len(), 2);
    for look in images {
        assert_eq!(
            (&look["class"]["class"], &look["class"]["index"]),
            (&"class 7".into(), &7.into())
        );
        assert_eq!(look["predictions"].as_array().unwrap().len(), 2);
        let layers = look["layers"].as_array().unwrap();
        assert_eq!(
            (&layers[0]["name"], &layers[1]["name"]),
            (&"blocks.1".into(), &"conv_stem".into())
        );
        assert!(layers.iter().all(|layer| layer["channels"].as_array().unwrap().len() == 3));
        assert_eq!(size(&look["heat_map"]), [32; 2]);
    }
    let by_number = [&args[..6], &["--class", "7", &first]].concat();
    let again = taper(&by_number).succeeds().json();
    // With other layers asked for, the network is compiled otherwise, and the last digits of the probability may differ.
    for key in ["class", "index"] {
        assert_eq!(again["images"][0]["class"][key], images[0]["class"][key]);
    }
}

#[test]
fn a_picture_that_cannot_be_read_is_named_and_the_others_are_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    let (model, out) = (arg(&small_model(dir.path())), dir.path().join("look"));
    fs::create_dir(&out).unwrap();
    fs::write(out.join("notes.txt"), "mine").unwrap();
    let (good, bad) = (dir.path().join("good.png"), dir.path().join("bad.png"));
    pictures::picture([1, 2, 3], 1).save(&good).unwrap();
    fs::write(&bad, "no picture").unwrap();
    let args = ["look", "--model", &model, "--out", &arg(&out), "--json", &arg(&bad), &arg(&good)];
    let ran = taper(&args).refuses(1, &["cannot look at", "bad.png"]);
    let report = ran.json();
    assert_eq!(report["images"].as_array().unwrap().len(), 1);
    assert_eq!(report["skipped"][0]["path"], Value::from(arg(&bad)));
    assert_eq!(fs::read_to_string(out.join("notes.txt")).unwrap(), "mine");

    let nothing = dir.path().join("nothing");
    let args = ["look", "--model", &model, "--out", &arg(&nothing), "--json", &arg(&bad)];
    let report = taper(&args).refuses(1, &["bad.png"]).json();
    assert_eq!(report["page"], Value::Null);
    assert!(!nothing.exists(), "there is nothing to show");
}

#[test]
fn what_cannot_be_shown_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (model, out) = (arg(&small_model(dir.path())), arg(&dir.path().join("look")));
    let image = dir.path().join("image.png");
    pictures::picture([1, 2, 3], 1).save(&image).unwrap();
    let image = arg(&image);
    let args = ["look", "--model", &model, "--out", &out, &image];
    let with = |more: [&str; 2]| taper(&[&args[..], &more[..]].concat());
    with(["--layer", "block.3"]).refuses(2, &["`block.3`", "did you mean `blocks.3`?"]);
    with(["--layer", "pre_logits"]).refuses(2, &["without a place", "last layer with a map"]);
    with(["--class", "class 1000"])
        .refuses(2, &["`class 1000`", "did you mean `class 100`?", "999"]);
    with(["--channels", "0"]).refuses(2, &["--channels", "1 or more"]);
    with(["--top", "0"]).refuses(2, &["--top", "1 or more"]);
    taper(&["look", "--model", "mobilnet_v2", "--out", &out, &image])
        .refuses(2, &["did you mean `mobilenet_v2`?"]);
    let file = arg(&dir.path().join("small.safetensors"));
    taper(&["look", "--model", &model, "--out", &file, &image]).refuses(2, &["small.safetensors"]);
}
