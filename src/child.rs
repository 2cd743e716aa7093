//! Child processes with a process group of their own, and the end of such a group.

use std::io;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{Timespec, poll};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, kill_process_group, test_kill_process_group, waitpgid};

use crate::platform::{adopt_orphans, adopts_orphans, die_with_parent, has_group_ended, lead_group, spawn_child};

/// How long to wait for a group that was killed: the kernel may be busy freeing its memory.
pub const KILL_LIMIT: Duration = Duration::from_secs(2);
/// How often a group that is to end is checked.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// A child, and the process group that it leads, if it leads one. They end when this is dropped, at the latest.
#[derive(Debug)]
pub struct Group {
    /// The child itself, with the ends of its pipes.
    pub child: Child,
    /// How long the group has to end after SIGTERM.
    grace: Duration,
    /// Whether it leads a group of its own; otherwise it is in ours, and signals are for the child alone.
    leads: bool,
    is_over: bool,
}

impl Group {
    /// Starts a program in a process group of its own.
    ///
    /// The kernel kills the child, not its descendants, when the calling thread ends, so the thread must outlive it.
    pub fn spawn(command: &mut Command, grace: Duration) -> io::Result<Self> {
        Ok(Self {
            child: spawn_child(lead_group(command))?,
            grace,
            leads: true,
            is_over: false,
        })
    }

    /// [`Group::spawn`] for a program that stays in our process group, so that it may use the terminal when we may.
    ///
    /// # Errors
    /// As fork(2) and execve(2).
    pub fn spawn_in_ours(command: &mut Command, grace: Duration) -> io::Result<Self> {
        Ok(Self {
            child: spawn_child(die_with_parent(command))?,
            grace,
            leads: false,
            is_over: false,
        })
    }

    /// The child's status once it has ended; other members of its group may still run.
    pub fn status(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Leaves alone what a child that has ended left running.
    pub fn leave(&mut self) {
        self.is_over = true;
    }

    /// Ends the group: SIGTERM, SIGKILL for the members that are left after the grace, and a bounded wait. `hurry` cuts the grace
    /// short. Returns whether all its processes have ended.
    pub fn end(&mut self, mut hurry: impl FnMut() -> bool) -> bool {
        if !self.is_over {
            // Members whose parent ends first are reaped here, because the first process of the system may not do it, as
            // in a container. Before that they are left to it, as a shell does: a program may start any number of them.
            let has_adopted = adopts_orphans();
            adopt_orphans(true);
            self.signal(Signal::TERM);
            // A stopped process must run to end.
            self.signal(Signal::CONT);
            wait_until(self.grace, || self.reap() || hurry());
            if !self.is_over {
                self.signal(Signal::KILL);
                wait_until(KILL_LIMIT, || self.reap() || self.has_no_member());
            }
            adopt_orphans(has_adopted);
        }
        self.is_over
    }

    fn signal(&mut self, signal: Signal) {
        let leader = Pid::from_child(&self.child);
        // One that has ended meanwhile is what is wanted.
        let _ = if self.leads {
            kill_process_group(leader, signal)
        } else if matches!(self.child.try_wait(), Ok(None)) {
            kill_process(leader, signal)
        } else {
            Ok(())
        };
    }

    /// Reaps the members that have ended and are children of this process; returns whether none is left.
    fn reap(&mut self) -> bool {
        let group = Pid::from_child(&self.child);
        // The leader's status is kept for `status`, so that the others are only waited for when it is known.
        if !matches!(self.child.try_wait(), Ok(None)) {
            while self.leads && matches!(waitpgid(group, WaitOptions::NOHANG), Ok(Some(_))) {}
            self.is_over = !self.leads || test_kill_process_group(group).is_err();
        }
        self.is_over
    }

    /// Whether only members are left that have ended and that this process cannot reap; to be called once they were killed.
    fn has_no_member(&mut self) -> bool {
        self.is_over = self.leads && has_group_ended(Pid::from_child(&self.child));
        self.is_over
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end(|| false);
    }
}

/// Waits until `is_so`, for at most `limit`; looks every few milliseconds.
pub fn wait_until(limit: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    let pause = Timespec::try_from(POLL_INTERVAL).unwrap_or_default();
    loop {
        if is_so() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        // A signal may end the pause early.
        let _ = poll(&mut [], Some(&pause));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Stdio;

    /// Runs a script until it has printed that it is ready.
    fn group(script: &str, grace: Duration) -> Group {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdout(Stdio::piped());
        let mut group = Group::spawn(&mut command, grace).expect("a shell");
        let mut ready = [0; 6];
        let stdout = group.child.stdout.as_mut().expect("a pipe");
        stdout.read_exact(&mut ready).expect("it is ready");
        group
    }

    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn terminating_group_needs_no_grace() {
        let mut group = group("echo ready; sleep 1000 | sleep 1000", LONG);
        assert!(group.end(|| false));
        let status = group.status().expect("its status is kept").expect("it has ended");
        assert_eq!(status.signal(), Some(15));
    }

    #[test]
    fn group_that_ignores_sigterm_is_killed() {
        let mut group = group("trap '' TERM; echo ready; sleep 1000 & sleep 1000", Duration::ZERO);
        assert!(group.end(|| false));
        assert_eq!(group.status().expect("waited for").expect("ended").signal(), Some(9));
    }

    #[test]
    fn a_hurry_cuts_the_grace_short() {
        let mut group = group("trap '' TERM; echo ready; sleep 1000 & sleep 1000", LONG);
        assert!(group.end(|| true));
    }

    #[test]
    fn a_stopped_group_ends() {
        let mut group = group("echo ready; kill -STOP $$", LONG);
        assert!(group.end(|| false));
    }
}
