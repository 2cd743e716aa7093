//! Wakes a thread that waits for a descriptor.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::fault::{self, Operation};
use super::system;

/// Makes this thread's waits end as close to their time as the system can, instead of together with other timers.
pub fn sharpen_timers() {
    system::sharpen_timers();
}

/// A descriptor that becomes readable when the alarm is rung, and stays so.
#[derive(Debug)]
pub struct Alarm(system::AlarmDescriptors);

impl Alarm {
    /// An alarm that was not rung.
    pub fn new() -> io::Result<Self> {
        fault::point(Operation::Alarm)?;
        system::AlarmDescriptors::new().map(Self)
    }

    /// Rings the alarm: makes the descriptor readable permanently.
    pub fn ring(&self) {
        self.0.ring();
    }

    /// Makes the descriptor silent again.
    pub fn silence(&self) {
        self.0.silence();
    }

    /// Waits until the deadline or the alarm; returns true if the alarm was rung.
    pub fn wait_until(&self, deadline: Instant) -> io::Result<bool> {
        await_alarm(self.descriptor(), deadline)
    }

    /// The descriptor to poll together with the one that is waited for.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Waits until the deadline or the alarm with this descriptor; returns true if the alarm was rung.
pub fn await_alarm(alarm: BorrowedFd<'_>, deadline: Instant) -> io::Result<bool> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let limit = Timespec::try_from(left).ok();
        let mut fds = [PollFd::from_borrowed_fd(alarm, PollFlags::IN)];
        match fault::point(Operation::Poll).and_then(|()| poll(&mut fds, limit.as_ref())) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn only_a_rung_alarm_ends_the_wait() {
        let alarm = Alarm::new().expect("an alarm");
        let soon = Instant::now() + Duration::from_millis(1);
        assert!(!alarm.wait_until(soon).expect("waited"));
        alarm.ring();
        let late = Instant::now() + Duration::from_secs(60);
        assert!(alarm.wait_until(late).expect("waited"));
        alarm.silence();
        assert!(!alarm.wait_until(soon).expect("waited"));
    }
}
