//! `read`: the source for every kind of endpoint.

use std::io;
use std::sync::Arc;

use rustix::fs::FileType;

use crate::catalog::{Args, Build, Definition, Example, Kind, Param, Place, Role};
use crate::error::{self, Failure, Problem, Stop};
use crate::flow::{Outlet, Wait, block_on};
use crate::platform::{Descriptor, FileStamp, Interest, Shape, Transfer, Woken, files};
use crate::stage::{
    BoxFuture, Context, DirectSource, Facts, Outcome, Reach, Settle, Source, SourceIdentity, SourcePlan, Work,
};

use super::patience::{CONNECTING, RETRY, USER_TIMEOUT};
use super::{Endpoint, Incoming, Knob, OpenReader, Patience, length, named};

mod stream;

/// The definition of `read`.
pub static READ: Definition = Definition {
    name: "read",
    role: Role::Source,
    summary: "read files, standard input or a connection, one after the other",
    details: "A chain whose first stage is no source reads standard input, as `read -` does.\n\nWith `zero-copy=true` \
              and nothing between, a file's pages are handed to the sink's pipe or connection instead of being copied. \
              That is faster, and it is an alias: who writes to the file before the other side has read what was sent \
              changes it there too. Use it for files that nobody writes to.\n\nA pipe that has the system's default size, \
              here or at the sink, is enlarged while it is open, as far as 1 MiB, an eighth of the memory ceiling and the \
              user's quota of pipes allow. One whose size was set, and those of a chain with a throttle, stay as they are.",
    params: &[
        Param {
            name: "path",
            kind: Kind::Endpoint,
            place: Place::PositionalMany,
            required: true,
            default: None,
            help: "what to read: a path, - or a URL; several are read in turn",
        },
        Param {
            name: "size",
            kind: Kind::Size,
            place: Place::Named,
            required: false,
            default: None,
            help: "how much a stream is expected to give; for the time left, not a limit",
        },
        Param {
            name: "zero-copy",
            kind: Kind::Flag,
            place: Place::Named,
            required: false,
            default: Some("false"),
            help: "lend a file's own pages to a pipe or a socket; a file that changes meanwhile changes what was sent",
        },
        CONNECTING,
        RETRY,
        USER_TIMEOUT,
    ],
    examples: &[
        Example {
            text: "read big.iso | write copy.iso",
            about: "copy a file; the copy is complete and durable, or not there",
        },
        Example {
            text: "read part1 part2 | write whole",
            about: "join files",
        },
    ],
    build: Build::Source(plan),
};

fn plan(args: &Args) -> Result<Box<dyn SourcePlan>, Problem> {
    let names = args.endpoints("path").into_iter();
    let endpoints = names.map(|name| named(name, args)).collect::<Result<Vec<_>, _>>()?;
    for knob in [Knob::Retry, Knob::UserTimeout] {
        knob.check(args, endpoints.iter().map(|endpoint| &**endpoint))?;
    }
    let lends_pages = args.flag("zero-copy");
    if lends_pages && endpoints.iter().any(|endpoint| endpoint.reach() == Reach::Far) {
        let problem = Problem::at(args.span_of("zero-copy"), "zero-copy=true lends the pages of a file");
        return Err(problem
            .help("leave it out; what comes over a connection is passed on without a copy where that is possible"));
    }
    Ok(Box::new(Plan {
        endpoints,
        lends_pages,
        size: args.size("size"),
        patience: Patience::of(args),
    }))
}

/// The source of a chain that names none: standard input.
#[must_use]
pub fn standard_input() -> Box<dyn SourcePlan> {
    only(Box::new(super::stdio::Inherited::standard()))
}

/// Reads one place.
#[must_use]
pub fn only(endpoint: Box<dyn Endpoint>) -> Box<dyn SourcePlan> {
    Box::new(Plan {
        endpoints: vec![endpoint],
        lends_pages: false,
        size: None,
        patience: Patience::default(),
    })
}

