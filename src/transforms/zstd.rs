//! zstd: RFC 8878.

use async_compression::codecs::zstd::params::{CParameter, DParameter};
use async_compression::codecs::{ZstdDecoder, ZstdEncoder};

use crate::catalog::{Args, Build, Definition, Example, Role};
use crate::error::Problem;
use crate::stage::TransformPlan;

use super::codec::{FLUSH, Format, Packing, Padding, Plain, THREADS, Unpacking, given_level, given_threads, level};

mod frame;
mod state;

/// The definition of `zstd`.
pub static ZSTD: Definition = Definition {
    name: "zstd",
    role: Role::Transform,
    summary: "compress to zstd",
    details: "One frame with a checksum of its content. Levels below 1 are faster still; levels above 19 take hundreds \
              of megabytes, here and where it is decompressed.\n\nMore threads make it faster, and take more memory: \
              `highwater explain` says how much.\n\nWhere the input trickles, what came in is given out within \
              `flush`, so that the other end need not wait for a full block.",
    params: &[
        level(-7, 22, "3", "1 is fast, 19 is small, 22 is smallest; 0 stands for 3"),
        THREADS,
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
    ],
    build: Build::Transform(plan_zstd),
};

/// The definition of `unzstd`.
pub static UNZSTD: Definition = Definition {
    name: "unzstd",
    role: Role::Transform,
    summary: "decompress zstd, all its frames",
    details: "Checksums are checked, skippable frames are passed over. Input that is corrupt, cut short or followed by \
              something else is an error.\n\nThe memory that it takes is known when the first bytes have come: a \
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
    // What a frame asks for is claimed before; the library's own limit would only come in the way of that.
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
    let level = given_level(args);
    let threads = given_threads(args);
    Ok(Box::new(Packing {
        state: state::encoder(level, threads),
        flush: args.duration("flush"),
        encoder: move || {
            let mut parameters = vec![CParameter::checksum_flag(true)];
            if threads > 1 {
                parameters.push(CParameter::nb_workers(threads));
            }
            ZstdEncoder::new_with_params(level, &parameters)
        },
    }))
}

fn plan_unzstd(_: &Args) -> Result<Box<dyn TransformPlan>, Problem> {
    Ok(Box::new(Unpacking(const { &[&FORMAT] })))
}
