//! A waker for a thread that waits for descriptors as well.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;

use crate::platform::Alarm;

/// Makes its descriptor readable when it is woken.
#[derive(Debug)]
pub struct Bell {
    alarm: Alarm,
    is_rung: AtomicBool,
}

impl Bell {
    /// A silent one.
    ///
    /// # Errors
    /// If no descriptor is left.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            alarm: Alarm::new()?,
            is_rung: AtomicBool::new(false),
        })
    }

    /// Takes note of all wakes so far. What they were for has to be looked at afterwards.
    pub fn hush(&self) {
        if self.is_rung.load(Ordering::Acquire) {
            self.alarm.silence();
            // Last: a wake that comes before this rings no more, and what it is for is seen after it.
            self.is_rung.swap(false, Ordering::AcqRel);
        }
    }

    /// What to wait for.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.alarm.descriptor()
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_rung.swap(true, Ordering::AcqRel) {
            self.alarm.ring();
        }
    }
}
