//! Objects that are written: in one request if they are small, else in parts. What the server has not confirmed is kept
//! and sent again.

use std::env;
use std::io::IoSlice;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;

use crate::catalog::{Args, Placed};
use crate::error::{Failure, Kind, Stop, shown};
use crate::flow::Position;
use crate::grammar::human_size;
use crate::net::s3::{Body, Found, Given, LEAST_PART, MEMORY, MOST_PARTS, Part, PartSizes, Service, Store};
use crate::platform::FilePlace;
use crate::stage::{
    BoxFuture, Endpoint, Facts, OpenWriter, Outcome, Outside, Phase, Reach, ResumeKey, ResumePoint, Resumption,
    Rollback, SavedStates, StreamWriter,
};

use super::options::{IF_ABSENT, Planned, part_size, presign_time, state_file};
use super::state::{Completing, Destination, PartEnd, SentPart, StateFile};
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
        in_memory: part == LEAST_PART || is_limited,
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
    /// Whether a part of that size is kept in memory, and not in a file.
    in_memory: bool,
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

impl Object {
    /// How many bytes more than its least size a part may have, because it ends where another run can start.
    fn slack(&self) -> u64 {
        /// Larger than any chunk that a link has by itself.
        const CHUNK: u64 = 512 << 10;
        let held = self.resumption.held_back;
        self.state.as_ref().map_or(0, |_| held + held / 64 + CHUNK)
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
        let part = if self.in_memory {
            self.part + self.slack()
        } else {
            PIECES
        };
        MEMORY + MANIFEST + part
    }

    fn spool(&mut self) -> bool {
        std::mem::take(&mut self.in_memory)
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
        let kept = if self.in_memory {
            format!("in memory,\n    one of more than {} {file}", human_size(self.part))
        } else {
            file
        };
        let replaces = if self.is_new {
            "never replaces an object"
        } else {
            "replaces the object at the end"
        };
        format!(
            "puts it to {}, and {replaces}:\n    \
             2 requests up to {part}, else 4 and 1 for each part of {part}\n    \
             larger parts if the size is known and needs more than 10,000; if it is not\n    \
             known, parts double every 1,000, and the largest object has {}\n    \
             the part that is sent is kept {kept}",
            self.planned.server(),
            human_size(sizes.largest_object()),
            part = human_size(self.part),
        )
    }

    fn resumption(&mut self) -> Option<&mut Resumption> {
        self.state.is_some().then_some(&mut self.resumption)
    }

    fn checkpoint(&self) -> Option<u64> {
        self.state.as_ref().map(|_| self.part)
    }

    fn expect_size(&mut self, bytes: u64) {
        self.size = Some(bytes);
    }

    fn open_writer(self: Box<Self>) -> BoxFuture<'static, Result<OpenWriter, Failure>> {
        Box::pin(async move {
            let service = self.planned.service()?.clone();
            if service.look().await? == Given::Object && self.is_new {
                let why = "there is such an object, and if-absent=true does not replace it";
                return Err(Failure::because(Kind::Sink, "cannot write", why));
            }
            let slack = self.slack();
            let resumed = match (self.state, self.resumption.key()) {
                (Some(path), Some(run)) => Resumed::open(&service, path, run, &self.resumption.states).await?,
                _ => Resumed::nothing(&service),
            };
            let writer = Writer {
                sizes: PartSizes::new(self.part, self.size),
                slack,
                room: if self.in_memory { self.part + slack } else { 0 },
                point: resumed.point,
                states: self.resumption.states,
                end: None,
                expected: self.size,
                is_new: self.is_new,
                presign: self.presign,
                limit: self.planned.options.linger,
                url: None,
                manifest: resumed.manifest,
                state: if resumed.is_complete {
                    State::There
                } else {
                    State::Between(BytesMut::new())
                },
                upload: Arc::new(resumed.upload),
                service,
            };
            Ok(OpenWriter::Stream(Box::new(writer)))
        })
    }
}

/// What an earlier run has left of an upload, as far as the server agrees.
struct Resumed {
    upload: Upload,
    manifest: Manifest,
    /// How far that is; `None` if no later run can go on.
    point: Option<ResumePoint>,
    /// Whether it has made the object.
    is_complete: bool,
}

impl Resumed {
    fn nothing(service: &Arc<Service>) -> Self {
        Self {
            upload: Upload::new(service.clone(), None, None),
            manifest: Manifest::new(),
            point: None,
            is_complete: false,
        }
    }

