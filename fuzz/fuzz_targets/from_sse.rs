//! Bytes as server-sent events, and those as events again.
#![no_main]

use highwater_fuzz::records;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    records(&["from-sse bad=fail"], data);
    records(&["from-sse data=json long=skip", "to-sse"], data);
});
