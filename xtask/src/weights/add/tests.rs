//! New records from folders that look like repositories, right and wrong.
//!
//! Above: `cargo test`. Below: `add`. Not here: the hub.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use taper_model::{Precision, Preprocess, Tensor};
use tempfile::TempDir;

use super::*;

/// A repository with random weights of timm's smallest network.
struct Repository {
    dir: TempDir,
    config: Value,
    tensors: BTreeMap<String, Tensor>,
}

impl Repository {
    fn new() -> Self {
        let graph = architecture("test_efficientnet").unwrap().graph(1000).unwrap();
        let model = Model::random(graph, 0, Preprocess::imagenet(), Vec::new()).unwrap();
        let names = model.graph().params().iter().map(|spec| spec.name.clone());
        let tensors = names.zip(model.tensors().iter().cloned()).collect();
        let config = json!({
            "architecture": "test_efficientnet",
            "num_classes": 1000,
            "pretrained_cfg": {
                "tag": "mine_in1k", "input_size": [3, 160, 160], "test_input_size": [3, 192, 192],
                "interpolation": "bicubic", "crop_pct": 0.875, "test_crop_pct": 0.95, "crop_mode": "center",
                "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "license": "apache-2.0",
            },
        });
        Self { dir: tempfile::tempdir().unwrap(), config, tensors }
    }

    fn cfg(&mut self, key: &str, value: Value) {
        self.config["pretrained_cfg"][key] = value;
    }

    /// Adds it to a copy of the table; the line and the table after it.
    fn add(&self, config: &str) -> Result<(String, String)> {
        let root = self.dir.path();
        let table = root.join(TABLE);
        fs::create_dir_all(table.parent().unwrap()).unwrap();
        fs::write(&table, "use super::Record;\n\nconst ADDED: &[Record] = &[\n];\n").unwrap();
        fs::write(root.join("config.json"), config).unwrap();
        let entries = self.tensors.iter().map(|(name, it)| (name.as_str(), it, Precision::F32));
        let file = tensors::to_safetensors(entries, &BTreeMap::new());
        fs::write(root.join("model.safetensors"), file).unwrap();
        let wish = Wish { repo: "me/mine", top1: 0.465, licence: None };
        let line = add(root, &wish, |file| Ok(root.join(file)))?;
        Ok((line, fs::read_to_string(&table).unwrap()))
    }

    fn refusal(&self) -> String {
        format!("{:#}", self.add(&self.config.to_string()).unwrap_err())
    }
}

#[test]
fn a_repository_becomes_a_line_with_what_evaluation_needs_and_the_hash() {
    let repository = Repository::new();
    let (line, table) = repository.add(&repository.config.to_string()).unwrap();
    let graph = architecture("test_efficientnet").unwrap().graph(1000).unwrap();
    let macs = taper_cost::macs(&graph, 192, 192).unwrap().0;
    let sha256 = hub::sha256(&repository.dir.path().join("model.safetensors")).unwrap();
    let expected = format!(
        "    row!(\"test_efficientnet.mine_in1k\", [], 192, {macs}, 0.95, Bicubic, HALF, 0.465, \"Apache-2.0\", [\n        \
         hub!(\"me/mine\", \"{sha256}\"),\n    ]),\n"
    );
    assert_eq!(line, expected);
    assert!(table.ends_with(&format!("&[\n{expected}];\n")), "{table}");
    assert!(table.contains("use super::row::{hub, row};"), "{table}");
    let twice = inserted(&table, &line).unwrap();
    assert_eq!(twice.matches("use super::row::").count(), 1);
}

#[test]
fn the_table_of_the_zoo_takes_lines() {
    let table = fs::read_to_string(crate::shell::root().join(TABLE)).unwrap();
    assert!(inserted(&table, "    row,\n").unwrap().ends_with("    row,\n];\n"));
}

#[test]
fn a_renamed_tensor_is_named_with_what_the_file_has_instead() {
    let mut repository = Repository::new();
    let norm = repository.tensors.remove("bn1.weight").unwrap();
    repository.tensors.insert("bn1.gamma".to_owned(), norm);
    let message = repository.refusal();
    assert!(message.contains("`bn1.weight` (nearest in the file: `bn1.gamma`)"), "{message}");
}

#[test]
fn what_the_zoo_cannot_do_is_refused() {
    let refused = |key: &str, value: Value, expected: &str| {
        let mut repository = Repository::new();
        repository.cfg(key, value);
        let message = repository.refusal();
        assert!(message.contains(expected), "{key}: {message}");
    };
    refused("crop_mode", json!("squash"), "only `center` is known");
    refused("interpolation", json!("lanczos"), "`lanczos`");
    refused("mean", json!([0.1, 0.2, 0.3]), "no name");
    refused("std", json!([0.5, "x", 0.5]), "`std` is no list of three numbers");
    refused("test_input_size", json!([3, 192, 256]), "not 3 channels of a square");
    refused(
        "test_input_size",
        json!([3, 0.5, 0.5]),
        "`test_input_size` is no list of three numbers",
    );
    refused("test_input_size", json!([3, 99999, 99999]), "input size");
    refused("test_crop_pct", json!(7), "crop_pct");
    refused("num_classes", json!(21843), "21843 classes");
    refused("tag", json!(7), "`tag` is no text");
    refused("tag", json!("a\", \"b"), "odd characters");
    refused("tag", json!("r160_in1k"), "is known already");
    refused("license", Value::Null, "--licence");
}

#[test]
fn a_configuration_that_is_none_is_refused() {
    let repository = Repository::new();
    let refused = |text: &str, expected: &str| {
        let message = format!("{:#}", repository.add(text).unwrap_err());
        assert!(message.contains(expected), "{message}");
    };
    refused("<html>404</html>", "is no JSON");
    refused("{}", "there is no `pretrained_cfg`");
    refused(&"[".repeat(1 << 18), "is no JSON");
    refused(&" ".repeat((1 << 20) + 1), "which is no configuration");
    let mut unknown = repository.config.clone();
    unknown["architecture"] = json!("test_eficientnet");
    refused(&unknown.to_string(), "did you mean `test_efficientnet`");
}
