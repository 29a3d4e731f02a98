//! Draws every learning-rate schedule of `taper::optim`, as `docs/training.md` shows them.
//!
//! ```sh
//! cargo run -p taper-tests --example schedules -- schedules.svg
//! ```
//!
//! Each curve is `Schedule::lr_after` of 100 steps in 10 epochs, with a warm-up of 5 steps where there can be one.

use std::error::Error;
use std::fmt::Write as _;

use taper::optim::{Better, Decay, Plateau, Schedule, Scores};

/// Steps of the whole, and of an epoch.
const STEPS: u64 = 100;
const EPOCH: u64 = 10;

/// What the plateau sees: an accuracy that stops to grow twice.
const ACCURACIES: [f64; 10] = [0.3, 0.5, 0.6, 0.6, 0.6, 0.7, 0.75, 0.75, 0.75, 0.75];

/// Width and height of a curve's field, and of what is around it.
const FIELD: [f64; 2] = [210.0, 90.0];
const CELL: [f64; 2] = [240.0, 140.0];
const COLUMNS: usize = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("where to? schedules FILE.svg")?;
    Ok(std::fs::write(path, svg()?)?)
}

/// Names as on the command line, with the schedules.
pub(crate) fn schedules() -> Vec<(&'static str, Schedule)> {
    let warm = |decay| Schedule::new(1.0, decay).with_warmup(5);
    let (total_steps, floor) = (STEPS, 0.0);
    let plateau = Plateau { factor: 0.3, patience: 1, ..Plateau::default() };
    let restarts = Decay::CosineRestarts { period: 20, longer: 1.5, lower: 0.7, floor };
    vec![
        ("constant", warm(Decay::Constant)),
        ("cosine", warm(Decay::Cosine { total_steps, floor })),
        ("cosine-restarts", warm(restarts)),
        ("one-cycle", Schedule::new(1.0, Decay::OneCycle { total_steps, rising: 0.3 })),
        ("step", warm(Decay::Step { every: 30, factor: 0.4 })),
        ("multi-step", warm(Decay::MultiStep { at: vec![50, 80], factor: 0.3 })),
        ("exponential", warm(Decay::Exponential { factor: 0.97 })),
        ("polynomial", warm(Decay::Polynomial { total_steps, power: 2.0, floor })),
        ("plateau", warm(Decay::Plateau(plateau))),
    ]
}

/// The rate of a step after the epochs before it.
fn rate(schedule: &Schedule, step: u64) -> f64 {
    let epochs = usize::try_from(step / EPOCH).unwrap_or(usize::MAX).min(ACCURACIES.len());
    schedule.lr_after(step, Scores { values: &ACCURACIES[..epochs], better: Better::Higher })
}

/// The drawing.
pub(crate) fn svg() -> Result<String, std::fmt::Error> {
    let schedules = schedules();
    let rows = schedules.len().div_ceil(COLUMNS);
    let [width, height] = [CELL[0] * COLUMNS as f64, CELL[1] * rows as f64];
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"13\" role=\"img\">\n\
         <title>learning rates over 100 steps</title>\n\
         <rect width=\"{width}\" height=\"{height}\" rx=\"8\" fill=\"white\"/>\n"
    );
    for (at, (name, schedule)) in schedules.iter().enumerate() {
        let [left, top] = [CELL[0] * (at % COLUMNS) as f64 + 15.0, CELL[1] * (at / COLUMNS) as f64];
        let (baseline, field) = (top + 30.0 + FIELD[1], FIELD);
        writeln!(svg, "<text x=\"{left:.1}\" y=\"{:.1}\">{name}</text>", top + 22.0)?;
        let right = left + field[0];
        writeln!(svg, "<path d=\"M{left:.1} {baseline:.1}H{right:.1}\" stroke=\"#777777\"/>")?;
        let points = (0..STEPS).map(|step| {
            let x = left + field[0] * step as f64 / (STEPS - 1) as f64;
            format!("{x:.1} {:.1}", baseline - field[1] * rate(schedule, step))
        });
        let line = points.collect::<Vec<_>>().join("L");
        let style = "fill=\"none\" stroke=\"#0072b2\" stroke-width=\"2\"";
        writeln!(svg, "<path d=\"M{line}\" {style}/>")?;
    }
    svg.push_str("</svg>\n");
    Ok(svg)
}
