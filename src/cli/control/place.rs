//! The folders of one user's control sockets.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode};
use rustix::io::Errno;

use crate::error::shown;
use crate::platform::files;

/// The folders that a run tries in turn, the user's own runtime folder first. A client looks in all of them, because
/// the run may have been started in another environment.
pub fn folders() -> Vec<PathBuf> {
    let user = rustix::process::geteuid().as_raw();
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let runtime = runtime
        .filter(|path| path.is_absolute())
        .map(|path| path.join("highwater"));
    let temporary = [std::env::temp_dir(), PathBuf::from("/tmp")].map(|path| path.join(format!("highwater-{user}")));
    let mut folders: Vec<PathBuf> = runtime.into_iter().chain(temporary).collect();
    folders.dedup();
    folders
}

/// The socket of one process in a folder.
pub fn socket(folder: &Path, pid: u32) -> PathBuf {
    folder.join(format!("{pid}.sock"))
}

/// The process that a socket's name belongs to.
pub fn process_of(socket: &Path) -> Option<u32> {
    let name = socket.file_name()?.to_str()?;
    name.strip_suffix(".sock")?.parse().ok()
}

/// Creates the folder for this user alone, or accepts an existing one.
pub fn prepare(folder: &Path) -> Result<(), String> {
    match files::make_private_folder(folder) {
        Ok(()) | Err(Errno::EXIST) => check(folder),
        Err(error) => Err(format!(
            "{}: {}",
            shown(folder.as_os_str().as_bytes()),
            std::io::Error::from(error)
        )),
    }
}

/// Checks that only this user can write to the folder. In a world-writable place another user may have created it
/// first.
pub fn check(folder: &Path) -> Result<(), String> {
    let refused = |why: &str| Err(format!("{}: {why}", shown(folder.as_os_str().as_bytes())));
    let stat = match files::lstat(folder) {
        Ok(stat) => stat,
        Err(error) => return refused(&std::io::Error::from(error).to_string()),
    };
    let others = Mode::RWXG | Mode::RWXO;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        refused("it is not a folder")
    } else if stat.st_uid != rustix::process::geteuid().as_raw() {
        refused("it belongs to another user")
    } else if Mode::from_raw_mode(stat.st_mode).intersects(others) {
        refused("other users may access it")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn control_folder_is_private() {
        let place = tempfile::tempdir().expect("a folder");
        let folder = place.path().join("highwater");
        assert_eq!(prepare(&folder), Ok(()));
        assert_eq!(prepare(&folder), Ok(()), "and found again");
        let mode = std::fs::metadata(&folder).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn shared_control_folder_is_refused() {
        let place = tempfile::tempdir().expect("a folder");
        let open = place.path().join("open");
        std::fs::create_dir(&open).expect("made");
        std::fs::set_permissions(&open, PermissionsExt::from_mode(0o755)).expect("set");
        let link = place.path().join("link");
        symlink(place.path(), &link).expect("made");
        let file = place.path().join("file");
        std::fs::write(&file, "").expect("written");
        for (path, why) in [
            (&open, "other users may access it"),
            (&link, "not a folder"),
            (&file, "not a folder"),
        ] {
            let refused = prepare(path).expect_err("refused");
            assert!(refused.ends_with(why), "{refused}");
        }
        assert!(check(&place.path().join("missing")).is_err());
    }

    #[test]
    fn a_socket_has_its_processes_number() {
        let path = socket(Path::new("/run/highwater"), 123);
        assert_eq!(path, Path::new("/run/highwater/123.sock"));
        assert_eq!(process_of(&path), Some(123));
        assert_eq!(process_of(Path::new("/run/highwater/x.sock")), None);
    }
}
