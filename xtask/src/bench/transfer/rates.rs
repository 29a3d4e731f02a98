//! `bench rates`: the learning rate that a range test finds (Smith 2017, <https://arxiv.org/abs/1506.01186>), beside a grid of rates.
//!
//! Above: `bench`. Below: `transfer`, whose folders, runs and tables these are. Not here: the test itself (`taper_train::LrRangeTest`).
//! Three set-ups whose best rates are two orders of magnitude apart: all layers by SGD, all layers by AdamW, and the classifier alone.

use anyhow::Result;

use super::super::machine::Machine;
use super::super::{Bench, Measured};
use super::folders::Draw;
use super::{AUTO, Method, Runs, alone, mean, report, sets, wanted};

/// Training pictures.
const DRAWS: [Draw; 2] = [Draw::Few(20), Draw::All];

/// By set-up: the rate that is found, and a grid.
pub(super) const METHODS: [Method; 21] = [
    AUTO,
    alone("--lr 0.0001", &["--lr=0.0001"]),
    alone("--lr 0.0003", &["--lr=0.0003"]),
    alone("--lr 0.001", &["--lr=0.001"]),
    alone("--lr 0.003", &["--lr=0.003"]),
    alone("--lr 0.01", &["--lr=0.01"]),
    alone("--lr 0.03", &["--lr=0.03"]),
    alone("--optimizer adamw --lr auto", &["--optimizer=adamw", "--lr=auto"]),
    alone("--optimizer adamw --lr 0.00001", &["--optimizer=adamw", "--lr=0.00001"]),
    alone("--optimizer adamw --lr 0.00003", &["--optimizer=adamw", "--lr=0.00003"]),
    alone("--optimizer adamw --lr 0.0001", &["--optimizer=adamw", "--lr=0.0001"]),
    alone("--optimizer adamw --lr 0.0003", &["--optimizer=adamw", "--lr=0.0003"]),
    alone("--optimizer adamw --lr 0.001", &["--optimizer=adamw", "--lr=0.001"]),
    alone("--optimizer adamw --lr 0.003", &["--optimizer=adamw", "--lr=0.003"]),
    alone("--freeze backbone --lr auto", &["--freeze=backbone", "--lr=auto"]),
    alone("--freeze backbone --lr 0.001", &["--freeze=backbone", "--lr=0.001"]),
    alone("--freeze backbone --lr 0.003", &["--freeze=backbone", "--lr=0.003"]),
    alone("--freeze backbone --lr 0.01", &["--freeze=backbone", "--lr=0.01"]),
    alone("--freeze backbone --lr 0.03", &["--freeze=backbone", "--lr=0.03"]),
    alone("--freeze backbone --lr 0.1", &["--freeze=backbone", "--lr=0.1"]),
    alone("--freeze backbone --lr 0.3", &["--freeze=backbone", "--lr=0.3"]),
];

/// Every rate on every set, and how far the one that is found is from the best of its set-up, where the whole set-up is measured.
pub(in super::super) fn measure(bench: &Bench) -> Result<Measured> {
    let methods = wanted(bench, &METHODS)?;
    let sets = sets(bench, &methods, &DRAWS)?;
    let mut measured = report("rates", bench, &sets, &methods)?;
    let origin = Machine::look(&bench.cores)?.origin();
    for (set, (_, table)) in sets.iter().zip(&mut measured.tables) {
        let rows = less_the_best(&methods, &set.runs).into_iter();
        let no_seeds = [String::new()];
        table.rows.extend(rows.map(|row| [&row[..], &no_seeds, &origin].concat()));
    }
    Ok(measured)
}

/// The flags before a method's rate, with a space behind them if there are any.
fn set_up(method: &Method) -> &'static str {
    method.name.split_once("--lr ").map_or("", |(flags, _)| flags)
}

/// Of each set-up whose rates are all there a row of how much the mean of the rate that is found is above the best of the others.
fn less_the_best(methods: &[Method], runs: &[Vec<Runs>]) -> Vec<Vec<String>> {
    let found = methods.iter().zip(runs).filter(|(method, _)| method.name.ends_with(AUTO.name));
    let row = |(method, found): (&Method, &Vec<Runs>)| -> Option<Vec<String>> {
        let is_other =
            |other: &Method| set_up(other) == set_up(method) && other.name != method.name;
        let grid = || methods.iter().zip(runs).filter(|(other, _)| is_other(other));
        let is_whole = grid().count() == METHODS.iter().filter(|other| is_other(other)).count();
        if !is_whole {
            return None;
        }
        let mut row =
            vec![format!("{}found less the best other", set_up(method)), "taper".to_owned()];
        for (size, found) in found.iter().enumerate() {
            let others = grid().filter_map(|(_, runs)| mean(&runs.get(size)?.ours));
            row.push(format!(
                "{:+.3}",
                mean(&found.ours)? - others.fold(f64::NEG_INFINITY, f64::max)
            ));
        }
        row.push(String::new());
        Some(row)
    };
    found.filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::job::Done;
    use super::*;

    #[test]
    fn a_rate_that_is_found_is_held_against_the_best_of_its_set_up() {
        let runs = |top1: f64| {
            let done = Done { seconds: 2.0, peak_bytes: 0, output: json!({ "val_top1": top1 }) };
            vec![Runs { ours: vec![done], ..Runs::default() }]
        };
        let methods = &METHODS[..20];
        let mut all = vec![runs(0.5); methods.len()];
        all[0] = runs(0.7);
        all[2] = runs(0.75);
        all[7] = runs(0.9);
        all[8] = runs(0.875);
        let rows = less_the_best(methods, &all);
        assert_eq!(rows[0], ["found less the best other", "taper", "-0.050", ""]);
        assert_eq!(rows[1], ["--optimizer adamw found less the best other", "taper", "+0.025", ""]);
        assert_eq!(rows.len(), 2, "the third's grid lacks its last rate");
        assert_eq!(METHODS.iter().filter(|it| set_up(it) == "--freeze backbone ").count(), 7);
    }
}
