//! `taper demo`: a page to try a model on.
//!
//! Above: `args`. Below: `taper_recipes::Demo`. Not here: the page and what it may be sent (`taper_recipes`).

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use taper_recipes::{Demo, DemoOptions};

use crate::args::{Arch, Shared};
use crate::output::Output;
use crate::progress::Progress;
use crate::signals;

#[derive(Debug, Args)]
#[command(after_help = "\
Example: taper demo --model my-model/model.safetensors

Prints the page's address and serves it to this machine alone until Ctrl-C. The page takes a picture that is dropped, chosen, pasted or
photographed, and shows the likeliest classes and a heat map of what speaks for the first.

With --json, the first line is {\"url\"}")]
pub(crate) struct Flags {
    /// Name (see `taper models`) or model file
    #[arg(long, value_name = "NAME|FILE")]
    model: String,
    #[command(flatten)]
    arch: Arch,
    /// Port on 127.0.0.1; 0 for any that is free
    #[arg(long, value_name = "N", default_value_t = DemoOptions::PORT)]
    port: u16,
    /// Classes to name for each picture
    #[arg(long, value_name = "K", default_value_t = DemoOptions::new("").top)]
    top: usize,
    #[command(flatten)]
    shared: Shared,
}

#[derive(Serialize)]
struct Opened {
    url: String,
}

/// Runs the command until it is stopped.
pub(crate) fn run(flags: Flags) -> Result<ExitCode> {
    let stop = signals::stop_flag()?;
    let output = Output::stopping(flags.shared.json, Arc::clone(&stop));
    let options = DemoOptions {
        port: flags.port,
        top: flags.top,
        threads: flags.shared.threads,
        ..DemoOptions::new(flags.arch.of(flags.model))
    };
    let mut progress = Progress::new(output.clone());
    let demo = Demo::open(&options, &stop, &mut progress);
    progress.end();
    let demo = demo?;
    let url = demo.url();
    output.say(format!("open {url} in a browser; Ctrl-C ends it"));
    output.json(&Opened { url })?;
    demo.serve(&stop)?;
    output.check()?;
    Ok(ExitCode::SUCCESS)
}
