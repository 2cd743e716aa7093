//! Objects that are read. A connection that is cut goes on at the byte that was reached, in the same version.

use std::io;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};

use http::{Method, StatusCode, header};

use crate::catalog::{Args, Placed};
use crate::error::{Failure, Kind, Stop};
use crate::grammar::human_size;
use crate::net::http::{Attempt, ContentRange, Framing, Response, Retries, Retry};
use crate::net::s3::{Failed, Found, MEMORY, Service};
use crate::platform::Queued;
use crate::stage::{BoxFuture, Endpoint, Facts, OpenReader, Outside, Reach, RemoteIdentity, StreamReader};

use super::options::{Planned, ranges};
use super::ranges::{RangeOptions, Ranges};

const READ: &str = "cannot read";
pub const READ_ALL: &str = "cannot read all of it";

/// An object.
pub fn named(rest: &[u8], args: &Args) -> Placed {
    Ok(Box::new(Object {
        planned: Planned::of(rest, args, Kind::Source)?,
        ranges: ranges(args),
    }))
}

struct Object {
    planned: Planned,
    /// `None` for one request.
    ranges: Option<RangeOptions>,
}

impl Endpoint for Object {
    fn shown(&self) -> String {
        self.planned.name.to_string()
    }

    fn reach(&self) -> Reach {
        Reach::Far
    }

    fn state_bytes(&self) -> u64 {
        self.ranges.map_or(MEMORY, RangeOptions::memory)
    }

    fn source_facts(&self) -> Result<Facts, Failure> {
        self.planned.service()?;
        Ok(Facts {
            outside: Some(Outside::Peer),
            ..Facts::default()
        })
    }

    fn reading(&self) -> String {
        let server = self.planned.server();
        match self.ranges {
            None => format!("gets it from {server}: 1 request, and after a cut 1 for the rest"),
            Some(RangeOptions { threads, size }) => format!(
                "gets it from {server}: 1 request, and 1 for every {}, {threads} at once",
                human_size(size)
            ),
        }
    }

    fn can_resume(&self) -> Result<(), &'static str> {
        Ok(())
    }

    fn open_reader(self: Box<Self>) -> BoxFuture<'static, Result<OpenReader, Failure>> {
        Box::pin(async move {
            let service = self.planned.service()?.clone();
            if let Some(options) = self.ranges
                && let Some(ranges) = Ranges::open(&service, options).await?
            {
                return Ok(OpenReader::Stream(Box::new(ranges)));
            }
            Ok(OpenReader::Stream(Box::new(Reader::open(service).await?)))
        })
    }
}

/// An object that is being read.
struct Reader {
    service: Arc<Service>,
    state: State,
    /// Its size in bytes.
    size: u64,
    etag: Option<String>,
    retries: Retries,
    /// The offset of the next byte.
    at: u64,
    /// The offset at which the connection began to give bytes.
    began_at: u64,
}

enum State {
    Reading(Box<Response>),
    /// Asking for the rest.
    Resuming(BoxFuture<'static, Result<(Box<Response>, Retries), Failure>>),
    Over,
}

impl Reader {
    async fn open(service: Arc<Service>) -> Result<Self, Failure> {
        let mut retries = service.retries(&Method::GET);
        let response = loop {
            match service.get(None, None).await {
                Ok(response) => break response,
                Err(failed) => retries.pause(failed.attempt).await?,
            }
        };
        retries.reset();
        let Framing::Length(size) = response.framing() else {
            let why = "the server does not say how many bytes it sends";
            return Err(Failure::because(Kind::Source, READ, why));
        };
        Ok(Self {
            etag: Found::of(&response).etag,
            service,
            state: State::Reading(Box::new(response)),
            size,
            retries,
            at: 0,
            began_at: 0,
        })
    }

    /// Asks for the rest after the connection broke off.
    ///
    /// # Errors
    /// If that is not possible.
    fn resume(&mut self, error: io::Error) -> Result<(), Failure> {
        let is_cut = error.kind() != io::ErrorKind::InvalidData;
        let failure = Failure::io(Kind::Source, READ_ALL, error);
        if !is_cut || self.etag.is_none() {
            return Err(failure);
        }
        let has_moved = self.at > self.began_at;
        if has_moved {
            self.retries.reset();
        }
        self.ask(Some(Attempt::new(failure, Retry::Idempotent)), has_moved);
        Ok(())
    }

