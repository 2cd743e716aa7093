//! The files that have had a name: rotation gives them other names in the same folder.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::platform::{FileStamp, files};

use super::state::{FollowedFile, Identity, Place};

/// What follows a file that was read to its end.
pub enum Next {
    /// It has the name, or nothing has it yet.
    Same,
    /// The file that had the name after it.
    File(FollowedFile, Identity),
    /// There is one, which may not be read yet: its rights come later than its name.
    Closed(PathBuf),
}

/// The path of the file that a path stands for: a link's own folder does not show how its target is rotated.
pub fn target(path: &Path) -> PathBuf {
    files::follow_links(path).unwrap_or_else(|_| path.to_owned())
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
    let path = &target(path);
    loop {
        let all = neighbours(path)?;
        let Some(named) = all
            .iter()
            .find(|neighbour| wanted.may_be_at(neighbour.device, neighbour.inode))
        else {
            return Ok(None);
        };
        match open(&named.path)? {
            Some((file, identity)) if identity.is_at(named.device, named.inode) => {
                return Ok(wanted.is_of(&file).then_some((file, identity)));
            }
            // It was renamed meanwhile.
            _ => {}
        }
    }
}

/// Where to go on if the file of a state is not there any more, or was not there yet, with the offset there: in a copy of it,
/// as copytruncate makes, or at the oldest of the rotated files that was changed after the state was written, but for those that are known.
pub fn instead_of(
    lost: Option<&Place>,
    since: Changed,
    path: &Path,
    known: &[Identity],
) -> io::Result<Option<(FollowedFile, Identity, u64)>> {
    let path = &target(path);
    let mut later = Vec::new();
    for neighbour in unknown(neighbours(path)?, known) {
        let Some((file, identity)) = open(&neighbour)?.filter(|_| is_rotated(path, &neighbour)) else {
            continue;
        };
        if let Some(lost) = lost
            && !lost.identity.is_short()
            && lost.identity.is_of(&file)
            && file.size()? >= lost.offset
        {
            return Ok(Some((file, identity, lost.offset)));
        }
        later.push((file.changed()?, neighbour));
    }
    // The clock of a file system goes in steps of milliseconds: what has the time of the state came after it, too, for what was
    // there before is known.
    later.retain(|(changed, _)| *changed >= since);
    let oldest = later.into_iter().min();
    let opened = oldest.map(|(_, path)| open(&path)).transpose()?.flatten();
    Ok(opened.map(|(file, identity)| (file, identity, 0)))
}

/// What follows the file `current`, which is open and was changed last at that time. Of files that are known only the one that
/// has the name does.
pub fn next(path: &Path, current: &Identity, last: Changed, known: &[Identity]) -> io::Result<Next> {
    // A rotation between the look and the opening leads to the wrong file; then it is done again.
    loop {
        let files = behind(path, current, last, known)?;
        let Some(successor) = files.first() else {
            return Ok(Next::Same);
        };
        let (file, identity) = match open(successor) {
            Ok(Some(opened)) => opened,
            Ok(None) if behind(path, current, last, known)? == files => return Ok(Next::Same),
            Ok(None) => continue,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Ok(Next::Closed(successor.clone()));
            }
            Err(error) => return Err(error),
        };
        if behind(path, current, last, known)? == files {
            // A writer may go on with the old file until it has been told to open the new one.
            if files.len() == 1 && file.size()? == 0 {
                return Ok(Next::Same);
            }
            return Ok(Next::File(file, identity));
        }
    }
}

/// How many bytes the files have that follow the file `current`, which was changed last at that time.
pub fn bytes_after(path: &Path, current: &Identity, last: Changed, known: &[Identity]) -> io::Result<u64> {
    let files = behind(path, current, last, known)?;
    let size = |path: &PathBuf| files::stat(path).map_or(0, |found| u64::try_from(found.st_size).unwrap_or(0));
    Ok(files.iter().map(size).sum())
}

