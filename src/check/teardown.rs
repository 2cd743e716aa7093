//! Ends a program with everything that it has started.

use std::process::Child;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::platform::kill_descendants;

/// How long a program may take to end when it is asked to, and then when it is made to.
const GRACE: Duration = Duration::from_millis(500);
const LAST_GRACE: Duration = Duration::from_secs(2);

/// A program in a process group of its own. It ends with this at the latest.
#[derive(Debug)]
pub struct Running {
    /// The program itself.
    pub child: Child,
    is_over: bool,
}

impl Running {
    /// Takes charge of a child that leads its process group.
    pub fn new(child: Child) -> Self {
        Self { child, is_over: false }
    }

    /// Asks it to end, makes it end, and waits for all its processes.
    pub fn end(&mut self) {
        if std::mem::replace(&mut self.is_over, true) {
            return;
        }
        let group = Pid::from_child(&self.child);
        let _ = kill_process_group(group, Signal::TERM);
        // What was stopped must run to end.
        let _ = kill_process_group(group, Signal::CONT);
        wait_until(GRACE, || !matches!(self.child.try_wait(), Ok(None)));
        let _ = kill_process_group(group, Signal::KILL);
        wait_until(LAST_GRACE, || !matches!(self.child.try_wait(), Ok(None)));
        // Those that left the group, and those whose parents have ended.
        wait_until(LAST_GRACE, || !matches!(kill_descendants(), Ok(1..)));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// Looks every few milliseconds whether it is so, for at most `patience`.
fn wait_until(patience: Duration, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience;
    let pause = Timespec::try_from(Duration::from_millis(5)).unwrap_or_default();
    while !is_so() && Instant::now() < deadline {
        let _ = poll(&mut [], Some(&pause));
    }
}
