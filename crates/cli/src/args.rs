//! The command line: commands, what they share, and help.
//!
//! Above: `main`. Below: one module a command. Not here: each command's flags (`finetune`, `eval`, …).

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use taper_recipes::{MAX_THREADS, TableColumns, TargetWord, Tta};

use crate::{
    bench, compare, cost, demo, doctor, embed, eval, explain, finetune, look, models, predict,
    prune, ranks, report, similar,
};

/// Fine-tune, evaluate, use and measure efficient convolutional networks.
#[derive(Debug, Parser)]
#[command(
    name = "taper",
    version,
    after_help = "Example: taper finetune --data photos/\n\n\
                  Exit codes: 0 done; 1 the work failed; 2 the request was wrong; \
                  130 stopped by Ctrl-C with everything saved"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Fine-tune a pretrained network on a folder of pictures
    Finetune(Box<finetune::Flags>),
    /// Measure a model on a folder of pictures
    Eval(eval::Flags),
    /// Say what pictures show
    Predict(predict::Flags),
    /// Draw what a model makes of pictures: filters, feature maps, what speaks for a class
    Look(look::Flags),
    /// Try a model in the browser: a page of this machine that takes pictures
    Demo(demo::Flags),
    /// Find faults in a folder of pictures: copies, wrong labels, strangers, damaged files
    Doctor(Box<doctor::Flags>),
    /// Write what a network says of pictures before its classifier: a row of features each
    Embed(embed::Flags),
    /// Find the pictures of a folder that are most similar to one
    Similar(similar::Flags),
    /// Write the page about a run, also of one that was cut
    Report(report::Flags),
    /// Lay runs side by side: what differs, scores, times, curves
    Compare(compare::Flags),
    /// Measure how long a model takes on this machine
    Bench(bench::Flags),
    /// Count what a network costs, before it runs: parameters, operations, memory, time
    Cost(Box<cost::Flags>),
    /// Make a network smaller and faster: cut channels, and let it recover
    Prune(Box<prune::Flags>),
    /// Explain what a convolution or a pool does at given sizes: formulas, cost, kernel
    Explain(Box<explain::Flags>),
    /// List or search the networks that are known by name
    Models(models::Flags),
}

/// What every command has.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Shared {
    /// Threads of computing and of reading pictures; 0 for all there are
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = threads)]
    pub(crate) threads: usize,
    /// End standard output with one JSON object; everything else goes to standard error
    #[arg(long)]
    pub(crate) json: bool,
}

/// How a table of pictures is read.
#[derive(Debug, Clone, Args)]
pub(crate) struct TableFlags {
    /// Table of the pictures that lie in --data, with what they show: .csv, .tsv, .jsonl
    #[arg(long, value_name = "FILE", requires = "data")]
    pub(crate) table: Option<PathBuf>,
    /// The table's column of paths [default: path, image, file, filename, …]
    #[arg(long, value_name = "COLUMN")]
    pub(crate) image_column: Option<String>,
    /// The table's columns of targets, between commas [default: label, class, labels, tags, …, or the only one left]
    #[arg(long, value_name = "COLUMN,…")]
    pub(crate) target_columns: Option<String>,
    /// What the targets are [default: told from their values]
    #[arg(long, value_name = "class|labels|probabilities|numbers")]
    pub(crate) targets: Option<TargetWord>,
}

impl TableFlags {
    /// The columns.
    pub(crate) fn into_columns(self) -> TableColumns {
        TableColumns { image: self.image_column, targets: self.target_columns, kind: self.targets }
    }
}

/// How pictures are looked at.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Views {
    /// Height and width of the network's input, in pixels; larger than in training may be better [default: the model's own]
    #[arg(long, value_name = "N")]
    pub(crate) image_size: Option<usize>,
    /// Look at several views of each picture, and average what they say: mirrored, corners and middle, or both
    #[arg(long, value_name = "none|flip|five|ten", default_value_t = Tta::None)]
    pub(crate) tta: Tta,
}

/// What a file of weights does not say of itself.
#[derive(Debug, Clone, Args)]
pub(crate) struct Arch {
    /// The network that the weights in the model's FILE are of, if it is none of taper's: any .pth or .safetensors of torch's tensors.
    /// Of several state dicts in it, FILE#KEY is one
    #[arg(long, value_name = "NETWORK")]
    arch: Option<String>,
}

impl Arch {
    /// The model that is meant.
    pub(crate) fn of(&self, model: String) -> String {
        match &self.arch {
            Some(network) => taper_recipes::weights_of(network, &model),
            None => model,
        }
    }
}

/// A number of threads that a machine may have.
fn threads(text: &str) -> std::result::Result<usize, String> {
    match text.parse() {
        Ok(threads) if threads <= MAX_THREADS => Ok(threads),
        _ => Err(format!("expected a number from 0, for all there are, to {MAX_THREADS}")),
    }
}

/// A parsed command line, with what was said and what is default.
#[derive(Debug)]
pub(crate) struct Request {
    command: Command,
    matches: ArgMatches,
}

/// Reads the command line; help, the version and mistakes are errors of clap's.
pub(crate) fn parse() -> Result<Request> {
    let matches = Cli::command().try_get_matches()?;
    let command = Cli::from_arg_matches(&matches)?.command;
    let matches = matches.subcommand().map(|(_, matches)| matches.clone()).unwrap_or_default();
    Ok(Request { command, matches })
}

impl Request {
    /// Does what was asked.
    pub(crate) fn run(self) -> Result<ExitCode> {
        if !matches!(self.command, Command::Finetune(_)) {
            ranks::must_be_alone()?;
        }
        match self.command {
            Command::Finetune(flags) => finetune::run(*flags, &self.matches),
            Command::Eval(flags) => eval::run(flags),
            Command::Predict(flags) => predict::run(flags),
            Command::Look(flags) => look::run(flags),
            Command::Demo(flags) => demo::run(flags),
            Command::Doctor(flags) => doctor::run(*flags),
            Command::Embed(flags) => embed::run(flags),
            Command::Similar(flags) => similar::run(flags),
            Command::Report(flags) => report::run(flags),
            Command::Compare(flags) => compare::run(flags),
            Command::Bench(flags) => bench::run(flags),
            Command::Cost(flags) => cost::run(*flags),
            Command::Prune(flags) => prune::run(*flags),
            Command::Explain(flags) => explain::run(*flags),
            Command::Models(flags) => models::run(&flags),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_an_example() {
        let cli = Cli::command();
        let nested = cli.get_subcommands().flat_map(clap::Command::get_subcommands);
        for command in cli.get_subcommands().chain(nested) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example"), "{}", command.get_name());
        }
    }
}