    async fn open(
        service: &Arc<Service>,
        path: PathBuf,
        run: ResumeKey,
        states: &[Arc<SavedStates>],
    ) -> Result<Self, Failure> {
        let destination = Destination {
            server: service.server(),
            object: service.name().to_string(),
        };
        let (file, earlier) = StateFile::open(path, destination, run, states.len())?;
        let Some(mut earlier) = earlier else {
            return Ok(Self {
                upload: Upload::new(service.clone(), None, Some(file)),
                point: Some(ResumePoint::default()),
                ..Self::nothing(service)
            });
        };
        let all = earlier.parts.last().and_then(|part| part.end.clone());
        let (mut point, mut restored) = earlier.keep_whole();
        let mut there = Vec::new();
        let is_complete = !service.parts(&earlier.upload, |part| there.push(part)).await?;
        if is_complete {
            let expected = earlier.completing.as_ref();
            let found = service.head().await?;
            let is_same = |object: &Completing, found: &Found| {
                object.etag.is_some() && found.etag == object.etag && found.size == Some(object.size)
            };
            let (Some(object), Some(found), Some(end)) = (expected, found, all) else {
                return Err(file.contradicted("the server has no such upload any more"));
            };
            if !is_same(object, &found) {
                return Err(file.contradicted("the server has no such upload any more, and another object"));
            }
            restored = end.states;
            point = ResumePoint {
                read: end.source,
                written: object.size,
            };
        } else if let Some(why) = earlier.difference(&there) {
            return Err(file.contradicted(&why));
        }
        let mut manifest = Manifest::new();
        for part in &earlier.parts {
            manifest.add(&part.etag, part.bytes, part.md5)?;
        }
        for (saved, state) in states.iter().zip(restored) {
            saved.restore(state);
        }
        Ok(Self {
            upload: Upload::new(service.clone(), Some(earlier.upload), Some(file)),
            manifest,
            point: Some(point),
            is_complete,
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
    /// The states of the stages.
    states: Vec<Arc<SavedStates>>,
    /// Where another run can start: right behind what has come.
    end: Option<PartEnd>,
    /// The largest part that is kept in memory, in bytes.
    room: u64,
    /// How many bytes will come, if that is known.
    expected: Option<u64>,
    is_new: bool,
    presign: Option<Duration>,
    /// How long the server may take to confirm the whole; `None` for as long as it takes.
    limit: Option<Duration>,
    url: Option<String>,
    manifest: Manifest,
    state: State,
}

/// What is sent, its entity tag, and where another run can start behind it.
type Sent = Result<(Body, String, Option<PartEnd>), Failure>;

enum State {
    /// No part is there; this is the memory of the last one.
    Between(BytesMut),
    Filling(Box<Part>),
    /// The part is full, and the server has not confirmed it.
    Sending(BoxFuture<'static, Sent>),
    /// All of the object, which one request will put.
    Whole(Body),
    /// The server has all parts.
    Sent,
    /// An earlier run has made the object.
    There,
}

impl Writer {
    /// The part to be filled.
    fn part(&mut self) -> Result<&mut Part, Failure> {
        if let State::Between(memory) = &mut self.state {
            let number = self.manifest.next();
            if number > MOST_PARTS {
                let why = format!("the object would have more than {MOST_PARTS} parts: give a larger part=");
                return Err(Failure::because(Kind::Limit, "cannot write", why));
            }
            let size = self.sizes.size(number) + self.slack;
            let size = self.expected.map_or(size, |whole| size.min(whole.max(1)));
            let store = store(self.room, size);
            let part = Part::new(size, &store, std::mem::take(memory), self.service.signs_bodies())?;
            self.state = State::Filling(Box::new(part));
        }
        match &mut self.state {
            State::Filling(part) => Ok(part),
            _ => Err(Failure::because(Kind::Bug, "cannot write", "there is no part to fill")),
        }
    }

    /// Begins to send the part that is there.
    fn send(&mut self) {
        let State::Filling(part) = std::mem::replace(&mut self.state, State::Sent) else {
            return;
        };
        let (upload, number, body) = (self.upload.clone(), self.manifest.next(), part.finish());
        let end = self.end.take();
        self.state = State::Sending(Box::pin(async move {
            let etag = upload.put_part(number, &body).await?;
            Ok((body, etag, end))
        }));
    }

    /// Whether the part that is there has to be sent before more comes: it is full, or is large enough and ends where
    /// another run can start.
    fn is_due(&self) -> bool {
        let State::Filling(part) = &self.state else {
            return false;
        };
        let is_enough = part.length() >= self.sizes.size(self.manifest.next());
        part.is_full() || self.end.is_some() && is_enough
    }

    /// Waits until the server has confirmed the part that is sent.
    fn poll_sent(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        if let State::Sending(sent) = &mut self.state {
            let sent = ready!(sent.as_mut().poll(context));
            self.state = State::Between(BytesMut::new());
            let (body, etag, end) = sent?;
            self.manifest.add(&etag, body.length(), body.md5)?;
            if let Some(mut noted) = self.upload.noted() {
                noted.sent(SentPart {
                    etag,
                    md5: body.md5,
                    bytes: body.length(),
                    end,
                })?;
            }
            self.state = State::Between(body.into_memory());
        }
        Poll::Ready(Ok(()))
    }

    async fn finish(&mut self) -> Result<(), Failure> {
        match &self.state {
            State::There => {
                self.upload.committed();
                Ok(())
            }
            State::Whole(body) => self.upload.put(body, self.is_new).await,
            _ => {
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
        if matches!(self.state, State::There) {
            // What encoders send at the end of nothing.
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        }
        // A full part is not sent before more comes: it may be all, and then one request is enough.
        if self.is_due() {
            self.send();
        }
        ready!(self.poll_sent(context))?;
        self.end = None;
        Poll::Ready(self.part().and_then(|part| part.fill(slices)).map_err(Stop::from))
    }

    fn poll_idle(&mut self, context: &mut Context<'_>) -> Poll<Stop> {
        match self.poll_sent(context) {
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
            if matches!(self.state, State::There) {
                return Ok(());
            }
            std::future::poll_fn(|context| self.poll_sent(context)).await?;
            if self.manifest.next() == 1 {
                self.part()?;
                if let State::Filling(part) = std::mem::replace(&mut self.state, State::Sent) {
                    self.state = State::Whole(part.finish());
                }
                return Ok(());
            }
            self.send();
            std::future::poll_fn(|context| self.poll_sent(context)).await?;
            // The document that completes the upload takes the room of the last part.
            self.state = State::Sent;
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
