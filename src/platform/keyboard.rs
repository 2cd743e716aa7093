//! The controlling terminal's keyboard, a key at a time.
//!
//! The terminal is lent: it is taken only in the foreground and only while nobody else has changed its modes, and it is
//! given back before the process stops and when it ends. Keys that raise signals still raise them.

use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};
use signal_hook::consts::{SIGCONT, SIGQUIT, SIGTSTP};
use signal_hook::low_level::{emulate_default_handler, pipe};

use super::signals::is_ignored;

/// A keyboard that may be read. One a process.
#[derive(Debug)]
pub struct Keyboard {
    tty: OwnedFd,
    /// Readable when one of the signals has come.
    bell: UnixStream,
    /// Whether the process is to stop: Ctrl-Z.
    stop: Arc<AtomicBool>,
    /// Whether it is to end with a core: Ctrl-\.
    quit: Arc<AtomicBool>,
}

/// The terminal, and how it was found.
#[derive(Debug)]
struct Lent {
    tty: OwnedFd,
    /// Its modes before it was taken; `None` while it is not.
    found: Option<Termios>,
}

/// What must be given back whatever way the process ends.
static LENT: Mutex<Option<Lent>> = Mutex::new(None);

/// How people type lines: a terminal without these is being used by somebody who has changed it, to ask for a password or
/// to show pages.
const ORDINARY: LocalModes = LocalModes::ICANON.union(LocalModes::ECHO);

impl Keyboard {
    /// The controlling terminal's keyboard, which is not taken yet; `None` where the process has none.
    #[must_use]
    pub fn open() -> Option<Self> {
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let tty = rustix::fs::open("/dev/tty", flags, Mode::empty()).ok()?;
        let (bell, ring) = UnixStream::pair().ok()?;
        bell.set_nonblocking(true).ok()?;
        let [stop, quit] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
        for (signal, flag) in [(SIGTSTP, Some(&stop)), (SIGQUIT, Some(&quit)), (SIGCONT, None)] {
            if is_ignored(signal) {
                continue;
            }
            if let Some(flag) = flag {
                signal_hook::flag::register(signal, flag.clone()).ok()?;
            }
            pipe::register(signal, ring.try_clone().ok()?).ok()?;
        }
        *lent() = Some(Lent {
            tty: tty.try_clone().ok()?,
            found: None,
        });
        Some(Self { tty, bell, stop, quit })
    }

    /// Takes the terminal, if this process has its foreground and nobody else uses it; answers whether it is ours.
    #[must_use]
    pub fn take(&self) -> bool {
        lent().as_mut().is_some_and(Lent::take)
    }

    /// Waits for keys, for `limit` at most. Reads nothing unless the terminal is taken, nor in the background.
    ///
    /// # Errors
    /// As poll(2): there is no waiting here.
    pub fn wait(&self, limit: Duration) -> io::Result<Vec<u8>> {
        let reads = lent().as_ref().is_some_and(Lent::is_readable);
        let mut polled = vec![PollFd::new(&self.bell, PollFlags::IN)];
        if reads {
            polled.push(PollFd::new(&self.tty, PollFlags::IN));
        }
        let waited = poll(&mut polled, Timespec::try_from(limit).ok().as_ref());
        let has_rung = !polled[0].revents().is_empty();
        match waited {
            Ok(0) | Err(Errno::INTR) => Ok(Vec::new()),
            Ok(_) if has_rung => {
                self.heed_signals();
                Ok(Vec::new())
            }
            Ok(_) => Ok(self.read()),
            Err(error) => Err(error.into()),
        }
    }

    /// Does what the signals ask for, with the terminal as it was found.
    fn heed_signals(&self) {
        let mut rung = [0; 64];
        while (&self.bell).read(&mut rung).is_ok_and(|count| count > 0) {}
        if self.quit.swap(false, Ordering::Relaxed) {
            give_back();
            let _ = emulate_default_handler(SIGQUIT);
        }
        if self.stop.swap(false, Ordering::Relaxed) {
            let was_taken = give_back();
            stop_this_process();
            if was_taken {
                let _ = self.take();
            }
        } else if lent().as_ref().is_some_and(|lent| lent.found.is_some()) {
            // It was stopped by the signal that nobody can heed, and the shell has used the terminal since.
            let _ = self.take();
        }
    }

