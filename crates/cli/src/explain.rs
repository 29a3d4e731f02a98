//! `taper explain`: what a convolution or a pool makes of given sizes, what it costs and what runs.
//!
//! Above: `args`. Below: `explain::{conv, pool, sizes, picture}`, `taper_recipes::explain`. Not here: whole networks (`taper models`).

mod conv;
mod picture;
mod pool;
mod sizes;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};
use taper_recipes::{ExplainOptions, Explanation, ReceptiveField};

use crate::args::Shared;
use crate::output::Output;
use sizes::{field, pair};

#[derive(Debug, Args)]
#[command(
    after_help = "Example: taper explain conv --input 224 --in-channels 3 --out-channels 32 --kernel 3 --stride 2 --padding 1"
)]
pub(crate) struct Flags {
    #[command(subcommand)]
    layer: Layer,
}

#[derive(Debug, Subcommand)]
enum Layer {
    /// A convolution: dense, grouped, depthwise or transposed
    Conv(conv::Flags),
    /// A pool: of the maximum or the mean, over windows, parts or the whole map
    Pool(pool::Flags),
}

/// What every layer has.
#[derive(Debug, Clone, Copy, Args)]
struct Place {
    /// Height and width of the map that is read: 224x224, or 224 for a square
    #[arg(long, value_name = "HxW", value_parser = pair)]
    input: [usize; 2],
    /// Images a batch
    #[arg(long, value_name = "N", default_value_t = 1)]
    batch: usize,
    /// What the layers before make of the picture, as their last explanation says
    #[arg(long, value_name = "JUMP:FIELD", value_parser = field)]
    after: Option<ReceptiveField>,
    #[command(flatten)]
    shared: Shared,
}

impl Place {
    fn options(self, options: ExplainOptions) -> ExplainOptions {
        let before = self.after.unwrap_or(ReceptiveField::PIXEL);
        ExplainOptions { batch: self.batch, before, ..options }
    }
}

/// Runs the command.
pub(crate) fn run(flags: Flags) -> Result<ExitCode> {
    let (place, options) = match flags.layer {
        Layer::Conv(flags) => (flags.place, flags.options()),
        Layer::Pool(flags) => (flags.place, flags.options()?),
    };
    let output = Output::new(place.shared.json);
    let told = taper_recipes::explain(&options)?;
    output.say(words(&told));
    if let Some(picture) = picture::of(&options.op, options.input, told.padding) {
        output.say(format!("\n{picture}\n{}", picture::LEGEND));
    }
    output.json(&told)?;
    Ok(ExitCode::SUCCESS)
}

fn words(told: &Explanation) -> String {
    let [n, h, w, c] = told.input;
    let [_, out_h, out_w, out_c] = told.output;
    let mut lines = vec![
        row("reads", &format!("{n} x {h} x {w} x {c} (n, h, w, c)")),
        row("writes", &format!("{n} x {out_h} x {out_w} x {out_c}")),
    ];
    for size in &told.sizes {
        lines.push(row(&format!("  {}", size.axis), &format!("= {}", size.formula)));
        lines.push(row("", &format!("= {}", size.numbers)));
    }
    if !told.weight.is_empty() {
        lines.push(row("parameters", &parameters(told)));
    }
    let work = if told.macs > 0 { ("MACs", told.macs) } else { ("operations", told.operations) };
    lines.push(row(work.0, &format!("{} = {}", told.work, grouped(work.1))));
    lines.extend(sight(told));
    let kernel = told.kernel.as_deref().unwrap_or("none");
    lines.push(row("kernel", &format!("{kernel} on {}, {} lanes", told.isa, told.lanes)));
    lines.push(row("  because", &told.why));
    let memory = format!("{} bytes, {:.2} operations a byte", grouped(told.bytes), told.intensity);
    lines.push(row("memory", &memory));
    lines.join("\n")
}

fn row(name: &str, value: &str) -> String {
    format!("{name:<11}{value}")
}

fn parameters(told: &Explanation) -> String {
    let shape: Vec<String> = told.weight.iter().map(ToString::to_string).collect();
    let weight: usize = told.weight.iter().product();
    let bias = told.params - weight as u64;
    let bias = if bias == 0 { String::new() } else { format!(", and a bias of {bias}") };
    format!("{}: a weight of {}{bias}", grouped(told.params), shape.join("x"))
}

/// What a position sees of its input and of the picture, and how to go on with it.
fn sight(told: &Explanation) -> [String; 2] {
    let ReceptiveField { field, jump } = told.field;
    [
        row(
            "sees",
            &format!(
                "{} of what it reads, step {}",
                sides(told.window.field),
                sides(told.window.jump)
            ),
        ),
        row(
            "",
            &format!(
                "{} of the picture, step {} (for the next layer: --after {}:{})",
                sides(field),
                sides(jump),
                sides(jump),
                sides(field)
            ),
        ),
    ]
}

/// `3x5`, or `1.857x1.857` where parts have no whole size.
fn sides(sides: [f64; 2]) -> String {
    let [h, w] = sides.map(|side| (side * 1e3).round() / 1e3);
    format!("{h}x{w}")
}

/// Digits in threes: `10,838,016`.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_come_in_threes() {
        assert_eq!([0, 999, 1000, 10_838_016].map(grouped), ["0", "999", "1,000", "10,838,016"]);
    }
}
