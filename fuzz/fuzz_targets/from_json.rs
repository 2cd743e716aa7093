//! Bytes as JSON values, and as the items of an array.
#![no_main]

use highwater_fuzz::records;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    records(&["from-json"], data);
    records(&["from-json long=skip bad=skip"], data);
    records(&["from-json items=true"], data);
});
