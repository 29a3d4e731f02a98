//! Folders with faults that were put there.

use std::fs;

use super::*;
use crate::observer::Silent;

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

    let applied = apply_fixes(&report.list, None).unwrap();
    assert_eq!(applied.moved, report.fixes);
    let again = looked(&data).unwrap();
    assert_eq!((again.unreadable.len(), again.grave), (0, 0), "{again:?}");
    assert_eq!(again.images + applied.moved, report.images + report.unreadable.len());
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
