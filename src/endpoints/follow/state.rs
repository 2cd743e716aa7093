//! What is durable of a file that is followed, noted for the next run.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{CWD, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::error::{Failure, Kind, shown};
use crate::flow::Position;
use crate::platform::{self, files};
use crate::stage::{BoxFuture, Settle, Settled, SinkEnd};

use super::neighbours::{Changed, changed};

/// The version of the format.
const SCHEMA: u32 = 1;
/// Bytes at a file's start that tell it from another with the same inode.
const HEAD: usize = 1024;
/// The most that is read of a state's file, in bytes.
const LONGEST: u64 = 4096;
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

    /// Another descriptor of the same file.
    pub fn duplicate(&self) -> io::Result<Self> {
        Ok(Self(files::duplicate(self)?))
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

    /// Sums what is there by now.
    pub fn lengthen(&mut self, file: &FollowedFile) {
        if let Some((bytes, sum)) = head(file, HEAD) {
            (self.head_bytes, self.head_sum) = (bytes, sum);
        }
    }

    /// Whether an open file still begins as it did.
    pub fn is_of(&self, file: &FollowedFile) -> bool {
        head(file, self.head_bytes) == Some((self.head_bytes, self.head_sum)) || self.head_bytes == 0
    }

    pub fn is_same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    pub fn is_at(&self, device: u64, inode: u64) -> bool {
        (self.device, self.inode) == (device, inode)
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

/// The contents of a state's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    schema: u32,
    /// Bytes of all files together.
    pub position: u64,
    /// Where the next byte is in its file.
    pub offset: u64,
    /// The file.
    #[serde(flatten)]
    pub identity: Identity,
    /// Where the file ends that the sink appends to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sink: Option<SinkEnd>,
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

    /// Replaces it, durably.
    fn write(&mut self, kept: &Kept) -> io::Result<()> {
        let mut new = self.path.as_os_str().to_owned();
        new.push(".new");
        let new = PathBuf::from(new);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOFOLLOW;
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

/// A file from the position at which it was begun.
#[derive(Debug, Clone, Copy)]
struct Part {
    from: u64,
    offset: u64,
    identity: Identity,
}

enum Message {
    Durable(u64, Option<SinkEnd>),
    Flush(oneshot::Sender<()>),
}

/// Notes what is durable, on a thread of its own.
pub struct Keeper {
    parts: Arc<Mutex<VecDeque<Part>>>,
    failure: Arc<Mutex<Option<Failure>>>,
    sender: Mutex<Sender<Message>>,
    /// Where the file ended that an earlier run has appended to.
    earlier: Option<SinkEnd>,
    /// The position at which this run begins.
    start: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Keeper {
    /// Starts the thread, which writes the state whenever more is durable.
    ///
    /// # Errors
    /// If there is no thread.
    pub fn start(state: StateFile, start: u64, earlier: Option<SinkEnd>) -> Result<Arc<Self>, Failure> {
        let (sender, receiver) = channel();
        let keeper = Self {
            parts: Arc::default(),
            failure: Arc::default(),
            sender: Mutex::new(sender),
            earlier,
            start,
        };
        let (parts, failure) = (keeper.parts.clone(), keeper.failure.clone());
        let work = move || keep(state, &receiver, &parts, &failure);
        platform::spawn("state", STACK, work)
            .map_err(|error| Failure::io(Kind::Resources, "cannot start a thread", error))?;
        Ok(Arc::new(keeper))
    }

    /// From `position` on the stream is that file, from its `offset`.
    pub fn enter(&self, position: u64, identity: Identity, offset: u64) {
        lock(&self.parts).push_back(Part {
            from: position,
            offset,
            identity,
        });
    }

    /// More is known of the last file.
    pub fn lengthen(&self, identity: Identity) {
        if let Some(part) = lock(&self.parts).back_mut() {
            part.identity = identity;
        }
    }

    /// Everything up to a position is durable, in a file that ends there.
    pub fn tell(&self, position: Position, end: Option<SinkEnd>) {
        let position = u64::try_from(position.0).unwrap_or(u64::MAX);
        // The thread ends with this.
        let _ = lock(&self.sender).send(Message::Durable(position, end));
    }

    /// Why the state could not be written.
    pub fn failure(&self) -> Option<Failure> {
        lock(&self.failure).take()
    }
}

fn keep(
    mut state: StateFile,
    messages: &Receiver<Message>,
    parts: &Mutex<VecDeque<Part>>,
    failure: &Mutex<Option<Failure>>,
) {
    while let Ok(message) = messages.recv() {
        let mut durable = None;
        let mut flushed = Vec::new();
        for message in std::iter::once(message).chain(messages.try_iter()) {
            match message {
                Message::Durable(position, end) => durable = Some((position, end)),
                Message::Flush(sender) => flushed.push(sender),
            }
        }
        if let Some((position, end)) = durable
            && let Some(kept) = kept_at(position, end, &mut lock(parts))
            && let Err(error) = state.write(&kept)
        {
            let error = failed("cannot write", &state.path, error);
            tracing::error!("{error}");
            *lock(failure) = Some(error);
        }
        for sender in flushed {
            // Its receiver is gone if the engine has stopped waiting.
            let _ = sender.send(());
        }
    }
}

/// The state at a position. Files before it are forgotten.
fn kept_at(position: u64, sink: Option<SinkEnd>, parts: &mut VecDeque<Part>) -> Option<Kept> {
    while parts.get(1).is_some_and(|next| next.from <= position) {
        parts.pop_front();
    }
    let part = parts.front()?;
    Some(Kept {
        schema: SCHEMA,
        position,
        offset: part.offset + position.checked_sub(part.from)?,
        identity: part.identity,
        sink,
    })
}

impl Settle for Keeper {
    fn settle(self: Arc<Self>, _: Settled) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let (sender, flushed) = oneshot::channel();
            if lock(&self.sender).send(Message::Flush(sender)).is_ok() {
                let _ = flushed.await;
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

    fn begin_at(&self, end: SinkEnd) {
        self.tell(Position(self.start.into()), Some(end));
        let (sender, flushed) = oneshot::channel();
        if lock(&self.sender).send(Message::Flush(sender)).is_ok() {
            // Its failure is reported by the reader.
            let _ = flushed.blocking_recv();
        }
    }

    fn earlier_end(&self) -> Option<SinkEnd> {
        self.earlier
    }
}
