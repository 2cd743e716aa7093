//! An object of which several ranges are asked for at once. They are given on in order.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http::{Method, StatusCode, header};

use crate::error::{Failure, Kind, Stop};
use crate::net::http::{Attempt, ContentRange, Retry};
use crate::net::s3::{Failed, Found, MEMORY, Service};
use crate::stage::{BoxFuture, RemoteIdentity, StreamReader};

use super::read::{READ_ALL, identity, rest};

/// How many ranges are asked for at once, and how large they are.
#[derive(Debug, Clone, Copy)]
pub struct RangeOptions {
    /// How many; at least 2.
    pub threads: usize,
    /// Bytes of one.
    pub size: u64,
}

impl RangeOptions {
    /// Bytes of memory that they take.
    pub fn memory(self) -> u64 {
        (self.threads as u64).saturating_mul(self.size.saturating_add(MEMORY))
    }
}

/// An object that is being read in ranges.
pub struct Ranges {
    service: Arc<Service>,
    options: RangeOptions,
    /// Its size in bytes.
    size: u64,
    etag: String,
    /// What has come and is given on now.
    front: Bytes,
    /// What follows, in order.
    asked: VecDeque<Range>,
    /// The offset of the next range that is asked for.
    next: u64,
}

enum Range {
    Asked(BoxFuture<'static, Result<Bytes, Failure>>),
    Come(Bytes),
}

impl Ranges {
    /// Looks at the object; `None` if it has no bytes, or the server does not send ranges of a version.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn open(service: &Arc<Service>, options: RangeOptions) -> Result<Option<Self>, Failure> {
        let mut retries = service.retries(&Method::GET);
        let response = loop {
            match service.get(Some((0, Some(1))), None).await {
                Ok(response) => break response,
                Err(failed) if failed.code == "InvalidRange" => return Ok(None),
                Err(failed) => retries.pause(failed.attempt).await?,
            }
        };
        let range = response.header(&header::CONTENT_RANGE).and_then(ContentRange::parse);
        let (Some(size), Some(etag)) = (range.and_then(|range| range.size), Found::of(&response).etag) else {
            return Ok(None);
        };
        let is_part = response.status() == StatusCode::PARTIAL_CONTENT;
        Ok(is_part.then(|| Self {
            service: service.clone(),
            options,
            size,
            etag,
            front: Bytes::new(),
            asked: VecDeque::new(),
            next: 0,
        }))
    }

    /// Asks for as many ranges as there is memory for.
    fn ask(&mut self) {
        let held = usize::from(!self.front.is_empty());
        while self.next < self.size && self.asked.len() + held < self.options.threads {
            let from = self.next;
            self.next = self.size.min(from + self.options.size);
            let range = fetch(self.service.clone(), (from, self.next), self.size, self.etag.clone());
            self.asked.push_back(Range::Asked(Box::pin(range)));
        }
    }
}

impl StreamReader for Ranges {
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize, Stop>> {
        loop {
            self.ask();
            // All of them are polled, so that all go on.
            for range in &mut self.asked {
                if let Range::Asked(asked) = range
                    && let Poll::Ready(bytes) = asked.as_mut().poll(context)
                {
                    *range = Range::Come(bytes?);
                }
            }
            if !self.front.is_empty() {
                let count = self.front.len().min(buffer.len());
                self.front.copy_to_slice(&mut buffer[..count]);
                return Poll::Ready(Ok(count));
            }
            match self.asked.pop_front() {
                None => return Poll::Ready(Ok(0)),
                Some(Range::Come(bytes)) => self.front = bytes,
                Some(asked) => {
                    self.asked.push_front(asked);
                    return Poll::Pending;
                }
            }
        }
    }

    fn size(&self) -> Option<u64> {
        Some(self.size)
    }

    fn identity(&self) -> Result<Option<RemoteIdentity>, Failure> {
        identity(&self.service, self.size, Some(&self.etag))
    }

    fn skip(&mut self, bytes: u64) -> bool {
        self.next = bytes;
        true
    }
}

/// The bytes from one offset up to another, however often the connection is cut.
async fn fetch(service: Arc<Service>, (from, to): (u64, u64), size: u64, etag: String) -> Result<Bytes, Failure> {
    let mut retries = service.retries(&Method::GET);
    let mut bytes = vec![0; usize::try_from(to - from).unwrap_or(usize::MAX)];
    let mut filled = 0;
    loop {
        let before = filled;
        let range = (from + filled as u64, to);
        match fill(&service, range, size, &etag, &mut bytes, &mut filled).await {
            Ok(()) => return Ok(bytes.into()),
            Err(failed) => {
                if filled > before {
                    retries.reset();
                }
                retries.pause(failed.attempt).await?;
            }
        }
    }
}

/// Reads one response into what is left of `bytes`.
async fn fill(
    service: &Service,
    (from, to): (u64, u64),
    size: u64,
    etag: &str,
    bytes: &mut [u8],
    filled: &mut usize,
) -> Result<(), Failed> {
    let mut response = rest(service, (from, Some(to)), size, Some(etag)).await?;
    let cut = |error: io::Error| Attempt::new(Failure::io(Kind::Source, READ_ALL, error), Retry::Idempotent);
    while *filled < bytes.len() {
        let read = poll_fn(|context| response.poll_read(context, &mut bytes[*filled..])).await;
        match read.map_err(cut)? {
            0 => return Err(cut(io::ErrorKind::UnexpectedEof.into()).into()),
            count => *filled += count,
        }
    }
    Ok(())
}
