//! Lists that are followed, and lists that ask for something else.

use std::path::PathBuf;

use super::files::Fix;
use super::rows::RowFix;
use super::*;
use crate::doctor::gather::file_print;
use crate::doctor::opening::TableOrigin;
use crate::options::TableColumns;

/// How many files were set aside, and where.
#[track_caller]
fn set_aside(report: ApplyReport) -> (usize, PathBuf) {
    match report {
        ApplyReport::SetAside { moved, folder } => (moved, folder),
        ApplyReport::Written { .. } => panic!("{report:?}"),
    }
}

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

    /// The list of a table with this content, the changes of which are these.
    fn of_table(&self, name: &str, content: &str, fixes: Vec<RowFix>) -> PathBuf {
        let (path, file) = (self.path(name), file_print(content.as_bytes()));
        fs::write(&path, content).unwrap();
        let columns = TableColumns::default();
        let mut list = RowList::new(TableOrigin { path, columns, file }, Vec::new());
        list.fixes = fixes;
        FixList::Rows(list).write(&self.path("fixes.json")).unwrap();
        self.path("fixes.json")
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
    assert_eq!(set_aside(report), (2, folder.clone()));
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
    let (moved, folder) = set_aside(apply_fixes(&list, Some(&place.path("moved"))).unwrap());
    assert!(folder.ends_with("moved.set-aside") && moved == 1);
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
    assert_eq!(set_aside(apply_fixes(&file, None).unwrap()).0, 0);
}

const TABLE: &str = "path,label\r\n1.png,ant\r\n2.png,\"bee\"\r\n3.png,ant\r\n";

fn leave_out(path: &str) -> RowFix {
    RowFix::LeaveOut { path: path.to_owned(), reason: String::new() }
}

fn relabel(path: &str, label: &str) -> RowFix {
    let (path, label) = (path.to_owned(), label.to_owned());
    RowFix::Relabel { path, label, reason: String::new() }
}

#[test]
fn a_table_is_written_beside_the_one_that_stays_as_it_is() {
    let place = Place::new();
    let list = place.of_table("a.b.csv", TABLE, vec![leave_out("1.png"), relabel("2.png", "ant")]);
    let report = apply_fixes(&list, None).unwrap();
    let table = std::path::absolute(place.path("a.b.fixed.csv")).unwrap();
    assert_eq!(report, ApplyReport::Written { table: table.clone(), left_out: 1, relabelled: 1 });
    let written = fs::read_to_string(&table).unwrap();
    assert_eq!(written, "path,label\r\n2.png,\"ant\"\r\n3.png,ant\r\n");
    assert_eq!(fs::read_to_string(place.path("a.b.csv")).unwrap(), TABLE);
    // Once more: it is there; nothing is written over, not even what a broken link leads to.
    let error = apply_fixes(&list, None).unwrap_err();
    assert!(error.is_request() && error.to_string().contains("is there already"), "{error}");
    fs::remove_file(&table).unwrap();
    // It has been moved since.
    fs::rename(place.path("a.b.csv"), place.path("moved.tsv")).unwrap();
    assert!(apply_fixes(&list, None).unwrap_err().is_request());
    apply_fixes(&list, Some(&place.path("moved.tsv"))).unwrap();
    assert_eq!(fs::read_to_string(place.path("moved.fixed.tsv")).unwrap(), written);
}

#[test]
fn a_table_that_has_changed_and_a_list_that_asks_for_what_is_not_there_write_nothing() {
    let place = Place::new();
    let refuses = |fixes: Vec<RowFix>, word: &str| {
        let list = place.of_table("t.csv", TABLE, fixes);
        let error = apply_fixes(&list, None).unwrap_err();
        let words = crate::error::chain(&error);
        assert!(error.is_request() && words.contains(word), "{word}: {words}");
        assert!(!place.path("t.fixed.csv").exists());
    };
    refuses(vec![leave_out("1.png"), leave_out("4.png")], "no row of the picture `4.png`");
    refuses(vec![leave_out("1.png"), relabel("1.png", "bee")], "twice");
    refuses(vec![relabel("1.png", "wasp")], "`ant`, `bee`");
    refuses(["1.png", "2.png", "3.png"].map(leave_out).to_vec(), "no rows that stay");
    let lines = "{\"path\":\"a\",\"label\":\"x\"}\n{\"path\":\"b\",\"label\":\"y\"}\n";
    let list = place.of_table("t.jsonl", lines, vec![relabel("a", "y")]);
    apply_fixes(&list, None).unwrap();
    let written = fs::read_to_string(place.path("t.fixed.jsonl")).unwrap();
    assert_eq!(written, lines.replace("\"x\"", "\"y\""));

    let list = place.of_table("t.csv", TABLE, vec![leave_out("1.png")]);
    for changed in [TABLE.replace("ant", "bee"), TABLE.replace("ant", "wasp")] {
        fs::write(place.path("t.csv"), changed).unwrap();
        let error = apply_fixes(&list, None).unwrap_err();
        assert!(error.is_request() && error.to_string().contains("has changed since"), "{error}");
    }
    let error = apply_fixes(&list, Some(place.dir.path())).unwrap_err();
    assert!(error.is_request(), "{error}");
    let text = fs::read_to_string(&list).unwrap();
    for (of, with) in [("leave-out", "delete"), ("\"reason\"", "\"label\"")] {
        fs::write(&list, text.replace(of, with)).unwrap();
        let error = apply_fixes(&list, None).unwrap_err();
        assert!(error.to_string().contains("no list of fixes"), "{error}");
    }
}
