//! Parts of an upload. One is kept until the server has it, so that it can be sent again.

use std::io::IoSlice;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use md5::{Digest, Md5};
use sha2::Sha256;

use crate::error::{Failure, Kind};
use crate::platform::files;

use super::signature::hex;

/// The least size of a part that is not the last, in bytes (AWS documentation, "Amazon S3 multipart upload limits").
pub const LEAST_PART: u64 = 5 << 20;
/// The largest part, in bytes (as above).
pub const MOST_PART: u64 = 5 << 30;
/// The most parts of an upload (as above).
pub const MOST_PARTS: u64 = 10_000;
/// After so many parts of an object whose size is not known, the size of parts doubles.
const DOUBLES_AFTER: u64 = 1000;
/// A piece that is read of a file, in bytes.
const PIECE: usize = 64 << 10;

/// How large the parts of an object are.
#[derive(Debug, Clone, Copy)]
pub struct PartSizes {
    first: u64,
    doubles: bool,
}

impl PartSizes {
    /// Parts of `least` bytes, or as many as an object of `size` bytes needs; of an unknown size, parts that double
    /// every 1,000.
    #[must_use]
    pub fn new(least: u64, size: Option<u64>) -> Self {
        let mebibytes = |bytes: u64| bytes.div_ceil(1 << 20) << 20;
        Self {
            first: size.map_or(least, |size| least.max(mebibytes(size.div_ceil(MOST_PARTS)))),
            doubles: size.is_none(),
        }
    }

    /// The size of a part in bytes; the first one is number 1.
    #[must_use]
    pub fn size(&self, number: u64) -> u64 {
        let doublings = if self.doubles {
            number.saturating_sub(1) / DOUBLES_AFTER
        } else {
            0
        };
        let factor = 1_u64 << doublings.min(30);
        self.first.saturating_mul(factor).min(MOST_PART)
    }

    /// The size of the largest object that can be written, in bytes.
    #[must_use]
    pub fn largest_object(&self) -> u64 {
        let each =
            (0..MOST_PARTS / DOUBLES_AFTER).map(|thousand| self.size(thousand * DOUBLES_AFTER + 1) * DOUBLES_AFTER);
        each.sum()
    }
}

/// Where a part is kept.
#[derive(Debug, Clone)]
pub enum Store {
    /// In memory.
    Memory,
    /// In a file without a name, in this folder.
    File(PathBuf),
}

/// A part that is being filled.
pub struct Part {
    kept: Kept,
    length: u64,
    size: u64,
    md5: Md5,
    sha256: Option<Sha256>,
}

enum Kept {
    Memory(BytesMut),
    File(Arc<OwnedFd>),
}

/// A part, or a whole object, to be sent.
#[derive(Debug, Clone)]
pub struct Body {
    content: Content,
    /// Its MD5 sum.
    pub md5: [u8; 16],
    /// Its SHA-256 sum in hexadecimal, where the body is signed.
    pub sha256: Option<String>,
}

/// What is known of a body without its bytes.
#[derive(Debug, Clone, Copy)]
pub struct Summed {
    /// How many bytes it has.
    pub length: u64,
    /// Their MD5 sum.
    pub md5: [u8; 16],
}

#[derive(Debug, Clone)]
enum Content {
    Memory(Bytes),
    File(Arc<OwnedFd>, u64),
}

impl Part {
    /// An empty part for `size` bytes, with the memory of an earlier one. It is summed for a signature if `is_signed`.
    ///
    /// # Errors
    /// If no file can be made.
    pub fn new(size: u64, store: &Store, mut memory: BytesMut, is_signed: bool) -> Result<Self, Failure> {
        let kept = match store {
            Store::Memory => {
                memory.clear();
                memory.reserve(usize::try_from(size).unwrap_or(usize::MAX));
                Kept::Memory(memory)
            }
            Store::File(folder) => {
                let file = files::open_unnamed(folder);
                Kept::File(Arc::new(
                    file.map_err(|error| spool("cannot make", folder, error.into()))?,
                ))
            }
        };
        Ok(Self {
            kept,
            length: 0,
            size,
            md5: Md5::new(),
            sha256: is_signed.then(Sha256::new),
        })
    }

