//! Published weights: `cargo xtask weights list|fetch|verify|add|embed`.
//!
//! Above: `main`. Below: `weights::{add, embed}`, the zoo's records and its hub. Not here: where files are and their hashes
//! (`taper_zoo::records`), caches and downloads (`taper_zoo::hub`).

mod add;
mod embed;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use taper_zoo::hub::{self, Environment, Hub, Progress};
use taper_zoo::{Record, WeightsSource, record, records};

use crate::shell;
use add::Wish;

/// What to do with published weights.
#[derive(Debug, Subcommand)]
pub(crate) enum WeightsCommand {
    /// All weights: accuracy, licence, whether they are here, hashes and places
    List,
    /// Downloads a file from the first of its places that gives the right bytes, into the cache that `taper` uses
    #[command(after_help = "Example: cargo xtask weights fetch mobilenetv2_100.tv_in1k")]
    Fetch {
        /// Name of the weights, or of an architecture
        name: String,
    },
    /// Compares a file with the published hashes
    #[command(after_help = "Example: cargo xtask weights verify mobilenetv2_100.tv_in1k")]
    Verify {
        /// Name of the weights, or of an architecture
        name: String,
        /// The file; by default the one in the cache
        #[arg(long)]
        file: Option<PathBuf>,
    },
    /// Makes a record of weights on the hub: reads config.json, compares the file with the network, computes its hash
    #[command(
        after_help = "Example: cargo xtask weights add timm/mobilenetv2_075.some_in1k --top1 0.7"
    )]
    Add {
        /// Owner and name of the repository
        #[arg(value_name = "OWNER/NAME")]
        repo: String,
        /// Published top-1 on ImageNet's validation set, from 0 to 1, at the size of config.json for tests
        #[arg(long)]
        top1: f64,
        /// SPDX name of the weights' licence, if config.json does not say
        #[arg(long)]
        licence: Option<String>,
        /// A folder with config.json and model.safetensors, instead of the hub
        #[arg(long)]
        dir: Option<PathBuf>,
    },
    /// Makes crates/weights-mobilenet-v2/weights.safetensors from the verified file
    #[command(after_help = "Example: cargo xtask weights embed --file mobilenet_v2-b0353104.pth")]
    Embed {
        /// The published file; fetched when absent
        #[arg(long)]
        file: Option<PathBuf>,
    },
}

/// The weights that are in a crate.
const EMBEDDED: &str = "mobilenetv2_100.tv_in1k";
/// How often a download is told of.
const EVERY: Duration = Duration::from_secs(5);

/// Runs one of the commands.
pub(crate) fn run(command: WeightsCommand) -> Result<()> {
    match command {
        WeightsCommand::List => {
            let environment = Environment::from_env()?;
            records().iter().for_each(|record| print(record, &environment));
            Ok(())
        }
        WeightsCommand::Fetch { name } => {
            println!("{}", fetch(record(&name)?)?.1.display());
            Ok(())
        }
        WeightsCommand::Verify { name, file } => verify(record(&name)?, file).map(drop),
        WeightsCommand::Add { repo, top1, licence, dir } => {
            let wish = Wish { repo: &repo, top1, licence: licence.as_deref() };
            let fetch = |file: &str| match &dir {
                Some(dir) => Ok(dir.join(file)),
                None => Ok(hub()?.fetch(&repo, file, "", &mut listener())?),
            };
            print!("{}", add::add(&shell::root(), &wish, fetch)?);
            println!("written; `cargo xtask tables` brings it into the documents");
            Ok(())
        }
        WeightsCommand::Embed { file } => {
            let record = record(EMBEDDED)?;
            let (source, file) = match file {
                Some(file) => verify(record, Some(file))?,
                None => fetch(record)?,
            };
            embed::embed(record, source, &file)
        }
    }
}

fn print(record: &Record, environment: &Environment) {
    let Record { name, licence, top1, .. } = record;
    let here = if record.is_cached(environment) { "  (here)" } else { "" };
    println!("{name}  top-1 {:.2} %  {licence}{here}", top1 * 100.0);
    for source in record.sources {
        let sha256 = if source.sha256.is_empty() { "of the server" } else { source.sha256 };
        println!("    {source}  sha256 {sha256}");
    }
}

fn hub() -> Result<Hub> {
    Ok(Hub::new(Environment::from_env()?)?)
}

fn fetch(record: &Record) -> Result<(&'static WeightsSource, PathBuf)> {
    Ok(record.fetch(&hub()?, &mut listener())?)
}

/// Tells of a download now and then.
fn listener() -> impl FnMut(Progress<'_>) -> ControlFlow<()> {
    let mut last = Instant::now();
    move |progress| {
        if last.elapsed() >= EVERY {
            last = Instant::now();
            tell(progress);
        }
        ControlFlow::Continue(())
    }
}

fn tell(progress: Progress<'_>) {
    match progress {
        Progress::Received { file, bytes, total } => {
            let total = total.map_or_else(String::new, |total| format!(" of {total}"));
            eprintln!("{file}: {bytes}{total} bytes");
        }
        Progress::Waiting { file } => eprintln!("{file}: another process is downloading it"),
        Progress::Pausing { pause, reason } => {
            eprintln!("{reason}; again in {:.1} s", pause.as_secs_f64());
        }
        _ => {}
    }
}

/// The file and which of the record's it is.
fn verify(record: &Record, file: Option<PathBuf>) -> Result<(&'static WeightsSource, PathBuf)> {
    let Some(file) = file else {
        let found = record.find(&hub()?).with_context(|| {
            format!("no cache has `{}`: cargo xtask weights fetch {}", record.name, record.name)
        })?;
        println!("{}: as published", found.1.display());
        return Ok(found);
    };
    let got = hub::sha256(&file)?;
    let Some(source) = record.sources.iter().find(|source| source.has_sha256(&got)) else {
        let published: Vec<&str> = record.sources.iter().map(|source| source.sha256).collect();
        bail!("{} has sha256 {got}, published is {}", file.display(), published.join(" or "));
    };
    println!("{}: sha256 {got}, as published", file.display());
    Ok((source, file))
}
