//! `cargo xtask package`, `alone` and `msrv`: the crates as a registry would have them, each as the only dependency, and under the oldest compiler.
//!
//! Above: `main`. Below: `shell`. Not here: that every crate has its README and licenses (`tidy`).

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell;

/// Packs every crate that is published; unless told otherwise, each is built again from nothing but its package.
pub(crate) fn package(skip_build: bool) -> Result<()> {
    let mut args = vec!["package", "--workspace", "--allow-dirty"];
    args.extend(["--exclude", "xtask", "--exclude", "taper-tests"]);
    // Beside the folder of the workspace, whose flags may differ.
    args.extend(["--target-dir", "target/package-check"]);
    args.extend(skip_build.then_some("--no-verify"));
    shell::cargo(&args, &[])?;
    println!("package: ok");
    Ok(())
}

/// Checks every library by itself, without the features that others of the workspace would switch on, and without its own.
pub(crate) fn alone() -> Result<()> {
    for package in libraries()? {
        for features in [&["--no-default-features"][..], &[]] {
            let args = [&["clippy", "--package", &package], features, &["--", "-D", "warnings"]];
            shell::cargo(&args.concat(), &[])?;
        }
    }
    println!("alone: ok");
    Ok(())
}

/// The packages in `crates`, in alphabetical order, but for the binary, which needs its features.
fn libraries() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(shell::root().join("crates"))? {
        let manifest = entry?.path().join("Cargo.toml");
        let text =
            std::fs::read_to_string(&manifest).with_context(|| manifest.display().to_string())?;
        let table: toml::Table =
            toml::from_str(&text).with_context(|| manifest.display().to_string())?;
        let name = table.get("package").and_then(|package| package.get("name")?.as_str());
        names.push(
            name.with_context(|| format!("{} names no package", manifest.display()))?.to_owned(),
        );
    }
    names.retain(|name| name != "taper-cli");
    names.sort();
    Ok(names)
}

/// Checks all that users build with the compiler that the manifests promise, if `rustup` can bring it.
pub(crate) fn msrv(is_optional: bool) -> Result<()> {
    let version = promised()?;
    let install = ["toolchain", "install", &version, "--profile", "minimal", "--no-self-update"];
    let came = Command::new("rustup").args(install).status().is_ok_and(|status| status.success());
    if !came && is_optional {
        println!("msrv: not checked, because rustup cannot bring Rust {version} here");
        return Ok(());
    }
    if !came {
        bail!("rustup cannot bring Rust {version}");
    }
    let args =
        ["check", "--workspace", "--exclude", "xtask", "--exclude", "taper-tests", "--locked"];
    let status = Command::new("rustup")
        .args(["run", &version, "cargo"])
        .args(args)
        .args(["--target-dir", "target/msrv"])
        // Those of the compiler that runs this.
        .env_remove("CARGO")
        .env_remove("RUSTC")
        .env_remove("RUSTUP_TOOLCHAIN")
        .current_dir(shell::root())
        .status()
        .context("rustup did not start")?;
    if !status.success() {
        bail!("Rust {version}, which the manifests promise, cannot build the crates");
    }
    println!("msrv: ok, Rust {version}");
    Ok(())
}

/// `rust-version` of the workspace.
fn promised() -> Result<String> {
    let text = std::fs::read_to_string(shell::root().join("Cargo.toml"))?;
    let manifest: toml::Table = toml::from_str(&text).context("in `Cargo.toml`")?;
    let package = manifest.get("workspace").and_then(|table| table.get("package"));
    let version = package.and_then(|table| table.get("rust-version")?.as_str());
    version.map(str::to_owned).context("the workspace promises no `rust-version`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_those_of_the_workspace() {
        let names = libraries().unwrap();
        for name in ["taper", "taper-graph", "taper-kernels", "taper-recipes"] {
            assert!(names.iter().any(|known| known == name), "{names:?}");
        }
        assert!(!names.iter().any(|name| name == "taper-cli" || name == "xtask"));
    }

    #[test]
    fn the_promised_compiler_is_not_newer_than_this_one() {
        let minor = |version: &str| version.split('.').nth(1).unwrap().parse::<u32>().unwrap();
        let output = Command::new("rustc").arg("--version").output().unwrap();
        let this = String::from_utf8(output.stdout).unwrap();
        let this = this.split_whitespace().nth(1).unwrap();
        assert!(minor(&promised().unwrap()) <= minor(this));
    }
}
