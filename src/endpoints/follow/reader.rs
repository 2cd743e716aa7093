//! Reads the files that have a name, one after the other, and the lines that come late to those before.

use std::future::Future;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use memchr::{memchr, memrchr};
use tokio::time::{Instant, Sleep, sleep};

use crate::error::{Failure, Kind, Stop, shown};
use crate::flow::Position;
use crate::platform::FolderWatch;
use crate::stage::{Backlog, Settle, StreamReader};

use super::backlog::Ahead;
use super::neighbours::{self, Changed, Next};
use super::state::{FollowedFile, Identity, Keeper, Kept, Place, Places};

/// How often a file is looked at while nothing announces a change: network file systems send no events.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// How long a file is looked at after it was read to its end and another has its name: children of a server that was told
/// to open the new one may write to the old one until they end.
const LATE: Duration = Duration::from_secs(300);
/// The most files that are looked at so.
const MOST: usize = 4;
/// By how much the times of files may be behind the clock: the longest step of Linux's coarse clock, at 100 Hz.
const TICK: Duration = Duration::from_millis(10);
/// More bytes than are ever committed at once.
const NO_PART: u64 = 1 << 40;

/// One of the files that have had the name.
struct Current {
    file: Arc<FollowedFile>,
    /// Where the next byte is in it.
    offset: u64,
    /// The first bytes, as far as they were there when they were last looked at.
    identity: Identity,
    /// When it was left for another one.
    left: Instant,
    /// Up to there it was searched for the end of a line after that.
    searched: u64,
}

impl Current {
    fn at(offset: u64, (file, identity): (FollowedFile, Identity)) -> Self {
        Self {
            file: Arc::new(file),
            offset,
            identity,
            left: Instant::now(),
            searched: offset,
        }
    }

    fn place(&self) -> Place {
        let Self { offset, identity, .. } = *self;
        Place { offset, identity }
    }

    /// Whether it was truncated before the next `count` bytes were read. One that has grown beyond its old end since then is
    /// told by its first bytes.
    fn is_truncated(&self, count: usize) -> io::Result<bool> {
        Ok(self.file.size()? < self.offset + count as u64 || !self.identity.is_of(&self.file))
    }

    /// Whether a whole line has come to it.
    fn has_line(&mut self) -> io::Result<bool> {
        let mut block = [0; 4096];
        self.searched = self.searched.max(self.offset);
        loop {
            let count = self.file.read_at(&mut block, self.searched)?;
            if count == 0 {
                return Ok(false);
            }
            if memchr(b'\n', &block[..count]).is_some() {
                return Ok(true);
            }
            self.searched += count as u64;
        }
    }
}

/// The reader of a name.
pub struct Reader {
    path: PathBuf,
    /// `None` while there is no file of that name.
    current: Option<Current>,
    /// The files before it: a writer that was not told of a rotation may append to them still.
    before: Vec<Current>,
    /// The file that is read again after lines that came late.
    after: Option<Current>,
    /// While there is no file: what was rotated after that moment comes first.
    since: Changed,
    /// Bytes of all files together that were given on.
    position: u64,
    /// The same up to the last end of a line.
    boundary: u64,
    keeper: Option<Arc<Keeper>>,
    ahead: Arc<Ahead>,
    watch: Option<FolderWatch>,
    timer: Pin<Box<Sleep>>,
    /// Whether it was said that there is no file.
    is_missing: bool,
    /// Whether it was said that the next one may not be read.
    is_closed: bool,
    /// Whether it waits for a change.
    is_waiting: bool,
}

impl Reader {
    /// Of what follows `position`.
    pub fn new(path: PathBuf, position: u64) -> Self {
        Self {
            current: None,
            before: Vec::new(),
            after: None,
            since: (0, 0),
            position,
            boundary: position,
            keeper: None,
            ahead: Ahead::new(path.clone()),
            watch: None,
            timer: Box::pin(sleep(LOOK_INTERVAL)),
            is_missing: false,
            is_closed: false,
            is_waiting: false,
            path,
        }
    }

