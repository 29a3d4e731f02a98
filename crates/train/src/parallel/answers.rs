//! What a network gave for samples on any rank, and what it should have given: for the metrics of all.
//!
//! Above: `parallel::{evaluate, step}`. Below: `parallel::wire`, `metrics`. Not here: metrics themselves (`metrics`).

use taper_data::Targets;

use super::wire::{Reader, Writer};
use crate::error::Result;
use crate::metrics::{Output, Predictions};

/// Values of one output, channels last, with their shape.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rows {
    pub(crate) name: String,
    pub(crate) values: Vec<f32>,
    /// `(n, …)`.
    pub(crate) shape: Vec<usize>,
}

/// Outputs and targets of the same samples.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Answers {
    pub(super) outputs: Vec<Rows>,
    pub(super) targets: Targets,
    pub(super) indices: Vec<usize>,
}

impl Answers {
    /// Adds the samples of others behind its own.
    pub(super) fn append(&mut self, others: Self) -> Result<()> {
        if self.indices.is_empty() {
            *self = others;
            return Ok(());
        }
        for (mine, theirs) in self.outputs.iter_mut().zip(&others.outputs) {
            mine.values.extend_from_slice(&theirs.values);
            if let (Some(n), Some(more)) = (mine.shape.first_mut(), theirs.shape.first()) {
                *n += more;
            }
        }
        self.targets.append(&others.targets)?;
        self.indices.extend(others.indices);
        Ok(())
    }

    /// Shows them to metrics.
    pub(super) fn show(&self, see: impl FnOnce(&Predictions<'_>) -> Result<()>) -> Result<()> {
        let outputs = self.outputs.iter();
        let outputs = outputs.map(|Rows { name, values, shape }| Output { name, values, shape });
        see(&Predictions::new(outputs.collect(), &self.targets, &self.indices)?)
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.size(self.outputs.len());
        for Rows { name, values, shape } in &self.outputs {
            writer.text(name);
            writer.floats(values);
            writer.sizes(shape);
        }
        writer.targets(&self.targets);
        writer.sizes(&self.indices);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let mut outputs = Vec::new();
        for _ in 0..reader.count(24)? {
            let (name, values, shape) = (reader.text()?, reader.floats()?, reader.sizes()?);
            outputs.push(Rows { name, values, shape });
        }
        Ok(Self { outputs, targets: reader.targets()?, indices: reader.sizes()? })
    }
}
