//! The `taper` binary: parses, calls `taper_recipes`, prints.
//!
//! Exit codes: 0 done; 1 the work failed; 2 the request was wrong; 130 stopped by Ctrl-C with everything saved.

mod args;
mod augment;
mod bench;
mod compare;
mod confusion;
mod cost;
mod demo;
mod doctor;
mod download;
mod embed;
mod eval;
mod explain;
mod failure;
mod finetune;
mod look;
mod models;
mod output;
mod predict;
mod progress;
mod prune;
mod ranks;
mod report;
mod scores;
mod signals;
mod similar;

use std::process::ExitCode;

fn main() -> ExitCode {
    match args::parse().and_then(args::Request::run) {
        Ok(code) => code,
        Err(error) => failure::end(&error),
    }
}
