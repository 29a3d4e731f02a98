//! What published weights expect of pictures, held to torchvision's presets.

use taper_classifier::{class_names, eval_transform};
use taper_data::{Resize, Transform};

/// A line for each of torchvision's weights: the name, the sides of the crop and of the short side before it, and more.
const PRESETS: &str = include_str!("../../crates/zoo/src/tests/records.txt");

#[test]
fn pictures_are_resized_and_cropped_as_torchvision_does_for_its_weights() {
    let mut presets = 0;
    for line in PRESETS.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split(' ');
        let name = words.next().unwrap();
        let mut size = || words.next().unwrap().parse::<usize>().unwrap();
        let [crop, short] = [size(), size()];
        let transform = eval_transform(&taper_zoo::record(name).unwrap().preprocess).unwrap();
        assert_eq!(transform.size(), [crop; 2], "{name}");
        assert_eq!(transform.resize(), Resize::ShortSide(short), "{name}");
        presets += 1;
    }
    assert!(presets > 20, "{presets}");
}

#[test]
fn every_published_network_says_what_can_be_done() {
    for record in taper_zoo::records() {
        let transform = eval_transform(&record.preprocess).unwrap();
        assert_eq!(transform.size(), record.preprocess.input_size, "{}", record.name);
    }
}

#[test]
fn the_embedded_network_has_a_name_for_every_class() {
    let model = taper_zoo::pretrained("mobilenetv2_100").unwrap();
    assert_eq!(class_names(&model).unwrap().len(), 1000);
}
