//! What is durable of a file that is followed, noted for the next run.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::error::{Failure, Kind, Stop, shown};
use crate::flow::{Position, block_on};
use crate::platform::{self, files};
use crate::stage::{BoxFuture, Outcome, Settle, Settled, SinkEnd};

use super::neighbours::{Changed, changed};

/// The version of the format.
const SCHEMA: u32 = 1;
/// Bytes at a file's start that tell it from another with the same inode.
const HEAD: usize = 1024;
/// The most that is read of a state's file, in bytes.
const LONGEST: u64 = 4096;
/// How many parts are kept before late lines have to wait.
const MOST_PARTS: usize = 256;
/// The stack of the thread that writes, in bytes.
const STACK: usize = 64 << 10;

/// A file that is open to be followed.
#[derive(Debug)]
pub struct FollowedFile(pub OwnedFd);

impl FollowedFile {
    /// Its size in bytes.
    pub fn size(&self) -> io::Result<u64> {
        Ok(u64::try_from(files::fstat(self)?.st_size).unwrap_or(0))
    }

    /// Reads what is at an offset.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        Ok(files::pread(self, buffer, offset)?)
    }

    /// When it was changed last.
    pub fn changed(&self) -> io::Result<Changed> {
        Ok(changed(&files::fstat(self)?))
    }
}

impl AsFd for FollowedFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// What tells a file from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    device: u64,
    inode: u64,
    /// How many bytes at its start are summed; a short file gets more.
    head_bytes: usize,
    /// The first bytes of their BLAKE3 sum.
    head_sum: u64,
}

impl Identity {
    pub fn of(file: &FollowedFile) -> io::Result<Self> {
        let found = files::fstat(file)?;
        let mut identity = Self {
            device: found.st_dev,
            inode: found.st_ino,
            head_bytes: 0,
            head_sum: 0,
        };
        identity.lengthen(file);
        Ok(identity)
    }

    /// Whether it could still sum more bytes.
    pub fn is_short(&self) -> bool {
        self.head_bytes < HEAD
    }

    /// Sums what is there by now, if it still begins as it did.
    pub fn lengthen(&mut self, file: &FollowedFile) {
        if let Some((bytes, sum)) = head(file, HEAD).filter(|_| self.is_of(file)) {
            (self.head_bytes, self.head_sum) = (bytes, sum);
        }
    }

    /// Whether an open file still begins as it did.
    pub fn is_of(&self, file: &FollowedFile) -> bool {
        head(file, self.head_bytes) == Some((self.head_bytes, self.head_sum)) || self.head_bytes == 0
    }

    pub fn is_at(&self, device: u64, inode: u64) -> bool {
        (self.device, self.inode) == (device, inode)
    }

    /// The same where the device may have another number since a restart of the system.
    pub fn may_be_at(&self, device: u64, inode: u64) -> bool {
        self.is_at(device, inode) || self.inode == inode && !self.is_empty()
    }

    pub fn is_same_file(&self, other: &Self) -> bool {
        self.is_at(other.device, other.inode)
    }

    /// Whether there was nothing in it, so that it is like any other.
    pub fn is_empty(&self) -> bool {
        self.head_bytes == 0
    }
}

/// How many bytes are at a file's start, of at most so many, and their sum.
fn head(file: &FollowedFile, most: usize) -> Option<(usize, u64)> {
    let mut bytes = [0; HEAD];
    let mut count = 0;
    while count < most {
        match file.read_at(&mut bytes[count..most], count as u64).ok()? {
            0 => break,
            more => count += more,
        }
    }
    let sum = blake3::hash(&bytes[..count]);
    let first = sum.as_bytes().first_chunk().copied().unwrap_or_default();
    Some((count, u64::from_le_bytes(first)))
}

/// Where reading goes on in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The offset of the next byte.
    pub offset: u64,
    #[serde(flatten)]
    pub identity: Identity,
}

/// Where reading goes on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "NotedPlaces", into = "NotedPlaces")]
pub struct Places {
    /// In the file that is read; `None` if there was none yet.
    pub current: Option<Place>,
    /// In the files before it, to which a writer may still append.
    pub before: Vec<Place>,
    /// In the file that is read after lines that came late to another.
    pub after: Option<Place>,
}

