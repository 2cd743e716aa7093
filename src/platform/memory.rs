//! The memory of this process, as the kernel counts it.

use super::system;

/// Lets all threads share one heap. Each would get its own, which is resident memory for little: what moves is recycled
/// and hardly ever allocated. To be called before any thread starts.
pub fn share_one_heap() {
    system::share_one_heap();
}

/// Lets go of the program's own pages, code and constants, those that only its start needed among them: reading options,
/// planning, explaining errors. What is needed again is mapped again from the page cache, as it was at first.
pub fn drop_own_pages() {
    system::drop_own_pages();
}

/// Bytes that this process may still take: what the machine, the process's control groups and its own limits leave;
/// `None` where the system does not tell.
#[must_use]
pub fn free_memory() -> Option<u64> {
    system::free_memory()
}

/// Reads the resident set size; cheap enough for ten readings a second.
#[derive(Debug)]
pub struct ResidentMemory(system::MemoryFiles);

impl ResidentMemory {
    /// Opens what is read again and again.
    #[must_use]
    pub fn open() -> Self {
        Self(system::MemoryFiles::open())
    }

    /// Bytes that are resident now; 0 where the system does not tell.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.0.resident()
    }

    /// Whether the system tells.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.now() > 0
    }

    /// The most bytes that were ever resident; 0 where the system does not tell.
    #[must_use]
    pub fn peak(&self) -> u64 {
        self.0.peak().max(self.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Holds addresses, which the loader writes: what must not be dropped.
    static NAMES: [&str; 3] = ["low", "high", "drain"];

    #[test]
    fn what_is_dropped_comes_back_the_same() {
        let joined = || std::hint::black_box(&NAMES).concat();
        let before = joined();
        drop_own_pages();
        assert_eq!(joined(), before);
    }

    #[test]
    fn resident_memory_is_plausible() {
        let memory = ResidentMemory::open();
        let (now, peak) = (memory.now(), memory.peak());
        assert!(now > 100 << 10, "{now} bytes");
        assert!(peak >= now / 2, "{peak} bytes");
    }

    #[test]
    fn free_memory_is_plausible_where_it_is_known() {
        assert!(free_memory().is_none_or(|free| free > 1 << 20));
    }
}
