//! Downloads, which go on after a cut where the server can send the rest of the same version.

use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};

use http::header::{self, HeaderValue};
use http::{Method, StatusCode};

use crate::catalog::{Args, Placed};
use crate::error::{Failure, Kind, Stop};
use crate::net::http::{Attempt, ContentRange, Framing, Request, Response, Retries, Retry, refused};
use crate::platform::Queued;
use crate::stage::{BoxFuture, Endpoint, Facts, OpenReader, Outside, Reach, RemoteIdentity, StreamReader};

use super::options::Planned;
use super::validator::Validator;

const READ: &str = "cannot read";
const READ_ALL: &str = "cannot read all of it";

/// The resource behind a URL.
pub fn named(scheme: &[u8], rest: &[u8], args: &Args) -> Placed {
    Ok(Box::new(Resource(Planned::of(scheme, rest, args, Kind::Source)?)))
}

struct Resource(Planned);

impl Endpoint for Resource {
    fn shown(&self) -> String {
        self.0.url.to_string()
    }

    fn reach(&self) -> Reach {
        Reach::Far
    }

    fn state_bytes(&self) -> u64 {
        self.0.memory()
    }

    fn source_facts(&self) -> Result<Facts, Failure> {
        self.0.check()?;
        Ok(Facts {
            outside: Some(Outside::Peer),
            ..Facts::default()
        })
    }

    fn can_resume(&self) -> Result<(), &'static str> {
        if self.0.method == Method::GET {
            Ok(())
        } else {
            Err("a request that is not a GET")
        }
    }

    fn open_reader(self: Box<Self>) -> BoxFuture<'static, Result<OpenReader, Failure>> {
        Box::pin(async move {
            let request = self.0.request()?.clone();
            let retries = Retries::new(self.0.retries, &request.method);
            let remote = Remote {
                planned: self.0,
                request,
            };
            let mut reader = Reader::open(remote, retries).await?;
            reader.warn();
            Ok(OpenReader::Stream(Box::new(reader)))
        })
    }
}

/// What is asked for.
struct Remote {
    planned: Planned,
    request: Request,
}

/// A response that is being read.
struct Reader {
    remote: Arc<Remote>,
    state: State,
    version: Version,
    retries: Retries,
    /// The offset of the next byte.
    at: u64,
    /// The offset at which the connection began to give bytes.
    began_at: u64,
}

/// What is left, `None` if nothing is, and the further attempts to get it.
type Rest = (Option<Box<Response>>, Retries);

enum State {
    Reading(Box<Response>),
    /// Asking for the rest.
    Resuming(BoxFuture<'static, Result<Rest, Failure>>),
    Over,
}

/// What is known of the version of the resource that is read.
#[derive(Debug, Clone)]
struct Version {
    /// In bytes.
    size: Option<u64>,
    validator: Option<Validator>,
    /// Whether the server says that it sends parts.
    has_parts: bool,
}

impl Reader {
    async fn open(remote: Remote, mut retries: Retries) -> Result<Self, Failure> {
        let response = loop {
            match remote.whole().await {
                Ok(response) => break response,
                Err(attempt) => retries.pause(attempt).await?,
            }
        };
        retries.reset();
        let version = Version {
            size: match response.framing() {
                Framing::Length(length) => Some(length),
                Framing::Chunked | Framing::Close => None,
            },
            validator: Validator::of(&response).filter(|_| remote.request.method == Method::GET),
            has_parts: response.header(&header::ACCEPT_RANGES) == Some("bytes"),
        };
        Ok(Self {
            remote: Arc::new(remote),
            state: State::Reading(Box::new(response)),
            version,
            retries,
            at: 0,
            began_at: 0,
        })
    }

    /// Tells what the user would not expect of the response.
    fn warn(&mut self) {
        let State::Reading(response) = &self.state else { return };
        if response.framing() == Framing::Close && !response.url.is_secure {
            tracing::warn!(
                "the server does not say where {} ends: a cut connection looks like its end",
                response.url.without_query()
            );
        }
        let encoding = response.header(&header::CONTENT_ENCODING);
        let asked = self.remote.request.headers.contains_key(header::ACCEPT_ENCODING);
        if let Some(encoding) = encoding.filter(|encoding| *encoding != "identity" && !asked) {
            tracing::warn!(
                "what comes is compressed, which was not asked for: {}",
                crate::error::brief(encoding.as_bytes())
            );
        }
    }

