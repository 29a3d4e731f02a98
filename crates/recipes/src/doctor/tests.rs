//! Folders and tables with faults that were put there.

use std::fs;
use std::path::Path;

use super::*;
use crate::observer::Silent;
use crate::options::TargetWord;

/// The built-in pictures of three kinds.
fn emoji(dir: &Path) -> std::path::PathBuf {
    let data = dir.join("emoji6");
    taper_data::sample_set::export(&data).unwrap();
    for part in ["train", "val"] {
        for class in ["animal", "clothing", "tool"] {
            fs::remove_dir_all(data.join(part).join(class)).unwrap();
        }
    }
    data
}

fn looked(data: &Path) -> Result<DoctorReport> {
    let options = DoctorOptions::new(data, data.parent().unwrap_or(data).join("out"));
    doctor(&options, &AtomicBool::new(false), &mut Silent)
}

#[test]
fn faults_that_were_put_into_a_folder_are_found_and_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let data = emoji(dir.path());
    let clean = looked(&data).unwrap();
    // A copy across parts, one across classes, wrong labels, a damaged file, and one that is no picture.
    fs::copy(data.join("val/food/pizza.png"), data.join("train/food/copy.png")).ok();
    let foods: Vec<_> = fs::read_dir(data.join("train/food")).unwrap().flatten().collect();
    let mut foods: Vec<_> = foods.iter().map(|it| it.file_name().into_string().unwrap()).collect();
    foods.sort();
    fs::copy(data.join("train/food").join(&foods[0]), data.join("train/vehicle/twice.png"))
        .unwrap();
    let wrong = &foods[3..8];
    for name in wrong {
        fs::rename(data.join("train/food").join(name), data.join("train/face").join(name)).unwrap();
    }
    let bytes = fs::read(data.join("train/food").join(&foods[10])).unwrap();
    fs::write(data.join("val/face/cut.png"), &bytes[..bytes.len() / 2]).unwrap();
    fs::write(data.join("val/face/notes.txt"), "no picture").unwrap();

    let report = looked(&data).unwrap();
    assert_eq!(report.images, clean.images + report.images - clean.images);
    assert_eq!(report.unreadable.len(), 2);
    let twice = report.copies.iter().find(|it| it.across_classes && it.exact).unwrap();
    assert!(twice.images.contains(&"train/vehicle/twice.png".to_owned()), "{twice:?}");
    let likely: Vec<&str> =
        report.labels.iter().filter(|it| it.likely).map(|it| it.image.as_str()).collect();
    let found = wrong.iter().filter(|name| likely.contains(&&*format!("train/face/{name}")));
    assert!(found.count() >= 3, "{likely:?}");
    let accused = clean.labels.iter().filter(|it| it.likely).count();
    assert!(accused * 20 <= clean.images, "{accused} of {}", clean.images);
    assert!(report.grave >= 3 && report.fixes >= 7, "{report:?}");
    let page = fs::read_to_string(&report.page).unwrap();
    assert!(page.contains("twice.png") && page.contains("notes.txt") && !page.contains("http"));
    assert!(page.len() < 3_000_000);

    let ApplyReport::SetAside { moved, .. } = apply_fixes(&report.list, None).unwrap() else {
        panic!("files of a folder");
    };
    assert_eq!(moved, report.fixes);
    let again = looked(&data).unwrap();
    assert_eq!((again.unreadable.len(), again.grave), (0, 0), "{again:?}");
    assert_eq!(again.images + moved, report.images + report.unreadable.len());
}

#[test]
fn names_that_are_markup_stay_words() {
    let dir = tempfile::tempdir().unwrap();
    let data = emoji(dir.path());
    let name = "<img src=x onerror=alert(1)>\"'&";
    fs::rename(data.join("train/food"), data.join("train").join(name)).unwrap();
    fs::rename(data.join("val/food"), data.join("val").join(name)).unwrap();
    let report = looked(&data).unwrap();
    let page = fs::read_to_string(&report.page).unwrap();
    assert!(!page.contains("<img src=x") && page.contains("&lt;img src=x"));
}

#[test]
fn one_class_and_one_picture_a_class_are_looked_at_and_nothing_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    assert!(looked(&data).unwrap_err().is_request(), "absent");
    fs::create_dir_all(data.join("bees")).unwrap();
    assert!(looked(&data).unwrap_err().is_request(), "no picture");
    let emoji = emoji(dir.path());
    fs::copy(emoji.join("val/food/croissant.png"), data.join("bees/1.png")).ok();
    let pictures = fs::read_dir(emoji.join("val/face")).unwrap().flatten();
    let pictures: Vec<_> = pictures.map(|it| it.path()).collect();
    fs::copy(&pictures[0], data.join("bees/2.png")).unwrap();
    let report = looked(&data).unwrap();
    assert_eq!((report.classes.len(), report.agreement), (1, None));
    for (class, picture) in ["ants", "wasps"].iter().zip(&pictures[1..]) {
        fs::create_dir(data.join(class)).unwrap();
        fs::copy(picture, data.join(class).join("1.png")).unwrap();
    }
    let report = looked(&data).unwrap();
    assert_eq!((report.classes.len(), report.agreement, report.labels.len()), (3, None, 0));
}

/// A table of the pictures of two classes, with quotes around what needs none; its text.
fn tabled(data: &Path) -> String {
    let mut text = "image,split,label\n".to_owned();
    for part in ["train", "val"] {
        for class in ["face", "food"] {
            let folder = fs::read_dir(data.join(part).join(class)).unwrap().flatten();
            let mut names: Vec<_> =
                folder.map(|it| it.file_name().into_string().unwrap()).collect();
            names.sort();
            for name in names {
                text.push_str(&format!("{part}/{class}/{name},{part},\"{class}\"\n"));
            }
        }
    }
    text
}

