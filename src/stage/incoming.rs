//! Open sources that are descriptors.

use std::io;
use std::sync::Arc;

use crate::error::{Failure, Kind, Stop};
use crate::flow::Wait;
use crate::platform::{Descriptor, Interest, Shape, Transfer, Woken, files};

use super::{Context, Outcome};

/// An open descriptor to read from.
#[derive(Debug)]
pub struct Incoming {
    descriptor: Arc<Descriptor>,
    /// How many bytes it gives, if known: the size of a regular file when it was opened.
    size: Option<u64>,
    /// The length of the whole file when it was opened, if it is a file.
    length: Option<u64>,
    /// How many bytes were skipped without being read.
    skipped: u64,
    /// Its name in a failure, if the stage's own text does not name it.
    name: Option<String>,
    /// Bytes that were read.
    total: u64,
    /// Whether pages of a file may be sent without a copy, so that a later change of the file still shows in them.
    pub lends_pages: bool,
}

impl Incoming {
    /// Creates one that gives `size` bytes, if known.
    #[must_use]
    pub fn new(descriptor: Descriptor, size: Option<u64>) -> Self {
        Self {
            length: length(&descriptor),
            descriptor: Arc::new(descriptor),
            size,
            skipped: 0,
            name: None,
            total: 0,
            lends_pages: false,
        }
    }

    /// Sets its name in failures.
    pub(super) fn name(&mut self, name: Option<String>) {
        self.name = name;
    }

    /// What is read.
    #[must_use]
    pub fn descriptor(&self) -> &Arc<Descriptor> {
        &self.descriptor
    }

    /// Moves `bytes` ahead without reading them if its size is known; returns how many it skipped.
    pub(super) fn skip(&mut self, bytes: u64) -> Result<u64, Failure> {
        let Some(size) = self.size else { return Ok(0) };
        let count = bytes.min(size);
        let step = i64::try_from(count).unwrap_or(i64::MAX);
        files::seek(&self.descriptor, rustix::fs::SeekFrom::Current(step))
            .map_err(|error| Failure::io(Kind::Source, "cannot skip", error))?;
        self.skipped = count;
        Ok(count)
    }

    /// Reads into `buffer` what is available, and counts it.
    pub fn read(&mut self, buffer: &mut [u8], context: &Context) -> Result<Transfer, Failure> {
        let transfer = {
            // The kernel does not tell the wait for a disk from the copy: the whole call counts as one.
            let _outside = (self.descriptor.shape() == Shape::File).then(|| context.meter.wait(Wait::Outside));
            self.descriptor.read(buffer)
        };
        let transfer = transfer.map_err(|error| self.failed(error))?;
        if let Transfer::Bytes(count) = transfer {
            self.gave(count as u64, context);
        }
        Ok(transfer)
    }

    /// Counts bytes that were read.
    pub fn gave(&mut self, count: u64, context: &Context) {
        self.total += count;
        context.meter.add_in(count);
    }

    /// Waits until there is something to read.
    pub fn wait(&self, context: &Context) -> Outcome {
        let _outside = context.meter.wait(Wait::Outside);
        let woken = self.descriptor.wait(Interest::Read, context.cancel.alarm()?);
        match woken.map_err(|error| self.failed(error))? {
            Woken::Alarm => Err(Stop::PeerClosed),
            Woken::Ready | Woken::TimedOut => Ok(()),
        }
    }

    /// Checks at its end that all of it was read. A regular file that ends before the size it had when it was opened
    /// was truncated meanwhile; one that is longer has grown. A file whose size is never true (in /sys) still has the
    /// same size.
    pub fn check_end(&self) -> Result<(), Failure> {
        let Some(expected) = self.size.map(|size| size - self.skipped) else {
            return Ok(());
        };
        let total = self.total;
        if total > expected {
            tracing::warn!("the source grew while it was read: {expected} bytes at first, {total} at last");
        }
        let is_cut = length(&self.descriptor) < self.length;
        if total < expected && is_cut {
            let why = format!("the file shrank while it was read: {expected} bytes at first, {total} at last");
            return Err(Failure::because(Kind::Integrity, "cannot read all of it", why));
        }
        Ok(())
    }

    /// The failure of a read.
    pub fn failed(&self, error: impl Into<io::Error>) -> Failure {
        naming(self.name.as_deref())(Failure::io(Kind::Source, "cannot read", error.into())).after(self.total)
    }
}

/// Adds the name of an endpoint to its failures.
pub(super) fn naming(name: Option<&str>) -> impl Fn(Failure) -> Failure {
    move |failure| match name {
        Some(name) => failure.on(name),
        None => failure,
    }
}

/// The current length of a file.
fn length(descriptor: &Descriptor) -> Option<u64> {
    descriptor.stat().ok().and_then(|stat| u64::try_from(stat.st_size).ok())
}

/// The size of the next read. Files fill any buffer; a pipe or a peer gives what it has, and a buffer much larger than
/// that would only be copied into a smaller one.
pub(super) struct ReadSize {
    next: usize,
    largest: usize,
    adapts: bool,
}

impl ReadSize {
    /// Half the default capacity of a Linux pipe, which is what a busy one tends to give.
    const FIRST: usize = 64 << 10;
    const SMALLEST: usize = 4 << 10;

    pub fn new(shape: Shape, largest: usize) -> Self {
        let adapts = shape != Shape::File;
        Self {
            next: if adapts { Self::FIRST.min(largest) } else { largest },
            largest,
            adapts,
        }
    }

    pub fn next(&self) -> usize {
        self.next
    }

    pub fn learn(&mut self, count: usize, capacity: usize) {
        if !self.adapts {
            return;
        }
        // Where a read ends with a record, a full one has some room left.
        if count > capacity - capacity / 8 {
            self.next = (self.next * 2).min(self.largest);
        } else if count < capacity / 4 {
            self.next = (self.next / 2).max(Self::SMALLEST).min(self.largest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_follow_what_the_source_gives() {
        let mut size = ReadSize::new(Shape::Pipe, 256 << 10);
        assert_eq!(size.next(), 64 << 10);
        size.learn(64 << 10, 64 << 10);
        assert_eq!(size.next(), 128 << 10);
        size.learn(128 << 10, 128 << 10);
        size.learn(256 << 10, 256 << 10);
        assert_eq!(size.next(), 256 << 10);
        for _ in 0..20 {
            size.learn(1, size.next());
        }
        assert_eq!(size.next(), 4 << 10);
        assert_eq!(ReadSize::new(Shape::File, 1).next(), 1);
    }
}
