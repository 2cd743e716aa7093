//! How much the writer of a followed file is ahead of its reader.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::stage::Backlog;

use super::neighbours;
use super::state::{FollowedFile, Identity, Place};

/// The position of the reader, from which the bytes ahead of it are counted.
#[derive(Debug)]
pub struct Ahead {
    path: PathBuf,
    current: Mutex<Option<Current>>,
}

#[derive(Debug)]
struct Current {
    file: Arc<FollowedFile>,
    place: Place,
    /// Files before it.
    known: Vec<Identity>,
}

impl Ahead {
    /// Of a file that is not read yet.
    pub fn new(path: PathBuf) -> Arc<Self> {
        Arc::new(Self {
            path,
            current: Mutex::default(),
        })
    }

    /// The reader goes on with that file, which others came before.
    pub fn enter(&self, file: Arc<FollowedFile>, place: Place, known: Vec<Identity>) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(Current { file, place, known });
    }

    /// The reader is at that offset of it.
    pub fn reach(&self, offset: u64) {
        if let Some(current) = &mut *self.current.lock().unwrap_or_else(PoisonError::into_inner) {
            current.place.offset = offset;
        }
    }
}

impl Backlog for Ahead {
    fn bytes(&self) -> Option<u64> {
        let (file, place, known) = {
            let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
            let Current { file, place, known } = current.as_ref()?;
            (file.clone(), *place, known.clone())
        };
        let left = file.size().ok()?.saturating_sub(place.offset);
        let changed = file.changed().ok()?;
        Some(left + neighbours::bytes_after(&self.path, &place.identity, changed, &known).ok()?)
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
        ahead.enter(Arc::new(file), Place { offset: 0, identity }, Vec::new());
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