/// The form in which that is noted.
#[derive(Serialize, Deserialize)]
struct NotedPlaces {
    offset: Option<u64>,
    device: Option<u64>,
    inode: Option<u64>,
    head_bytes: Option<usize>,
    head_sum: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    before: Vec<Place>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<Place>,
}

impl From<Places> for NotedPlaces {
    fn from(Places { current, before, after }: Places) -> Self {
        Self {
            offset: current.map(|place| place.offset),
            device: current.map(|place| place.identity.device),
            inode: current.map(|place| place.identity.inode),
            head_bytes: current.map(|place| place.identity.head_bytes),
            head_sum: current.map(|place| place.identity.head_sum),
            before,
            after,
        }
    }
}

impl TryFrom<NotedPlaces> for Places {
    type Error = &'static str;

    fn try_from(noted: NotedPlaces) -> Result<Self, Self::Error> {
        let NotedPlaces { before, after, .. } = noted;
        let current = match (
            noted.offset,
            noted.device,
            noted.inode,
            noted.head_bytes,
            noted.head_sum,
        ) {
            (Some(offset), Some(device), Some(inode), Some(head_bytes), Some(head_sum)) => Some(Place {
                offset,
                identity: Identity {
                    device,
                    inode,
                    head_bytes,
                    head_sum,
                },
            }),
            (None, None, None, None, None) => None,
            _ => return Err("a part of a place is missing"),
        };
        Ok(Self { current, before, after })
    }
}

/// The contents of a state's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    schema: u32,
    /// Bytes of all files together.
    pub position: u64,
    #[serde(flatten)]
    pub places: Places,
    /// Whether late lines were read between that position and the moment of the note.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_mixed: bool,
    /// Where the file ends that the sink appends to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sink: Option<SinkEnd>,
    /// When the part behind it was begun, in nanoseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    begun: Option<u64>,
}

/// The file of a state, which one run at a time uses.
#[derive(Debug)]
pub struct StateFile {
    path: PathBuf,
    /// The file that has the name, locked.
    locked: OwnedFd,
}

impl StateFile {
    /// Opens and locks it, and creates an empty one if there is none. Where there are no locks it is not locked.
    ///
    /// # Errors
    /// If another run uses it.
    pub fn open(path: PathBuf) -> Result<Self, Failure> {
        let flags = OFlags::RDONLY | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOCTTY;
        let open = || -> io::Result<Option<OwnedFd>> {
            let file = files::open(&path, flags, Mode::RUSR | Mode::WUSR)?;
            if files::flock(&file, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
                return Err(Errno::WOULDBLOCK.into());
            }
            // Another run may have replaced it in between.
            let (opened, named) = (files::fstat(&file)?, files::stat(&path));
            let is_same = named.is_ok_and(|named| (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino));
            Ok(is_same.then_some(file))
        };
        loop {
            match open() {
                Ok(Some(locked)) => return Ok(Self { path, locked }),
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let why = format!("another run uses the state in {}", shown(path.as_os_str().as_bytes()));
                    return Err(Failure::because(Kind::Source, "cannot go on", why));
                }
                Err(error) => return Err(failed("cannot open", &path, error)),
            }
        }
    }

    /// What an earlier run has noted; `None` if there is nothing.
    ///
    /// # Errors
    /// If there is something else.
    pub fn read(&self) -> Result<Option<Kept>, Failure> {
        let mut text = Vec::new();
        let read = files::Stream(&self.locked).take(LONGEST).read_to_end(&mut text);
        read.map_err(|error| failed("cannot read", &self.path, error))?;
        if text.is_empty() {
            return Ok(None);
        }
        let kept: Option<Kept> = serde_json::from_slice(&text).ok();
        let kept = kept.filter(|kept| kept.schema == SCHEMA);
        kept.map(Some).ok_or_else(|| {
            let why = format!(
                "{} is no state of follow=true; remove it to begin anew",
                shown(self.path.as_os_str().as_bytes())
            );
            Failure::because(Kind::Integrity, "cannot go on", why)
        })
    }

    /// When it was written.
    pub fn changed(&self) -> io::Result<Changed> {
        Ok(changed(&files::fstat(&self.locked)?))
    }

    /// Replaces it, durably.
    fn write(&mut self, kept: &Kept) -> io::Result<()> {
        let name = self.path.file_name().unwrap_or_default();
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(".highwater-state");
        let new = self.path.with_file_name(hidden);
        // One that a killed run has left: only the run that has the lock writes it.
        match files::unlinkat(CWD, &new, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = files::open(&new, flags, Mode::RUSR | Mode::WUSR)?;
        // Before the rename, so that the file of that name is locked at any time. It can only fail where there are no locks.
        let _ = files::flock(&file, FlockOperation::NonBlockingLockExclusive);
        files::write_all(&file, serde_json::to_string(kept)?.as_bytes())?;
        files::fsync(&file)?;
        files::renameat(CWD, &new, CWD, &self.path)?;
        self.locked = file;
        files::sync_parent(&self.path)
    }
}

