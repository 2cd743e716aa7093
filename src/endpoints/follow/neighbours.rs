//! The files that have had a name: rotation gives them other names in the same folder.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::platform::{FileStamp, files};

use super::state::{FollowedFile, Identity};

/// Ends of names of compressed files, which are not read.
const COMPRESSED: [&str; 6] = ["gz", "bz2", "xz", "zst", "lz4", "Z"];

/// What follows a file that was read to its end.
pub enum Next {
    /// It has the name, or nothing has it yet.
    Same,
    /// The file that had the name after it.
    File(FollowedFile, Identity),
}

/// Opens a file; `None` if there is none.
pub fn open(path: &Path) -> io::Result<Option<(FollowedFile, Identity)>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let file = match files::open(path, flags, Mode::empty()) {
        Ok(file) => FollowedFile(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let identity = Identity::of(&file)?;
    Ok(Some((file, identity)))
}

/// The file that a state is about, whatever its name is by now.
pub fn find(path: &Path, wanted: &Identity) -> io::Result<Option<(FollowedFile, Identity)>> {
    for neighbour in neighbours(path)? {
        if let Some((file, identity)) = open(&neighbour)?
            && wanted.is_same_file(&identity)
            && wanted.is_of(&file)
        {
            return Ok(Some((file, identity)));
        }
    }
    Ok(None)
}

/// What follows the file `current`, which is open and was changed last at that time.
pub fn next(path: &Path, current: &Identity, last: Changed) -> io::Result<Next> {
    // A rotation between the look and the opening leads to the wrong file; then it is done again.
    loop {
        let place = place_of(path, current, last)?;
        let successor = match &place {
            Place::Name => return Ok(Next::Same),
            Place::Behind(successor) => successor,
        };
        let Some((file, identity)) = open(successor)? else {
            if place_of(path, current, last)? == place {
                return Ok(Next::Same);
            }
            continue;
        };
        if place_of(path, current, last)? == place {
            // A writer may go on with the old file until it has been told to open the new one.
            if successor == path && file.size()? == 0 {
                return Ok(Next::Same);
            }
            return Ok(Next::File(file, identity));
        }
    }
}

/// The bytes of all files that had the name after `current`, which was changed last at that time.
pub fn bytes_after(path: &Path, mut current: Identity, mut last: Changed) -> io::Result<u64> {
    /// More than any rotation keeps; renames in the meantime must not lead in a circle.
    const MOST: usize = 10_000;
    let mut bytes = 0;
    for _ in 0..MOST {
        let Place::Behind(successor) = place_of(path, &current, last)? else {
            break;
        };
        let found = match files::stat(&successor) {
            Ok(found) => found,
            Err(Errno::NOENT) => break,
            Err(error) => return Err(error.into()),
        };
        bytes += u64::try_from(found.st_size).unwrap_or(0);
        (current, last) = (Identity::found(&found), changed(&found));
    }
    Ok(bytes)
}

/// When a file was changed last: seconds and nanoseconds.
pub type Changed = (i64, u64);

/// See [`Changed`].
pub fn changed(found: &Stat) -> Changed {
    let stamp = FileStamp::of(found);
    (stamp.modified_s, stamp.modified_ns)
}

/// Where a file is among its neighbours.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// It has the name.
    Name,
    /// The file behind it has this one.
    Behind(PathBuf),
}

fn place_of(path: &Path, current: &Identity, last: Changed) -> io::Result<Place> {
    let is_current = |path: &Path| files::stat(path).is_ok_and(|found| current.has(&found));
    if is_current(path) {
        return Ok(Place::Name);
    }
    let all = neighbours(path)?;
    let own = all.iter().find(|neighbour| is_current(neighbour)).cloned();
    // NAME.3, NAME.2, NAME.1, NAME: the numbers grow with each rotation.
    if let Some(number) = own.as_ref().and_then(|own| number(path, own)) {
        return Ok(Place::Behind(if number <= 1 {
            let zero = numbered(path, 0);
            if number == 1 && files::stat(&zero).is_ok() {
                zero
            } else {
                path.to_owned()
            }
        } else {
            numbered(path, number - 1)
        }));
    }
    // By their times; so too where it was removed.
    let since = (last, own.unwrap_or_default());
    let time_of = |path: &Path| files::stat(path).map_or((0, 0), |found| changed(&found));
    let mut later: Vec<_> = (all.into_iter())
        .filter(|neighbour| is_rotated(path, neighbour))
        .map(|neighbour| (time_of(&neighbour), neighbour))
        .filter(|neighbour| *neighbour > since)
        .collect();
    later.sort();
    let first = later.into_iter().next().map(|(_, neighbour)| neighbour);
    Ok(Place::Behind(first.unwrap_or_else(|| path.to_owned())))
}

/// Whether a neighbour has a name that rotation gives: NAME.1, NAME-20261127. Others may be the state, or anything.
fn is_rotated(path: &Path, neighbour: &Path) -> bool {
    let end = path
        .file_name()
        .zip(neighbour.file_name())
        .and_then(|(name, neighbour)| neighbour.as_bytes().strip_prefix(name.as_bytes()));
    matches!(end, Some([b'.' | b'-' | b'_', digit, ..]) if digit.is_ascii_digit())
}

/// The number behind the name.
fn number(path: &Path, neighbour: &Path) -> Option<u64> {
    let name = path.file_name()?.as_bytes();
    let digits = neighbour
        .file_name()?
        .as_bytes()
        .strip_prefix(name)?
        .strip_prefix(b".")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn numbered(path: &Path, number: u64) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

/// The regular files whose names begin with the name, itself included; compressed ones are left out.
fn neighbours(path: &Path) -> io::Result<Vec<PathBuf>> {
    let name = path.file_name().unwrap_or_default();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let entries = match files::entries(folder.unwrap_or(Path::new("."))) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for path in entries {
        let of_entry = path.file_name().unwrap_or_default();
        let is_packed = path
            .extension()
            .is_some_and(|end| COMPRESSED.iter().any(|known| end == OsStr::new(known)));
        let is_file = || files::lstat(&path).is_ok_and(|found| FileType::from_raw_mode(found.st_mode).is_file());
        if of_entry.as_bytes().starts_with(name.as_bytes()) && !is_packed && is_file() {
            found.push(path);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_successor_is_not_entered() {
        let folder = tempfile::tempdir().expect("it works");
        let (path, old) = (folder.path().join("log"), folder.path().join("log.1"));
        std::fs::write(&old, "0\n").expect("it works");
        std::fs::write(&path, "").expect("it works");
        let (_, current) = open(&old).expect("it works").expect("it works");
        assert!(matches!(next(&path, &current, (0, 0)).expect("it works"), Next::Same));
        std::fs::write(&path, "1\n").expect("it works");
        assert!(matches!(
            next(&path, &current, (0, 0)).expect("it works"),
            Next::File(..)
        ));
    }

    #[test]
    fn only_rotated_names_come_next() {
        let path = Path::new("a/app.log");
        for name in ["app.log.1", "app.log-20261127", "app.log_2026-11-27"] {
            assert!(is_rotated(path, &Path::new("a").join(name)), "{name}");
        }
        for name in ["app.log", "app.log.state", "app.log.conf", "app.log2", "other.1"] {
            assert!(!is_rotated(path, &Path::new("a").join(name)), "{name}");
        }
    }
}