struct Plan {
    endpoints: Vec<Box<dyn Endpoint>>,
    /// Whether a file's pages may go out as they are.
    lends_pages: bool,
    /// What the user expects, in bytes.
    size: Option<u64>,
    patience: Patience,
}

impl Plan {
    /// What to call an endpoint in a failure, where the stage's own text leaves that open.
    fn name_of(&self, endpoint: &dyn Endpoint) -> Option<String> {
        // A far place's failures name its address themselves.
        (self.endpoints.len() > 1 && endpoint.reach() == Reach::Near).then(|| endpoint.shown())
    }
}

/// Puts the name of an endpoint into its failures.
fn naming(name: Option<&str>) -> impl Fn(Failure) -> Failure {
    move |failure| match name {
        Some(name) => failure.on(name),
        None => failure,
    }
}

impl SourcePlan for Plan {
    fn facts(&self) -> Result<Facts, Failure> {
        let each = self
            .endpoints
            .iter()
            .map(|endpoint| {
                endpoint
                    .source_facts()
                    .map_err(naming(self.name_of(&**endpoint).as_deref()))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let shape = each.first().and_then(|facts| facts.shape);
        let sum = each.iter().try_fold(0_u64, |sum, facts| sum.checked_add(facts.size?));
        Ok(Facts {
            stream: None,
            size: self.size.or(sum),
            is_terminal: each.iter().any(|facts| facts.is_terminal),
            shape: shape.filter(|_| each.iter().all(|facts| facts.shape == shape)),
            is_sparse: each.iter().any(|facts| facts.is_sparse),
            lends_pages: self.lends_pages,
            files: each.into_iter().flat_map(|facts| facts.files).collect(),
        })
    }

    fn reach(&self) -> Reach {
        self.endpoints.first().map_or(Reach::Near, |endpoint| endpoint.reach())
    }

    fn bind(&mut self) -> Result<Vec<String>, Failure> {
        let bound = self.endpoints.iter_mut().map(|endpoint| endpoint.bind());
        bound.filter_map(Result::transpose).collect()
    }

    fn can_resume(&self) -> Result<(), &'static str> {
        match self.endpoints.as_slice() {
            [only] => only.regular_file(),
            _ => Err("a series of files"),
        }
    }

    fn open(self: Box<Self>) -> BoxFuture<'static, Result<Box<dyn Source>, Failure>> {
        Box::pin(async move {
            let names: Vec<_> = self
                .endpoints
                .iter()
                .map(|endpoint| self.name_of(&**endpoint))
                .collect();
            let mut later = std::iter::zip(names, self.endpoints).collect::<Vec<_>>().into_iter();
            let (name, first) = later.next().expect("read needs at least one endpoint");
            let shown = first.shown();
            let can_be_direct = first.is_descriptor() && later.as_slice().iter().all(|(_, next)| next.is_descriptor());
            let opened = first.open_reader(self.patience).await;
            let source: Box<dyn Source> = Box::new(Reading {
                input: opened.map_err(naming(name.as_deref()))?,
                name,
                shown,
                later,
                left: u64::MAX,
                can_be_direct,
                lends_pages: self.lends_pages,
                patience: self.patience,
                runtime: tokio::runtime::Handle::current(),
            });
            Ok(source)
        })
    }
}

/// The endpoint that is being read, and those that follow when it has ended.
struct Reading {
    input: OpenReader,
    /// What to call it in a failure, if it is one of several.
    name: Option<String>,
    /// The first endpoint's name, as people may see it.
    shown: String,
    later: std::vec::IntoIter<(Option<String>, Box<dyn Endpoint>)>,
    /// Bytes that are still wanted of all of them.
    left: u64,
    /// Whether all of them are descriptors.
    can_be_direct: bool,
    lends_pages: bool,
    patience: Patience,
    /// Where a later endpoint's connection is made.
    runtime: tokio::runtime::Handle,
}

