//! Objects that are written: in one request if they are small, else in parts. What the server has not confirmed is kept
//! and sent again.

use std::collections::BTreeMap;
use std::env;
use std::future::poll_fn;
use std::io::IoSlice;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use tokio::task::{JoinError, JoinSet};

use crate::catalog::{Args, Placed};
use crate::error::{Failure, Kind, Stop, shown};
use crate::flow::Position;
use crate::grammar::human_size;
use crate::net::s3::{Body, Given, LEAST_PART, MEMORY, MOST_PARTS, Part, PartSizes, Service, Store, Summed};
use crate::platform::FilePlace;
use crate::stage::{
    BoxFuture, Endpoint, Facts, OpenWriter, Outcome, Outside, Phase, Reach, ResumePoint, Resumption, Rollback,
    SavedStates, StreamWriter,
};

use super::options::{IF_ABSENT, Planned, part_size, presign_time, state_file, threads};
use super::resumed::Resumed;
use super::state::{Destination, PartEnd, SentPart, goes_on_at};
use super::upload::{MANIFEST, Manifest, Upload};

/// The memory that a part in a file takes while it is sent, in bytes: pieces of it.
const PIECES: u64 = 256 << 10;

/// An object.
pub fn named(rest: &[u8], args: &Args) -> Placed {
    let part = part_size(args)?;
    // Without a ceiling of the user's, a larger part must not raise it.
    let is_limited = args.state_limit() < u64::MAX;
    Ok(Box::new(Object {
        planned: Planned::of(rest, args, Kind::Sink)?,
        part,
        threads: threads(args),
        kept: if part == LEAST_PART || is_limited {
            Kept::All
        } else {
            Kept::File
        },
        is_new: args.flag(IF_ABSENT.name),
        presign: presign_time(args)?,
        size: None,
        state: state_file(args)?,
        resumption: Resumption::default(),
    }))
}

struct Object {
    planned: Planned,
    /// The least size of a part in bytes.
    part: u64,
    /// How many parts are sent at once.
    threads: usize,
    kept: Kept,
    /// Whether it may not replace another.
    is_new: bool,
    /// How long a URL is to be good for.
    presign: Option<Duration>,
    /// How many bytes will come, if that is known.
    size: Option<u64>,
    /// The file that notes which parts the server has, if a later run may continue this one.
    state: Option<PathBuf>,
    resumption: Resumption,
}

/// Where parts of the least size are kept until the server has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    /// In memory, while the next one is filled.
    All,
    /// In memory, one at a time.
    One,
    /// In a file.
    File,
}

impl Object {
    /// How many bytes more than its least size a part may have, because it ends where another run can start.
    fn slack(&self) -> u64 {
        /// Larger than any chunk that a link has by itself.
        const CHUNK: u64 = 512 << 10;
        let held = self.resumption.held_back;
        self.state.as_ref().map_or(0, |_| held + held / 64 + CHUNK)
    }

    /// How many parts are in memory at most.
    fn in_memory(&self) -> usize {
        match self.kept {
            Kept::All => self.threads + 1,
            Kept::One => 1,
            Kept::File => 0,
        }
    }
}

impl Endpoint for Object {
    fn shown(&self) -> String {
        self.planned.name.to_string()
    }

    fn reach(&self) -> Reach {
        Reach::Far
    }

    fn state_bytes(&self) -> u64 {
        let parts = (self.in_memory() as u64)
            .saturating_mul(self.part + self.slack())
            .max(PIECES);
        let requests = self.threads as u64 * MEMORY;
        parts.saturating_add(requests + MANIFEST)
    }

    fn hold_less(&mut self) -> bool {
        self.threads = 1;
        let less = match self.kept {
            Kept::All => Kept::One,
            Kept::One | Kept::File => Kept::File,
        };
        std::mem::replace(&mut self.kept, less) != less
    }

    fn sink_facts(&self) -> Result<Facts, Failure> {
        self.planned.service()?;
        let state = self.state.as_deref().map(FilePlace::find).transpose();
        let state = state.map_err(|error| Failure::io(Kind::Sink, "cannot open the file of state=", error))?;
        Ok(Facts {
            files: state.flatten().into_iter().collect(),
            outside: Some(Outside::Peer),
            ..Facts::default()
        })
    }

