//! Lists that are followed, and lists that ask for something else.

use std::path::PathBuf;

use super::files::Fix;
use super::*;
use crate::doctor::gather::file_print;

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("photos/train/bees")).unwrap();
        for name in ["1", "2", "3"] {
            fs::write(dir.path().join(format!("photos/train/bees/{name}")), name).unwrap();
        }
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The list of these files with their content as it is, or as it is said.
    fn apply(&self, fixes: &[(&str, &str)]) -> Result<ApplyReport> {
        let fix = |(path, content): &(&str, &str)| {
            Fix::new(path, "why".to_owned(), file_print(content.as_bytes()))
        };
        let list = FileList::new(&self.path("photos"), fixes.iter().map(fix).collect());
        FixList::Files(list).write(&self.path("fixes.json")).unwrap();
        apply_fixes(&self.path("fixes.json"), None)
    }

    #[track_caller]
    fn refuses(&self, fixes: &[(&str, &str)], word: &str) {
        let error = self.apply(fixes).unwrap_err();
        assert!(error.is_request() && error.to_string().contains(word), "{word}: {error}");
        for name in ["1", "2", "3"] {
            assert!(self.path(&format!("photos/train/bees/{name}")).exists(), "{name} was moved");
        }
    }
}

#[test]
fn files_are_set_aside_under_their_names_and_the_others_stay() {
    let place = Place::new();
    let report = place.apply(&[("train/bees/1", "1"), ("train/bees/3", "3")]).unwrap();
    let folder = fs::canonicalize(place.path("photos.set-aside")).unwrap();
    assert_eq!((report.moved, &report.folder), (2, &folder));
    assert_eq!(fs::read_to_string(folder.join("train/bees/3")).unwrap(), "3");
    let left: Vec<_> = fs::read_dir(place.path("photos/train/bees")).unwrap().collect();
    assert_eq!(left.len(), 1);
    // Once more: they are gone; and nothing that was set aside is overwritten.
    assert!(place.apply(&[("train/bees/1", "1")]).is_err());
    fs::write(place.path("photos/train/bees/1"), "1").unwrap();
    let error = place.apply(&[("train/bees/1", "1")]).unwrap_err();
    assert!(error.to_string().contains("set aside already"), "{error}");
    // The folder has been moved since.
    fs::rename(place.path("photos"), place.path("moved")).unwrap();
    let list = place.path("fixes.json");
    assert!(apply_fixes(&list, None).is_err());
    let report = apply_fixes(&list, Some(&place.path("moved"))).unwrap();
    assert!(report.folder.ends_with("moved.set-aside") && report.moved == 1);
}

#[test]
fn a_list_with_one_wrong_line_moves_nothing() {
    let place = Place::new();
    fs::write(place.path("outside"), "x").unwrap();
    let good = ("train/bees/1", "1");
    place.refuses(&[good, ("train/bees/2", "other")], "has changed since");
    place.refuses(&[good, ("train/bees/4", "4")], "not there any more");
    place.refuses(&[good, good], "twice");
    place.refuses(&[good, ("train/bees", "")], "train/bees");
    let absolute = place.path("outside").display().to_string();
    for path in ["../outside", "train/../../outside", "./train/bees/2", "", "/", &absolute] {
        place.refuses(&[good, (path, "x")], "no path within");
    }
}

#[cfg(unix)]
#[test]
fn links_are_not_followed_on_either_side() {
    use std::os::unix::fs::symlink;
    let place = Place::new();
    fs::create_dir(place.path("elsewhere")).unwrap();
    fs::write(place.path("elsewhere/x"), "x").unwrap();
    symlink(place.path("elsewhere"), place.path("photos/train/wasps")).unwrap();
    symlink(place.path("elsewhere/x"), place.path("photos/train/bees/link")).unwrap();
    let good = ("train/bees/1", "1");
    place.refuses(&[good, ("train/wasps/x", "x")], "links are not followed");
    place.refuses(&[good, ("train/bees/link", "x")], "links are not followed");
    symlink(place.path("elsewhere"), place.path("photos.set-aside")).unwrap();
    place.refuses(&[good], "is no folder");
    assert_eq!(fs::read_dir(place.path("elsewhere")).unwrap().count(), 1);
}

#[test]
fn what_is_no_list_is_refused() {
    let place = Place::new();
    let file = place.path("fixes.json");
    let sha = "0".repeat(64);
    let fix = |action: &str, more: &str| {
        format!(
            "{{\"action\":\"{action}\",\"path\":\"train/bees/1\",\"reason\":\"\",\"bytes\":1,\"sha256\":\"{sha}\"{more}}}"
        )
    };
    let list = |version: u32, fix: &str| {
        let data = serde_json::to_string(&place.path("photos")).unwrap();
        format!("{{\"version\":{version},\"data\":{data},\"fixes\":[{fix}]}}")
    };
    for (text, word) in [
        (String::new(), "no list of fixes"),
        ("[]".to_owned(), "no list of fixes"),
        (list(1, &fix("delete", "")), "no list of fixes"),
        (list(1, &fix("move", ",\"to\":\"/\"")), "no list of fixes"),
        (list(2, &fix("move", "")), "version 2"),
        (list(1, &fix("move", "")), "has changed since"),
    ] {
        fs::write(&file, &text).unwrap();
        let error = apply_fixes(&file, None).unwrap_err();
        assert!(error.is_request() && error.to_string().contains(word), "{text}: {error}");
    }
    assert!(apply_fixes(&place.path("absent.json"), None).unwrap_err().is_request());
    fs::write(&file, list(1, "")).unwrap();
    assert_eq!(apply_fixes(&file, None).unwrap().moved, 0);
}