/// When a file was changed last: seconds and nanoseconds.
pub type Changed = (i64, u64);

/// See [`Changed`].
pub fn changed(found: &Stat) -> Changed {
    let stamp = FileStamp::of(found);
    (stamp.modified_s, stamp.modified_ns)
}

/// The files that had the name after the file `current`, the next one first and last the one that has it now; none if that
/// is itself. Those that are known came before it, whenever they were changed.
fn behind(path: &Path, current: &Identity, last: Changed, known: &[Identity]) -> io::Result<Vec<PathBuf>> {
    // Mostly nothing has happened, and the folder may be large.
    if files::stat(path).is_ok_and(|named| current.is_at(named.st_dev, named.st_ino)) {
        return Ok(Vec::new());
    }
    let path = &target(path);
    let is_current = |neighbour: &&Neighbour| current.is_at(neighbour.device, neighbour.inode);
    let all = neighbours(path)?;
    let own = all.iter().find(is_current).map(|own| own.path.clone());
    let all = unknown(all, known);
    let mut behind: Vec<PathBuf> = if let Some(own) = own.as_ref().and_then(|own| number(path, own)) {
        // NAME.3, NAME.2, NAME.1, NAME: the numbers grow with each rotation. One of them is missing during a rotation.
        let numbers = all
            .into_iter()
            .filter_map(|path_of| Some((number(path, &path_of)?, path_of)));
        let mut smaller: Vec<_> = numbers.filter(|(number, _)| *number < own).collect();
        smaller.sort();
        smaller.into_iter().rev().map(|(_, path)| path).collect()
    } else {
        // By their times; so too where it was removed.
        let since = (last, own.unwrap_or_default());
        let time_of = |path: &Path| files::stat(path).map_or((0, 0), |found| changed(&found));
        let rotated = all.filter(|neighbour| is_rotated(path, neighbour));
        let mut later: Vec<_> = rotated
            .map(|neighbour| (time_of(&neighbour), neighbour))
            .filter(|neighbour| *neighbour > since)
            .collect();
        later.sort();
        later.into_iter().map(|(_, neighbour)| neighbour).collect()
    };
    behind.push(path.to_owned());
    Ok(behind)
}

/// The paths of those that are not known.
fn unknown(all: Vec<Neighbour>, known: &[Identity]) -> impl Iterator<Item = PathBuf> {
    let all = all.into_iter().filter(|neighbour| {
        let mut known = known.iter();
        !known.any(|known| known.is_at(neighbour.device, neighbour.inode))
    });
    all.map(|neighbour| neighbour.path)
}

/// Whether a neighbour has a name that rotation gives: NAME.1, NAME-20261127. Others may be the state, or anything.
fn is_rotated(path: &Path, neighbour: &Path) -> bool {
    let end = path
        .file_name()
        .zip(neighbour.file_name())
        .and_then(|(name, neighbour)| neighbour.as_bytes().strip_prefix(name.as_bytes()));
    let Some([b'.' | b'-' | b'_', date @ ..]) = end else {
        return false;
    };
    // A compressed one, or one of sums, has more behind it.
    let is_part = |byte: &u8| byte.is_ascii_digit() || b"-_.:T".contains(byte);
    date.first().is_some_and(u8::is_ascii_digit) && date.iter().all(is_part)
}

/// The number behind the name, unless it is a date.
fn number(path: &Path, neighbour: &Path) -> Option<u64> {
    const LARGEST: u64 = 99_999;
    let name = path.file_name()?.as_bytes();
    let digits = neighbour
        .file_name()?
        .as_bytes()
        .strip_prefix(name)?
        .strip_prefix(b".")?;
    let number = std::str::from_utf8(digits).ok()?.parse().ok();
    number.filter(|number| *number <= LARGEST)
}

