//! The direct lane: a source and a sink with nothing between them, joined on one thread without a link.
//!
//! The meters and the cancel live inside the loop, so progress stays true and a signal still ends it. Where bytes pass
//! through a buffer, the source counts as backpressured while the sink is written, and the sink as idle while the
//! source is read: just what a link of one buffer would show.

use std::sync::{Arc, Mutex, PoisonError};

use super::gate::Gate;
use crate::error::Stop;
use crate::flow::{Lease, Wait};
use crate::platform::{Descriptor, Interest, Shape, Transfer, Woken, files, is_sparse};
use crate::stage::{Context, DirectSink, DirectSource, Outcome, Sink, Source};

mod lane;

pub use lane::Lane;

/// What a call inside the kernel may move at most, so that a cancelled run never waits long for one to come back.
const CALL: usize = 16 << 20;

/// Both ends of a direct lane.
pub struct Direct {
    pub source: Box<dyn Source>,
    pub sink: Box<dyn Sink>,
    /// What the source is lent.
    pub from: Context,
    /// What the sink is lent.
    pub to: Context,
    /// What a piece is read into where that is the way.
    pub buffer: Lease,
    /// Where it stops while the sink is paused.
    pub gate: Arc<Gate>,
    /// Where the way is announced.
    pub lane: Arc<Mutex<Lane>>,
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
    pub fn joins(source: &mut Box<dyn Source>, sink: &mut Box<dyn Sink>) -> bool {
        source.as_direct().is_some() && sink.as_direct().is_some()
    }

    /// Moves all there is, and lands it. What one end fails with, the other end learns as a neighbour.
    pub fn run(mut self) -> [Outcome; 2] {
        match self.move_all() {
            Ok(()) => [Ok(()), Ok(())],
            Err((End::Source, stop)) => [Err(stop), Err(Stop::Neighbour)],
            Err((End::Sink, stop)) => [Err(Stop::Neighbour), Err(stop)],
        }
    }

    fn move_all(&mut self) -> AtEnd<()> {
        let (Some(source), Some(sink)) = (self.source.as_direct(), self.sink.as_direct()) else {
            return Err(at_source(Stop::Neighbour));
        };
        let mut passage = Passage {
            source,
            sink,
            from: &self.from,
            to: &self.to,
            buffer: &mut self.buffer,
            gate: &self.gate,
            total: 0,
            written: 0,
        };
        passage.to.outer_side.writes(passage.sink.descriptor());
        loop {
            passage.from.outer_side.reads(passage.source.descriptor());
            passage.total = 0;
            passage.move_one(&self.lane)?;
            passage.source.ended(passage.total).map_err(at_source)?;
            if !passage.source.advance(&self.from).map_err(at_source)? {
                break;
            }
        }
        let sink = passage.sink;
        self.from.meter.end();
        sink.commit(&self.to).map_err(at_sink)
    }
}

/// A source on its way into a sink.
struct Passage<'a> {
    source: &'a mut dyn DirectSource,
    sink: &'a mut dyn DirectSink,
    from: &'a Context,
    to: &'a Context,
    buffer: &'a mut Lease,
    gate: &'a Gate,
    /// Bytes that the present descriptor gave.
    total: u64,
    /// Bytes that the sink took.
    written: u64,
}

