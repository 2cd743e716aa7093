//! A file that is read for as long as others write to it, across rotation and truncation.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use memchr::{memchr, memrchr};
use rustix::fs::FileType;
use tokio::time::{Instant, Sleep, sleep};

use crate::catalog::{Args, Param, Placed};
use crate::error::{Failure, Kind, Problem, Stop, shown};
use crate::flow::Position;
use crate::platform::{FilePlace, FolderWatch, files};
use crate::stage::{Acknowledged, Backlog, BoxFuture, Endpoint, Facts, OpenReader, Outside, Settle, StreamReader};

mod backlog;
mod neighbours;
mod options;
mod state;

pub use options::{FOLLOW, FROM, PARAMS, STATE};

use backlog::Ahead;
use neighbours::{Changed, Next};
use state::{FollowedFile, Identity, Keeper, Kept, Place, Places, StateFile};

/// How often a file is looked at while nothing announces a change: network file systems send no events.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// How long a file is looked at after it was read to its end and another has its name: children of a server that was told
/// to open the new one may write to the old one until they end.
const LATE: Duration = Duration::from_secs(300);
const IS_STATE: &str = "the state cannot be the file that is followed";
/// More bytes than are ever committed at once.
const NO_PART: u64 = 1 << 40;

/// The file at `path`, if it is to be followed.
pub fn followed(path: &Path, args: &Args) -> Option<Placed> {
    if !args.flag(FOLLOW.name) {
        let given = PARAMS
            .iter()
            .find(|param: &&Param| args.is_given(param.name) && param.name != FOLLOW.name);
        return given.map(|param| {
            let problem = Problem::at(args.span_of(param.name), format!("`{}` is for follow=true", param.name));
            Err(problem.help("give follow=true as well, or leave it out"))
        });
    }
    let state = args
        .words(STATE.name)
        .first()
        .map(|state| PathBuf::from(std::ffi::OsStr::from_bytes(state)));
    let wrong = match state.as_deref() {
        Some(state) if state == path => Some(IS_STATE),
        Some(state) if state.as_os_str().is_empty() => Some("the state's file has no name"),
        _ => None,
    };
    if let Some(wrong) = wrong {
        let help = "name another file, as in state=app.state";
        return Some(Err(Problem::at(args.span_of(STATE.name), wrong).help(help)));
    }
    Some(Ok(Box::new(Followed {
        path: path.to_owned(),
        from_end: args.choice(FROM.name) == Some(options::END),
        state,
    })))
}

struct Followed {
    path: PathBuf,
    from_end: bool,
    state: Option<PathBuf>,
}

impl Endpoint for Followed {
    fn shown(&self) -> String {
        shown(self.path.as_os_str().as_bytes())
    }

    fn source_facts(&self) -> Result<Facts, Failure> {
        let mut found = Vec::new();
        for path in [Some(&self.path), self.state.as_ref()].into_iter().flatten() {
            match files::stat(path) {
                Ok(found) if !FileType::from_raw_mode(found.st_mode).is_file() => {
                    let why = format!("{} is not a regular file", shown(path.as_os_str().as_bytes()));
                    return Err(Failure::because(Kind::Usage, "cannot follow", why));
                }
                _ => found.extend(FilePlace::find(path).ok().flatten()),
            }
        }
        let places = [Some(&self.path), self.state.as_ref()].map(|path| path.and_then(|path| files::stat(path).ok()));
        if let [Some(followed), Some(state)] = places
            && (followed.st_dev, followed.st_ino) == (state.st_dev, state.st_ino)
        {
            return Err(Failure::because(Kind::Usage, "cannot follow", IS_STATE));
        }
        Ok(Facts {
            files: found,
            outside: Some(Outside::Disk),
            ..Facts::default()
        })
    }

    fn reading(&self) -> String {
        let state = match &self.state {
            Some(state) => format!(
                "\n    what is durable is noted in {}, and the next run goes on there",
                shown(state.as_os_str().as_bytes())
            ),
            None => String::new(),
        };
        format!("follows the file until a signal, by its name{state}")
    }

    fn is_endless(&self) -> bool {
        true
    }

