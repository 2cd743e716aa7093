//! Lines: whatever ends in a newline.

use memchr::{memchr_iter, memrchr};

use super::{Framer, Record, Step};

/// Frames lines of at most `limit` bytes, their newlines included. A last line without one gets one.
#[derive(Debug)]
pub struct Lines {
    limit: usize,
}

impl Lines {
    /// A framer for lines of at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit }
    }
}

impl Framer for Lines {
    fn step(&mut self, bytes: &[u8], is_last: bool, made: &mut Record) -> Step {
        // No line among so few bytes is too long.
        let reach = &bytes[..bytes.len().min(self.limit)];
        match memrchr(b'\n', reach) {
            Some(last) => Step::Kept {
                end: last + 1,
                records: memchr_iter(b'\n', &reach[..last]).count() as u64 + 1,
            },
            None if is_last && reach.len() == bytes.len() => {
                made.extend(bytes);
                made.push(b'\n');
                Step::Made { end: bytes.len() }
            }
            None => Step::Incomplete,
        }
    }

    fn restart(&mut self) {}
}