impl Passage<'_> {
    /// Moves one descriptor of the source to its end, by the fastest way that works.
    fn move_one(&mut self, announced: &Mutex<Lane>) -> AtEnd<()> {
        let mut lane = Lane::best(
            self.source.descriptor().shape(),
            self.sink.descriptor().shape(),
            self.source.lends_pages(),
        );
        if self.source.descriptor().shape() == Shape::Pipe {
            // A FIFO that nobody has opened for writing yet reads as if it had ended.
            self.wait_to_read()?;
        }
        loop {
            *announced.lock().unwrap_or_else(PoisonError::into_inner) = lane;
            let is_whole = match lane {
                Lane::CopyFileRange => self.copy_ranges()?,
                Lane::Splice => self.splice()?,
                Lane::Copy => self.copy()?,
            };
            if is_whole {
                return Ok(());
            }
            // What could not be moved inside the kernel is read and written, from where that came to.
            lane = Lane::Copy;
        }
    }

    /// Copies inside the kernel, leaving holes where the source has them; answers whether it came to the end. That a call
    /// copied nothing does not say so: some file systems do that with files that have something.
    fn copy_ranges(&mut self) -> AtEnd<bool> {
        let is_sparse = self.keeps_holes();
        loop {
            self.check_cancel()?;
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
        self.sink.is_new_file() && self.source.descriptor().stat().is_ok_and(|stat| is_sparse(&stat))
    }

    /// Moves both ends over a hole; answers how many bytes of data follow, or `None` where there is no telling.
    fn skip_hole(&mut self) -> AtEnd<Option<u64>> {
        let (source, sink) = (self.source.descriptor(), self.sink.descriptor());
        let data = source.next_data();
        let Some(data) = data.map_err(|error| at_source(self.source.failed(error, self.total)))? else {
            return Ok(None);
        };
        let failed = |error: rustix::io::Errno| error.into();
        let offset = files::tell(source).map_err(|error| at_source(self.source.failed(failed(error), self.total)))?;
        let hole = data.start - offset;
        if hole > 0 {
            let start = rustix::fs::SeekFrom::Start(data.start);
            files::seek(source, start).map_err(|error| at_source(self.source.failed(failed(error), self.total)))?;
            // The file grows by the hole, which may be the last thing in it.
            let grown = sink.leave_hole(hole);
            grown.map_err(|error| at_sink(self.sink.failed(error, self.written)))?;
            self.count(hole);
        }
        Ok((data.end > data.start).then(|| data.end - data.start))
    }

    /// Moves pages; answers whether it came to the end.
    fn splice(&mut self) -> AtEnd<bool> {
        loop {
            self.check_cancel()?;
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
                    return Err(at_source(self.source.failed(error, self.total)));
                }
                Err(error) => return Err(at_sink(self.sink.failed(error, self.written))),
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
            let count = self.read(most)?;
            if count == 0 {
                return Ok(true);
            }
            self.total += count as u64;
            self.write(count)?;
        }
    }

    /// Reads what there is, up to `most` bytes, waiting until there is something or the end.
    fn read(&mut self, most: usize) -> AtEnd<usize> {
        loop {
            self.check_cancel()?;
            let result = {
                let _idle = self.to.meter.wait(Wait::Idle);
                let _outside = self.from.meter.wait(Wait::Outside);
                self.source.descriptor().read(&mut self.buffer[..most])
            };
            match result.map_err(|error| at_source(self.source.failed(error, self.total)))? {
                Transfer::Bytes(count) => {
                    self.from.meter.add_in(count as u64);
                    return Ok(count);
                }
                Transfer::NotReady => self.wait_to_read()?,
            }
        }
    }

    /// Writes the first `count` bytes of the buffer, waiting for room as often as it takes.
    fn write(&mut self, count: usize) -> AtEnd<()> {
        let _backpressured = self.from.meter.wait(Wait::Backpressured);
        let _outside = self.to.meter.wait(Wait::Outside);
        let mut done = 0;
        while done < count {
            if self.gate.is_closed() {
                self.gate.wait(&self.from.cancel).map_err(at_sink)?;
            }
            let written = self.sink.descriptor().write(&self.buffer[done..count]);
            match written.map_err(|error| at_sink(self.sink.failed(error, self.written)))? {
                Transfer::Bytes(count) => {
                    done += count;
                    self.written += count as u64;
                    self.sink.wrote(count as u64);
                    self.from.meter.add_out(count as u64);
                    self.to.meter.add_in(count as u64);
                    self.to.meter.add_out(count as u64);
                }
                Transfer::NotReady => self.wait(End::Sink)?,
            }
        }
        Ok(())
    }

    /// Waits while the sink is paused.
    fn pass_gate(&self) -> AtEnd<()> {
        if !self.gate.is_closed() {
            return Ok(());
        }
        let _backpressured = self.from.meter.wait(Wait::Backpressured);
        let _outside = self.to.meter.wait(Wait::Outside);
        self.gate.wait(&self.from.cancel).map_err(at_sink)
    }

    fn wait_to_read(&self) -> AtEnd<()> {
        let _idle = self.to.meter.wait(Wait::Idle);
        let _outside = self.from.meter.wait(Wait::Outside);
        self.wait(End::Source)
    }

    fn wait_to_write(&self) -> AtEnd<()> {
        let _backpressured = self.from.meter.wait(Wait::Backpressured);
        let _outside = self.to.meter.wait(Wait::Outside);
        self.wait(End::Sink)
    }

    fn wait(&self, end: End) -> AtEnd<()> {
        let alarm = self.from.cancel.alarm().map_err(at_source)?;
        let woken = match end {
            End::Source => (self.source.descriptor().wait(Interest::Read, alarm))
                .map_err(|error| at_source(self.source.failed(error, self.total)))?,
            End::Sink => (self.sink.descriptor().wait(Interest::Write, alarm))
                .map_err(|error| at_sink(self.sink.failed(error, self.written)))?,
        };
        match woken {
            Woken::Alarm => Err((end, Stop::Neighbour)),
            Woken::Ready | Woken::TimedOut => Ok(()),
        }
    }

    fn check_cancel(&self) -> AtEnd<()> {
        if self.from.cancel.is_tripped() {
            Err(at_source(Stop::Neighbour))
        } else {
            Ok(())
        }
    }

    /// Counts what one call has moved through both ends.
    fn count(&mut self, count: u64) {
        self.total += count;
        self.written += count;
        self.sink.wrote(count);
        for meter in [&self.from.meter, &self.to.meter] {
            meter.add_in(count);
            meter.add_out(count);
        }
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
