//! Bytes as lines.
#![no_main]

use highwater_fuzz::records;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    records(&["lines"], data);
    records(&["lines long=skip"], data);
});
