//! Tables of every kind, and what is wrong with others.

use std::fs;
use std::path::PathBuf;

use super::{Table, TableOptions};
use crate::dataset::{Dataset, Sample};
use crate::error::{Error, Result};
use crate::targets::{Target, TargetKind};

/// Six pictures.
const PICTURES: [&str; 6] = [
    "train/vehicle/anchor.png",
    "train/vehicle/automobile.png",
    "train/food/avocado.png",
    "train/food/bacon.png",
    "train/tool/abacus.png",
    "train/tool/alembic.png",
];

/// A folder with the pictures and the table `text` in it.
fn made(name: &str, text: impl AsRef<[u8]>) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    for picture in PICTURES {
        let path = dir.path().join(picture);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        ::image::save_buffer(path, &[90; 12], 2, 2, ::image::ColorType::Rgb8).unwrap();
    }
    let table = dir.path().join(name);
    fs::write(&table, text).unwrap();
    (dir, table)
}

fn open(name: &str, text: impl AsRef<[u8]>) -> Result<Dataset> {
    opened(name, text, &TableOptions::default())
}

fn opened(name: &str, text: impl AsRef<[u8]>, options: &TableOptions) -> Result<Dataset> {
    let (_dir, table) = made(name, text);
    Table::open(&table, options)
}

fn rows(header: &str, cells: [&str; 6]) -> String {
    let rows = PICTURES.iter().zip(cells).map(|(path, cell)| format!("{path},{cell}\n"));
    format!("{header}\n{}", rows.collect::<String>())
}

fn refusal(name: &str, text: impl AsRef<[u8]>) -> String {
    refused(open(name, text))
}

fn refused(result: Result<Dataset>) -> String {
    match result.unwrap_err() {
        Error::Table { source, .. } => source.to_string(),
        other => panic!("{other}"),
    }
}

fn values(sample: &Sample) -> Vec<f32> {
    match sample.target() {
        Target::Labels(array) | Target::Probabilities(array) | Target::Numbers(array) => {
            array.values().to_vec()
        }
        other => panic!("{other:?}"),
    }
}

fn names(part: &[Sample]) -> Vec<&str> {
    part.iter().map(Sample::name).collect()
}

#[test]
fn a_column_of_names_is_classes_split_alike() {
    let text = rows("path,label", ["b", "b", "a", "a", "c", "c"]);
    for (name, text) in [
        ("t.csv", text.clone()),
        ("t.TSV", text.replace(',', "\t")),
        ("t.csv", text.replace(',', ";")),
        ("t.csv", format!("\u{feff}{}", text.replace('\n', "\r\n"))),
        ("t.csv", text.replace("path,label", "ID,Path,Label").replace("train/", "7, train/")),
    ] {
        let dataset = open(name, text).unwrap();
        assert_eq!(dataset.classes, ["a", "b", "c"]);
        assert_eq!(dataset.kind(), TargetKind::Class);
        assert_eq!(dataset.count_by_class(&dataset.train), [1, 1, 1]);
        assert_eq!(dataset.count_by_class(&dataset.val), [1, 1, 1]);
        let classes = |name: &str| {
            let all = dataset.train.iter().chain(&dataset.val);
            all.filter(|sample| sample.name() == name).map(|sample| sample.class()).next()
        };
        assert_eq!(classes(PICTURES[2]), Some(Some(0)));
    }
}

#[test]
fn whole_numbers_are_classes_in_their_order() {
    let dataset = open("t.csv", rows("path,label", ["10", "9", "2", "9", "10", "2"])).unwrap();
    assert_eq!(dataset.classes, ["2", "9", "10"]);
}