fn failed(operation: &str, path: &Path, error: io::Error) -> Failure {
    let operation = format!("{operation} the state in {}", shown(path.as_os_str().as_bytes()));
    Failure::io(Kind::Source, operation, error)
}

/// What is read from a position on.
#[derive(Debug, Clone)]
struct Part {
    from: u64,
    places: Places,
}

enum Message {
    Durable(u64, Option<SinkEnd>),
    Begun(u64),
    Flush(oneshot::Sender<()>),
}

/// Notes what is durable, on a thread of its own.
pub struct Keeper {
    parts: Arc<Mutex<VecDeque<Part>>>,
    failure: Arc<Mutex<Option<Broken>>>,
    sender: Mutex<Sender<Message>>,
    /// The position at which this run begins.
    start: u64,
    /// What an earlier run has noted with that.
    earlier: Option<SinkEnd>,
    begun: Option<u64>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Keeper {
    /// Starts the thread, which writes the state whenever more is durable.
    ///
    /// # Errors
    /// If there is no thread.
    pub fn start(state: StateFile, start: u64, kept: Option<&Kept>) -> Result<Arc<Self>, Failure> {
        let (sender, receiver) = channel();
        let keeper = Self {
            parts: Arc::default(),
            failure: Arc::default(),
            sender: Mutex::new(sender),
            start,
            earlier: kept.and_then(|kept| kept.sink),
            begun: kept.filter(|kept| kept.position == start).and_then(|kept| kept.begun),
        };
        let (parts, failure) = (keeper.parts.clone(), keeper.failure.clone());
        let noted = Noted {
            position: start,
            sink: keeper.earlier,
            begun: keeper.begun,
        };
        let work = move || keep(state, noted, &receiver, &parts, &failure);
        platform::spawn("state", STACK, work)
            .map_err(|error| Failure::io(Kind::Resources, "cannot start a thread", error))?;
        Ok(Arc::new(keeper))
    }

    /// From `position` on the stream is what comes there.
    pub fn enter(&self, position: u64, places: Places) {
        lock(&self.parts).push_back(Part { from: position, places });
    }

    /// Whether so much is not durable yet that it takes no other file before that is.
    pub fn is_full(&self) -> bool {
        lock(&self.parts).len() >= MOST_PARTS
    }

    /// More is known of the last file.
    pub fn lengthen(&self, identity: Identity) {
        let mut parts = lock(&self.parts);
        if let Some(current) = parts.back_mut().and_then(|part| part.places.current.as_mut()) {
            current.identity = identity;
        }
    }

    /// Everything up to a position is durable, in a file that ends there.
    pub fn tell(&self, position: Position, end: Option<SinkEnd>) {
        let position = u64::try_from(position.0).unwrap_or(u64::MAX);
        self.send(Message::Durable(position, end));
    }

    fn send(&self, message: Message) {
        // The thread ends before this only if it has failed.
        let _ = lock(&self.sender).send(message);
    }

    /// Why the state could not be written.
    pub fn failure(&self) -> Option<Failure> {
        lock(&self.failure).as_ref().map(Broken::failure)
    }
}

/// Why a state could not be written: all who wait for that are told.
struct Broken(Kind, String);

impl Broken {
    fn failure(&self) -> Failure {
        let Self(kind, why) = self;
        Failure::because(*kind, "cannot note what is durable", why.clone())
    }
}

/// What is noted besides the files.
struct Noted {
    position: u64,
    sink: Option<SinkEnd>,
    begun: Option<u64>,
}

impl Noted {
    fn take(&mut self, message: Message, flushed: &mut Vec<oneshot::Sender<()>>) {
        match message {
            Message::Durable(position, sink) => {
                if position > self.position {
                    self.begun = None;
                }
                (self.position, self.sink) = (position, sink);
            }
            Message::Begun(time) => self.begun = Some(time),
            Message::Flush(sender) => flushed.push(sender),
        }
    }
}

/// Writes what it is told, until a write fails.
fn keep(
    mut state: StateFile,
    mut noted: Noted,
    messages: &Receiver<Message>,
    parts: &Mutex<VecDeque<Part>>,
    failure: &Mutex<Option<Broken>>,
) {
    while let Ok(message) = messages.recv() {
        let mut flushed = Vec::new();
        let mut is_new = false;
        for message in std::iter::once(message).chain(messages.try_iter()) {
            is_new |= !matches!(message, Message::Flush(_));
            noted.take(message, &mut flushed);
        }
        // The lock is not held while it is written: the reader may wait for it.
        let kept = is_new.then(|| kept_at(&noted, &mut lock(parts))).flatten();
        if let Some(kept) = kept
            && let Err(error) = state.write(&kept)
        {
            let failed = failed("cannot write", &state.path, error);
            *lock(failure) = Some(Broken(failed.kind(), failed.to_string()));
            return;
        }
        for sender in flushed {
            // Its receiver is gone if the engine has stopped waiting.
            let _ = sender.send(());
        }
    }
}

/// The state at a position. Files before it are forgotten.
fn kept_at(noted: &Noted, parts: &mut VecDeque<Part>) -> Option<Kept> {
    while parts.get(1).is_some_and(|next| next.from <= noted.position) {
        parts.pop_front();
    }
    let is_mixed = parts.iter().any(|part| part.places.after.is_some());
    let Part { from, mut places } = parts.front()?.clone();
    let read = noted.position.checked_sub(from)?;
    if let Some(current) = &mut places.current {
        current.offset += read;
    }
    Some(Kept {
        schema: SCHEMA,
        position: noted.position,
        places,
        is_mixed,
        sink: noted.sink,
        begun: noted.begun,
    })
}

impl Settle for Keeper {
    fn settle(self: Arc<Self>, _: Settled) -> BoxFuture<'static, Result<(), Failure>> {
        let noted = self.noted();
        Box::pin(async move {
            match noted.await {
                Err(Stop::Failed(failure)) => Err(failure),
                Ok(()) | Err(_) => Ok(()),
            }
        })
    }

