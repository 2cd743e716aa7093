//! The journal of a write that a later run can continue: what identifies the run, and how much of the output is certainly
//! there.
//!
//! One record a line, each behind the first digits of its own checksum: `SUM {JSON}`. The first holds the key, the
//! others are checkpoints. A record is appended only when what it says is certain; one that was torn by the end of a
//! run, and anything after it, does not count and is cut off.

use std::io::{self, BufRead, BufReader, Read};
use std::marker::PhantomData;
use std::os::fd::OwnedFd;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::platform::files;

/// The number of checksum digits before a record.
const DIGITS: usize = 16;
/// The longest record: a pipeline's text is limited by the length of a command line.
const LONGEST: u64 = 4 << 20;
/// The version of the record's format.
const SCHEMA: u32 = 2;

/// The first record.
#[derive(Serialize, Deserialize)]
struct Heading<K> {
    schema: u32,
    #[serde(flatten)]
    key: K,
}

/// A journal of checkpoints, open at its end.
#[derive(Debug)]
pub struct Journal<C> {
    file: OwnedFd,
    checkpoint: PhantomData<C>,
}

/// The contents of a journal's file, besides the checkpoints.
#[derive(Debug, PartialEq, Eq)]
pub struct Found<K> {
    /// The key of the run that began it; `None` if even that was torn.
    pub key: Option<K>,
    /// Bytes of the file that are complete records.
    whole: u64,
}

impl<C: Serialize> Journal<C> {
    /// Begins a journal in `file`, which was opened for appending, and syncs it to the disk.
    pub fn begin(file: OwnedFd, key: impl Serialize) -> io::Result<Self> {
        files::ftruncate(&file, 0)?;
        let heading = Heading { schema: SCHEMA, key };
        files::write_all(&file, &record(&heading)?)?;
        files::fsync(&file)?;
        Ok(Self::at_end(file))
    }

    /// Continues the journal that was `found` in `file`, which was opened for appending.
    ///
    /// # Errors
    /// If torn records cannot be cut off.
    pub fn resume_from<K>(file: OwnedFd, found: &Found<K>) -> io::Result<Self> {
        files::ftruncate(&file, found.whole)?;
        Ok(Self::at_end(file))
    }

    fn at_end(file: OwnedFd) -> Self {
        Self {
            file,
            checkpoint: PhantomData,
        }
    }

    /// Appends a checkpoint. What it says must be certain already.
    pub fn note(&mut self, checkpoint: &C) -> io::Result<()> {
        files::write_all(&self.file, &record(checkpoint)?)?;
        Ok(files::fdatasync(&self.file)?)
    }
}

impl<K: DeserializeOwned> Found<K> {
    /// Reads a journal up to the first incomplete record, and passes each checkpoint to `each`.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read<C: DeserializeOwned>(file: impl Read, mut each: impl FnMut(C)) -> io::Result<Self> {
        let mut file = BufReader::new(file);
        let mut found = Self { key: None, whole: 0 };
        let mut line = Vec::new();
        loop {
            line.clear();
            let length = (&mut file).take(LONGEST).read_until(b'\n', &mut line)? as u64;
            if found.key.is_none() {
                let heading = parse::<Heading<K>>(&line).filter(|heading| heading.schema == SCHEMA);
                let Some(heading) = heading else { return Ok(found) };
                found.key = Some(heading.key);
            } else {
                let Some(checkpoint) = parse(&line) else {
                    return Ok(found);
                };
                each(checkpoint);
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
    use crate::stage::{FileIdentity, ResumeKey, SourceIdentity};

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

    /// Reads it; returns its checkpoints, too.
    fn read(bytes: &[u8]) -> (Found<ResumeKey>, Vec<u64>) {
        let mut checkpoints = Vec::new();
        let found = Found::read(bytes, |checkpoint| checkpoints.push(checkpoint)).expect("read");
        (found, checkpoints)
    }

    /// A journal of three records, and the offset at which each of them ends.
    fn journal() -> (Vec<u8>, Vec<usize>) {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let appending = std::fs::File::options().append(true).open(&file).expect("opened");
        let mut journal = Journal::begin(appending.into(), key()).expect("begun");
        let mut ends = vec![std::fs::read(&file).expect("read").len()];
        for bytes in [5_u64, 6] {
            journal.note(&bytes).expect("noted");
            ends.push(std::fs::read(&file).expect("read").len());
        }
        (std::fs::read(&file).expect("read"), ends)
    }

    #[test]
    fn records_before_a_tear_count() {
        let (bytes, ends) = journal();
        for length in 0..=bytes.len() {
            let (found, checkpoints) = read(&bytes[..length]);
            let records = ends.iter().filter(|end| **end <= length).count();
            assert_eq!(found.key, (records > 0).then(key), "{length}");
            assert_eq!(checkpoints, [5, 6][..records.saturating_sub(1)], "{length}");
            assert_eq!(found.whole, records.checked_sub(1).map_or(0, |last| ends[last] as u64));
        }
    }

    #[test]
    fn changed_record_ends_the_journal() {
        let (bytes, ends) = journal();
        for at in ends[0]..ends[1] {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            let (found, checkpoints) = read(&bytes);
            assert_eq!((checkpoints.len(), found.whole), (0, ends[0] as u64), "{at}");
        }
    }

    #[test]
    fn torn_records_are_cut_off_first() {
        let (bytes, ends) = journal();
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(&file, &bytes[..ends[2] - 3]).expect("written");
        let (found, checkpoints) = read(&bytes[..ends[2] - 3]);
        assert_eq!(checkpoints, [5]);
        let appending = std::fs::File::options().append(true).open(&file).expect("opened");
        let mut journal = Journal::resume_from(appending.into(), &found).expect("goes on");
        journal.note(&9_u64).expect("noted");
        assert_eq!(read(&std::fs::read(&file).expect("read")).1, [5, 9]);
    }
}
