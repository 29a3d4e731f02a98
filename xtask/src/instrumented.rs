//! The kernels' suites with more eyes on them: debug assertions and overflow checks, `AddressSanitizer`, Miri.
//!
//! Above: `main`, `ci`. Below: `shell`, `rustc`. Not here: the suites (`crates/kernels`), what they hold on another machine (`cross`).
//! The dev profile compiles kernels without checks, so that training in tests is quick: what an assertion or an overflow would say, and
//! what reads behind the end of a slice, shows here alone. Each runs few cases of every property, on every instruction set of the machine.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell;

/// Cases a property: enough for every kernel, window and border several times, and a few minutes.
const CASES: u32 = 24;
/// Cases a property under an interpreter.
const CASES_OF_MIRI: u32 = 1;

/// The suites but for examples in documentation, which are slow to link and in `cargo test` anyway.
const SUITES: [&str; 5] = ["test", "--package", "taper-kernels", "--lib", "--tests"];

/// Bytes of a test's stack: every register of a kernel that is not optimized has a place of its own, and with the sanitizer's room around each a frame of
/// AVX-512 takes nearly the 2 MB that threads have.
const STACK: (&str, &str) = ("RUST_MIN_STACK", "67108864");

/// Runs the suites with debug assertions and overflow checks.
pub(crate) fn checked(cases: Option<u32>) -> Result<()> {
    let cases = cases.unwrap_or(CASES).to_string();
    let args = [&SUITES[..], &["--profile", "checked"]].concat();
    shell::cargo(&args, &[("PROPTEST_CASES", &cases), STACK])?;
    println!("checked: ok");
    Ok(())
}

/// Runs the suites, checks on, under `AddressSanitizer`: the runtime comes with the toolchain, and a stable compiler takes the flag
/// when it is told to. Compiled apart, for the flags are those of no other build.
pub(crate) fn sanitize(cases: Option<u32>) -> Result<()> {
    if let Some(cure) = missing_runtime()? {
        bail!("no AddressSanitizer here: {cure}");
    }
    let (cases, host) = (cases.unwrap_or(CASES).to_string(), host()?);
    let args = [
        &SUITES[..],
        &["--profile", "checked", "--target", &host, "--target-dir", "target/sanitize"],
    ]
    .concat();
    let envs = [
        ("RUSTC_BOOTSTRAP", "1"),
        ("RUSTFLAGS", "-Zsanitizer=address"),
        // Memory that nobody has is refused as any allocator refuses it; what a caught panic leaves behind is no leak.
        ("ASAN_OPTIONS", "allocator_may_return_null=1:detect_leaks=0"),
        ("PROPTEST_CASES", cases.as_str()),
        STACK,
    ];
    shell::cargo(&args, &envs)?;
    println!("sanitize: ok");
    Ok(())
}

/// [`sanitize`], or a line that says why not: some hosts have no runtime, and what a change must pass must run on them.
pub(crate) fn sanitize_if_possible() -> Result<()> {
    match missing_runtime()? {
        None => sanitize(None),
        Some(cure) => {
            println!("sanitize: left out, no AddressSanitizer here: {cure}");
            Ok(())
        }
    }
}

/// Runs the suites' portable and scalar kernels under Miri, whose memory model finds what no run of compiled code shows. Without `rest`,
/// all of them: hours; with it, what `cargo test -- rest` would run.
pub(crate) fn miri(rest: &[String]) -> Result<()> {
    let found = Command::new("cargo").args(["+nightly", "miri", "--version"]).output();
    if !found.is_ok_and(|output| output.status.success()) {
        bail!(
            "no Miri here: `rustup toolchain install nightly --component miri --component rust-src`"
        );
    }
    let cases = CASES_OF_MIRI.to_string();
    let mut args = vec!["+nightly", "miri"];
    args.extend(SUITES);
    args.extend(["--no-fail-fast", "--target-dir", "target/miri", "--"]);
    args.extend(rest.iter().map(String::as_str));
    let envs = [
        // Properties read the cases that failed before.
        ("MIRIFLAGS", "-Zmiri-disable-isolation"),
        ("PROPTEST_CASES", cases.as_str()),
    ];
    shell::rustup_cargo(&args, &envs)?;
    println!("miri: ok");
    Ok(())
}

/// What to do so that there is a runtime; `None` when there is one.
fn missing_runtime() -> Result<Option<String>> {
    let (host, libdir) = (host()?, libdir()?);
    let entries = std::fs::read_dir(&libdir).with_context(|| libdir.display().to_string())?;
    for entry in entries {
        let name = entry.context("the libraries of the toolchain")?.file_name();
        if is_runtime(&name.to_string_lossy()) {
            return Ok(None);
        }
    }
    let tried = libdir.display();
    Ok(Some(format!(
        "a toolchain of rustup brings it for Linux with glibc; {tried}, of {host}, has none"
    )))
}

/// Whether a file of the toolchain is the runtime, such as `librustc-stable_rt.asan.a`.
fn is_runtime(name: &str) -> bool {
    name.starts_with("librustc") && name.contains("_rt.asan")
}

/// The target that rustc compiles for when none is named.
fn host() -> Result<String> {
    let said = rustc(&["-vV"])?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`rustc -vV` names no host")?.to_owned())
}

fn libdir() -> Result<PathBuf> {
    Ok(PathBuf::from(rustc(&["--print", "target-libdir"])?.trim()))
}

fn rustc(args: &[&str]) -> Result<String> {
    let output = Command::new("rustc").args(args).current_dir(shell::root()).output();
    let output = output.context("rustc did not start")?;
    if !output.status.success() {
        bail!("rustc: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).context("what rustc says of itself")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runtime_is_known_by_its_name() {
        assert!(is_runtime("librustc-stable_rt.asan.a"));
        assert!(is_runtime("librustc-nightly_rt.asan.dylib"));
        assert!(!is_runtime("librustc-stable_rt.tsan.a"));
        assert!(!is_runtime("libstd-0123.rlib"));
    }

    #[test]
    fn the_host_is_one_of_a_few_words() {
        assert!(host().unwrap().split('-').count() >= 3);
    }
}
