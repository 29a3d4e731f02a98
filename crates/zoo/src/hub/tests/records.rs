//! Weights of a record: from a hub, from a folder, and what is said when there are none.
//!
//! Above: `hub::tests`. Below: `server`, `obtain`. Not here: single files (`faults`, `caches`).

use taper_model::{Model, Precision, Preprocess};

use super::*;
use crate::{Options, pretrained_from, record};

const TINY: &str = "test_efficientnet.r160_in1k";

/// Random numbers under the names of the weights.
fn tiny() -> Model {
    let graph = record(TINY).unwrap().graph_with(&Options::classes(1000)).unwrap();
    Model::random(graph, 0, Preprocess::imagenet(), Vec::new()).unwrap()
}

#[test]
fn a_name_becomes_a_model_over_the_network_and_then_without() {
    let server = Server::start(Site::new(tiny().to_bytes(Precision::F16).unwrap()));
    let here = Here::new(&server.url);
    let limits = Limits { largest: 1 << 24, window: 1 << 20, ..limits() };
    let hub = Hub::with_limits(here.hub.environment().clone(), limits).unwrap();
    let record = record(TINY).unwrap();
    assert!(!record.is_cached(hub.environment()));
    let model = pretrained_from(TINY, &hub, &mut silent).unwrap();
    assert_eq!((model.tensors().len(), model.classes().len()), (tiny().tensors().len(), 1000));
    assert_eq!(model.provenance().source, TINY);
    assert!(record.is_cached(hub.environment()));
    let asked = server.requests().len();
    assert_eq!(pretrained_from(TINY, &hub, &mut silent).unwrap(), model);
    assert_eq!(server.requests().len(), asked);
    assert!(server.requests().iter().all(|it| it.path.starts_with("/timm/test_efficientnet")));
}

#[test]
fn a_folder_by_hand_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = tiny().to_bytes(Precision::F32).unwrap();
    std::fs::write(folder.path().join(format!("{TINY}.safetensors")), bytes).unwrap();
    let here = Here::new(&format!("file://{}", folder.path().display()));
    assert_eq!(pretrained_from(TINY, &here.hub, &mut silent).unwrap().tensors(), tiny().tensors());
}

#[test]
fn what_every_source_said_is_told_and_what_to_do() {
    let here = Here::with("http://127.0.0.1:9", &[("HF_HUB_OFFLINE", "1")]);
    let error = pretrained_from("mobilenetv3_small_100", &here.hub, &mut silent).unwrap_err();
    let message = error.to_string();
    let record = record("mobilenetv3_small_100").unwrap();
    for source in record.sources {
        assert!(message.contains(&source.to_string()), "{message}");
    }
    for word in [record.name, "HF_HUB_OFFLINE", "file:///FOLDER", "HF_ENDPOINT"] {
        assert!(message.contains(word), "no `{word}` in: {message}");
    }
}

#[test]
fn a_name_that_is_unknown_is_not_asked_for() {
    let here = Here::new("http://127.0.0.1:9");
    let error = pretrained_from("mobilnetv3_small_100", &here.hub, &mut silent).unwrap_err();
    assert!(error.to_string().contains("did you mean `mobilenetv3_small_100`?"), "{error}");
}

#[test]
fn who_stops_is_not_sent_to_the_next_source() {
    let site = Site { delay: Duration::from_millis(20), ..Site::new(content(100_000)) };
    let server = Server::start(site);
    let here = Here::new(&server.url);
    let mut stop = |_: Progress<'_>| ControlFlow::Break(());
    let error = pretrained_from("mobilenetv3_small_100", &here.hub, &mut stop).unwrap_err();
    let crate::Error::Hub { source } = error else { panic!("{error}") };
    assert!(matches!(*source, Error::Stopped));
}
