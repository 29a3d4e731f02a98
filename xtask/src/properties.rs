//! `cargo xtask proptest`: the properties with more cases and another seed than `cargo test` uses.
//!
//! Above: `main`. Below: `find`, `kept`, `ci::Totals`, `shell`. Not here: what holds (the crates), another machine (`cross`).
//! A property that fails writes the seed of its counter-example beside its sources, and from then on every run of it,
//! `cargo test` too, begins with what is kept there.

mod find;
mod kept;

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use crate::ci::Totals;
use crate::shell;
use find::Suite;
use kept::Kept;

/// Cases that `prop_assume!` may discard in any run: proptest's default.
const DISCARDED: u32 = 1024;

/// Runs the properties of one crate, by its folder, or of all; without a seed it is drawn from the clock.
pub(crate) fn run(cases: u32, seed: Option<u64>, folder: Option<&str>) -> Result<()> {
    let seed = match seed {
        Some(seed) => seed,
        None => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            now.context("the clock stands before 1970")?.as_secs()
        }
    };
    let (root, suites) = (shell::root(), find::suites(&shell::root(), folder)?);
    let properties = suites.iter().map(|suite| suite.properties.len()).sum::<usize>();
    let crates = suites.iter().map(|suite| suite.folder.as_str()).collect::<Vec<_>>().join(", ");
    println!("proptest: {properties} properties of {crates}; {cases} cases each, seed {seed}");

    let before = Kept::read(&root)?;
    let ran = cargo_test(&suites, cases, seed)?;
    if ran.failed.is_empty() && ran.succeeded && ran.totals.passed >= properties {
        println!("\nproptest: ok. {properties} properties, {cases} cases each, seed {seed}");
        return Ok(());
    }
    for line in Kept::read(&root)?.report(&before) {
        println!("{line}");
    }
    for command in again(&suites, &ran.failed) {
        println!("  again, beginning with what is kept: {command}");
    }
    let name = folder.map(|folder| format!(" {folder}")).unwrap_or_default();
    println!("  again, all of it: cargo xtask proptest --cases {cases} --seed {seed}{name}");
    match ran.failed.len() {
        0 if ran.succeeded => {
            let ran = ran.totals.passed;
            bail!("{properties} properties stand in the sources, and cargo ran {ran} tests")
        }
        0 => bail!("cargo failed before a property did; seed {seed}"),
        failed => bail!("{failed} of {properties} properties failed; seed {seed}"),
    }
}

/// What cargo said.
struct Ran {
    succeeded: bool,
    totals: Totals,
    /// Paths of tests, such as `transform::crop::tests::crops_lie_inside`.
    failed: Vec<String>,
}

/// `cargo test` of the properties alone, with `PROPTEST_CASES` and `PROPTEST_RNG_SEED` set over the defaults of `.cargo/config.toml`.
fn cargo_test(suites: &[Suite], cases: u32, seed: u64) -> Result<Ran> {
    let mut args = vec!["test", "--no-fail-fast", "--tests"];
    for suite in suites {
        args.extend(["--package", &suite.package]);
    }
    // With the binary beside them crates are built with its features, behind which there are properties too.
    args.extend(["--package", "taper-cli", "--"]);
    args.extend(suites.iter().flat_map(|suite| &suite.properties).map(String::as_str));
    // As many cases may be discarded as are run; proptest's limit is a number that does not grow with them.
    let discarded = cases.max(DISCARDED).to_string();
    let (cases, seed) = (cases.to_string(), seed.to_string());
    let envs = [
        ("PROPTEST_CASES", cases.as_str()),
        ("PROPTEST_RNG_SEED", seed.as_str()),
        ("PROPTEST_MAX_GLOBAL_REJECTS", discarded.as_str()),
    ];
    let (mut totals, mut failed) = (Totals::default(), Vec::new());
    let succeeded = shell::cargo_lines(&args, &envs, |line| {
        println!("{line}");
        totals.add(line);
        failed.extend(failed_test(line).map(str::to_owned));
    })?;
    Ok(Ran { succeeded, totals, failed })
}

/// The test that a line of the test harness says has failed.
fn failed_test(line: &str) -> Option<&str> {
    line.strip_prefix("test ")?.strip_suffix(" ... FAILED")
}

/// For each test that failed, a command that runs it alone.
fn again(suites: &[Suite], failed: &[String]) -> Vec<String> {
    let mut commands = Vec::new();
    for test in failed {
        let name = test.rsplit("::").next().unwrap_or(test);
        for suite in suites.iter().filter(|suite| suite.properties.iter().any(|p| p == name)) {
            commands.push(format!("cargo test --package {} --tests -- {test}", suite.package));
        }
    }
    commands
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_run_again_by_its_package() {
        let suite = |folder: &str, properties: &[&str]| Suite {
            folder: folder.to_owned(),
            package: format!("taper-{folder}"),
            properties: properties.iter().map(|&name| name.to_owned()).collect(),
        };
        let suites = [suite("data", &["crops_lie_inside"]), suite("optim", &["rates_stay"])];
        let lines = [
            "test transform::crop::tests::crops_lie_inside ... FAILED",
            "test schedule::tests::rates_stay ... ok",
            "test result: FAILED. 1 passed; 1 failed",
        ];
        let failed: Vec<String> =
            lines.into_iter().filter_map(failed_test).map(str::to_owned).collect();
        let command =
            "cargo test --package taper-data --tests -- transform::crop::tests::crops_lie_inside";
        assert_eq!(again(&suites, &failed), [command]);
    }
}
