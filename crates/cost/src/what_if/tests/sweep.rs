//! Sweeps as users write them, well and badly.
//!
//! Above: `cargo test`. Below: `sweep`. Not here: what a change does (`tests`).

use proptest::prelude::*;
use taper_graph::PoolKind;

use crate::Error;
use crate::what_if::{Change, Factor, Sweep};

fn values(text: &str) -> Vec<Change> {
    text.parse::<Sweep>().unwrap_or_else(|error| panic!("{error}")).values().to_vec()
}

fn refused(text: &str) -> String {
    text.parse::<Sweep>().unwrap_err().to_string()
}

#[test]
fn every_factor_has_its_values() {
    let node = || "blocks.2.0.conv_pw".to_owned();
    let size = Change::ImageSize;
    assert_eq!(
        values("image-size=96..256:32"),
        [96, 128, 160, 192, 224, 256].map(|side| size([side; 2]))
    );
    assert_eq!(values("image-size=128x192,224"), [size([128, 192]), size([224, 224])]);
    assert_eq!(values("width=0.25..1:0.25"), [0.25, 0.5, 0.75, 1.0].map(Change::Width));
    assert_eq!(values("depth=0.5,1,2"), [0.5, 1.0, 2.0].map(Change::Depth));
    assert_eq!(
        values("filters:blocks.2.0.conv_pw=48..192:48"),
        [48, 96, 144, 192].map(|filters| Change::Filters { node: node(), filters })
    );
    assert_eq!(
        values("stride:conv_stem=1,2"),
        [1, 2].map(|stride| Change::Stride { node: "conv_stem".to_owned(), stride })
    );
    assert_eq!(
        values("pool:conv_stem=stride,max,avg"),
        [None, Some(PoolKind::Max), Some(PoolKind::Avg)]
            .map(|kind| Change::Pool { node: "conv_stem".to_owned(), kind })
    );
    assert_eq!(values("classes=10,100,1000"), [10, 100, 1000].map(Change::Head));
    assert_eq!(values("batch=1,2,4,8"), [1, 2, 4, 8].map(Change::Batch));
    assert_eq!(values(" threads = 1 , 2 "), [1, 2].map(Change::Threads));
}

#[test]
fn a_range_ends_with_its_end_only_if_a_step_meets_it() {
    assert_eq!(values("batch=1..8:3"), [1, 4, 7].map(Change::Batch));
    assert_eq!(values("batch=4..4:9"), [Change::Batch(4)]);
    // In floating point 0.1 + 2 · 0.2 is 0.5, 0.1 + 3 · 0.2 is 0.7000000000000001, and 3 · 0.1 is 0.30000000000000004.
    assert_eq!(values("width=0.1..0.7:0.2"), [0.1, 0.3, 0.5, 0.7].map(Change::Width));
    assert_eq!(values("width=0.1..0.4:0.1"), [0.1, 0.2, 0.3, 0.4].map(Change::Width));
    assert_eq!(values("width=0.5..0.99:0.25"), [0.5, 0.75].map(Change::Width));
}

#[test]
fn names_of_layers_may_hold_anything() {
    let sweep: Sweep = "stride:a=b:c=2".parse().unwrap();
    assert_eq!(sweep.factor(), &Factor::Stride("a=b:c".to_owned()));
    assert_eq!(sweep.to_string(), "stride:a=b:c=2");
}

