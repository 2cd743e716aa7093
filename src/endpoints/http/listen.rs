//! One HTTP client: it uploads what is read, or downloads what is written.

pub mod download;
pub mod upload;

use std::cell::OnceCell;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::sync::oneshot;

use crate::catalog::{Access, Args, Kind as Value, Misnamed, Param, Placed, Scheme};
use crate::error::{Failure, Problem};
use crate::net::http::server::{Answer, Handler, Limits, REQUEST_MEMORY, Server};
use crate::net::tls::{ServerTls, TlsFiles};
use crate::stage::{BoxFuture, Endpoint, Facts, OpenReader, OpenWriter, Outside, Reach};

use super::super::connecting::{LINGER, USER_TIMEOUT};
use super::super::tcp;
use super::super::tls::{CA, CERT, KEY, files};

/// The most connections at once. One client is served; the others only have to be told.
const CONNECTIONS: usize = 32;
/// The same with TLS, which needs more memory for each.
const TLS_CONNECTIONS: usize = 8;
/// How long a client may take for the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// When a client that came second may try again, in seconds.
const RETRY_SECONDS: &str = "5";

const TYPE: Param = Param::named(
    "type",
    Value::Text,
    Some("application/octet-stream"),
    "the media type that the client is told, such as text/csv",
);
const NAME: Param = Param::named("name", Value::Text, None, "the file name that the client is told");

/// `http-listen://HOST:PORT[/PATH]`
pub static LISTEN: Scheme = Scheme {
    form: "http-listen://HOST:PORT[/PATH]",
    prefix: "http-listen://",
    summary: "one HTTP client that uploads to us or downloads from us; port 0 picks a free one",
    read: Some(Access {
        params: &[USER_TIMEOUT, CA, CERT, KEY],
        place: listen,
    }),
    write: Some(Access {
        params: &[USER_TIMEOUT, LINGER, CA, CERT, KEY, TYPE, NAME],
        place: listen,
    }),
};

fn listen(rest: &[u8], args: &Args) -> Placed {
    let at = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
    let (address, path) = rest.split_at(at);
    let files = files(args);
    Ok(Box::new(Listen {
        peers: tcp::Listen::named("http-listen", address, args)?,
        path: parse_path(path).map_err(|wrong| wrong.of(args))?,
        is_secure: files.certificates.is_some() || files.key.is_some() || files.authorities.is_some(),
        files,
        tls: OnceCell::new(),
        headers: headers(args)?,
        size: None,
    }))
}

/// The path of requests; `None` if none is given.
pub fn parse_path(path: &[u8]) -> Result<Option<String>, Misnamed> {
    let is_plain = |byte: &u8| byte.is_ascii_graphic() && !b"?#\"<>\\^`{|}".contains(byte);
    if !path.iter().all(is_plain) {
        return Err(Misnamed::new(
            "the path is not one of a URL",
            "write it as in a URL, without a query; other characters are written as %XX",
        ));
    }
    Ok((path.len() > 1).then(|| String::from_utf8_lossy(path).into_owned()))
}