    fn effect(&self) -> String {
        let sizes = PartSizes::new(self.part, None);
        let folder = folder();
        let file = format!(
            "in a file without a name in {}",
            shown(folder.as_os_str().as_encoded_bytes())
        );
        let in_memory = match self.kept {
            Kept::File => format!("the part that is sent is kept {file}"),
            Kept::One => "the part that is sent is kept in memory".to_owned(),
            Kept::All => format!(
                "{} parts are kept in memory: one is filled while {} sent",
                self.in_memory(),
                if self.threads == 1 {
                    "the other is"
                } else {
                    "the others are"
                }
            ),
        };
        let kept = if self.kept == Kept::File {
            in_memory
        } else {
            let most = human_size(self.part + self.slack());
            format!("{in_memory},\n    one of more than {most} {file}")
        };
        let replaces = if self.is_new {
            "never replaces an object"
        } else {
            "replaces the object at the end"
        };
        let stays = self.state.as_deref().map_or_else(String::new, |path| {
            let destination = self.planned.service().map(|service| Destination::of(service));
            let goes_on = destination.and_then(|destination| goes_on_at(path, &destination, &self.resumption));
            let stays = match goes_on {
                Ok(None) => "if the run ends early, the parts stay, and a later run goes on with them".to_owned(),
                Ok(Some(read)) => {
                    let read = human_size(read);
                    format!("goes on at {read} of the source if that is unchanged and the server has the parts")
                }
                Err(failure) => format!("but {failure}"),
            };
            format!("\n    {stays}")
        });
        format!(
            "puts it to {}, and {replaces}:\n    \
             2 requests up to {part}, else 4 and 1 for each part of {part}\n    \
             larger parts if the size is known and needs more than 10,000; if it is not\n    \
             known, parts double every 1,000, and the largest object has {}\n    \
             {kept}{stays}",
            self.planned.server(),
            human_size(sizes.largest_object()),
            part = human_size(self.part),
        )
    }

    fn resumption(&mut self) -> Option<&mut Resumption> {
        self.state.is_some().then_some(&mut self.resumption)
    }

    fn checkpoints(&self) -> Option<(&'static str, u64)> {
        let behind = self.threads as u64 + 1;
        let largest = self.part + self.slack();
        self.state.as_ref().map(|_| ("state=", largest.saturating_mul(behind)))
    }

    fn expect_size(&mut self, bytes: u64) {
        self.size = Some(bytes);
    }

    fn open_writer(self: Box<Self>) -> BoxFuture<'static, Result<OpenWriter, Failure>> {
        Box::pin(async move {
            let service = self.planned.service()?.clone();
            let given = service.look().await?;
            let slack = self.slack();
            let resumed = match (self.state, self.resumption.key()) {
                (Some(path), Some(key)) => Resumed::open(&service, path, key, &self.resumption).await?,
                _ => Resumed::nothing(&service),
            };
            if given == Given::Object && self.is_new && !resumed.is_complete {
                Arc::new(resumed.upload).roll_back().await?;
                let why = "there is such an object, and if-absent=true does not replace it";
                return Err(Failure::because(Kind::Sink, "cannot write", why));
            }
            let writer = Writer {
                sizes: PartSizes::new(self.part, self.size),
                slack,
                point: resumed.point,
                is_complete: resumed.is_complete,
                states: self.resumption.states,
                end: None,
                ends: BTreeMap::new(),
                room: if self.kept == Kept::File { 0 } else { self.part + slack },
                threads: self.threads,
                overlaps: self.kept != Kept::One,
                expected: self.size,
                is_new: self.is_new,
                presign: self.presign,
                limit: self.planned.options.linger,
                url: None,
                number: resumed.manifest.next() - 1,
                manifest: resumed.manifest,
                filling: None,
                whole: None,
                sending: JoinSet::new(),
                sending_file: None,
                confirmed: BTreeMap::new(),
                spare: Vec::new(),
                upload: Arc::new(resumed.upload),
                service,
            };
            Ok(OpenWriter::Stream(Box::new(writer)))
        })
    }
}

/// Where parts are kept that do not fit the memory.
fn folder() -> PathBuf {
    let set = env::var_os("TMPDIR").filter(|set| !set.is_empty());
    set.map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from)
}

/// Where `size` bytes are kept if there is `room` for so many in memory.
fn store(room: u64, size: u64) -> Store {
    if size <= room {
        Store::Memory
    } else {
        Store::File(folder())
    }
}

