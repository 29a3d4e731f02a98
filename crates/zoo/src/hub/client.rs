//! One request: redirects, the token, and what the answer's status means.
//!
//! Above: `hub`, `remote`, `transfer`. Below: ureq. Not here: trying again (`retry`), the bytes (`transfer`).
//! The token goes to the endpoint's own scheme, host and port, and nowhere else.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ureq::http::header::{AUTHORIZATION, CONTENT_ENCODING, LOCATION, RETRY_AFTER};
use ureq::http::{HeaderMap, HeaderName, Method, Response, StatusCode, Uri};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

use super::environment::{Endpoint, Environment, Token};
use super::error::{Error, Result};
use super::limits::Limits;
use super::retry::Failure;

/// Sends requests.
#[derive(Debug, Clone)]
pub(super) struct Client {
    agent: Agent,
    token: Option<Token>,
    /// Where a token may be that cannot be read.
    unread_token: Option<PathBuf>,
    /// Who may see the token.
    endpoint: Option<Origin>,
    redirects: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: String,
    port: Option<u16>,
}

impl Origin {
    fn of(uri: &Uri) -> Option<Self> {
        let (scheme, host) = (uri.scheme_str()?, uri.host()?);
        let usual = if scheme == "https" { 443 } else { 80 };
        let port = uri.port_u16().or(Some(usual));
        Some(Self { scheme: scheme.to_owned(), host: host.to_ascii_lowercase(), port })
    }
}

impl Client {
    /// # Errors
    /// [`Error::File`] for certificates that cannot be read.
    pub(super) fn new(environment: &Environment, limits: &Limits) -> Result<Self> {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(limits.connect))
            .timeout_recv_response(Some(limits.silence))
            .timeout_per_read(Some(limits.silence))
            .max_idle_connections_per_host(limits.connections)
            .accept_encoding("identity") // ranges and hashes are of the file's own bytes
            .user_agent(concat!("taper/", env!("CARGO_PKG_VERSION")))
            .proxy(environment.proxy.clone());
        if let Some(path) = &environment.certificates {
            let pem = std::fs::read(path).map_err(Error::file("read", path))?;
            config = config.tls_config(TlsConfig::builder().root_certs(roots(&pem)).build());
        }
        let endpoint = match &environment.endpoint {
            Endpoint::Url(url) => url.parse().ok().as_ref().and_then(Origin::of),
            Endpoint::Folder(_) => None,
        };
        Ok(Self {
            agent: config.build().into(),
            token: environment.token.clone(),
            unread_token: environment.unread_token.clone(),
            endpoint,
            redirects: limits.redirects,
        })
    }

    /// Follows redirects up to an answer; those to another host only if `is_enough` is not content with the headers of
    /// the redirect itself.
    pub(super) fn send(
        &self,
        method: &Method,
        url: &str,
        headers: &[(HeaderName, String)],
        is_enough: fn(&HeaderMap) -> bool,
    ) -> std::result::Result<Response<Body>, Failure> {
        let mut at: Uri = parse(url, url)?;
        let start = Origin::of(&at);
        for _ in 0..=self.redirects {
            let response = self.ask(method, &at, headers)?;
            if !is_redirect(response.status()) {
                return judge(&at, response, || self.unauthorized(&at));
            }
            let next = next(&at, response.headers())?;
            if Origin::of(&next) != start && is_enough(response.headers()) {
                return Ok(response);
            }
            at = next;
        }
        let (url, to) = (url.to_owned(), shown(&at));
        Err(Error::Redirects { url, to, limit: self.redirects }.into())
    }

    fn ask(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &[(HeaderName, String)],
    ) -> std::result::Result<Response<Body>, Failure> {
        let mut request = ureq::http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if let Some(token) = self.token.as_ref().filter(|_| self.sees_token(uri)) {
            request = request.header(AUTHORIZATION, format!("Bearer {}", token.0));
        }
        let request = request.body(());
        let request = request.map_err(|error| unreachable(uri, &error))?;
        self.agent.run(request).map_err(|error| failure(uri, &error))
    }

    fn unauthorized(&self, uri: &Uri) -> Error {
        let (url, with_token) = (shown(uri), self.sees_token(uri));
        Error::Unauthorized { url, with_token, unread: self.unread_token.clone() }
    }

    fn sees_token(&self, uri: &Uri) -> bool {
        self.token.is_some() && self.endpoint.is_some() && Origin::of(uri) == self.endpoint
    }
}

