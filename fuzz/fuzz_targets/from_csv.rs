//! Bytes as rows of CSV.
#![no_main]

use highwater_fuzz::records;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    records(&["from-csv"], data);
    records(&["from-csv header=false types=infer long=skip bad=skip"], data);
});
