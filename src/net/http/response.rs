//! A response whose head has come, and what a refusal says.

use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Weak;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::StatusCode;
use http::header::{self, HeaderMap, HeaderName};
use http::response::Parts;
use hyper::body::{Body, Incoming};
use hyper::ext::ReasonPhrase;
use tokio::io::{AsyncRead, ReadBuf};

use crate::error::{Failure, Kind, brief};
use crate::net::Transport;
use crate::platform::Queued;

use super::Url;
use super::exchange::Driver;

/// A response, and its body as far as it was not read.
pub struct Response {
    /// Where it came from, after all redirects.
    pub url: Url,
    head: Parts,
    body: Incoming,
    driver: Driver,
    /// The part of the body that has come and was not read.
    rest: Bytes,
    /// The connection, if the rest of the body is read from it without a parser in between.
    direct: Option<Direct>,
}

/// A connection on which a body of known length comes.
struct Direct {
    transport: Transport,
    /// How many bytes of the body are still to come.
    left: u64,
}

impl Direct {
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize, io::Error>> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Poll::Ready(Ok(0));
        }
        let mut buffer = ReadBuf::new(&mut buffer[..most]);
        let read = ready!(Pin::new(&mut self.transport).poll_read(context, &mut buffer));
        let count = buffer.filled().len();
        self.left -= count as u64;
        Poll::Ready(match read {
            Ok(()) if count == 0 => Err(cut()),
            Ok(()) => Ok(count),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(cut()),
            Err(error) => Err(error),
        })
    }
}

/// How the end of a body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// By its length in bytes.
    Length(u64),
    /// By a last, empty chunk.
    Chunked,
    /// By the end of the connection, which may as well be cut.
    Close,
}

impl Response {
    /// A response with its head.
    ///
    /// # Errors
    /// If it is ambiguous where the body ends.
    pub fn new(url: Url, response: http::Response<Incoming>, driver: Driver) -> Result<Self, String> {
        let (head, body) = response.into_parts();
        if let Some(encoding) = head.headers.get(header::TRANSFER_ENCODING) {
            if head.headers.contains_key(header::CONTENT_LENGTH) {
                return Err("the response states its length twice, as Content-Length and as chunks".to_owned());
            }
            if !encoding.as_bytes().eq_ignore_ascii_case(b"chunked") {
                let encoding = brief(encoding.as_bytes());
                return Err(format!(
                    "the response has the transfer encoding `{encoding}`, which was not asked for"
                ));
            }
        }
        Ok(Self {
            url,
            head,
            body,
            driver,
            rest: Bytes::new(),
            direct: None,
        })
    }

    /// What the kernel queue of its connection can be seen through.
    #[must_use]
    pub fn queue(&self) -> Option<Weak<dyn Queued>> {
        self.driver.queue()
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.head.status
    }

    /// A header whose value is text.
    #[must_use]
    pub fn header(&self, name: &HeaderName) -> Option<&str> {
        self.head.headers.get(name)?.to_str().ok()
    }

    /// All headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// How its end is told.
    #[must_use]
    pub fn framing(&self) -> Framing {
        match self.body.size_hint().exact() {
            Some(length) => Framing::Length(length),
            None if self.head.headers.contains_key(header::TRANSFER_ENCODING) => Framing::Chunked,
            None => Framing::Close,
        }
    }

    /// `404 Not Found`
    #[must_use]
    pub fn status_line(&self) -> String {
        let given = self.head.extensions.get::<ReasonPhrase>();
        let given = given.map(|reason| brief(reason.as_bytes()));
        let reason = given.or_else(|| self.status().canonical_reason().map(str::to_owned));
        format!("{} {}", self.status().as_str(), reason.unwrap_or_default())
            .trim_end()
            .to_owned()
    }

