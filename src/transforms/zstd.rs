//! zstd: RFC 8878.

use std::sync::Arc;
use std::time::Duration;

use async_compression::codecs::zstd::params::{CParameter, DParameter};
use async_compression::codecs::{ZstdDecoder, ZstdEncoder};

use crate::catalog::{Args, Build, Definition, Example, Kind, Param, Place, Role, Topic};
use crate::error::Problem;
use crate::grammar::format_size;
use crate::stage::{Content, Conversion, MemoryUse, Resume, SavedStates, Stage, TransformPlan};

use super::codec::{Codec, FLUSH, Format, Padding, Plain, THREADS, compress, given_level, given_threads, level};
use super::members::unpack::Unpack;
use super::members::{Members, processors};

mod frame;
mod frames;
mod state;
mod unpack;

use frames::Frames;

/// The definition of `zstd`.
pub static ZSTD: Definition = Definition {
    name: "zstd",
    role: Role::Transform,
    topic: Topic::Compress,
    summary: "compress to zstd",
    details: "One frame with a checksum of its content. With frame=, and for a sink with resume=true, there are several, \
              which are compressed independently, and flush= ends one; any zstd reads them. Levels below 1 are faster still; levels above 19 take \
              hundreds of megabytes, here and where it is decompressed.\n\nMore threads make it faster, and take more \
              memory: `highwater explain` says how much.\n\nWhen the input is slow, its output follows within \
              `flush`, so that the receiver need not wait for a full block.",
    params: &[
        level(-7, 22, "3", "1 is fast, 19 is small, 22 is smallest; 0 stands for 3"),
        THREADS,
        Param {
            name: "window",
            kind: Kind::Size,
            place: Place::Named,
            required: false,
            default: None,
            help: "how far back repetitions are looked for; a power of two up to 2GiB. Above the level's own it takes as \
                   much more memory here, and above 128MiB more than decoders give without being asked",
        },
        Param {
            name: "frame",
            kind: Kind::Size,
            place: Place::Named,
            required: false,
            default: None,
            help: "bytes of input in each of several frames; else one frame, or with resume=true 4MiB or two windows each",
        },
        FLUSH,
    ],
    examples: &[
        Example {
            text: "read big.iso | zstd | write big.iso.zst",
            about: "compress a file",
        },
        Example {
            text: "read big.iso | zstd level=9 threads=2 | write big.iso.zst",
            about: "compress it better, on two threads",
        },
        Example {
            text: "read big.iso | zstd window=64MiB | write big.iso.zst",
            about: "find what repeats up to 64 MiB apart, as zstd --long=26 does",
        },
    ],
    build: Build::Transform(plan_zstd),
};

/// The definition of `unzstd`.
pub static UNZSTD: Definition = Definition {
    name: "unzstd",
    role: Role::Transform,
    topic: Topic::Compress,
    summary: "decompress zstd",
    details: "All frames are decompressed, skippable ones are passed over. Checksums are checked. Input that is corrupt, \
              cut short or followed by something else is an error.\n\nFrames that state the size of their content, up to 8 MiB, \
              as `zstd frame=` and pzstd write them, are decompressed on all processors, as far as --memory allows.\n\nThe memory that it takes is known when the first bytes have come: a \
              window of up to 128 MiB by default, and what `--memory` allows where that is given.",
    params: &[],
    examples: &[Example {
        text: "read big.iso.zst | unzstd | write big.iso",
        about: "decompress a file",
    }],
    build: Build::Transform(plan_unzstd),
};

/// zstd, for decoders.
pub static FORMAT: Format = Format {
    name: "zstd",
    head: frame::head,
    // The memory of a frame is claimed before; the library's own limit would only interfere.
    decoder: || {
        let limit = DParameter::window_log_max(frame::LARGEST_WINDOW_LOG);
        Box::new(Plain(ZstdDecoder::new_with_params(&[limit])))
    },
    base: state::DECODER,
    grows: true,
    padding: Padding::None,
    repeats: true,
};