impl Source for Reading {
    fn skip(&mut self, bytes: u64) -> Result<u64, Failure> {
        let OpenReader::Descriptor(input) = &mut self.input else {
            return Ok(0);
        };
        let Some(size) = input.size else { return Ok(0) };
        let count = bytes.min(size);
        let step = i64::try_from(count).unwrap_or(i64::MAX);
        files::seek(&input.descriptor, rustix::fs::SeekFrom::Current(step))
            .map_err(|error| Failure::io(error::Kind::Source, "cannot skip", error))?;
        input.skipped = count;
        Ok(count)
    }

    fn read_at_most(&mut self, bytes: u64) {
        self.left = bytes;
    }

    fn identity(&self) -> Result<Option<SourceIdentity>, Failure> {
        let failed = |error| Failure::io(error::Kind::Source, "cannot look at it", error);
        let OpenReader::Descriptor(input) = &self.input else {
            return Ok(None);
        };
        let stat = input.descriptor.stat().map_err(failed)?;
        let stamp = FileStamp::of(&stat);
        Ok(FileType::from_raw_mode(stat.st_mode).is_file().then(|| SourceIdentity {
            path: self.shown.clone(),
            size: stamp.size,
            modified_s: stamp.modified_s,
            modified_ns: stamp.modified_ns,
            inode: stamp.inode,
        }))
    }

    fn settle(&self) -> Option<Arc<dyn Settle>> {
        match &self.input {
            OpenReader::Descriptor(_) => None,
            OpenReader::Stream(reader) => reader.settle(),
        }
    }

    fn as_direct(&mut self) -> Option<&mut dyn DirectSource> {
        self.can_be_direct.then_some(self as &mut dyn DirectSource)
    }

    fn start(self: Box<Self>, out: Outlet, context: Context) -> Work {
        match *self {
            Self {
                input: OpenReader::Stream(reader),
                name,
                left,
                later,
                ..
            } if later.as_slice().is_empty() => {
                let named = move |failure| naming(name.as_deref())(failure);
                Work::Task(Box::pin(stream::read_one(reader, out, left, context, named)))
            }
            reading => Work::Thread(Box::new(move || reading.run(out, &context))),
        }
    }
}

impl DirectSource for Reading {
    fn descriptor(&self) -> &Arc<Descriptor> {
        match &self.input {
            OpenReader::Descriptor(input) => &input.descriptor,
            OpenReader::Stream(_) => unreachable!("every place of a direct path is a descriptor"),
        }
    }

    fn lends_pages(&self) -> bool {
        self.lends_pages
    }

    fn ended(&self, total: u64) -> Outcome {
        match &self.input {
            OpenReader::Descriptor(input) => check_length(input, total),
            OpenReader::Stream(_) => Ok(()),
        }
    }

    fn advance(&mut self, context: &Context) -> Result<bool, Stop> {
        let Some((name, endpoint)) = self.later.next() else {
            return Ok(false);
        };
        self.name = name;
        let opening = endpoint.open_reader(self.patience);
        self.input = self.runtime.block_on(async {
            tokio::select! {
                opened = opening => opened.map_err(naming(self.name.as_deref())).map_err(Stop::from),
                () = context.cancel.tripped() => Err(Stop::Neighbour),
            }
        })?;
        Ok(true)
    }

    fn failed(&self, error: io::Error, total: u64) -> Failure {
        naming(self.name.as_deref())(Failure::io(error::Kind::Source, "cannot read", error)).after(total)
    }
}

impl Reading {
    fn run(mut self, mut out: Outlet, context: &Context) -> Outcome {
        loop {
            match &mut self.input {
                OpenReader::Descriptor(input) => {
                    let descriptor = input.descriptor.clone();
                    self.read_all(&descriptor, &mut out, context)?;
                }
                OpenReader::Stream(reader) => {
                    let _reactor = self.runtime.enter();
                    let named = naming(self.name.as_deref());
                    block_on(stream::read_all(
                        &mut **reader,
                        &mut out,
                        &mut self.left,
                        context,
                        named,
                    ))?;
                }
            }
            if !self.advance(context)? {
                break;
            }
        }
        out.finish();
        Ok(())
    }

