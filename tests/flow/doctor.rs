//! `taper doctor`: what it finds in folders and tables, what it sets aside, and what it refuses.

use std::fs;
use std::path::Path;

use image::imageops;

use crate::pictures;
use crate::taper::{arg, small_model, taper};

/// `DIR/data/{train,val}/{red,green}` of noise in two colors, no picture like another.
fn made(dir: &Path) -> String {
    let data = dir.join("data");
    for (part, count) in [("train", 8), ("val", 4)] {
        for (class, color) in [("red", [200u8, 40, 40]), ("green", [40, 190, 60])] {
            let folder = data.join(part).join(class);
            fs::create_dir_all(&folder).unwrap();
            for number in 0..count {
                let seed =
                    number + if part == "val" { 100 } else { 0 } + u32::from(color[0]) * 1000;
                drawn(color, seed).save(folder.join(format!("{number}.png"))).unwrap();
            }
        }
    }
    arg(&data)
}

/// Blocks of shades that the seed decides.
fn drawn(color: [u8; 3], seed: u32) -> image::RgbImage {
    image::RgbImage::from_fn(96, 80, |x, y| {
        let block = (x / 16 + 7 * (y / 16)).wrapping_mul(2_654_435_761) ^ seed.wrapping_mul(40_503);
        let shade = (block.wrapping_mul(2_246_822_519) >> 24) as u8 / 2;
        image::Rgb(color.map(|channel| channel.saturating_sub(shade)))
    })
}

#[cfg(unix)]
#[test]
fn what_cannot_be_trained_with_or_set_aside_is_said_first() {
    let dir = tempfile::tempdir().unwrap();
    let (data, model) = (dir.path().join("photos"), arg(&small_model(dir.path())));
    for class in ["a", "b"] {
        fs::create_dir_all(data.join(class)).unwrap();
        drawn([200, 40, 40], 1).save(data.join(class).join("same.png")).unwrap();
    }
    std::os::unix::fs::symlink("same.png", data.join("a/link.png")).unwrap();
    let (data, out) = (arg(&data), arg(&dir.path().join("out")));
    let ran = taper(&["doctor", "--data", &data, "--model", &model, "--out", &out, "--json"]);
    let report = ran.exits(1).json();
    let remarks = report["remarks"].to_string();
    for words in
        ["cannot be trained with: ", "no picture of `b` to train with", "`a/link.png` is a link"]
    {
        assert!(remarks.contains(words), "{words}: {remarks}");
    }
    let page = fs::read_to_string(report["page"].as_str().unwrap()).unwrap();
    assert!(page.contains("To read first"), "{page}");
    let list = report["list"].as_str().unwrap().to_owned();
    assert_eq!(report["fixes"], 2);
    assert_eq!(taper(&["doctor", "--apply", &list, "--json"]).succeeds().json()["moved"], 2);
}

#[test]
fn copies_are_found_told_and_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let (data, model) = (made(dir.path()), arg(&small_model(dir.path())));
    let out = arg(&dir.path().join("out"));
    let look = ["doctor", "--data", &data, "--model", &model, "--out", &out, "--json"];
    let report = taper(&look).succeeds().json();
    assert_eq!(
        (report["images"].as_u64(), report["grave"].as_u64()),
        (Some(24), Some(0)),
        "{report}"
    );

    let of = |name: &str| Path::new(&data).join(name);
    let original = drawn([200, 40, 40], 200_003);
    let small = imageops::resize(&original, 48, 40, imageops::FilterType::Triangle);
    small.save(of("val/red/smaller.jpg")).unwrap();
    imageops::flip_horizontal(&drawn([40, 190, 60], 40_001))
        .save(of("val/green/turned.png"))
        .unwrap();
    fs::write(of("val/green/broken.png"), b"\x89PNG\r\n\x1a\nno more").unwrap();
    let ran = taper(&look).exits(1);
    let report = ran.json();
    let copies = report["copies"].as_array().unwrap();
    let found = |a: &str, b: &str| {
        copies.iter().any(|group| {
            group["images"] == serde_json::json!([a, b]) && group["across_parts"] == true
        })
    };
    assert!(found("val/red/smaller.jpg", "train/red/3.png"), "{report}");
    assert!(found("val/green/turned.png", "train/green/1.png"), "{report}");
    assert_eq!(report["unreadable"].as_array().unwrap().len(), 1);
    assert!(
        ran.stderr.contains("TRAIN AND VAL") && ran.stderr.contains("broken.png"),
        "{}",
        ran.stderr
    );
    let page = fs::read_to_string(report["page"].as_str().unwrap()).unwrap();
    assert!(page.contains("smaller.jpg") && !page.contains("http"));

    let list = report["list"].as_str().unwrap();
    let applied = taper(&["doctor", "--apply", list, "--json"]).succeeds().json();
    assert_eq!(applied["moved"], report["fixes"]);
    let aside = Path::new(applied["folder"].as_str().unwrap()).join("train/red/3.png");
    assert!(aside.is_file() && !of("train/red/3.png").exists());
    taper(&["doctor", "--apply", list]).refuses(2, &["not there any more"]);
    taper(&look).succeeds();
}

