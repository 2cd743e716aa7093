//! Leaving out what a machine cannot try.

use std::fmt::Display;
use std::io::Write;

/// Says why the test that runs is left out. With `HIGHWATER_REQUIRE_PEERS=1` everything must be tried: then it fails.
#[track_caller]
pub fn skip(why: impl Display) {
    let required = std::env::var_os("HIGHWATER_REQUIRE_PEERS").is_some_and(|value| value == "1");
    assert!(!required, "it may not be skipped here: {why}");
    // Only what is printed by the macros is kept back when a test passes.
    let thread = std::thread::current();
    let _ = writeln!(std::io::stderr(), "skipped: {}: {why}", thread.name().unwrap_or("?"));
}
