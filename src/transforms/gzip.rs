//! gzip: RFC 1952.

use std::io;
use std::time::Duration;

use async_compression::codecs::DecodeV2;
use async_compression::codecs::gzip::{GzipDecoder, GzipEncoder};
use async_compression::core::util::{PartialBuffer, WriteBuffer};
use flate2::Compression;

use crate::catalog::{Args, Build, Definition, Example, Kind, Param, Place, Role, Topic};
use crate::error::Problem;
use crate::stage::{Content, MemoryUse, TransformPlan};

use super::codec::{
    Codec, Decoder, FLUSH, Format, Head, Likeness, Padding, Step, compare, compress, given_level, level,
};
use super::members::unpack::Unpack;
use super::members::{Members, processors};

mod member;
mod pack;
mod unpack;

pub use pack::Pack;

/// The definition of `gzip`.
pub static GZIP: Definition = Definition {
    name: "gzip",
    role: Role::Transform,
    topic: Topic::Compress,
    summary: "compress to gzip, on all processors",
    details: "The stream is cut into members that are compressed in parallel; any gzip reads them, and highwater \
              reads them in parallel, too. When the input is slow, its output follows within `flush`. With \
              single=true there is one member, compressed on one thread.",
    params: &[
        level(1, 12, "6", "1 is fastest, 12 is smallest; from 10 on it is far slower"),
        Param {
            name: "threads",
            kind: Kind::Integer { min: 1, max: 64 },
            place: Place::Named,
            required: false,
            default: None,
            help: "compress on so many threads; else on all processors, as far as --memory allows",
        },
        Param {
            name: "member",
            kind: Kind::Size,
            place: Place::Named,
            required: false,
            default: None,
            help: "bytes of input in a member; else 384KiB, or 256KiB where --memory is tight, and 64KiB from level 10 on",
        },
        Param {
            name: "single",
            kind: Kind::Flag,
            place: Place::Named,
            required: false,
            default: Some("false"),
            help: "one member, for readers that know no more",
        },
        FLUSH,
    ],
    examples: &[
        Example {
            text: "read big.iso | gzip level=9 | write big.iso.gz",
            about: "compress a file",
        },
        Example {
            text: "read big.iso | gzip single=true | write big.iso.gz",
            about: "the same for a reader that knows only one member",
        },
    ],
    build: Build::Transform(plan_gzip),
};

/// The definition of `gunzip`.
pub static GUNZIP: Definition = Definition {
    name: "gunzip",
    role: Role::Transform,
    topic: Topic::Compress,
    summary: "decompress gzip",
    details: "All members are decompressed. Input that is corrupt, cut short or followed by something else is an error; \
              zero bytes behind the last member are passed over.",
    params: &[],
    examples: &[Example {
        text: "read big.iso.gz | gunzip | write big.iso",
        about: "decompress a file",
    }],
    build: Build::Transform(plan_gunzip),
};

/// gzip, for decoders.
pub static FORMAT: Format = Format {
    name: "gzip",
    head,
    decoder: || Box::new(Gunzip(GzipDecoder::new())),
    base: INFLATE_STATE,
    grows: false,
    padding: Padding::Zeros,
    repeats: true,
};

/// Bytes of input in a member. A member starts without the history before it, which costs compression: for a tar of
/// programs, members of 256 KiB are 0.25 % larger than the output of `pigz` and these are 0.01 % smaller. 448 KiB would
/// save 0.09 % more, for 0.35 MB of resident memory.
const MEMBER: u64 = 384 << 10;
/// The same if that does not fit.
const SMALLER_MEMBER: usize = 256 << 10;
const MAGIC: &[u8] = &[0x1f, 0x8b];
/// The only compression method of RFC 1952.
const DEFLATE: u8 = 8;
/// The flags that RFC 1952 reserves. A decoder must reject them, because they may announce a field where it expects the
/// data.
const RESERVED: u8 = 0xe0;
/// Bytes that a compressor holds, at any level: window, hash chains, pending output. Measured: 373 KiB.
const DEFLATE_STATE: u64 = 384 << 10;
/// Bytes that a decompressor holds: its window and tables.
const INFLATE_STATE: u64 = 64 << 10;

