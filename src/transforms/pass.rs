//! Stages that pass all or a part of the stream unchanged: `take`, `skip`, `limit` and `buffer`.

use crate::catalog::{Args, Build, Definition, Example, Kind, Param, Place, Role, Topic};
use crate::error::{self, Failure, Problem};
use crate::flow::{Chunk, Inlet, Outlet};
use crate::grammar::format_size;
use crate::graph::Port;
use crate::stage::{
    Context, Conversion, MemoryUse, Mismatch, Outcome, OutputSize, PassThrough, Resume, Stage, TransformPlan, Work,
};

/// The definition of `take`.
pub static TAKE: Definition = Definition {
    name: "take",
    role: Role::Transform,
    topic: Topic::Control,
    summary: "pass the first bytes or records and end, quietly",
    details: "What comes before is stopped; that is no failure. A stream that is shorter passes whole.\n\nNo more of \
              the source is read than is needed: what follows on a shared standard input (a file, a pipe or a connection) \
              is left for the next reader. This also holds behind stages that pass bytes on unchanged: skip, limit, \
              buffer, throttle and hash. How much input a decoder or an encoder needs for its first bytes is not known \
              beforehand: behind one of them more is read than is needed, and it is not given back.",
    params: &[part("how many bytes to pass"), RECORDS],
    examples: &[
        Example {
            text: "read /dev/urandom | take 1MiB | write noise",
            about: "a file of random bytes",
        },
        Example {
            text: "take 512 | write header",
            about: "the first block of standard input; the rest is left for the next command",
        },
        Example {
            text: "read run.jsonl | lines | take records=10 | write head.jsonl",
            about: "the first ten lines",
        },
    ],
    build: Build::Transform(plan_take),
};

/// The definition of `skip`.
pub static SKIP: Definition = Definition {
    name: "skip",
    role: Role::Transform,
    topic: Topic::Control,
    summary: "drop the first bytes or records and pass the rest",
    details: "Right behind a source that can seek, nothing is read that is not passed.",
    params: &[part("how many bytes to drop"), RECORDS],
    examples: &[Example {
        text: "read disk.img | skip 1MiB | take 64KiB | write slice",
        about: "cut a piece out of a file",
    }],
    build: Build::Transform(plan_skip),
};

/// The definition of `limit`.
pub static LIMIT: Definition = Definition {
    name: "limit",
    role: Role::Transform,
    topic: Topic::Control,
    summary: "fail once more than so many bytes have come",
    details: "A guard against streams that never end, for example behind a decoder. A stream of exactly that size passes \
              whole; at the first byte more the run fails with exit code 7, and a file that was to be written stays as it \
              was. `take` ends such a stream quietly instead.",
    params: &[size("how many bytes may come")],
    examples: &[Example {
        text: "read upload.gz | gunzip | limit 100MiB | write upload",
        about: "decompress what a stranger sent, but not a bomb",
    }],
    build: Build::Transform(plan_limit),
};

/// The definition of `buffer`.
pub static BUFFER: Definition = Definition {
    name: "buffer",
    role: Role::Transform,
    topic: Topic::Control,
    summary: "keep so many bytes ready between two stages",
    details: "Evens out a source or a sink that stops now and then. It is a stage whose link holds that much: the link's \
              high-water mark is SIZE, and with low= the stages before it rest until it has drained to that. The memory \
              comes on top of the default ceiling; a ceiling that was given must have room for it.",
    params: &[size(
        "how many bytes to keep; the high-water mark of the link behind, unless high= says otherwise",
    )],
    examples: &[Example {
        text: "read big.iso | buffer 64MiB low=16MiB | write copy.iso",
        about: "read in long stretches, and rest in between",
    }],
    build: Build::Transform(plan_buffer),
};

/// The size parameter of each of them.
const fn size(help: &'static str) -> Param {
    Param {
        name: "size",
        kind: Kind::Size,
        place: Place::Positional,
        required: true,
        default: None,
        help,
    }
}

/// The number of bytes of a stage that can count records instead.
const fn part(help: &'static str) -> Param {
    Param {
        required: false,
        ..size(help)
    }
}

const RECORDS: Param = Param {
    name: "records",
    kind: Kind::Integer { min: 0, max: i64::MAX },
    place: Place::Named,
    required: false,
    default: None,
    help: "how many records, instead of bytes",
};

/// The number that a call gives, and whether it is one of records.
fn amount(args: &Args) -> Result<(u64, bool), Problem> {
    let records = args
        .integer(RECORDS.name)
        .map(|count| u64::try_from(count).unwrap_or(0));
    match (args.size("size"), records) {
        (Some(size), None) => Ok((size, false)),
        (None, Some(records)) => Ok((records, true)),
        (Some(_), Some(_)) => {
            let problem = Problem::at(args.span_of(RECORDS.name), "bytes or records are counted, not both");
            Err(problem.help("leave out one of them"))
        }
        (None, None) => {
            let problem = Problem::at(args.span(), "it is not said how much");
            Err(problem.help("give a number of bytes, or of records with records="))
        }
    }
}