/// The table `pictures.csv` beside the pictures of `made`, with windows' ends of lines, a column that nobody reads, and more rows.
fn table(data: &str, more: &str) -> String {
    let mut text = "split,image,label,\"by, whom\"\r\n".to_owned();
    for (part, count) in [("train", 8), ("val", 4)] {
        for class in ["red", "green"] {
            for number in 0..count {
                text.push_str(&format!("{part},{part}/{class}/{number}.png,{class},\"a, b\"\r\n"));
            }
        }
    }
    let path = Path::new(data).join("pictures.csv");
    fs::write(&path, text + more).unwrap();
    arg(&path)
}

#[test]
fn faults_of_a_table_are_found_and_its_pictures_stay() {
    let dir = tempfile::tempdir().unwrap();
    let (data, model) = (made(dir.path()), arg(&small_model(dir.path())));
    let of = |name: &str| Path::new(&data).join(name);
    fs::copy(of("train/red/3.png"), of("again.png")).unwrap();
    fs::write(of("broken.png"), b"\x89PNG\r\n\x1a\nno more").unwrap();
    let more = "val,again.png,red,c\r\ntrain,broken.png,red,d\r\ntrain,gone.png,green,e\r\n";
    let table = table(&data, more);
    let out = arg(&dir.path().join("out"));
    let look = ["doctor", "--data", &table, "--model", &model, "--out", &out, "--json"];
    let ran = taper(&look).exits(1);
    let report = ran.json();
    assert_eq!((&report["table"], report["images"].as_u64()), (&(*table).into(), Some(25)));
    let copies = report["copies"].as_array().unwrap();
    let group = serde_json::json!(["again.png", "train/red/3.png"]);
    assert!(
        copies.iter().any(|it| it["images"] == group && it["across_parts"] == true),
        "{report}"
    );
    let unreadable: Vec<&str> = report["unreadable"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["path"].as_str().unwrap())
        .collect();
    assert_eq!(unreadable, [arg(&of("broken.png")), arg(&of("gone.png"))]);
    assert!(
        ran.stderr.contains("TRAIN AND VAL") && ran.stderr.contains("rows in"),
        "{}",
        ran.stderr
    );

    let list = report["list"].as_str().unwrap();
    // One picture is to be kept, whatever the list says of it.
    let mut fixes: serde_json::Value = serde_json::from_slice(&fs::read(list).unwrap()).unwrap();
    let rows = fixes["fixes"].as_array_mut().unwrap();
    rows.retain(|fix| fix["action"] == "leave-out" && fix["path"] != "gone.png");
    rows.push(serde_json::json!(
        {"action": "relabel", "path": "train/red/0.png", "label": "green", "reason": "it is"}
    ));
    fs::write(list, fixes.to_string()).unwrap();
    let before = fs::read_to_string(&table).unwrap();
    let applied = taper(&["doctor", "--apply", list, "--json"]).succeeds().json();
    assert_eq!((&applied["left_out"], &applied["relabelled"]), (&2.into(), &1.into()));
    let fixed = applied["table"].as_str().unwrap();
    assert_eq!(fixed, arg(&of("pictures.fixed.csv")));
    let expected = before
        .replace("train,train/red/3.png,red,\"a, b\"\r\n", "")
        .replace("train,broken.png,red,d\r\n", "")
        .replace("train/red/0.png,red,", "train/red/0.png,green,");
    assert_eq!(fs::read_to_string(fixed).unwrap(), expected);
    assert_eq!(fs::read_to_string(&table).unwrap(), before);
    for name in ["again.png", "broken.png", "train/red/3.png"] {
        assert!(of(name).is_file(), "{name} was touched");
    }
    assert!(!dir.path().join("data.set-aside").exists());
    taper(&["doctor", "--apply", list]).refuses(2, &["pictures.fixed.csv", "is there already"]);
    fs::write(&table, before + "train,more.png,red,f\r\n").unwrap();
    taper(&["doctor", "--apply", list]).refuses(2, &["pictures.csv", "has changed since"]);
    // Other columns, by the flags of `finetune`.
    let look = ["doctor", "--data", &data, "--table", &table, "--model", &model, "--out", &out];
    let columns = ["--image-column", "image", "--target-columns", "split,label"];
    taper(&[&look[..], &columns].concat()).refuses(2, &["pictures.csv"]);
}

