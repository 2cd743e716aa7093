//! The source of a pipeline: one endpoint, or several that are read one after the other.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::vec;

use tokio::runtime::Handle;

use crate::error::{Failure, Kind, Stop};
use crate::flow::{Buffer, Outlet, Position, Wait, block_on};
use crate::graph::Port;
use crate::platform::{Interest, Shape, Transfer};

use super::incoming::{ReadSize, naming};
use super::{
    Acknowledged, Cancel, Context, Driver, Endpoint, Facts, FileIdentity, Incoming, Outcome, Reach, RecordOutput,
    RecordReader, RecordRoom, Settle, SourceIdentity, StreamReader, Work,
};

/// An open endpoint to read from.
pub enum OpenReader {
    /// A descriptor, which is read on a thread and may use the direct path.
    Descriptor(Incoming),
    /// Anything else.
    Stream(Box<dyn StreamReader>),
    /// Records. It is never one of several places.
    Records(Box<dyn RecordReader>),
    /// What runs on a thread, and fills the link itself: a child process. It is never one of several places.
    Driver(Driver<Outlet>),
}

impl From<Incoming> for OpenReader {
    fn from(incoming: Incoming) -> Self {
        Self::Descriptor(incoming)
    }
}

/// A source that is planned and not yet opened.
pub struct Source {
    first: Box<dyn Endpoint>,
    later: Vec<Box<dyn Endpoint>>,
    /// The size that the user expects, in bytes.
    expected: Option<u64>,
    /// Whether it says how far it has come.
    marks: bool,
}

impl Source {
    /// Reads one endpoint.
    #[must_use]
    pub fn of(first: Box<dyn Endpoint>) -> Self {
        Self::series(first, Vec::new(), None)
    }

    /// Reads several endpoints, with the total number of bytes that the user expects, if any.
    #[must_use]
    pub fn series(first: Box<dyn Endpoint>, later: Vec<Box<dyn Endpoint>>, expected: Option<u64>) -> Self {
        Self {
            first,
            later,
            expected,
            marks: false,
        }
    }

    fn places(&self) -> impl Iterator<Item = &dyn Endpoint> {
        std::iter::once(&self.first).chain(&self.later).map(|place| &**place)
    }

    /// What is known of it, without side effects.
    pub fn facts(&self) -> Result<Facts, Failure> {
        let is_series = !self.later.is_empty();
        let look = |place: &dyn Endpoint| {
            let facts = place.source_facts();
            facts.map_err(|failure| naming(name_in(is_series, place).as_deref())(failure))
        };
        let each = self.places().map(look).collect::<Result<Vec<_>, _>>()?;
        let sum = each.iter().try_fold(0_u64, |sum, facts| sum.checked_add(facts.size?));
        Ok(Facts {
            stream: None,
            size: self.expected.or(sum),
            measured: sum,
            is_terminal: each.iter().any(|facts| facts.is_terminal),
            shape: in_common(&each, |facts| facts.shape),
            outside: in_common(&each, |facts| facts.outside),
            is_sparse: each.iter().any(|facts| facts.is_sparse),
            lends_pages: each.iter().any(|facts| facts.lends_pages),
            files: each.into_iter().flat_map(|facts| facts.files).collect(),
        })
    }

    /// When it is opened.
    #[must_use]
    pub fn reach(&self) -> Reach {
        self.first.reach()
    }

