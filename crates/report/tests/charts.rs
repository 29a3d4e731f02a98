//! Charts and tables of anything: empty, huge, no numbers, names that are markup.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use roxmltree::Document;
use taper_report::{
    Area, Bandwidth, Block, Cell, Chart, Dimension, Layer, Lines, Origin, Page, Point, Roofline,
    RooflinePoint, Scale, Scatter, Section, Series, Swept, Table, Tile, Treemap, Unit,
};

#[expect(dead_code, reason = "the program's `main`")]
#[path = "../examples/page.rs"]
mod example;

const SCALES: [Scale; 3] = [Scale::Linear, Scale::Log10, Scale::Log2];

/// One chart of each kind, with these numbers, and this name wherever there is one.
fn charts(name: &str, values: &[f64]) -> Vec<Chart> {
    let word = || name.to_owned();
    let words = || vec![word(); values.len()];
    let tiles: Vec<Tile> = values.iter().map(|value| Tile::leaf(name, name, *value)).collect();
    let nested =
        vec![Tile::scope(name, tiles.clone()), Tile::scope(name, vec![Tile::scope(name, tiles)])];
    let treemap =
        Treemap { title: word(), unit: Unit::Count, classes: vec![word()], tiles: nested };
    let layer = || Layer { name: word(), values: values.to_vec() };
    let layers = vec![layer(), layer()];
    let area = Area { title: word(), unit: Unit::Bytes, step: word(), steps: words(), layers };
    let work = |value: &f64| RooflinePoint {
        name: word(),
        class: word(),
        intensity: *value,
        speed: *value,
        share: *value,
        origin: Origin::Predicted,
    };
    let peak = values.first().copied().unwrap_or(f64::NAN);
    let roofline = Roofline {
        title: word(),
        peak,
        bandwidths: values
            .iter()
            .map(|value| Bandwidth { name: word(), gigabytes_per_second: *value })
            .collect(),
        classes: vec![word()],
        points: values.iter().map(work).collect(),
    };
    let mut charts: Vec<Chart> = vec![treemap.into(), area.into(), roofline.into()];
    for scale in SCALES {
        let dimension = || Dimension { name: word(), unit: Unit::Milliseconds, scale };
        let points =
            values.iter().map(|value| Point { name: word(), class: word(), x: *value, y: *value });
        let (across, upward, points) = (dimension(), dimension(), points.collect());
        charts
            .push(Scatter { title: word(), across, upward, classes: vec![word()], points }.into());
        let sweeps = [
            Swept::Numbers { name: word(), unit: Unit::Number, scale, values: values.to_vec() },
            Swept::Categories { name: word(), values: words() },
        ];
        for swept in sweeps {
            let series = vec![Series { name: word(), values: values.to_vec() }; 2];
            let lines = Lines { title: word(), unit: Unit::Count, scale, swept, series };
            charts.push(lines.into());
        }
    }
    charts
}

fn page(name: &str, values: &[f64]) -> Page {
    let word = || name.to_owned();
    let cells = values.iter().flat_map(|value| {
        [Cell::Number(*value, Unit::Bytes), Cell::Share(*value), Cell::Words(word()), Cell::Empty]
    });
    let table = Table { head: vec![word()], rows: vec![cells.collect(), Vec::new()] };
    let listing = Block::Table { title: word(), note: word(), table: table.clone() };
    let charts = Block::Charts {
        title: word(),
        note: word(),
        charts: charts(name, values),
        table: Some(table),
    };
    let section = Section { title: word(), note: word(), blocks: vec![listing, charts] };
    Page { title: word(), note: word(), sections: vec![section] }
}

/// The drawings in a text; each must be a well-formed document whose numbers are numbers.
fn drawings(text: &str) -> usize {
    let mut count = 0;
    let mut rest = text;
    while let Some(start) = rest.find("<svg") {
        let end = rest[start..].find("</svg>").unwrap() + start + "</svg>".len();
        checked(&rest[start..end]);
        rest = &rest[end..];
        count += 1;
    }
    count
}

fn checked(svg: &str) {
    let document = Document::parse(svg).unwrap_or_else(|error| panic!("{error}\n{svg}"));
    for node in document.descendants().filter(|node| node.is_element()) {
        assert!(!["script", "img"].contains(&node.tag_name().name()), "{svg}");
        for name in ["x", "y", "width", "height", "r", "cx", "cy"] {
            let number = node.attribute(name).map(|number| number.parse::<f64>().unwrap());
            assert!(number.is_none_or(|number| number.abs() < 1e5), "{name} in {node:?}");
        }
        for name in ["width", "height", "r"] {
            let number = node.attribute(name).map(|number| number.parse::<f64>().unwrap());
            assert!(number.is_none_or(|number| number >= 0.0), "{name} in {node:?}");
        }
    }
}