    fn can_resume(&self) -> Result<(), &'static str> {
        Err("a file that is followed; its state= notes where to go on")
    }

    fn settles(&self) -> bool {
        self.state.is_some()
    }

    fn acknowledged(&self) -> Option<Acknowledged> {
        self.state.as_ref().map(|_| Acknowledged {
            parameter: STATE.name,
            is_optional: true,
        })
    }

    fn open_reader(self: Box<Self>) -> BoxFuture<'static, Result<OpenReader, Failure>> {
        Box::pin(async move {
            let state = self.state.clone().map(StateFile::open).transpose()?;
            let kept = state.as_ref().map(StateFile::read).transpose()?.flatten();
            let mut reader = Reader {
                current: None,
                before: None,
                after: None,
                position: kept.as_ref().map_or(0, |kept| kept.position),
                boundary: kept.as_ref().map_or(0, |kept| kept.position),
                keeper: None,
                watch: None,
                timer: Box::pin(sleep(LOOK_INTERVAL)),
                is_missing: false,
                is_closed: false,
                is_waiting: false,
                ahead: Ahead::new(self.path.clone()),
                path: self.path.clone(),
            };
            let failed = |error| Failure::io(Kind::Source, "cannot open", error);
            let written = state.as_ref().map(StateFile::changed).transpose().map_err(failed)?;
            let earlier = kept.as_ref().zip(written);
            reader.begin(earlier, self.from_end).map_err(failed)?;
            if let Some(state) = state {
                reader.keeper = Some(Keeper::start(state, reader.boundary, kept.as_ref())?);
            }
            reader.note_places();
            // So that a later run knows the file, whatever happens before the first batch.
            if let Some(keeper) = &reader.keeper {
                keeper.tell(Position(reader.boundary.into()), keeper.earlier_end());
                if let Err(Stop::Failed(failure)) = keeper.noted().await {
                    return Err(failure);
                }
            }
            Ok(OpenReader::Stream(Box::new(reader)))
        })
    }
}

/// One of the files that had the name.
struct Current {
    file: Arc<FollowedFile>,
    /// Where the next byte is in it.
    offset: u64,
    /// The first bytes, as far as they were there when they were last looked at.
    identity: Identity,
    /// When it was left for the next one, or something was read of it after that.
    left: Instant,
}

impl Current {
    fn at(offset: u64, (file, identity): (FollowedFile, Identity)) -> Self {
        Self {
            file: Arc::new(file),
            offset,
            identity,
            left: Instant::now(),
        }
    }

    fn place(&self) -> Place {
        let Self { offset, identity, .. } = *self;
        Place { offset, identity }
    }

    /// Whether there is a whole line, or `most` bytes of one.
    fn has_line(&self, most: usize) -> io::Result<bool> {
        let mut block = [0; 4096];
        let (mut offset, end) = (self.offset, self.file.size()?);
        while offset < end && offset - self.offset < most as u64 {
            let count = self.file.read_at(&mut block, offset)?;
            if count == 0 {
                return Ok(false);
            }
            if memchr(b'\n', &block[..count]).is_some() {
                return Ok(true);
            }
            offset += count as u64;
        }
        Ok(offset - self.offset >= most as u64)
    }

    /// Whether it was truncated before the next `count` bytes were read. One that has grown beyond its old end since then is
    /// told by its first bytes.
    fn is_truncated(&self, count: usize) -> io::Result<bool> {
        Ok(self.file.size()? < self.offset + count as u64 || !self.identity.is_of(&self.file))
    }
}

struct Reader {
    path: PathBuf,
    /// `None` while there is no file of that name.
    current: Option<Current>,
    /// The file before it: a writer that was not told of the rotation may append to it still.
    before: Option<Current>,
    /// The file after it, while lines are read that came late.
    after: Option<Current>,
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
    /// Begins with the file of an earlier run, or with the one that has the name now.
    fn begin(&mut self, earlier: Option<(&Kept, Changed)>, from_end: bool) -> io::Result<()> {
        let find = |place: Place| -> io::Result<Option<Current>> {
            let found = neighbours::find(&self.path, &place.identity)?;
            Ok(found.map(|found| Current::at(place.offset, found)))
        };
        let Some((kept, written)) = earlier else {
            self.current = neighbours::open(&self.path)?
                .map(|opened| -> io::Result<Current> {
                    let offset = if from_end { end_of_lines(&opened.0)? } else { 0 };
                    Ok(Current::at(offset, opened))
                })
                .transpose()?;
            return Ok(());
        };
        let Places { current, before, after } = kept.places;
        let [found, before, after] = [current, before, after].map(|place| place.map_or(Ok(None), find));
        (self.current, self.before, self.after) = (found?, before?, after?);
        if self.current.is_some() {
            return Ok(());
        }
        if current.is_some() {
            tracing::warn!(
                "{}: the file that an earlier run has read is not there any more: lines may be lost, or come again",
                self.shown()
            );
            self.current = self.after.take();
            if self.current.is_some() {
                return Ok(());
            }
            // What is made of other lines must not replace what that run has made last, and not noted.
            self.position = (kept.position / NO_PART + 1).saturating_mul(NO_PART);
            self.boundary = self.position;
        }
        let instead = neighbours::instead_of(current.as_ref(), written, &self.path)?;
        self.current = match instead {
            Some((file, identity, offset)) => Some(Current::at(offset, (file, identity))),
            None => neighbours::open(&self.path)?.map(|opened| Current::at(0, opened)),
        };
        Ok(())
    }

