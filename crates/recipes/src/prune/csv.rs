//! Sweeps and sensitivities as comma-separated values.
//!
//! Above: the binary. Below: `prune::{sweep, sensitivity}`, `cost::csv`. Not here: tables to be read (the binary's), pages
//! (`prune::page`).

use std::path::Path;

use super::sensitivity::SensitivityReport;
use super::sweep::SweepReport;
use crate::cost::csv::{quoted, replace};
use crate::error::Result;

/// Writes the points of a sweep, a line each; latencies are in columns `batch_N_ms`.
///
/// # Errors
/// [`Error::File`](crate::Error::File) if the file cannot be written.
pub fn write_sweep_csv(path: &Path, report: &SweepReport) -> Result<()> {
    let first = report.points.first();
    let batches = first.iter().flat_map(|point| &point.latencies);
    let heads = batches.map(|latency| format!(",batch_{}_ms", latency.batch));
    let mut text =
        format!("name,kind,share,macs,params,top1_cut,top1{},model\n", heads.collect::<String>());
    for point in &report.points {
        let mut fields = vec![
            quoted(&point.name),
            point.kind.word().to_owned(),
            number(point.share),
            point.macs.to_string(),
            point.params.to_string(),
            number(point.top1_cut),
            point.top1.to_string(),
        ];
        fields.extend(point.latencies.iter().map(|latency| latency.ms.to_string()));
        let model = point.model.as_ref().map(|path| path.display().to_string());
        fields.push(quoted(&model.unwrap_or_default()));
        text.push_str(&fields.join(","));
        text.push('\n');
    }
    replace(path, &text)
}

/// Writes what was cut of each group, a line for each share.
///
/// # Errors
/// [`Error::File`](crate::Error::File) if the file cannot be written.
pub fn write_sensitivity_csv(path: &Path, report: &SensitivityReport) -> Result<()> {
    let mut text = "group,name,channels,share,kept,top1,loss,macs_saved\n".to_owned();
    for group in &report.groups {
        for cut in &group.cuts {
            let fields = [
                group.id.to_string(),
                quoted(&group.name),
                group.units.to_string(),
                cut.share.to_string(),
                cut.kept.to_string(),
                cut.top1.to_string(),
                cut.loss.to_string(),
                cut.macs_saved.to_string(),
            ];
            text.push_str(&fields.join(","));
            text.push('\n');
        }
    }
    replace(path, &text)
}

fn number(number: Option<f64>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}