    /// What was typed. A terminal that has gone is not asked again.
    fn read(&self) -> Vec<u8> {
        // The lock keeps the terminal from being given back in between.
        let mut lent = lent();
        if !lent.as_ref().is_some_and(Lent::is_readable) {
            return Vec::new();
        }
        let mut typed = [0; 64];
        match without_job_signals(|| rustix::io::read(&self.tty, &mut typed)) {
            Ok(count) if count > 0 => return typed[..count].to_vec(),
            Err(Errno::AGAIN | Errno::INTR) => {}
            // The foreground was lost this very moment.
            Err(Errno::IO) if lent.as_ref().is_some_and(|lent| !lent.is_foreground()) => {}
            Ok(_) | Err(_) => *lent = None,
        }
        Vec::new()
    }
}

impl Lent {
    fn is_foreground(&self) -> bool {
        tcgetpgrp(&self.tty).is_ok_and(|owner| owner == rustix::process::getpgrp())
    }

    fn is_readable(&self) -> bool {
        self.found.is_some() && self.is_foreground()
    }

    fn take(&mut self) -> bool {
        if !self.is_foreground() {
            return false;
        }
        let Ok(modes) = tcgetattr(&self.tty) else {
            return false;
        };
        if !modes.local_modes.contains(ORDINARY) {
            // Ours already, or somebody else's.
            return self.found.is_some();
        }
        let mut single = modes.clone();
        single.local_modes -= ORDINARY;
        let is_set = without_job_signals(|| tcsetattr(&self.tty, OptionalActions::Now, &single)).is_ok();
        if is_set {
            self.found = Some(modes);
        }
        is_set
    }

    /// Leaves the terminal as it was found, if it is still ours; answers whether it had been taken.
    fn give_back(&mut self) -> bool {
        let Some(found) = self.found.take() else {
            return false;
        };
        if self.is_foreground() {
            let _ = without_job_signals(|| tcsetattr(&self.tty, OptionalActions::Now, &found));
        }
        true
    }
}

fn lent() -> MutexGuard<'static, Option<Lent>> {
    LENT.lock().unwrap_or_else(PoisonError::into_inner)
}

fn give_back() -> bool {
    lent().as_mut().is_some_and(Lent::give_back)
}

/// Leaves the terminal as it was found, for good. To be called on every way out; it may be called again.
pub fn release_keyboard() {
    if let Some(mut lent) = lent().take() {
        lent.give_back();
    }
}

/// Does what Ctrl-Z does where nobody supports it; comes back when the process goes on. The signal itself is raised again:
/// where no shell could continue the process, the kernel drops it, and nothing stops.
fn stop_this_process() {
    #[allow(unsafe_code, reason = "puts the default action in place and the old one back")]
    unsafe {
        let mut default = std::mem::zeroed::<libc::sigaction>();
        default.sa_sigaction = libc::SIG_DFL;
        let mut heeded = std::mem::zeroed::<libc::sigaction>();
        if libc::sigaction(SIGTSTP, &raw const default, &raw mut heeded) == 0 {
            libc::raise(SIGTSTP);
            libc::sigaction(SIGTSTP, &raw const heeded, std::ptr::null_mut());
        }
    }
}

/// Does something with the terminal that would stop a process in the background: it is refused there instead.
fn without_job_signals<T>(act: impl FnOnce() -> T) -> T {
    #[allow(unsafe_code, reason = "changes and restores this thread's own mask")]
    unsafe {
        let mut held = std::mem::zeroed::<libc::sigset_t>();
        let mut before = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut held);
        libc::sigaddset(&raw mut held, libc::SIGTTIN);
        libc::sigaddset(&raw mut held, libc::SIGTTOU);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const held, &raw mut before);
        let done = act();
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut());
        done
    }
}
