//! Checks before a byte is read that a file can be replaced.

use rustix::fs::{Access, Mode, Stat};
use rustix::io::Errno;

use crate::error::{Failure, Kind};
use crate::platform::{FileId, files};

use super::target::Target;

/// The help for a file that can be written to but not replaced.
const HELP: &str = "in-place=true writes to it where it is";

/// Checks that the file can be replaced, or a new one created there, as far as can be seen. `meant` is the file that
/// the system finds under the name that the user wrote.
///
/// # Errors
/// The obstacle, and how to get around it.
pub fn check(target: &Target, meant: Option<&Stat>) -> Result<(), Failure> {
    if meant.map(FileId::of) != target.old.as_ref().map(FileId::of) {
        let why = "its name is a descriptor of another process";
        return Err(irreplaceable(format!("{why}; {HELP}")));
    }
    if let Some(old) = &target.old {
        // A user who may write to the folder could still replace the file, and so circumvent its permissions.
        let may_write = files::access(&target.folder, &target.name, Access::WRITE_OK);
        may_write.map_err(|error| match error {
            Errno::ACCESS | Errno::PERM => Failure::io(Kind::Sink, "will not replace what you may not write to", error),
            error => Failure::io(Kind::Sink, "cannot create", error),
        })?;
        let guards = files::guards(&target.folder, &target.name);
        if guards.is_mount_point {
            return Err(irreplaceable(format!("something is mounted there; {HELP}")));
        }
        if guards.is_append_only {
            return Err(irreplaceable(
                "it can only grow (chattr +a); append=true lets it".to_owned(),
            ));
        }
        if guards.is_immutable {
            return Err(irreplaceable("it is immutable (chattr +i)".to_owned()));
        }
        if is_kept_by_sticky_folder(target, old.st_uid)? {
            let why = "it belongs to another user, and so does the folder, which is sticky";
            return Err(irreplaceable(format!("{why}; {HELP}")));
        }
    }
    let may_change = files::access(&target.folder, ".", Access::WRITE_OK | Access::EXEC_OK);
    may_change.map_err(|error| uncreatable(target, error))?;
    if files::guards(&target.folder, ".").is_append_only {
        let why = "nothing in its folder can be renamed (chattr +a)";
        return Err(irreplaceable(format!("{why}; {HELP}")));
    }
    Ok(())
}

/// The failure if no new file can be created beside the target.
pub fn uncreatable(target: &Target, error: Errno) -> Failure {
    let is_forbidden = matches!(
        error,
        Errno::ACCESS | Errno::PERM | Errno::ROFS | Errno::NOENT | Errno::OPNOTSUPP
    );
    let operation = if target.old.is_some() && is_forbidden {
        format!("cannot make a new file beside it ({HELP})")
    } else {
        "cannot create".to_owned()
    };
    Failure::io(Kind::Sink, operation, error)
}

fn irreplaceable(why: String) -> Failure {
    Failure::because(Kind::Sink, "cannot replace it", why)
}

/// In a sticky folder only the owners of the file and of the folder may replace the name: see unlink(2).
fn is_kept_by_sticky_folder(target: &Target, owner: u32) -> Result<bool, Failure> {
    let folder = files::fstat(&target.folder).map_err(|error| Failure::io(Kind::Sink, "cannot create", error))?;
    let user = rustix::process::geteuid().as_raw();
    Ok(Mode::from_raw_mode(folder.st_mode).contains(Mode::SVTX)
        && user != owner
        && user != folder.st_uid
        && !files::acts_for_owners())
}
