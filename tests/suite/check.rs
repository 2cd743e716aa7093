//! `highwater check` on real programs of both kinds.
//!
//! The evidence of a verdict is bytes, not time: a program that keeps its input is stopped at `--max-rss` with hundreds
//! of mebibytes, one that honours backpressure holds some kibibytes, however busy the machine is.

#[cfg(not(feature = "portable-platform"))]
mod checking;
#[cfg(feature = "portable-platform")]
mod refusal;