fn roots(pem: &[u8]) -> RootCerts {
    let certificates = parse_pem(pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None, // keys, and what rustls cannot read: trusting less is safe
    });
    RootCerts::Specific(Arc::new(certificates.collect::<Vec<Certificate<'static>>>()))
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Where a redirect leads: an address, or a path on the same host.
fn next(at: &Uri, headers: &HeaderMap) -> Result<Uri> {
    let to = text(headers, &LOCATION).unwrap_or_default();
    let origin = format!(
        "{}://{}",
        at.scheme_str().unwrap_or("http"),
        at.authority().map_or("", |authority| authority.as_str())
    );
    let absolute = match to {
        _ if to.contains("://") => to.to_owned(),
        _ if to.starts_with("//") => format!("{}:{to}", at.scheme_str().unwrap_or("http")),
        _ if to.starts_with('/') => format!("{origin}{to}"),
        _ => {
            let folder = at.path().rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("{origin}{folder}/{to}")
        }
    };
    let refused = |reason: &str| Error::Redirect {
        url: shown(at),
        to: to.to_owned(),
        reason: reason.to_owned(),
    };
    let next = parse(&shown(at), &absolute)?;
    match (at.scheme_str(), next.scheme_str()) {
        _ if to.is_empty() => Err(refused("it says not where")),
        (Some("https"), Some("http")) => Err(refused("it is not encrypted")),
        (_, Some("http" | "https")) => Ok(next),
        _ => Err(refused("it is neither http nor https")),
    }
}

/// What the status of the last answer means.
fn judge(
    uri: &Uri,
    response: Response<Body>,
    unauthorized: impl FnOnce() -> Error,
) -> std::result::Result<Response<Body>, Failure> {
    let url = shown(uri);
    let status = response.status();
    let fatal = match status.as_u16() {
        200 | 206 => {
            return match text(response.headers(), &CONTENT_ENCODING) {
                None | Some("identity") => Ok(response),
                Some(encoding) => Err(Error::Encoded { url, encoding: encoding.to_owned() }.into()),
            };
        }
        416 => return Ok(response),
        408 | 429 | 500..=599 => {
            let after = text(response.headers(), &RETRY_AFTER).and_then(|text| text.parse().ok());
            let (reason, after) = (format!("it answers {status}"), after.map(Duration::from_secs));
            return Err(Failure::Again { url, reason, after });
        }
        401 => unauthorized(),
        403 => Error::Forbidden { url },
        404 | 410 => Error::NotFound { url, status: status.as_u16() },
        other => Error::Status { url, status: other },
    };
    Err(fatal.into())
}

/// A request without an answer.
fn failure(uri: &Uri, error: &ureq::Error) -> Failure {
    match error {
        ureq::Error::Io(_)
        | ureq::Error::Timeout(_)
        | ureq::Error::ConnectionFailed
        | ureq::Error::Protocol(_)
        | ureq::Error::BodyStalled => {
            Failure::Again { url: shown(uri), reason: error.to_string(), after: None }
        }
        _ => unreachable(uri, error),
    }
}

fn unreachable(uri: &Uri, error: &dyn std::error::Error) -> Failure {
    Error::Unreachable { url: shown(uri), reason: error.to_string() }.into()
}

fn parse(url: &str, to: &str) -> Result<Uri> {
    let refused = |reason: ureq::http::uri::InvalidUri| Error::Redirect {
        url: url.to_owned(),
        to: to.to_owned(),
        reason: reason.to_string(),
    };
    to.parse().map_err(refused)
}

/// An address without its query, which may hold a signature.
fn shown(uri: &Uri) -> String {
    let whole = uri.to_string();
    whole.split('?').next().unwrap_or_default().to_owned()
}

/// A header as text.
pub(super) fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_resolved_and_downgrades_refused() {
        let to = |at: &str, location: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(LOCATION, location.parse().unwrap());
            next(&at.parse().unwrap(), &headers).map(|uri| uri.to_string())
        };
        let base = "https://a.test/x/y?z";
        assert_eq!(to(base, "https://b.test/q?s=1").unwrap(), "https://b.test/q?s=1");
        assert_eq!(to(base, "//b.test/q").unwrap(), "https://b.test/q");
        assert_eq!(to(base, "/q").unwrap(), "https://a.test/q");
        assert_eq!(to(base, "q").unwrap(), "https://a.test/x/q");
        assert_eq!(to("http://a.test:8080/x", "/q").unwrap(), "http://a.test:8080/q");
        for refused in ["http://a.test/q", "ftp://a.test/q", "", "file:///etc/passwd"] {
            assert!(matches!(to(base, refused), Err(Error::Redirect { .. })), "{refused}");
        }
    }

    #[test]
    fn origins_are_scheme_host_and_port() {
        let of = |text: &str| Origin::of(&text.parse().unwrap()).unwrap();
        assert_eq!(of("https://a.test/x"), of("https://A.test:443/y"));
        assert_ne!(of("https://a.test"), of("http://a.test"));
        assert_ne!(of("http://127.0.0.1:1"), of("http://127.0.0.1:2"));
    }
}