    /// Checks that it can be joined to a sink without a link.
    ///
    /// # Errors
    /// The reason why not.
    pub fn direct(&self) -> Result<(), &'static str> {
        self.places().try_for_each(Endpoint::direct)
    }

    /// Bytes of memory that it holds besides its link.
    #[must_use]
    pub fn state_bytes(&self) -> u64 {
        self.places().map(Endpoint::state_bytes).fold(0, u64::saturating_add)
    }

    /// The room that it needs for records.
    #[must_use]
    pub fn record_room(&self) -> Option<RecordRoom> {
        self.places().find_map(Endpoint::record_room)
    }

    /// Sets how large a record is at most, in bytes with its newline.
    pub fn settle_records(&mut self, largest: u64) {
        let places = std::iter::once(&mut self.first).chain(&mut self.later);
        places.for_each(|place| place.settle_records(largest));
    }

    /// Binds listeners; returns the addresses that peers may connect to.
    pub fn bind(&mut self) -> Result<Vec<String>, Failure> {
        let places = std::iter::once(&mut self.first).chain(&mut self.later);
        places.filter_map(|place| place.bind().transpose()).collect()
    }

    /// Checks that it can be read from the middle, and recognised in a later run.
    ///
    /// # Errors
    /// What it is instead of one regular file, as in "this is a connection".
    pub fn can_resume(&self) -> Result<(), &'static str> {
        if self.later.is_empty() {
            self.first.can_resume()
        } else {
            Err("a series of files")
        }
    }

    /// What a later run recognises it by, as far as that is known before it is opened.
    #[must_use]
    pub fn identity(&self) -> Option<SourceIdentity> {
        self.first.identity()
    }

    /// Makes it send its position with every chunk: the number of bytes before its end.
    pub fn mark_positions(&mut self) {
        self.marks = true;
    }

    /// Whether it has no end, so that a run of it ends by a signal and commits what was read.
    #[must_use]
    pub fn is_endless(&self) -> bool {
        self.places().any(Endpoint::is_endless)
    }

    /// Whether it is told how the run ended.
    #[must_use]
    pub fn settles(&self) -> bool {
        self.places().any(Endpoint::settles)
    }

    /// Why it is told what is durable while the run goes on, if it is.
    #[must_use]
    pub fn acknowledged(&self) -> Option<Acknowledged> {
        self.places().find_map(Endpoint::acknowledged)
    }

    /// Whether its stream can be ended properly before its own end.
    #[must_use]
    pub fn can_stop(&self) -> bool {
        self.places().all(Endpoint::can_stop)
    }

    /// What reading it will do at servers; shown before a run.
    pub fn reading(&self) -> impl Iterator<Item = String> {
        self.places().map(Endpoint::reading)
    }

    /// Whether standard input is one of its places.
    #[must_use]
    pub fn is_standard(&self) -> bool {
        self.places().any(Endpoint::is_standard)
    }

    /// What flows out of it.
    #[must_use]
    pub fn port(&self) -> Port {
        self.first.gives()
    }

    /// Whether it can lend the pipe that its bytes come from.
    #[must_use]
    pub fn lends_pipe(&self) -> bool {
        self.later.is_empty() && self.first.lends_pipe()
    }

    /// Opens, connects or accepts the first endpoint.
    pub async fn open(self) -> Result<OpenSource, Failure> {
        let mut source = OpenSource {
            shown: self.first.shown(),
            is_direct: self.direct().is_ok(),
            is_series: !self.later.is_empty(),
            name: None,
            input: None,
            later: self.later.into_iter(),
            left: u64::MAX,
            position: self.marks.then_some(0),
            runtime: Handle::current(),
        };
        source.open_place(self.first).await?;
        Ok(source)
    }
}

/// The name of an endpoint in a failure, if the stage's own text does not give it. Failures of far endpoints name their
/// address themselves.
fn name_in(is_series: bool, place: &dyn Endpoint) -> Option<String> {
    (is_series && place.reach() == Reach::Near).then(|| place.shown())
}

/// The value that is the same for all.
fn in_common<T: PartialEq>(each: &[Facts], of: impl Fn(&Facts) -> Option<T>) -> Option<T> {
    let first = of(each.first()?);
    first.filter(|first| each.iter().all(|facts| of(facts).as_ref() == Some(first)))
}

/// The endpoint that is being read, and those that follow when it has ended.
pub struct OpenSource {
    /// `None` if the next one could not be opened.
    input: Option<OpenReader>,
    /// Its name in a failure.
    name: Option<String>,
    /// The name of the first endpoint, for messages.
    shown: String,
    later: vec::IntoIter<Box<dyn Endpoint>>,
    is_series: bool,
    /// Whether all of them are descriptors.
    is_direct: bool,
    /// The number of bytes that are still to be read, over all endpoints.
    left: u64,
    /// The number of bytes up to here, if that is sent with every chunk.
    position: Option<u64>,
    /// Where connections of later endpoints are made.
    runtime: Handle,
}

