//! The file that notes which parts of an upload the server has, so that a later run can go on with it.

use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::endpoints::file::is_ours;
use crate::endpoints::journal::{Found, Journal};
use crate::error::{Failure, Kind, shown};
use crate::net::s3::{LEAST_PART, Name, Service, UploadedPart};
use crate::platform::{FileId, files};
use crate::stage::{ResumeKey, ResumePoint, Resumption};

/// What an upload is of, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    pub server: String,
    pub object: String,
}

impl Destination {
    pub fn of(service: &Service) -> Self {
        Self {
            server: service.server(),
            object: service.name().to_string(),
        }
    }
}

/// Identifies an upload.
#[derive(Serialize, Deserialize)]
struct UploadKey {
    #[serde(flatten)]
    destination: Destination,
    upload: String,
    #[serde(flatten)]
    run: ResumeKey,
}

/// What is noted.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Record {
    Sent(SentPart),
    Completing(Completing),
}

/// A part that the server has confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentPart {
    /// Its number, from 1 on. A later record of the same number stands for it, and none behind it counts any more.
    pub number: u64,
    pub etag: String,
    pub md5: [u8; 16],
    pub bytes: u64,
    /// Where another run can start behind it, if there.
    pub end: Option<PartEnd>,
}

/// The end of a part, where another run can start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartEnd {
    /// The position in the source, in bytes.
    pub source: u64,
    /// The states of the stages that have one, from the first to the last.
    pub states: Vec<Vec<u8>>,
}

/// The object that the server was told to make of the parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completing {
    pub size: u64,
    pub etag: Option<String>,
}

/// The file of a run, locked against others.
pub struct StateFile {
    path: PathBuf,
    id: FileId,
    destination: Destination,
    run: ResumeKey,
    state: State,
}

enum State {
    /// No upload was begun.
    Empty(OwnedFd),
    Begun(Journal<Record>),
    /// The file could not be written.
    Failed,
}

/// What an earlier run has left.
#[derive(Debug)]
pub struct Earlier {
    pub upload: String,
    /// All parts, from the first on.
    pub parts: Vec<SentPart>,
    pub completing: Option<Completing>,
}

impl StateFile {
    /// Opens or creates the file. Returns what an earlier run has left that `run`, whose key is `key`, may go on with.
    ///
    /// # Errors
    /// If there is another kind of file, or another run or pipeline has written it or is writing it.
    pub fn open(
        path: PathBuf,
        destination: Destination,
        key: ResumeKey,
        run: &Resumption,
    ) -> Result<(Self, Option<Earlier>), Failure> {
        let failed = |error: io::Error| unopened(&path, error);
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = files::open(&path, flags, Mode::from_raw_mode(0o600)).map_err(|error| failed(error.into()))?;
        let stat = files::fstat(&file).map_err(|error| failed(error.into()))?;
        if !is_ours(&stat) {
            return Err(foreign(&path));
        }
        match files::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(refused(&path, Kind::Sink, "another run is writing it")),
            Err(error) => return Err(failed(error.into())),
        }
        // Between the opening and the lock another run may have removed it.
        let id = FileId::of(&stat);
        if files::lstat(&path).map(|stat| FileId::of(&stat)) != Ok(id) {
            return Err(refused(&path, Kind::Sink, "another run has just ended with it"));
        }
        let (state, earlier) = if stat.st_size == 0 {
            files::sync_parent(&path).map_err(failed)?;
            (State::Empty(file), None)
        } else {
            let (found, earlier) = Earlier::read(&path, files::Stream(&file), &destination, run)?;
            let journal = Journal::resume_from(file, &found).map_err(failed)?;
            (State::Begun(journal), Some(earlier))
        };
        let opened = Self {
            path,
            id,
            destination,
            run: key,
            state,
        };
        Ok((opened, earlier))
    }

    /// The failure for a server that does not have what the file says; `upload` is what it still has.
    pub fn contradicted(&self, upload: Option<&str>, why: &str) -> Failure {
        let name = shown(self.path.as_os_str().as_bytes());
        let over = start_over(&name, &self.destination, upload);
        Failure::because(
            Kind::Integrity,
            "cannot go on with the upload",
            format!("{why}; {over}"),
        )
    }

    fn failed(&self, error: io::Error) -> Failure {
        let name = shown(self.path.as_os_str().as_bytes());
        Failure::io(Kind::Sink, format!("cannot write {name}"), error)
    }

    /// Whether it notes an upload.
    pub fn has_begun(&self) -> bool {
        matches!(self.state, State::Begun(_))
    }

    /// Notes that an upload was begun.
    pub fn begin(&mut self, upload: &str) -> Result<(), Failure> {
        if let State::Empty(file) = std::mem::replace(&mut self.state, State::Failed) {
            let key = UploadKey {
                destination: self.destination.clone(),
                upload: upload.to_owned(),
                run: self.run.clone(),
            };
            let journal = Journal::begin(file, key).map_err(|error| self.failed(error))?;
            self.state = State::Begun(journal);
        }
        Ok(())
    }

    /// Notes a part that the server has confirmed.
    pub fn sent(&mut self, part: SentPart) -> Result<(), Failure> {
        self.note(&Record::Sent(part))
    }

    /// Notes that the server is about to make the object of the parts.
    pub fn completing(&mut self, object: Completing) -> Result<(), Failure> {
        self.note(&Record::Completing(object))
    }

    fn note(&mut self, record: &Record) -> Result<(), Failure> {
        let noted = match &mut self.state {
            State::Begun(journal) => journal.note(record),
            State::Empty(_) | State::Failed => Ok(()),
        };
        noted.map_err(|error| self.failed(error))
    }

    /// Removes it: there is nothing to go on with.
    pub fn remove(&self) {
        if let Err(error) = files::unlinkat_same(CWD, &self.path, self.id) {
            let name = shown(self.path.as_os_str().as_bytes());
            tracing::warn!("{name} is not needed any more, and cannot be removed: {error}");
        }
    }
}

