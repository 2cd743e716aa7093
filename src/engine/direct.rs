//! The direct path: a source and a sink with nothing between them, joined on one thread without a link.
//!
//! The meters and the cancel live inside the loop, so progress stays true and a signal still ends it. Where bytes pass
//! through a buffer, the source counts as backpressured while the sink is written, and the sink as idle while the
//! source is read: just what a link of one buffer would show.

use std::sync::{Arc, Mutex, PoisonError};

use super::pause_point::PausePoint;
use crate::error::Stop;
use crate::flow::{Lease, Wait};
use crate::platform::{Descriptor, Shape, Transfer, files, is_sparse};
use crate::stage::{Context, Holes, Incoming, OpenSource, OpenWriter, Outcome, Outgoing};

mod path;

pub use path::DirectPath;

/// What a call inside the kernel may move at most, so that a cancelled run never waits long for one to come back.
const CALL: usize = 16 << 20;

/// Both ends of a direct path.
pub struct Direct {
    pub source: OpenSource,
    pub sink: OpenWriter,
    /// What the source is lent.
    pub from: Context,
    /// What the sink is lent.
    pub to: Context,
    /// What a piece is read into where that is the way.
    pub buffer: Lease,
    /// Where it stops while the sink is paused.
    pub pause_point: Arc<PausePoint>,
    /// Where the way is announced.
    pub lane: Arc<Mutex<DirectPath>>,
}

/// Which end an error is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Source,
    Sink,
}

type AtEnd<T> = Result<T, (End, Stop)>;

fn at_source(stop: impl Into<Stop>) -> (End, Stop) {
    (End::Source, stop.into())
}

fn at_sink(stop: impl Into<Stop>) -> (End, Stop) {
    (End::Sink, stop.into())
}

impl Direct {
    /// Whether a source and a sink can be joined without a link.
    pub fn joins(source: &mut OpenSource, sink: &mut OpenWriter) -> bool {
        source.as_direct().is_some() && sink.as_direct().is_some()
    }

    /// Moves all there is, and commits it. What one end fails with, the other end learns as a neighbour.
    pub fn run(mut self) -> [Outcome; 2] {
        match self.move_all() {
            Ok(()) => [Ok(()), Ok(())],
            Err((End::Source, stop)) => [Err(stop), Err(Stop::PeerClosed)],
            Err((End::Sink, stop)) => [Err(Stop::PeerClosed), Err(stop)],
        }
    }

    fn move_all(&mut self) -> AtEnd<()> {
        let Some(sink) = self.sink.as_direct() else {
            return Err(at_sink(Stop::PeerClosed));
        };
        self.to.external_fd.writes(sink.descriptor());
        loop {
            let Some(source) = self.source.as_direct() else {
                return Err(at_source(Stop::PeerClosed));
            };
            self.from.external_fd.reads(source.descriptor());
            let mut passage = Passage {
                source,
                sink,
                from: &self.from,
                to: &self.to,
                buffer: &mut self.buffer,
                pause_point: &self.pause_point,
            };
            passage.move_one(&self.lane)?;
            source.check_end().map_err(at_source)?;
            if !self.source.advance(&self.from).map_err(at_source)? {
                break;
            }
        }
        self.from.meter.end();
        sink.commit(&self.to).map_err(at_sink)
    }
}

/// A source on its way into a sink.
struct Passage<'a> {
    source: &'a mut Incoming,
    sink: &'a mut Outgoing,
    from: &'a Context,
    to: &'a Context,
    buffer: &'a mut Lease,
    pause_point: &'a PausePoint,
}