    /// Whether it has as many bytes as it may have.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.length >= self.size
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// How many bytes it has.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Takes as many bytes as there is room for; returns how many.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn fill(&mut self, slices: &[IoSlice<'_>]) -> Result<usize, Failure> {
        let mut taken = 0;
        for slice in slices {
            let room = usize::try_from(self.size - self.length).unwrap_or(usize::MAX);
            let bytes = &slice[..slice.len().min(room)];
            match &mut self.kept {
                Kept::Memory(memory) => memory.extend_from_slice(bytes),
                Kept::File(file) => files::write_all(file, bytes).map_err(|error| {
                    let operation = "cannot keep a part in a file";
                    Failure::io(Kind::Sink, operation, error)
                })?,
            }
            self.md5.update(bytes);
            if let Some(sha256) = &mut self.sha256 {
                sha256.update(bytes);
            }
            self.length += bytes.len() as u64;
            taken += bytes.len();
        }
        Ok(taken)
    }

    /// Ends it.
    #[must_use]
    pub fn finish(self) -> Body {
        Body {
            content: match self.kept {
                Kept::Memory(memory) => Content::Memory(memory.freeze()),
                Kept::File(file) => Content::File(file, self.length),
            },
            md5: self.md5.finalize().into(),
            sha256: self.sha256.map(|sum| hex(&sum.finalize())),
        }
    }
}

impl Body {
    /// How many bytes it has.
    #[must_use]
    pub fn length(&self) -> u64 {
        match &self.content {
            Content::Memory(bytes) => bytes.len() as u64,
            Content::File(_, length) => *length,
        }
    }

    /// Its length and sum.
    #[must_use]
    pub fn summed(&self) -> Summed {
        Summed {
            length: self.length(),
            md5: self.md5,
        }
    }

    /// All of it, if it is in memory.
    #[must_use]
    pub fn bytes(&self) -> Option<&Bytes> {
        match &self.content {
            Content::Memory(bytes) => Some(bytes),
            Content::File(..) => None,
        }
    }

    /// The bytes from an offset on, as many as are sent at once.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn piece(&self, from: u64) -> Result<Bytes, Failure> {
        match &self.content {
            Content::Memory(bytes) => Ok(bytes.slice(usize::try_from(from).unwrap_or(usize::MAX).min(bytes.len())..)),
            Content::File(file, length) => {
                let room = usize::try_from(length - from).map_or(PIECE, |left| left.min(PIECE));
                let mut piece = vec![0; room];
                let read = files::pread(file, &mut piece, from).and_then(files::moved);
                let read = read.map_err(|error| Failure::io(Kind::Sink, "cannot read the file of a part", error))?;
                piece.truncate(read);
                Ok(piece.into())
            }
        }
    }

    /// Its memory, to be used again; empty if it was in a file, or if somebody else holds it.
    #[must_use]
    pub fn into_memory(self) -> BytesMut {
        match self.content {
            Content::Memory(bytes) => bytes.try_into_mut().unwrap_or_default(),
            Content::File(..) => BytesMut::new(),
        }
    }
}

fn spool(what: &str, folder: &Path, error: std::io::Error) -> Failure {
    let folder = crate::error::shown(folder.as_os_str().as_encoded_bytes());
    let operation = format!("{what} a file for a part in {folder} (TMPDIR)");
    Failure::io(Kind::Sink, operation, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_grow_with_the_object() {
        let unknown = PartSizes::new(LEAST_PART, None);
        let sizes = [1, 1000, 1001, 2000, 2001, 9001, 10_000].map(|number| unknown.size(number) >> 20);
        assert_eq!(sizes, [5, 5, 10, 10, 20, 2560, 2560]);
        assert_eq!(unknown.largest_object(), 1023 * 1000 * LEAST_PART);
        let known = |size| PartSizes::new(LEAST_PART, Some(size));
        assert_eq!(known(0).size(9999), LEAST_PART);
        assert_eq!(known(LEAST_PART * MOST_PARTS).size(1), LEAST_PART);
        assert_eq!(known(LEAST_PART * MOST_PARTS + 1).size(1), 6 << 20);
        for size in [1 << 30, 123_456_789_012, 5 << 40] {
            let sizes = known(size);
            assert!(sizes.size(1) * MOST_PARTS >= size && sizes.size(1) == sizes.size(MOST_PARTS));
        }
    }

    #[test]
    fn both_stores_give_the_same_body() {
        let folder = tempfile::tempdir().expect("a folder");
        let bytes: Vec<u8> = (0..200_000_u32).map(|at| (at % 251) as u8).collect();
        let [memory, file] = [Store::Memory, Store::File(folder.path().to_owned())].map(|store| {
            let mut part = Part::new(150_000, &store, BytesMut::new(), true).expect("made");
            let slices = [IoSlice::new(&bytes[..100_000]), IoSlice::new(&bytes[100_000..])];
            assert_eq!(part.fill(&slices).expect("filled"), 150_000);
            assert!(part.is_full());
            part.finish()
        });
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
        assert_eq!((memory.md5, &memory.sha256), (file.md5, &file.sha256));
        let read = |body: &Body| {
            let mut all = Vec::new();
            while (all.len() as u64) < body.length() {
                all.extend_from_slice(&body.piece(all.len() as u64).expect("read"));
            }
            all
        };
        assert!(read(&memory) == bytes[..150_000] && read(&file) == bytes[..150_000]);
        assert!(memory.into_memory().capacity() >= 150_000);
    }
}
