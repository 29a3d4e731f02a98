//! Weights that are not in the binary: from a folder, from a server, and what is said when they cannot be had.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use taper_model::tensors::to_safetensors;
use taper_model::{Model, Precision, Preprocess};

use crate::pictures;
use crate::taper::{Ran, arg, ran};

const TINY: &str = "test_efficientnet.r160_in1k";

/// The binary with caches of its own under `home`.
fn taper(home: &Path, endpoint: &str, offline: &str, args: &[&str]) -> Ran {
    let mut command: Command = crate::taper::command(args);
    command.env("HF_HOME", home.join("hf")).env("TORCH_HOME", home.join("torch"));
    command.env_remove("HF_HUB_CACHE").env_remove("HUGGINGFACE_HUB_CACHE");
    command.env_remove("HF_TOKEN").env("NO_PROXY", "127.0.0.1");
    command.env("HF_ENDPOINT", endpoint).env("HF_HUB_OFFLINE", offline);
    ran(command)
}

/// Random numbers under the names of the weights, as a file.
fn weights(path: &Path) {
    let record = taper_zoo::record(TINY).unwrap();
    let graph = record.graph_with(&taper_zoo::Options::classes(1000)).unwrap();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    Model::random(graph, 1, Preprocess::imagenet(), Vec::new()).unwrap().save(path).unwrap();
}

fn picture(folder: &Path) -> String {
    let path = folder.join("picture.png");
    pictures::picture([1, 2, 3], 1).save(&path).unwrap();
    arg(&path)
}

/// A hub of one file, without ranges and without the hub's own headers.
fn serve(bytes: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let asked = lines.next().unwrap().unwrap();
            lines.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
            let length = bytes.len();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close");
            write!(stream, "{head}\r\n\r\n").unwrap();
            if asked.starts_with("GET") {
                drop(stream.write_all(&bytes)); // the client may have hung up
            }
        }
    });
    url
}

#[test]
fn weights_come_from_a_server_once_and_are_marked_as_cached() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("file");
    weights(&file);
    let url = serve(fs::read(file).unwrap());
    let picture = picture(home.path());
    let predict = ["predict", "--model", TINY, "--json", &picture];
    let first = taper(home.path(), &url, "0", &predict).succeeds();
    assert!(first.stderr.contains("downloading timm/test_efficientnet"), "{}", first.stderr);
    // This server tells no hash, and nobody has published one.
    assert!(first.stderr.contains("here, checked against length"), "{}", first.stderr);
    assert!(!first.stderr.contains("verified"), "{}", first.stderr);
    assert_eq!(first.json()["predictions"].as_array().unwrap().len(), 5);
    let second = taper(home.path(), &url, "1", &predict).succeeds();
    assert_eq!((second.stdout, second.stderr.as_str()), (first.stdout, ""));

    let models = taper(home.path(), &url, "1", &["models", "--json"]).succeeds().json();
    let models = models["models"].as_array().unwrap();
    let cached: Vec<&str> = models
        .iter()
        .filter(|model| model["cached"] == true)
        .map(|model| model["name"].as_str().unwrap())
        .collect();
    assert_eq!(cached, ["mobilenetv2_100.tv_in1k", TINY]);
}

#[test]
fn weights_come_from_a_folder() {
    let home = tempfile::tempdir().unwrap();
    weights(&home.path().join("mirror/timm").join(TINY).join("model.safetensors"));
    let endpoint = format!("file://{}", arg(&home.path().join("mirror")));
    let picture = picture(home.path());
    taper(home.path(), &endpoint, "0", &["predict", "--model", TINY, &picture]).succeeds();
}

#[test]
fn weights_that_cannot_be_had_are_told_with_a_way_to_get_them() {
    let home = tempfile::tempdir().unwrap();
    let finetune = ["finetune", "--model", "mobilenetv3_small_100", "--epochs", "1"];
    let ran = taper(home.path(), "http://127.0.0.1:9", "1", &finetune)
        .refuses(1, &["mobilenetv3_small_100.lamb_in1k"]);
    for word in ["HF_HUB_OFFLINE", "HF_ENDPOINT=file:///", "timm/mobilenetv3_small_100.lamb_in1k"] {
        assert!(ran.stderr.contains(word), "no `{word}` in: {}", ran.stderr);
    }
    taper(home.path(), "nonsense", "0", &finetune).refuses(2, &["HF_ENDPOINT", "nonsense"]);
    let page = serve(b"<!DOCTYPE html><html>please log in</html>".to_vec());
    let ran = taper(home.path(), &page, "0", &["predict", "--model", TINY, "x.png"]);
    let ran = ran.refuses(1, &[TINY]);
    assert!(ran.stderr.contains("HTML"), "{}", ran.stderr);
}

#[test]
fn weights_without_a_network_are_used_with_arch() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("best.safetensors");
    let graph = taper_zoo::create("mobilenetv2_035", 3).unwrap();
    let model = Model::random(graph, 1, Preprocess::imagenet(), Vec::new()).unwrap();
    let names: Vec<String> =
        model.graph().params().iter().map(|spec| format!("module.{}", spec.name)).collect();
    let entries = names.iter().zip(model.tensors());
    let entries = entries.map(|(name, tensor)| (name.as_str(), tensor, Precision::F32));
    fs::write(&file, to_safetensors(entries, &BTreeMap::new())).unwrap();
    let (file, picture) = (arg(&file), picture(dir.path()));
    let run = |args: &[&str]| taper(dir.path(), "http://127.0.0.1:9", "1", args);
    let predict = |model: &str, more: &[&str]| {
        let args = ["predict", "--model", model, "--json", &picture];
        run(&[&args[..], more].concat())
    };
    let ran = predict(&file, &["--arch", "mobilenetv2_035"]).succeeds();
    let named = ran.json()["predictions"].as_array().unwrap().len();
    assert_eq!(named, 3, "as many as the file's classifier has");
    assert_eq!(predict(&format!("mobilenetv2_035@{file}"), &[]).succeeds().stdout, ran.stdout);
    predict(&file, &[]).refuses(2, &["best.safetensors"]);
    predict(&file, &["--arch", "mobilenetv2_053"]).refuses(2, &["mobilenetv2_053", "did you mean"]);
    predict(&file, &["--arch", "lenet5"]).refuses(2, &["best.safetensors", "lenet5"]);
    let bench = ["--image-size", "32", "--seconds", "0"];
    run(&[&["bench", "--model", &file, "--arch", "mobilenetv2_035"], &bench[..]].concat())
        .succeeds();
}