impl OpenSource {
    async fn open_place(&mut self, place: Box<dyn Endpoint>) -> Result<(), Failure> {
        self.name = name_in(self.is_series, &*place);
        let opened = place.open_reader().await;
        let mut opened = opened.map_err(|failure| naming(self.name.as_deref())(failure))?;
        if let OpenReader::Descriptor(input) = &mut opened {
            input.name(self.name.clone());
        }
        self.input = Some(opened);
        Ok(())
    }

    fn descriptor(&mut self) -> Option<&mut Incoming> {
        match &mut self.input {
            Some(OpenReader::Descriptor(input)) => Some(input),
            _ => None,
        }
    }

    /// The descriptor that is read now, if it can be read without a link.
    pub fn as_direct(&mut self) -> Option<&mut Incoming> {
        if self.is_direct { self.descriptor() } else { None }
    }

    /// Moves `bytes` ahead without reading them if possible; returns how many it skipped.
    pub fn skip(&mut self, bytes: u64) -> Result<u64, Failure> {
        let skipped = match &mut self.input {
            Some(OpenReader::Descriptor(input)) => input.skip(bytes)?,
            Some(OpenReader::Stream(reader)) => {
                let count = bytes.min(reader.size().unwrap_or(0));
                if count > 0 && reader.skip(count) { count } else { 0 }
            }
            _ => 0,
        };
        if let Some(position) = &mut self.position {
            *position += skipped;
        }
        Ok(skipped)
    }

    /// Sets the largest number of bytes to read from here. The source then stops without finishing its outlet, because
    /// it cannot know whether more follows.
    pub fn read_at_most(&mut self, bytes: u64) {
        self.left = bytes;
    }

