//! `bench layers`: where the time of a session goes, and how far each unit is from what the machine can do.
//!
//! Above: `bench`, `serve`. Below: `roof`, `roofline`, `taper_engine::Session::profile`. Not here: peers, who cannot be asked unit by unit.

use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Value, json};
use taper_engine::{Session, SessionOptions};

use super::contestant::Contestant;
use super::roof::Roof;
use super::roofline::Roofline;
use super::serve::serve;
use super::setup::Setup;
use super::table::{Table, number};
use super::{Bench, Measured, networks};

/// ImageNet's.
const CLASSES: usize = 1000;

/// One configuration.
#[derive(Debug, Clone, Args)]
pub(crate) struct LayersSetup {
    #[command(flatten)]
    setup: Setup,
    #[arg(long)]
    rounds: usize,
}

/// Our process: measures roof and units in one go, and is then ready for nothing more.
pub(super) fn contestant(LayersSetup { setup, rounds }: &LayersSetup) -> Result<()> {
    let roof = Roof::measure(setup.threads)?;
    let model = networks::random(&setup.model, CLASSES)?;
    let options = SessionOptions { threads: setup.threads, ..SessionOptions::default() };
    let mut session = Session::new(&model, &options)?;
    let units = session.profile(&setup.images(), setup.shape(), *rounds)?;
    let units = units.iter().map(|unit| {
        json!({
            "name": unit.name, "kernel": unit.kernel, "shape": unit.shape,
            "macs": unit.macs, "bytes": unit.bytes, "ms": unit.ms.median,
        })
    });
    let units: Value = units.collect();
    serve(&json!({ "ready": true, "roof": roof.json(), "units": units }), || Ok(()))
}

/// Profiles every model.
pub(super) fn measure(bench: &Bench) -> Result<Measured> {
    let (mut tables, mut notes, mut all) = (Vec::new(), Vec::new(), Vec::new());
    let mut pictures = Vec::new();
    for setup in Setup::all(bench, &[], &[1, 32], &[bench.cores.count()]) {
        let rounds = bench.rounds.unwrap_or(if setup.batch == 1 { 200 } else { 20 });
        let mut command = setup.ours(bench, "layers")?;
        command.arg(format!("--rounds={rounds}"));
        let ready = Contestant::start("layers", command, &bench.folder)?.ready().clone();
        let roof = Roof::from_json(&ready["roof"]).context("no roof was measured")?;
        let table = table(&ready["units"], &roof).context("no units were measured")?;
        let Setup { model, batch, threads, .. } = &setup;
        let caption = format!("{model}, batch {batch}, threads {threads}");
        notes.push(format!("Roof for {caption}: {}.", words(&roof)));
        pictures.extend(Roofline::new(&caption, &roof, &ready["units"]));
        tables.push((caption, table));
        let mut value = setup.json();
        value["roof"] = ready["roof"].clone();
        value["units"] = ready["units"].clone();
        all.push(value);
    }
    notes.push(
        "Milliseconds are medians. *of roof* is the least time the unit could take, by arithmetic (two operations a \
         multiply-accumulate) or by memory (each tensor once), whichever is longer, over the time it took. The arithmetic roof \
         is multiply-adds on registers alone, the memory roof a copy of as many bytes as the unit moves; the matrix product is 4096x1024 by 1024x1024."
            .to_owned(),
    );
    Ok(Measured { name: "layers", tables, notes, pictures, json: all.into() })
}

fn table(units: &Value, roof: &Roof) -> Option<Table> {
    let head = ["unit", "kernel", "shape", "ms", "of time", "GFLOP/s", "GB/s", "of roof"]
        .map(str::to_owned);
    let mut table = Table { head: head.to_vec(), rows: Vec::new() };
    let units = units.as_array()?;
    let sum = |of: &dyn Fn(&Value) -> Option<f64>| units.iter().map(of).sum::<Option<f64>>();
    let total = sum(&|unit| unit["ms"].as_f64())?;
    let least = |unit: &Value| Some(roof.ms(unit["macs"].as_u64()?, unit["bytes"].as_u64()?));
    for unit in units {
        let ms = unit["ms"].as_f64()?;
        let (macs, bytes) = (unit["macs"].as_f64()?, unit["bytes"].as_f64()?);
        let text = |key: &str| unit[key].as_str().map(str::to_owned);
        let mut row = vec![text("name")?, text("kernel")?, text("shape")?];
        row.extend([number(ms), percent(ms / total), number(2.0 * macs / ms / 1e6)]);
        row.extend([number(bytes / ms / 1e6), percent(least(unit)? / ms)]);
        table.rows.push(row);
    }
    let (macs, bytes) = (sum(&|unit| unit["macs"].as_f64())?, sum(&|unit| unit["bytes"].as_f64())?);
    let mut row = vec!["**all**".to_owned(), String::new(), String::new(), number(total)];
    row.extend([percent(1.0), number(2.0 * macs / total / 1e6), number(bytes / total / 1e6)]);
    row.push(percent(sum(&least)? / total));
    table.rows.push(row);
    Some(table)
}

fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

/// The limits in words.
fn words(roof: &Roof) -> String {
    let gigabytes = |bytes_per_ms: f64| number(bytes_per_ms / 1e6);
    let copies: Vec<String> = roof
        .copy
        .iter()
        .map(|&(size, speed)| format!("{} at {} KiB", gigabytes(speed), size >> 10))
        .collect();
    let operations = number(2.0 * roof.macs_per_ms / 1e6);
    let product = number(2.0 * roof.product / 1e6);
    let (copies, read) = (copies.join(", "), gigabytes(roof.read));
    format!(
        "{operations} GFLOP/s on registers, {product} GFLOP/s our matrix product; copy {copies} (GB/s, read and written); read {read} GB/s"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_compared_with_its_limit() {
        let roof = Roof { macs_per_ms: 1e6, product: 1e6, copy: vec![(1 << 20, 1e6)], read: 1e6 };
        let units = json!([
            { "name": "a", "kernel": "pointwise", "shape": "s", "macs": 1_000_000, "bytes": 1000, "ms": 2.0 },
            { "name": "b", "kernel": "add", "shape": "s", "macs": 0, "bytes": 1_000_000, "ms": 2.0 },
        ]);
        let table = table(&units, &roof).unwrap();
        let rows: Vec<String> = table.rows.iter().map(|row| row.join(" ")).collect();
        assert_eq!(rows[0], "a pointwise s 2.00 50 % 1.00 0.001 50 %");
        assert_eq!(rows[1], "b add s 2.00 50 % 0.000 0.500 50 %");
        assert_eq!(rows[2], "**all**   4.00 100 % 0.500 0.250 50 %");
    }
}
