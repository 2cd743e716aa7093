//! `decompress`: detects the format.

use crate::catalog::{Args, Build, Definition, Example, Role, Topic};
use crate::error::Problem;
use crate::stage::TransformPlan;

use super::codec::{Format, decompress};

/// The definition of `decompress`.
pub static DECOMPRESS: Definition = Definition {
    name: "decompress",
    role: Role::Transform,
    topic: Topic::Compress,
    summary: "decompress whichever format it is: gzip, zstd, xz, bzip2 or lz4",
    details: "The first bytes tell the format; then it does what `gunzip`, `unzstd`, `unxz`, `bunzip2` or `unlz4` \
              does. Input in another format is an error, which says what it looks like. brotli cannot be recognised: \
              use `unbrotli`.",
    params: &[],
    examples: &[Example {
        text: "read big.iso.xz | decompress | write big.iso",
        about: "decompress a file",
    }],
    build: Build::Transform(plan),
};

static FORMATS: &[&Format] = &[
    &super::gzip::FORMAT,
    #[cfg(feature = "zstd")]
    &super::zstd::FORMAT,
    #[cfg(feature = "xz")]
    &super::xz::FORMAT,
    #[cfg(feature = "bzip2")]
    &super::bzip2::FORMAT,
    #[cfg(feature = "lz4")]
    &super::lz4::FORMAT,
];

fn plan(_: &Args) -> Result<Box<dyn TransformPlan>, Problem> {
    Ok(decompress(FORMATS))
}
