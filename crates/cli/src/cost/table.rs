//! Costs as aligned tables, with shares and bars.
//!
//! Above: `cost`. Below: `taper_recipes`' reports. Not here: files (`taper_recipes`).

use std::fmt::Write as _;

use taper_recipes::{
    Bytes, CostReport, CostSummary, Macs, RunCost, Saving, ScopeRow, Seconds, SweepReport, TimeCost,
};

/// Characters of a whole bar.
const BAR: usize = 8;

/// Eighths of a block, from none to seven.
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/// Everything about one network.
pub(super) fn of_network(report: &CostReport, depth: usize) -> String {
    let mut text = heading(report);
    let rows = rows(&report.tree, depth);
    let width = rows.iter().map(|(indent, row)| 2 * indent + short(row, *indent).len()).max();
    let width = width.unwrap_or(0).max(8);
    let has_time = report.time.is_some();
    let time = if has_time { format!("  {:>8} {:<13}", "ms", "") } else { String::new() };
    let _ = write!(
        text,
        "\n\n{:width$}  {:>8} {:<13}  {:>8} {:<13}  {:>11}{time}",
        "", "params", "", "MACs", "", "activations"
    );
    let all_ms = report.tree.ms.unwrap_or(0.0);
    for (indent, row) in rows {
        let name = format!("{:indent$}{}", "", short(row, indent), indent = 2 * indent);
        let _ = write!(
            text,
            "\n{name:width$}  {:>8} {:<13}  {:>8} {:<13}  {:>11}",
            count(row.params),
            bar(row.params as f64, report.params as f64),
            count(row.macs),
            bar(row.macs as f64, report.macs as f64),
            count(row.activations)
        );
        if let Some(ms) = row.ms.filter(|_| has_time) {
            let _ = write!(text, "  {ms:>8.3} {:<13}", bar(ms, all_ms));
        }
    }
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n")
}

fn heading(report: &CostReport) -> String {
    let CostReport { model, image_size: [h, w], batch, threads, .. } = report;
    let (memory, training) = (&report.memory, &report.training_memory);
    let mut text = format!(
        "{model}, {h}x{w}, batch {batch}, threads {threads}\n\
         params       {} ({})\n\
         MACs         {}, backward {}; norms {} and elementwise {} operations more\n\
         activations  {}, {} moved, {:.1} operations a byte\n\
         inference    {}: weights {}, arena {}, images {}; at most {} live at once{}\n\
         training     {}: arena {} (of that {} stored activations), gradients {}, optimizer {}{}; the process about {}",
        count(report.params),
        bytes(memory.weights_bytes),
        count(report.macs),
        count(report.backward_macs),
        count(report.norm_flops),
        count(report.elementwise_flops),
        count(report.activations),
        bytes(report.bytes),
        report.intensity,
        bytes(memory.total_bytes),
        bytes(memory.weights_bytes),
        bytes(memory.arena_bytes),
        bytes(memory.images_bytes),
        bytes(report.peak_activation_bytes),
        at_peak(&memory.at_peak),
        bytes(training.total_bytes),
        bytes(training.arena_bytes),
        bytes(training.stored_activations_bytes),
        bytes(training.gradients_bytes),
        bytes(training.optimizer_bytes),
        at_peak(&training.at_peak),
        bytes(training.process_bytes),
    );
    match &report.time {
        Some(time) => text.push_str(&predicted(time)),
        None => text.push_str("\ntime         not predicted: run `taper cost --calibrate` once"),
    }
    for (what, ms) in
        [("a batch", report.measured_ms), ("a training step", report.measured_training_ms)]
    {
        if let Some(ms) = ms {
            let _ = write!(text, "\nmeasured     {ms:.2} ms {what}");
        }
    }
    match report.largest_batch {
        Some(0) => text.push_str("\nlargest batch: not even one image trains in that memory"),
        Some(batch) => {
            let _ = write!(text, "\nlargest batch that trains in that memory: {batch}");
        }
        None => {}
    }
    text
}

fn predicted(time: &TimeCost) -> String {
    let TimeCost { on, ms, bound_ms, training_ms, training_bound_ms } = time;
    format!(
        "\npredicted    {ms:.2} ms a batch (the machine needs {bound_ms:.2} at least), \
         {training_ms:.1} ms a training step ({training_bound_ms:.1} at least), on {on}"
    )
}

fn at_peak(tensors: &[taper_recipes::LiveTensorCost]) -> String {
    let names: Vec<&str> = tensors.iter().take(2).map(|tensor| tensor.name.as_str()).collect();
    if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) }
}

/// The rows of a table so many scopes deep, with how far each is indented.
fn rows(tree: &ScopeRow, depth: usize) -> Vec<(usize, &ScopeRow)> {
    fn add<'a>(
        parts: &'a [ScopeRow],
        indent: usize,
        depth: usize,
        rows: &mut Vec<(usize, &'a ScopeRow)>,
    ) {
        for part in parts {
            rows.push((indent, part));
            if indent + 1 < depth {
                add(&part.parts, indent + 1, depth, rows);
            }
        }
    }
    let mut rows = Vec::new();
    add(&tree.parts, 0, depth.max(1), &mut rows);
    rows
}

/// The whole name on the outside, the rest of it inside.
fn short(row: &ScopeRow, indent: usize) -> &str {
    if indent == 0 { &row.name } else { row.name.rsplit('.').next().unwrap_or_default() }
}

