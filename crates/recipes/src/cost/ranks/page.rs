//! Steps on several ranks as a section of the page of costs.
//!
//! Above: `cost::page`. Below: `ranks`, `taper_report`. Not here: drawing (`taper_report`).

use taper_report::{Cell, Chart, Lines, Scale, Section, Series, Swept, Table, Unit};

use super::super::page;
use super::{RanksCost, RanksRow};
use crate::options::Scaling;

/// Efficiency and stall over the number of ranks, a curve for each network, and all numbers.
pub(in super::super) fn section(cost: &RanksCost) -> Section {
    let batch = match cost.scaling {
        Scaling::Weak => "each rank has the batch of one process",
        Scaling::Strong => "all ranks together have the batch of one process",
    };
    let note = format!("predicted; sums {} in {}; {batch}", cost.reduce, cost.reduce_dtype);
    let all = [
        lines(cost, "Efficiency", Unit::Percent, &|row| 100.0 * row.efficiency),
        lines(cost, "Waiting for sums", Unit::Milliseconds, &|row| row.stall_ms),
    ];
    page::section("Ranks", &note, vec![page::charts("", all.into(), Some(table(cost)))])
}

fn lines(cost: &RanksCost, title: &str, unit: Unit, value: &dyn Fn(&RanksRow) -> f64) -> Chart {
    let mut series: Vec<Series> = Vec::new();
    for row in &cost.rows {
        match series.iter_mut().find(|series| series.name == row.network) {
            Some(series) => series.values.push(value(row)),
            None => series.push(Series { name: row.network.clone(), values: vec![value(row)] }),
        }
    }
    let per_network = series.first().map_or(0, |series| series.values.len());
    let values = cost.rows.iter().take(per_network).map(|row| row.ranks as f64).collect();
    let swept = Swept::Numbers {
        name: "ranks".to_owned(),
        unit: Unit::Number,
        scale: Scale::Log10,
        values,
    };
    Lines { title: title.to_owned(), unit, scale: Scale::Linear, swept, series }.into()
}

fn table(cost: &RanksCost) -> Table {
    let head = [
        "network",
        "ranks",
        "batch of each",
        "step",
        "waiting",
        "sent",
        "images a second",
        "efficiency",
    ];
    let row = |row: &RanksRow| {
        vec![
            Cell::Words(row.network.clone()),
            Cell::Number(row.ranks as f64, Unit::Integer),
            Cell::Number(row.batch as f64, Unit::Integer),
            Cell::Number(row.step_ms, Unit::Milliseconds),
            Cell::Number(row.stall_ms, Unit::Milliseconds),
            Cell::Number(row.sent_bytes as f64, Unit::Bytes),
            Cell::Number(row.images_per_second, Unit::Number),
            Cell::Number(100.0 * row.efficiency, Unit::Percent),
        ]
    };
    Table { head: head.map(str::to_owned).to_vec(), rows: cost.rows.iter().map(row).collect() }
}