    /// Begins with the files of an earlier run, whose state was written at that moment, or with the one that has the name
    /// now.
    pub fn begin(&mut self, earlier: Option<(&Kept, Changed)>, from_end: bool) -> io::Result<()> {
        let Some((kept, written)) = earlier else {
            let now = (SystemTime::now() - TICK)
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default();
            self.since = (
                i64::try_from(now.as_secs()).unwrap_or(i64::MAX),
                now.subsec_nanos().into(),
            );
            let opened = neighbours::open(&self.path)?;
            let current = opened.map(|opened| -> io::Result<Current> {
                let offset = if from_end { end_of_lines(&opened.0)? } else { 0 };
                Ok(Current::at(offset, opened))
            });
            self.current = current.transpose()?;
            self.note_places();
            return Ok(());
        };
        self.since = written;
        let Places { current, before, after } = &kept.places;
        let mut has_lost = false;
        let mut find = |place: &Place| match neighbours::find(&self.path, &place.identity) {
            Ok(Some(found)) => Some(Current::at(place.offset, found)),
            // What may still come to it cannot be read.
            Ok(None) | Err(_) => {
                has_lost = true;
                None
            }
        };
        self.before = before.iter().filter_map(&mut find).collect();
        self.after = after.as_ref().and_then(&mut find);
        if let Some(place) = current {
            let found = neighbours::find(&self.path, &place.identity)?;
            self.current = found.map(|found| Current::at(place.offset, found));
            has_lost = self.current.is_none() || has_lost && kept.is_mixed;
        }
        if has_lost && current.is_some() {
            tracing::warn!(
                "{}: the file that an earlier run has read is not there any more: lines may be lost, or come again",
                self.shown()
            );
            // What is made of other lines must not replace what that run has made last, and not noted.
            self.position = (kept.position / NO_PART + 1).saturating_mul(NO_PART);
            self.boundary = self.position;
        }
        if self.current.is_none() {
            self.current = self.after.take();
        }
        if self.current.is_none() {
            self.current = self.open(current.as_ref())?;
        }
        self.note_places();
        Ok(())
    }

    /// The first file to read where there is none, or not `lost`, which was read before.
    fn open(&mut self, lost: Option<&Place>) -> io::Result<Option<Current>> {
        let known = self.known();
        if let Some((file, identity, offset)) = neighbours::instead_of(lost, self.since, &self.path, &known)? {
            return Ok(Some(Current::at(offset, (file, identity))));
        }
        let opened = neighbours::open(&self.path)?;
        Ok(opened.map(|opened| self.next(opened)))
    }

    /// Goes on with a file: from where it was left, if it is one of those before.
    fn next(&mut self, (file, identity): (FollowedFile, Identity)) -> Current {
        let is_same = |known: &Current| known.identity.is_same_file(&identity) && known.identity.is_of(&file);
        match self.before.iter().position(is_same) {
            Some(at) => self.before.remove(at),
            None => Current::at(0, (file, identity)),
        }
    }

    fn known(&self) -> Vec<Identity> {
        self.before.iter().map(|before| before.identity).collect()
    }

    fn shown(&self) -> String {
        shown(self.path.as_os_str().as_bytes())
    }

    /// Bytes of all files together up to the last end of a line that was given on.
    pub fn boundary(&self) -> u64 {
        self.boundary
    }

    /// From now on what is durable is noted with `keeper`.
    pub fn note_with(&mut self, keeper: Arc<Keeper>) {
        self.keeper = Some(keeper);
        self.note_places();
    }

    /// Goes on with another file. The one before stays open.
    fn enter(&mut self, next: Current) {
        (self.is_missing, self.is_closed) = (false, false);
        if let Some(mut left) = self.current.replace(next) {
            left.left = Instant::now();
            self.before.push(left);
        }
        if self.before.len() > MOST {
            let oldest = self.before.iter().enumerate().min_by_key(|(_, before)| before.left);
            if let Some((at, _)) = oldest {
                self.before.remove(at);
            }
        }
        self.note_places();
    }