/// Several networks, a line each.
pub(super) fn comparison(reports: &[CostReport]) -> String {
    let width = reports.iter().map(|report| report.model.len()).max().unwrap_or(0);
    let mut text = format!(
        "{:width$}  {:>7}  {:>8}  {:>8}  {:>9}  {:>9}  {:>9}  {:>9}  {:>8}  {:>6}",
        "name", "input", "params", "MACs", "weights", "peak", "training", "ms", "step ms", "top-1"
    );
    let dash = || "–".to_owned();
    for report in reports {
        let [h, w] = report.image_size;
        let ms = report.time.as_ref().map_or_else(dash, |time| format!("{:.2}", time.ms));
        let step =
            report.time.as_ref().map_or_else(dash, |time| format!("{:.1}", time.training_ms));
        let top1 = report.top1.map_or_else(dash, |top1| format!("{:.1} %", 100.0 * top1));
        let _ = write!(
            text,
            "\n{:width$}  {:>7}  {:>8}  {:>8}  {:>9}  {:>9}  {:>9}  {ms:>9}  {step:>8}  {top1:>6}",
            report.model,
            format!("{h}x{w}"),
            count(report.params),
            count(report.macs),
            bytes(report.memory.weights_bytes),
            bytes(report.peak_activation_bytes),
            bytes(report.training_memory.total_bytes),
        );
    }
    text
}

/// A whole run.
pub(super) fn run(run: &RunCost) -> String {
    let seconds = |seconds: f64| Seconds(seconds).to_string();
    format!(
        "{} epochs of {} pictures in {} steps, evaluated on {}: {} (steps {}, reading {}, evaluating {})",
        run.epochs,
        run.images,
        run.steps,
        run.val_images,
        seconds(run.seconds),
        seconds(run.step_seconds),
        seconds(run.reading_seconds),
        seconds(run.evaluate_seconds),
    )
}

/// A factor at all its values.
pub(super) fn sweep(sweep: &SweepReport) -> String {
    let rows = sweep.rows.iter().map(|row| (row.value.as_str(), &row.cost));
    costs(&sweep.factor, &rows.collect::<Vec<_>>())
}

/// What leaving parts out would save, with the share of the whole that the multiply-accumulates are.
pub(super) fn savings(savings: &[Saving], report: &CostReport) -> String {
    let name = |saving: &Saving| {
        let share = 100.0 * saving.saved.macs as f64 / report.macs.max(1) as f64;
        format!("{} ({share:.1} %)", saving.name)
    };
    let names: Vec<String> = savings.iter().map(name).collect();
    let rows = names.iter().map(String::as_str).zip(savings.iter().map(|saving| &saving.saved));
    costs("saved without (of MACs)", &rows.collect::<Vec<_>>())
}

/// Costs in a line each.
fn costs(head: &str, rows: &[(&str, &CostSummary)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).chain([head.len()]).max().unwrap_or(0);
    let mut text = format!(
        "{head:width$}  {:>8}  {:>8}  {:>11}  {:>9}  {:>9}  {:>9}  {:>8}  {:>8}",
        "params", "MACs", "activations", "weights", "peak", "training", "ms", "step ms"
    );
    for (name, cost) in rows {
        let ms = |ms: Option<f64>| ms.map_or_else(|| "–".to_owned(), |ms| format!("{ms:.2}"));
        let _ = write!(
            text,
            "\n{name:width$}  {:>8}  {:>8}  {:>11}  {:>9}  {:>9}  {:>9}  {:>8}  {:>8}",
            count(cost.params),
            count(cost.macs),
            count(cost.activations),
            bytes(cost.weights_bytes),
            bytes(cost.peak_activation_bytes),
            bytes(cost.training_bytes),
            ms(cost.ms),
            ms(cost.training_ms),
        );
    }
    text
}

/// A share of a whole in words and as a bar.
fn bar(part: f64, whole: f64) -> String {
    if whole <= 0.0 || part <= 0.0 {
        return String::new();
    }
    let share = (part / whole).clamp(0.0, 1.0);
    format!("{:>3.0} % {}", 100.0 * share, blocks(share))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a few eighths, from a share between 0 and 1"
)]
fn blocks(share: f64) -> String {
    let eighths = (share * (8 * BAR) as f64).round() as usize;
    format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
}

fn count(count: u64) -> String {
    Macs(count).to_string()
}

fn bytes(bytes: u64) -> String {
    Bytes(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_their_share() {
        assert_eq!(blocks(0.0), "");
        assert_eq!(blocks(1.0).chars().count(), BAR);
        assert_eq!(blocks(0.5), "████");
        assert_eq!(blocks(1.0 / 64.0), "▏");
        assert_eq!(bar(0.0, 1.0), "");
        assert_eq!(bar(1.0, 0.0), "");
    }

    #[test]
    fn a_table_goes_as_deep_as_it_is_told() {
        let leaf = |name: &str| ScopeRow { name: name.to_owned(), ..ScopeRow::default() };
        let part = ScopeRow { parts: vec![leaf("a.b"), leaf("a.c")], ..leaf("a") };
        let tree = ScopeRow { parts: vec![part, leaf("d")], ..ScopeRow::default() };
        let names = |depth| -> Vec<String> {
            rows(&tree, depth).iter().map(|(_, row)| row.name.clone()).collect()
        };
        assert_eq!(names(1), ["a", "d"]);
        assert_eq!(names(9), ["a", "a.b", "a.c", "d"]);
    }
}
