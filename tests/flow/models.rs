//! `taper models` and names of the zoo.

use crate::taper::taper;

#[test]
fn the_zoo_is_listed_with_its_numbers() {
    let ran = taper(&["models", "--json"]).succeeds();
    let models = ran.json()["models"].as_array().unwrap().clone();
    let full = models.iter().find(|model| model["name"] == "mobilenetv2_100.tv_in1k").unwrap();
    assert_eq!(full["params"], 3_504_872);
    assert_eq!(full["input"], 224);
    assert_eq!(full["cached"], true);
    assert_eq!(full["checks"], serde_json::json!(["sha256", "sha256"]));
    let mirrored =
        models.iter().find(|model| model["name"] == "mobilenetv2_050.lamb_in1k").unwrap();
    assert_eq!(mirrored["checks"], serde_json::json!(["the hub's word", "8 digits of sha256"]));
    assert!(full["macs"].as_u64().unwrap() > 300_000_000);
    assert!(taper(&["models"]).succeeds().stdout.contains("mobilenetv2_100.tv_in1k"));
}

#[test]
fn an_unknown_name_is_answered_with_the_nearest() {
    taper(&["predict", "--model", "mobilenetv2_10", "a.png"])
        .refuses(2, &["mobilenetv2_10", "mobilenetv2_100"]);
}

#[test]
fn the_zoo_is_searched_by_words() {
    let ran =
        taper(&["models", "MobileNet-V3", "small", "tv_in1k", "--weights", "--json"]).succeeds();
    let models = ran.json()["models"].as_array().unwrap().clone();
    let names: Vec<&str> = models.iter().map(|model| model["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["mobilenetv3_small_100.tv_in1k"]);
    taper(&["models", "mobilnetv5"]).refuses(2, &["mobilnetv5", "mobilenet"]);
}