#[test]
fn any_numbers_make_charts_that_are_well_formed() {
    let (nan, infinity) = (f64::NAN, f64::INFINITY);
    let numbers: [&[f64]; 9] = [
        &[],
        &[1.0],
        &[0.0],
        &[0.0, 0.0, 0.0],
        &[nan, infinity, -infinity],
        &[nan, 3.0, -1.0, infinity, 0.5, 0.0],
        &[f64::MAX, f64::MIN_POSITIVE, f64::MIN],
        &[1e30, 1e-30, 1.0],
        &[5.0; 3],
    ];
    for values in numbers {
        let all = charts("conv", values);
        for chart in &all {
            let svg = chart.to_svg().unwrap();
            assert_eq!(drawings(&svg), 1, "{values:?}");
            assert!(!svg.contains("NaN") && !svg.contains(">inf"), "{values:?}\n{svg}");
        }
        assert_eq!(drawings(&page("conv", values).to_html().unwrap()), 3 * all.len());
    }
}

#[test]
fn names_cannot_become_markup_nor_break_a_drawing() {
    let long = "blocks.".repeat(43);
    for name in [
        "<script>alert(1)</script>",
        "\"'><img src=x>&amp;",
        "\0\u{b}\u{ffff}\u{85}",
        "",
        &long,
        "網路層",
    ] {
        let html = page(name, &[3.0, 1.0, 2.0]).to_html().unwrap();
        assert_eq!(drawings(&html), 3 * charts(name, &[1.0]).len());
        assert!(!html.contains("<script") && !html.contains("<img"), "{name}");
        for chart in charts(name, &[3.0, 1.0, 2.0]) {
            drawings(&chart.to_svg().unwrap());
        }
    }
}

#[test]
fn thousands_of_anything_are_drawn() {
    let values: Vec<f64> = (0..5000).map(|i| f64::from((i * 7919) % 4999)).collect();
    for chart in charts("layer", &values) {
        assert_eq!(drawings(&chart.to_svg().unwrap()), 1);
    }
    let tiles: Vec<Tile> = (0..5000).map(|i| Tile::leaf(&format!("layer.{i}"), "", 1.0)).collect();
    let treemap =
        Treemap { title: "equal".to_owned(), unit: Unit::Count, classes: Vec::new(), tiles };
    let svg = Chart::from(treemap).to_svg().unwrap();
    let document = Document::parse(&svg).unwrap();
    let tiles =
        document.descendants().filter(|node| node.attribute("class") == Some("tile fill-0"));
    assert_eq!(tiles.count(), 5000);
}

#[test]
fn tiles_too_small_to_be_seen_are_one() {
    let mut tiles: Vec<Tile> = (0..1000).map(|_| Tile::leaf("bias", "", 1e-3)).collect();
    tiles.push(Tile::leaf("weight", "", 1e6));
    let treemap =
        Treemap { title: "sizes".to_owned(), unit: Unit::Count, classes: Vec::new(), tiles };
    let svg = Chart::from(treemap).to_svg().unwrap();
    assert!(
        svg.contains("<title>1000 more: 1, 0.0 %</title>")
            || svg.contains("<title>1000 more: 1.00, 0.0 %</title>"),
        "{svg}"
    );
}

#[test]
fn a_tree_of_any_depth_is_drawn() {
    let mut tile = Tile::leaf("leaf", "", 1.0);
    for _ in 0..200 {
        tile = Tile::scope("scope", vec![tile]);
    }
    let treemap = Treemap {
        title: "deep".to_owned(),
        unit: Unit::Count,
        classes: Vec::new(),
        tiles: vec![tile],
    };
    drawings(&Chart::from(treemap).to_svg().unwrap());
}

#[test]
fn the_example_is_a_page_that_loads_nothing() {
    let page = example::page();
    let charts = example::charts(&page);
    assert!(charts.len() >= 10, "{}", charts.len());
    for chart in &charts {
        assert_eq!(drawings(&chart.to_svg().unwrap()), 1);
    }
    let html = page.to_html().unwrap();
    assert_eq!(drawings(&html), 3 * charts.len());
    for word in ["http:", "https:", "url(", "@import", "<link", "<script", "src="] {
        assert!(!html.contains(word), "{word}");
    }
}