/// A regular file whose name begins with the name.
#[derive(Debug, PartialEq, Eq)]
struct Neighbour {
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// All of them, the name itself included, as they were at one moment.
fn neighbours(path: &Path) -> io::Result<Vec<Neighbour>> {
    // A rotation renames one file after the other, and a folder that is read meanwhile may not show some of them.
    const TRIES: usize = 100;
    let mut found = seen(path)?;
    for _ in 0..TRIES {
        let again = seen(path)?;
        if again == found {
            break;
        }
        found = again;
    }
    Ok(found)
}

fn seen(path: &Path) -> io::Result<Vec<Neighbour>> {
    let name = path.file_name().unwrap_or_default();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let entries = match files::entries(folder.unwrap_or(Path::new("."))) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        // Only the name can be looked at.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => vec![path.to_owned()],
        Err(error) => return Err(error),
    };
    let mut all = Vec::new();
    for entry in entries {
        let of_entry = entry.file_name().unwrap_or_default();
        if !of_entry.as_bytes().starts_with(name.as_bytes()) {
            continue;
        }
        let Ok(found) = files::lstat(&entry) else { continue };
        if FileType::from_raw_mode(found.st_mode).is_file() {
            all.push(Neighbour {
                path: if of_entry == name { path.to_owned() } else { entry },
                device: found.st_dev,
                inode: found.st_ino,
            });
        }
    }
    all.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(all)
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
        assert!(matches!(
            next(&path, &current, (0, 0), &[]).expect("it works"),
            Next::Same
        ));
        std::fs::write(&path, "1\n").expect("it works");
        assert!(matches!(
            next(&path, &current, (0, 0), &[]).expect("it works"),
            Next::File(..)
        ));
    }

    #[test]
    fn file_of_the_same_tick_as_the_state_is_not_skipped() {
        let folder = tempfile::tempdir().expect("it works");
        let (path, rotated) = (folder.path().join("log"), folder.path().join("log.1"));
        std::fs::write(&rotated, "0\n").expect("it works");
        let (file, identity) = open(&rotated).expect("it works").expect("there");
        let (seconds, nanoseconds) = file.changed().expect("it works");
        let found = |since, known: &[Identity]| instead_of(None, since, &path, known).expect("it works").is_some();
        assert!(found((seconds, nanoseconds), &[]));
        assert!(!found((seconds, nanoseconds + 1), &[]));
        assert!(!found((seconds, nanoseconds), &[identity]), "it was read before");
    }

    #[test]
    fn files_behind_come_in_the_order_of_their_numbers() {
        let folder = tempfile::tempdir().expect("it works");
        let path = folder.path().join("log");
        let named = |name: &str| folder.path().join(name);
        for (name, bytes) in [
            ("log.10", 1),
            ("log.9", 20),
            ("log.2", 300),
            ("log.20261127", 5),
            ("log.gz", 7),
            ("log", 4000),
        ] {
            std::fs::write(named(name), vec![b'x'; bytes]).expect("it works");
        }
        let (_, current) = open(&named("log.10")).expect("it works").expect("it works");
        let files = behind(&path, &current, (0, 0), &[]).expect("it works");
        assert_eq!(files, ["log.9", "log.2", "log"].map(named));
        assert_eq!(bytes_after(&path, &current, (0, 0), &[]).expect("it works"), 4320);
        let (_, current) = open(&path).expect("it works").expect("it works");
        assert_eq!(bytes_after(&path, &current, (0, 0), &[]).expect("it works"), 0);
    }

    #[test]
    fn only_rotated_names_come_next() {
        let path = Path::new("a/app.log");
        for name in ["app.log.1", "app.log-20261127", "app.log_2026-11-27"] {
            assert!(is_rotated(path, &Path::new("a").join(name)), "{name}");
        }
        for name in [
            "app.log",
            "app.log.state",
            "app.log.conf",
            "app.log2",
            "other.1",
            "app.log.1.gz",
            "app.log.2026-11-27.zip",
        ] {
            assert!(!is_rotated(path, &Path::new("a").join(name)), "{name}");
        }
    }
}
