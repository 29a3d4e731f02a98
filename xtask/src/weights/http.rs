//! Downloads that go on where they stopped.
//!
//! Above: `fetch`. Below: ureq. Not here: whether the bytes are the right ones (`fetch`).

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use ureq::http::header::{CONTENT_LENGTH, CONTENT_RANGE};
use ureq::http::{HeaderMap, HeaderName, StatusCode};
use ureq::{Agent, Body};

/// Times a broken connection is taken up again.
const ATTEMPTS: usize = 4;
/// No weights here are larger: 1 GiB.
const LARGEST: u64 = 1 << 30;

/// A client with time limits, and the proxy that the environment names.
pub(super) fn agent() -> Agent {
    config().build().into()
}

fn config() -> ureq::config::ConfigBuilder<ureq::typestate::AgentScope> {
    Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(Duration::from_secs(20)))
        .timeout_recv_response(Some(Duration::from_secs(60)))
        .timeout_recv_body(Some(Duration::from_mins(20)))
}

/// A client for this machine only.
#[cfg(test)]
pub(super) fn local_agent() -> Agent {
    config().proxy(None).build().into()
}

/// Completes `part` from `url`: keeps the bytes that are there and asks for the rest.
pub(super) fn download(agent: &Agent, url: &str, part: &Path) -> Result<()> {
    let mut failure = None;
    for _ in 0..ATTEMPTS {
        match attempt(agent, url, part) {
            Ok(Progress::Done) => return Ok(()),
            Ok(Progress::CutOff) => failure = Some("the connection was cut off".to_owned()),
            Err(error) => return Err(error).with_context(|| format!("cannot download {url}")),
        }
    }
    bail!("cannot download {url}: {}, {ATTEMPTS} times", failure.unwrap_or_default())
}

enum Progress {
    Done,
    CutOff,
}

fn attempt(agent: &Agent, url: &str, part: &Path) -> Result<Progress> {
    let have = fs::metadata(part).map_or(0, |metadata| metadata.len());
    let mut request = agent.get(url);
    if have > 0 {
        request = request.header("Range", format!("bytes={have}-"));
    }
    let response = request.call()?;
    let kept = match response.status() {
        StatusCode::PARTIAL_CONTENT if range_start(response.headers()) == Some(have) => have,
        StatusCode::PARTIAL_CONTENT => bail!("the server sent another range than byte {have} on"),
        StatusCode::OK => 0, // the server knows no ranges: from the start
        // Nothing is left to send, or what is here is of another file: the hash will tell.
        StatusCode::RANGE_NOT_SATISFIABLE if have > 0 => return Ok(Progress::Done),
        status => bail!("the server answers {status}"),
    };
    let mut file = OpenOptions::new().create(true).append(true).open(part)?;
    file.set_len(kept)?;
    let length = number(response.headers(), &CONTENT_LENGTH);
    receive(response.into_body(), &mut file, kept, length)
}

/// Appends the body; a connection that breaks leaves what came.
fn receive(body: Body, file: &mut fs::File, have: u64, length: Option<u64>) -> Result<Progress> {
    let too_large = "the file is larger than 1 GiB";
    ensure!(have.saturating_add(length.unwrap_or(0)) <= LARGEST, too_large);
    let mut reader = body.into_reader();
    let mut block = vec![0; 1 << 16];
    let mut received = 0;
    loop {
        match reader.read(&mut block) {
            Ok(0) => break,
            Ok(n) => {
                file.write_all(&block[..n])?;
                received += n as u64;
                ensure!(have + received <= LARGEST, too_large);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) if received > 0 => return Ok(Progress::CutOff),
            Err(error) => return Err(error.into()),
        }
    }
    let complete = length.is_none_or(|length| received == length);
    Ok(if complete { Progress::Done } else { Progress::CutOff })
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// First byte of `Content-Range: bytes 100-199/200`.
fn range_start(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}
