//! Any bytes through `bunzip2`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| highwater_fuzz::decode("bunzip2", data));