    fn is_acknowledged(&self) -> bool {
        true
    }

    fn acknowledge(&self, position: Position) {
        self.tell(position, None);
    }

    fn acknowledge_with(&self, position: Position, end: SinkEnd) {
        self.tell(position, Some(end));
    }

    fn begin_at(&self, end: SinkEnd) -> Outcome {
        self.tell(Position(self.start.into()), Some(end));
        block_on(self.noted())
    }

    fn earlier_end(&self) -> Option<SinkEnd> {
        self.earlier
    }

    fn begin_part(&self, begun: SystemTime) {
        let since = begun.duration_since(UNIX_EPOCH).unwrap_or_default();
        let begun = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        self.send(Message::Begun(begun));
    }

    fn earlier_part(&self) -> Option<(Position, SystemTime)> {
        let begun = UNIX_EPOCH + Duration::from_nanos(self.begun?);
        Some((Position(self.start.into()), begun))
    }

    fn noted(&self) -> BoxFuture<'static, Outcome> {
        let (sender, flushed) = oneshot::channel();
        self.send(Message::Flush(sender));
        let failure = self.failure.clone();
        Box::pin(async move {
            let lost = |_| {
                lock(&failure)
                    .as_ref()
                    .map_or(Stop::PeerClosed, |broken| broken.failure().into())
            };
            flushed.await.map_err(lost)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A state and the file that it is of, in a folder of their own.
    struct Followed {
        folder: tempfile::TempDir,
    }

    impl Followed {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            std::fs::write(folder.path().join("log"), "one\ntwo\n").expect("written");
            Self { folder }
        }

        fn state(&self) -> StateFile {
            StateFile::open(self.folder.path().join("state")).expect("opened")
        }

        /// A run that goes on where the last one has ended.
        fn run(&self) -> Arc<Keeper> {
            let state = self.state();
            let kept = state.read().expect("valid");
            let start = kept.as_ref().map_or(0, |kept| kept.position);
            let keeper = Keeper::start(state, start, kept.as_ref()).expect("started");
            let log = std::fs::File::open(self.folder.path().join("log")).expect("opened");
            let identity = Identity::of(&FollowedFile(log.into())).expect("known");
            let current = Some(Place {
                offset: start,
                identity,
            });
            keeper.enter(
                start,
                Places {
                    current,
                    ..Places::default()
                },
            );
            keeper
        }

        /// Ends a run; its thread lets the state go.
        fn end(keeper: Arc<Keeper>) {
            let state = Arc::downgrade(&keeper.parts);
            drop(keeper);
            while state.strong_count() > 0 {
                std::thread::yield_now();
            }
        }
    }

    #[test]
    fn noted_is_in_the_file() {
        let followed = Followed::new();
        let keeper = followed.run();
        keeper.acknowledge(Position(4));
        assert!(block_on(keeper.noted()).is_ok());
        let text = std::fs::read(followed.folder.path().join("state")).expect("written");
        let kept: Kept = serde_json::from_slice(&text).expect("a state");
        assert_eq!(
            (kept.position, kept.places.current.map(|place| place.offset)),
            (4, Some(4))
        );
        // A disk that is gone.
        std::fs::remove_dir_all(followed.folder.path()).expect("removed");
        keeper.acknowledge(Position(8));
        assert!(matches!(block_on(keeper.noted()), Err(Stop::Failed(_))));
        // All who ask are told.
        let end = SinkEnd {
            device: 1,
            inode: 1,
            length: 1,
        };
        assert!(matches!(keeper.begin_at(end), Err(Stop::Failed(_))));
        assert!(keeper.failure().is_some());
        assert!(block_on(keeper.settle(Settled::Committed)).is_err());
    }

    #[test]
    fn part_that_comes_again_has_its_time() {
        let followed = Followed::new();
        let begun = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
        let keeper = followed.run();
        assert_eq!(keeper.earlier_part(), None);
        keeper.acknowledge(Position(4));
        keeper.begin_part(begun);
        assert!(block_on(keeper.noted()).is_ok());
        Followed::end(keeper);
        let keeper = followed.run();
        assert_eq!(keeper.earlier_part(), Some((Position(4), begun)));
        // The state is written again as it was, before anything else.
        keeper.acknowledge(Position(4));
        assert!(block_on(keeper.noted()).is_ok());
        Followed::end(keeper);
        let keeper = followed.run();
        assert_eq!(keeper.earlier_part(), Some((Position(4), begun)));
        keeper.acknowledge(Position(8));
        assert!(block_on(keeper.noted()).is_ok());
        Followed::end(keeper);
        assert_eq!(followed.run().earlier_part(), None);
    }

    #[test]
    fn no_other_file_is_written() {
        let followed = Followed::new();
        std::fs::write(followed.folder.path().join("state.new"), "mine").expect("written");
        let keeper = followed.run();
        keeper.acknowledge(Position(4));
        assert!(block_on(keeper.noted()).is_ok());
        let mine = std::fs::read(followed.folder.path().join("state.new")).expect("there");
        assert_eq!(mine, b"mine");
        assert_eq!(std::fs::read_dir(followed.folder.path()).expect("read").count(), 3);
    }
}