    /// Reads what has come of the body into `buffer`; 0 bytes at its end.
    pub fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize, io::Error>> {
        let mut is_driven = false;
        loop {
            if !self.rest.is_empty() {
                let count = self.rest.len().min(buffer.len());
                self.rest.copy_to_slice(&mut buffer[..count]);
                return Poll::Ready(Ok(count));
            }
            if let Some(direct) = &mut self.direct {
                return direct.poll_read(context, buffer);
            }
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(None) => return Poll::Ready(Ok(0)),
                // Trailers are of no interest.
                Poll::Ready(Some(Ok(frame))) => self.rest = frame.into_data().unwrap_or_default(),
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Err(broken(&self.driver.failure().unwrap_or(error))));
                }
                Poll::Pending if is_driven => return Poll::Pending,
                Poll::Pending if self.become_direct() => {}
                Poll::Pending => {
                    let _ = self.driver.poll(context);
                    is_driven = true;
                    continue;
                }
            }
            is_driven = false;
        }
    }

    /// Reads what is left of a body of known length from the connection itself: a copy of every byte less.
    fn become_direct(&mut self) -> bool {
        let Some(left) = self.body.size_hint().exact() else {
            return false;
        };
        let Some((transport, mut read)) = self.driver.release() else {
            return false;
        };
        read.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        self.direct = Some(Direct {
            transport,
            left: left - read.len() as u64,
        });
        self.rest = read;
        true
    }

    /// Reads the body to its end, or `most` bytes of it.
    ///
    /// # Errors
    /// If the connection breaks off before.
    pub async fn read_body(&mut self, most: usize) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        let mut buffer = [0; 4096];
        while body.len() < most {
            let room = buffer.len().min(most - body.len());
            match poll_fn(|context| self.poll_read(context, &mut buffer[..room])).await? {
                0 => break,
                count => body.extend_from_slice(&buffer[..count]),
            }
        }
        Ok(body)
    }

    /// The first line of the body, cut and made printable; empty for what only a browser can show.
    async fn first_line(&mut self) -> String {
        /// The most that is read of it, in bytes.
        const MOST: usize = 512;
        /// How long the server may take for it.
        const LIMIT: Duration = Duration::from_secs(1);
        let kind = self.header(&header::CONTENT_TYPE).unwrap_or_default();
        if kind.starts_with("text/html") {
            return String::new();
        }
        let mut line = Vec::new();
        let mut buffer = [0; MOST];
        let read = async {
            while line.len() < MOST && !line.contains(&b'\n') {
                let room = &mut buffer[..MOST - line.len()];
                match poll_fn(|context| self.poll_read(context, room)).await {
                    Ok(0) | Err(_) => break,
                    Ok(count) => line.extend_from_slice(&room[..count]),
                }
            }
        };
        let _ = tokio::time::timeout(LIMIT, read).await;
        let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
        brief(line.trim_ascii())
    }
}

/// The failure of a request that got a status other than the expected one. `when` follows the status.
pub async fn refusal(mut response: Response, place: Kind, operation: &str, when: &str) -> Failure {
    let kind = match response.status() {
        StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED => Kind::Connect,
        _ => place,
    };
    let mut why = format!("the server responded {}{when}", response.status_line());
    let location = response.headers().get(header::LOCATION);
    if let Some(location) = location.filter(|_| response.status().is_redirection()) {
        let to = response.url.join(location.as_bytes());
        why += &to
            .map(|to| format!(", which leads to {}", to.without_query()))
            .unwrap_or_default();
    }
    let line = response.first_line().await;
    if !line.is_empty() {
        why += ": ";
        why += &line;
    }
    Failure::because(kind, operation, why)
}

/// Why an exchange broke off, as an error of I/O.
pub fn broken(error: &hyper::Error) -> io::Error {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(cause) = cause.downcast_ref::<io::Error>() {
            return match cause.kind() {
                io::ErrorKind::UnexpectedEof => cut(),
                kind => cause
                    .raw_os_error()
                    .map_or_else(|| io::Error::new(kind, cause.to_string()), io::Error::from_raw_os_error),
            };
        }
        source = cause.source();
    }
    if error.is_incomplete_message() {
        return cut();
    }
    let why = if error.to_string().contains("too large") {
        "the head of the response is larger than 64 KiB".to_owned()
    } else if error.is_parse() {
        format!("the response is not valid: {error}")
    } else {
        error.to_string()
    };
    io::Error::new(io::ErrorKind::InvalidData, why)
}

fn cut() -> io::Error {
    let why = "the connection ended before the response was complete";
    io::Error::new(io::ErrorKind::UnexpectedEof, why)
}