    /// Asks for the rest after the connection broke off.
    ///
    /// # Errors
    /// If that is not possible.
    fn resume(&mut self, error: io::Error) -> Result<(), Failure> {
        let is_cut = error.kind() != io::ErrorKind::InvalidData;
        let failure = Failure::io(Kind::Source, READ_ALL, error);
        let Some(validator) = self.version.validator.clone().filter(|_| is_cut) else {
            if is_cut && self.remote.planned.retries > 0 {
                let why = format!("{failure}; it cannot go on, because the response has no strong validator");
                return Err(Failure::because(Kind::Source, READ_ALL, why));
            }
            return Err(failure);
        };
        let has_moved = self.at > self.began_at;
        if has_moved {
            self.retries.reset();
        }
        self.ask(validator, Some(Attempt::new(failure, Retry::Idempotent)), has_moved);
        Ok(())
    }

    /// Asks for what begins at the next byte, after a failed attempt if there was one, and without a pause after that if
    /// it `is_first`.
    fn ask(&mut self, validator: Validator, mut attempt: Option<Attempt>, mut is_first: bool) {
        let (remote, mut retries) = (self.remote.clone(), self.retries.clone());
        let (at, size) = (self.at, self.version.size);
        self.state = State::Resuming(Box::pin(async move {
            loop {
                if let Some(attempt) = attempt.take() {
                    if std::mem::take(&mut is_first) {
                        // The server was there a moment ago.
                        let (failure, _) = retries.count(attempt)?;
                        tracing::info!("{failure} (after {at} bytes); asking for the rest");
                    } else {
                        retries.pause(attempt).await?;
                    }
                }
                match remote.rest(at, size, &validator).await {
                    Ok(response) => return Ok((response, retries)),
                    Err(failed) => attempt = Some(failed),
                }
            }
        }));
    }
}

impl Remote {
    /// The whole resource.
    async fn whole(&self) -> Result<Response, Attempt> {
        let response = self.planned.client.fetch(&self.request).await?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT => {
                let why = "the server sent a part of it, which was not asked for";
                Err(Attempt::last(Failure::because(Kind::Source, READ, why)))
            }
            status if status.is_success() => Ok(response),
            _ => Err(refused(response, Kind::Source, READ).await),
        }
    }

    /// What begins at an offset of a version; `None` if it ends there.
    async fn rest(&self, at: u64, size: Option<u64>, validator: &Validator) -> Result<Option<Box<Response>>, Attempt> {
        let changed = |how: String| {
            let why = format!("it has changed meanwhile: {how}");
            Err(Attempt::last(Failure::because(Kind::Integrity, READ_ALL, why)))
        };
        let mut request = self.request.clone();
        let range = HeaderValue::from_str(&format!("bytes={at}-")).expect("digits");
        request.headers.insert(header::RANGE, range);
        request.headers.insert(header::IF_RANGE, validator.if_range());
        let mut response = self.planned.client.fetch(&request).await?;
        let range = response.header(&header::CONTENT_RANGE).and_then(ContentRange::parse);
        match (response.status(), range) {
            (
                StatusCode::PARTIAL_CONTENT,
                Some(ContentRange {
                    start: Some(start),
                    size: now,
                }),
            ) => {
                if !validator.agrees(&response) {
                    return changed("its validator is another".to_owned());
                }
                if let (Some(size), Some(now)) = (size, now)
                    && size != now
                {
                    return changed(format!("it had {size} bytes and has {now}"));
                }
                let Some(overlap) = at.checked_sub(start) else {
                    let why = format!("the server was asked for byte {at} and sent byte {start}");
                    return Err(Attempt::last(Failure::because(Kind::Integrity, READ_ALL, why)));
                };
                discard(&mut response, overlap).await?;
                Ok(Some(Box::new(response)))
            }
            (StatusCode::PARTIAL_CONTENT, _) => {
                let why = "the server does not say which part of it it sends";
                Err(Attempt::last(Failure::because(Kind::Integrity, READ_ALL, why)))
            }
            (StatusCode::RANGE_NOT_SATISFIABLE, Some(ContentRange { size: Some(now), .. })) => {
                if now == at && size.is_none_or(|size| size == at) {
                    return Ok(None);
                }
                changed(format!("{at} bytes of it came, and it has {now}"))
            }
            (StatusCode::OK, _) if Validator::of(&response).as_ref() == Some(validator) => {
                let why = "the connection was cut, and the server does not send parts of it";
                Err(Attempt::last(Failure::because(Kind::Source, READ_ALL, why)))
            }
            (StatusCode::OK, _) => changed("the server sends another version".to_owned()),
            _ => Err(refused(response, Kind::Source, READ_ALL).await),
        }
    }
}

