//! The parameters that codecs share.

use crate::catalog::{Args, Kind, Param, Place};

/// How long an encoder may hold back its input when no more is available.
pub const FLUSH: Param = Param {
    name: "flush",
    kind: Kind::Duration,
    place: Place::Named,
    required: false,
    default: Some("25ms"),
    help: "flush after this time without input; a steady stream is never flushed",
};

/// The parameter `level`, from `min` to `max`.
pub const fn level(min: i64, max: i64, default: &'static str, help: &'static str) -> Param {
    Param {
        name: "level",
        kind: Kind::Integer { min, max },
        place: Place::Named,
        required: false,
        default: Some(default),
        help,
    }
}

/// The parameter `threads`.
pub const THREADS: Param = Param {
    name: "threads",
    kind: Kind::Integer { min: 1, max: 64 },
    place: Place::Named,
    required: false,
    default: Some("1"),
    help: "compress on so many threads; each takes its own share of memory",
};

/// The given level.
pub fn given_level(args: &Args) -> i32 {
    args.integer("level")
        .and_then(|level| i32::try_from(level).ok())
        .unwrap_or(1)
}

/// The given number of threads.
pub fn given_threads(args: &Args) -> u32 {
    args.integer("threads")
        .and_then(|threads| u32::try_from(threads).ok())
        .unwrap_or(1)
}
