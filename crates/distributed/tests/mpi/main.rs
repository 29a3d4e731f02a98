//! Ranks that are processes: this program starts itself under `mpirun`, with good ends and bad ones.
//!
//! Above: `cargo test --features mpi`. Below: `jobs`, `ranks`. Not here: sums and agreement in all their cases (`group::tests`).
//! It has no test harness, because a process may start MPI once. Arguments that are no option select tests by a part of their name.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(
    clippy::print_stdout,
    reason = "what ranks say is what is tested, and the tests' lines are those of a harness"
)]

mod jobs;
mod ranks;

use std::panic;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, program] = &arguments[..]
        && first == ranks::RANK
    {
        return ranks::run(program);
    }
    let filters: Vec<&String> = arguments.iter().filter(|word| !word.starts_with('-')).collect();
    let is_wanted =
        |name: &str| filters.is_empty() || filters.iter().any(|part| name.contains(*part));
    let (wanted, others): (Vec<_>, Vec<_>) =
        jobs::TESTS.iter().partition(|(name, _)| is_wanted(name));
    println!("\nrunning {} tests", wanted.len());
    let mut failed = 0;
    for (name, test) in &wanted {
        let has_passed = panic::catch_unwind(test).is_ok();
        println!("test {name} ... {}", if has_passed { "ok" } else { "FAILED" });
        failed += usize::from(!has_passed);
    }
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    let (passed, filtered) = (wanted.len() - failed, others.len());
    println!(
        "\ntest result: {verdict}. {passed} passed; {failed} failed; 0 ignored; 0 measured; {filtered} filtered out\n"
    );
    ExitCode::from(u8::from(failed > 0))
}