    /// How many bytes it gives in all, if only opening it has told.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        match &self.input {
            Some(OpenReader::Stream(reader)) if !self.is_series => reader.size(),
            _ => None,
        }
    }

    /// Which file or resource it is, if it can be recognised in a later run.
    pub fn identity(&self) -> Result<Option<SourceIdentity>, Failure> {
        let input = match &self.input {
            Some(OpenReader::Descriptor(input)) => input,
            Some(OpenReader::Stream(reader)) => return Ok(reader.identity()?.map(SourceIdentity::Remote)),
            _ => return Ok(None),
        };
        let stat = input.descriptor().stat();
        let stat = stat.map_err(|error| Failure::io(Kind::Source, "cannot look at it", error))?;
        Ok(FileIdentity::of(self.shown.clone(), &stat).map(SourceIdentity::File))
    }

    /// The object that is told how the run ended, if any.
    #[must_use]
    pub fn settle(&self) -> Option<Arc<dyn Settle>> {
        match &self.input {
            Some(OpenReader::Stream(reader)) => reader.settle(),
            Some(OpenReader::Records(reader)) => reader.settle(),
            _ => None,
        }
    }

    /// Opens the next endpoint, waiting for it; returns false if there is none.
    pub fn advance(&mut self, context: &Context) -> Result<bool, Stop> {
        let Some(next) = self.later.next() else {
            return Ok(false);
        };
        let runtime = self.runtime.clone();
        runtime.block_on(async {
            tokio::select! {
                opened = self.open_place(next) => opened.map_err(Stop::from),
                () = context.cancel.tripped() => Err(Stop::PeerClosed),
            }
        })?;
        Ok(true)
    }

    /// Starts the stage.
    #[must_use]
    pub fn start(mut self, mut out: Outlet, context: Context) -> Work {
        if let Some(OpenReader::Driver(run)) = self.input {
            return Work::Thread(Box::new(move || run(out, &context)));
        }
        if let Some(OpenReader::Records(reader)) = self.input {
            return Work::Task(Box::pin(async move {
                let outcome = read_records(reader, &mut out, &context).await;
                end(outcome, out, &context)
            }));
        }
        let is_task = matches!(&self.input, Some(OpenReader::Stream(reader)) if !reader.blocks());
        if is_task && self.later.as_slice().is_empty() {
            return Work::Task(Box::pin(async move {
                let outcome = self.read_stream(&mut out, &context).await;
                end(outcome, out, &context)
            }));
        }
        Work::Thread(Box::new(move || {
            let outcome = self.read_all(&mut out, &context);
            end(outcome, out, &context)
        }))
    }

    /// Reads every endpoint to its end, or as far as needed.
    fn read_all(&mut self, out: &mut Outlet, context: &Context) -> Outcome {
        loop {
            if matches!(self.input, Some(OpenReader::Stream(_))) {
                let runtime = self.runtime.clone();
                let _reactor = runtime.enter();
                block_on(self.read_stream(out, context))?;
            } else {
                self.read_descriptor(out, context)?;
            }
            if !self.advance(context)? {
                return Ok(());
            }
        }
    }

    /// Reads a descriptor to its end, or as far as needed.
    fn read_descriptor(&mut self, out: &mut Outlet, context: &Context) -> Outcome {
        let (left, position) = (&mut self.left, &mut self.position);
        let Some(OpenReader::Descriptor(input)) = &mut self.input else {
            return Ok(());
        };
        context.external_fd.reads(input.descriptor());
        let shape = input.descriptor().shape();
        let mut size = ReadSize::new(shape, out.largest());
        if shape == Shape::Pipe && *left > 0 {
            // A FIFO that has had no writer yet reads as if it had ended.
            input.wait(context)?;
        }
        loop {
            let wanted = wanted(*left)?;
            if context.cancel.is_tripped() {
                return Err(Stop::PeerClosed);
            }
            let mut buffer = out.reserve_blocking(size.next().min(wanted))?;
            match input.read(buffer.spare_mut(), context)? {
                Transfer::Bytes(0) => return Ok(input.check_end()?),
                Transfer::Bytes(count) => {
                    *left -= count as u64;
                    size.learn(count, buffer.capacity());
                    buffer.advance(count);
                    mark(&mut buffer, position);
                    out.send(buffer)?;
                }
                Transfer::NotReady => {
                    // A wait must not hold a buffer.
                    drop(buffer);
                    input.wait(context)?;
                }
            }
        }
    }

    /// Reads a stream to its end, or as far as needed, in the time that it may take.
    async fn read_stream(&mut self, out: &mut Outlet, context: &Context) -> Outcome {
        let expires = match &self.input {
            Some(OpenReader::Stream(reader)) => {
                context.findings.set_snapshot(reader.snapshot());
                context.findings.set_backlog(reader.backlog());
                reader.expires()
            }
            _ => None,
        };
        let Some((end, failure)) = expires else {
            return self.read_to_end(out, context).await;
        };
        let read = tokio::time::timeout_at(end, self.read_to_end(out, context)).await;
        read.unwrap_or_else(|_| Err(failure.into()))
    }

    /// Reads a stream to its end, or as far as needed. It holds no buffer while it waits.
    async fn read_to_end(&mut self, out: &mut Outlet, context: &Context) -> Outcome {
        let (left, at) = (&mut self.left, &mut self.position);
        let Some(OpenReader::Stream(reader)) = &mut self.input else {
            return Ok(());
        };
        let mut total = 0;
        let mut size = ReadSize::new(Shape::Socket, out.largest());
        if let Some(position) = reader.position() {
            // An earlier run may have come this far.
            out.mark(position)?;
        }
        loop {
            let wanted = wanted(*left)?;
            // What is read so far is committed, and half a record would be.
            let goes_on = reader.is_within_record() && context.is_draining.load(Ordering::Acquire);
            if context.cancel.is_tripped() && !goes_on {
                return Err(Stop::PeerClosed);
            }
            let mut buffer = out.reserve(size.next().min(wanted)).await?;
            let after = fill(&mut **reader, &mut buffer).await;
            let count = buffer.len();
            if count > 0 {
                total += count as u64;
                *left -= count as u64;
                context.meter.add_in(count as u64);
                size.learn(count, buffer.capacity());
                if let Some(position) = reader.position() {
                    buffer.mark(position);
                }
                mark(&mut buffer, at);
                out.send(buffer)?;
            } else {
                drop(buffer);
            }
            match after {
                After::More => {}
                After::Pending if count > 0 => {}
                After::Pending => {
                    if let Some(queue) = reader.queue() {
                        context.external_fd.show(queue, Interest::Read);
                    }
                    let _outside = context.meter.wait(Wait::Outside);
                    woken(&context.cancel).await?;
                }
                After::End => return reader.position().map_or(Ok(()), |position| Ok(out.mark(position)?)),
                After::Failed(stop) => {
                    return Err(stop.map(|failure| naming(self.name.as_deref())(failure).after(total)));
                }
            }
        }
    }
}

