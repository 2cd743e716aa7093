//! Skips what a machine cannot test.

use std::fmt::Display;
use std::io::Write;

/// Prints why the current test is skipped. With `HIGHWATER_REQUIRE_PEERS=1` it fails instead.
#[track_caller]
pub fn skip(why: impl Display) {
    let required = std::env::var_os("HIGHWATER_REQUIRE_PEERS").is_some_and(|value| value == "1");
    assert!(!required, "it may not be skipped here: {why}");
    // Only output of the print macros is captured when a test passes.
    let thread = std::thread::current();
    let _ = writeln!(std::io::stderr(), "skipped: {}: {why}", thread.name().unwrap_or("?"));
}
