//! The stages between a source and a sink: one file per family.
//!
//! A new transform is one [`Definition`], and one line in [`STAGES`].

use crate::catalog::Definition;

#[cfg(feature = "brotli")]
mod brotli;
#[cfg(feature = "bzip2")]
mod bzip2;
mod case;
mod codec;
mod conditions;
mod decompress;
mod framing;
mod gathered;
mod grep;
mod gzip;
mod hash;
#[cfg(feature = "lz4")]
mod lz4;
mod members;
mod pass;
#[cfg(all(test, not(feature = "shuttle")))]
mod passing_tests;
mod per_record;
#[cfg(all(test, not(feature = "shuttle")))]
mod record_tests;
mod redact;
mod select;
mod tee;
mod throttle;
mod to_csv;
mod to_json;
mod to_sse;
mod worker_pool;
#[cfg(feature = "xz")]
mod xz;
#[cfg(feature = "zstd")]
mod zstd;

/// Every transform, in the order in which they are listed.
pub static STAGES: &[&Definition] = &[
    &gzip::GZIP,
    &gzip::GUNZIP,
    #[cfg(feature = "zstd")]
    &zstd::ZSTD,
    #[cfg(feature = "zstd")]
    &zstd::UNZSTD,
    #[cfg(feature = "xz")]
    &xz::XZ,
    #[cfg(feature = "xz")]
    &xz::UNXZ,
    #[cfg(feature = "bzip2")]
    &bzip2::BZIP2,
    #[cfg(feature = "bzip2")]
    &bzip2::BUNZIP2,
    #[cfg(feature = "lz4")]
    &lz4::LZ4,
    #[cfg(feature = "lz4")]
    &lz4::UNLZ4,
    #[cfg(feature = "brotli")]
    &brotli::BROTLI,
    #[cfg(feature = "brotli")]
    &brotli::UNBROTLI,
    &decompress::DECOMPRESS,
    &throttle::THROTTLE,
    &pass::TAKE,
    &pass::SKIP,
    &pass::LIMIT,
    &pass::BUFFER,
    &hash::HASH,
    &tee::TEE,
    &framing::LINES,
    &framing::FROM_JSON,
    &framing::FROM_CSV,
    &framing::FROM_SSE,
    &to_json::TO_JSON,
    &to_csv::TO_CSV,
    &to_sse::TO_SSE,
    &conditions::WHERE,
    &select::SELECT,
    &select::DROP,
    &grep::GREP,
    &redact::REDACT,
    &case::UPPER,
    &case::LOWER,
];

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::STAGES;
    use crate::grammar::parse_duration;

    #[test]
    fn encoders_flush_within_fifty_milliseconds() {
        let params = STAGES.iter().flat_map(|stage| stage.params);
        let defaults: Vec<Duration> = params
            .filter(|param| param.name == "flush")
            .map(|param| parse_duration(param.default.expect("a default")).expect("a duration"))
            .collect();
        assert!(!defaults.is_empty());
        assert!(
            defaults.iter().all(|flush| *flush <= Duration::from_millis(50)),
            "{defaults:?}"
        );
    }
}
