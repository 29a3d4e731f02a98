//! Why a file could not be had, and what to do about it.
//!
//! Above: all of `hub`. Below: thiserror. Not here: names and weights that do not fit (`crate::Error`).

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The result of getting a file.
pub type Result<T> = std::result::Result<T, Error>;

/// A file that cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum Error {
    /// A variable of the environment cannot be meant.
    #[error("the variable {variable} is `{got}`, it must be {expected}")]
    Variable { variable: &'static str, got: String, expected: &'static str },
    /// A name that is no name of a repository or of a file in it.
    #[error("`{name}` is no {what}")]
    Name { what: &'static str, name: String },
    /// Nothing may be asked of the network, and the file is not here.
    #[error("HF_HUB_OFFLINE is set and `{file}` is not in `{}`; unset it to download", folder.display())]
    Offline { file: String, folder: PathBuf },
    /// The folder that stands for the hub does not have the file.
    #[error("the folder has no `{file}`: looked at {}", looked_at.iter().map(|path| format!("`{}`", path.display())).collect::<Vec<_>>().join(", "))]
    NotInFolder { file: String, looked_at: Vec<PathBuf> },
    /// A file or folder of this machine.
    #[error("cannot {action} `{}`", path.display())]
    File {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// No connection, or one that always breaks.
    #[error("cannot get {url}: {reason}, {attempts} times; what came is kept and gone on with")]
    Broken { url: String, reason: String, attempts: usize },
    /// There is no such machine, or it is not the one it says it is.
    #[error("cannot reach {url}: {reason}")]
    Unreachable { url: String, reason: String },
    /// 401.
    #[error("{url} answers 401: {}", unauthorized(*with_token, unread.as_deref()))]
    Unauthorized { url: String, with_token: bool, unread: Option<PathBuf> },
    /// 403.
    #[error(
        "{url} answers 403: the account has no access; a gated repository wants its terms accepted on its page"
    )]
    Forbidden { url: String },
    /// 404 or 410.
    #[error("{url} answers {status}: there is no such file")]
    NotFound { url: String, status: u16 },
    /// 429 or 503 with a time that is too long to wait.
    #[error("{url} is busy: it asks to come back in {} s", after.as_secs())]
    Busy { url: String, after: Duration },
    /// Any other answer that is none.
    #[error("{url} answers {status}")]
    Status { url: String, status: u16 },
    /// Redirected again and again.
    #[error("{url} redirects more than {limit} times, last to {to}")]
    Redirects { url: String, to: String, limit: usize },
    /// Redirected to something that cannot be followed, or from https to http.
    #[error("{url} redirects to `{to}`, which is not followed: {reason}")]
    Redirect { url: String, to: String, reason: String },
    /// A page for people in place of the file.
    #[error(
        "{url} gives a page in HTML in place of the file: a login, a proxy, or a wrong HF_ENDPOINT"
    )]
    Html { url: String },
    /// Bytes that were compressed on the way although that was not asked for.
    #[error("{url} gives the file in encoding `{encoding}`, which was not asked for")]
    Encoded { url: String, encoding: String },
    /// More than any weights have.
    #[error("{url} has {bytes} bytes; more than {limit} are not downloaded")]
    TooLarge { url: String, bytes: u64, limit: u64 },
    /// The server contradicts itself.
    #[error("{url} has {got} bytes, {announced} were announced")]
    Size { url: String, got: u64, announced: u64 },
    /// The whole file is there and is another one.
    #[error("{from} has sha256 {got}, {published} is published{}", kept.as_ref().map(|path| format!("; the file is kept as `{}`", path.display())).unwrap_or_default())]
    Hash { from: String, got: String, published: String, kept: Option<PathBuf> },
    /// A Python package that does not have the file.
    #[error("the package index has no {what}")]
    Package { what: String },
    /// A wheel that cannot be read.
    #[error("cannot read the wheel `{}`", path.display())]
    Wheel {
        path: PathBuf,
        #[source]
        source: zip::result::ZipError,
    },
    /// The caller does not want it any more.
    #[error("stopped; what came is kept and gone on with")]
    Stopped,
}

/// What to do about a 401.
fn unauthorized(with_token: bool, unread: Option<&Path>) -> String {
    match (with_token, unread) {
        (true, _) => "HF_TOKEN is not valid there".to_owned(),
        (false, None) => "there is no such repository, or it is private: set HF_TOKEN".to_owned(),
        (false, Some(path)) => format!(
            "there is no such repository, or it is private: the token in `{}` cannot be read, set HF_TOKEN",
            path.display()
        ),
    }
}

impl Error {
    /// For `map_err` on what the file system says.
    pub(super) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Error::File { action, path, source }
    }
}
