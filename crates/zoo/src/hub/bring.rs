//! From an address to a checked file under its name.
//!
//! Above: `hub`. Below: `transfer`, `digest`. Not here: which address and which name (`hub`).

use std::fs;
use std::path::{Path, PathBuf};

use super::digest::{Published, is_html, move_aside, sha256};
use super::error::{Error, Result};
use super::progress::{Listener, Progress, arrived};
use super::retry::{Failure, RetryPolicy};
use super::transfer::{FileRequest, Outcome, TransferMode, Transport, transfer};
use crate::Check;

/// A file and what is known about it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) request: FileRequest<'a>,
    /// By the record.
    pub(super) published: Published<'a>,
    /// By the server.
    pub(super) told: Published<'a>,
}

impl Wanted<'_> {
    /// The strongest thing that the bytes are checked against.
    fn check(&self) -> Check {
        match (self.published.whole(), self.told.whole(), self.published.0.len()) {
            (Some(_), _, _) => Check::Sha256,
            (None, Some(_), _) => Check::Server,
            (None, None, 0) => Check::Length,
            (None, None, digits) => Check::Prefix { digits },
        }
    }

    /// The hash that a file of hash `got` should have had.
    pub(super) fn missed(&self, got: &str) -> Option<String> {
        let hashes = [self.published, self.told];
        hashes.iter().find(|hash| !hash.accepts(got)).map(|hash| hash.0.to_owned())
    }
}

/// Downloads to `wanted.request.part` and renames it to what `name` makes of its hash, if that is the right one.
///
/// # Errors
/// Those of a transfer; [`Error::Hash`], [`Error::Html`], [`Error::Size`].
pub(super) fn bring(
    transport: &Transport,
    wanted: &Wanted<'_>,
    listener: &mut Listener<'_>,
    name: impl FnOnce(&str) -> PathBuf,
) -> Result<PathBuf> {
    let part = wanted.request.part;
    if let Some(folder) = part.parent() {
        fs::create_dir_all(folder).map_err(Error::file("create", folder))?;
    }
    let mut outcome = transfer(transport, &wanted.request, TransferMode::Windows, listener)?;
    let mut verdict = judge(wanted, outcome)?;
    // Pieces may be of different files: what an earlier run left, a server behind another one. The whole is asked for once.
    if !matches!(verdict, Verdict::Right { .. }) && outcome != Outcome::Whole {
        outcome = transfer(transport, &wanted.request, TransferMode::Whole, listener)?;
        verdict = judge(wanted, outcome)?;
    }
    match verdict {
        Verdict::Right { sha256 } => {
            let target = name(&sha256);
            install(part, &target)?;
            arrived(listener, wanted.request.file, wanted.check());
            Ok(target)
        }
        verdict => Err(refuse(wanted, verdict)?),
    }
}

/// What the bytes are.
enum Verdict {
    /// The wanted file, as far as can be known.
    Right { sha256: String },
    /// The server could not be asked for parts.
    Ranges,
    /// Another file.
    Wrong { got: String, published: String },
    /// A page, where no hash is known.
    Page,
}

fn judge(wanted: &Wanted<'_>, outcome: Outcome) -> Result<Verdict> {
    let part = wanted.request.part;
    if outcome == Outcome::Ranges {
        return Ok(Verdict::Ranges);
    }
    let got = sha256(part)?;
    let is_unknown = wanted.published.is_empty() && wanted.told.is_empty();
    Ok(match wanted.missed(&got) {
        Some(published) => Verdict::Wrong { got, published },
        None if is_unknown && is_html(part)? => Verdict::Page,
        None => Verdict::Right { sha256: got },
    })
}

/// The error for bytes that stay wrong; they are kept aside unless they are a page.
fn refuse(wanted: &Wanted<'_>, verdict: Verdict) -> Result<Error> {
    let FileRequest { url, part, .. } = wanted.request;
    let url = url.to_owned();
    Ok(match verdict {
        Verdict::Right { .. } | Verdict::Ranges => {
            let reason = "the server contradicts itself about parts of the file".to_owned();
            Error::Broken { url, reason, attempts: 2 }
        }
        Verdict::Wrong { got, published } if !is_html(part)? => {
            let kept = Some(move_aside(part, &got)?);
            Error::Hash { from: url, got, published, kept }
        }
        Verdict::Wrong { .. } | Verdict::Page => {
            fs::remove_file(part).map_err(Error::file("remove", part))?;
            Error::Html { url }
        }
    })
}

/// Gives a whole file its name, so that a crash leaves either.
pub(super) fn install(part: &Path, target: &Path) -> Result<()> {
    taper_files::rename(part, target).map_err(Error::file("write", target))
}

/// Asks until there is an answer, or it failed too often.
pub(super) fn patiently<T>(
    transport: &Transport,
    listener: &mut Listener<'_>,
    ask: impl Fn() -> std::result::Result<T, Failure>,
) -> Result<T> {
    let mut retry = RetryPolicy::new(transport.limits);
    loop {
        let (url, reason, after) = match ask() {
            Ok(answer) => return Ok(answer),
            Err(Failure::Again { url, reason, after }) => (url, reason, after),
            Err(trouble) => return Err(trouble.into_error()),
        };
        let pause = retry.pause(url, reason.clone(), after, 0)?;
        if listener(Progress::Pausing { pause, reason: &reason }).is_break() {
            return Err(Error::Stopped);
        }
        (transport.sleep)(pause);
    }
}
