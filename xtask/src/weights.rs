//! Published weights: `cargo xtask weights list|fetch|verify|add|embed`.
//!
//! Above: `main`. Below: `weights::{fetch, add, embed}`, the zoo's records. Not here: where files are and their hashes
//! (`taper_zoo::records`).

mod add;
mod embed;
mod fetch;
mod http;
mod wheel;

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Subcommand;
use taper_zoo::{Record, record, records};

use crate::shell;
use add::Wish;
use fetch::Wanted;

/// What to do with published weights.
#[derive(Debug, Subcommand)]
pub(crate) enum WeightsCommand {
    /// All weights: accuracy, licence, hash and places
    List,
    /// Downloads a file from the first of its places that gives the right bytes
    #[command(after_help = "Example: cargo xtask weights fetch mobilenetv2_100.tv_in1k")]
    Fetch {
        /// Name of the weights, or of an architecture
        name: String,
        /// Folder for the file
        #[arg(long, default_value = "target/weights")]
        dir: PathBuf,
    },
    /// Compares a file with the published hash
    #[command(after_help = "Example: cargo xtask weights verify mobilenetv2_100.tv_in1k")]
    Verify {
        /// Name of the weights, or of an architecture
        name: String,
        /// The file; by default where `fetch` puts it
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
const DIR: &str = "target/weights";

/// Runs one of the commands.
pub(crate) fn run(command: WeightsCommand) -> Result<()> {
    match command {
        WeightsCommand::List => {
            records().iter().for_each(print);
            Ok(())
        }
        WeightsCommand::Fetch { name, dir } => {
            let path = fetch::fetch(&Wanted::of(record(&name)?)?, &dir, &http::agent())?;
            println!("{}", path.display());
            Ok(())
        }
        WeightsCommand::Verify { name, file } => verify(&Wanted::of(record(&name)?)?, file),
        WeightsCommand::Add { repo, top1, licence, dir } => {
            let wish = Wish { repo: &repo, top1, licence: licence.as_deref() };
            let fetch = |file: &str| match &dir {
                Some(dir) => Ok(dir.join(file)),
                None => fetch::of_hub(&repo, file, DIR.as_ref(), &http::agent()),
            };
            print!("{}", add::add(&shell::root(), &wish, fetch)?);
            println!("written; `cargo xtask tables` brings it into the documents");
            Ok(())
        }
        WeightsCommand::Embed { file } => embed(file),
    }
}

fn print(record: &Record) {
    let Record { name, licence, top1, .. } = record;
    println!("{name}  top-1 {:.2} %  {licence}", top1 * 100.0);
    for source in record.sources {
        let sha256 = if source.sha256.is_empty() { "of the server" } else { source.sha256 };
        println!("    {source}  sha256 {sha256}");
    }
}

fn verify(wanted: &Wanted, file: Option<PathBuf>) -> Result<()> {
    let file = file.unwrap_or_else(|| PathBuf::from(DIR).join(&wanted.file_name));
    let got = fetch::sha256(&file)?;
    if !wanted.accepts(&got) {
        bail!("{} has sha256 {got}, published is {}", file.display(), wanted.sha256);
    }
    println!("{}: sha256 {got}, as published", file.display());
    Ok(())
}

fn embed(file: Option<PathBuf>) -> Result<()> {
    let record = record(EMBEDDED)?;
    let wanted = Wanted::of(record)?;
    let file = match file {
        Some(file) => file,
        None => fetch::fetch(&wanted, DIR.as_ref(), &http::agent())?,
    };
    verify(&wanted, Some(file.clone()))?;
    embed::embed(record, &file)
}
