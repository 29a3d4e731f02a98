//! Full disks, killed processes, two writers: the file is the old one or the new one.

use std::fs;
use std::io;
use std::path::Path;

use super::{aside, replace};

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_full_disk_leaves_the_old_file_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    replace(&path, |file| file.write_all(b"old")).unwrap();
    let failed = replace(&path, |file| {
        file.write_all(b"new, but only ha")?;
        Err(io::ErrorKind::StorageFull.into())
    });
    assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(names(dir.path()), ["state"]);
}

#[test]
fn what_a_killed_process_left_aside_does_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    replace(&path, |file| file.write_all(b"old")).unwrap();
    fs::write(aside(&path).unwrap(), b"longer than the new one").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"old");
    replace(&path, |file| file.write_all(b"new")).unwrap();
    assert_eq!((fs::read(&path).unwrap(), names(dir.path()).len()), (b"new".to_vec(), 1));
}

#[test]
fn writers_of_one_file_take_turns_and_a_reader_sees_whole_files_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    let content = |writer: u8| vec![writer; 100_000];
    replace(&path, |file| file.write_all(&content(0))).unwrap();
    std::thread::scope(|scope| {
        for writer in 1..=4 {
            let path = &path;
            scope.spawn(move || {
                for _ in 0..10 {
                    replace(path, |file| {
                        let all = content(writer);
                        all.chunks(9_999).try_for_each(|part| file.write_all(part))
                    })
                    .unwrap();
                    let read = fs::read(path).unwrap();
                    assert_eq!(read, content(read[0]));
                }
            });
        }
    });
    assert_eq!(names(dir.path()), ["state"]);
}

#[test]
fn a_folder_that_cannot_be_made_and_a_path_without_a_name_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), b"").unwrap();
    assert!(replace(dir.path().join("file/below/state"), |file| file.write_all(b"x")).is_err());
    assert!(replace(dir.path().join(".."), |file| file.write_all(b"x")).is_err());
    fs::create_dir_all(dir.path().join("taken/inside")).unwrap();
    assert!(replace(dir.path().join("taken"), |file| file.write_all(b"x")).is_err());
    let mut left = names(dir.path());
    left.sort();
    assert_eq!(left, ["file", "taken"]);
}
