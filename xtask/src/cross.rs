//! The kernels' property suite for an architecture this machine does not have, under an emulator.
//!
//! Above: `main`. Below: `shell`, `rustc`, the emulator. Not here: the suite (`crates/kernels/tests/twins`).
//! Nothing of a C toolchain is needed: the target brings its own C library, and rustc the linker. Other tools are named in the
//! variables cargo has for them, which stay as they are when set.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell;

const TARGET: &str = "aarch64-unknown-linux-musl";

/// A tool of the target: cargo's variable for it, and what it is when the variable is not set.
struct Tool {
    variable: &'static str,
    default: &'static str,
}

const LINKER: Tool =
    Tool { variable: "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER", default: "rust-lld" };
const RUNNER: Tool =
    Tool { variable: "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_RUNNER", default: "qemu-aarch64" };

impl Tool {
    fn setting(&self) -> String {
        env::var(self.variable).unwrap_or_else(|_| self.default.to_owned())
    }
}

/// Builds the tests of `taper-kernels` for the target and runs them, with `cases` cases a property if given.
pub(crate) fn cross(cases: Option<u32>) -> Result<()> {
    let (linker, runner) = (LINKER.setting(), RUNNER.setting());
    let path = env::var_os("PATH").unwrap_or_default();
    let missing: Vec<String> = [
        missing_target(&libdir(Some(TARGET))?),
        missing_linker(&linker, &libdir(None)?, &path),
        missing_runner(&runner, &path),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !missing.is_empty() {
        bail!("cannot build and run for {TARGET} here:\n  {}", missing.join("\n  "));
    }
    let cases = cases.map(|cases| cases.to_string());
    let mut envs = vec![(LINKER.variable, linker.as_str()), (RUNNER.variable, runner.as_str())];
    envs.extend(cases.as_deref().map(|cases| ("PROPTEST_CASES", cases)));
    let tests = ["test", "--package", "taper-kernels", "--lib", "--tests", "--target", TARGET];
    shell::cargo(&tests, &envs)?;
    println!("cross: ok");
    Ok(())
}

/// The folder of a target's standard library (of this machine's, for `None`), whether it is there or not.
fn libdir(target: Option<&str>) -> Result<PathBuf> {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "target-libdir"]).current_dir(shell::root());
    if let Some(target) = target {
        rustc.args(["--target", target]);
    }
    let output = rustc.output().context("rustc did not start")?;
    if !output.status.success() {
        bail!("rustc: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let folder = String::from_utf8(output.stdout).context("the folder of the standard library")?;
    Ok(PathBuf::from(folder.trim()))
}

fn missing_target(libdir: &Path) -> Option<String> {
    let cure = format!("the standard library of {TARGET}: `rustup target add {TARGET}`");
    (!libdir.is_dir()).then_some(cure)
}

/// rustc finds the linker it brought beside the standard library, others on the path.
fn missing_linker(linker: &str, host_libdir: &Path, path: &OsStr) -> Option<String> {
    let own = host_libdir.with_file_name("bin").join(file_name(linker));
    let cure = format!(
        "the linker `{linker}`: a toolchain of rustup brings `{}`; another one is named in {}",
        LINKER.default, LINKER.variable
    );
    (!own.is_file() && !on_path(linker, path)).then_some(cure)
}

fn missing_runner(runner: &str, path: &OsStr) -> Option<String> {
    let program = runner.split_whitespace().next().unwrap_or_default();
    let cure = format!(
        "the emulator `{program}`: `apt-get install qemu-user` on Debian and Ubuntu; another one is named in {}",
        RUNNER.variable
    );
    (!on_path(program, path)).then_some(cure)
}

/// Whether a program is in one of the folders of `path`; one with a folder of its own is looked for there.
fn on_path(program: &str, path: &OsStr) -> bool {
    env::split_paths(path).any(|folder| folder.join(file_name(program)).is_file())
}

/// A program's name with this system's ending.
fn file_name(program: &str) -> String {
    format!("{program}{}", env::consts::EXE_SUFFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_its_cure() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().as_os_str();
        let libdir = folder.path().join("lib");
        assert!(missing_target(&libdir).unwrap().contains("rustup target add"));
        assert!(missing_linker("rust-lld", &libdir, path).unwrap().contains(LINKER.variable));
        let runner = missing_runner("qemu-aarch64 -cpu max", path).unwrap();
        assert!(runner.contains("`qemu-aarch64`") && runner.contains("qemu-user"), "{runner}");
    }

    #[test]
    fn what_is_there_is_not_missing() {
        let folder = tempfile::tempdir().unwrap();
        let (bin, libdir) = (folder.path().join("bin"), folder.path().join("lib"));
        std::fs::create_dir(&bin).unwrap();
        std::fs::create_dir(&libdir).unwrap();
        for tool in ["rust-lld", "qemu-aarch64"] {
            std::fs::write(bin.join(file_name(tool)), "").unwrap();
        }
        assert_eq!(missing_target(&libdir), None);
        assert_eq!(missing_linker("rust-lld", &libdir, OsStr::new("")), None);
        assert_eq!(missing_linker("rust-lld", Path::new("elsewhere"), bin.as_os_str()), None);
        assert_eq!(missing_runner("qemu-aarch64 -cpu max", bin.as_os_str()), None);
    }
}
