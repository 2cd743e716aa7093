//! How much the writer of a followed file is ahead of its reader.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::stage::Backlog;

use super::neighbours;
use super::state::{FollowedFile, Identity};

/// The position of the reader, from which the bytes ahead of it are counted.
#[derive(Debug)]
pub struct Ahead {
    path: PathBuf,
    current: Mutex<Option<Place>>,
}

#[derive(Debug)]
struct Place {
    file: Arc<FollowedFile>,
    identity: Identity,
    offset: u64,
}

impl Ahead {
    /// Of a file that is not read yet.
    pub fn new(path: PathBuf) -> Arc<Self> {
        Arc::new(Self {
            path,
            current: Mutex::default(),
        })
    }

    /// The reader goes on with that file.
    pub fn enter(&self, file: Arc<FollowedFile>, identity: Identity, offset: u64) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(Place { file, identity, offset });
    }

    /// The reader is at that offset of it.
    pub fn reach(&self, offset: u64) {
        if let Some(place) = &mut *self.current.lock().unwrap_or_else(PoisonError::into_inner) {
            place.offset = offset;
        }
    }
}

impl Backlog for Ahead {
    fn bytes(&self) -> Option<u64> {
        let (file, identity, offset) = {
            let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
            let place = current.as_ref()?;
            (place.file.clone(), place.identity, place.offset)
        };
        let left = file.size().ok()?.saturating_sub(offset);
        Some(left + neighbours::bytes_after(&self.path, &identity, file.changed().ok()?).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotated_files_are_counted() {
        let folder = tempfile::tempdir().expect("it works");
        let path = folder.path().join("log");
        let ahead = Ahead::new(path.clone());
        assert_eq!(ahead.bytes(), None);
        std::fs::write(&path, "0123456789").expect("it works");
        let (file, identity) = neighbours::open(&path).expect("it works").expect("there");
        ahead.enter(Arc::new(file), identity, 0);
        ahead.reach(4);
        assert_eq!(ahead.bytes(), Some(6));
        let rotated = |number: u32| folder.path().join(format!("log.{number}"));
        std::fs::rename(&path, rotated(2)).expect("it works");
        std::fs::write(rotated(1), "x".repeat(100)).expect("it works");
        assert_eq!(ahead.bytes(), Some(106));
        std::fs::write(&path, "x".repeat(1000)).expect("it works");
        assert_eq!(ahead.bytes(), Some(1106));
        std::fs::remove_file(rotated(1)).expect("it works");
        std::fs::remove_file(rotated(2)).expect("it works");
        assert_eq!(ahead.bytes(), Some(1006), "it is still open");
    }
}
