//! The files that have had a name: rotation gives them other names in the same folder.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::state::Identity;

/// Ends of names of compressed files, which are not read.
const COMPRESSED: [&str; 6] = ["gz", "bz2", "xz", "zst", "lz4", "Z"];

/// What follows a file that was read to its end.
pub enum Next {
    /// It has the name, or nothing has it yet.
    Same,
    /// The file that had the name after it.
    File(File, Identity),
}

/// Opens a file; `None` if there is none.
pub fn open(path: &Path) -> io::Result<Option<(File, Identity)>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let identity = Identity::of(&file)?;
    Ok(Some((file, identity)))
}

/// The file that a state is about, whatever its name is by now.
pub fn find(path: &Path, wanted: &Identity) -> io::Result<Option<(File, Identity)>> {
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

/// What follows the file `current`, which is open.
pub fn next(path: &Path, current: &Identity) -> io::Result<Next> {
    // A rotation between the look and the opening leads to the wrong file; then it is done again.
    loop {
        let place = place_of(path, current)?;
        let successor = match &place {
            Place::Name => return Ok(Next::Same),
            Place::Behind(successor) => successor,
        };
        let Some((file, identity)) = open(successor)? else {
            if place_of(path, current)? == place {
                return Ok(Next::Same);
            }
            continue;
        };
        if place_of(path, current)? == place {
            return Ok(Next::File(file, identity));
        }
    }
}

/// Where a file is among its neighbours.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// It has the name.
    Name,
    /// The file behind it has this one.
    Behind(PathBuf),
}

fn place_of(path: &Path, current: &Identity) -> io::Result<Place> {
    let is_current = |path: &Path| std::fs::metadata(path).is_ok_and(|found| current.has(&found));
    if is_current(path) {
        return Ok(Place::Name);
    }
    let all = neighbours(path)?;
    let Some(own) = all.iter().find(|neighbour| is_current(neighbour)) else {
        return Ok(Place::Behind(path.to_owned()));
    };
    // NAME.3, NAME.2, NAME.1, NAME: the numbers grow with each rotation.
    if let Some(number) = number(path, own) {
        return Ok(Place::Behind(if number <= 1 {
            let zero = numbered(path, 0);
            if number == 1 && zero.exists() {
                zero
            } else {
                path.to_owned()
            }
        } else {
            numbered(path, number - 1)
        }));
    }
    let changed = |path: &Path| std::fs::metadata(path).map_or(SystemTime::UNIX_EPOCH, |found| modified(&found));
    let since = (changed(own), own.clone());
    let mut later: Vec<(SystemTime, PathBuf)> = (all.into_iter())
        .filter(|neighbour| neighbour != path)
        .map(|neighbour| (changed(&neighbour), neighbour))
        .filter(|neighbour| *neighbour > since)
        .collect();
    later.sort();
    let first = later.into_iter().next().map(|(_, neighbour)| neighbour);
    Ok(Place::Behind(first.unwrap_or_else(|| path.to_owned())))
}

fn modified(found: &std::fs::Metadata) -> SystemTime {
    found.modified().unwrap_or(SystemTime::UNIX_EPOCH)
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
    let entries = match std::fs::read_dir(folder.unwrap_or(Path::new("."))) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let of_entry = path.file_name().unwrap_or_default();
        let is_packed = path
            .extension()
            .is_some_and(|end| COMPRESSED.iter().any(|known| end == OsStr::new(known)));
        let is_file = || std::fs::symlink_metadata(&path).is_ok_and(|found| found.is_file() && found.nlink() > 0);
        if of_entry.as_bytes().starts_with(name.as_bytes()) && !is_packed && is_file() {
            found.push(path);
        }
    }
    Ok(found)
}
