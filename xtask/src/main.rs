//! Maintenance tasks: `cargo xtask ci`, `test`, `tidy`, `proptest`, `checked`, `sanitize`, `miri`, `cross`, `weights`, `tables`,
//! `mpi`, `bench`, `golden`, `pictures`, `package`, `msrv`.
//!
//! Above: the alias in `.cargo/config.toml`, `.ci/run`. Below: cargo and the modules here. Not here: what a user of the
//! library runs (`taper`, in `crates/cli`).
#![expect(clippy::print_stdout, reason = "a command-line tool speaks on standard output")]
#![expect(clippy::print_stderr, reason = "a command-line tool complains on standard error")]

mod bench;
mod ci;
mod cross;
mod files;
mod golden;
mod instrumented;
mod marked;
mod mpi;
mod packages;
mod pictures;
mod properties;
mod shell;
mod svg;
mod tables;
mod tidy;
mod weights;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Maintenance of the Taper workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Everything a change must pass, cheapest first: fmt, tidy, clippy, alone, checked, sanitize, mpi, test, doc
    #[command(after_help = "Example: cargo xtask ci --skip-test")]
    Ci {
        /// Leave out the tests, because they have just run
        #[arg(long)]
        skip_test: bool,
    },
    /// Every test of the workspace, with a closing line that sums them up
    #[command(after_help = "Example: cargo xtask test -- conv")]
    Test {
        /// Passed on to `cargo test --workspace`
        #[arg(last = true)]
        rest: Vec<String>,
    },
    /// The house rules of docs/style.md
    Tidy,
    /// The properties with more cases and another seed than `cargo test` uses; counter-examples are kept
    #[command(after_help = "Example: cargo xtask proptest --cases 1000 kernels")]
    Proptest {
        /// Cases a property
        #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
        cases: u32,
        /// Seed of the cases; drawn from the clock and printed when absent
        #[arg(long, value_name = "N")]
        seed: Option<u64>,
        /// One crate by its folder; all when absent
        #[arg(value_name = "CRATE")]
        name: Option<String>,
    },
    /// The kernels' suites with debug assertions and overflow checks
    #[command(after_help = "Example: cargo xtask checked --cases 64")]
    Checked {
        /// Cases a property; few when absent
        #[arg(long, value_name = "N")]
        cases: Option<u32>,
    },
    /// The kernels' suites under an address sanitizer, debug assertions and overflow checks on
    #[command(after_help = "Example: cargo xtask sanitize --cases 64")]
    Sanitize {
        /// Cases a property; few when absent
        #[arg(long, value_name = "N")]
        cases: Option<u32>,
    },
    /// The kernels' suites, portable and scalar, under Miri, which a nightly toolchain brings
    #[command(after_help = "Example: cargo xtask miri -- calls")]
    Miri {
        /// Passed on to the tests
        #[arg(last = true)]
        rest: Vec<String>,
    },
    /// The kernels' property suite on aarch64 with NEON, under qemu-user
    #[command(after_help = "Example: cargo xtask cross --cases 8")]
    Cross {
        /// Cases a property; as many as `cargo test` has when absent
        #[arg(long)]
        cases: Option<u32>,
    },
    /// Clippy for every library by itself, with its own features and with none
    Alone,
    /// What is built with an MPI library: clippy, and tests under its launcher
    Mpi(mpi::MpiCommand),
    /// Published weights: list, fetch, verify, embed
    #[command(subcommand)]
    Weights(weights::WeightsCommand),
    /// Speed and memory, ours and the peers', measured in turns
    #[command(after_help = "Example: cargo xtask bench infer --batch 1 --peers python3")]
    Bench(bench::BenchArgs),
    /// Every network at its own size against PyTorch, and published weights on photographs
    #[command(after_help = "Example: cargo xtask golden --peers python3 mobilenetv2_100")]
    Golden(golden::GoldenArgs),
    /// The drawings of docs/convolution.md and docs/pooling.md, whose numbers our kernels compute
    #[command(after_help = "Example: cargo xtask pictures")]
    Pictures,
    /// The zoo as tables in README.md and docs/models.md, and as a picture; each crate's README from its documentation
    #[command(after_help = "Example: cargo xtask tables")]
    Tables,
    /// Packs every crate and builds each from its package alone
    #[command(after_help = "Example: cargo xtask package --skip-build")]
    Package {
        /// Pack only
        #[arg(long)]
        skip_build: bool,
    },
    /// Checks the crates with the oldest compiler that the manifests promise, which rustup installs
    #[command(after_help = "Example: cargo xtask msrv --if-available")]
    Msrv {
        /// Says so and succeeds where rustup cannot install it
        #[arg(long)]
        if_available: bool,
    },
    /// What `bench` starts to be measured
    #[command(subcommand, hide = true)]
    Contestant(bench::ContestantCommand),
}

fn main() -> ExitCode {
    match run(Args::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Ci { skip_test } => ci::ci(skip_test),
        Command::Test { rest } => ci::test(&rest),
        Command::Tidy => ci::tidy(),
        Command::Proptest { cases, seed, name } => properties::run(cases, seed, name.as_deref()),
        Command::Checked { cases } => instrumented::checked(cases),
        Command::Sanitize { cases } => instrumented::sanitize(cases),
        Command::Miri { rest } => instrumented::miri(&rest),
        Command::Cross { cases } => cross::cross(cases),
        Command::Mpi(command) => command.run(),
        Command::Weights(command) => weights::run(command),
        Command::Bench(args) => bench::run(&args),
        Command::Golden(args) => golden::run(&args),
        Command::Pictures => pictures::write(),
        Command::Tables => tables::write(),
        Command::Alone => packages::alone(),
        Command::Package { skip_build } => packages::package(skip_build),
        Command::Msrv { if_available } => packages::msrv(if_available),
        Command::Contestant(command) => bench::contend(&command),
    }
}