/// The headers of a download.
fn headers(args: &Args) -> Result<HeaderMap, Problem> {
    let mut headers = HeaderMap::new();
    if !args.supports(TYPE.name) {
        return Ok(headers);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let wrong = |param: Param, message: &str, help: &str| Problem::at(args.span_of(param.name), message).help(help);
    if let Some(text) = args.text(TYPE.name) {
        let is_type = text
            .split_once('/')
            .is_some_and(|(kind, rest)| !kind.is_empty() && !rest.is_empty());
        let value = HeaderValue::from_str(text).ok().filter(|_| is_type && text.is_ascii());
        let help = "write TYPE/SUBTYPE, for example text/csv or application/gzip";
        headers.insert(
            CONTENT_TYPE,
            value.ok_or_else(|| wrong(TYPE, "this is not a media type", help))?,
        );
    }
    if let Some(name) = args.text(NAME.name) {
        if name.is_empty() || name.contains('/') || name.chars().any(char::is_control) {
            let help = "write a name without a folder, for example name=export.csv";
            return Err(wrong(NAME, "this is not a file name", help));
        }
        if let Ok(value) = HeaderValue::from_str(&disposition(name)) {
            headers.insert(CONTENT_DISPOSITION, value);
        }
    }
    Ok(headers)
}

/// A file name as clients read it (RFC 6266): in ASCII, and if that is not enough once more in RFC 8187's form.
#[must_use]
pub fn disposition(name: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii() && !matches!(c, '"' | '\\' | '%') {
            c
        } else {
            '_'
        }
    };
    let ascii: String = name.chars().map(plain).collect();
    if ascii == name {
        return format!("attachment; filename=\"{name}\"");
    }
    let is_literal = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte);
    let encoded: String = name
        .bytes()
        .map(|byte| {
            if is_literal(byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect();
    format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''{encoded}")
}

/// A place where one client is waited for.
pub struct Listen {
    peers: tcp::Listen,
    /// `None` if none is given.
    path: Option<String>,
    is_secure: bool,
    files: TlsFiles,
    tls: OnceCell<ServerTls>,
    /// The headers of a download.
    headers: HeaderMap,
    /// The bytes of a download, if that is known.
    size: Option<u64>,
}

impl Listen {
    fn limits(&self) -> Limits {
        Limits {
            connections: if self.is_secure { TLS_CONNECTIONS } else { CONNECTIONS },
            head: HEAD_TIMEOUT,
            unanswered: self.peers.options.unanswered,
        }
    }

    /// Checks the files of TLS, once.
    fn check(&self) -> Result<(), Failure> {
        if self.is_secure && self.tls.get().is_none() {
            let _ = self.tls.set(self.files.server()?);
        }
        Ok(())
    }

    fn serve(mut self, handler: impl Handler) -> Result<Server, Failure> {
        self.check()?;
        let limits = self.limits();
        Ok(Server::start(
            self.peers.peers()?,
            self.tls.into_inner(),
            limits,
            handler,
        ))
    }

    fn path_or_root(&self) -> &str {
        self.path.as_deref().unwrap_or("/")
    }
}

impl Endpoint for Listen {
    fn shown(&self) -> String {
        format!("{}{}", self.peers.shown(), self.path.as_deref().unwrap_or_default())
    }

    fn reach(&self) -> Reach {
        Reach::Far
    }

    fn bind(&mut self) -> Result<Option<String>, Failure> {
        let url = self.peers.bind()?;
        let scheme = if self.is_secure { "https" } else { "http" };
        let address = url.split_once("://").map_or(url.as_str(), |(_, address)| address);
        Ok(Some(format!("{scheme}://{address}{}", self.path_or_root())))
    }

    fn state_bytes(&self) -> u64 {
        self.limits().memory(self.is_secure) + REQUEST_MEMORY
    }

    fn source_facts(&self) -> Result<Facts, Failure> {
        self.check()?;
        Ok(Facts {
            outside: Some(Outside::Peer),
            ..Facts::default()
        })
    }

    fn settles(&self) -> bool {
        true
    }

    fn expect_size(&mut self, bytes: u64) {
        self.size = Some(bytes);
    }

    fn effect(&self) -> String {
        let address = self.peers.shown();
        let address = address.trim_start_matches("http-listen://");
        format!("serves one download at http://{address}{}", self.path_or_root())
    }

    fn open_reader(self: Box<Self>) -> BoxFuture<'static, Result<OpenReader, Failure>> {
        Box::pin(upload::open(*self))
    }

    fn open_writer(self: Box<Self>) -> BoxFuture<'static, Result<OpenWriter, Failure>> {
        Box::pin(download::open(*self))
    }
}

/// The turn of the one client, until it is taken.
struct Turn<T>(Mutex<Option<oneshot::Sender<T>>>);

impl<T> Turn<T> {
    fn new() -> (Self, oneshot::Receiver<T>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Mutex::new(Some(sender))), receiver)
    }

    fn take(&self) -> Option<oneshot::Sender<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

fn not_found(path: &str) -> Answer {
    Answer::line(StatusCode::NOT_FOUND, &format!("there is nothing here, only at {path}"))
}

fn not_allowed(methods: &'static str) -> Answer {
    let mut answer = Answer::line(StatusCode::METHOD_NOT_ALLOWED, &format!("use one of {methods}"));
    let headers = answer.response.headers_mut();
    headers.insert(ALLOW, HeaderValue::from_static(methods));
    answer
}

/// The answer to a client that comes second.
fn busy() -> Answer {
    let mut answer = Answer::line(StatusCode::SERVICE_UNAVAILABLE, "another client is being served");
    let headers = answer.response.headers_mut();
    headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_SECONDS));
    answer
}

/// The answer if the run is gone.
fn gone() -> Answer {
    Answer::line(StatusCode::INTERNAL_SERVER_ERROR, "the run has ended").and_close()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_are_quoted_or_encoded() {
        for (name, expected) in [
            ("export.csv", "attachment; filename=\"export.csv\""),
            ("a b;c", "attachment; filename=\"a b;c\""),
            ("50%", "attachment; filename=\"50_\"; filename*=UTF-8''50%25"),
            ("a\"b\\", "attachment; filename=\"a_b_\"; filename*=UTF-8''a%22b%5C"),
            (
                "Übung €",
                "attachment; filename=\"_bung _\"; filename*=UTF-8''%C3%9Cbung%20%E2%82%AC",
            ),
        ] {
            assert_eq!(disposition(name), expected);
        }
    }

    #[test]
    fn paths_are_as_in_a_url() {
        for (path, parsed) in [
            ("", None),
            ("/", None),
            ("/a/b%20c", Some("/a/b%20c")),
            ("/a/", Some("/a/")),
        ] {
            assert_eq!(parse_path(path.as_bytes()).expect(path).as_deref(), parsed);
        }
        for path in ["/a b", "/a?b", "/a#b", "/\u{e9}", "/a\n"] {
            parse_path(path.as_bytes()).expect_err(path);
        }
    }
}