fn plan_zstd(args: &Args) -> Result<Box<dyn TransformPlan>, Problem> {
    /// Where memory is tight, frames get no smaller than this by themselves.
    const LEAST_FRAME: usize = 512 << 10;
    /// Below this a frame's header and its lost history cost more than is gained.
    const SMALLEST: u64 = 4 << 10;
    /// The largest frame whose sizes fit the fields for them.
    const LARGEST: u64 = 2 << 30;
    let frames = Frames {
        level: given_level(args),
        window: args.size("window").map(|size| window(size, args)).transpose()?,
    };
    let threads = given_threads(args);
    let frame = args.size("frame");
    if let Some(size) = frame.filter(|size| !(SMALLEST..=LARGEST).contains(size)) {
        let why = format!("a frame has from 4KiB to 2GiB of input, and not {}", format_size(size));
        return Err(Problem::at(args.span_of("frame"), why).help("4MiB is a good choice"));
    }
    if frames.window.is_some() && threads > 1 && frame.is_none() {
        let problem = Problem::at(
            args.span_of("window"),
            "window= is for one thread, threads= asks for more",
        );
        return Err(problem.help("leave one of them out; threads cut the input into pieces of four windows each"));
    }
    let flush = args.duration("flush");
    let mut members = Members {
        format: frames,
        size: usize::try_from(frame.unwrap_or_else(|| frames.default_size())).unwrap_or(usize::MAX),
        threads: threads as usize,
        flush,
    };
    while frame.is_none() && members.size > LEAST_FRAME && members.state_bytes() > args.state_limit() {
        members.size /= 2;
    }
    Ok(match frame {
        Some(_) => Box::new(members),
        None => Box::new(Zstd {
            plan: stream(frames, threads, flush),
            members,
        }),
    })
}

/// Compresses to one frame.
fn stream(Frames { level, window }: Frames, threads: u32, flush: Option<Duration>) -> Box<dyn TransformPlan> {
    let state = state::encoder(level, threads, window);
    compress(state, flush, move || {
        let mut parameters = vec![CParameter::checksum_flag(true)];
        if threads > 1 {
            parameters.push(CParameter::nb_workers(threads));
        }
        if let Some(log) = window {
            parameters.push(CParameter::window_log(log));
            if state::is_long(level, log) {
                parameters.push(CParameter::enable_long_distance_matching(true));
                parameters.push(CParameter::ldm_hash_rate_log(state::LONG_RATE_LOG));
            }
        }
        ZstdEncoder::new_with_params(level, &parameters)
    })
}

/// One frame, unless the pipeline can be resumed: then it is one of several that are compressed independently.
struct Zstd {
    plan: Box<dyn TransformPlan>,
    members: Members<Frames>,
}

impl TransformPlan for Zstd {
    fn make(self: Box<Self>) -> Box<dyn Stage> {
        self.plan.make()
    }

    fn memory_use(&self) -> Option<&dyn MemoryUse> {
        self.plan.memory_use()
    }

    fn conversion(&self) -> Option<&dyn Conversion> {
        self.plan.conversion()
    }

    fn resume(&mut self) -> Result<&mut dyn Resume, &'static str> {
        Ok(self)
    }
}

impl Resume for Zstd {
    fn effect(&self) -> Option<String> {
        self.members.effect()
    }

    fn prepare(&mut self) -> Option<Arc<SavedStates>> {
        self.plan = Box::new(self.members);
        None
    }

    fn held_back(&self) -> u64 {
        self.members.held_back()
    }
}

/// The window as a power of two, between the minimum of RFC 8878 and the maximum of the library.
fn window(size: u64, args: &Args) -> Result<u32, Problem> {
    const LOGS: std::ops::RangeInclusive<u32> = 10..=frame::LARGEST_WINDOW_LOG;
    let log = size.checked_ilog2().filter(|_| size.is_power_of_two());
    log.filter(|log| LOGS.contains(log)).ok_or_else(|| {
        Problem::at(args.span_of("window"), "a window is a power of two from 1KiB to 2GiB")
            .help("write, for example, window=64MiB")
    })
}

fn plan_unzstd(_: &Args) -> Result<Box<dyn TransformPlan>, Problem> {
    Ok(Box::new(Codec {
        content: Content::Restored,
        state: FORMAT.base,
        claims_later: FORMAT.grows,
        stage: Unpack {
            format: unpack::SizedFrames,
            threads: processors(),
        },
    }))
}
