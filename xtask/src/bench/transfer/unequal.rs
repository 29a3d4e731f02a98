//! `bench unequal`: classes of very different sizes, shown as they are, shown alike often, and counted alike.
//!
//! Above: `bench`. Below: `transfer`, whose folders, runs and tables these are. Not here: where a run decides (`taper_recipes::Sampling`).
//! The pictures that judge are all that are held out, of every class as many as there are.

use anyhow::Result;

use super::super::{Bench, Measured};
use super::folders::Draw;
use super::{Method, alone, report, sets, wanted};

/// Training pictures.
const DRAWS: [Draw; 4] = [Draw::Unequal(20), Draw::Unequal(10), Draw::Unequal(4), Draw::All];

/// What is done about it.
pub(super) const METHODS: [Method; 5] = [
    alone("--sampling shuffle", &["--sampling=shuffle"]),
    alone("--sampling balanced", &["--sampling=balanced"]),
    alone("--class-weights balanced", &["--class-weights=balanced"]),
    alone("--preset quick --sampling shuffle", &["--preset=quick", "--sampling=shuffle"]),
    alone(
        "--preset quick --class-weights balanced",
        &["--preset=quick", "--class-weights=balanced"],
    ),
];

/// Every way on every set.
pub(in super::super) fn measure(bench: &Bench) -> Result<Measured> {
    let methods = wanted(bench, &METHODS)?;
    let sets = sets(bench, &methods, &DRAWS)?;
    report("unequal", bench, &sets, &methods)
}