    fn shown(&self) -> String {
        shown(self.path.as_os_str().as_bytes())
    }

    /// Goes on with the next file. The one before stays open.
    fn enter(&mut self, next: Current) {
        (self.is_missing, self.is_closed) = (false, false);
        if let Some(mut left) = self.current.replace(next) {
            left.left = Instant::now();
            self.before = Some(left);
        }
        self.note_places();
    }

    /// Tells those who note it what is read from here on.
    fn note_places(&self) {
        let place = |file: &Option<Current>| file.as_ref().map(Current::place);
        let [current, before, after] = [&self.current, &self.before, &self.after].map(place);
        if let Some(keeper) = &self.keeper {
            keeper.enter(self.boundary, Places { current, before, after });
        }
        if let Some(Current {
            file, offset, identity, ..
        }) = self.after.as_ref().or(self.current.as_ref())
        {
            self.ahead.enter(file.clone(), *identity, *offset);
        }
    }

    /// Turns to the file before, if lines came to it after it was left; returns whether it does. Lines of `most` bytes are
    /// given on in pieces.
    fn turn_back(&mut self, most: usize) -> io::Result<bool> {
        let Some(before) = &self.before else { return Ok(false) };
        if before.is_truncated(0)? || before.left.elapsed() > LATE {
            self.before = None;
            return Ok(false);
        }
        if !before.has_line(most)? {
            return Ok(false);
        }
        self.after = std::mem::replace(&mut self.current, self.before.take());
        self.note_places();
        Ok(true)
    }

    /// Goes on with the file after the one whose late lines were read.
    fn return_to(&mut self, after: Current) {
        if let Some(mut late) = self.current.replace(after) {
            late.left = Instant::now();
            self.before = Some(late);
        }
        self.note_places();
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
            if let Some(after) = self.after.take() {
                self.boundary = self.position;
                self.current = Some(after);
                self.note_places();
            } else {
                self.begin_anew()?;
            }
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

    /// Begins the file anew, which was truncated.
    fn begin_anew(&mut self) -> io::Result<()> {
        let Some(current) = &self.current else { return Ok(()) };
        tracing::warn!(
            "{}: it was truncated; lines that were written since it was last read may be lost",
            self.shown()
        );
        let file = current.file.clone();
        let identity = Identity::of(&file)?;
        self.boundary = self.position;
        self.current = Some(Current {
            file,
            offset: 0,
            identity,
            left: Instant::now(),
        });
        self.note_places();
        Ok(())
    }

    /// Looks whether the name has another file by now; returns whether there may be more to read, and how many bytes of it
    /// are in the buffer.
    fn look(&mut self, buffer: &mut [u8], torn: usize) -> io::Result<Option<usize>> {
        if self.current.is_none() {
            let Some(opened) = neighbours::open(&self.path)? else {
                if !std::mem::replace(&mut self.is_missing, true) {
                    tracing::warn!("{}: there is no such file yet; waiting for it", self.shown());
                }
                return Ok(None);
            };
            self.enter(Current::at(0, opened));
            return Ok(Some(0));
        }
        if !self.is_within_record() {
            if let Some(after) = self.after.take() {
                self.return_to(after);
                return Ok(Some(0));
            }
            if self.turn_back(buffer.len())? {
                return Ok(Some(0));
            }
        }
        let Some(current) = &self.current else { return Ok(None) };
        let size = current.file.size()?;
        match neighbours::next(&self.path, &current.identity, current.file.changed()?)? {
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
                let is_open = torn > 0 || self.boundary < self.position;
                let next = Current::at(0, (file, identity));
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
                std::task::ready!(self.wait(context));
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
