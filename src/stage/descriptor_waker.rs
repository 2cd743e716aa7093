//! A waker for a thread that waits for descriptors as well.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;

use crate::platform::Alarm;

/// Makes its descriptor readable when it is woken.
#[derive(Debug)]
pub struct DescriptorWaker {
    alarm: Alarm,
    is_woken: AtomicBool,
}

impl DescriptorWaker {
    /// A waker that was not woken.
    ///
    /// # Errors
    /// If no descriptor is left.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            alarm: Alarm::new()?,
            is_woken: AtomicBool::new(false),
        })
    }

    /// Takes note of all wakes so far. Their reasons have to be checked afterwards.
    pub fn clear(&self) {
        if self.is_woken.load(Ordering::Acquire) {
            self.alarm.silence();
            // Last: a wake that comes before this does not signal again, but its reason is checked afterwards.
            self.is_woken.swap(false, Ordering::AcqRel);
        }
    }

    /// What to wait for.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.alarm.descriptor()
    }
}

impl Wake for DescriptorWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_woken.swap(true, Ordering::AcqRel) {
            self.alarm.ring();
        }
    }
}