    /// Tells those who note it what is read from here on.
    fn note_places(&self) {
        if let Some(keeper) = &self.keeper {
            let place = |file: &Option<Current>| file.as_ref().map(Current::place);
            // An empty file cannot be recognised.
            let before = self.before.iter().filter(|before| !before.identity.is_empty());
            let places = Places {
                current: place(&self.current),
                before: before.map(Current::place).collect(),
                after: place(&self.after),
            };
            keeper.enter(self.boundary, places);
        }
        if let Some(main) = self.after.as_ref().or(self.current.as_ref()) {
            self.ahead.enter(main.file.clone(), main.place(), self.known());
        }
    }

    /// Turns to a file before, if lines came to it after it was left; returns whether it does.
    fn turn_back(&mut self) -> bool {
        if self.before.is_empty() || self.keeper.as_ref().is_some_and(|keeper| keeper.is_full()) {
            return false;
        }
        let (count, path) = (self.before.len(), self.shown());
        let mut late = None;
        let mut index = 0;
        self.before.retain_mut(|before| {
            let stays = match before.is_truncated(0) {
                Ok(false) => true,
                Ok(true) => {
                    tracing::warn!("{path}: the file before was truncated; lines that came late to it may be lost");
                    false
                }
                // Of a server that has removed it, for example.
                Err(_) => false,
            };
            let has_line = stays && before.has_line().unwrap_or(false);
            if has_line && late.is_none() {
                late = Some(index);
            }
            let stays = stays && (has_line || before.left.elapsed() <= LATE);
            index += usize::from(stays);
            stays
        });
        if let Some(late) = late {
            self.after = self.current.replace(self.before.remove(late));
        }
        if late.is_some() || self.before.len() < count {
            self.note_places();
        }
        late.is_some()
    }

    /// What is there now, whole lines if there are any; 0 at the end. The second number is how many bytes of a line
    /// without an end follow.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<(usize, usize)> {
        let count = loop {
            let Some(current) = &self.current else {
                return Ok((0, 0));
            };
            let count = current.file.read_at(buffer, current.offset)?;
            // Only now is it certain that these bytes follow those before them.
            if !current.is_truncated(count)? {
                break count;
            }
            let is_open = self.is_within_record();
            self.begin_anew()?;
            if is_open {
                // The next line must not be joined to it.
                buffer[0] = b'\n';
                return Ok((1, 0));
            }
        };
        let whole = match memrchr(b'\n', &buffer[..count]) {
            Some(last) => last + 1,
            // A line that is longer than the buffer is given on in pieces.
            None if count == buffer.len() => count,
            None => 0,
        };
        self.gave(&buffer[..whole]);
        Ok((whole, count - whole))
    }

    /// Counts bytes that are given on.
    fn gave(&mut self, bytes: &[u8]) {
        if let Some(current) = &mut self.current {
            current.offset += bytes.len() as u64;
            if self.after.is_none() {
                self.ahead.reach(current.offset);
            }
            if current.identity.is_short() {
                current.identity.lengthen(&current.file);
                if let Some(keeper) = &self.keeper {
                    keeper.lengthen(current.identity);
                }
            }
        }
        self.position += bytes.len() as u64;
        if bytes.ends_with(b"\n") {
            self.boundary = self.position;
        }
    }

    /// The file was truncated: begins it anew, or leaves it if its late lines were read.
    fn begin_anew(&mut self) -> io::Result<()> {
        tracing::warn!(
            "{}: it was truncated; lines that were written since it was last read may be lost",
            self.shown()
        );
        self.boundary = self.position;
        if let Some(after) = self.after.take() {
            self.current = Some(after);
        } else if let Some(current) = &mut self.current {
            current.identity = Identity::of(&current.file)?;
            current.offset = 0;
        }
        self.note_places();
        Ok(())
    }

    /// Looks whether the name has another file by now; returns whether there may be more to read, and how many bytes of it
    /// are in the buffer.
    fn look(&mut self, buffer: &mut [u8], torn: usize) -> io::Result<Option<usize>> {
        if self.after.is_some() {
            // Late lines are whole, unless the file was truncated meanwhile.
            let is_open = self.is_within_record();
            self.boundary = self.position;
            if let Some(mut late) = std::mem::replace(&mut self.current, self.after.take()) {
                late.left = Instant::now();
                self.before.push(late);
            }
            self.note_places();
            buffer[0] = b'\n';
            return Ok(Some(usize::from(is_open)));
        }
        if self.current.is_none() {
            let Some(first) = self.open(None)? else {
                if !std::mem::replace(&mut self.is_missing, true) {
                    tracing::warn!("{}: there is no such file yet; waiting for it", self.shown());
                }
                return Ok(None);
            };
            self.enter(first);
            return Ok(Some(0));
        }
        if !self.is_within_record() && self.turn_back() {
            return Ok(Some(0));
        }
        let known = self.known();
        let Some(current) = &self.current else { return Ok(None) };
        let size = current.file.size()?;
        match neighbours::next(&self.path, &current.identity, current.file.changed()?, &known)? {
            Next::Same => Ok(None),
            Next::Closed(path) => {
                if !std::mem::replace(&mut self.is_closed, true) {
                    let path = shown(path.as_os_str().as_bytes());
                    tracing::warn!("{path}: it comes next, and may not be read yet: permission denied");
                }
                Ok(None)
            }
            Next::File(file, identity) => {
                // It may have been written to up to the moment when it lost its name.
                if size < current.file.size()? || current.offset + (torn as u64) < size {
                    return Ok(Some(0));
                }
                let is_open = torn > 0 || self.is_within_record();
                let next = self.next((file, identity));
                if is_open && buffer.len() > torn {
                    // Its last line has no end: the next one must not be joined to it.
                    buffer[torn] = b'\n';
                    self.position += torn as u64;
                    self.boundary = self.position;
                    if let Some(current) = &mut self.current {
                        current.offset += torn as u64;
                    }
                    self.enter(next);
                    return Ok(Some(torn + 1));
                }
                self.enter(next);
                Ok(Some(0))
            }
        }
    }

    /// Waits for a change.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.watch.is_none() {
            self.watch = FolderWatch::of(&neighbours::target(&self.path));
        }
        let has_changed = self
            .watch
            .as_mut()
            .is_some_and(|watch| watch.poll_change(context).is_ready());
        if self.timer.as_mut().poll(context).is_ready() {
            self.timer = Box::pin(sleep(LOOK_INTERVAL));
            return Poll::Ready(());
        }
        if has_changed { Poll::Ready(()) } else { Poll::Pending }
    }
}