/// Reads bytes that have come before.
async fn discard(response: &mut Response, mut count: u64) -> Result<(), Attempt> {
    let mut buffer = [0; 4096];
    while count > 0 {
        let most = usize::try_from(count).map_or(buffer.len(), |count| count.min(buffer.len()));
        let read = poll_fn(|context| response.poll_read(context, &mut buffer[..most])).await;
        let read = read.and_then(|read| {
            if read == 0 {
                Err(io::ErrorKind::UnexpectedEof.into())
            } else {
                Ok(read)
            }
        });
        count -=
            read.map_err(|error| Attempt::new(Failure::io(Kind::Source, READ_ALL, error), Retry::Idempotent))? as u64;
    }
    Ok(())
}

impl StreamReader for Reader {
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize, Stop>> {
        loop {
            match &mut self.state {
                State::Reading(response) => {
                    let read = ready!(response.poll_read(context, buffer));
                    let is_short = self.version.size.is_some_and(|size| self.at < size);
                    match read {
                        Ok(0) if is_short => {
                            // The part that was sent after a cut did not reach to the end.
                            self.resume(io::ErrorKind::UnexpectedEof.into())?;
                        }
                        Ok(0) => self.state = State::Over,
                        Ok(count) => {
                            self.at += count as u64;
                            if self.version.size.is_some_and(|size| self.at > size) {
                                let why = "the server sent more of it than there is";
                                return Poll::Ready(Err(Failure::because(Kind::Integrity, READ_ALL, why).into()));
                            }
                            return Poll::Ready(Ok(count));
                        }
                        Err(error) => self.resume(error)?,
                    }
                }
                State::Resuming(rest) => {
                    let (response, retries) = ready!(rest.as_mut().poll(context))?;
                    self.retries = retries;
                    self.began_at = self.at;
                    self.state = response.map_or(State::Over, State::Reading);
                }
                State::Over => return Poll::Ready(Ok(0)),
            }
        }
    }

    fn size(&self) -> Option<u64> {
        self.version.size
    }

    fn queue(&self) -> Option<Weak<dyn Queued>> {
        match &self.state {
            State::Reading(response) => response.queue(),
            State::Resuming(_) | State::Over => None,
        }
    }

    fn identity(&self) -> Result<Option<RemoteIdentity>, Failure> {
        let missing = match &self.version {
            Version { size: None, .. } => "a Content-Length",
            Version { has_parts: false, .. } => "Accept-Ranges: bytes",
            Version { validator: None, .. } => "a strong ETag, or a Last-Modified date that is a minute old",
            Version {
                size: Some(size),
                validator: Some(validator),
                ..
            } => {
                return Ok(Some(RemoteIdentity {
                    url: self.remote.request.url.to_string(),
                    size: *size,
                    validator: validator.text().to_owned(),
                }));
            }
        };
        let why = format!("resume=true needs {missing} in the response");
        Err(Failure::because(Kind::Usage, "cannot go on in a later run", why))
    }

    fn skip(&mut self, bytes: u64) -> bool {
        let Some(validator) = self.version.validator.clone().filter(|_| self.version.has_parts) else {
            return false;
        };
        self.at = bytes;
        self.began_at = bytes;
        if self.version.size == Some(bytes) {
            self.state = State::Over;
        } else {
            self.ask(validator, None, false);
        }
        true
    }
}