/// An object that is being written.
struct Writer {
    service: Arc<Service>,
    upload: Arc<Upload>,
    sizes: PartSizes,
    /// How many bytes more a part may have.
    slack: u64,
    /// How far an earlier run has come; `None` if no later run can go on.
    point: Option<ResumePoint>,
    /// Whether it has made the object.
    is_complete: bool,
    /// The states of the stages.
    states: Vec<Arc<SavedStates>>,
    /// Where another run can start: right behind what has come.
    end: Option<PartEnd>,
    /// The same behind parts that the server has not confirmed.
    ends: BTreeMap<u64, PartEnd>,
    /// The largest part that is kept in memory, in bytes.
    room: u64,
    /// How many parts are sent at once.
    threads: usize,
    /// Whether one is filled while others are sent.
    overlaps: bool,
    /// How many bytes will come, if that is known.
    expected: Option<u64>,
    is_new: bool,
    presign: Option<Duration>,
    /// How long the server may take to confirm the whole; `None` for as long as it takes.
    limit: Option<Duration>,
    url: Option<String>,
    manifest: Manifest,
    /// How many parts were begun.
    number: u64,
    filling: Option<Part>,
    /// All of the object, which one request will put.
    whole: Option<Body>,
    /// Parts in memory that are being sent.
    sending: JoinSet<Sent>,
    /// A part in a file that is being sent: it is read on this thread.
    sending_file: Option<BoxFuture<'static, Sent>>,
    /// Parts that the server has confirmed before an earlier one.
    confirmed: BTreeMap<u64, (String, Summed)>,
    /// The memory of confirmed parts.
    spare: Vec<BytesMut>,
}

/// The number of a part that the server has confirmed, what was sent, and its entity tag.
type Sent = Result<(u64, Body, String), Failure>;

impl Writer {
    /// Begins another part.
    fn begin(&mut self) -> Result<(), Failure> {
        self.number += 1;
        if self.number > MOST_PARTS {
            let why = format!("the object would have more than {MOST_PARTS} parts: give a larger part=");
            return Err(Failure::because(Kind::Limit, "cannot write", why));
        }
        let size = self.sizes.size(self.number) + self.slack;
        let size = self.expected.map_or(size, |whole| size.min(whole.max(1)));
        let store = store(self.room, size);
        let memory = match store {
            Store::Memory => self.spare.pop().unwrap_or_default(),
            Store::File(_) => BytesMut::new(),
        };
        self.filling = Some(Part::new(size, &store, memory, self.service.signs_bodies())?);
        Ok(())
    }

    /// Whether the part that was filled has to be sent before more comes: it is full, or is large enough and ends where
    /// another run can start.
    fn is_due(&self) -> bool {
        let is_enough = |part: &Part| part.length() >= self.sizes.size(self.number);
        let ends = self.end.is_some();
        self.filling
            .as_ref()
            .is_some_and(|part| part.is_full() || ends && is_enough(part))
    }

    /// Begins to send the part that was filled.
    fn send(&mut self) {
        let Some(part) = self.filling.take() else { return };
        if let Some(end) = self.end.take() {
            self.ends.insert(self.number, end);
        }
        let (upload, number, body) = (self.upload.clone(), self.number, part.finish());
        let is_in_memory = body.bytes().is_some();
        let sent = async move {
            let etag = upload.put_part(number, &body).await?;
            Ok((number, body, etag))
        };
        if is_in_memory {
            self.sending.spawn(sent);
        } else {
            self.sending_file = Some(Box::pin(sent));
        }
    }

