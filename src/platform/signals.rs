//! The signals that end a run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGXFSZ};

/// Interrupt, terminate and hang-up: the signals that end a run after a roll-back.
pub const TERMINATING: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];

/// Whether the process was started with `signal` ignored, as by `nohup`; then it stays ignored.
#[must_use]
pub fn is_ignored(signal: i32) -> bool {
    #[allow(unsafe_code, reason = "sigaction with a null action only reads")]
    unsafe {
        let mut action = std::mem::zeroed::<libc::sigaction>();
        libc::sigaction(signal, std::ptr::null(), &raw mut action) == 0 && action.sa_sigaction == libc::SIG_IGN
    }
}

/// Prepares the signals that do not end a run: `SIGUSR1` sets `asked`, and a write beyond the file-size limit fails
/// with `EFBIG` instead of killing the process.
pub fn prepare_signals(asked: &Arc<AtomicBool>) {
    // If that fails, the signals keep their default action, which is no reason not to run.
    let _ = signal_hook::flag::register(SIGUSR1, asked.clone());
    let _ = signal_hook::flag::register(SIGXFSZ, Arc::default());
}

/// The number of the last terminating signal, or 0: from now on they only set this. A signal that was ignored when the
/// process started stays ignored.
#[must_use]
pub fn pending_signal() -> Arc<AtomicUsize> {
    let pending = Arc::default();
    for signal in TERMINATING.into_iter().filter(|signal| !is_ignored(*signal)) {
        // If that fails, the signal keeps its default action.
        let _ = signal_hook::flag::register_usize(signal, Arc::clone(&pending), signal.unsigned_abs() as usize);
    }
    pending
}

/// Raises SIGINT in this process alone, as Ctrl-C does.
pub fn interrupt_this_process() {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::INT);
}

/// Ends the process as `signal` would have, so that a shell sees it.
pub fn end_as(signal: i32) -> ! {
    super::release_keyboard();
    let _ = signal_hook::low_level::emulate_default_handler(signal);
    std::process::exit(128 + signal);
}