fn plan_take(args: &Args) -> Result<Box<dyn TransformPlan>, Problem> {
    let (most, counts_records) = amount(args)?;
    Ok(Box::new(Pass {
        counts_records,
        most: Some(most),
        ..Pass::default()
    }))
}

fn plan_skip(args: &Args) -> Result<Box<dyn TransformPlan>, Problem> {
    let (skip, counts_records) = amount(args)?;
    Ok(Box::new(Pass {
        counts_records,
        skip,
        ..Pass::default()
    }))
}

fn plan_limit(args: &Args) -> Result<Box<dyn TransformPlan>, Problem> {
    Ok(Box::new(Pass {
        most: Some(args.required_size("size")),
        is_limit: true,
        ..Pass::default()
    }))
}

fn plan_buffer(args: &Args) -> Result<Box<dyn TransformPlan>, Problem> {
    let size = args.required_size("size");
    if size == 0 {
        let problem = Problem::at(args.span_of("size"), "a buffer of 0 bytes lets nothing pass");
        return Err(problem.help("the least is 1 byte"));
    }
    Ok(Box::new(Pass {
        high: Some(size),
        ..Pass::default()
    }))
}

/// A stage that passes bytes on, all of them by default. Sizes in bytes, unless it counts records.
#[derive(Default)]
struct Pass {
    counts_records: bool,
    /// How much of the beginning it still has to drop.
    skip: u64,
    /// How much it passes behind that; `None` for all.
    most: Option<u64>,
    /// Whether more is an error, instead of ending the stream.
    is_limit: bool,
    /// The high-water mark of the link behind it.
    high: Option<u64>,
}

impl TransformPlan for Pass {
    fn make(self: Box<Self>) -> Box<dyn Stage> {
        self
    }

    fn memory_use(&self) -> Option<&dyn MemoryUse> {
        Some(self)
    }

    fn pass_through(&self) -> Option<&dyn PassThrough> {
        (!self.counts_records).then_some(self)
    }

    fn conversion(&self) -> Option<&dyn Conversion> {
        self.counts_records.then_some(self)
    }

    fn keeps_positions(&self) -> bool {
        self.skip == 0 && self.most.is_none()
    }

    fn resume(&mut self) -> Result<&mut dyn Resume, &'static str> {
        if self.keeps_positions() {
            Ok(self)
        } else {
            Err("counts from the beginning of the stream")
        }
    }

    fn ends_early(&self) -> bool {
        self.most.is_some() && !self.is_limit
    }

    fn leading_skip(&mut self) -> Option<&mut u64> {
        (!self.counts_records).then_some(&mut self.skip)
    }
}

/// Where it counts records, it needs some.
impl Conversion for Pass {
    fn output_port(&self, input: Port) -> Result<Port, Mismatch> {
        Mismatch::unless_records(input).map(|()| input)
    }
}

impl Resume for Pass {
    fn effect(&self) -> Option<String> {
        None
    }
}

impl MemoryUse for Pass {
    fn high(&self) -> Option<u64> {
        self.high
    }
}

impl PassThrough for Pass {
    fn wanted_input(&self, output: Option<u64>) -> Option<u64> {
        // One more byte shows that the limit was exceeded.
        let most = self.most.map(|most| most.saturating_add(u64::from(self.is_limit)));
        let wanted = [output, most].into_iter().flatten().min()?;
        wanted.checked_add(self.skip)
    }

    fn output_size(&self) -> OutputSize {
        match self.most {
            Some(most) if self.is_limit => OutputSize::Limited(most),
            most => OutputSize::Part { skip: self.skip, most },
        }
    }
}

impl Stage for Pass {
    fn start(self: Box<Self>, input: Inlet, out: Outlet, _: Context) -> Work {
        Work::Task(Box::pin(self.run(input, out)))
    }
}

impl Pass {
    async fn run(mut self: Box<Self>, mut input: Inlet, mut out: Outlet) -> Outcome {
        let most = self.most.unwrap_or(u64::MAX);
        let mut left = most;
        while left > 0 || self.is_limit {
            let Some(mut chunk) = input.receive().await? else { break };
            let (length, dropped) = self.first(&chunk, self.skip);
            self.skip -= dropped;
            chunk.advance(length);
            let (length, passed) = self.first(&chunk, left);
            let is_over = length < chunk.len();
            left -= passed;
            chunk.truncate(length);
            // The allowed bytes go first: a `take` downstream may need no more than those.
            out.forward(chunk).await?;
            if is_over && self.is_limit {
                let why = format!("more than {} came", format_size(most));
                return Err(Failure::because(error::Kind::Limit, "over the limit", why).into());
            }
        }
        out.finish();
        Ok(())
    }
}

impl Pass {
    /// The length of the first `most` bytes or records of a chunk, or of all that it has, and their number.
    fn first(&self, chunk: &Chunk, most: u64) -> (usize, u64) {
        if self.counts_records {
            (chunk.length_of_records(most), most.min(chunk.records()))
        } else {
            let length = at_most(most, chunk.len());
            (length, length as u64)
        }
    }
}

/// `left`, or `bytes` if that is less.
fn at_most(left: u64, bytes: usize) -> usize {
    usize::try_from(left).map_or(bytes, |left| left.min(bytes))
}