/// Ends the stream: properly if everything was read, or if reading was stopped so that what was read can be committed.
fn end(outcome: Outcome, out: Outlet, context: &Context) -> Outcome {
    match outcome {
        Err(Stop::PeerClosed) if context.is_draining.load(Ordering::Acquire) => {}
        outcome => outcome?,
    }
    out.finish();
    Ok(())
}

/// Reads records to their end. Each is sent on as soon as nothing more is there, and no buffer is held during a wait.
async fn read_records(mut reader: Box<dyn RecordReader>, out: &mut Outlet, context: &Context) -> Outcome {
    let mut output = RecordOutput::default();
    let mut total = 0;
    let mut is_first = true;
    context.findings.set_queue_state(reader.queue_state());
    loop {
        if context.cancel.is_tripped() {
            output.send(out)?;
            return Err(Stop::PeerClosed);
        }
        let read = poll_fn(|context| Poll::Ready(ready_or_none(reader.poll_record(context)))).await;
        (0..reader.rejected()).for_each(|_| context.meter.add_rejected());
        match read {
            Some(read) => {
                if !read.map_err(|stop| stop.map(|failure| failure.after(total)))? {
                    return Ok(output.send(out)?);
                }
                let record = reader.record();
                total += record.len() as u64;
                context.meter.add_in(record.len() as u64);
                let positions = reader.positions();
                if let Some([before, _]) = positions.filter(|_| std::mem::take(&mut is_first)) {
                    out.mark(before)?;
                }
                output.push_line(record, out).await?;
                if let Some([_, behind]) = positions {
                    output.mark(behind, out)?;
                }
            }
            None => {
                output.send(out)?;
                if let Some(queue) = reader.queue() {
                    context.external_fd.show(queue, Interest::Read);
                }
                let _outside = context.meter.wait(Wait::Outside);
                woken(&context.cancel).await?;
            }
        }
    }
}

/// Counts the bytes of a buffer, and gives it the position behind them if the source has one.
fn mark(buffer: &mut Buffer, position: &mut Option<u64>) {
    if let Some(position) = position {
        *position += buffer.len() as u64;
        buffer.mark(Position((*position).into()));
    }
}

/// The size of the next read. Once no more is needed, only another read could tell whether more follows.
fn wanted(left: u64) -> Result<usize, Stop> {
    match usize::try_from(left).unwrap_or(usize::MAX) {
        0 => Err(Stop::PeerClosed),
        wanted => Ok(wanted),
    }
}

/// What comes after the bytes that were read.
enum After {
    /// There may be more at once.
    More,
    /// Nothing for now.
    Pending,
    /// The proper end.
    End,
    /// An error.
    Failed(Stop),
}

/// Reads what is available, as far as the buffer has room.
async fn fill(reader: &mut dyn StreamReader, buffer: &mut Buffer) -> After {
    poll_fn(|context| {
        while !buffer.spare_mut().is_empty() {
            match reader.poll_read(context, buffer.spare_mut()) {
                Poll::Ready(Ok(0)) => return Poll::Ready(After::End),
                Poll::Ready(Ok(count)) => {
                    buffer.advance(count);
                    if reader.gives_records() {
                        break;
                    }
                }
                Poll::Ready(Err(stop)) => return Poll::Ready(After::Failed(stop)),
                Poll::Pending => return Poll::Ready(After::Pending),
            }
        }
        Poll::Ready(After::More)
    })
    .await
}

fn ready_or_none<T>(poll: Poll<T>) -> Option<T> {
    match poll {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// Waits until this task is woken: by the endpoint that a read found not ready, or spuriously. It is polled at once after
/// that read, which `select!` does not promise of its branches: it polls none once tokio's budget of the task is used up.
async fn woken(cancel: &Cancel) -> Outcome {
    let mut tripped = pin!(cancel.tripped());
    let mut is_first = true;
    poll_fn(|context| {
        if tripped.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(Stop::PeerClosed));
        }
        if std::mem::replace(&mut is_first, false) {
            Poll::Pending
        } else {
            Poll::Ready(Ok(()))
        }
    })
    .await
}