fn head(head: &[u8]) -> Head {
    match (compare(head, MAGIC), &head[MAGIC.len().min(head.len())..]) {
        (Likeness::Different, _) => Head::Foreign,
        (Likeness::Same, [method, ..]) if *method != DEFLATE => Head::Unable("its compression method is not deflate"),
        (Likeness::Same, [_, flags, ..]) if flags & RESERVED != 0 => Head::Unable("its header has reserved flags set"),
        (Likeness::Same, [_, _, ..]) => Head::Member(0),
        _ => Head::More(MAGIC.len() + 2),
    }
}

fn plan_gzip(args: &Args) -> Result<Box<dyn TransformPlan>, Problem> {
    /// Below this a member's header and its lost history cost more than is gained.
    const SMALLEST: u64 = 4 << 10;
    /// The largest member that both sides can hold.
    const LARGEST: u64 = 2 << 20;
    let level = given_level(args);
    let flush = args.duration("flush");
    if args.flag("single") {
        for name in ["threads", "member"] {
            if args.is_given(name) {
                let problem = Problem::at(args.span_of(name), format!("`{name}` means nothing with single=true"));
                return Err(problem.help("leave one of them out"));
            }
        }
        if level > 9 {
            let problem = Problem::at(
                args.span_of("level"),
                "a single member is compressed at level 9 at the most",
            );
            return Err(problem.help("write level=9, or leave single=true out"));
        }
        return Ok(single(level, flush));
    }
    let given = args.size("member");
    let size = given.unwrap_or(if level < 10 { MEMBER } else { 64 << 10 });
    if !(SMALLEST..=LARGEST).contains(&size) {
        let problem = Problem::at(args.span_of("member"), "a member has from 4KiB to 2MiB");
        return Err(problem.help("384KiB is a good choice"));
    }
    let threads = args
        .integer("threads")
        .and_then(|threads| usize::try_from(threads).ok());
    let mut members = Members {
        format: Pack { level },
        size: usize::try_from(size).unwrap_or(64 << 10),
        threads: threads.unwrap_or_else(processors),
        flush,
    };
    let fits = |members: &Members<Pack>| members.state_bytes() <= args.state_limit();
    if given.is_none() && level < 10 && !fits(&members) {
        // A little more output is better than one thread less.
        members.size = SMALLER_MEMBER;
    }
    while threads.is_none() && members.threads > 1 && !fits(&members) {
        members.threads -= 1;
    }
    if threads.is_none() && level < 10 && !fits(&members) {
        return Ok(single(level, flush));
    }
    Ok(Box::new(members))
}

fn plan_gunzip(_: &Args) -> Result<Box<dyn TransformPlan>, Problem> {
    Ok(Box::new(Codec {
        content: Content::Restored,
        state: FORMAT.base,
        claims_later: FORMAT.grows,
        stage: Unpack {
            format: unpack::Sized,
            threads: processors(),
        },
    }))
}

/// A single member, compressed as a stream.
fn single(level: i32, flush: Option<Duration>) -> Box<dyn TransformPlan> {
    let level = level.clamp(1, 9).unsigned_abs();
    compress(DEFLATE_STATE, flush, move || {
        GzipEncoder::new(Compression::new(level).into())
    })
}

/// The library's decoder takes an empty input for an error, unless it is told to flush.
struct Gunzip(GzipDecoder);

impl Decoder for Gunzip {
    fn restart(&mut self) -> io::Result<()> {
        self.0.reinit()
    }

    fn decode(&mut self, input: &mut PartialBuffer<&[u8]>, output: &mut WriteBuffer<'_>) -> io::Result<Step> {
        if input.unwritten().is_empty() {
            // Its result says whether all output was returned, not whether the member is complete: that takes the
            // footer.
            self.0.flush(output)?;
            return Ok(Step::Within);
        }
        let is_over = self.0.decode(input, output)?;
        Ok(if is_over { Step::Ended } else { Step::Within })
    }
}