#[test]
fn faults_of_a_table_are_those_of_a_folder_and_no_picture_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    let data = emoji(dir.path());
    let text = tabled(&data);
    let table = data.join("pictures.csv");
    let rows: Vec<&str> = text.lines().filter(|row| row.starts_with("train/food")).collect();
    // Five wrong labels, a copy beside the table that is to validate on, a picture that is damaged, one that is not there, and one of tests.
    let wrong: Vec<&str> = rows[3..8].iter().map(|row| row.split(',').next().unwrap()).collect();
    let mut text = text.clone();
    for name in &wrong {
        text = text.replace(&format!("{name},train,\"food\""), &format!("{name},train,face"));
    }
    let first = rows[0].split(',').next().unwrap();
    fs::copy(data.join(first), data.join("copy.png")).unwrap();
    let bytes = fs::read(data.join(first)).unwrap();
    fs::write(data.join("cut.png"), &bytes[..bytes.len() / 2]).unwrap();
    text.push_str("copy.png,val,food\ncut.png,train,food\ngone.png,train,food\ntest,test,food\n");
    fs::write(&table, &text).unwrap();

    let report = looked(&table).unwrap();
    assert_eq!(report.table.as_ref(), Some(&table));
    let unreadable: Vec<&Path> = report.unreadable.iter().map(|it| it.path.as_path()).collect();
    assert_eq!(unreadable, [data.join("cut.png"), data.join("gone.png")]);
    let copies = report.copies.iter().find(|copies| copies.exact).unwrap();
    assert_eq!(copies.images, ["copy.png", first]);
    assert!(copies.across_parts && !copies.across_classes);
    let likely: Vec<&str> =
        report.labels.iter().filter(|it| it.likely).map(|it| it.image.as_str()).collect();
    assert!(wrong.iter().filter(|name| likely.contains(name)).count() >= 3, "{likely:?}");
    let is_grave = |copies: &&Copies| copies.across_parts || copies.across_classes;
    assert_eq!(report.grave, 2 + report.copies.iter().filter(is_grave).count());
    let page = fs::read_to_string(&report.page).unwrap();
    assert!(page.contains("rows in the list of fixes") && page.contains("gone.png"));

    let list = fs::read_to_string(&report.list).unwrap();
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let fixes = list["fixes"].as_array().unwrap();
    let fix = |path: &str| fixes.iter().find(|fix| fix["path"] == path).unwrap();
    assert_eq!(fixes.len(), report.fixes);
    for path in [first, "cut.png", "gone.png"] {
        assert_eq!(fix(path)["action"], "leave-out");
    }
    let suspect = wrong.iter().find(|name| likely.contains(name)).unwrap();
    assert_eq!(
        (&fix(suspect)["action"], &fix(suspect)["label"]),
        (&"relabel".into(), &"food".into())
    );

    let applied = apply_fixes(&report.list, None).unwrap();
    let ApplyReport::Written { table: written, left_out, relabelled } = applied else {
        panic!("rows of a table");
    };
    assert_eq!(
        (written.file_name().unwrap(), left_out + relabelled),
        ("pictures.fixed.csv".as_ref(), report.fixes)
    );
    assert_eq!(fs::read_to_string(&table).unwrap(), text);
    let after = fs::read_to_string(&written).unwrap();
    assert!(after.contains(&format!("{suspect},train,food\n")) && !after.contains("gone.png"));
    let again = looked(&written).unwrap();
    assert_eq!(
        (again.grave, again.images),
        (0, report.images - left_out + 2),
        "two were unreadable"
    );
}

#[test]
fn the_table_of_a_folder_elsewhere_is_looked_at_by_its_columns() {
    let dir = tempfile::tempdir().unwrap();
    let data = emoji(dir.path());
    let table = dir.path().join("elsewhere.csv");
    fs::write(&table, tabled(&data).replace("image,split,label", "a,split,b")).unwrap();
    let said = |table: Option<&Path>| DoctorOptions {
        table: table.map(Path::to_path_buf),
        columns: TableColumns {
            image: Some("a".to_owned()),
            targets: Some("b".to_owned()),
            kind: None,
        },
        ..DoctorOptions::new(&data, dir.path().join("out"))
    };
    let look = |options: &DoctorOptions| doctor(options, &AtomicBool::new(false), &mut Silent);
    let report = look(&said(Some(&table))).unwrap();
    assert_eq!((report.classes.len(), report.unreadable.len()), (2, 0));
    assert_eq!(report.table, Some(table));
    let error = look(&said(None)).unwrap_err();
    assert!(error.is_request() && error.to_string().contains("without a table"), "{error}");
}

#[test]
fn a_table_of_labels_is_looked_at_for_all_that_needs_no_class() {
    let dir = tempfile::tempdir().unwrap();
    let data = emoji(dir.path());
    let table = data.join("tags.csv");
    fs::write(&table, tabled(&data).replace("label\n", "tags\n")).unwrap();
    let report = looked(&table).unwrap();
    assert_eq!(report.targets, TargetWord::Labels);
    assert_eq!(report.subject(), "254 pictures of 2 labels");
    let counts = |of: &ClassCount| (of.class.clone(), of.train, of.val);
    let expected = [("face".to_owned(), 104, 26), ("food".to_owned(), 99, 25)];
    assert_eq!(report.classes.iter().map(counts).collect::<Vec<_>>(), expected);
    assert!(report.copies.iter().any(|copies| copies.across_parts));
    assert!(report.labels.is_empty() && report.unlike.is_empty() && report.agreement.is_none());
    let error = looked(&data.join("absent.csv")).unwrap_err();
    assert!(error.is_request() && error.to_string().contains("absent.csv"), "{error}");
}