#[test]
fn a_column_says_the_part_and_tests_are_set_aside() {
    let cells = ["x,train", "y,Training", "x,val", "y,dev", "x,test", "y,test"];
    let dataset = open("t.csv", rows("file,class,split", cells)).unwrap();
    assert_eq!(names(&dataset.train), PICTURES[..2]);
    assert_eq!(names(&dataset.val), PICTURES[2..4]);
    assert!(dataset.skipped[0].reason.contains("2 rows are set aside"), "{:?}", dataset.skipped);

    let cells = ["x,False", "y,False", "x,False", "y,True", "x,True", "y,True"];
    let dataset = open("t.csv", rows("name,label,is_valid", cells)).unwrap();
    assert_eq!((dataset.train.len(), dataset.val.len()), (3, 3));

    let cells = ["x,train", "y,train", "x,train", "y,train", "x,test", "y,test"];
    let dataset = open("t.csv", rows("file,class,split", cells)).unwrap();
    assert_eq!(names(&dataset.val), PICTURES[4..], "tests validate where nothing else does");
}

#[test]
fn labels_are_columns_of_zero_and_one_names_between_separators_or_lists() {
    let expected = [[1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.0, 0.0], [1.0, 0.0], [0.0, 1.0]];
    let columns = rows("path,old,red", ["1,0", "1,1", "0,1", "0,0", "1,0", "0,1"]);
    let options = TableOptions { targets: vec!["old".into(), "red".into()], ..Default::default() };
    let tags = rows("path,tags", ["old", "red;old", "red", "", "old", "red"]);
    let blanks = tags.replace(';', " ");
    let json: String = PICTURES
        .iter()
        .zip([r#"["old"]"#, r#"["old","red"]"#, r#"["red"]"#, "[]", r#"["old"]"#, r#"["red"]"#])
        .map(|(path, tags)| format!("{{\"image\": \"{path}\", \"marks\": {tags}}}\n"))
        .collect();
    for (name, text, options) in [
        ("t.csv", columns, options),
        ("t.csv", tags, TableOptions::default()),
        ("t.csv", blanks, TableOptions { kind: Some(TargetKind::Labels), ..Default::default() }),
        ("t.jsonl", json, TableOptions::default()),
    ] {
        let dataset = opened(name, &text, &options).unwrap();
        assert_eq!(
            (dataset.kind(), &dataset.classes[..]),
            (TargetKind::Labels, &["old".to_owned(), "red".to_owned()][..]),
            "{text}"
        );
        for sample in dataset.train.iter().chain(&dataset.val) {
            let at = PICTURES.iter().position(|name| *name == sample.name()).unwrap();
            assert_eq!(values(sample), expected[at], "{text}");
        }
    }
}

#[test]
fn an_empty_field_among_zeros_and_ones_is_a_label_that_nobody_knows() {
    let nan = f32::NAN;
    let expected = [[1.0, nan], [nan, 1.0], [0.0, 1.0], [0.0, 0.0], [1.0, nan], [nan, nan]];
    let csv = rows("path,old,red", ["1,", ",1", "0,1", "0,0", "1,", ","]);
    let options = TableOptions { targets: vec!["old".into(), "red".into()], ..Default::default() };
    let json: String = PICTURES
        .iter()
        .zip([
            r#","old":1"#,
            r#","old":null,"red":true"#,
            r#","old":0,"red":1"#,
            r#","old":0,"red":0"#,
        ])
        .map(|(path, tags)| format!("{{\"image\": \"{path}\"{tags}}}\n"))
        .collect();
    for (name, text, count) in [("t.csv", &csv, 6), ("t.jsonl", &json, 4)] {
        let dataset = opened(name, text, &options).unwrap();
        assert_eq!(dataset.kind(), TargetKind::Labels);
        let all: Vec<&Sample> = dataset.train.iter().chain(&dataset.val).collect();
        assert_eq!(all.len(), count);
        for sample in all {
            let at = PICTURES.iter().position(|name| *name == sample.name()).unwrap();
            let same = values(sample).into_iter().zip(expected[at]);
            assert!(same.clone().all(|(a, b)| a.to_bits() == b.to_bits()), "{same:?}");
        }
    }
    // One column of names: an empty field has none. And what is neither is refused with all three choices.
    let tags = rows("path,tags", ["1", "", "1", "", "1", "x"]);
    let tags = opened("t.csv", tags, &TableOptions::default()).unwrap();
    assert_eq!(tags.classes, ["1", "x"]);
    let kind = Some(TargetKind::Labels);
    let odd = opened("t.csv", csv.replace("1,", "-1,"), &TableOptions { kind, ..options });
    let odd = refused(odd);
    assert!(odd.contains("0 or 1, or nothing where that is not known"), "{odd}");
}

#[test]
fn numbers_have_fractions_or_are_asked_for() {
    let dataset = open("t.csv", rows("path,age", ["1", "2.5", "3", "4", "5", "6"])).unwrap();
    assert_eq!((dataset.kind(), dataset.classes.len()), (TargetKind::Numbers, 1));
    let text = rows("path,age", ["1", "2", "3", "4", "5", "6"]);
    assert_eq!(
        open("t.csv", &text).unwrap_err().to_string(),
        "class `1` has 1 picture; at least 2 are needed to train and validate"
    );
    let options = TableOptions { kind: Some(TargetKind::Numbers), ..Default::default() };
    assert_eq!(opened("t.csv", &text, &options).unwrap().kind(), TargetKind::Numbers);
    let options = TableOptions { targets: vec!["x".into(), "y".into()], ..Default::default() };
    let text = rows("path,x,y", ["1,2", "3,4", "5,6", "7,8", "9,10", "11,12"]);
    let dataset = opened("t.csv", &text, &options).unwrap();
    assert_eq!((dataset.kind(), dataset.val.len()), (TargetKind::Numbers, 1));
}

#[test]
fn probabilities_are_asked_for_and_have_the_sum_one() {
    let kind = Some(TargetKind::Probabilities);
    let targets = vec!["a".to_owned(), "b".to_owned()];
    let options = TableOptions { kind, targets, ..Default::default() };
    let text = rows("path,a,b", ["1,0", ".25,.75", "0.5,0.5", "0,1", "1,0", "0,1"]);
    let dataset = opened("t.csv", &text, &options).unwrap();
    assert_eq!(dataset.kind(), TargetKind::Probabilities);
    let reason = refused(opened("t.csv", text.replace(".25", ".35"), &options));
    assert!(reason.contains("line 3") && reason.contains("whose sum is 1"), "{reason}");
    let reason = refused(opened("t.csv", text.replace(".25", "1.25"), &options));
    assert!(reason.contains("from 0 to 1"), "{reason}");
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    let good = rows("path,label", ["b", "b", "a", "a", "c", "c"]);
    let expect = |text: &str, parts: &[&str]| {
        let reason = refusal("t.csv", text);
        assert!(parts.iter().all(|part| reason.contains(part)), "{reason}");
    };
    expect("", &["no header"]);
    expect("path,label\n", &["no rows"]);
    expect(&good.replace(',', "|"), &["one column", "commas, semicolons or tabs"]);
    expect(&good.replace("path,label", "path,path"), &["two", "`path`"]);
    expect(&good.replace("path,", "place,"), &["no column of pictures", "`place`, `label`"]);
    expect(
        &good.replace("bacon.png,a", "bacon.png,a,b"),
        &["line 5 has 3 fields, the header has 2"],
    );
    expect(&good.replace("bacon.png,a", "bacon.png,"), &["line 5", "`label`", "an empty field"]);
    expect(&good.replace("train/food/bacon.png", ""), &["line 5", "path of a picture"]);
    expect(&good.replace(",c", ",a").replace(",b", ",a"), &["all rows have the class `a`"]);
    expect(
        &good
            .replace("bacon", "avocado")
            .replace("avocado.png,a\ntrain/tool", "avocado.png,b\ntrain/tool"),
        &["lines 4 and 5", "targets"],
    );
    expect(&rows("path,one,two", ["1,1"; 6]), &["which of its columns", "`one`, `two`"]);
    let cells = ["x,train", "y,train", "x,holdout", "y,val", "x,val", "y,val"];
    expect(&rows("path,label,split", cells), &["line 4", "`split`", "holdout", "`val`"]);
    let cells = ["x,train", "x,train", "x,train", "y,val", "x,val", "z,val"];
    expect(&rows("path,label,split", cells), &["`y` is in no row to train on"]);
    let reason = refusal("t.csv", [b"path,label\n".as_slice(), b"caf\xe9.png,a\n"].concat());
    assert!(reason.contains("line 2 is not UTF-8"), "{reason}");
    let wide: Vec<u8> = "\u{feff}path,label\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(refusal("t.csv", wide).contains("UTF-16"));
    assert!(refusal("t.txt", &good).contains(".csv, .tsv, .jsonl"));
    let reason = refusal("t.jsonl", "{\"path\": \"a\"}\n{\"path\": \"b\"\n");
    assert!(reason.contains("line 2 is no JSON object"), "{reason}");
    let options = TableOptions { targets: vec!["lable".into()], ..Default::default() };
    let reason = refused(opened("t.csv", &good, &options));
    assert!(reason.contains("no column `lable`; its columns are `path`, `label`"), "{reason}");
}

#[test]
fn paths_that_lead_nowhere_are_skipped_by_name_or_refused() {
    let text = rows("path,label", ["b", "b", "a", "a", "b", "a"]).replace("alembic", "gone");
    let dataset = open("t.csv", &text).unwrap();
    assert_eq!((dataset.train.len() + dataset.val.len(), dataset.skipped.len()), (5, 1));
    assert_eq!(dataset.skipped[0].name, "train/tool/gone.png");
    let mut options = TableOptions::default();
    options.reading.strict = true;
    let error = opened("t.csv", &text, &options).unwrap_err().to_string();
    assert!(error.contains("train/tool/gone.png"), "{error}");
    let reason = refusal("t.csv", text.replace(".png", ".jpg"));
    assert!(
        reason.contains("no picture in `train`") && reason.contains("6 were skipped"),
        "{reason}"
    );
}

#[test]
fn a_table_elsewhere_has_its_root_named_and_all_of_it_evaluates() {
    let text = rows("path,label", ["b", "b", "a", "a", "c", "c"]);
    let (dir, _table) = made("t.csv", &text);
    let elsewhere = tempfile::tempdir().unwrap();
    let table = elsewhere.path().join("t.csv");
    fs::write(&table, &text).unwrap();
    let options = TableOptions { root: Some(dir.path().to_path_buf()), ..Default::default() };
    let dataset = Table::open_to_evaluate(&table, &options).unwrap();
    assert_eq!((dataset.train.len(), names(&dataset.val)), (0, PICTURES.to_vec()));
    assert!(Table::open_to_evaluate(&table, &TableOptions::default()).is_err());
}

#[test]
fn a_label_of_one_picture_is_trained_on_whatever_the_seed() {
    let text = rows("path,tags", ["old", "old;red", "old", "old", "old", "old"]);
    for seed in 0..20 {
        let mut options = TableOptions::default();
        options.reading.seed = seed;
        let dataset = opened("t.csv", &text, &options).unwrap();
        assert!(dataset.train.iter().any(|sample| values(sample)[1] > 0.0), "seed {seed}");
        assert!(dataset.train.len() + dataset.val.len() == 6 && !dataset.train.is_empty());
    }
}

#[test]
fn a_row_that_is_said_twice_is_read_once() {
    let text = rows("path,label", ["b", "b", "a", "a", "c", "c"]);
    let again = format!("{text}{},b\n./{},b\n", PICTURES[0], PICTURES[0]);
    let dataset = open("t.csv", again).unwrap();
    assert_eq!(dataset.train.len() + dataset.val.len(), 6);
    let reason = refusal("t.csv", format!("{text}./{},c\n", PICTURES[0]));
    assert!(reason.contains("lines 2 and 8"), "{reason}");
    // What nobody knows does not contradict itself.
    for cells in
        [["1,", "0,1", ",0", "1,1", "0,0", "1,1"], ["1.5,", "2,1", ",0", "3,1", "4,0", "5,1"]]
    {
        let text = format!("{}./{},{}\n", rows("path,a,b", cells), PICTURES[0], cells[0]);
        let options = TableOptions { targets: vec!["a".into(), "b".into()], ..Default::default() };
        let dataset = opened("t.csv", &text, &options).unwrap();
        assert_eq!(dataset.train.len() + dataset.val.len(), 6);
        let known = format!("{}./{},1,0\n", rows("path,a,b", cells), PICTURES[0]);
        assert!(opened("t.csv", &known, &options).is_err());
    }
}

#[test]
fn a_number_may_be_unknown_and_a_probability_may_not() {
    let options =
        |kind| TableOptions { targets: vec!["a".into(), "b".into()], kind, ..Default::default() };
    let cells = ["1.5,", "2,10", ",30", "3,11", "4,12", "5, "];
    let dataset = opened("t.csv", rows("path,a,b", cells), &options(None)).unwrap();
    assert_eq!(dataset.kind(), TargetKind::Numbers);
    let all: Vec<f32> = dataset.train.iter().chain(&dataset.val).flat_map(values).collect();
    assert_eq!(all.iter().filter(|value| value.is_nan()).count(), 3);
    // One picture alone says something of `b`: it is trained on.
    let cells = ["1.5,", "2,", "3,30", "3,", "4,", "5,"];
    for seed in 0..8 {
        let mut options = options(None);
        options.reading.seed = seed;
        let dataset = opened("t.csv", rows("path,a,b", cells), &options).unwrap();
        assert!(dataset.train.iter().any(|sample| !values(sample)[1].is_nan()), "seed {seed}");
    }
    let cells = ["1.5,", "2,", "3,", "3,", "4,", "5,"];
    let kind = Some(TargetKind::Numbers);
    let reason = refused(opened("t.csv", rows("path,a,b", cells), &options(kind)));
    assert!(reason.contains("`b` is in no row to train on"), "{reason}");
    let cells = ["0.5,0.5", "0.25,0.75", ",1", "1,0", "0,1", "0.1,0.9"];
    for kind in [None, Some(TargetKind::Probabilities)] {
        let reason = refused(opened("t.csv", rows("path,a,b", cells), &options(kind)));
        assert!(reason.contains("line 4") && reason.contains("probability"), "{reason}");
    }
}

#[test]
fn words_that_mean_something_else_are_no_parts() {
    let cells = ["a,0", "b,1", "a,2", "b,3", "a,4", "b,0"];
    let dataset = open("t.csv", rows("path,label,fold", cells)).unwrap();
    assert_eq!((dataset.classes.len(), dataset.train.len() + dataset.val.len()), (2, 6));
    let cells = ["x,0", "y,0", "x,0", "y,0", "x,1", "y,1"];
    let options = TableOptions { targets: vec!["set".into()], ..Default::default() };
    let dataset = opened("t.csv", rows("path,set,is_valid", cells), &options).unwrap();
    assert_eq!((dataset.train.len(), dataset.val.len()), (4, 2));
}

#[test]
fn rows_for_tests_alone_can_be_evaluated_and_pictures_to_train_on_are_not_read() {
    let cells = ["a,test", "b,test", "a,test", "b,test", "a,test", "b,test"];
    let (_dir, table) = made("t.csv", rows("path,label,split", cells));
    let dataset = Table::open_to_evaluate(&table, &TableOptions::default()).unwrap();
    assert_eq!(dataset.val.len(), 6);
    let cells = ["a,train", "b,train", "a,train", "b,val", "a,val", "b,val"];
    let (dir, table) = made("t.csv", rows("path,label,split", cells));
    fs::remove_file(dir.path().join(PICTURES[0])).unwrap();
    let mut options = TableOptions::default();
    options.reading.strict = true;
    assert_eq!(Table::open_to_evaluate(&table, &options).unwrap().val.len(), 3);
}

#[test]
fn tags_with_blanks_stay_whole_and_a_number_that_is_none_is_named() {
    let cells = ["hot dog", "hot dog", "ice cream", "ice cream", "hot dog", "ice cream"];
    let dataset = open("t.csv", rows("path,tags", cells)).unwrap();
    assert_eq!(dataset.classes, ["hot dog", "ice cream"]);
    let options = TableOptions {
        likely: dataset.classes,
        kind: Some(TargetKind::Labels),
        ..Default::default()
    };
    let dataset = opened("t.csv", rows("path,tags", cells), &options).unwrap();
    assert_eq!(dataset.classes, ["hot dog", "ice cream"]);
    let reason = refusal("t.csv", rows("path,age", ["23.5", "41", "NA", "12", "30", "8"]));
    assert!(reason.contains("line 4") && reason.contains("no number"), "{reason}");
    let options = TableOptions { targets: vec!["a".into(), "b".into()], ..Default::default() };
    let cells = ["1,0", ".25,.75", "0.5,0.5", "0,1", "1,0", "0,1"];
    let dataset = opened("t.csv", rows("path,a,b", cells), &options).unwrap();
    assert_eq!(dataset.kind(), TargetKind::Probabilities);
}

#[test]
fn objects_of_names_and_numbers_are_probabilities() {
    let rows = PICTURES.iter().zip([0.25, 1.0, 0.5, 0.0, 0.5, 1.0]).map(|(path, share)| {
        let rest = 1.0 - share;
        format!("{{\"image\": \"{path}\", \"labels\": {{\"ant\": {share}, \"bee\": {rest}}}}}\n")
    });
    let text: String = rows.collect();
    let dataset = open("t.jsonl", text).unwrap();
    assert_eq!((dataset.kind(), dataset.classes.len()), (TargetKind::Probabilities, 2));
}

#[test]
fn all_of_a_table_is_opened_whatever_it_lacks_to_be_trained_on() {
    let whole = |text: &str| {
        let (_dir, table) = made("t.csv", text);
        Table::open_whole(&table, &TableOptions::default())
    };
    // A class of one part alone, pictures that are not there, and rows for tests.
    let cells = ["x,train", "y,val", "x,val", "x,val", "z,train", "x,test"];
    let text = rows("file,class,split", cells).replace("abacus", "gone");
    let dataset = whole(&text).unwrap();
    assert_eq!(dataset.classes, ["x", "y", "z"]);
    assert_eq!(
        (names(&dataset.train), names(&dataset.val)),
        (vec![PICTURES[0]], PICTURES[1..4].to_vec())
    );
    let skipped: Vec<&str> = dataset.skipped.iter().map(|skipped| &*skipped.name).collect();
    assert_eq!(skipped, ["train/tool/gone.png"], "no word of tests");
    // No column of parts, and one class.
    let dataset = whole(&rows("file,class", ["x"; 6])).unwrap();
    assert_eq!((dataset.train.len(), dataset.val.len(), dataset.classes.len()), (6, 0, 1));
    // Tests alone.
    let dataset = whole(&rows("file,class,split", ["x,test"; 6])).unwrap();
    assert_eq!((dataset.train.len(), dataset.val.len()), (0, 6));
    let reason = refused(whole(&rows("file,class", ["x"; 6]).replace(".png", ".jpg")));
    assert!(reason.contains("6 were skipped"), "{reason}");
}