    /// Reads one endpoint to its end, or as far as it is wanted.
    fn read_all(&mut self, descriptor: &Arc<Descriptor>, out: &mut Outlet, context: &Context) -> Outcome {
        context.outer_side.reads(descriptor);
        let mut total = 0;
        let mut size = ReadSize::new(descriptor.shape(), out.largest());
        if descriptor.shape() == Shape::Pipe && self.left > 0 {
            // A FIFO that nobody has opened for writing yet reads as if it had ended.
            self.wait(descriptor, total, context)?;
        }
        loop {
            let wanted = usize::try_from(self.left).unwrap_or(usize::MAX);
            if wanted == 0 {
                // Only another read could tell whether this is the end.
                return Err(Stop::Neighbour);
            }
            let mut buffer = out.reserve_blocking(size.next().min(wanted))?;
            let result = {
                // A disk's wait cannot be told from its work: all of the call counts as one.
                let _outside = (descriptor.shape() == Shape::File).then(|| context.meter.wait(Wait::Outside));
                descriptor.read(buffer.spare_mut())
            };
            match result.map_err(|error| self.failed(error, total))? {
                Transfer::Bytes(0) => return self.ended(total),
                Transfer::Bytes(count) => {
                    total += count as u64;
                    self.left -= count as u64;
                    context.meter.add_in(count as u64);
                    size.learn(count, buffer.capacity());
                    buffer.advance(count);
                    out.send(buffer)?;
                }
                Transfer::NotReady => {
                    // Who waits holds nothing.
                    drop(buffer);
                    self.wait(descriptor, total, context)?;
                }
            }
        }
    }

    fn wait(&self, descriptor: &Descriptor, total: u64, context: &Context) -> Outcome {
        let _outside = context.meter.wait(Wait::Outside);
        let woken = descriptor.wait(Interest::Read, context.cancel.alarm()?);
        match woken.map_err(|error| self.failed(error, total))? {
            Woken::Alarm => Err(Stop::Neighbour),
            Woken::Ready | Woken::TimedOut => Ok(()),
        }
    }
}

/// A regular file that ends before the size it had at its opening has been cut while it was read; one that goes on has
/// grown. A file whose size was never true (in /sys) has the same size still.
fn check_length(input: &Incoming, total: u64) -> Outcome {
    let Some(expected) = input.size.map(|size| size - input.skipped) else {
        return Ok(());
    };
    if total > expected {
        tracing::warn!("the source grew while it was read: {expected} bytes at first, {total} at last");
    }
    let is_cut = length(&input.descriptor) < input.length;
    if total < expected && is_cut {
        let why = format!("the file shrank while it was read: {expected} bytes at first, {total} at last");
        return Err(Failure::because(error::Kind::Integrity, "cannot read all of it", why).into());
    }
    Ok(())
}

/// How large the next read should be. Files fill what they are given; a pipe or a peer gives what it has, and a buffer
/// much larger than that would only be copied into a smaller one.
struct ReadSize {
    next: usize,
    largest: usize,
    adapts: bool,
}

impl ReadSize {
    /// Half the default capacity of a Linux pipe is what a busy one tends to give.
    const FIRST: usize = 64 << 10;
    const SMALLEST: usize = 4 << 10;

    fn new(shape: Shape, largest: usize) -> Self {
        let adapts = shape != Shape::File;
        Self {
            next: if adapts { Self::FIRST.min(largest) } else { largest },
            largest,
            adapts,
        }
    }

    fn next(&self) -> usize {
        self.next
    }

    fn learn(&mut self, count: usize, capacity: usize) {
        if !self.adapts {
            return;
        }
        if count == capacity {
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