fn failed(error: io::Error) -> Stop {
    Failure::io(Kind::Source, "cannot read", error).into()
}

/// The offset behind the last whole line.
fn end_of_lines(file: &FollowedFile) -> io::Result<u64> {
    let mut end = file.size()?;
    let mut block = [0; 8192];
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        let length = usize::try_from(end - start).unwrap_or(block.len());
        let count = file.read_at(&mut block[..length], start)?;
        if let Some(last) = memrchr(b'\n', &block[..count]) {
            return Ok(start + last as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

impl StreamReader for Reader {
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize, Stop>> {
        if let Some(failure) = self.keeper.as_ref().and_then(|keeper| keeper.failure()) {
            return Poll::Ready(Err(failure.into()));
        }
        loop {
            if self.is_waiting {
                ready!(self.wait(context));
                self.is_waiting = false;
            }
            let (count, torn) = self.read(buffer).map_err(failed)?;
            if count > 0 {
                return Poll::Ready(Ok(count));
            }
            match self.look(buffer, torn).map_err(failed)? {
                Some(0) => {}
                Some(count) => return Poll::Ready(Ok(count)),
                None => self.is_waiting = true,
            }
        }
    }

    fn blocks(&self) -> bool {
        true
    }

    fn gives_records(&self) -> bool {
        true
    }

    fn is_within_record(&self) -> bool {
        self.boundary < self.position
    }

    fn position(&self) -> Option<Position> {
        let is_known = self.keeper.is_some() && !self.is_within_record();
        is_known.then(|| Position(self.position.into()))
    }

    fn backlog(&self) -> Option<Arc<dyn Backlog>> {
        Some(self.ahead.clone())
    }

    fn settle(&self) -> Option<Arc<dyn Settle>> {
        self.keeper.clone().map(|keeper| keeper as Arc<dyn Settle>)
    }
}
