//! The journal of a write that a later run can continue: its resume key, and how much of the output is certainly on the
//! disk.
//!
//! One record a line, each behind the first digits of its own checksum: `SUM {JSON}`. The first holds the key, the
//! others are checkpoints: pairs of a position in the source and one in the output that stand for the same point of the
//! stream. A record is appended only when the bytes it counts are on the disk; one that was torn by the end of a run,
//! and anything after it, does not count and is cut off.

use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::OwnedFd;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::platform::files;
use crate::stage::{ResumeKey, ResumePoint};

/// The number of checksum digits before a record.
const DIGITS: usize = 16;
/// The longest record: a pipeline's text is limited by the length of a command line.
const LONGEST: u64 = 4 << 20;
/// The version of the record's format.
const SCHEMA: u32 = 2;

/// The first record.
#[derive(Serialize, Deserialize)]
struct Heading {
    schema: u32,
    #[serde(flatten)]
    key: ResumeKey,
}

/// The number of leading bytes that are on the disk, with their checksum, and where the stages were then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The number of bytes.
    pub bytes: u64,
    /// Their BLAKE3 checksum, in hexadecimal.
    pub blake3: String,
    /// The number of bytes of the source that they stand for.
    pub source: u64,
    /// The states of the stages that have one, from the first to the last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub states: Vec<Vec<u8>>,
}

impl Checkpoint {
    fn none() -> Self {
        Self {
            bytes: 0,
            blake3: blake3::hash(b"").to_hex().to_string(),
            source: 0,
            states: Vec::new(),
        }
    }

    /// How far it is.
    pub fn point(&self) -> ResumePoint {
        ResumePoint {
            read: self.source,
            written: self.bytes,
        }
    }
}

/// A journal, open at its end.
#[derive(Debug)]
pub struct Journal {
    file: OwnedFd,
    start: Checkpoint,
}

/// The contents of a journal's file.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// The key of the run that began it; `None` if even that was torn.
    pub key: Option<ResumeKey>,
    /// The last checkpoint.
    pub last: Checkpoint,
    /// Bytes of the file that are complete records.
    whole: u64,
}

impl Journal {
    /// Begins a journal in `file`, which was opened for appending, and syncs it to the disk.
    pub fn begin(file: OwnedFd, key: &ResumeKey) -> io::Result<Self> {
        files::ftruncate(&file, 0)?;
        let heading = Heading {
            schema: SCHEMA,
            key: key.clone(),
        };
        files::write_all(&file, &record(&heading)?)?;
        files::fsync(&file)?;
        Ok(Self {
            file,
            start: Checkpoint::none(),
        })
    }

    /// Continues the journal that was `found` in `file`, which was opened for appending.
    ///
    /// # Errors
    /// If torn records cannot be cut off.
    pub fn resume_from(file: OwnedFd, found: Found) -> io::Result<Self> {
        files::ftruncate(&file, found.whole)?;
        Ok(Self {
            file,
            start: found.last,
        })
    }

    /// The checkpoint at which this run began.
    pub fn start(&self) -> &Checkpoint {
        &self.start
    }

    /// Appends a checkpoint. The bytes it counts must be on the disk already.
    pub fn note(&mut self, checkpoint: &Checkpoint) -> io::Result<()> {
        files::write_all(&self.file, &record(checkpoint)?)?;
        Ok(files::fdatasync(&self.file)?)
    }
}

impl Found {
    /// Reads a journal up to the first incomplete record.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(file: impl Read) -> io::Result<Self> {
        let mut file = BufReader::new(file);
        let mut found = Self {
            key: None,
            last: Checkpoint::none(),
            whole: 0,
        };
        let mut line = Vec::new();
        loop {
            line.clear();
            let length = (&mut file).take(LONGEST).read_until(b'\n', &mut line)? as u64;
            if found.key.is_none() {
                let heading = parse::<Heading>(&line).filter(|heading| heading.schema == SCHEMA);
                let Some(heading) = heading else { return Ok(found) };
                found.key = Some(heading.key);
            } else {
                let Some(checkpoint) = parse(&line) else {
                    return Ok(found);
                };
                found.last = checkpoint;
            }
            found.whole += length;
        }
    }
}