impl Passage<'_> {
    /// Moves one descriptor of the source to its end, by the fastest way that works.
    fn move_one(&mut self, announced: &Mutex<DirectPath>) -> AtEnd<()> {
        let mut lane = DirectPath::best(
            self.source.descriptor().shape(),
            self.sink.descriptor().shape(),
            self.source.lends_pages,
        );
        if self.source.descriptor().shape() == Shape::Pipe {
            // A FIFO without a writer so far reads as if it had ended.
            self.wait_to_read()?;
        }
        loop {
            *announced.lock().unwrap_or_else(PoisonError::into_inner) = lane;
            let is_whole = match lane {
                DirectPath::CopyFileRange => self.copy_ranges()?,
                DirectPath::Splice => self.splice()?,
                DirectPath::Copy => self.copy()?,
            };
            if is_whole {
                return Ok(());
            }
            // What could not be moved inside the kernel is read and written, from where that came to.
            lane = DirectPath::Copy;
        }
    }

    /// Copies inside the kernel, leaving holes where the source has them; returns whether it came to the end. That a call
    /// copied nothing does not say so: some file systems do that with files that have something.
    fn copy_ranges(&mut self) -> AtEnd<bool> {
        let is_sparse = self.keeps_holes();
        loop {
            self.pass_gate()?;
            let mut length = CALL;
            if is_sparse {
                let Some(data) = self.skip_hole()? else { break };
                length = usize::try_from(data).unwrap_or(CALL).min(CALL);
            }
            let (source, sink) = (self.source.descriptor(), self.sink.descriptor());
            match source.copy_range_to(sink, length) {
                None | Some(0) => break,
                Some(count) => self.count(count as u64),
            }
        }
        Ok(is_at_end(self.source.descriptor()))
    }

    /// Whether the source has holes, and the sink can have them.
    fn keeps_holes(&self) -> bool {
        self.sink.possible_holes() == Holes::Grow && self.source.descriptor().stat().is_ok_and(|stat| is_sparse(&stat))
    }

    /// Moves both ends over a hole; returns how many bytes of data follow, or `None` where there is no telling.
    fn skip_hole(&mut self) -> AtEnd<Option<u64>> {
        let (source, sink) = (self.source.descriptor(), self.sink.descriptor());
        let failed = |error| at_source(self.source.failed(error));
        let data = source
            .next_data()
            .map_err(|error| at_source(self.source.failed(error)))?;
        let Some(data) = data else {
            return Ok(None);
        };
        let hole = data.start - files::tell(source).map_err(failed)?;
        if hole > 0 {
            files::seek(source, rustix::fs::SeekFrom::Start(data.start)).map_err(failed)?;
            // The file grows by the hole, which may be the last thing in it.
            sink.leave_hole(hole)
                .map_err(|error| at_sink(self.sink.failed(error)))?;
            self.count(hole);
        }
        Ok((data.end > data.start).then(|| data.end - data.start))
    }

    /// Moves pages; returns whether it came to the end.
    fn splice(&mut self) -> AtEnd<bool> {
        loop {
            self.pass_gate()?;
            let (source, sink) = (self.source.descriptor(), self.sink.descriptor());
            match source.splice_to(sink, CALL) {
                Ok(None) => return Ok(false),
                // Of a file, the end is where its size says; some never say it.
                Ok(Some(Transfer::Bytes(0))) => return Ok(source.shape() != Shape::File || is_at_end(source)),
                Ok(Some(Transfer::Bytes(count))) => self.count(count as u64),
                // Either end may be the one that is not ready.
                Ok(Some(Transfer::NotReady)) => {
                    self.wait_to_read()?;
                    self.wait_to_write()?;
                }
                // A source that is a connection can fail in every way but that of a pipe whose reader left.
                Err(error) if source.shape() == Shape::Socket && !is_broken_pipe(&error) => {
                    return Err(at_source(self.source.failed(error)));
                }
                Err(error) => return Err(at_sink(self.sink.failed(error))),
            }
        }
    }

    /// Reads and writes to the end, leaving holes where the source has them.
    fn copy(&mut self) -> AtEnd<bool> {
        let mut is_sparse = self.keeps_holes();
        loop {
            let mut most = self.buffer.len();
            if is_sparse {
                match self.skip_hole()? {
                    Some(data) => most = usize::try_from(data).map_or(most, |data| data.min(most)),
                    // Whether that is the end, reading finds out.
                    None => is_sparse = false,
                }
            }
            self.pass_gate()?;
            let read = {
                let _idle = self.to.meter.wait(Wait::Idle);
                self.source
                    .read(&mut self.buffer[..most], self.from)
                    .map_err(at_source)?
            };
            match read {
                Transfer::Bytes(0) => return Ok(true),
                Transfer::Bytes(count) => self.write(count)?,
                Transfer::NotReady => self.wait_to_read()?,
            }
        }
    }

    /// Writes the first `count` bytes of the buffer, waiting for room as often as it takes.
    fn write(&mut self, count: usize) -> AtEnd<()> {
        let mut done = 0;
        while done < count {
            self.pass_gate()?;
            let written = {
                let _backpressured = self.from.meter.wait(Wait::Backpressured);
                let rest = &self.buffer[done..count];
                let written = self.sink.write(self.to, |descriptor| descriptor.write(rest));
                written.map_err(at_sink)?
            };
            match written {
                Transfer::Bytes(count) => {
                    done += count;
                    self.from.meter.add_out(count as u64);
                    self.to.meter.add_in(count as u64);
                }
                Transfer::NotReady => self.wait_to_write()?,
            }
        }
        Ok(())
    }

    /// Waits while the sink is paused.
    fn pass_gate(&self) -> AtEnd<()> {
        if self.from.cancel.is_tripped() {
            return Err(at_source(Stop::PeerClosed));
        }
        if !self.pause_point.is_closed() {
            return Ok(());
        }
        let _backpressured = self.from.meter.wait(Wait::Backpressured);
        let _outside = self.to.meter.wait(Wait::Outside);
        self.pause_point.wait(&self.from.cancel).map_err(at_sink)
    }

    fn wait_to_read(&self) -> AtEnd<()> {
        let _idle = self.to.meter.wait(Wait::Idle);
        self.source.wait(self.from).map_err(at_source)
    }

    fn wait_to_write(&self) -> AtEnd<()> {
        let _backpressured = self.from.meter.wait(Wait::Backpressured);
        self.sink.wait(self.to).map_err(at_sink)
    }

    /// Counts what one call has moved through both ends.
    fn count(&mut self, count: u64) {
        self.source.gave(count, self.from);
        self.sink.took(count, self.to);
        self.from.meter.add_out(count);
        self.to.meter.add_in(count);
    }
}

fn is_broken_pipe(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::BrokenPipe
}

/// Whether a file that has a size was read to it.
fn is_at_end(descriptor: &Descriptor) -> bool {
    let size = descriptor.stat().ok().and_then(|stat| u64::try_from(stat.st_size).ok());
    size.is_some_and(|size| size > 0 && files::tell(descriptor) == Ok(size))
}

#[cfg(test)]
mod tests;
