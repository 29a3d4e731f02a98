//! What is found, what is not trusted, and what is said without a network.
//!
//! Above: `hub::tests`. Below: `server`. Not here: downloads that fail (`faults`).

use std::collections::BTreeMap;

use taper_model::tensors::to_safetensors;
use taper_model::{Precision, Tensor};

use super::*;

const OFFLINE: (&str, &str) = ("HF_HUB_OFFLINE", "1");

/// A cache as Python's `huggingface_hub` leaves it.
fn filled(here: &Here, commit: &str, bytes: &[u8]) -> PathBuf {
    let repository = here.folder.path().join("hf/hub/models--timm--tiny.in1k");
    let snapshot = repository.join("snapshots").join(commit);
    for folder in [&snapshot, &repository.join("blobs"), &repository.join("refs")] {
        std::fs::create_dir_all(folder).unwrap();
    }
    std::fs::write(repository.join("refs/main"), commit).unwrap();
    let blob = Path::new("../../blobs").join(sha256(bytes));
    std::fs::write(snapshot.join(&blob), bytes).unwrap();
    let pointer = snapshot.join(FILE);
    std::os::unix::fs::symlink(blob, &pointer).unwrap();
    pointer
}

#[test]
fn files_of_pythons_programs_are_found_offline() {
    let here = Here::with("http://127.0.0.1:9", &[OFFLINE]);
    let pointer = filled(&here, COMMIT, b"weights");
    assert_eq!(here.fetch("").unwrap(), pointer);
    assert!(here.hub.environment().has(REPO, FILE) && !here.hub.environment().has(REPO, "x"));
    // The branch went on; the older snapshot is still the published one.
    filled(&here, &"f".repeat(40), b"newer weights");
    assert_eq!(here.fetch(&sha256(b"weights")).unwrap(), pointer);
    assert_ne!(here.fetch("").unwrap(), pointer);
}

#[test]
fn of_two_snapshots_the_whole_one_is_used() {
    let weights = weights();
    let newer = "f".repeat(40);
    // What the branch's snapshot has in place of the file.
    type Spoil = fn(&Path, &[u8]);
    let spoils: [Spoil; 6] = [
        |pointer, _| std::fs::remove_file(pointer).unwrap(),
        |pointer, _| std::fs::remove_file(pointer.canonicalize().unwrap()).unwrap(),
        |pointer, whole| replaced(pointer, &whole[..whole.len() - 1]),
        |pointer, whole| replaced(pointer, &whole[..20]),
        |pointer, _| replaced(pointer, b""),
        |pointer, _| {
            std::fs::remove_file(pointer).unwrap();
            std::fs::create_dir(pointer).unwrap();
        },
    ];
    for (number, spoil) in spoils.iter().enumerate() {
        let here = Here::with("http://127.0.0.1:9", &[OFFLINE]);
        let whole = filled(&here, COMMIT, &weights);
        let newest = filled(&here, &newer, b"newer weights");
        // Blobs of files that are not kept as such are named by another hash.
        let broken = here.folder.path().join("hf/hub/models--timm--tiny.in1k/blobs/0123");
        std::fs::write(&broken, &weights).unwrap();
        std::fs::remove_file(&newest).unwrap();
        std::os::unix::fs::symlink("../../blobs/0123", &newest).unwrap();
        spoil(&newest, &weights);
        assert_eq!(here.fetch("").unwrap(), whole, "{number}");
    }
}

/// A file of one tensor.
fn weights() -> Vec<u8> {
    let tensor = Tensor { shape: vec![3], data: vec![1.0, 2.0, 3.0] };
    to_safetensors([("w", &tensor, Precision::F32)], &BTreeMap::new())
}

fn replaced(pointer: &Path, bytes: &[u8]) {
    std::fs::remove_file(pointer).unwrap();
    std::fs::write(pointer, bytes).unwrap();
}

#[test]
fn offline_says_what_is_missing_and_where() {
    let here = Here::with("http://127.0.0.1:9", &[OFFLINE]);
    let error = here.fetch("").unwrap_err().to_string();
    for word in ["HF_HUB_OFFLINE", "timm/tiny.in1k/model.safetensors", "hf/hub"] {
        assert!(error.contains(word), "{error}");
    }
    let error = here.hub.fetch_url("http://127.0.0.1:9/net.pth", "", &mut silent).unwrap_err();
    assert!(matches!(error, Error::Offline { .. }), "{error}");
}

#[test]
fn a_corrupt_blob_is_moved_aside_and_downloaded_again() {
    let site = Site::new(content(1_000));
    let server = Server::start(site.clone());
    for damage in [&b"half"[..], &[0; 1_000]] {
        let here = Here::new(&server.url);
        let path = here.fetch(&site.sha256).unwrap();
        std::fs::write(&path, damage).unwrap(); // through the link
        assert_eq!(std::fs::read(here.fetch(&site.sha256).unwrap()).unwrap(), content(1_000));
        let aside = format!("{}.wrong-{}", site.sha256, &sha256(damage)[..8]);
        assert!(here.files().iter().any(|path| path.ends_with(&aside)), "{:?}", here.files());
    }
}

