//! Any bytes through `unbrotli`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| highwater_fuzz::decode("unbrotli", data));