fn record(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let text = serde_json::to_string(value)?;
    let sum = blake3::hash(text.as_bytes()).to_hex();
    Ok(format!("{} {text}\n", &sum[..DIGITS]).into_bytes())
}

fn parse<T: DeserializeOwned>(line: &[u8]) -> Option<T> {
    let line = line.strip_suffix(b"\n")?;
    let (sum, text) = line.split_at_checked(DIGITS)?;
    let text = text.strip_prefix(b" ")?;
    let is_whole = sum == &blake3::hash(text).to_hex().as_bytes()[..DIGITS];
    is_whole.then(|| serde_json::from_slice(text).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::{FileIdentity, SourceIdentity};

    fn key() -> ResumeKey {
        ResumeKey {
            pipeline: "read 'a\\nb' | write c resume=true".to_owned(),
            effects: vec!["gzip level=6".to_owned()],
            source: SourceIdentity::File(FileIdentity {
                path: "a\\nb".to_owned(),
                size: 7,
                modified_s: -1,
                modified_ns: 999_999_999,
                inode: u64::MAX,
            }),
        }
    }

    fn checkpoint(bytes: u64) -> Checkpoint {
        Checkpoint {
            bytes,
            blake3: blake3::hash(&bytes.to_le_bytes()).to_hex().to_string(),
            source: 3 * bytes,
            states: vec![vec![0, 1, 255]],
        }
    }

    /// A journal of three records, and the offset at which each of them ends.
    fn journal() -> (Vec<u8>, Vec<usize>) {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let appending = std::fs::File::options().append(true).open(&file).expect("opened");
        let mut journal = Journal::begin(appending.into(), &key()).expect("begun");
        let mut ends = vec![std::fs::read(&file).expect("read").len()];
        for bytes in [5, 6] {
            journal.note(&checkpoint(bytes)).expect("noted");
            ends.push(std::fs::read(&file).expect("read").len());
        }
        (std::fs::read(&file).expect("read"), ends)
    }

    #[test]
    fn records_before_a_tear_count() {
        let (bytes, ends) = journal();
        for length in 0..=bytes.len() {
            let found = Found::read(&bytes[..length]).expect("read");
            let records = ends.iter().filter(|end| **end <= length).count();
            assert_eq!(found.key, (records > 0).then(key), "{length}");
            let expected = [Checkpoint::none(), Checkpoint::none(), checkpoint(5), checkpoint(6)];
            assert_eq!(found.last, expected[records], "{length}");
            assert_eq!(found.whole, records.checked_sub(1).map_or(0, |last| ends[last] as u64));
        }
    }

    #[test]
    fn changed_record_ends_the_journal() {
        let (bytes, ends) = journal();
        for at in ends[0]..ends[1] {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            let found = Found::read(bytes.as_slice()).expect("read");
            assert_eq!((found.last, found.whole), (Checkpoint::none(), ends[0] as u64), "{at}");
        }
    }

    #[test]
    fn torn_records_are_cut_off_first() {
        let (bytes, ends) = journal();
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(&file, &bytes[..ends[2] - 3]).expect("written");
        let found = Found::read(std::fs::File::open(&file).expect("opened")).expect("read");
        let appending = std::fs::File::options().append(true).open(&file).expect("opened");
        let mut journal = Journal::resume_from(appending.into(), found).expect("goes on");
        assert_eq!(journal.start(), &checkpoint(5));
        journal.note(&checkpoint(9)).expect("noted");
        let found = Found::read(std::fs::File::open(&file).expect("opened")).expect("read");
        assert_eq!(found.last, checkpoint(9));
    }
}