#[test]
fn a_link_without_a_blob_is_replaced() {
    let site = Site::new(content(1_000));
    let server = Server::start(site.clone());
    let here = Here::new(&server.url);
    let path = here.fetch("").unwrap();
    std::fs::remove_file(path.canonicalize().unwrap()).unwrap();
    assert!(!here.hub.environment().has(REPO, FILE));
    here.fetch("").unwrap();
    assert_eq!(here.files(), whole_cache(&site.sha256));
}

#[test]
fn a_blob_without_a_link_is_not_downloaded_again() {
    let site = Site::new(content(1_000));
    let server = Server::start(site.clone());
    let here = Here::new(&server.url);
    std::fs::remove_file(here.fetch("").unwrap()).unwrap();
    here.fetch("").unwrap();
    assert_eq!((server.gets(), here.files()), (1, whole_cache(&site.sha256)));
}

#[test]
fn a_blob_that_is_a_link_itself_is_not_judged_by_the_name_of_its_target() {
    let here = Here::with("http://127.0.0.1:9", &[OFFLINE]);
    let pointer = filled(&here, COMMIT, b"weights");
    let store = here.folder.path().join("f".repeat(64));
    let blob = pointer.parent().unwrap().join(std::fs::read_link(&pointer).unwrap());
    std::fs::rename(&blob, &store).unwrap();
    std::os::unix::fs::symlink(&store, &blob).unwrap();
    assert_eq!(here.fetch("").unwrap(), pointer);
}

#[test]
fn files_of_torch_hub_are_found_and_verified() {
    let site = Site { is_plain: true, ..Site::new(content(1_000)) };
    let server = Server::start(site.clone());
    let here = Here::new("http://127.0.0.1:9");
    let url = format!("{}/models/net-{}.pth", server.url, &site.sha256[..8]);
    let fetch = || here.hub.fetch_url(&url, &site.sha256[..8], &mut silent).unwrap();
    let name = format!("torch/hub/checkpoints/net-{}.pth", &site.sha256[..8]);
    let path = here.folder.path().join(&name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, content(1_000)).unwrap();
    assert_eq!((fetch(), server.gets()), (path.clone(), 0));
    assert!(here.hub.environment().has_named(&url));

    std::fs::write(&path, "not this").unwrap();
    assert_eq!((fetch(), server.gets()), (path, 1));
    let aside = format!("{name}.wrong-{}", &sha256(b"not this")[..8]);
    assert_eq!(here.files(), [name, aside]);
}

#[test]
fn downloads_from_other_addresses_go_on_where_they_stopped() {
    let faults = [Fault::Cut(300), Fault::None];
    let site = Site { is_plain: true, ..Site::failing(content(1_000), &faults) };
    let server = Server::start(site.clone());
    let here = Here::new("http://127.0.0.1:9");
    let url = format!("{}/net.pth", server.url);
    let path = here.hub.fetch_url(&url, &site.sha256, &mut silent).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), content(1_000));
    assert_eq!(server.asked(), ["GET bytes=0-16383", "GET bytes=300-999"]);
    // All bytes were here when the last run ended: the server says that nothing is left.
    let part = here.folder.path().join("torch/hub/checkpoints/other.pth.incomplete");
    std::fs::write(part, content(1_000)).unwrap();
    let url = format!("{}/other.pth", server.url);
    here.hub.fetch_url(&url, &site.sha256, &mut silent).unwrap();
    assert_eq!(server.asked().last().unwrap(), "GET bytes=1000-17383");
}

#[test]
fn a_folder_stands_for_the_hub() {
    let folder = tempfile::tempdir().unwrap();
    let here = Here::new(&format!("file://{}", folder.path().display()));
    let error = here.fetch("").unwrap_err().to_string();
    assert!(error.contains(REPO) && error.contains("tiny.in1k.safetensors"), "{error}");
    let hash = sha256(b"weights");
    let put = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let bare = put(FILE, b"weights");
    assert_eq!(here.fetch(&hash).unwrap(), bare);
    assert!(here.fetch("").is_err(), "whose weights these are only a hash can tell");
    let named = put("tiny.in1k.safetensors", b"weights");
    assert_eq!(here.fetch("").unwrap(), named);
    let full = put("timm/tiny.in1k/model.safetensors", b"weights");
    assert_eq!(here.fetch(&hash[..10]).unwrap(), full);
    assert_eq!(here.files(), [""; 0], "nothing is copied");

    let net = put("net.pth", b"weights");
    let found = here.hub.fetch_url("http://127.0.0.1:9/a/net.pth", &hash, &mut silent);
    assert_eq!(found.unwrap(), net);
    let wrong = here.hub.find_named("a/net.pth", &"0".repeat(64)).unwrap_err();
    assert!(matches!(wrong, Error::Hash { kept: None, .. }), "{wrong}");
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let server = Server::start(Site::new(content(10)));
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("hf"), "a file where the folder should be").unwrap();
    let environment = environment(folder.path(), &server.url, &[("HF_TOKEN", "x")]);
    let hub = Hub::with_limits(environment, limits()).unwrap();
    let error = hub.fetch(REPO, FILE, "", &mut silent).unwrap_err();
    assert!(matches!(error, Error::File { .. }) && error.to_string().contains("hf"), "{error}");
}
