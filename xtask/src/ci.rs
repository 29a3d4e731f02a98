//! The steps of `cargo xtask ci` and the commands they are also known by.
//!
//! Above: `main`. Below: `instrumented`, `mpi`, `packages`, `shell`, `tidy`. Not here: the rules themselves (`tidy`), long runs (`properties`).
//! All steps but those of `instrumented` share one target folder and one set of compiler flags, so that dependencies are compiled once
//! for running and once for checking.

use std::time::Instant;

use anyhow::{Result, bail};

use crate::{instrumented, mpi, packages, shell, tidy};

/// One step, by name; what CI prints at its end says how long each took.
type Step = (&'static str, fn() -> Result<()>);

/// What a change must pass, in this order.
const STEPS: [Step; 9] = [
    ("fmt", || shell::cargo(&["fmt", "--all", "--check"], &[])),
    ("tidy", tidy),
    ("clippy", || {
        shell::cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], &[])
    }),
    ("alone", packages::alone),
    ("checked", || instrumented::checked(None)),
    ("sanitize", instrumented::sanitize_if_possible),
    ("mpi", mpi::mpi_if_possible),
    (TEST, || test(&[])),
    ("doc", || {
        let strict = [("RUSTDOCFLAGS", "-D warnings")];
        shell::cargo(&["doc", "--workspace", "--no-deps"], &strict)
    }),
];

/// The step that `--skip-test` leaves out.
const TEST: &str = "test";

/// All [`STEPS`], or all but the tests; the first that fails ends it.
pub(crate) fn ci(skip_test: bool) -> Result<()> {
    let mut took = Vec::new();
    for (name, run) in STEPS.iter().filter(|(name, _)| !(skip_test && *name == TEST)) {
        let start = Instant::now();
        run()?;
        took.push(format!("{name} {:.0} s", start.elapsed().as_secs_f64()));
    }
    println!("ci: ok ({})", took.join(", "));
    Ok(())
}

/// `cargo test --workspace`, then one line that sums up all test binaries.
pub(crate) fn test(rest: &[String]) -> Result<()> {
    let mut args = vec!["test", "--workspace", "--no-fail-fast", "--"];
    args.extend(rest.iter().map(String::as_str));
    let start = Instant::now();
    let mut total = Totals::default();
    let succeeded = shell::cargo_lines(&args, &[], |line| {
        println!("{line}");
        total.add(line);
    })?;
    let verdict = if succeeded && total.failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntotal: {verdict}. {} passed; {} failed; {} suites; finished in {:.0}s",
        total.passed,
        total.failed,
        total.suites,
        start.elapsed().as_secs_f64()
    );
    if verdict != "ok" {
        bail!("tests failed");
    }
    Ok(())
}

/// The house rules; every broken one on a line of its own.
pub(crate) fn tidy() -> Result<()> {
    let problems = tidy::check(&shell::root())?;
    for problem in &problems {
        println!("{problem}");
    }
    if !problems.is_empty() {
        bail!("tidy: {} problems", problems.len());
    }
    println!("tidy: ok");
    Ok(())
}

/// The sum of cargo's `test result:` lines.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) suites: usize,
    pub(crate) passed: usize,
    pub(crate) failed: usize,
}

impl Totals {
    pub(crate) fn add(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else { return };
        self.suites += 1;
        for part in result.split([';', '.']) {
            let mut words = part.split_whitespace();
            let (number, unit) = (words.next(), words.next());
            let number = number.and_then(|word| word.parse::<usize>().ok()).unwrap_or(0);
            match unit {
                Some("passed") => self.passed += number,
                Some("failed") => self.failed += number,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_sum_cargos_closing_lines() {
        let mut total = Totals::default();
        total.add("test result: ok. 12 passed; 0 failed; 0 ignored; finished in 0.10s");
        total.add("test conv::delta ... ok");
        total.add("test result: FAILED. 3 passed; 2 failed; 0 ignored; finished in 0.10s");
        assert_eq!(total, Totals { suites: 2, passed: 15, failed: 2 });
    }
}