    /// Asks for what begins at the next byte, after a failed attempt if there was one, and without a pause after that if
    /// it `is_first`.
    fn ask(&mut self, mut attempt: Option<Attempt>, mut is_first: bool) {
        let (service, mut retries) = (self.service.clone(), self.retries.clone());
        let (at, size, etag) = (self.at, self.size, self.etag.clone());
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
                match rest(&service, (at, None), size, etag.as_deref()).await {
                    Ok(response) => return Ok((Box::new(response), retries)),
                    Err(failed) => attempt = Some(failed.attempt),
                }
            }
        }));
    }
}

/// What a later run recognises a version by.
pub fn identity(service: &Service, size: u64, etag: Option<&str>) -> Result<Option<RemoteIdentity>, Failure> {
    let Some(etag) = etag else {
        let why = "resume=true needs an ETag in the response";
        return Err(Failure::because(Kind::Usage, "cannot go on in a later run", why));
    };
    Ok(Some(RemoteIdentity {
        url: format!("{} at {}", service.name(), service.server()),
        size,
        validator: etag.to_owned(),
    }))
}

/// What begins at an offset, and ends before another if that is given, of the version with that entity tag.
pub async fn rest(
    service: &Service,
    (at, to): (u64, Option<u64>),
    size: u64,
    etag: Option<&str>,
) -> Result<Response, Failed> {
    let differs = |why: String| Attempt::last(Failure::because(Kind::Integrity, READ_ALL, why)).into();
    let response = match service.get(Some((at, to)), etag).await {
        Ok(response) => response,
        Err(failed) if failed.code == "PreconditionFailed" => {
            return Err(differs("it has changed meanwhile: its ETag is another".to_owned()));
        }
        Err(failed) if failed.code == "NoSuchKey" => {
            return Err(differs("it has been deleted meanwhile".to_owned()));
        }
        Err(failed) => return Err(failed),
    };
    if response.status() != StatusCode::PARTIAL_CONTENT {
        return Err(differs("the server does not send parts of it".to_owned()));
    }
    let range = response.header(&header::CONTENT_RANGE).and_then(ContentRange::parse);
    let Some(ContentRange {
        start: Some(start),
        size: now,
    }) = range
    else {
        return Err(differs("the server does not say which part of it it sends".to_owned()));
    };
    if start != at {
        return Err(differs(format!(
            "the server was asked for byte {at} and sent byte {start}"
        )));
    }
    if let Some(now) = now.filter(|now| *now != size) {
        return Err(differs(format!(
            "it has changed meanwhile: it had {size} bytes and has {now}"
        )));
    }
    let is_same = match (&Found::of(&response).etag, etag) {
        (Some(now), Some(etag)) => now == etag,
        _ => true,
    };
    if !is_same {
        return Err(differs("it has changed meanwhile: its ETag is another".to_owned()));
    }
    Ok(response)
}

impl StreamReader for Reader {
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize, Stop>> {
        loop {
            match &mut self.state {
                State::Reading(response) => match ready!(response.poll_read(context, buffer)) {
                    Ok(0) if self.at < self.size => self.resume(io::ErrorKind::UnexpectedEof.into())?,
                    Ok(0) => self.state = State::Over,
                    Ok(count) => {
                        self.at += count as u64;
                        if self.at > self.size {
                            let why = "the server sent more of it than there is";
                            return Poll::Ready(Err(Failure::because(Kind::Integrity, READ_ALL, why).into()));
                        }
                        return Poll::Ready(Ok(count));
                    }
                    Err(error) => self.resume(error)?,
                },
                State::Resuming(rest) => {
                    let (response, retries) = ready!(rest.as_mut().poll(context))?;
                    self.retries = retries;
                    self.began_at = self.at;
                    self.state = State::Reading(response);
                }
                State::Over => return Poll::Ready(Ok(0)),
            }
        }
    }

    fn size(&self) -> Option<u64> {
        Some(self.size)
    }

    fn queue(&self) -> Option<Weak<dyn Queued>> {
        match &self.state {
            State::Reading(response) => response.queue(),
            State::Resuming(_) | State::Over => None,
        }
    }

    fn identity(&self) -> Result<Option<RemoteIdentity>, Failure> {
        identity(&self.service, self.size, self.etag.as_deref())
    }

    fn skip(&mut self, bytes: u64) -> bool {
        if self.etag.is_none() {
            return false;
        }
        self.at = bytes;
        self.began_at = bytes;
        if self.size == bytes {
            self.state = State::Over;
        } else {
            self.ask(None, false);
        }
        true
    }
}