#[test]
fn what_is_no_sweep_says_where_and_why() {
    let cases = [
        ("", "at character 1 `=` and values, as in `width=0.5,1`, was expected, not the end"),
        ("width", "at character 6 `=` and values, as in `width=0.5,1`, was expected, not the end"),
        (
            "wdth=1",
            "at character 1 image-size, width, depth, filters:LAYER, stride:LAYER, pool:LAYER, classes, batch or threads \
             was expected, not `wdth`",
        ),
        ("width:stem=1", "at character 7 nothing between `width` and `=` was expected, not `stem`"),
        (
            "filters=8",
            "at character 8 `:` and a layer, as in `filters:conv_stem`, was expected, not `=`",
        ),
        ("width=", "at character 7 a number from 0.01 to 100 was expected, not the end"),
        ("width=1,,2", "at character 9 a number from 0.01 to 100 was expected, not `,`"),
        ("width=0.5,NaN", "at character 11 a number from 0.01 to 100 was expected, not `NaN`"),
        ("width=-1", "at character 7 a number from 0.01 to 100 was expected, not `-1`"),
        ("width=0", "at character 7 a number from 0.01 to 100 was expected, not `0`"),
        ("width=1..0.5:0.1", "at character 10 a number from 1 to 100 was expected, not `0.5`"),
        ("width=0.5..1:0", "at character 14 a number from 0.000001 to 100 was expected, not `0`"),
        ("image-size=0", "at character 12 a whole number from 1 to 65536 was expected, not `0`"),
        (
            "image-size=96x",
            "at character 15 a whole number from 1 to 65536 was expected, not the end",
        ),
        (
            "image-size=96..256",
            "at character 19 `:` and a step, as in `96..256:32`, was expected, not the end",
        ),
        (
            "image-size=96..256,300",
            "at character 19 `:` and a step, as in `96..256:32`, was expected, not `,`",
        ),
        (
            "image-size=9x9..12x12:1",
            "at character 12 a whole number from 1 to 65536 was expected, not `9x9`",
        ),
        ("batch=1.5", "at character 7 a whole number from 1 to 1048576 was expected, not `1.5`"),
        ("batch=8..1:1", "at character 10 a whole number from 8 to 1048576 was expected, not `1`"),
        (
            "batch=99999999999999999999999",
            "at character 7 a whole number from 1 to 1048576 was expected, not `99999999999999999999999`",
        ),
        (
            "batch=1..1048576:1",
            "at character 7 no more than 1000 values in all was expected, not `1..1048576:1`",
        ),
        ("pool:a=mean", "at character 8 stride, max or avg was expected, not `mean`"),
    ];
    for (text, expected) in cases {
        assert_eq!(refused(text), format!("`{text}` is no sweep: {expected}"));
    }
}

#[test]
fn long_and_unprintable_texts_are_shown_in_part() {
    let long = format!("width={}", "1,".repeat(1 << 20));
    assert!(refused(&long).len() < 300);
    let many = format!("batch={}", vec!["1"; 1001].join(","));
    assert!(refused(&many).contains("no more than 1000 values in all was expected, not `1`"));
    assert_eq!(values(&format!("batch={}", vec!["1"; 1000].join(","))).len(), 1000);
    assert!(refused("wi\u{7}dth=1").contains("not `wi\\u{7}dth`"));
}

proptest! {
    #[test]
    fn any_text_is_a_sweep_or_a_refusal(text in r"(width|depth|image-size|batch|pool:a|stride:|x|)[:=][-+0-9x.,:=eNaé \u{7}]{0,24}") {
        match text.parse::<Sweep>() {
            Ok(sweep) => {
                prop_assert!((1..=1000).contains(&sweep.values().len()));
                prop_assert!(sweep.values().iter().all(|value| &value.factor() == sweep.factor()));
                prop_assert_eq!(sweep.to_string().parse::<Sweep>().unwrap(), sweep);
            }
            Err(error) => prop_assert!(matches!(error, Error::Sweep { .. }), "{}", error),
        }
    }

    #[test]
    fn ranges_of_decimals_reach_their_end(first in 1u32..100, step in 1u32..40, n in 0u32..20) {
        let at = |n: u32| f64::from(first + n * step) / 100.0;
        let text = format!("width={}..{}:{}", at(0), at(n), f64::from(step) / 100.0);
        let expected: Vec<Change> = (0..=n).map(|n| Change::Width(at(n))).collect();
        prop_assert_eq!(values(&text), expected);
    }
}