#[test]
fn a_table_of_numbers_is_looked_at_for_copies_and_broken_files() {
    let dir = tempfile::tempdir().unwrap();
    let (model, data) = (arg(&small_model(dir.path())), made(dir.path()));
    let of = |name: &str| Path::new(&data).join(name);
    for name in ["again.png", "once more.png"] {
        fs::copy(of("train/red/3.png"), of(name)).unwrap();
    }
    fs::write(of("broken.png"), b"\x89PNG\r\n\x1a\nno more").unwrap();
    let rows = [
        ("train/red/3.png", 2.5),
        ("train/red/1.png", 3.5),
        ("again.png", 2.5),
        ("once more.png", 4.0),
        ("broken.png", 1.0),
        ("train/green/0.png", 1.5),
    ];
    let line = |(path, age): (&str, f64)| format!("{{\"image\": \"{path}\", \"age\": {age}}}\n");
    let table = of("ages.jsonl");
    fs::write(&table, rows.map(line).concat()).unwrap();
    let (out, table) = (arg(&dir.path().join("out")), arg(&table));
    let look = ["doctor", "--data", &table, "--model", &model, "--out", &out, "--json"];
    let ran = taper(&look).exits(1);
    let report = ran.json();
    assert_eq!((&report["targets"], &report["images"]), (&"numbers".into(), &5.into()));
    assert_eq!(report["classes"], serde_json::json!([]));
    assert!(report["agreement"].is_null() && report["labels"] == serde_json::json!([]));
    let copies = report["copies"].as_array().unwrap();
    let several: Vec<bool> =
        copies.iter().map(|it| it["across_classes"].as_bool().unwrap()).collect();
    assert!(several.contains(&true), "{report}");
    for words in ["5 pictures with numbers", "SEVERAL NUMBERS", "broken.png"] {
        assert!(ran.stderr.contains(words), "no `{words}` in {}", ran.stderr);
    }
    let page = fs::read_to_string(report["page"].as_str().unwrap()).unwrap();
    assert!(page.contains("several numbers") && !page.contains("Labels to look at"));
    let list = report["list"].as_str().unwrap();
    let applied = taper(&["doctor", "--apply", list, "--json"]).succeeds().json();
    let fixed = fs::read_to_string(applied["table"].as_str().unwrap()).unwrap();
    assert!(!fixed.contains("broken.png") && fixed.contains("train/green/0.png"), "{fixed}");
}

#[test]
fn what_cannot_be_looked_at_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let model = arg(&small_model(dir.path()));
    let flat = dir.path().join("flat");
    pictures::class(&flat, [200, 30, 30], 2);
    let look = |data: &Path| taper(&["doctor", "--data", &arg(data), "--model", &model]);
    look(&flat).refuses(2, &["flat"]);
    look(&dir.path().join("absent")).refuses(2, &["absent"]);
    taper(&["doctor"]).exits(2);
    let list = arg(&dir.path().join("list.json"));
    taper(&["doctor", "--apply", &list, "--out", "x"]).exits(2);
    taper(&["doctor", "--apply", &list, "--data", "x", "--image-column", "path"]).exits(2);
    taper(&["doctor", "--data", &arg(&flat), "--image-column", "path"])
        .refuses(2, &["--image-column", "without a table"]);
    taper(&["doctor", "--apply", &list]).refuses(2, &["list.json"]);
}