fn unopened(path: &Path, error: io::Error) -> Failure {
    let name = shown(path.as_os_str().as_bytes());
    Failure::io(Kind::Sink, format!("cannot open {name}"), error)
}

fn refused(path: &Path, kind: Kind, why: &str) -> Failure {
    let name = shown(path.as_os_str().as_bytes());
    Failure::because(kind, format!("cannot go on with {name}"), why)
}

fn foreign(path: &Path) -> Failure {
    let why = "it is not a regular file of this user with only this name";
    refused(path, Kind::Sink, why)
}

/// How a user gets rid of the file that notes an upload, and of the upload.
fn start_over(file: &str, destination: &Destination, upload: Option<&str>) -> String {
    let name = destination.object.strip_prefix("s3://").unwrap_or_default();
    let name = Name::parse(name.as_bytes()).ok();
    let command = upload.zip(name).map(|(upload, name)| name.abort_command(upload));
    let command = command.map_or_else(String::new, |command| format!(", and the upload: {command}"));
    format!("to start over remove {file}{command}")
}

/// Where in the source a run would go on with the upload that a file notes, in bytes; `None` if it notes none. Neither the
/// source nor the server is asked.
///
/// # Errors
/// Why the run would refuse the file.
pub fn goes_on_at(path: &Path, destination: &Destination, run: &Resumption) -> Result<Option<u64>, Failure> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match files::open(path, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        file => file.map_err(|error| unopened(path, error.into()))?,
    };
    let stat = files::fstat(&file).map_err(|error| unopened(path, error.into()))?;
    if !is_ours(&stat) {
        return Err(foreign(path));
    }
    if stat.st_size == 0 {
        return Ok(None);
    }
    let (_, mut earlier) = Earlier::read(path, files::Stream(&file), destination, run)?;
    let (point, _) = earlier.keep(LEAST_PART);
    Ok((point.read > 0).then_some(point.read))
}

impl Earlier {
    /// Reads what the file at `path` says of the upload that `run` would go on with.
    fn read(
        path: &Path,
        file: impl Read,
        destination: &Destination,
        run: &Resumption,
    ) -> Result<(Found<UploadKey>, Self), Failure> {
        let (mut parts, mut completing) = (Vec::<SentPart>::new(), None);
        let found = Found::<UploadKey>::read(file, |record| match record {
            Record::Sent(part) => {
                let before = part.number.saturating_sub(1);
                parts.truncate(usize::try_from(before).unwrap_or(usize::MAX));
                parts.push(part);
                completing = None;
            }
            Record::Completing(all) => completing = Some(all),
        });
        let found = found.map_err(|error| unopened(path, error))?;
        let Some(begun) = &found.key else {
            let why = "it is not empty, and does not say what upload it is of; name another file";
            return Err(refused(path, Kind::Integrity, why));
        };
        let over = start_over("it", &begun.destination, Some(&begun.upload));
        let refused = |kind, why: &str| Err(refused(path, kind, &format!("{why}; {over}")));
        if parts.iter().zip(1..).any(|(part, number)| part.number != number) {
            return refused(Kind::Integrity, "it does not say what the parts before another were");
        }
        if begun.destination != *destination {
            let Destination { server, object } = &begun.destination;
            return refused(Kind::Usage, &format!("it is of an upload to {object} at {server}"));
        }
        if let Some((kind, why)) = begun.run.difference(run) {
            return refused(kind, &why);
        }
        let states = run.states.len();
        let mut ends = parts.iter().filter_map(|part| part.end.as_ref());
        if let Some(end) = ends.find(|end| end.states.len() != states) {
            let noted = end.states.len();
            let why = format!("it has the states of {noted} stages, and the pipeline has {states}");
            return refused(Kind::Integrity, &why);
        }
        let earlier = Self {
            upload: begun.upload.clone(),
            parts,
            completing,
        };
        Ok((found, earlier))
    }