    /// Waits until at most so many parts are on their way.
    fn poll_sent(&mut self, context: &mut Context<'_>, most: usize) -> Poll<Result<(), Failure>> {
        loop {
            let mut sent = Poll::Pending;
            if let Some(file) = &mut self.sending_file {
                sent = file.as_mut().poll(context);
                if sent.is_ready() {
                    self.sending_file = None;
                }
            }
            if sent.is_pending()
                && let Poll::Ready(Some(joined)) = self.sending.poll_join_next(context)
            {
                let panicked = |error: JoinError| Err(Failure::because(Kind::Bug, "cannot write", error.to_string()));
                sent = Poll::Ready(joined.unwrap_or_else(panicked));
            }
            match sent {
                Poll::Ready(sent) => self.confirm(sent?)?,
                Poll::Pending if self.sending.len() + usize::from(self.sending_file.is_some()) > most => {
                    return Poll::Pending;
                }
                Poll::Pending => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Notes a part that the server has.
    fn confirm(&mut self, (number, body, etag): (u64, Body, String)) -> Result<(), Failure> {
        self.confirmed.insert(number, (etag, body.summed()));
        let memory = body.into_memory();
        if memory.capacity() > 0 {
            self.spare.push(memory);
        }
        while let Some((etag, summed)) = self.confirmed.remove(&self.manifest.next()) {
            let number = self.manifest.next();
            let end = self.ends.remove(&number);
            self.manifest.add(&etag, summed)?;
            if let Some(mut noted) = self.upload.noted() {
                noted.sent(SentPart {
                    number,
                    etag,
                    md5: summed.md5,
                    bytes: summed.length,
                    end,
                })?;
            }
        }
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), Failure> {
        if self.is_complete {
            self.upload.committed();
            return Ok(());
        }
        match &self.whole {
            Some(body) => self.upload.put(body, self.is_new).await,
            None => {
                let room = self.room;
                let complete = self
                    .upload
                    .complete(&self.manifest, |size| store(room, size), self.is_new);
                complete.await
            }
        }
    }

    async fn sign_url(&mut self, lasts: Duration) {
        match self.service.presign(lasts).await {
            Ok((url, expires)) => {
                if let Some(expires) = expires {
                    let at = humantime::format_rfc3339_seconds(expires);
                    tracing::warn!("the URL ends with the keys that signed it, at {at}");
                }
                self.url = Some(url);
            }
            // The object is there.
            Err(failed) => tracing::warn!("no URL could be signed: {}", failed.attempt.failure),
        }
    }
}

impl StreamWriter for Writer {
    fn poll_write(&mut self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<Result<usize, Stop>> {
        if self.is_complete {
            // What comes behind the last part that could be gone on with is in the object.
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        }
        // A full part is not sent before more comes: it may be all, and then one request is enough.
        if self.is_due() {
            ready!(self.poll_sent(context, self.threads - 1))?;
            self.send();
        }
        let most = if self.overlaps { self.threads } else { 0 };
        ready!(self.poll_sent(context, most))?;
        if self.filling.is_none() {
            self.begin()?;
        }
        self.end = None;
        let filled = self.filling.as_mut().map_or(Ok(0), |part| part.fill(slices));
        Poll::Ready(filled.map_err(Stop::from))
    }

    fn poll_idle(&mut self, context: &mut Context<'_>) -> Poll<Stop> {
        match self.poll_sent(context, usize::MAX) {
            Poll::Ready(Err(failure)) => Poll::Ready(failure.into()),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        }
    }

    fn resumes_at(&self) -> Option<ResumePoint> {
        self.point
    }

    fn reach(&mut self, position: Position) {
        // All of them are asked, so that each drops what is not needed any more.
        let states: Vec<_> = self.states.iter().map(|saved| saved.at(position)).collect();
        let source = u64::try_from(position.0).unwrap_or(u64::MAX);
        let states: Option<Vec<_>> = states.into_iter().collect();
        self.end = states.map(|states| PartEnd { source, states });
    }

    /// Sums of parts take time, and so does a file.
    fn blocks(&self) -> bool {
        true
    }

    fn phase(&self) -> Phase {
        Phase::Remote
    }

    fn prepare(&mut self) -> BoxFuture<'_, Outcome> {
        Box::pin(async {
            if self.is_complete {
                return Ok(());
            }
            let is_new = self.point.is_none_or(|point| point == ResumePoint::default());
            // One that an earlier run has begun is completed, even if all of it fits in one request by now.
            let has_upload = self.upload.noted().is_some_and(|state| state.has_begun());
            let is_small = is_new && self.number <= 1;
            if is_small && !(has_upload && self.filling.is_some()) {
                if self.filling.is_none() {
                    self.begin()?;
                }
                self.whole = self.filling.take().map(Part::finish);
                return Ok(());
            }
            poll_fn(|context| self.poll_sent(context, self.threads - 1)).await?;
            self.send();
            poll_fn(|context| self.poll_sent(context, 0)).await?;
            // The document that completes the upload takes the room of a part.
            self.spare.clear();
            Ok(())
        })
    }

    fn commit(&mut self) -> BoxFuture<'_, Outcome> {
        Box::pin(async {
            match self.limit {
                None => self.finish().await?,
                Some(limit) => tokio::time::timeout(limit, self.finish()).await.unwrap_or_else(|_| {
                    let limit = humantime::format_duration(limit);
                    let why = format!("the server did not confirm it within {limit} (linger)");
                    let operation = "cannot tell whether the server has made the object";
                    Err(Failure::because(Kind::Sink, operation, why))
                })?,
            }
            if let Some(lasts) = self.presign {
                self.sign_url(lasts).await;
            }
            Ok(())
        })
    }

    fn url(&self) -> Option<String> {
        self.url.clone()
    }

    fn rollback(&self) -> Option<Arc<dyn Rollback>> {
        Some(self.upload.clone())
    }
}
