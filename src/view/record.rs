//! A recording: a header, then every sample, then the end object, one JSON object a line.
//!
//! Each line is written as a whole, so what a killed run leaves behind can be read up to its last line.

use std::borrow::Cow;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime};

use rustix::fs::{FileType, SeekFrom};
use serde::{Deserialize, Serialize};

use crate::engine::Snapshot;
use crate::error::{Failure, Kind};
use crate::platform::files;

use super::{POLL_INTERVAL, json};

/// The first line of a recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header<'a> {
    /// The version of the format.
    pub schema: u32,
    /// What was recorded: `run` or `check`.
    pub event: Cow<'a, str>,
    /// The pipeline, or the command that was checked.
    pub text: Cow<'a, str>,
    /// When it began, in UTC as RFC 3339 has it.
    pub started: String,
    /// The version of the program that wrote it.
    pub version: Cow<'a, str>,
    /// Seconds between two samples.
    pub interval_s: f64,
}

impl<'a> Header<'a> {
    /// The header of a recording that begins now.
    #[must_use]
    pub fn now(event: &'a str, text: &'a str) -> Self {
        Self {
            schema: json::SCHEMA,
            event: event.into(),
            text: text.into(),
            started: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            version: env!("CARGO_PKG_VERSION").into(),
            interval_s: INTERVAL.as_secs_f64(),
        }
    }
}

/// A sample of a check of another program. Sizes in bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckSample {
    /// Seconds since the start.
    pub elapsed_s: f64,
    /// Resident memory of its processes, the pages of mapped files included.
    pub rss_bytes: u64,
    /// Private and shared memory of its processes, and their files in memory.
    pub memory_bytes: u64,
    /// What its processes have written to files on storage.
    pub disk_bytes: u64,
    /// What it has taken since the start; unknown of a server.
    pub accepted_bytes: Option<u64>,
    /// What it has given back since the start.
    pub returned_bytes: u64,
    /// What it has taken and not given back; unknown of a server.
    pub backlog_bytes: Option<u64>,
}

/// The last line of a check's recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckEnd<'a> {
    /// Seconds since the start.
    pub elapsed_s: f64,
    /// `honours`, `buffers`, `unclear` or `interrupted`.
    pub verdict: Cow<'a, str>,
    /// The verdict with its evidence, for people.
    pub sentence: Cow<'a, str>,
    /// What to change; empty where there is nothing.
    pub advice: Cow<'a, str>,
    /// The most memory that its processes had at once.
    pub memory_peak_bytes: u64,
    /// What its processes have written to files on storage.
    pub disk_bytes: u64,
    /// The process that had the most memory then.
    pub largest: Option<Process<'a>>,
    /// The line of its standard error that says why it failed.
    pub error_line: Option<Cow<'a, str>>,
    /// The exit code of the check.
    pub exit: json::Exit,
}

/// A process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process<'a> {
    /// Its number.
    pub pid: i32,
    /// Its name.
    pub name: Cow<'a, str>,
}

/// An object with its kind, as a line of a recording has it.
#[derive(Debug, Serialize)]
pub struct Event<T> {
    /// What kind of line it is.
    pub event: &'static str,
    /// The rest of it.
    #[serde(flatten)]
    pub object: T,
}

/// How often a sample is recorded.
pub const INTERVAL: Duration = POLL_INTERVAL;

/// Writes a recording.
#[derive(Debug)]
pub struct Recorder {
    /// `None` once a write has failed.
    file: Option<OwnedFd>,
    /// Bytes of whole lines, where the file can be cut back to them.
    whole: Option<u64>,
    /// Why the recording stopped, until it is asked for.
    trouble: Option<io::Error>,
}

impl Recorder {
    /// Begins a recording in an empty file, or in one that is shared with others, of which nothing is cut off.
    #[must_use]
    pub fn new(file: OwnedFd, is_shared: bool, header: &Header<'_>) -> Self {
        let is_file =
            !is_shared && files::fstat(&file).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_file());
        let mut recorder = Self {
            file: Some(file),
            whole: is_file.then_some(0),
            trouble: None,
        };
        recorder.put(&json::line(header));
        recorder
    }

    /// Adds a sample of a running chain.
    pub fn sample(&mut self, snapshot: &Snapshot) {
        self.put(&json::sample(snapshot));
    }

    /// Adds the end object, which is the last line.
    pub fn end(&mut self, line: &str) {
        self.put(line);
        if self.whole.is_some()
            && let Some(file) = &self.file
        {
            self.trouble = files::sync_if_possible(file).err().map(io::Error::from);
        }
    }

    /// Why the recording has stopped, said once. See [`stopped`].
    pub fn trouble(&mut self) -> Option<io::Error> {
        self.trouble.take()
    }

    /// Writes a whole line or nothing: what a failed write has left of one is cut off.
    fn put(&mut self, line: &str) {
        let Some(file) = &self.file else { return };
        match files::write_all(file, line.as_bytes()) {
            Ok(()) => self.whole = self.whole.map(|whole| whole + line.len() as u64),
            Err(error) => {
                if let Some(whole) = self.whole {
                    // A reader tolerates a torn last line, should this fail as well.
                    let _ = files::ftruncate(file, whole).and_then(|()| files::seek(file, SeekFrom::Start(whole)));
                }
                self.file = None;
                self.trouble = Some(error.into());
            }
        }
    }
}

/// The warning that a recording has stopped while its run goes on, with its newline.
#[must_use]
pub fn stopped(error: io::Error) -> String {
    let failure = Failure::io(Kind::Sink, "cannot write", error);
    format!("highwater: --record: {failure}; the run goes on without it\n")
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::super::live::sample;
    use super::*;
    use crate::engine::Moment;

    #[test]
    fn every_line_is_there_as_soon_as_it_is_written_and_can_be_read_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("run.jsonl");
        let mut recorder = Recorder::new(
            File::create(&path).expect("created").into(),
            false,
            &Header::now("run", "a | b"),
        );
        let lines = || fs::read_to_string(&path).expect("text");
        let header: Header<'_> = serde_json::from_str(&lines()).expect("a header");
        assert_eq!((header.event.as_ref(), header.text.as_ref()), ("run", "a | b"));
        let mut snapshot = sample::throttled();
        recorder.sample(&snapshot);
        assert_eq!(lines().lines().count(), 2);
        snapshot.moment = Moment::Ended;
        let end = json::end(Some(&snapshot), &[], &json::Exit { code: 0, error: None });
        recorder.end(&end);
        let text = lines();
        let read: Vec<json::Stats<'_>> = text
            .lines()
            .skip(1)
            .map(|line| serde_json::from_str(line).expect("stats"))
            .collect();
        assert_eq!((read[0].event.as_ref(), read[1].event.as_ref()), ("sample", "end"));
        // What is read is what was written.
        assert_eq!(json::line(&read[1]), end);
        assert!(recorder.trouble().is_none());
    }

    #[test]
    fn a_full_disk_is_said_once_and_ends_the_recording() {
        let full = File::options().write(true).open("/dev/full").expect("there is one");
        let mut recorder = Recorder::new(full.into(), false, &Header::now("run", "a | b"));
        let trouble = recorder.trouble().expect("nothing fits");
        assert_eq!(trouble.kind(), io::ErrorKind::StorageFull);
        recorder.sample(&sample::throttled());
        assert!(recorder.trouble().is_none());
    }
}