    /// Keeps the parts behind which this run can start: up to the last one of at least `least` bytes with a position.
    /// Returns where that is, and the states of the stages there.
    pub fn keep(&mut self, least: u64) -> (ResumePoint, Vec<Vec<u8>>) {
        let is_base = |part: &SentPart| part.end.is_some() && part.bytes >= least;
        let count = self.parts.iter().rposition(is_base).map_or(0, |last| last + 1);
        self.parts.truncate(count);
        let written = self.parts.iter().map(|part| part.bytes).sum();
        let end = self.parts.last().and_then(|part| part.end.clone());
        end.map_or_else(Default::default, |end| {
            let read = end.source;
            (ResumePoint { read, written }, end.states)
        })
    }

    /// How the parts that the server has differ from those that were kept, in words.
    pub fn difference(&self, there: &[UploadedPart]) -> Option<String> {
        let mut numbered = self.parts.iter().zip(1..);
        let (_, number) = numbered.find(|(part, number)| {
            let found = there.iter().find(|found| found.number == *number);
            found.is_none_or(|found| found.size != part.bytes || found.etag != part.etag)
        })?;
        Some(format!("the server does not have part {number} as it was sent"))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::stage::{RemoteIdentity, SourceIdentity};

    fn open(path: &Path) -> Result<(StateFile, Option<Earlier>), Failure> {
        let destination = Destination {
            server: "here".to_owned(),
            object: "s3://bucket/key".to_owned(),
        };
        let key = ResumeKey {
            pipeline: "read s3://bucket/a | write s3://bucket/key state=s".to_owned(),
            effects: Vec::new(),
            source: SourceIdentity::Remote(RemoteIdentity {
                url: "s3://bucket/a at here".to_owned(),
                size: 1 << 30,
                validator: "x".to_owned(),
            }),
        };
        StateFile::open(path.to_owned(), destination, key, &Resumption::default())
    }

    fn part(number: u64, bytes: u64, source: Option<u64>) -> SentPart {
        SentPart {
            number,
            etag: format!("etag {bytes}"),
            md5: [7; 16],
            bytes,
            end: source.map(|source| PartEnd {
                source,
                states: Vec::new(),
            }),
        }
    }

    #[test]
    fn later_part_replaces_an_earlier_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s");
        let (mut file, earlier) = open(&path).unwrap_or_else(|failure| panic!("{failure}"));
        assert!(earlier.is_none());
        assert!(open(&path).is_err_and(|failure| failure.to_string().contains("another run is writing it")));
        file.begin("id").expect("begun");
        let object = Completing {
            size: 3,
            etag: Some("whole".to_owned()),
        };
        for part in [part(1, LEAST_PART, Some(10)), part(2, 9, Some(20))] {
            file.sent(part).expect("noted");
        }
        file.completing(object).expect("noted");
        for part in [
            part(2, LEAST_PART, None),
            part(3, LEAST_PART + 1, Some(40)),
            part(4, 8, Some(50)),
        ] {
            file.sent(part).expect("noted");
        }
        drop(file);
        let (file, earlier) = open(&path).unwrap_or_else(|failure| panic!("{failure}"));
        let mut earlier = earlier.expect("it was begun");
        assert_eq!((earlier.upload.as_str(), &earlier.completing), ("id", &None));
        let sizes: Vec<u64> = earlier.parts.iter().map(|part| part.bytes).collect();
        assert_eq!(sizes, [LEAST_PART, LEAST_PART, LEAST_PART + 1, 8]);
        let (point, _) = earlier.keep(LEAST_PART);
        assert_eq!((point.read, point.written), (40, 3 * LEAST_PART + 1));
        let there = |count: usize| -> Vec<UploadedPart> {
            let parts = earlier.parts.iter().take(count);
            parts
                .map(|part| UploadedPart {
                    number: part.number,
                    size: part.bytes,
                    etag: part.etag.clone(),
                })
                .collect()
        };
        assert_eq!(earlier.difference(&there(3)), None);
        let missing = earlier.difference(&there(2)).expect("a difference");
        assert_eq!(missing, "the server does not have part 3 as it was sent");
        file.remove();
        assert!(!path.exists());
    }
}
