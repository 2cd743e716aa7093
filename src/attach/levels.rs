//! What is in the links of a pipeline at one moment.

use std::cell::OnceCell;

use crate::graph::{EdgeId, EdgeMap};
use crate::platform::other_process::{Level, ProcessFiles};

use super::census::Carrier;
use super::pipeline::Link;

/// The two ends of a link.
#[derive(Debug)]
pub struct LinkProbe {
    link: Link,
    writer: ProcessFiles,
    reader: ProcessFiles,
}

impl LinkProbe {
    /// Begins to look at a link.
    pub fn new(link: &Link) -> Self {
        Self {
            link: link.clone(),
            writer: ProcessFiles::open(link.writer.0),
            reader: ProcessFiles::open(link.reader.0),
        }
    }

    fn level(&self) -> Option<Level> {
        let unread = self.reader.level(&self.link.reader.1)?;
        if !matches!(self.link.carrier, Carrier::Connection(..)) {
            return Some(unread);
        }
        let unsent = self.writer.level(&self.link.writer.1)?;
        Some(Level {
            bytes: unsent.bytes + unread.bytes,
            capacity: unsent.capacity + unread.capacity,
        })
    }
}

/// Levels that are read once, when they are asked for.
pub struct Levels<'a> {
    probes: &'a EdgeMap<LinkProbe>,
    bytes: EdgeMap<OnceCell<Option<Level>>>,
    full: EdgeMap<OnceCell<bool>>,
}

impl<'a> Levels<'a> {
    /// Nothing is read yet.
    pub fn new(probes: &'a EdgeMap<LinkProbe>) -> Self {
        Self {
            probes,
            bytes: probes.map(|_, _| OnceCell::new()),
            full: probes.map(|_, _| OnceCell::new()),
        }
    }

    /// What is in a link; `None` if that may not be seen.
    pub fn level(&self, edge: EdgeId) -> Option<Level> {
        *self.bytes[edge].get_or_init(|| self.probes[edge].level())
    }

    /// Whether a write to a link would wait.
    pub fn is_full(&self, edge: EdgeId) -> bool {
        *self.full[edge].get_or_init(|| {
            let probe = &self.probes[edge];
            let said = probe.writer.is_full(probe.link.writer.1.fd);
            said.unwrap_or_else(|| self.level(edge).is_some_and(|level| level.looks_full()))
        })
    }
}
