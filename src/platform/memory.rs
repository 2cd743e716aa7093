//! The memory of this process, as the kernel counts it.

use std::path::Path;

use super::system;

/// Makes all threads share one heap. A heap for each would be resident memory for little, because buffers are recycled
/// and seldom allocated. To be called before any thread starts.
pub fn share_one_heap() {
    system::share_one_heap();
}

/// The most free memory that the heap keeps after [`keep_large_buffers`], and the smallest buffer that comes from the
/// system again, in bytes.
#[cfg(feature = "nats")]
pub const KEPT_BY_HEAP: i32 = 1 << 20;

/// Makes buffers below [`KEPT_BY_HEAP`] come from the heap, for a library that allocates and frees them all the time: from
/// the system each costs page faults and changes of the map.
#[cfg(feature = "nats")]
pub fn keep_large_buffers() {
    system::keep_large_buffers(KEPT_BY_HEAP);
}

/// Bytes that this process may still use: what the machine, the process's control groups and its own limits leave;
/// `None` if the system does not tell.
#[must_use]
pub fn free_memory() -> Option<u64> {
    system::free_memory()
}

/// Bytes that this user may still write to the file system of `folder`; `None` if the system does not tell.
#[must_use]
pub fn free_disk(folder: &Path) -> Option<u64> {
    let system = rustix::fs::statvfs(folder).ok()?;
    system.f_bavail.checked_mul(system.f_frsize)
}

/// Reads the resident set size; cheap enough for ten readings a second.
#[derive(Debug)]
pub struct ResidentMemory(system::MemoryFiles);

impl ResidentMemory {
    /// Opens the files that are read repeatedly.
    #[must_use]
    pub fn open() -> Self {
        Self(system::MemoryFiles::open())
    }

    /// Bytes that are resident now; 0 if the system does not tell.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.0.resident()
    }

    /// Whether the system tells.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.now() > 0
    }

    /// The most bytes that were resident; 0 if the system does not tell.
    #[must_use]
    pub fn peak(&self) -> u64 {
        self.0.peak().max(self.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_plausible() {
        let memory = ResidentMemory::open();
        let (now, peak) = (memory.now(), memory.peak());
        assert!(now > 100 << 10, "{now} bytes");
        assert!(peak >= now / 2, "{peak} bytes");
    }

    #[test]
    fn free_memory_is_plausible() {
        assert!(free_memory().is_none_or(|free| free > 1 << 20));
    }
}
