//! A network, a batch and threads: what a contestant is told.
//!
//! Above: `infer`, `train`, `layers`. Below: `cores`, `peers`. Not here: what it does with them.

use std::process::Command;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::{Value, json};

use super::contestant::Contestant;
use super::{Bench, networks};

/// One configuration.
#[derive(Debug, Clone, Args)]
pub(crate) struct Setup {
    #[arg(long)]
    pub(super) model: String,
    #[arg(long)]
    pub(super) batch: usize,
    #[arg(long)]
    pub(super) image_size: usize,
    #[arg(long)]
    pub(super) threads: usize,
}

impl Setup {
    /// Every combination of what was asked for, batches before threads; `models` are the section's beside those of every section.
    pub(super) fn all(
        bench: &Bench,
        models: &[&str],
        batches: &[usize],
        threads: &[usize],
    ) -> Vec<Self> {
        let mut all = Vec::new();
        for model in bench.models(models) {
            for &batch in bench.batches(batches) {
                for &threads in bench.threads(threads) {
                    let (model, image_size) = (model.clone(), bench.image_size);
                    all.push(Self { model, batch, image_size, threads });
                }
            }
        }
        all
    }

    /// `[n, h, w]`.
    pub(super) fn shape(&self) -> [usize; 3] {
        [self.batch, self.image_size, self.image_size]
    }

    /// A batch `(n, h, w, 3)`.
    pub(super) fn images(&self) -> Vec<f32> {
        networks::images(self.shape().iter().product::<usize>() * 3)
    }

    /// A command that runs our contestant of a section.
    pub(super) fn ours(&self, bench: &Bench, section: &str) -> Result<Command> {
        let Self { model, batch, image_size, threads } = self;
        let mut command = bench.cores.pinned(*threads, std::env::current_exe()?);
        command.args(["contestant", section]);
        command.arg(format!("--model={model}")).arg(format!("--batch={batch}"));
        command.arg(format!("--image-size={image_size}")).arg(format!("--threads={threads}"));
        Ok(command)
    }

    /// Starts a peer: `python SCRIPT NAME MODEL BATCH SIZE THREADS REST`. Refuses one that runs another network than
    /// `parameters` belong to; one that cannot count its parameters is believed.
    pub(super) fn peer(
        &self,
        bench: &Bench,
        (script, name): (&str, &str),
        parameters: &Value,
        rest: Option<&str>,
    ) -> Result<Contestant> {
        let Some(python) = &bench.peers else { bail!("{name} was asked for without --peers") };
        let Self { model, batch, image_size, threads } = self;
        let mut command = python.script(&bench.cores, *threads, script);
        command.args([name, model]).args([batch, image_size, threads].map(ToString::to_string));
        command.args(rest);
        let contestant = Contestant::start(name, command, &bench.folder)?;
        let theirs = &contestant.ready()["parameters"];
        if !theirs.is_null() && theirs != parameters {
            bail!("{name} has {theirs} parameters and we have {parameters}: another network");
        }
        Ok(contestant)
    }

    pub(super) fn json(&self) -> Value {
        let Self { model, batch, image_size, threads } = self;
        json!({ "model": model, "batch": batch, "image_size": image_size, "threads": threads })
    }
}
