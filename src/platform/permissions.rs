//! Which permissions new files get.

use std::sync::OnceLock;

use rustix::fs::Mode;

/// The process's umask. The system tells it only by changing it, so the first call must come before any thread starts.
pub fn creation_mask() -> Mode {
    static MASK: OnceLock<Mode> = OnceLock::new();
    *MASK.get_or_init(|| {
        let mask = rustix::process::umask(Mode::empty());
        rustix::process::umask(mask);
        mask
    })
}
