//! `highwater check` on real programs of both kinds.
//!
//! A verdict rests on who waits for whom, and its evidence is bytes, not time: what keeps its input is stopped at
//! `--max-rss` with hundreds of mebibytes, what honours holds some kibibytes, however busy the machine is.

#[cfg(not(feature = "portable-platform"))]
mod checking;
#[cfg(feature = "portable-platform")]
mod refusal;
