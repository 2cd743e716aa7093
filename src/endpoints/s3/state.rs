//! The file that notes which parts of an upload the server has, so that a later run can go on with it.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::fs::{CWD, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::endpoints::file::is_ours;
use crate::endpoints::journal::{Found, Journal};
use crate::error::{Failure, Kind, shown};
use crate::net::s3::{LEAST_PART, UploadedPart};
use crate::platform::{FileId, files};
use crate::stage::{ResumeKey, ResumePoint};

/// What an upload is of, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    pub server: String,
    pub object: String,
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
    /// Opens or creates the file. Returns what an earlier run of the same key has left, if any.
    ///
    /// # Errors
    /// If there is another kind of file, or another run or pipeline has written it or is writing it.
    pub fn open(
        path: PathBuf,
        destination: Destination,
        run: ResumeKey,
        states: usize,
    ) -> Result<(Self, Option<Earlier>), Failure> {
        let name = shown(path.as_os_str().as_bytes());
        let failed = |error: io::Error| Failure::io(Kind::Sink, format!("cannot open {name}"), error);
        let refused = |kind, why: &str| Failure::because(kind, format!("cannot go on with {name}"), why);
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = files::open(&path, flags, Mode::from_raw_mode(0o600)).map_err(|error| failed(error.into()))?;
        let stat = files::fstat(&file).map_err(|error| failed(error.into()))?;
        if !is_ours(&stat) {
            let why = "it is not a regular file of this user with only this name";
            return Err(refused(Kind::Sink, why));
        }
        match files::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(refused(Kind::Sink, "another run is writing it")),
            Err(error) => return Err(failed(error.into())),
        }
        // Between the opening and the lock another run may have removed it.
        let id = FileId::of(&stat);
        if files::lstat(&path).map(|stat| FileId::of(&stat)) != Ok(id) {
            return Err(refused(Kind::Sink, "another run has just ended with it"));
        }
        let mut opened = Self {
            path,
            id,
            destination,
            run,
            state: State::Failed,
        };
        if stat.st_size == 0 {
            opened.state = State::Empty(file);
            return Ok((opened, None));
        }
        let (mut parts, mut completing) = (Vec::<SentPart>::new(), None);
        let found = Found::<UploadKey>::read(files::Stream(&file), |record| match record {
            Record::Sent(part) => {
                let before = part.number.saturating_sub(1);
                parts.truncate(usize::try_from(before).unwrap_or(usize::MAX));
                parts.push(part);
                completing = None;
            }
            Record::Completing(all) => completing = Some(all),
        });
        let found = found.map_err(failed)?;
        let over = "; remove it to start over";
        if parts.iter().zip(1..).any(|(part, number)| part.number != number) {
            let why = format!("it does not say what the parts before another were{over}");
            return Err(refused(Kind::Integrity, &why));
        }
        let Some(begun) = &found.key else {
            let why = "it is not empty, and does not say what upload it is of; name another file";
            return Err(refused(Kind::Integrity, why));
        };
        if begun.destination != opened.destination {
            let Destination { server, object } = &begun.destination;
            let why = format!("it is of an upload to {object} at {server}{over}");
            return Err(refused(Kind::Usage, &why));
        }
        if let Some((kind, why)) = begun.run.difference(&opened.run) {
            return Err(refused(kind, &format!("{why}{over}")));
        }
        if let Some(end) = parts
            .iter()
            .filter_map(|part| part.end.as_ref())
            .find(|end| end.states.len() != states)
        {
            let found = end.states.len();
            let why = format!("it has the states of {found} stages, and the pipeline has {states}{over}");
            return Err(refused(Kind::Integrity, &why));
        }
        let upload = begun.upload.clone();
        opened.state = State::Begun(Journal::resume_from(file, &found).map_err(failed)?);
        let earlier = Earlier {
            upload,
            parts,
            completing,
        };
        Ok((opened, Some(earlier)))
    }

    /// The failure for a server that does not have what the file says.
    pub fn contradicted(&self, why: &str) -> Failure {
        let name = shown(self.path.as_os_str().as_bytes());
        let why = format!("{why}; remove {name} to start over");
        Failure::because(Kind::Integrity, "cannot go on with the upload", why)
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

impl Earlier {
    /// Keeps the parts behind which this run can start: up to the last one with a position that may stand before
    /// another part. Returns where that is, and the states of the stages there.
    pub fn keep_whole(&mut self) -> (ResumePoint, Vec<Vec<u8>>) {
        let is_base = |part: &SentPart| part.end.is_some() && part.bytes >= LEAST_PART;
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
        let run = ResumeKey {
            pipeline: "read s3://bucket/a | write s3://bucket/key state=s".to_owned(),
            effects: Vec::new(),
            source: SourceIdentity::Remote(RemoteIdentity {
                url: "s3://bucket/a at here".to_owned(),
                size: 1 << 30,
                validator: "x".to_owned(),
            }),
        };
        StateFile::open(path.to_owned(), destination, run, 0)
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
        let (point, _) = earlier.keep_whole();
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
